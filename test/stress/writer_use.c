/*
 * writer_use.c -- the connection of a writer, and one use.
 *
 * An error that nobody asked for is a fault.  A connection that is lost stays
 * lost until the next thing that a client does.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "writer.h"

unsigned
draw(Client *me, unsigned below)
{
	return nrand48(me->random) % below;
}

bool
chance(Client *me, unsigned per_mille)
{
	return draw(me, 1000) < per_mille;
}

void
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

void
disconnect(Client *me)
{
	PQfinish(me->conn);
	me->conn = NULL;
}

/* The server may be down, or not up again. */
bool
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
void
cut(Client *me)
{
	shutdown(PQsocket(me->conn), SHUT_RDWR);
	disconnect(me);
	me->shared->did.cut++;
}

/*
 * 57014: a timeout, or somebody cancelled it.  55P03: a job met a use.  40P01: two
 * that use several things of one user near limits may wait for each other.
 */
static Outcome
outcome_of(Client *me, const PGresult *result, const char *what)
{
	ExecStatusType status = PQresultStatus(result);
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return DONE;
	/* libpq may notice only that it could not write, and call the connection good still */
	if (PQstatus(me->conn) != CONNECTION_OK || state == NULL)
	{
		disconnect(me);
		me->shared->did.lost++;
		return GONE;
	}
	if (strcmp(state, "57014") == 0)
		me->shared->did.cancelled++;
	else if (strcmp(state, "55P03") != 0 && strcmp(state, "40P01") != 0)
		fault(me, "%s: %s", what, PQerrorMessage(me->conn));
	return REFUSED;
}

Outcome
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
void
insist(Client *me, const char *sql)
{
	for (int i = 0; i < 100; i++)
		if (me->conn == NULL || tell(me, sql) != REFUSED)
			return;
	fault(me, "%s is refused for ever", sql);
	disconnect(me);
}

/* ---- one use ---- */

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

void
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

int
cold_user(Client *me)
{
	return FIRST_COLD_USER + (me->shared->round * COLD_USERS + draw(me, COLD_USERS)) % ALL_COLD_USERS;
}

Use
use_at_random(Client *me)
{
	Use			use = {.way = CONSUME, .usage_type = chance(me, 400) ? "extra" : "unit"};
	unsigned	who = draw(me, 100);

	if (who < 20)
		use.user = HOT_USER;
	else if (who < 90)
		use.user = cold_user(me);
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

void
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
Outcome
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
