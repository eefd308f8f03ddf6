/*
 * writer_client.c -- what a writer does, in every way that can go wrong.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "writer.h"

#define MOST_USES 3				/* in a transaction */

/* A call that is a transaction of its own. */
static void
call(Client *me)
{
	Use			use = use_at_random(me);
	bool		is_hurried = chance(me, 150);
	bool		allowed;
	char		sql[60];

	snprintf(sql, sizeof(sql), "SET statement_timeout = %u", 1 + draw(me, 50));
	if (is_hurried && tell(me, sql) != DONE)
		return;
	me->transactions++;
	send_use(me, &use);
	if (chance(me, 10))
	{
		usleep(draw(me, 2000));
		cut(me);
	}
	if (me->conn == NULL || read_answer(me, &use, &allowed) == GONE)
	{
		note(me, &use, me->transactions, "unknown");
		me->has_unknown = use.has_key;
		me->unknown = use;
		me->unknown_transaction = me->transactions;
		return;
	}
	if (allowed)
		note(me, &use, me->transactions, "recorded");
	if (is_hurried)
		insist(me, "RESET statement_timeout");
}

/* The same again, on a new connection: with a key it is safe to ask. */
static void
ask_again(Client *me)
{
	Use			use = me->unknown;
	bool		allowed;

	send_use(me, &use);
	if (read_answer(me, &use, &allowed) != DONE)
		return;
	me->has_unknown = false;
	me->shared->did.resolved++;
	note(me, &use, me->unknown_transaction, allowed ? "recorded" : "gone");
}

static void
roll_back(Client *me, int ntaken)
{
	me->shared->did.undone += ntaken;
	insist(me, "ROLLBACK");
}

static void
finish(Client *me, const Use *taken, int ntaken)
{
	Outcome		outcome = GONE;

	if (chance(me, 100))
	{
		roll_back(me, ntaken);
		return;
	}
	if (chance(me, 10))
	{
		cut(me);				/* before COMMIT: nothing of it may be there */
		return;
	}
	if (chance(me, 10))
	{
		(void) PQsendQuery(me->conn, "COMMIT");
		cut(me);
	}
	else
		outcome = tell(me, "COMMIT");
	if (outcome == REFUSED)
		roll_back(me, ntaken);
	else
		for (int i = 0; i < ntaken; i++)
			note(me, &taken[i], me->transactions, outcome == DONE ? "recorded" : "unknown");
}

/*
 * Whoever takes users in one order, and of one user the type with more limits
 * first, meets no deadlock.
 */
static int
compare_uses(const void *left, const void *right)
{
	const Use  *a = left;
	const Use  *b = right;

	if (a->user != b->user)
		return a->user < b->user ? -1 : 1;
	return strcmp(b->usage_type, a->usage_type);	/* unit before extra */
}

static void
transact(Client *me)
{
	Use			uses[MOST_USES];
	Use			taken[MOST_USES];
	int			n = 1 + draw(me, MOST_USES);
	int			ntaken = 0;

	for (int i = 0; i < n; i++)
		uses[i] = use_at_random(me);
	qsort(uses, n, sizeof(Use), compare_uses);

	me->transactions++;
	if (tell(me, "BEGIN") != DONE)
	{
		roll_back(me, 0);
		return;
	}
	for (int i = 0; i < n; i++)
	{
		bool		has_savepoint = chance(me, 250);
		bool		allowed = false;
		Outcome		outcome = has_savepoint ? tell(me, "SAVEPOINT s") : DONE;

		if (outcome == DONE)
		{
			send_use(me, &uses[i]);
			outcome = read_answer(me, &uses[i], &allowed);
		}
		if (allowed)
			taken[ntaken++] = uses[i];
		if (outcome == DONE && has_savepoint && chance(me, 400))
		{
			outcome = tell(me, "ROLLBACK TO s");
			ntaken -= allowed;
			me->shared->did.undone += allowed;
		}
		if (outcome != DONE)
		{
			roll_back(me, ntaken);
			return;
		}
	}
	/* somebody who keeps others waiting, into their timeouts */
	if (chance(me, 40) && tell(me, "SELECT pg_sleep(0.02)") != DONE)
	{
		roll_back(me, ntaken);
		return;
	}
	finish(me, taken, ntaken);
}

/* What else happens to a database while it is used, or crashes. */
static void
do_a_job(Client *me)
{
	char		sql[200];

	switch (draw(me, 5))
	{
		case 0:
			snprintf(sql, sizeof(sql), "CHECKPOINT");
			break;
		case 1:
			snprintf(sql, sizeof(sql), "SELECT usage.usage_maintenance()");
			break;
		case 2:
			snprintf(sql, sizeof(sql), "SELECT usage.create_usage_partition((now() + interval '%u months')::date)", 3 + draw(me, 6));
			break;
		case 3:
			snprintf(sql, sizeof(sql), "SELECT usage.define_usage_limit('units_noted', 'unit', 10, measure => '%s', enforcement => 'soft')",
					 chance(me, 500) ? "events" : "quantity");
			break;
		default:
			snprintf(sql, sizeof(sql), "SELECT usage.set_user_clock('" USER_ID_FORMAT "', NULL, now() - interval '%u hours')",
					 cold_user(me), 24 + draw(me, 120));
	}
	me->shared->did.jobs += tell(me, sql) == DONE;
}

static void
work(Client *me)
{
	unsigned	what = draw(me, 1000);

	if (me->has_unknown)
		ask_again(me);
	else if (what < 590)
		call(me);
	else if (what < 990)
		transact(me);
	else
		do_a_job(me);
}

void
run_client(Shared *shared, int number, const char *directory, long seed, pid_t parent)
{
	Client		me = {.shared = shared, .number = number, .random = {seed, seed >> 16, number}};
	char		path[1000];

	snprintf(path, sizeof(path), "%s/%d.log", directory, number);
	me.log = fopen(path, "w");
	if (me.log == NULL)
	{
		perror(path);
		_exit(1);
	}
	while (!shared->ended && getppid() == parent)
	{
		shared->idle[number] = false;
		if (shared->paused)
		{
			fflush(me.log);
			shared->connected[number] = me.conn != NULL;
			shared->idle[number] = true;
			while (shared->paused && !shared->ended && getppid() == parent)
				usleep(1000);
		}
		else if (is_connected(&me))
			work(&me);
	}
	fclose(me.log);
	disconnect(&me);
}
