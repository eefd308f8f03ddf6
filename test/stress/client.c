/*
 * client.c -- one of the clients: uses things, in every way that goes wrong.
 *
 * It knows the fate of each of its uses: recorded (COMMIT was answered), gone
 * (rolled back, or never committed), or unknown (COMMIT was sent, and then the
 * connection went away).  A use has a name, its request, which stands in the
 * event's resource_id; at the end the client hands in the names it knows of.
 *
 * Within a transaction it uses things in the order of users, and ends the
 * transaction once it rolled a savepoint back in which another was released, as
 * an application must that wants no deadlocks (see specs/nested_savepoint).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

#define MAX_ATTEMPTS 20
#define RUSH_GATHERS_MS 60
#define RUSH_TOKENS 50			/* so the limit is reached by a few */

/* ---- fates ---- */

static void
note(Client *me, const Step *step, bool is_recorded)
{
	/* room doubles at 0, 1, 3, 7, ... */
	if ((me->nlog & (me->nlog + 1)) == 0)
		me->log = realloc(me->log, (2 * me->nlog + 1) * sizeof(Entry));
	me->log[me->nlog].step = *step;
	me->log[me->nlog++].is_recorded = is_recorded;
	if (is_recorded)
	{
		me->did->recorded++;
		me->did->facts += step->way == TRACK;
	}
	else
		me->did->unknown++;
}

static void
note_all(Client *me, bool are_recorded)
{
	for (int i = 0; i < me->ntaken; i++)
		note(me, &me->taken[i], are_recorded);
	me->ntaken = 0;
	me->depth = 0;
}

static void
forget_after(Client *me, int ntaken)
{
	me->did->undone += me->ntaken - ntaken;
	me->ntaken = ntaken;
}

static void
forget_all(Client *me)
{
	forget_after(me, 0);
	me->depth = 0;
}

/* ---- within a transaction; false: it is over ---- */

static bool
roll_back(Client *me)
{
	forget_all(me);
	while (PQtransactionStatus(me->conn) == PQTRANS_INTRANS || PQtransactionStatus(me->conn) == PQTRANS_INERROR)
		tell(me, "ROLLBACK");
	return false;
}

static bool
go_on(Client *me, const char *sql)
{
	return tell(me, sql) == DONE || roll_back(me);
}

static bool
set_savepoint(Client *me)
{
	char		sql[40];

	snprintf(sql, sizeof(sql), "SAVEPOINT s%d", me->depth);
	if (!go_on(me, sql))
		return false;
	me->has_released[me->depth] = false;
	me->savepoints[me->depth++] = me->ntaken;
	return true;
}

static bool
undo_to_savepoint(Client *me)
{
	char		sql[80];

	me->depth--;
	me->has_undone_more = me->has_undone_more || me->has_released[me->depth];
	forget_after(me, me->savepoints[me->depth]);
	snprintf(sql, sizeof(sql), "ROLLBACK TO s%d; RELEASE s%d", me->depth, me->depth);
	return go_on(me, sql);
}

static void
note_release(Client *me)
{
	if (me->depth > 0)
		me->has_released[me->depth - 1] = true;
}

static bool
release_savepoint(Client *me)
{
	char		sql[40];

	snprintf(sql, sizeof(sql), "RELEASE s%d", --me->depth);
	note_release(me);
	return go_on(me, sql);
}

static bool
hurry(Client *me, int ms)
{
	char		sql[60];

	snprintf(sql, sizeof(sql), "SET LOCAL statement_timeout = %d", ms);
	return go_on(me, sql);
}

static bool
take(Client *me, const Step *step)
{
	Answer		answer;

	if (step->is_hurried && !hurry(me, 1 + draw(me, 20)))
		return false;
	send_step(me, step);
	if (step->way == IN_BLOCK || step->way == IN_BLOCK_UNDONE)
		note_release(me);		/* the block is a subtransaction */
	switch (read_answer(me, step, &answer))
	{
		case DONE:
			if (answer.allowed && step->way == IN_BLOCK_UNDONE)
				me->did->undone++;
			else if (answer.allowed)
				me->taken[me->ntaken++] = *step;
			return !step->is_hurried || hurry(me, 0);
		case REFUSED:
			if (me->depth == 0 || strcmp(me->state, "40001") == 0)
				break;
			return undo_to_savepoint(me);
		case GONE:
			break;
	}
	return roll_back(me);
}

static bool
take_with_savepoints(Client *me, const Step *step)
{
	if (chance(me, 350) && !set_savepoint(me))
		return false;
	if (!take(me, step))
		return false;
	if (me->depth > 0 && chance(me, 300))
		return undo_to_savepoint(me);
	if (me->depth > 0 && chance(me, 300))
		return release_savepoint(me);
	return true;
}

static void
finish(Client *me)
{
	unsigned	end = draw(me, 1000);

	if (end < 780)
	{
		Outcome		outcome = tell(me, "COMMIT");

		if (outcome == REFUSED)
			roll_back(me);
		else
			note_all(me, outcome == DONE);
	}
	else if (end < 960)
		roll_back(me);
	else if (end < 980)
	{
		forget_all(me);
		cut(me);
	}
	else
	{
		(void) PQsendQuery(me->conn, "COMMIT");
		note_all(me, false);
		cut(me);
	}
}

/* ---- what a client does ---- */

static void
attempt(Client *me, const char *begin, const Step *steps, int n)
{
	/* a cancel request may come when BEGIN has begun */
	if (tell(me, begin) != DONE)
	{
		roll_back(me);
		return;
	}
	me->has_undone_more = false;
	for (int i = 0; i < n && !me->has_undone_more; i++)
		if (!take_with_savepoints(me, &steps[i]))
			return;
	finish(me);
}

static void
run_transaction(Client *me)
{
	Step		steps[MANY_STEPS];
	int			n = chance(me, 5) ? choose_many_steps(me, steps) : choose_steps(me, steps);
	unsigned	isolation = draw(me, 16);
	const char *begin = "BEGIN";

	me->expected = "UT001";
	if (isolation < 3)
	{
		begin = isolation == 0 ? "BEGIN ISOLATION LEVEL SERIALIZABLE" : "BEGIN ISOLATION LEVEL REPEATABLE READ";
		me->expected = "UT001 40001";
	}
	for (int i = 0; i < MAX_ATTEMPTS && !me->shared->stop; i++)
	{
		me->state[0] = '\0';
		attempt(me, begin, steps, n);
		if (strcmp(me->state, "40001") != 0)
			break;
		me->did->retried++;
	}
}

/* A call that is a transaction of its own. */
static void
call(Client *me, const Step *step, bool is_cut)
{
	Answer		answer = {0};
	Outcome		outcome = GONE;

	me->expected = step->way == REQUIRE ? "UT001" : "";
	send_step(me, step);
	if (is_cut)
	{
		usleep(draw(me, 3000));
		cut(me);
	}
	else
		outcome = read_answer(me, step, &answer);

	if (step->way == IN_BLOCK_UNDONE)
		me->did->undone += answer.allowed;
	else if (outcome == GONE || answer.allowed)
		note(me, step, outcome == DONE);
	if (answer.allowed && step->has_key && step->way != IN_BLOCK_UNDONE)
	{
		me->has_keyed = true;
		me->keyed = *step;
		strcpy(me->keyed_id, answer.id);
	}
}

static void
run_call(Client *me)
{
	Step		step = choose_step(me);

	call(me, &step, chance(me, 20));
}

/* Once a second all come at once to a user who was never there before. */
static void
rush(Client *me)
{
	int64_t		second = elapsed_ms(me) / 1000;
	int64_t		early = second * 1000 + RUSH_GATHERS_MS - elapsed_ms(me);
	Step		step = {
		.way = CONSUME,
		.user = FIRST_RUSH_USER + second % RUSH_USERS,
		.usage_type = "extra",
		.quantity = 1,
		.tokens = RUSH_TOKENS
	};

	if (second == me->last_rush)
		return;
	me->last_rush = second;
	name_request(me, &step);
	if (early > 0)
		usleep(early * 1000);
	call(me, &step, false);
}

/* The first answer for the same again, an error for anything else. */
static void
repeat_key(Client *me)
{
	Step		step = me->keyed;
	Answer		answer;

	if (!me->has_keyed)
		return;
	me->expected = "";
	step.way = CONSUME;
	send_step(me, &step);
	if (read_answer(me, &step, &answer) == DONE &&
		(!answer.replayed || strcmp(answer.id, me->keyed_id) != 0))
		fault(me, "key %s was answered with event %s, then with %s", step.request, me->keyed_id, answer.id);

	me->expected = "UT005";
	step.quantity++;
	send_step(me, &step);
	if (read_answer(me, &step, &answer) == DONE)
		fault(me, "key %s was used for another quantity as well", step.request);
}

/* Windows of the new clock hold the whole test as those of the old one did. */
static void
change_clock(Client *me)
{
	static const char *const zones[] = {"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati"};
	char		sql[200];

	snprintf(sql, sizeof(sql), "SELECT usage.set_user_clock('" USER_ID_FORMAT "', '%s', now() - interval '%u hours')",
			 choose_user(me), zones[draw(me, 5)], 24 + draw(me, 120));
	me->expected = "55P03";		/* uses in flight */
	tell(me, sql);
}

static void
disturb(Client *me)
{
	char		sql[300];

	snprintf(sql, sizeof(sql),
			 "SELECT pg_%s_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
			 " WHERE datname = current_database() AND application_name = 'stress client'"
			 " AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) AS other",
			 chance(me, 500) ? "terminate" : "cancel");
	me->expected = "";
	tell(me, sql);
}

static void
hand_in(Client *me)
{
	PGconn	   *conn = must_connect("stress log");
	char		line[200];

	PQclear(PQexec(conn, "COPY stress.log FROM STDIN"));
	for (size_t i = 0; i < me->nlog; i++)
	{
		const Step *step = &me->log[i].step;
		int			length = snprintf(line, sizeof(line), "%s\t" USER_ID_FORMAT "\t%s\t%d\t%d\t%s\n",
									  step->request, step->user, step->usage_type, step->quantity, step->tokens,
									  me->log[i].is_recorded ? "recorded" : "unknown");

		PQputCopyData(conn, line, length);
	}
	PQputCopyEnd(conn, NULL);
	if (PQresultStatus(PQgetResult(conn)) != PGRES_COMMAND_OK)
		fault(me, "cannot hand in the log: %s", PQerrorMessage(conn));
	PQfinish(conn);
}

void
run_client(Shared *shared, int number)
{
	Client		me = {.shared = shared, .did = &shared->figures[number], .number = number, .expected = "", .last_rush = -1};

	connect_again(&me);
	while (!shared->stop && getppid() == shared->parent && PQstatus(me.conn) == CONNECTION_OK)
	{
		unsigned	kind = draw(&me, 1000);

		rush(&me);
		if (kind < 550)
			run_transaction(&me);
		else if (kind < 930)
			run_call(&me);
		else if (kind < 960)
			repeat_key(&me);
		else if (kind < 990)
			change_clock(&me);
		else
			disturb(&me);
	}
	PQfinish(me.conn);
	hand_in(&me);
}
