/*
 * reserve.c -- promise 4 of the design, "holds cannot leak", under fire.
 *
 * 64 clients reserve, and die: their connections are cut, their processes killed,
 * their servers terminated, before COMMIT, after it, and between the two.  Others
 * commit what they reserved, in time or, for some users, after its expiry; others
 * release it or use something at once.  Now and then all come at once to the same
 * user.  No maintenance runs.
 *
 * It proves that at any moment uses and live reservations together are within
 * every hard limit; that a reservation is recorded once or not at all; and that
 * what the dead had reserved can be used, to the last unit and no further, when
 * it has expired: what expires soon when its time has come, the rest when the
 * clock is put ahead.
 *
 * Runs for half of UT_STRESS_SECONDS, and on until all of it has happened.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reserve.h"

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
		pids[i] = go_on ? start_child(run_client, shared, i) : 0;
	}
	return well;
}

static bool
watch_clients(Shared *shared, pid_t *pids, int64_t seconds, Snapshots *watch)
{
	PGconn	   *conn = must_connect("stress monitor");
	bool		well = true;

	for (uint64_t round = 0;; round++)
	{
		int64_t		elapsed = now_ms() - shared->began_ms;
		Figures		sum = sum_of_figures(shared);

		if (elapsed > 10 * 1000 * seconds || (elapsed > 1000 * seconds && all_happened(sum.of, FIGURES)))
			break;
		well = replace_dead(shared, pids, true) && well;
		if (round % 4 == 0)
			kill(pids[mix(shared->seed, round) % CLIENTS], SIGKILL);
		if (round % 8 == 0)
			take_snapshot(conn, "SELECT * FROM reserve.over LIMIT 3", watch);
		usleep(10000);
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
hand_in(PGconn *conn, const Shared *shared)
{
	PQclear(PQexec(conn, "COPY reserve.log FROM STDIN"));
	for (int i = 0; i < CLIENTS; i++)
		for (int k = 0; k < shared->ndeeds[i]; k++)
		{
			const Deed *deed = &shared->deeds[i][k];
			char		line[200];
			int			length = snprintf(line, sizeof(line), "%d-%d\t" USER_ID_FORMAT "\t%d\t%s\n",
										  i, k, deed->user, deed->quantity, deed->fate == WAS_ANSWERED ? "t" : "f");

			if (deed->fate != WAS_REFUSED)
				PQputCopyData(conn, line, length);
		}
	PQputCopyEnd(conn, NULL);
	while (PQgetResult(conn) != NULL)
		;
}

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
check_figures(const Shared *shared, const Snapshots *watch)
{
	static const char *const names[FIGURES] = {
		"reserved", "refused because it is held", "refused because it is used", "expired", "committed", "committed late",
		"released", "used at once", "rolled back", "connections cut", "servers terminated", "clients killed"
	};
	Figures		sum = sum_of_figures(shared);

	printf("# %ld snapshots", watch->snapshots);
	for (int k = 0; k < FIGURES; k++)
		printf(", %ld %s", sum.of[k], names[k]);
	printf("\n");
	ok(all_happened(sum.of, FIGURES), "there was something of everything");
	report_snapshots(watch, "no snapshot showed more used and reserved than a limit has");
}

static bool
is_allowed(PGconn *conn, int user, char *reason)
{
	char		sql[200];
	PGresult   *result;
	bool		allowed;

	snprintf(sql, sizeof(sql), "SELECT allowed, reason FROM usage.consume_usage('" USER_ID_FORMAT "', 'unit')", user);
	result = must_get(conn, sql);
	allowed = PQgetvalue(result, 0, 0)[0] == 't';
	snprintf(reason, 64, "%s", PQgetvalue(result, 0, 1));
	PQclear(result);
	return allowed;
}

/* Each user uses all that should be free, one by one, and is refused one more. */
static bool
fill_up(PGconn *conn)
{
	PGresult   *users = must_get(conn, "SELECT no, least(max_units - units - held_units, max_calls - calls - held_calls),"
								 " held_units > 0 FROM reserve.recorded AS r CROSS JOIN LATERAL ("
								 " SELECT coalesce(sum(quantity), 0) AS held_units, count(*) AS held_calls"
								 " FROM usage.usage_reservations AS v WHERE v.user_id = r.user_id AND v.state = 'held'"
								 " AND v.expires_at > usage._usage_now()) AS h"
								 " WHERE no < 100 OR calls + held_calls > 0");
	bool		exact = true;

	for (int i = 0; i < PQntuples(users); i++)
	{
		int			user = atoi(PQgetvalue(users, i, 0));
		long		left = atol(PQgetvalue(users, i, 1));
		bool		is_held = PQgetvalue(users, i, 2)[0] == 't';
		char		reason[64] = "";
		long		used = 0;

		left = left < 0 ? 0 : left;
		while (used <= left && is_allowed(conn, user, reason))
			used++;
		if (used == left && (strcmp(reason, "limit_reached") == 0 || (is_held && strcmp(reason, "held") == 0)))
			continue;
		exact = false;
		printf("# user %d had room for %ld, and could use %ld; then %s\n", user, left, used, reason);
	}
	PQclear(users);
	return exact;
}

/* Until what was reserved for a short time has expired. */
static void
await_expiry(PGconn *conn)
{
	while (value_of(conn, "SELECT count(*) FROM usage.usage_reservations WHERE state = 'held'"
					" AND expires_at > clock_timestamp() AND expires_at - occurred_at < '1 minute'") > 0)
		usleep(100000);
}

static void
check_rest(PGconn *conn)
{
	for (int i = 0; i < 10 * SECONDS_TO_SETTLE; i++)
	{
		if (value_of(conn, "SELECT count(*) FROM reserve.left_behind") == 0)
			break;
		usleep(100000);
	}
	none(conn, "reserve.left_behind", "no lock and no connection is left behind");
	none(conn, "reserve.lost", "everything of which the commit was answered is recorded");
	none(conn, "reserve.unexplained", "nothing else is");
	none(conn, "reserve.miscommitted", "a committed reservation is one event, and no other is one");
	none(conn, "reserve.badly_marked", "marks of overage add up to what was recorded beyond the limit");
	none(conn, "usage.reconcile_usage()", "counters are equal to events");

	await_expiry(conn);
	ok(fill_up(conn), "what had expired can be used to the last unit, and what had not cannot");
	none(conn, "reserve.over", "nobody is over a limit");
	must(conn, "SELECT set_config('usage_tracking.clock', (clock_timestamp() + '1 hour')::text, false)");
	ok(fill_up(conn), "an hour later everything can be used to the last unit");
	ok(value_of(conn, "SELECT count(*) FROM usage.user_usage WHERE held <> 0") == 0, "and nothing is held");
	none(conn, "reserve.badly_marked", "marks of overage still add up");
	none(conn, "usage.reconcile_usage()", "still counters are equal to events");
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
	printf("# reserve: UT_STRESS_SEED=%llu\n", (unsigned long long) shared->seed);
	for (int i = 0; i < CLIENTS; i++)
		pids[i] = start_child(run_client, shared, i);
	well = watch_clients(shared, pids, seconds, &watch);
	stuck = await_clients(shared, pids, &well);

	conn = must_connect("stress verdict");
	check_clients(shared, stuck, well);
	check_figures(shared, &watch);
	hand_in(conn, shared);
	check_rest(conn);
	PQfinish(conn);
	return finish_tests(shared->seed) ? 0 : 1;
}
