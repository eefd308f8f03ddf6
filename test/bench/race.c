/*
 * race.c -- runs prepared statements by turns and says how fast each was.
 *
 *   race [-c clients] [-k keys] [-r rounds] [-s seconds] file.sql ...
 *
 * Each file is a side of the race.  It holds a statement, or several steps with
 * lines "--;" between them, that run one after the other on one connection; $1
 * is a user id, chosen at random out of so many keys.  A step may be COPY ...
 * FROM STDIN of the input, or after a line "-- redis" a script that Redis, whose
 * socket RACE_REDIS names, runs with the key rate:USER.  Lines at the head may be
 *   -- calls: N        one execution stands for N calls
 *   -- input: QUERY    $1 comes from the rows of this query, in turns
 *   -- database: NAME  another one than the race's
 *
 * Every client keeps one connection to a database for all sides.  After a
 * warm-up the sides take turns for so many seconds each, one side at a time, and
 * each round begins with another side, so that whatever else the machine does
 * hits all of them alike.  pgbench cannot say that: it connects anew for each
 * turn, and has no values of type uuid.
 *
 * Prints, separated by tabs,
 *   turn     side  calls per second  WAL bytes per call  bytes the database
 *                  grew by per call                          for each turn
 *   latency  side  median  99th percentile                  in us, all turns
 */
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "race.h"

/* Of each side.  With many users it takes a while until sessions have seen them. */
#define WARM_UP_SECONDS (nkeys > 1 ? 2 : 0.3)
#define STEPS 32				/* of the histogram, to each doubling */
#define BUCKETS (40 * STEPS)

typedef struct Client
{
	pthread_t	thread;
	Link	   *links;			/* one for each side */
	unsigned	seed;
	long		executions;		/* in this turn */
	long	   *latencies;		/* histograms of all sides */
} Client;

static int	nclients = 1;
static int	nkeys = 10000;
static int	nrounds = 5;
static double seconds = 1;

static Side *sides;
static int	nsides;
static Client *clients;

/* The turn that is on, set by the main thread between two barriers. */
static pthread_barrier_t barrier;
static int	turn_side;			/* -1: the race is over */
static double turn_ends;
static bool turn_counts;

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec * 1e-9;
}

/* ---- histograms of microseconds, 3 % wide ---- */

static int
bucket_of(double us)
{
	int			doubling = 0;

	while (us >= 2 && doubling < BUCKETS / STEPS - 1)
	{
		us /= 2;
		doubling++;
	}
	return doubling * STEPS + (us < 1 ? 0 : us >= 2 ? STEPS - 1 : (int) ((us - 1) * STEPS));
}

static double
middle_of(int bucket)
{
	double		us = 1 + (bucket % STEPS + 0.5) / STEPS;

	for (int i = 0; i < bucket / STEPS; i++)
		us *= 2;
	return us;
}

static double
percentile(int side, double share)
{
	long		all = 0;
	long		below = 0;

	for (int c = 0; c < nclients; c++)
		for (int b = 0; b < BUCKETS; b++)
			all += clients[c].latencies[side * BUCKETS + b];
	for (int b = 0; b < BUCKETS; b++)
	{
		for (int c = 0; c < nclients; c++)
			below += clients[c].latencies[side * BUCKETS + b];
		if (below >= all * share)
			return middle_of(b);
	}
	return 0;
}

/* ---- clients ---- */

static void
execute(Client *client, int side)
{
	char		user_id[40];

	snprintf(user_id, sizeof(user_id), "00000000-0000-0000-0000-%012d", rand_r(&client->seed) % nkeys + 1);
	run_side(&client->links[side], user_id);
}

static void
take_turn(Client *client)
{
	double		begin = now();

	client->executions = 0;
	while (begin < turn_ends)
	{
		double		end;

		execute(client, turn_side);
		end = now();
		client->executions++;
		if (turn_counts)
			client->latencies[turn_side * BUCKETS +
							  bucket_of((end - begin) * 1e6 / sides[turn_side].calls)]++;
		begin = end;
	}
}

static void *
client_main(void *arg)
{
	Client	   *client = arg;

	for (;;)
	{
		pthread_barrier_wait(&barrier);
		if (turn_side < 0)
			return NULL;
		take_turn(client);
		pthread_barrier_wait(&barrier);
	}
}

/* A connection serves all sides of its database. */
static PGconn *
connection_for(const Client *client, int side)
{
	const char *database = sides[side].database;

	for (int s = 0; s < side; s++)
	{
		const char *other = sides[s].database;

		if (database == NULL ? other == NULL : other != NULL && strcmp(database, other) == 0)
			return client->links[s].conn;
	}
	return connect_to_server(database);
}

static void
start_client(Client *client, int number)
{
	client->seed = 1 + number;
	client->latencies = calloc(nsides * BUCKETS, sizeof(long));
	client->links = calloc(nsides, sizeof(Link));
	for (int s = 0; s < nsides; s++)
	{
		client->links[s] = (Link) {.side = &sides[s], .conn = connection_for(client, s)};
		prepare_side(&client->links[s]);
	}
	if (pthread_create(&client->thread, NULL, client_main, client) != 0)
		die("cannot start a thread", "pthread_create");
}

static void
end_client(Client *client)
{
	pthread_join(client->thread, NULL);
	for (int s = 0; s < nsides; s++)
	{
		bool		is_last = true;

		for (int other = s + 1; other < nsides; other++)
			is_last &= client->links[other].conn != client->links[s].conn;
		if (client->links[s].redis != NULL)
			redis_close(client->links[s].redis);
		if (is_last)
			PQfinish(client->links[s].conn);
	}
}

/* ---- the race ---- */

/* measure reads the position in WAL and the size of the race's database. */
static void
measure(PGconn *conn, double *wal, double *size)
{
	PGresult   *result = PQexec(conn, "SELECT pg_current_wal_insert_lsn() - '0/0', pg_database_size(current_database())");

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		die("cannot measure", PQerrorMessage(conn));
	*wal = strtod(PQgetvalue(result, 0, 0), NULL);
	*size = strtod(PQgetvalue(result, 0, 1), NULL);
	PQclear(result);
}

static void
run_turn(PGconn *conn, int side, double length, bool counts)
{
	double		wal[2];
	double		size[2];
	double		begin;
	double		took;
	double		calls = 0;

	measure(conn, &wal[0], &size[0]);
	begin = now();
	turn_side = side;
	turn_ends = begin + length;
	turn_counts = counts;
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	took = now() - begin;
	measure(conn, &wal[1], &size[1]);
	for (int c = 0; c < nclients; c++)
		calls += (double) clients[c].executions * sides[side].calls;
	if (counts)
		printf("turn\t%s\t%.1f\t%.1f\t%.1f\n", sides[side].name, calls / took, (wal[1] - wal[0]) / calls,
			   (size[1] - size[0]) / calls);
}

static void
run_race(void)
{
	PGconn	   *conn = connect_to_server(NULL);

	for (int s = 0; s < nsides; s++)
		run_turn(conn, s, WARM_UP_SECONDS, false);
	for (int r = 0; r < nrounds; r++)
		for (int i = 0; i < nsides; i++)
			run_turn(conn, (r + i) % nsides, seconds, true);
	turn_side = -1;
	pthread_barrier_wait(&barrier);
	PQfinish(conn);
}

int
main(int argc, char **argv)
{
	int			option;

	while ((option = getopt(argc, argv, "c:k:r:s:")) != -1)
	{
		if (option == 'c')
			nclients = atoi(optarg);
		else if (option == 'k')
			nkeys = atoi(optarg);
		else if (option == 'r')
			nrounds = atoi(optarg);
		else if (option == 's')
			seconds = atof(optarg);
		else
			return 2;
	}
	nsides = argc - optind;
	if (nclients < 1 || nkeys < 1 || nrounds < 1 || seconds <= 0 || nsides < 1)
		die("usage", "race [-c clients] [-k keys] [-r rounds] [-s seconds] file.sql ...");
	sides = calloc(nsides, sizeof(Side));
	for (int s = 0; s < nsides; s++)
		read_side(&sides[s], argv[optind + s]);

	clients = calloc(nclients, sizeof(Client));
	pthread_barrier_init(&barrier, NULL, nclients + 1);
	for (int c = 0; c < nclients; c++)
		start_client(&clients[c], c);
	run_race();
	for (int s = 0; s < nsides; s++)
		printf("latency\t%s\t%.0f\t%.0f\n", sides[s].name, percentile(s, 0.50), percentile(s, 0.99));
	for (int c = 0; c < nclients; c++)
		end_client(&clients[c]);
	return 0;
}
