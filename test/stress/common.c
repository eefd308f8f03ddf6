/*
 * common.c -- what every stress test needs: random numbers, SQL that has to
 * work, children, TAP.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

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

const char *
setting(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* UT_STRESS_SEED, or a new one. */
uint64_t
choose_seed(void)
{
	const char *given = setting("UT_STRESS_SEED");
	struct timespec now;

	if (given != NULL)
		return strtoull(given, NULL, 10);
	clock_gettime(CLOCK_REALTIME, &now);
	return mix(now.tv_sec, now.tv_nsec ^ getpid()) % 1000000000;
}

/* ---- SQL that has to work ---- */

PGresult *
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

/* ---- children ---- */

/* One look from outside; rows are what must not be. */
void
take_snapshot(PGconn *conn, const char *of_bad_rows, Snapshots *watch)
{
	char		rows[400];

	describe(conn, of_bad_rows, rows, sizeof(rows));
	watch->snapshots++;
	watch->bad += rows[0] != '\0';
	if (watch->first[0] == '\0')
		snprintf(watch->first, sizeof(watch->first), "%s", rows);
}

void
report_snapshots(const Snapshots *watch, const char *promise)
{
	ok(watch->snapshots > 0 && watch->bad == 0, "%s", promise);
	if (watch->first[0] != '\0')
		printf("# in %ld of %ld snapshots%s\n", watch->bad, watch->snapshots, watch->first);
}

/* What each client counted, one after the other. */
void
add_up(long *sum, const long *figures, int clients, int n)
{
	for (int i = 0; i < clients; i++)
		for (int k = 0; k < n; k++)
			sum[k] += figures[i * n + k];
}

/* So that a run in which nothing happened is no success. */
bool
all_happened(const long *figures, int n)
{
	for (int k = 0; k < n; k++)
		if (figures[k] == 0)
			return false;
	return true;
}

/* In memory that the children share. */
void *
shared_memory(size_t size)
{
	void	   *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
	{
		printf("Bail out! no memory\n");
		exit(1);
	}
	return memory;
}

pid_t
start_child(child_work work, void *shared, int number)
{
	pid_t		pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
	{
		perror("fork");
		exit(1);
	}
	if (pid == 0)
	{
		work(shared, number);
		fflush(NULL);
		_exit(0);
	}
	return pid;
}

/* They were told to end.  Who does not is stuck: a failure too. */
void
await_children(const pid_t *pids, int n, int seconds, Ending *ending)
{
	int64_t		deadline = now_ms() + 1000 * (int64_t) seconds;

	for (int i = 0; i < n; i++)
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

/* ---- TAP ---- */

static int	tests = 0;
static int	failures = 0;

bool
ok(bool passed, const char *format,...)
{
	va_list		args;

	printf("%s %d - ", passed ? "ok" : "not ok", ++tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	failures += !passed;
	return passed;
}

/* The view must be empty. */
void
none(PGconn *conn, const char *view, const char *promise)
{
	char		sql[100];
	char		rows[500];

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", view);
	if (ok(value_of(conn, sql) == 0, "%s", promise))
		return;
	snprintf(sql, sizeof(sql), "SELECT count(*) OVER () AS rows, v.* FROM %s AS v LIMIT 3", view);
	describe(conn, sql, rows, sizeof(rows));
	printf("# %s%s\n", view, rows);
}

/* The plan; whether all went well. */
bool
finish_tests(uint64_t seed)
{
	printf("1..%d\n", tests);
	if (failures > 0)
		printf("# failed with UT_STRESS_SEED=%llu\n", (unsigned long long) seed);
	return failures == 0;
}
