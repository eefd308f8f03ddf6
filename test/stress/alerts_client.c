/*
 * alerts_client.c -- a client that uses things, and does not always mean it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alerts.h"

#define RUSH_MS 100				/* from one rush to the next */

typedef struct Client
{
	Shared	   *shared;
	int			number;
	Link		link;
	int64_t		last_rush;
	int			day;			/* of the session's clock */
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

/* Waiting in a circle, or for too long at REPEATABLE READ, is nobody's fault. */
static bool
say(Client *me, const char *sql)
{
	char	   *first = me->shared->fault[me->number];
	Reply		reply = tell(&me->link, sql);

	if (reply == GONE)
	{
		connect_link(&me->link);
		me->day = -1;
	}
	else if (reply == REFUSED && strcmp(me->link.state, "40001") == 0)
		count(me, TOO_LATE);
	else if (reply == REFUSED && strcmp(me->link.state, "40P01") == 0)
		count(me, DEADLOCKED);
	else if (reply == REFUSED && strcmp(me->link.state, "25P02") == 0)
		return false;			/* what came before it was judged */
	else if (reply == REFUSED && first[0] == '\0')
		snprintf(first, sizeof(me->shared->fault[0]), "%s: %s %s", sql, me->link.state, me->link.message);
	return reply == ANSWERED;
}

/* Some are of the day before; a tenth of a use may be what is missing. */
static bool
use(Client *me, int user)
{
	char		sql[300];
	int			tenths = 1 + draw(me, chance(me, 100) ? 60 : 12);

	if (chance(me, 200))
		snprintf(sql, sizeof(sql), "SELECT usage.track_usage('" USER_ID_FORMAT "', 'unit', %d * 0.1, occurred_at => usage._usage_now() - '1 day'::interval)",
				 user, tenths);
	else if (chance(me, 100))
		snprintf(sql, sizeof(sql), "SELECT usage.track_usage_batch(jsonb_build_array("
				 "jsonb_build_object('user_id', '" USER_ID_FORMAT "', 'usage_type', 'unit', 'quantity', %d * 0.1),"
				 "jsonb_build_object('user_id', '" USER_ID_FORMAT "', 'usage_type', 'unit', 'quantity', 0.1)))", user, tenths, user);
	else if (chance(me, 100))
		snprintf(sql, sizeof(sql), "SELECT usage.commit_usage(u.id, (usage.reserve_usage(u.id, 'unit', %d * 0.1)).id)"
				 " FROM (SELECT '" USER_ID_FORMAT "'::uuid AS id) AS u", tenths, user);
	else
		snprintf(sql, sizeof(sql), "SELECT usage.%s('" USER_ID_FORMAT "', 'unit', %d * 0.1)",
				 chance(me, 500) ? "track_usage" : "consume_usage", user, tenths);
	return say(me, sql);
}

/* What was above may be below again; its alerts stay. */
static void
take_back(Client *me, int user)
{
	char		sql[300];

	snprintf(sql, sizeof(sql), "INSERT INTO alerts.taken_back VALUES ('" USER_ID_FORMAT "');"
			 "SELECT usage.reset_user_usage('" USER_ID_FORMAT "', 'units_daily')", user, user);
	if (say(me, sql))
		count(me, TAKEN_BACK);
}

/* ---- transactions ---- */

/* False: the connection or the transaction is lost. */
static bool
use_in_savepoint(Client *me, int user)
{
	bool		undo = chance(me, 500);
	bool		well = say(me, "SAVEPOINT sp") && use(me, user) && (chance(me, 500) || use(me, user));

	if (PQtransactionStatus(me->link.conn) == PQTRANS_IDLE)
		return false;
	if (well && !undo)
		return say(me, "RELEASE sp");
	if (!say(me, "ROLLBACK TO sp"))
		return false;
	count(me, UNDONE);
	return true;
}

/* Users in their order, so that few wait in a circle. */
static void
use_together(Client *me)
{
	int			user = draw(me, USERS);
	bool		well = say(me, chance(me, 200) ? "BEGIN ISOLATION LEVEL REPEATABLE READ" : "BEGIN");

	for (int left = 1 + draw(me, 4); well && left > 0 && user < USERS; left--)
	{
		well = chance(me, 500) ? use_in_savepoint(me, user) : use(me, user);
		user += draw(me, 3);
	}
	if (chance(me, 100))
	{
		count(me, CUT);
		cut_link(&me->link);
		me->day = -1;
	}
	else if (chance(me, 300))
	{
		if (say(me, "ROLLBACK"))
			count(me, ROLLED_BACK);
	}
	else if (PQtransactionStatus(me->link.conn) != PQTRANS_IDLE && say(me, "COMMIT") && well)
		count(me, USED_TOGETHER);
}

/* All at once, and each a ninth of what a user may: the rest is up to the aborts. */
static void
rush(Client *me)
{
	int64_t		number = (now_ms() - me->shared->began_ms) / RUSH_MS;
	int			user = FIRST_RUSH_USER + number % RUSH_USERS;
	char		sql[300];

	if (number == me->last_rush)
		return;
	me->last_rush = number;
	snprintf(sql, sizeof(sql), "BEGIN; SELECT usage.track_usage('" USER_ID_FORMAT "', 'unit', %u * 0.1); %s",
			 user, draw(me, 12), chance(me, 400) ? "ROLLBACK" : "COMMIT");
	if (say(me, sql))
		count(me, RUSHED);
}

/* The clock stands still between days, so that all mean the same one. */
static void
set_clock(Client *me)
{
	int			day = me->shared->day;
	char		sql[100];

	snprintf(sql, sizeof(sql), "SET usage_tracking.clock = '2026-03-%02d 12:00+00'", 2 + day % 28);
	if (day != me->day && say(me, sql))
		me->day = day;
}

void
run_client(void *shared, int number)
{
	Client		me = {shared, number, {0}, -1, -1};

	connect_link(&me.link);
	while (!me.shared->stop)
	{
		set_clock(&me);
		rush(&me);
		if (chance(&me, 20))
			take_back(&me, draw(&me, USERS));
		else if (chance(&me, 600))
			use_together(&me);
		else if (use(&me, draw(&me, USERS)))
			count(&me, USED);
		if (PQtransactionStatus(me.link.conn) != PQTRANS_IDLE)
			(void) say(&me, "ROLLBACK");
	}
	PQfinish(me.link.conn);
}
