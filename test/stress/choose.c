/*
 * choose.c -- what a client is going to use: drawn at random, so that clients
 * meet at the hot user, at a few cold ones, and at the same keys.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

unsigned
draw(Client *me, unsigned below)
{
	return mix(me->shared->seed ^ ((uint64_t) (me->number + 1) << 40), me->draws++) % below;
}

bool
chance(Client *me, unsigned per_mille)
{
	return draw(me, 1000) < per_mille;
}

int64_t
elapsed_ms(const Client *me)
{
	return now_ms() - me->shared->began_ms;
}

void
name_request(Client *me, Step *step)
{
	snprintf(step->request, sizeof(step->request), "%d-%ld", me->number, me->requests++);
}

/* A few cold users at a time are everybody's: their first uses collide. */
int
choose_user(Client *me)
{
	unsigned	kind = draw(me, 100);

	if (kind < 40)
		return HOT_USER;
	if (kind < 60)
		return FIRST_COLD_USER + draw(me, COLD_USERS);
	if (kind < 90)
		return FIRST_COLD_USER + (elapsed_ms(me) / 100 * 5 + draw(me, 5)) % COLD_USERS;
	return FIRST_FACT_USER + draw(me, FACT_USERS);
}

static Way
choose_way(Client *me, const Step *step)
{
	unsigned	way = draw(me, 100);

	if (step->user >= FIRST_FACT_USER && way < 50)
		return TRACK;
	if (way < 15)
		return step->has_key ? CONSUME : REQUIRE;
	if (way < 30)
		return IN_BLOCK;
	return way < 40 ? IN_BLOCK_UNDONE : CONSUME;
}

/* The same key asks for the same, whoever of the clients sends it. */
static void
choose_keyed_amounts(Client *me, Step *step)
{
	uint64_t	key = elapsed_ms(me) / 100 * 4 + draw(me, 4);
	uint64_t	content = mix(me->shared->seed, key);

	step->has_key = true;
	step->user = content % 4 == 0 ? HOT_USER : FIRST_COLD_USER + content / 4 % COLD_USERS;
	step->usage_type = "unit";
	step->quantity = 1 + content / 4096 % 9;
	step->tokens = content / 65536 % 50;
	snprintf(step->request, sizeof(step->request), "key-%llu", (unsigned long long) key);
}

Step
choose_step(Client *me)
{
	Step		step = {0};

	if (chance(me, 150))
		choose_keyed_amounts(me, &step);
	else
	{
		step.user = choose_user(me);
		step.usage_type = chance(me, 150) ? "extra" : "unit";
		step.quantity = 1 + draw(me, 9);
		step.tokens = chance(me, 500) ? draw(me, 100) : 0;
		name_request(me, &step);
	}
	step.way = choose_way(me, &step);
	step.is_hurried = chance(me, 80);
	step.hours_ago = chance(me, 500) ? draw(me, 30 * 24) : 0;
	return step;
}

static int
compare_steps(const void *left, const void *right)
{
	const Step *a = left;
	const Step *b = right;

	if (a->user != b->user)
		return a->user < b->user ? -1 : 1;
	return strcmp(b->usage_type, a->usage_type);	/* unit before extra */
}

/* Uses of one user in several windows need a transaction each. */
int
choose_steps(Client *me, Step *steps)
{
	int			n = 1 + draw(me, 4);

	for (int i = 0; i < n; i++)
	{
		steps[i] = choose_step(me);
		if (n > 1)
			steps[i].hours_ago = 0;
	}
	qsort(steps, n, sizeof(Step), compare_steps);
	return n;
}

/* One user, and a subtransaction for each use. */
int
choose_many_steps(Client *me, Step *steps)
{
	int			user = choose_user(me);

	for (int i = 0; i < MANY_STEPS; i++)
	{
		Step		step = {
			.way = chance(me, 500) ? IN_BLOCK : IN_BLOCK_UNDONE,
			.user = user,
			.usage_type = "unit",
			.quantity = 1
		};

		name_request(me, &step);
		steps[i] = step;
	}
	return MANY_STEPS;
}
