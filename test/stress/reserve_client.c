/*
 * reserve_client.c -- a client that reserves, and may not live to see the end.
 *
 * What it is going to have recorded it writes down before it asks, in memory that
 * outlives it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reserve.h"

#define A_MOMENT "20 milliseconds"
#define LONG_ENOUGH "10 minutes"
#define RUSH_MS 200				/* from one rush to the next */

typedef struct Client
{
	Shared	   *shared;
	int			number;
	Link		link;
	int64_t		last_rush;
} Client;

static unsigned
draw(Client *me, unsigned below)
{
	return mix(me->shared->seed ^ ((uint64_t) (me->number + 1) << 40), me->shared->draws[me->number]++) % below;
}

static bool
chance(Client *me, unsigned per_mille)
{
	return draw(me, 1000) < per_mille;
}

static void
count(Client *me, Figure figure)
{
	me->shared->figures[me->number].of[figure]++;
}

static void
cut(Client *me)
{
	count(me, CUT);
	cut_link(&me->link);
}

/* Cut off, by others or by ourselves, or killed: no goodbye, no clean-up. */
static void
die(Client *me)
{
	if (chance(me, 300))
		raise(SIGKILL);			/* the parent counts it */
	cut(me);
}

/* True if there is an answer; errors are faults, and lost connections replaced. */
static bool
is_answered(Client *me, Reply reply, const char *what)
{
	char	   *first = me->shared->fault[me->number];

	if (reply == GONE)
		connect_link(&me->link);
	if (reply == REFUSED && first[0] == '\0')
		snprintf(first, sizeof(me->shared->fault[0]), "%s: %s %s", what, me->link.state, me->link.message);
	return reply == ANSWERED;
}

static bool
say(Client *me, const char *sql)
{
	return is_answered(me, tell(&me->link, sql), sql);
}

/* ---- deeds ---- */

static Deed *
new_deed(Client *me, int user, int quantity, char *request)
{
	int			n = me->shared->ndeeds[me->number];
	Deed	   *deed = &me->shared->deeds[me->number][n];

	if (n == MANY_DEEDS)
	{
		me->shared->stop = true;
		pause();				/* for the end */
	}
	deed->user = user;
	deed->quantity = quantity;
	deed->fate = WAS_SENT;
	sprintf(request, "%d-%d", me->number, n);
	me->shared->ndeeds[me->number]++;
	return deed;
}

/* ---- calls ---- */

/* The id of the reservation, or 0. */
static long
reserve(Client *me, int user, int quantity, const char *expires_in)
{
	char		user_id[40];
	char		amount[12];
	const char *values[] = {user_id, amount, expires_in};
	PGresult   *result;
	long		id = 0;

	snprintf(user_id, sizeof(user_id), USER_ID_FORMAT, user);
	snprintf(amount, sizeof(amount), "%d", quantity);
	if (is_answered(me, ask(&me->link, &result, "SELECT id, reason FROM usage.reserve_usage($1, 'unit', $2, expires_in => $3)",
							3, values), "reserve_usage"))
	{
		id = atol(PQgetvalue(result, 0, 0));
		count(me, id > 0 ? RESERVED : strcmp(PQgetvalue(result, 0, 1), "held") == 0 ? HELD : USED_UP);
	}
	PQclear(result);
	return id;
}

static void
commit(Client *me, int user, long id, int quantity, Figure figure)
{
	char		user_id[40];
	char		reservation[24];
	char		amount[12];
	char		request[32];
	char		metadata[100];
	const char *values[] = {user_id, reservation, amount, metadata};
	Deed	   *deed = new_deed(me, user, quantity, request);
	PGresult   *result;

	snprintf(user_id, sizeof(user_id), USER_ID_FORMAT, user);
	snprintf(reservation, sizeof(reservation), "%ld", id);
	snprintf(amount, sizeof(amount), "%d", quantity);
	snprintf(metadata, sizeof(metadata), "{\"reservation\": %ld, \"request\": \"%s\"}", id, request);
	send_query(&me->link, "SELECT allowed FROM usage.commit_usage($1, $2, $3, metadata => $4)", 4, values);
	if (chance(me, 100))
	{
		usleep(draw(me, 2000));
		die(me);
		return;
	}
	if (is_answered(me, read_reply(&me->link, &result), "commit_usage"))
	{
		deed->fate = WAS_ANSWERED;
		count(me, figure);
	}
	PQclear(result);
}

static void
release(Client *me, int user, long id)
{
	char		sql[200];

	snprintf(sql, sizeof(sql), "SELECT usage.release_usage('" USER_ID_FORMAT "', %ld)", user, id);
	if (say(me, sql))
		count(me, RELEASED);
}

/* What was allowed; it is recorded when its transaction is. */
static Deed *
use(Client *me, int user, int quantity)
{
	char		user_id[40];
	char		amount[12];
	char		request[32];
	const char *values[] = {user_id, amount, request};
	Deed	   *deed = new_deed(me, user, quantity, request);
	PGresult   *result;

	snprintf(user_id, sizeof(user_id), USER_ID_FORMAT, user);
	snprintf(amount, sizeof(amount), "%d", quantity);
	if (is_answered(me, ask(&me->link, &result, "SELECT allowed FROM usage.consume_usage($1, 'unit', $2, resource_id => $3)",
							3, values), "consume_usage"))
	{
		bool		allowed = PQgetvalue(result, 0, 0)[0] == 't';

		count(me, allowed ? USED : USED_UP);
		if (!allowed)
			deed->fate = WAS_REFUSED;
		PQclear(result);
		return allowed ? deed : NULL;
	}
	PQclear(result);
	return NULL;
}

static void
use_at_once(Client *me, int user, int quantity)
{
	Deed	   *deed = use(me, user, quantity);

	if (deed != NULL)
		deed->fate = WAS_ANSWERED;
}

/* ---- what a client does ---- */

static void
reserve_and_die(Client *me, int user, int quantity)
{
	char		seconds[40];

	snprintf(seconds, sizeof(seconds), "%u milliseconds", 200 + draw(me, 1800));
	if (reserve(me, user, quantity, seconds) == 0)
		return;
	count(me, EXPIRED);
	if (chance(me, 600))
		die(me);
}

/* What is not committed is as if it had never been. */
static void
reserve_in_vain(Client *me, int user, int quantity)
{
	if (!say(me, "BEGIN"))
		return;
	for (unsigned i = draw(me, 2); i < 2; i++)
		(void) reserve(me, user, quantity, LONG_ENOUGH);
	if (PQtransactionStatus(me->link.conn) == PQTRANS_IDLE)
		return;					/* another connection by now */
	if (chance(me, 300) && say(me, "ROLLBACK"))
		count(me, ROLLED_BACK);
	else
		die(me);
}

static void
reserve_and_settle(Client *me, int user, int quantity)
{
	long		id = reserve(me, user, quantity, LONG_ENOUGH);

	if (id == 0)
		return;
	if (chance(me, 50))
		die(me);
	else if (chance(me, 400))
		release(me, user, id);
	else
		commit(me, user, id, 1 + draw(me, quantity), COMMITTED);
}

static void
commit_late(Client *me, int quantity)
{
	int			user = FIRST_LATE_USER + draw(me, USERS - FIRST_LATE_USER);
	long		id = reserve(me, user, quantity, A_MOMENT);

	usleep(20000 + draw(me, 20000));
	if (id > 0)
		commit(me, user, id, quantity + draw(me, 3), COMMITTED_LATE);
}

/*
 * Now and then all come at once to a user who has used nothing yet.  Some stay in
 * their transactions for a moment, so that others decide before they can take.
 */
static void
rush(Client *me)
{
	int64_t		elapsed = now_ms() - me->shared->began_ms;
	int			user = FIRST_RUSH_USER + elapsed / RUSH_MS % RUSH_USERS;
	int			quantity = 1 + draw(me, 5);
	bool		stays = chance(me, 300);
	Deed	   *deed = NULL;

	if (elapsed / RUSH_MS == me->last_rush)
		return;
	me->last_rush = elapsed / RUSH_MS;
	if (stays && !say(me, "BEGIN"))
		return;
	if (chance(me, 500))
		(void) reserve(me, user, quantity, LONG_ENOUGH);
	else
		deed = use(me, user, quantity);
	if (stays)
	{
		if (PQtransactionStatus(me->link.conn) == PQTRANS_IDLE)
			return;				/* another connection by now */
		usleep(draw(me, 5000));
		if (!say(me, "COMMIT"))
			return;
	}
	if (deed != NULL)
		deed->fate = WAS_ANSWERED;
}

static void
terminate_another(Client *me)
{
	if (say(me, "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
			" WHERE datname = current_database() AND application_name = 'stress client'"
			" AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) AS other"))
		count(me, TERMINATED);
}

void
run_client(void *shared, int number)
{
	Client		me = {.shared = shared, .number = number};

	connect_link(&me.link);
	while (!me.shared->stop && getppid() == me.shared->parent)
	{
		int			user = chance(&me, 400) ? 0 : draw(&me, FIRST_LATE_USER);
		int			quantity = 1 + draw(&me, 5);
		unsigned	what = draw(&me, 1000);

		rush(&me);
		if (what < 550)
			reserve_and_die(&me, user, quantity);
		else if (what < 750)
			reserve_and_settle(&me, user, quantity);
		else if (what < 900)
			reserve_in_vain(&me, user, quantity);
		else if (what < 960)
			use_at_once(&me, user, quantity);
		else if (what < 990)
			commit_late(&me, quantity);
		else
			terminate_another(&me);
	}
	PQfinish(me.link.conn);
}
