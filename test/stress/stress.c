/*
 * stress.c -- promise 2 of the design, "never over, never stuck", under fire.
 *
 * 32 clients use what 1 hot and 1000 cold users may, and now and then all come at
 * once to a user nobody knows yet: random quantities, savepoints, exceptions,
 * rollbacks, idempotency keys, isolation levels, cancelled statements,
 * connections cut at the worst moment.  Meanwhile a monitor looks at one
 * snapshot after the other, gives the hot user a little more whenever he has
 * used up everything, and changes what a limit counts.
 *
 * It proves that at any moment no user is over a hard limit and every counter
 * equals its events; that in the end the events are exactly the uses whose
 * COMMIT was answered, and some of those whose answer nobody read; and that what
 * is left can be used to the last unit, and no further.
 *
 * Runs for UT_STRESS_SECONDS, and on until the hot user was at his limits a few
 * times.  A client repeats its decisions for a UT_STRESS_SEED; how the clients
 * interleave is up to the machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stress.h"

#define ENOUGH_TIMES_USED_UP 5
#define SECONDS_TO_END 60

/* ---- the monitor ---- */

/* Both in one statement, so in one snapshot. */
static void
look(PGconn *conn, Watch *watch)
{
	PGresult   *result = must_get(conn,
								  "SELECT (SELECT string_agg(o::text, ' ') FROM stress.over AS o),"
								  " (SELECT string_agg(r::text, ' ') FROM usage.reconcile_usage() AS r)");
	bool		over = !PQgetisnull(result, 0, 0);
	bool		miscounted = !PQgetisnull(result, 0, 1);

	if ((over || miscounted) && watch->first[0] == '\0')
		snprintf(watch->first, sizeof(watch->first), "over: %s; counted, recorded: %s",
				 PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1));
	watch->snapshots++;
	watch->over += over;
	watch->miscounted += miscounted;
	PQclear(result);
}

/* A little more of both, so that now one limit binds and now the other. */
static void
raise_if_used_up(PGconn *conn, uint64_t random, Watch *watch)
{
	char		sql[600];

	if (value_of(conn, "SELECT least(units, calls, 1) FROM stress.room WHERE kind = 'hot'") > 0)
		return;
	watch->used_up++;
	snprintf(sql, sizeof(sql),
			 "BEGIN;"
			 "UPDATE stress.people SET max_units = max_units + %d, max_calls = max_calls + %d WHERE kind = 'hot';"
			 "SELECT usage.set_user_limit(user_id, 'units_ever', max_units),"
			 " usage.set_user_limit(user_id, 'calls_daily', max_calls) FROM stress.people WHERE kind = 'hot';"
			 "COMMIT",
			 (int) (random % 100) + 20, (int) (random / 100 % 20) + 5);
	must(conn, sql);
}

/* Uses in flight may take longer than it waits for them. */
static void
redefine_soft_limit(PGconn *conn, Watch *watch)
{
	char		sql[200];
	PGresult   *result;
	const char *state;

	snprintf(sql, sizeof(sql),
			 "SELECT usage.define_usage_limit('units_noted', 'unit', 10, measure => '%s', enforcement => 'soft')",
			 watch->redefined % 2 == 0 ? "events" : "quantity");
	result = PQexec(conn, sql);
	state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		watch->redefined++;
	else if (state == NULL || strcmp(state, "55P03") != 0)
	{
		printf("Bail out! %s", PQerrorMessage(conn));
		exit(1);
	}
	PQclear(result);
}

static void
watch_clients(Shared *shared, int64_t seconds, Watch *watch)
{
	PGconn	   *conn = must_connect("stress monitor");
	int64_t		next_definition = 1000;

	for (uint64_t round = 0;; round++)
	{
		int64_t		elapsed = now_ms() - shared->began_ms;

		if (elapsed > 10 * 1000 * seconds ||
			(elapsed > 1000 * seconds && watch->used_up >= ENOUGH_TIMES_USED_UP))
			break;
		if (round % 4 == 0)
			look(conn, watch);
		raise_if_used_up(conn, mix(shared->seed, round), watch);
		if (elapsed >= next_definition)
		{
			redefine_soft_limit(conn, watch);
			next_definition = elapsed + 2000;
		}
		usleep(20000);
	}
	shared->stop = true;
	PQfinish(conn);
}

/* ---- the run ---- */

static void
run_child(void *shared, int number)
{
	run_client(shared, number);
}

int
main(void)
{
	Shared	   *shared = shared_memory(sizeof(Shared));
	const char *seconds_given = setting("UT_STRESS_SECONDS");
	int64_t		seconds = seconds_given != NULL ? atoll(seconds_given) : 8;
	Watch		watch = {0};
	pid_t		pids[CLIENTS];
	Ending		ending = {0};
	PGconn	   *conn;
	bool		passed;

	if (seconds <= 0)
	{
		fprintf(stderr, "stress: UT_STRESS_SECONDS is not a positive number\n");
		return 2;
	}
	shared->seed = choose_seed();
	shared->began_ms = now_ms();
	shared->parent = getpid();
	printf("# UT_STRESS_SEED=%llu UT_STRESS_SECONDS=%lld\n",
		   (unsigned long long) shared->seed, (long long) seconds);

	for (int i = 0; i < CLIENTS; i++)
		pids[i] = start_child(run_child, shared, i);
	watch_clients(shared, seconds, &watch);
	await_children(pids, CLIENTS, SECONDS_TO_END, &ending);
	conn = must_connect("stress verdict");
	passed = verdict(conn, shared, &watch, &ending);
	PQfinish(conn);
	return passed ? 0 : 1;
}
