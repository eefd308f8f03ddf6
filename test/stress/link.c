/*
 * link.c -- a connection that gets lost, and is replaced.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link.h"

/* That a connection was ended shows when it is used. */
static void
ignore_notice(void *arg, const char *message)
{
	(void) arg;
	(void) message;
}

/* A server that is still busy with connections we cut may have no slot. */
void
connect_link(Link *link)
{
	const char *const keywords[] = {"dbname", "application_name", "options", NULL};
	const char *const values[] = {getenv("PGDATABASE"), "stress client", "-c client_min_messages=error", NULL};

	for (int attempt = 0; attempt < 3000; attempt++)
	{
		PQfinish(link->conn);
		link->conn = PQconnectdbParams(keywords, values, 0);
		if (PQstatus(link->conn) == CONNECTION_OK)
		{
			PQsetNoticeProcessor(link->conn, ignore_notice, NULL);
			return;
		}
		usleep(20000);
	}
	printf("# cannot connect: %s", PQerrorMessage(link->conn));
	fflush(stdout);
	_exit(1);
}

/* As if the client's machine had died: no goodbye. */
void
cut_link(Link *link)
{
	shutdown(PQsocket(link->conn), SHUT_RDWR);
	connect_link(link);
}

/* What is wrong with the connection shows when the answer is read. */
void
send_query(Link *link, const char *sql, int n, const char *const *values)
{
	(void) PQsendQueryParams(link->conn, sql, n, NULL, values, NULL, NULL, 0);
}

/* The result is the caller's to clear. */
Reply
read_reply(Link *link, PGresult **result)
{
	PGresult   *next;
	ExecStatusType status;
	const char *state;

	*result = NULL;
	while ((next = PQgetResult(link->conn)) != NULL)
	{
		PQclear(*result);
		*result = next;
	}
	status = PQresultStatus(*result);
	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return ANSWERED;
	if (*result == NULL || PQstatus(link->conn) != CONNECTION_OK)
		return GONE;
	state = PQresultErrorField(*result, PG_DIAG_SQLSTATE);
	snprintf(link->state, sizeof(link->state), "%s", state != NULL ? state : "none");
	snprintf(link->message, sizeof(link->message), "%s", PQresultErrorField(*result, PG_DIAG_MESSAGE_PRIMARY));
	return REFUSED;
}

Reply
ask(Link *link, PGresult **result, const char *sql, int n, const char *const *values)
{
	send_query(link, sql, n, values);
	return read_reply(link, result);
}

Reply
tell(Link *link, const char *sql)
{
	PGresult   *result;
	Reply		reply;

	(void) PQsendQuery(link->conn, sql);	/* may be several statements */
	reply = read_reply(link, &result);
	PQclear(result);
	return reply;
}
