/*
 * credits.c -- "never below zero", under fire.
 *
 * 32 clients spend one balance by spend_credits, consume_usage, and reservations
 * that are committed: alone and together, in savepoints that are undone, in
 * transactions that are rolled back or whose connection is cut, and under
 * references that are repeated until there is an answer.  They grant to another
 * user, spend his credits, refund the same transactions and take uses back.
 *
 * A monitor reads all the while that no balance is below zero.  At the end the one
 * balance is exactly zero, the next one is refused, what was spent is what was
 * meant, and the ledger adds up.
 *
 * Runs for half of UT_STRESS_SECONDS, and on until all of it has happened.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "credits.h"

#define SECONDS_TO_END 60
#define GRANT_EVERY_MS 200

static Figures
sum_of_figures(const Shared *shared)
{
	Figures		sum = {0};

	add_up(sum.of, shared->figures[0].of, CLIENTS, FIGURES);
	return sum;
}

static void
refill(PGconn *conn, int64_t number)
{
	char		sql[200];

	snprintf(sql, sizeof(sql), "SELECT usage.grant_credits('" USER_ID_FORMAT "', 40, reference_id => 'refill %lld')",
			 PURSE, (long long) number);
	must(conn, sql);
	must(conn, sql);			/* paid once */
}

/* How often something was wrong while it ran. */
static long
watch_clients(Shared *shared, PGconn *conn, int64_t seconds)
{
	long		wrong = 0;
	int64_t		granted = 0;

	for (;;)
	{
		int64_t		elapsed = now_ms() - shared->began_ms;
		Figures		sum = sum_of_figures(shared);

		if (elapsed > 10 * 1000 * seconds || (elapsed > 1000 * seconds && all_happened(sum.of, TOO_LATE)))
			break;
		if (elapsed / GRANT_EVERY_MS > granted)
			refill(conn, ++granted);
		wrong += value_of(conn, "SELECT count(*) FROM credits.below_zero");
		wrong += value_of(conn, "SELECT count(*) FROM usage._reconcile_credits()");
		usleep(20000);
	}
	shared->stop = true;
	return wrong;
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
		"spent", "consumed", "refused", "rolled back", "savepoints undone", "connections cut", "answers repeated",
		"granted", "refunded", "refunds refused", "taken back", "too late", "deadlocks"
	};
	Figures		sum = sum_of_figures(shared);

	printf("# ");
	for (int k = 0; k < FIGURES; k++)
		printf("%s%ld %s", k > 0 ? ", " : "", sum.of[k], names[k]);
	printf("\n");
	ok(all_happened(sum.of, TOO_LATE), "there was something of everything");
}

static void
check_credits(PGconn *conn)
{
	char		one_more[200];

	snprintf(one_more, sizeof(one_more), "SELECT allowed::int FROM usage.spend_credits('" USER_ID_FORMAT "', 0.000000001)", PURSE);
	none(conn, "credits.not_empty", "the purse is exactly empty");
	ok(value_of(conn, one_more) == 0, "and nothing more is given");
	none(conn, "credits.below_zero", "no balance is below zero");
	none(conn, "credits.overdrawn", "and none ever was");
	none(conn, "credits.miscounted", "what was spent is what was meant");
	none(conn, "credits.untrue", "every reference was charged once, or refused");
	none(conn, "credits.refunded_too_much", "no transaction was refunded twice");
	none(conn, "usage.reconcile_usage()", "grants and accounts are equal to the ledger");
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
	long		wrong;

	shared->seed = choose_seed();
	shared->began_ms = now_ms();
	printf("# credits: UT_STRESS_SEED=%llu\n", (unsigned long long) shared->seed);
	for (int i = 0; i < CLIENTS; i++)
		pids[i] = start_child(run_client, shared, i);
	conn = must_connect("stress verdict");
	wrong = watch_clients(shared, conn, seconds);
	await_children(pids, CLIENTS, SECONDS_TO_END, &ending);

	check_clients(shared, &ending);
	check_figures(shared);
	ok(wrong == 0, "whoever looked saw no balance below zero, and a ledger that adds up");
	check_credits(conn);
	PQfinish(conn);
	return finish_tests(shared->seed) ? 0 : 1;
}
