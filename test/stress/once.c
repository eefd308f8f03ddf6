/*
 * once.c -- promise 3 of the design, "exactly once", under fire.
 *
 * UT_ONCE_EVENTS (3000) events, each under a key of its own, are each sent three
 * times, in random order, by 32 clients: track_usage() and consume_usage() one by
 * one, and batches.  One of the three attempts is to fail: the connection is cut,
 * the server terminated, the statement cancelled, the transaction rolled back or
 * cut at its COMMIT.  Between them the same keys come with other content, and keys
 * that were refused or rolled back come again.
 *
 * It proves that each event is recorded once, as it was sent; that every attempt
 * got the same answer, all but the first one as a replay; that a key with other
 * content is an error, in a batch as well, and changes nothing; and that a key
 * whose use was refused or rolled back is free.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "once.h"

#define SECONDS_TO_END 3600
#define SECONDS_TO_SETTLE 30

/* ---- what is sent, and in which order: as the seed says ---- */

Thing
thing_number(const Shared *shared, int i)
{
	uint64_t	random = mix(shared->seed, i);
	Thing		thing = {
		.is_tracked = random % 10 < 6,
		.user = random / 16 % 10 == 0 ? 0 : random / 256 % USERS,
		.usage_type = random / 65536 % 10 < 7 ? "unit" : "extra",
		.quantity = 1 + (random >> 20) % 9,
		.tokens = (random >> 24) % 50
	};

	thing.has_time = thing.is_tracked && (random >> 32) % 4 == 0;
	thing.time = shared->base_time - 3600 * (int64_t) ((random >> 34) % (30 * 24));
	snprintf(thing.request, sizeof(thing.request), "e-%d", i);
	return thing;
}

/* One attempt of each thing. */
bool
is_to_be_killed(const Shared *shared, int attempt)
{
	return attempt % ATTEMPTS == (int) (mix(~shared->seed, attempt / ATTEMPTS) % ATTEMPTS);
}

/*
 * A permutation of all attempts: rounds of a Feistel network over a domain that is
 * a little larger, walked until it is met again.
 */
int
attempt_number(const Shared *shared, int i)
{
	int			bits = 1;
	uint32_t	value = i;

	while ((INT64_C(1) << (2 * bits)) < (int64_t) shared->nthings * ATTEMPTS)
		bits++;
	do
	{
		uint32_t	mask = (1u << bits) - 1;
		uint32_t	left = value >> bits;
		uint32_t	right = value & mask;

		for (int round = 0; round < 4; round++)
		{
			uint32_t	next = left ^ (mix(shared->seed + round, right) & mask);

			left = right;
			right = next;
		}
		value = left << bits | right;
	} while (value >= (uint32_t) shared->nthings * ATTEMPTS);
	return value;
}

/* ---- afterwards ---- */

static void
copy_line(PGconn *conn, const char *line)
{
	PQputCopyData(conn, line, strlen(line));
}

static void
end_copy(PGconn *conn)
{
	PGresult   *result;

	PQputCopyEnd(conn, NULL);
	result = PQgetResult(conn);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
	{
		printf("Bail out! %s", PQerrorMessage(conn));
		exit(1);
	}
	PQclear(result);
	while (PQgetResult(conn) != NULL)
		;
}

static void
hand_in(PGconn *conn, const Shared *shared)
{
	char		line[300];

	PQclear(PQexec(conn, "COPY once.sent FROM STDIN"));
	for (int i = 0; i < shared->nthings; i++)
	{
		Thing		thing = thing_number(shared, i);
		time_t		time = thing.time;
		char		when[40] = "\\N";

		if (thing.has_time)
			strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S+00", gmtime(&time));
		snprintf(line, sizeof(line), "%s\t" USER_ID_FORMAT "\t%s\t%d\t%d\t%s\n", thing.request, thing.user,
				 thing.usage_type, thing.quantity, thing.tokens, when);
		copy_line(conn, line);
	}
	end_copy(conn);
	PQclear(PQexec(conn, "COPY once.answers FROM STDIN"));
	for (int i = 0; i < shared->nthings * ATTEMPTS; i++)
		if (shared->answers[i].is_there)
		{
			snprintf(line, sizeof(line), "e-%d\t%lld\n", i / ATTEMPTS, (long long) shared->answers[i].id);
			copy_line(conn, line);
		}
	end_copy(conn);
	must(conn, "ANALYZE");
}

/* All answers to one thing name the same event and the same figures; one is the first. */
static bool
same_answers(const Answer *answers)
{
	const Answer *first = NULL;
	int			fresh = 0;

	for (int i = 0; i < ATTEMPTS; i++)
	{
		if (!answers[i].is_there)
			continue;
		fresh += !answers[i].is_replayed;
		if (first == NULL)
			first = &answers[i];
		if (answers[i].id != first->id || answers[i].used != first->used)
			return false;
	}
	return fresh <= 1;
}

static void
check_answers(const Shared *shared)
{
	long		answered = 0;
	long		differ = 0;

	for (int i = 0; i < shared->nthings; i++)
	{
		const Answer *answers = &shared->answers[i * ATTEMPTS];

		for (int k = 0; k < ATTEMPTS; k++)
			answered += answers[k].is_there;
		if (!same_answers(answers) && differ++ < 3)
			for (int k = 0; k < ATTEMPTS; k++)
				printf("# event %d, attempt %d: there %d, replayed %d, id %lld, used %lld\n", i, k, answers[k].is_there,
					   answers[k].is_replayed, (long long) answers[k].id, (long long) answers[k].used);
	}
	ok(answered > 0 && differ == 0, "%ld answers: the first one, and replays of it", answered);
}

static void
check_figures(const Shared *shared)
{
	static const char *const names[FIGURES] = {
		"calls", "in batches", "batches", "rolled back", "cut", "terminated", "cancelled", "cut at COMMIT",
		"of these answered all the same", "replayed", "refused as something else", "decided anew"
	};
	Figures		sum = {0};
	bool		all = true;

	for (int i = 0; i < CLIENTS; i++)
		for (int k = 0; k < FIGURES; k++)
			sum.of[k] += shared->figures[i].of[k];
	printf("# attempts:");
	for (int k = 0; k < FIGURES; k++)
	{
		printf("%s %ld %s", k > 0 ? "," : "", sum.of[k], names[k]);
		all = all && sum.of[k] > 0;
	}
	printf("\n");
	ok(all, "there was something of everything");
	ok(sum.of[CALLED] + sum.of[IN_BATCHES] == 2 * shared->nthings, "two attempts of each were let live");
	ok(sum.of[ROLLED_BACK] + sum.of[CUT] + sum.of[TERMINATED] + sum.of[CANCELLED] + sum.of[CUT_AT_COMMIT] == shared->nthings,
	   "one of each was not");
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
	ok(faults == 0, "every answer was to be expected");
}

/* Servers of connections we cut may still be at work. */
static void
await_servers(PGconn *conn)
{
	for (int i = 0; i < 10 * SECONDS_TO_SETTLE; i++)
	{
		if (value_of(conn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
					 " AND backend_type = 'client backend' AND pid <> pg_backend_pid()") == 0)
			return;
		usleep(100000);
	}
}

static void
check_records(PGconn *conn, const Shared *shared)
{
	ok(value_of(conn, "SELECT count(*) FROM once.recorded") == shared->nthings, "%d events are recorded", shared->nthings);
	none(conn, "once.missing", "each event is recorded as it was sent");
	none(conn, "once.doubled", "none is recorded twice");
	none(conn, "once.misanswered", "what was answered is what is recorded");
	none(conn, "once.wrong_keys", "each has its key");
	none(conn, "once.miscounted", "users are told what was sent");
	none(conn, "once.keys_of_nothing", "nothing that was refused or rolled back left a key");
	none(conn, "usage.reconcile_usage()", "counters are equal to events");
}

int
main(void)
{
	const char *events_given = setting("UT_ONCE_EVENTS");
	int			nthings = events_given != NULL ? atoi(events_given) : 3000;
	Shared	   *shared;
	pid_t		pids[CLIENTS];
	Ending		ending = {0};
	PGconn	   *conn;
	int64_t		began = now_ms();

	if (nthings <= 0 || nthings > 100000000)
	{
		fprintf(stderr, "once: UT_ONCE_EVENTS is not a positive number\n");
		return 2;
	}
	shared = shared_memory(sizeof(Shared) + (size_t) nthings * ATTEMPTS * sizeof(Answer));
	shared->seed = choose_seed();
	shared->base_time = time(NULL);
	shared->parent = getpid();
	shared->nthings = nthings;
	printf("# once: UT_STRESS_SEED=%llu UT_ONCE_EVENTS=%d\n", (unsigned long long) shared->seed, nthings);
	for (int i = 0; i < CLIENTS; i++)
		pids[i] = start_child(run_client, shared, i);
	await_children(pids, CLIENTS, SECONDS_TO_END, &ending);
	printf("# sent in %lld s\n", (long long) (now_ms() - began) / 1000);

	conn = must_connect("stress verdict");
	must(conn, "SET statement_timeout = 0");
	check_clients(shared, &ending);
	check_figures(shared);
	check_answers(shared);
	await_servers(conn);
	hand_in(conn, shared);
	check_records(conn, shared);
	PQfinish(conn);
	return finish_tests(shared->seed) ? 0 : 1;
}
