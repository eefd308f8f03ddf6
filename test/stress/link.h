/*
 * link.h -- a connection that gets lost, and is replaced.
 */
#ifndef UT_LINK_H
#define UT_LINK_H

#include "common.h"

typedef struct Link
{
	PGconn	   *conn;
	char		state[6];		/* SQLSTATE of the last error */
	char		message[300];
} Link;

typedef enum Reply
{
	ANSWERED,
	REFUSED,					/* an error; the connection lives */
	GONE						/* the connection did not */
} Reply;

extern void connect_link(Link *link);
extern void cut_link(Link *link);
extern void send_query(Link *link, const char *sql, int n, const char *const *values);
extern Reply read_reply(Link *link, PGresult **result);
extern Reply ask(Link *link, PGresult **result, const char *sql, int n, const char *const *values);
extern Reply tell(Link *link, const char *sql);

#endif							/* UT_LINK_H */
