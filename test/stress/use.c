/*
 * use.c -- what a client says to the server, and whether the answer makes sense.
 *
 * Any error that nobody asked for, and any answer that contradicts itself, is a
 * fault.  A connection that was lost is replaced before anybody notices.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

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
}

/* ---- the connection ---- */

/* That a connection was ended shows when it is used. */
static void
ignore_notice(void *arg, const char *message)
{
	(void) arg;
	(void) message;
}

/* A server that is still busy with connections we cut may have no slot. */
void
connect_again(Client *me)
{
	const char *const keywords[] = {"dbname", "application_name", "options", NULL};
	const char *const values[] = {getenv("PGDATABASE"), "stress client", "-c client_min_messages=error", NULL};

	for (int attempt = 0; attempt < 1000; attempt++)
	{
		PQfinish(me->conn);
		me->conn = PQconnectdbParams(keywords, values, 0);
		if (PQstatus(me->conn) == CONNECTION_OK)
		{
			PQsetNoticeProcessor(me->conn, ignore_notice, NULL);
			return;
		}
		usleep(20000);
	}
	fault(me, "cannot connect: %s", PQerrorMessage(me->conn));
}

/* As if the client's machine had died: no goodbye. */
void
cut(Client *me)
{
	shutdown(PQsocket(me->conn), SHUT_RDWR);
	me->did->cuts++;
	connect_again(me);
}

static bool
was_to_be_expected(Client *me)
{
	if (strcmp(me->state, "57014") == 0)	/* a timeout, or a cancel request */
		me->did->cancelled++;
	else if (strcmp(me->state, "40P01") == 0)
		me->did->deadlocks++;	/* has a test of its own */
	else
		return strstr(me->expected, me->state) != NULL;
	return true;
}

static Outcome
outcome_of(Client *me, const PGresult *result, const char *what)
{
	ExecStatusType status = PQresultStatus(result);
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return DONE;
	if (result == NULL || PQstatus(me->conn) != CONNECTION_OK)
	{
		me->did->lost++;
		connect_again(me);
		return GONE;
	}
	snprintf(me->state, sizeof(me->state), "%s", state != NULL ? state : "none");
	if (!was_to_be_expected(me))
		fault(me, "%s: %s %s", what, me->state, PQerrorMessage(me->conn));
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

/* ---- one use ---- */

#define ANSWER "SELECT allowed, reason, id, limit_type, used, max_usage FROM "

static const char *const calls[] = {
	[CONSUME] = ANSWER "usage.consume_usage($1, $2, $3, $4, 0, $5, NULL, 'stress', $6)",
	[REQUIRE] = ANSWER "usage.require_usage($1, $2, $3, $4, 0, $5, NULL, 'stress', $6)",
	[IN_BLOCK] = ANSWER "stress.in_a_block($1, $2, $3, $4, $5, $6, false)",
	[IN_BLOCK_UNDONE] = ANSWER "stress.in_a_block($1, $2, $3, $4, $5, $6, true)",
	[TRACK] = "SELECT true, 'ok', usage.track_usage($1, $2, $3, $4, idempotency_key => $5, resource_id => $6,"
	" status => CASE WHEN $7::integer % 7 = 6 THEN 'failed' ELSE 'success' END,"
	" occurred_at => clock_timestamp() - make_interval(hours => NULLIF($7::integer, 0))), NULL, 0, 0",
};

void
send_step(Client *me, const Step *step)
{
	char		user_id[40];
	char		quantity[12];
	char		tokens[12];
	char		hours_ago[12];
	const char *values[] = {user_id, step->usage_type, quantity, tokens,
	step->has_key ? step->request : NULL, step->request, hours_ago};

	snprintf(user_id, sizeof(user_id), USER_ID_FORMAT, step->user);
	snprintf(quantity, sizeof(quantity), "%d", step->quantity);
	snprintf(tokens, sizeof(tokens), "%d", step->tokens);
	snprintf(hours_ago, sizeof(hours_ago), "%d", step->hours_ago);
	/* What is wrong with the connection shows when the answer is read. */
	(void) PQsendQueryParams(me->conn, calls[step->way], step->way == TRACK ? 7 : 6, NULL, values, NULL, NULL, 0);
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

static int
amount_for(const Step *step, const char *limit_type)
{
	if (strcmp(limit_type, "calls_daily") == 0)
		return 1;
	return strcmp(limit_type, "tokens_weekly") == 0 ? step->tokens : step->quantity;
}

/* An answer must be true by its own figures. */
static bool
makes_sense(const Step *step, char *const *field)
{
	bool		allowed = strcmp(field[0], "t") == 0;
	long		used = atol(field[4]);
	long		max_usage = atol(field[5]);

	if (allowed != (field[2][0] != '\0'))
		return false;
	if (!allowed)
		return strcmp(field[1], "limit_reached") == 0 && strcmp(field[3], "units_noted") != 0 &&
			used + amount_for(step, field[3]) > max_usage;
	if (strcmp(field[1], "replayed") == 0)
		return step->has_key;
	if (strcmp(field[1], "overage") == 0)
		return strcmp(field[3], "units_noted") == 0 && used > max_usage;
	return strcmp(field[1], "unlimited") == 0 ||
		(strcmp(field[1], "ok") == 0 && (used <= max_usage || amount_for(step, field[3]) == 0));
}

/* Reads the answer to the step that was sent. */
Outcome
read_answer(Client *me, const Step *step, Answer *answer)
{
	PGresult   *result = last_result(me->conn);
	Outcome		outcome = outcome_of(me, result, step->request);
	char	   *field[6];

	memset(answer, 0, sizeof(*answer));
	if (outcome == REFUSED && strcmp(me->state, "UT001") == 0)
		me->did->denied++;
	if (outcome == DONE)
	{
		for (int i = 0; i < 6; i++)
			field[i] = PQgetvalue(result, 0, i);
		if (!makes_sense(step, field))
			fault(me, "user %d, quantity %d, tokens %d: allowed %s, reason %s, id %s, limit %s, used %s of %s",
				  step->user, step->quantity, step->tokens,
				  field[0], field[1], field[2], field[3], field[4], field[5]);
		answer->allowed = field[0][0] == 't';
		answer->replayed = strcmp(field[1], "replayed") == 0;
		snprintf(answer->id, sizeof(answer->id), "%s", field[2]);
		me->did->denied += !answer->allowed;
		me->did->replayed += answer->replayed;
	}
	PQclear(result);
	return outcome;
}
