/*
 * storm.c -- counters that come to shared memory and leave it, under fire.
 *
 * 6 clients use what 1000 users may, a few of whom are everybody's for a moment, take
 * uses back by corrections, roll back, prepare transactions that others end, are cut,
 * cancelled and terminated; events come late, or past every function.  Others only
 * look, so that there is hardly a moment in which nobody brings a counter to memory.
 * Best run with servers that have plenty of room for counters, and little, and with
 * a build with faults (-DUT_FAULTS), where bringing one takes longer.
 *
 * It proves that no snapshot shows a user over a hard limit, or rows that are not,
 * with later events, what events say; that whenever all pause, users are told what
 * events say; and that in the end what is left can be used to the last bit.
 *
 * Runs for UT_STRESS_SECONDS, and on until all of it has happened.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storm.h"

#define SECONDS_TO_END 60
#define PAUSE_AFTER_MS 700

typedef struct Watch
{
	Snapshots	over;
	Snapshots	rows;
	Snapshots	told;
	bool		stuck;			/* somebody did not pause */
} Watch;

/* ---- while it is running ---- */

static Figures
sum_of_figures(const Shared *shared)
{
	Figures		sum = {0};

	add_up(sum.of, shared->figures[0].of, CLIENTS, FIGURES);
	return sum;
}

static bool
all_idle(const Shared *shared)
{
	for (int i = 0; i < CLIENTS; i++)
		if (!shared->idle[i])
			return false;
	return true;
}

/* Of a client that did not hear whether it was prepared. */
static void
end_orphans(PGconn *conn)
{
	PGresult   *result = must_get(conn, "SELECT gid FROM pg_prepared_xacts WHERE database = current_database()");
	char		sql[100];

	for (int i = 0; i < PQntuples(result); i++)
	{
		snprintf(sql, sizeof(sql), "ROLLBACK PREPARED '%s'", PQgetvalue(result, i, 0));
		PQclear(PQexec(conn, sql));
	}
	PQclear(result);
}

/* Servers of connections that were cut may still be at work. */
static bool
await_nothing_under_way(PGconn *conn)
{
	for (int i = 0; i < 100 * SECONDS_TO_END; i++)
	{
		if (value_of(conn, "SELECT count(*) FROM storm.under_way") == 0)
			return true;
		end_orphans(conn);
		usleep(10000);
	}
	return false;
}

static void
look_at_rest(PGconn *conn, Watch *watch)
{
	take_snapshot(conn, "SELECT * FROM storm.mistold LIMIT 3", &watch->told);
	take_snapshot(conn, "SELECT * FROM storm.miscounted LIMIT 3", &watch->rows);
}

/* Before they are told to end, which lets most of them go. */
static void
report_stuck(PGconn *conn)
{
	PGresult   *result = must_get(conn, "SELECT format('# pid %s of transaction %s waits for %s (%s %s), for %s, in %s: %s', pid, backend_xid,"
								  " pg_blocking_pids(pid), wait_event_type, wait_event, now() - query_start, state, query)"
								  " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
								  " UNION ALL SELECT format('# transaction %s is prepared since %s', transaction, now() - prepared) FROM pg_prepared_xacts");

	for (int i = 0; i < PQntuples(result); i++)
		puts(PQgetvalue(result, i, 0));
	PQclear(result);
}

static void
look_in_pause(PGconn *conn, Shared *shared, Watch *watch)
{
	int			waits = 0;

	shared->paused = true;
	while (!all_idle(shared) && waits++ < 100 * SECONDS_TO_END)
	{
		if (waits % 100 == 0)
			end_orphans(conn);	/* somebody may wait for one */
		usleep(10000);
	}
	if (!all_idle(shared) || !await_nothing_under_way(conn))
	{
		watch->stuck = true;
		report_stuck(conn);
	}
	else
		look_at_rest(conn, watch);
	shared->paused = false;
	for (int i = 0; i < CLIENTS; i++)
		shared->idle[i] = false;
}

static void
watch_clients(Shared *shared, int64_t seconds, Watch *watch)
{
	PGconn	   *conn = must_connect("stress monitor");
	int64_t		next_pause = PAUSE_AFTER_MS;

	for (int64_t round = 0; !watch->stuck; round++)
	{
		int64_t		elapsed = now_ms() - shared->began_ms;
		Figures		sum = sum_of_figures(shared);

		if (elapsed > 10 * 1000 * seconds || (elapsed > 1000 * seconds && all_happened(sum.of, FIGURES)))
			break;
		take_snapshot(conn, "SELECT * FROM storm.over LIMIT 3", &watch->over);
		if (round % 4 == 0)
			take_snapshot(conn, "SELECT * FROM storm.miscounted LIMIT 3", &watch->rows);
		if (round % 32 == 0)
			must(conn, "SELECT storm.raise_maxima()");
		if (elapsed > next_pause)
		{
			look_in_pause(conn, shared, watch);
			next_pause = now_ms() - shared->began_ms + PAUSE_AFTER_MS;
		}
		usleep(5000);
	}
	shared->stop = true;
	PQfinish(conn);
}

/* ---- afterwards ---- */

static void
check_clients(const Shared *shared, const Ending *ending, const Watch *watch)
{
	int			faults = 0;

	ok(ending->stuck == 0 && !watch->stuck, "nobody was stuck");
	ok(ending->crashed == 0, "nobody crashed");
	for (int i = 0; i < CLIENTS; i++)
		if (shared->fault[i][0] != '\0' && faults++ < 3)
			printf("# client %d: %s\n", i, shared->fault[i]);
	ok(faults == 0, "every error was to be expected");
}

static void
check_figures(const Shared *shared, const Watch *watch)
{
	static const char *const names[FIGURES] = {
		"uses", "denials", "undone in a block", "deep ones", "reversals", "adjustments", "late facts", "inserted events",
		"maxima changed", "looks", "commits", "rollbacks", "prepared and committed", "prepared and rolled back",
		"connections cut", "cancelled or terminated", "interrupted"
	};
	Figures		sum = sum_of_figures(shared);

	printf("# %ld snapshots, %ld pauses", watch->over.snapshots, watch->told.snapshots);
	for (int k = 0; k < FIGURES; k++)
		printf(", %ld %s", sum.of[k], names[k]);
	printf("\n");
	ok(all_happened(sum.of, FIGURES), "there was something of everything");
	report_snapshots(&watch->over, "no snapshot showed a user over a hard limit");
	report_snapshots(&watch->rows, "in every snapshot rows and later events were what events say");
	report_snapshots(&watch->told, "in every pause users were told what events say");
}

static void
check_rest(PGconn *conn)
{
	ok(await_nothing_under_way(conn), "nothing is left under way");
	none(conn, "storm.over", "nobody is over a limit");
	none(conn, "storm.mistold", "users are told what events say");
	none(conn, "storm.miscounted", "rows are what events say");
	must(conn, "INSERT INTO storm.not_exact SELECT * FROM (SELECT no, storm.fill_up(user_id, max_units - units) AS fault"
		 " FROM storm.recorded WHERE kind = 'hot' OR (kind = 'cold' AND no % 29 = 5)) AS s WHERE fault IS NOT NULL");
	none(conn, "storm.not_exact", "what is left can be used up, and no more");
	none(conn, "storm.miscounted", "still rows are what events say");
}

int
main(void)
{
	Shared	   *shared = shared_memory(sizeof(Shared));
	const char *seconds_given = setting("UT_STRESS_SECONDS");
	int64_t		seconds = seconds_given != NULL ? atoll(seconds_given) : 8;
	pid_t		pids[CLIENTS];
	Watch		watch = {0};
	Ending		ending = {0};
	PGconn	   *conn;

	shared->seed = choose_seed();
	shared->began_ms = now_ms();
	shared->parent = getpid();
	printf("# storm: UT_STRESS_SEED=%llu\n", (unsigned long long) shared->seed);
	for (int i = 0; i < CLIENTS; i++)
		pids[i] = start_child(run_client, shared, i);
	watch_clients(shared, seconds, &watch);
	await_children(pids, CLIENTS, SECONDS_TO_END, &ending);

	conn = must_connect("stress verdict");
	check_clients(shared, &ending, &watch);
	check_figures(shared, &watch);
	check_rest(conn);
	PQfinish(conn);
	return finish_tests(shared->seed) ? 0 : 1;
}
