/*
 * runs.c -- 64 clients start long work where there is one place left.
 *
 * In each round all come at once to a user who has used 49 of 50 runs.  In one
 * kind of round they start and do no more; in another, whoever started is cut off
 * or killed; in the third some die before they commit, and others renew, fail,
 * cancel or end well whatever run is under way, their own or not.  No maintenance
 * runs.
 *
 * It proves that of 64 starts one succeeds; that a place that the dead had is
 * free when their run expires, and not before; and that a run ends once.
 *
 * Runs for a quarter of UT_STRESS_SECONDS, and on until all of it has happened.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runs.h"

#define SECONDS_A_ROUND 60

typedef struct Verdict
{
	int			rounds;
	int			not_one;		/* rounds in which not exactly one started */
	int			leaked;			/* or in which its place came free too early, or never */
	long		over;
	bool		crashed;
	bool		stuck;
} Verdict;

/* ---- the clients ---- */

/* Those who died have a successor, who comes to the next round. */
static void
replace_dead(Shared *shared, pid_t *pids, Verdict *verdict)
{
	for (int i = 0; i < CLIENTS; i++)
	{
		int			status;

		if (waitpid(pids[i], &status, WNOHANG) == 0)
			continue;
		verdict->crashed = verdict->crashed || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL;
		shared->done[i] = shared->round;
		pids[i] = start_child(run_client, shared, i);
	}
}

static bool
all_are_done(const Shared *shared)
{
	for (int i = 0; i < CLIENTS; i++)
		if (shared->done[i] < shared->round)
			return false;
	return true;
}

static void
look(PGconn *conn, Verdict *verdict)
{
	verdict->over += value_of(conn, "SELECT count(*) FROM runs.over");
}

static void
play_round(Shared *shared, pid_t *pids, PGconn *conn, Verdict *verdict)
{
	int64_t		deadline = now_ms() + 1000 * SECONDS_A_ROUND;

	shared->round++;
	while (!all_are_done(shared) && !verdict->stuck)
	{
		replace_dead(shared, pids, verdict);
		look(conn, verdict);
		verdict->stuck = now_ms() > deadline;
		usleep(1000);
	}
	verdict->rounds++;
}

/* ---- after a round ---- */

static long
value_about(PGconn *conn, const char *format, int user)
{
	char		sql[500];

	snprintf(sql, sizeof(sql), format, user);
	return value_of(conn, sql);
}

/* Whether a run could start so long before or after the expiry of the one there is. */
static bool
is_free(PGconn *conn, int user, const char *offset)
{
	char		sql[300];
	bool		is_free;

	must(conn, "BEGIN");
	snprintf(sql, sizeof(sql), "SELECT set_config('usage_tracking.clock', (expires_at + interval '%s')::text, true)"
			 " FROM runs.of(%d)", offset, user);
	must(conn, sql);
	is_free = value_about(conn, "SELECT (usage.start_run(runs.user_id(%d))).allowed::integer", user) == 1;
	must(conn, "ROLLBACK");
	return is_free;
}

static void
judge_round(const Shared *shared, PGconn *conn, Verdict *verdict)
{
	int			user = FIRST_USER + shared->round;

	if (shared->round % ROUNDS == ANYTHING)
		return;
	if (value_about(conn, "SELECT count(*) FROM runs.of(%d)", user) != 1)
		verdict->not_one++;
	else if (is_free(conn, user, "-1 microsecond") || !is_free(conn, user, "0"))
		verdict->leaked++;
}

/* ---- the verdict ---- */

static Figures
sum_of_figures(const Shared *shared)
{
	Figures		sum = {0};

	add_up(sum.of, shared->figures[0].of, CLIENTS, FIGURES);
	return sum;
}

static bool
had_everything(const Shared *shared)
{
	Figures		sum = sum_of_figures(shared);

	return all_happened(sum.of, FIGURES) && shared->round >= 2 * ROUNDS;
}

static void
check_clients(const Shared *shared, const Verdict *verdict, const Ending *ending)
{
	int			faults = 0;

	ok(!verdict->stuck && ending->stuck == 0, "nobody was stuck");
	ok(!verdict->crashed && ending->crashed == 0, "nobody crashed");
	for (int i = 0; i < CLIENTS; i++)
		if (shared->fault[i][0] != '\0' && faults++ < 5)
			printf("# client %d: %s\n", i, shared->fault[i]);
	ok(faults == 0, "every error was to be expected");
}

static void
check_rounds(const Shared *shared, const Verdict *verdict)
{
	static const char *const names[FIGURES] = {
		"started", "refused", "dead before COMMIT", "dead after it", "renewed", "ended well", "failed", "cancelled",
		"moves refused"
	};
	Figures		sum = sum_of_figures(shared);

	printf("# %d rounds", verdict->rounds);
	for (int k = 0; k < FIGURES; k++)
		printf(", %ld %s", sum.of[k], names[k]);
	printf("\n");
	ok(had_everything(shared), "there was something of everything");
	ok(verdict->not_one == 0, "of %d starts at 49 of 50 one succeeds", CLIENTS);
	ok(verdict->leaked == 0, "its place is free when it has expired, and not before");
	ok(verdict->over == 0, "no snapshot showed more than 50 used and running");
}

static void
check_rest(PGconn *conn)
{
	none(conn, "runs.badly_ended", "a run that is over is one event, and no other is one");
	none(conn, "runs.miscounted", "what the limit says is used is what succeeded and what still runs");
	none(conn, "usage.reconcile_usage()", "counters are equal to events");
	must(conn, "SELECT set_config('usage_tracking.clock', (clock_timestamp() + '1 hour')::text, false)");
	none(conn, "runs.unusable", "an hour later there is room again for whatever did not succeed");
}

int
main(void)
{
	Shared	   *shared = shared_memory(sizeof(Shared));
	const char *seconds_given = setting("UT_STRESS_SECONDS");
	int64_t		seconds = seconds_given != NULL ? (atoll(seconds_given) + 3) / 4 : 2;
	int64_t		began = now_ms();
	pid_t		pids[CLIENTS];
	Verdict		verdict = {0};
	Ending		ending = {0};
	PGconn	   *conn = must_connect("stress monitor");

	shared->seed = choose_seed();
	shared->parent = getpid();
	printf("# runs: UT_STRESS_SEED=%llu\n", (unsigned long long) shared->seed);
	for (int i = 0; i < CLIENTS; i++)
		pids[i] = start_child(run_client, shared, i);
	while (!verdict.stuck && shared->round < USERS - 1 &&
		   (now_ms() < began + 1000 * seconds || !had_everything(shared)) && now_ms() < began + 60 * 1000 * seconds)
	{
		play_round(shared, pids, conn, &verdict);
		judge_round(shared, conn, &verdict);
	}
	replace_dead(shared, pids, &verdict);
	shared->stop = true;
	await_children(pids, CLIENTS, SECONDS_A_ROUND, &ending);

	check_clients(shared, &verdict, &ending);
	check_rounds(shared, &verdict);
	check_rest(conn);
	PQfinish(conn);
	return finish_tests(shared->seed) ? 0 : 1;
}
