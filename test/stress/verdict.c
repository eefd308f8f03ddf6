/*
 * verdict.c -- what must be true when all clients are gone, as TAP.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stress.h"

#define SECONDS_TO_SETTLE 30
#define COLD_USERS_TO_FILL 50
#define MAX_FAULTS_SHOWN 5

/* ---- while it was running ---- */

static Figures
sum_of_figures(const Shared *shared)
{
	Figures		sum = {0};

	for (int i = 0; i < CLIENTS; i++)
	{
		const Figures *one = &shared->figures[i];

		sum.recorded += one->recorded;
		sum.facts += one->facts;
		sum.replayed += one->replayed;
		sum.denied += one->denied;
		sum.undone += one->undone;
		sum.unknown += one->unknown;
		sum.cuts += one->cuts;
		sum.lost += one->lost;
		sum.cancelled += one->cancelled;
		sum.retried += one->retried;
		sum.deadlocks += one->deadlocks;
	}
	return sum;
}

static void
check_clients(const Shared *shared, const Ending *ending)
{
	int			faults = 0;

	ok(ending->stuck == 0, "nobody was stuck");
	ok(ending->crashed == 0, "nobody crashed");
	if (ending->stuck + ending->crashed > 0)
		printf("# %d clients were stuck, %d crashed\n", ending->stuck, ending->crashed);
	for (int i = 0; i < CLIENTS; i++)
		faults += shared->fault[i][0] != '\0';
	if (ok(faults == 0, "every error was to be expected, and every answer true by its own figures"))
		return;
	for (int i = 0, shown = 0; i < CLIENTS && shown < MAX_FAULTS_SHOWN; i++)
		if (shared->fault[i][0] != '\0')
		{
			printf("# client %d: %s\n", i, shared->fault[i]);
			shown++;
		}
	printf("# %d clients had something to complain of\n", faults);
}

static void
check_watch(const Watch *watch)
{
	ok(watch->snapshots > 0 && watch->over == 0, "no snapshot showed a user over a hard limit");
	ok(watch->snapshots > 0 && watch->miscounted == 0, "in every snapshot counters were equal to events");
	if (watch->first[0] != '\0')
		printf("# in %ld and %ld of %ld snapshots; %s\n", watch->over, watch->miscounted, watch->snapshots, watch->first);
}

/* A run in which these did not happen has shown nothing. */
static void
check_figures(PGconn *conn, const Figures *sum, const Watch *watch)
{
	printf("# uses: %ld recorded (%ld facts, %ld replays), %ld denied, %ld undone, %ld unknown\n",
		   sum->recorded, sum->facts, sum->replayed, sum->denied, sum->undone, sum->unknown);
	printf("# trouble: %ld connections cut, %ld lost, %ld statements cancelled, %ld transactions retried, %ld deadlocks\n",
		   sum->cuts, sum->lost, sum->cancelled, sum->retried, sum->deadlocks);
	printf("# monitor: %ld snapshots, the hot user used up %ld times, a limit redefined %ld times\n",
		   watch->snapshots, watch->used_up, watch->redefined);
	/*
	 * There should be none.  About one run in fourteen meets one, over the tuple
	 * lock of a counter, and why is not known yet: doc/counters.md, Locks.
	 *
	 * In shared memory, where rows count to an instant only, two that have used may
	 * both want more than is left, and each then waits for what comes of the other.
	 */
	ok(sum->deadlocks == 0 || value_of(conn, "SELECT count(*) FROM usage.usage_counters WHERE counted_to < 'infinity'") > 0,
	   "nobody met a deadlock, unless in shared memory");
	ok(sum->recorded > 0 && sum->facts > 0 && sum->replayed > 0 && sum->denied > 0 && sum->undone > 0 &&
	   sum->unknown > 0 && sum->cuts > 0 && sum->cancelled > 0 && watch->used_up > 0,
	   "there was something of everything");
}

/* ---- afterwards ---- */

/* Servers of connections we cut may still be at work. */
static void
check_settled(PGconn *conn)
{
	for (int i = 0; i < 10 * SECONDS_TO_SETTLE; i++)
	{
		if (value_of(conn, "SELECT count(*) FROM stress.left_behind") == 0)
			break;
		usleep(100000);
	}
	none(conn, "stress.left_behind", "no lock and no connection is left behind");
	must(conn, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
		 " WHERE datname = current_database() AND application_name = 'stress client'");
}

/* Uses that much; what the answer was stands in "reason" and "limit_type". */
static bool
use(PGconn *conn, int user, long quantity, char *reason, char *limit_type)
{
	char		sql[200];
	PGresult   *result;
	bool		allowed;

	snprintf(sql, sizeof(sql),
			 "SELECT allowed, reason, limit_type FROM usage.consume_usage('" USER_ID_FORMAT "', 'unit', %ld)",
			 user, quantity);
	result = PQexec(conn, sql);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
	{
		printf("Bail out! %s: %s\n", sql, PQerrorMessage(conn));
		exit(1);
	}
	allowed = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	snprintf(reason, 64, "%s", PQgetvalue(result, 0, 1));
	snprintf(limit_type, 64, "%s", PQgetvalue(result, 0, 2));
	PQclear(result);
	return allowed;
}

/*
 * Uses what is left unit by unit, of much all but the last two at once; false
 * if that is not exactly what could be used.
 */
static bool
fill_up(PGconn *conn, int user, long units, long calls)
{
	char		reason[64] = "";
	char		limit_type[64] = "";
	bool		is_much = units > 1000 && calls > 1000;
	long		left = is_much || units < calls ? units : calls;
	long		used = 0;

	if (is_much && use(conn, user, units - 2, reason, limit_type))
		used = units - 2;
	while (used <= left && use(conn, user, 1, reason, limit_type))
		used++;
	if (used == left && strcmp(reason, "limit_reached") == 0)
		return true;
	printf("# user %d had %ld units and %ld calls left and could use %ld units; then %s, %s\n",
		   user, units, calls, used, reason, limit_type);
	return false;
}

static bool
fill_up_all(PGconn *conn, const char *which)
{
	char		sql[300];
	PGresult   *result;
	bool		exact = true;
	int			users;

	snprintf(sql, sizeof(sql), "SELECT no, units, calls FROM stress.room WHERE %s", which);
	result = PQexec(conn, sql);
	users = PQntuples(result);
	for (int i = 0; i < users && exact; i++)
		exact = fill_up(conn, atoi(PQgetvalue(result, i, 0)),
						atol(PQgetvalue(result, i, 1)), atol(PQgetvalue(result, i, 2)));
	PQclear(result);
	return users > 0 && exact;
}

static void
check_what_is_left(PGconn *conn, uint64_t seed)
{
	char		sample[200];

	must(conn, "UPDATE stress.people SET max_units = max_units + 70, max_calls = max_calls + 30 WHERE kind = 'hot'");
	must(conn, "SELECT usage.set_user_limit(user_id, 'units_ever', max_units),"
		 " usage.set_user_limit(user_id, 'calls_daily', max_calls) FROM stress.people WHERE kind = 'hot'");
	snprintf(sample, sizeof(sample), "kind = 'cold' ORDER BY md5('%llu ' || no) LIMIT %d",
			 (unsigned long long) seed, COLD_USERS_TO_FILL);
	ok(fill_up_all(conn, "kind = 'hot'"), "the hot user can use what is left to the last unit, and no more");
	ok(fill_up_all(conn, sample), "so can %d of the cold users", COLD_USERS_TO_FILL);
}

bool
verdict(PGconn *conn, Shared *shared, const Watch *watch, const Ending *ending)
{
	Figures		sum = sum_of_figures(shared);

	check_clients(shared, ending);
	check_figures(conn, &sum, watch);
	check_watch(watch);
	check_settled(conn);
	none(conn, "stress.lost", "every use whose COMMIT was answered is recorded, as it was asked for");
	none(conn, "stress.unexplained", "nothing is recorded that a client saw refused or undone");
	none(conn, "stress.doubled", "nothing is recorded twice");
	none(conn, "stress.over", "nobody is over a hard limit");
	none(conn, "usage.reconcile_usage()", "counters are equal to events");
	none(conn, "stress.miscounted", "users are told what the events say");
	check_what_is_left(conn, shared->seed);
	none(conn, "stress.over", "still nobody is over a hard limit");
	none(conn, "usage.reconcile_usage()", "still counters are equal to events");
	return finish_tests(shared->seed);
}
