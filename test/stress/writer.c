/*
 * writer.c -- clients that live through crashes and write down what they were told.
 *
 *   writer DIRECTORY SEED
 *
 * WRITERS clients use things at random, each use with a row of the application
 * (crash.orders) in the same transaction, in a database that writer.sql has made
 * ready.  Whatever happens to the server or to their connections, they connect
 * again and go on.  Each writes DIRECTORY/N.log, a line for a use:
 *
 *   transaction  request  user  type  quantity  tokens  event  fate
 *
 * recorded: its COMMIT was answered.  unknown: its COMMIT was on its way when the
 * connection went away.  gone: asked again with the same key, it was refused, so
 * it had not been recorded.  A use without a line must not be in the database.
 *
 * Commands come on standard input, a line each, and each is answered by a line
 * that begins with "ok", or with "stuck" after a minute; the rest are figures.
 *
 *   go        the clients begin, or go on
 *   wait N    until N more uses are recorded
 *   pause     until no client has anything under way; the logs are complete
 *   end       the same, and they disconnect; so does the end of the input
 *
 * test/t/Writers.pm gives the commands and judges the outcome.
 */
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITERS 8
#define MOST_USES 3				/* in a transaction */
#define TRIES_PER_MINUTE 6000

/* As in writer.sql.  Each "go" has cold users of its own. */
#define HOT_USER 0
#define FIRST_FACT_USER 1
#define FACT_USERS 20
#define FIRST_COLD_USER 1000
#define COLD_USERS 40

#define USER_ID_FORMAT "00000000-0000-4000-8000-%012d"

typedef struct Figures
{
	atomic_long recorded;
	atomic_long unknown;
	atomic_long resolved;		/* unknown, and found out by the same key */
	atomic_long denied;
	atomic_long undone;
	atomic_long cancelled;
	atomic_long lost;			/* connections, by somebody else */
	atomic_long cut;			/* by ourselves */
	atomic_long jobs;
} Figures;

/* In memory shared by all processes. */
typedef struct Shared
{
	atomic_bool paused;
	atomic_bool ended;
	atomic_int	round;			/* how many "go" there were */
	atomic_bool idle[WRITERS];
	atomic_bool connected[WRITERS]; /* as it was when last idle */
	Figures		did;
	char		fault[WRITERS][300];	/* the first one of each */
} Shared;

/* How a thing is used: the call, which returns allowed, reason and id. */
typedef enum Way
{
	CONSUME,
	TRACK,
	WAYS
} Way;

#define WITH_ORDER(call) \
	"WITH used AS (" call ")," \
	" ordered AS (INSERT INTO crash.orders SELECT $6, id FROM used WHERE allowed ON CONFLICT DO NOTHING)" \
	" SELECT allowed, reason, id FROM used"

/* A further function that records goes here, and into use_at_random(). */
static const char *const calls[WAYS] = {
	[CONSUME] = WITH_ORDER("SELECT allowed, reason, id FROM"
						   " usage.consume_usage($1, $2, $3, $4, 0, $5, NULL, 'writer', $6)"),
	[TRACK] = WITH_ORDER("SELECT true AS allowed, 'ok' AS reason, usage.track_usage($1, $2, $3, $4,"
						 " idempotency_key => $5, resource_type => 'writer', resource_id => $6) AS id"),
};

typedef struct Use
{
	Way			way;
	int			user;
	const char *usage_type;
	int			quantity;
	int			tokens;
	bool		has_key;
	char		request[32];	/* the key as well, where there is one */
	char		event[24];		/* what the server called it */
} Use;

typedef enum Outcome
{
	DONE,
	REFUSED,					/* an error; the connection lives */
	GONE						/* the connection does not */
} Outcome;

typedef struct Client
{
	Shared	   *shared;
	int			number;
	unsigned short random[3];
	FILE	   *log;
	PGconn	   *conn;			/* NULL if there is none */
	long		requests;
	long		transactions;
	bool		has_unknown;
	Use			unknown;		/* of the last connection, with a key */
	long		unknown_transaction;
} Client;

static unsigned
draw(Client *me, unsigned below)
{
	return nrand48(me->random) % below;
}

static bool
chance(Client *me, unsigned per_mille)
{
	return draw(me, 1000) < per_mille;
}

static void __attribute__((format(printf, 2, 3)))
fault(Client *me, const char *format,...)
{
	char	   *first = me->shared->fault[me->number];
	va_list		args;

	if (first[0] != '\0')
		return;
	va_start(args, format);
	vsnprintf(first, sizeof(me->shared->fault[0]), format, args);
	va_end(args);
	for (char *c = first; *c != '\0'; c++)
		if (*c == '\n')
			*c = ' ';
}

/* ---- the connection ---- */

static void
ignore_notice(void *arg, const char *message)
{
	(void) arg;
	(void) message;
}

static void
disconnect(Client *me)
{
	PQfinish(me->conn);
	me->conn = NULL;
}

/* The server may be down, or not up again. */
static bool
is_connected(Client *me)
{
	const char *const keywords[] = {"dbname", "application_name", NULL};
	const char *const values[] = {getenv("PGDATABASE"), "writer", NULL};

	if (me->conn != NULL)
		return true;
	me->conn = PQconnectdbParams(keywords, values, 0);
	PQsetNoticeProcessor(me->conn, ignore_notice, NULL);
	if (PQstatus(me->conn) == CONNECTION_OK)
		return true;
	disconnect(me);
	usleep(20000);
	return false;
}

/* As if the client's machine had died: no goodbye. */
static void
cut(Client *me)
{
	shutdown(PQsocket(me->conn), SHUT_RDWR);
	disconnect(me);
	me->shared->did.cut++;
}

/* 57014: a timeout, or somebody cancelled it.  55P03: a job met a use. */
static Outcome
outcome_of(Client *me, const PGresult *result, const char *what)
{
	ExecStatusType status = PQresultStatus(result);
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return DONE;
	if (PQstatus(me->conn) != CONNECTION_OK)
	{
		disconnect(me);
		me->shared->did.lost++;
		return GONE;
	}
	if (state != NULL && strcmp(state, "57014") == 0)
		me->shared->did.cancelled++;
	else if (state == NULL || strcmp(state, "55P03") != 0)
		fault(me, "%s: %s", what, PQerrorMessage(me->conn));
	return REFUSED;
}

static Outcome
tell(Client *me, const char *sql)
{
	PGresult   *result = PQexec(me->conn, sql);
	Outcome		outcome = outcome_of(me, result, sql);

	if (outcome == DONE && strcmp(sql, "COMMIT") == 0 && strcmp(PQcmdStatus(result), "COMMIT") != 0)
		fault(me, "COMMIT was answered with %s", PQcmdStatus(result));
	PQclear(result);
	return outcome;
}

/* A session that does not even hear this is of no use. */
static void
insist(Client *me, const char *sql)
{
	for (int i = 0; i < 100; i++)
		if (me->conn == NULL || tell(me, sql) != REFUSED)
			return;
	fault(me, "%s is refused for ever", sql);
	disconnect(me);
}

/* ---- one use ---- */

static void
note(Client *me, const Use *use, long transaction, const char *fate)
{
	fprintf(me->log, "%d-%ld\t%s\t" USER_ID_FORMAT "\t%s\t%d\t%d\t%s\t%s\n",
			me->number, transaction, use->request, use->user, use->usage_type,
			use->quantity, use->tokens, use->event[0] != '\0' ? use->event : "\\N", fate);
	if (strcmp(fate, "recorded") == 0)
		me->shared->did.recorded++;
	else if (strcmp(fate, "unknown") == 0)
		me->shared->did.unknown++;
}

static Use
use_at_random(Client *me)
{
	Use			use = {.way = CONSUME, .usage_type = chance(me, 400) ? "extra" : "unit"};
	unsigned	who = draw(me, 100);

	if (who < 20)
		use.user = HOT_USER;
	else if (who < 90)
		use.user = FIRST_COLD_USER + me->shared->round * COLD_USERS + draw(me, COLD_USERS);
	else
	{
		use.user = FIRST_FACT_USER + draw(me, FACT_USERS);
		use.way = TRACK;
	}
	use.quantity = 1 + draw(me, 5);
	use.tokens = chance(me, 300) ? draw(me, 60) : 0;
	use.has_key = chance(me, 300);
	snprintf(use.request, sizeof(use.request), "%s-%d-%ld", use.has_key ? "key" : "use", me->number, me->requests++);
	return use;
}

static void
send_use(Client *me, const Use *use)
{
	char		user_id[40];
	char		quantity[12];
	char		tokens[12];
	const char *values[] = {user_id, use->usage_type, quantity, tokens, use->has_key ? use->request : NULL, use->request};

	snprintf(user_id, sizeof(user_id), USER_ID_FORMAT, use->user);
	snprintf(quantity, sizeof(quantity), "%d", use->quantity);
	snprintf(tokens, sizeof(tokens), "%d", use->tokens);
	/* What is wrong with the connection shows when the answer is read. */
	(void) PQsendQueryParams(me->conn, calls[use->way], 6, NULL, values, NULL, NULL, 0);
}

static PGresult *
last_result(PGconn *conn)
{
	PGresult   *last = NULL;
	PGresult   *next;

	while ((next = PQgetResult(conn)) != NULL)
	{
		PQclear(last);
		last = next;
	}
	return last;
}

/* Whether the use that was sent was allowed; then its event is filled in. */
static Outcome
read_answer(Client *me, Use *use, bool *allowed)
{
	PGresult   *result = last_result(me->conn);
	Outcome		outcome = outcome_of(me, result, use->request);

	*allowed = false;
	if (outcome == DONE)
	{
		*allowed = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
		me->shared->did.denied += !*allowed;
		snprintf(use->event, sizeof(use->event), "%s", PQgetvalue(result, 0, 2));
		if (*allowed != (use->event[0] != '\0'))
			fault(me, "%s: allowed %d, reason %s, event %s", use->request, *allowed, PQgetvalue(result, 0, 1), use->event);
	}
	PQclear(result);
	return outcome;
}

/* ---- what a client does ---- */

/* A call that is a transaction of its own. */
static void
call(Client *me)
{
	Use			use = use_at_random(me);
	bool		is_hurried = chance(me, 150);
	bool		allowed;
	char		sql[60];

	snprintf(sql, sizeof(sql), "SET statement_timeout = %u", 1 + draw(me, 50));
	if (is_hurried && tell(me, sql) != DONE)
		return;
	me->transactions++;
	send_use(me, &use);
	if (chance(me, 10))
	{
		usleep(draw(me, 2000));
		cut(me);
	}
	if (me->conn == NULL || read_answer(me, &use, &allowed) == GONE)
	{
		note(me, &use, me->transactions, "unknown");
		me->has_unknown = use.has_key;
		me->unknown = use;
		me->unknown_transaction = me->transactions;
		return;
	}
	if (allowed)
		note(me, &use, me->transactions, "recorded");
	if (is_hurried)
		insist(me, "RESET statement_timeout");
}

/* The same again, on a new connection: with a key it is safe to ask. */
static void
ask_again(Client *me)
{
	Use			use = me->unknown;
	bool		allowed;

	send_use(me, &use);
	if (read_answer(me, &use, &allowed) != DONE)
		return;
	me->has_unknown = false;
	me->shared->did.resolved++;
	note(me, &use, me->unknown_transaction, allowed ? "recorded" : "gone");
}

static void
roll_back(Client *me, int ntaken)
{
	me->shared->did.undone += ntaken;
	insist(me, "ROLLBACK");
}

static void
finish(Client *me, const Use *taken, int ntaken)
{
	Outcome		outcome = GONE;

	if (chance(me, 100))
	{
		roll_back(me, ntaken);
		return;
	}
	if (chance(me, 10))
	{
		cut(me);				/* before COMMIT: nothing of it may be there */
		return;
	}
	if (chance(me, 10))
	{
		(void) PQsendQuery(me->conn, "COMMIT");
		cut(me);
	}
	else
		outcome = tell(me, "COMMIT");
	if (outcome == REFUSED)
		roll_back(me, ntaken);
	else
		for (int i = 0; i < ntaken; i++)
			note(me, &taken[i], me->transactions, outcome == DONE ? "recorded" : "unknown");
}

/*
 * Whoever takes users in one order, and of one user the type with more limits
 * first, meets no deadlock.
 */
static int
compare_uses(const void *left, const void *right)
{
	const Use  *a = left;
	const Use  *b = right;

	if (a->user != b->user)
		return a->user < b->user ? -1 : 1;
	return strcmp(b->usage_type, a->usage_type);	/* unit before extra */
}

static void
transact(Client *me)
{
	Use			uses[MOST_USES];
	Use			taken[MOST_USES];
	int			n = 1 + draw(me, MOST_USES);
	int			ntaken = 0;

	for (int i = 0; i < n; i++)
		uses[i] = use_at_random(me);
	qsort(uses, n, sizeof(Use), compare_uses);

	me->transactions++;
	if (tell(me, "BEGIN") != DONE)
	{
		roll_back(me, 0);
		return;
	}
	for (int i = 0; i < n; i++)
	{
		bool		has_savepoint = chance(me, 250);
		bool		allowed = false;
		Outcome		outcome = has_savepoint ? tell(me, "SAVEPOINT s") : DONE;

		if (outcome == DONE)
		{
			send_use(me, &uses[i]);
			outcome = read_answer(me, &uses[i], &allowed);
		}
		if (allowed)
			taken[ntaken++] = uses[i];
		if (outcome == DONE && has_savepoint && chance(me, 400))
		{
			outcome = tell(me, "ROLLBACK TO s");
			ntaken -= allowed;
			me->shared->did.undone += allowed;
		}
		if (outcome != DONE)
		{
			roll_back(me, ntaken);
			return;
		}
	}
	/* somebody who keeps others waiting, into their timeouts */
	if (chance(me, 40) && tell(me, "SELECT pg_sleep(0.02)") != DONE)
	{
		roll_back(me, ntaken);
		return;
	}
	finish(me, taken, ntaken);
}

/* What else happens to a database while it is used, or crashes. */
static void
do_a_job(Client *me)
{
	char		sql[200];

	switch (draw(me, 5))
	{
		case 0:
			snprintf(sql, sizeof(sql), "CHECKPOINT");
			break;
		case 1:
			snprintf(sql, sizeof(sql), "SELECT usage.usage_maintenance()");
			break;
		case 2:
			snprintf(sql, sizeof(sql), "SELECT usage.create_usage_partition((now() + interval '%u months')::date)", 3 + draw(me, 6));
			break;
		case 3:
			snprintf(sql, sizeof(sql), "SELECT usage.define_usage_limit('units_noted', 'unit', 10, measure => '%s', enforcement => 'soft')",
					 chance(me, 500) ? "events" : "quantity");
			break;
		default:
			snprintf(sql, sizeof(sql), "SELECT usage.set_user_clock('" USER_ID_FORMAT "', NULL, now() - interval '%u hours')",
					 FIRST_COLD_USER + me->shared->round * COLD_USERS + draw(me, COLD_USERS), 24 + draw(me, 120));
	}
	me->shared->did.jobs += tell(me, sql) == DONE;
}

static void
work(Client *me)
{
	unsigned	what = draw(me, 1000);

	if (me->has_unknown)
		ask_again(me);
	else if (what < 590)
		call(me);
	else if (what < 990)
		transact(me);
	else
		do_a_job(me);
}

static void
run_client(Shared *shared, int number, const char *directory, long seed, pid_t parent)
{
	Client		me = {.shared = shared, .number = number, .random = {seed, seed >> 16, number}};
	char		path[1000];

	snprintf(path, sizeof(path), "%s/%d.log", directory, number);
	me.log = fopen(path, "w");
	if (me.log == NULL)
	{
		perror(path);
		_exit(1);
	}
	while (!shared->ended && getppid() == parent)
	{
		shared->idle[number] = false;
		if (shared->paused)
		{
			fflush(me.log);
			shared->connected[number] = me.conn != NULL;
			shared->idle[number] = true;
			while (shared->paused && !shared->ended && getppid() == parent)
				usleep(1000);
		}
		else if (is_connected(&me))
			work(&me);
	}
	fclose(me.log);
	disconnect(&me);
}

/* ---- commands ---- */

static bool
all_idle(Shared *shared)
{
	for (int i = 0; i < WRITERS; i++)
		if (!shared->idle[i])
			return false;
	return true;
}

static bool
pause_all(Shared *shared)
{
	shared->paused = true;
	for (int i = 0; i < TRIES_PER_MINUTE && !all_idle(shared); i++)
		usleep(10000);
	return all_idle(shared);
}

static bool
wait_for(Shared *shared, long more)
{
	long		until = shared->did.recorded + more;

	for (int i = 0; i < 2 * TRIES_PER_MINUTE && shared->did.recorded < until; i++)
		usleep(5000);
	return shared->did.recorded >= until;
}

static bool
go(Shared *shared)
{
	if (shared->paused)
		shared->round++;
	shared->paused = false;
	return true;
}

static void
answer(Shared *shared, bool ok)
{
	Figures    *did = &shared->did;
	const char *first = "";
	int			connected = 0;

	for (int i = 0; i < WRITERS; i++)
	{
		connected += shared->connected[i];
		if (shared->fault[i][0] != '\0')
			first = shared->fault[i];
	}
	printf("%s recorded=%ld unknown=%ld resolved=%ld denied=%ld undone=%ld cancelled=%ld lost=%ld cut=%ld jobs=%ld connected=%d fault=%s\n",
		   ok ? "ok" : "stuck", did->recorded, did->unknown, did->resolved, did->denied, did->undone,
		   did->cancelled, did->lost, did->cut, did->jobs, connected, first);
	fflush(stdout);
}

static void
obey(Shared *shared)
{
	char		command[100];

	while (!shared->ended && fgets(command, sizeof(command), stdin) != NULL)
	{
		if (strcmp(command, "go\n") == 0)
			answer(shared, go(shared));
		else if (strncmp(command, "wait ", 5) == 0)
			answer(shared, wait_for(shared, atol(command + 5)));
		else if (strcmp(command, "pause\n") == 0)
			answer(shared, pause_all(shared));
		else if (strcmp(command, "end\n") == 0)
			shared->ended = true;
		else
			fprintf(stderr, "writer: what is %s", command);
	}
	shared->ended = true;
}

int
main(int argc, char **argv)
{
	Shared	   *shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t		parent = getpid();
	bool		ok = true;
	int			status;

	if (argc != 3 || shared == MAP_FAILED)
	{
		fprintf(stderr, "usage: writer DIRECTORY SEED\n");
		return 2;
	}
	shared->paused = true;
	for (int i = 0; i < WRITERS; i++)
	{
		pid_t		child = fork();

		if (child < 0)
		{
			perror("fork");
			return 1;
		}
		if (child == 0)
		{
			run_client(shared, i, argv[1], atol(argv[2]), parent);
			_exit(0);
		}
	}
	obey(shared);
	while (wait(&status) > 0)
		ok = ok && status == 0;
	answer(shared, ok);
	return ok ? 0 : 1;
}
