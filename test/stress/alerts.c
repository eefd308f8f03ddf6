/*
 * alerts.c -- "exactly one alert each, none missing", under fire.
 *
 * 32 clients use up what many users may of several limits at once, today and on
 * the day before, and on a clock by which a day takes a second: alone and
 * together, in savepoints that are undone, in transactions that are rolled back or
 * whose connection is cut.  Now and then all come at once to the same user.
 *
 * It proves that every user who ends a window at or above 80 or 100 percent of a
 * limit has exactly one alert about each, and nobody below has one, unless his
 * usage was taken back.
 *
 * Runs for half of UT_STRESS_SECONDS, and on until all of it has happened.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "alerts.h"

#define SECONDS_TO_END 60
#define DAY_MS 1000

static Figures
sum_of_figures(const Shared *shared)
{
	Figures		sum = {0};

	add_up(sum.of, shared->figures[0].of, CLIENTS, FIGURES);
	return sum;
}

static void
watch_clients(Shared *shared, int64_t seconds)
{
	for (;;)
	{
		int64_t		elapsed = now_ms() - shared->began_ms;
		Figures		sum = sum_of_figures(shared);

		if (elapsed > 10 * 1000 * seconds || (elapsed > 1000 * seconds && all_happened(sum.of, TOO_LATE)))
			break;
		usleep(DAY_MS * 1000);
		shared->day++;
	}
	shared->stop = true;
}

static void
check_clients(const Shared *shared, const Ending *ending)
{
	int			faults = 0;

	ok(ending->stuck == 0, "nobody was stuck");
	ok(ending->crashed == 0, "nobody crashed");
	for (int i = 0; i < CLIENTS; i++)
		if (shared->fault[i][0] != '\0' && faults++ < 5)
			printf("# client %d: %s\n", i, shared->fault[i]);
	ok(faults == 0, "every error was to be expected");
}

static void
check_figures(const Shared *shared)
{
	static const char *const names[FIGURES] = {
		"uses", "transactions", "rolled back", "savepoints undone", "connections cut", "taken back",
		"in a rush", "too late", "deadlocks"
	};
	Figures		sum = sum_of_figures(shared);

	printf("# ");
	for (int k = 0; k < FIGURES; k++)
		printf("%s%ld %s", k > 0 ? ", " : "", sum.of[k], names[k]);
	printf("\n");
	ok(all_happened(sum.of, TOO_LATE), "there was something of everything");
}

static void
check_alerts(PGconn *conn)
{
	printf("# %ld windows, %ld at 80 percent and %ld at 100, %ld alerts\n",
		   value_of(conn, "SELECT count(*) FROM alerts.reached WHERE threshold = 80"),
		   value_of(conn, "SELECT count(*) FROM alerts.reached WHERE threshold = 80 AND is_reached"),
		   value_of(conn, "SELECT count(*) FROM alerts.reached WHERE threshold = 100 AND is_reached"),
		   value_of(conn, "SELECT count(*) FROM usage.usage_alerts"));
	ok(value_of(conn, "SELECT count(*) FROM alerts.reached WHERE is_reached AND threshold = 100") > 0 &&
	   value_of(conn, "SELECT count(*) FROM alerts.reached WHERE NOT is_reached") > 0,
	   "some reached it and some did not");
	none(conn, "alerts.missing", "who reached a part of a limit has an alert");
	none(conn, "alerts.doubled", "and one only");
	none(conn, "alerts.unfounded", "who did not has none");
	none(conn, "alerts.inexact", "each says what was used when it was reached");
	none(conn, "usage.reconcile_usage()", "counters are equal to events");
}

int
main(void)
{
	Shared	   *shared = shared_memory(sizeof(Shared));
	const char *seconds_given = setting("UT_STRESS_SECONDS");
	int64_t		seconds = seconds_given != NULL ? (atoll(seconds_given) + 1) / 2 : 4;
	pid_t		pids[CLIENTS];
	Ending		ending = {0};
	PGconn	   *conn;

	shared->seed = choose_seed();
	shared->began_ms = now_ms();
	printf("# alerts: UT_STRESS_SEED=%llu\n", (unsigned long long) shared->seed);
	for (int i = 0; i < CLIENTS; i++)
		pids[i] = start_child(run_client, shared, i);
	watch_clients(shared, seconds);
	await_children(pids, CLIENTS, SECONDS_TO_END, &ending);

	conn = must_connect("stress verdict");
	check_clients(shared, &ending);
	check_figures(shared);
	check_alerts(conn);
	PQfinish(conn);
	return finish_tests(shared->seed) ? 0 : 1;
}
