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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

#define ENOUGH_TIMES_USED_UP 5
#define SECONDS_TO_END 60

int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The number-th random number of a seed (splitmix64). */
uint64_t
mix(uint64_t seed, uint64_t number)
{
	uint64_t	z = seed + (number + 1) * UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* ---- SQL that has to work: of the monitor and of the verdict ---- */

static PGresult *
must_get(PGconn *conn, const char *sql)
{
	PGresult   *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
	{
		printf("Bail out! %s: %s\n", sql, PQerrorMessage(conn));
		exit(1);
	}
	return result;
}

void
must(PGconn *conn, const char *sql)
{
	PQclear(must_get(conn, sql));
}

long
value_of(PGconn *conn, const char *sql)
{
	PGresult   *result = must_get(conn, sql);
	long		value = atol(PQgetvalue(result, 0, 0));

	PQclear(result);
	return value;
}

PGconn *
must_connect(const char *name)
{
	const char *const keywords[] = {"dbname", "application_name", NULL};
	const char *const values[] = {getenv("PGDATABASE"), name, NULL};
	PGconn	   *conn = PQconnectdbParams(keywords, values, 0);

	if (PQstatus(conn) != CONNECTION_OK)
	{
		printf("Bail out! %s", PQerrorMessage(conn));
		exit(1);
	}
	must(conn, "SET client_min_messages = warning");
	must(conn, "SET statement_timeout = '120s'");	/* stuck */
	return conn;
}

/* The first rows of a query, as text. */
void
describe(PGconn *conn, const char *sql, char *into, size_t size)
{
	PGresult   *result = must_get(conn, sql);
	size_t		used = 0;

	into[0] = '\0';
	for (int row = 0; row < PQntuples(result) && row < 3; row++)
		for (int column = 0; column < PQnfields(result) && used < size; column++)
			used += snprintf(into + used, size - used, "%s%s=%s", column == 0 ? "; " : " ",
							 PQfname(result, column), PQgetvalue(result, row, column));
	PQclear(result);
}

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
start_clients(Shared *shared, pid_t *pids)
{
	fflush(NULL);
	for (int i = 0; i < CLIENTS; i++)
	{
		pids[i] = fork();
		if (pids[i] < 0)
		{
			perror("fork");
			exit(1);
		}
		if (pids[i] == 0)
		{
			run_client(shared, i);
			fflush(NULL);
			_exit(0);
		}
	}
}

/* They were told to end.  Who does not is stuck: a failure too. */
static void
await_clients(const pid_t *pids, Ending *ending)
{
	int64_t		deadline = now_ms() + 1000 * SECONDS_TO_END;

	for (int i = 0; i < CLIENTS; i++)
	{
		int			status = 0;
		pid_t		ended;

		while ((ended = waitpid(pids[i], &status, WNOHANG)) == 0 && now_ms() < deadline)
			usleep(10000);
		if (ended == 0)
		{
			ending->stuck++;
			kill(pids[i], SIGKILL);
			waitpid(pids[i], NULL, 0);
		}
		else
			ending->crashed += status != 0;
	}
}

static uint64_t
random_seed(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return mix(now.tv_sec, now.tv_nsec ^ getpid()) % 1000000000;
}

static const char *
setting(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

int
main(void)
{
	Shared	   *shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const char *seconds_given = setting("UT_STRESS_SECONDS");
	const char *seed_given = setting("UT_STRESS_SEED");
	int64_t		seconds = seconds_given != NULL ? atoll(seconds_given) : 8;
	Watch		watch = {0};
	pid_t		pids[CLIENTS];
	Ending		ending = {0};
	PGconn	   *conn;
	bool		passed;

	if (shared == MAP_FAILED || seconds <= 0)
	{
		fprintf(stderr, "stress: no memory, or UT_STRESS_SECONDS is not a positive number\n");
		return 2;
	}
	shared->seed = seed_given != NULL ? strtoull(seed_given, NULL, 10) : random_seed();
	shared->began_ms = now_ms();
	shared->parent = getpid();
	printf("# UT_STRESS_SEED=%llu UT_STRESS_SECONDS=%lld\n",
		   (unsigned long long) shared->seed, (long long) seconds);

	start_clients(shared, pids);
	watch_clients(shared, seconds, &watch);
	await_clients(pids, &ending);
	conn = must_connect("stress verdict");
	passed = verdict(conn, shared, &watch, &ending);
	PQfinish(conn);
	return passed ? 0 : 1;
}
