/*
 * leases.c -- "never more than N holders, and none leaked", under fire.
 *
 * 64 clients want 3 places, for a time or for as long as their session.  They give
 * them back, renew them, let them expire, roll them back, or die: their connections
 * are cut, their processes killed, their servers terminated.  No maintenance runs.
 *
 * It proves that there are never more than 3 who hold a place, as the clients see
 * it, and none more in any snapshot; that a place that is held can be renewed; and
 * that in the end all 3 are free, and can be had, and no fourth.
 *
 * Runs for half of UT_STRESS_SECONDS, and on until all of it has happened.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "leases.h"

#define SECONDS_TO_END 60
#define SECONDS_TO_SETTLE 30

/* ---- while it is running ---- */

static Figures
sum_of_figures(const Shared *shared)
{
	Figures		sum = {0};

	add_up(sum.of, shared->figures[0].of, CLIENTS, FIGURES);
	return sum;
}

/* Those who died have a successor; false if one came to another end than that. */
static bool
replace_dead(Shared *shared, pid_t *pids, bool go_on)
{
	bool		well = true;

	for (int i = 0; i < CLIENTS; i++)
	{
		int			status;

		if (pids[i] == 0 || waitpid(pids[i], &status, WNOHANG) == 0)
			continue;
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
			shared->figures[i].of[KILLED]++;
		else if (status != 0)
			well = false;
		stop_holding(shared, i);
		pids[i] = go_on ? start_child(run_client, shared, i) : 0;
	}
	return well;
}

static bool
watch_clients(Shared *shared, pid_t *pids, int64_t seconds, Snapshots *watch)
{
	PGconn	   *conn = must_connect("stress monitor");
	bool		well = true;

	for (;;)
	{
		int64_t		elapsed = now_ms() - shared->began_ms;
		Figures		sum = sum_of_figures(shared);

		if (elapsed > 10 * 1000 * seconds || (elapsed > 1000 * seconds && all_happened(sum.of, FIGURES)))
			break;
		well = replace_dead(shared, pids, true) && well;
		take_snapshot(conn, "SELECT * FROM leases.over", watch);
		usleep(20000);
	}
	shared->stop = true;
	PQfinish(conn);
	return well;
}

static int
await_clients(Shared *shared, pid_t *pids, bool *well)
{
	int			left = 0;

	for (int i = 0; i < 100 * SECONDS_TO_END; i++)
	{
		*well = replace_dead(shared, pids, false) && *well;
		left = 0;
		for (int k = 0; k < CLIENTS; k++)
			left += pids[k] != 0;
		if (left == 0)
			break;
		usleep(10000);
	}
	for (int k = 0; k < CLIENTS; k++)
		if (pids[k] != 0)
			kill(pids[k], SIGKILL);
	return left;
}

/* ---- afterwards ---- */

static void
check_clients(const Shared *shared, int stuck, bool well)
{
	int			faults = 0;

	ok(stuck == 0, "nobody was stuck");
	ok(well, "nobody crashed");
	for (int i = 0; i < CLIENTS; i++)
		if (shared->fault[i][0] != '\0' && faults++ < 5)
			printf("# client %d: %s\n", i, shared->fault[i]);
	ok(faults == 0, "every error was to be expected");
}

static void
check_figures(Shared *shared, const Snapshots *watch)
{
	static const char *const names[FIGURES] = {
		"held for a time", "held for a session", "refused", "renewed", "released", "left to expire", "rolled back",
		"connections cut", "servers terminated", "clients killed"
	};
	Figures		sum = sum_of_figures(shared);
	int			most = atomic_load(&shared->most);

	printf("# %ld snapshots", watch->snapshots);
	for (int k = 0; k < FIGURES; k++)
		printf(", %ld %s", sum.of[k], names[k]);
	printf("; at most %d at once\n", most);
	ok(all_happened(sum.of, FIGURES), "there was something of everything");
	if (shared->was_late)
		printf("# The machine stood still for so long that clients counted places that had expired.\n");
	ok(most == PLACES || (shared->was_late && most > PLACES), "there were %d holders at once, and never more", PLACES);
	report_snapshots(watch, "no snapshot showed more");
}

static void
check_rest(PGconn *conn)
{
	const char *acquire = "SELECT count(id) FROM (SELECT (usage.acquire_lease("
		"'00000000-0000-4000-8000-000000000001', 'renders')).id FROM generate_series(1, 4)) AS l";

	for (int i = 0; i < 10 * SECONDS_TO_SETTLE; i++)
	{
		if (value_of(conn, "SELECT count(*) FROM leases.left_behind") + value_of(conn, "SELECT count(*) FROM leases.held") == 0)
			break;
		usleep(100000);
	}
	none(conn, "leases.left_behind", "no connection is left behind");
	none(conn, "leases.held", "in the end no place is held");
	ok(value_of(conn, acquire) == PLACES, "all %d can be had, and no other", PLACES);
	none(conn, "usage.reconcile_usage()", "counters are equal to events");
}

int
main(void)
{
	Shared	   *shared = shared_memory(sizeof(Shared));
	const char *seconds_given = setting("UT_STRESS_SECONDS");
	int64_t		seconds = seconds_given != NULL ? (atoll(seconds_given) + 1) / 2 : 4;
	pid_t		pids[CLIENTS];
	Snapshots		watch = {0};
	PGconn	   *conn;
	bool		well;
	int			stuck;

	shared->seed = choose_seed();
	shared->began_ms = now_ms();
	shared->parent = getpid();
	printf("# leases: UT_STRESS_SEED=%llu\n", (unsigned long long) shared->seed);
	for (int i = 0; i < CLIENTS; i++)
		pids[i] = start_child(run_client, shared, i);
	well = watch_clients(shared, pids, seconds, &watch);
	stuck = await_clients(shared, pids, &well);

	conn = must_connect("stress verdict");
	check_clients(shared, stuck, well);
	check_figures(shared, &watch);
	check_rest(conn);
	PQfinish(conn);
	return finish_tests(shared->seed) ? 0 : 1;
}
