/*
 * runs_client.c -- a client that starts long work for the same user as all others,
 * at the same time, and may not live to see its end.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runs.h"

typedef struct Client
{
	Shared	   *shared;
	int			number;
	Link		link;
	char		user_id[40];
} Client;

static bool
chance(Client *me, unsigned per_mille)
{
	uint64_t	drawn = mix(me->shared->seed ^ ((uint64_t) (me->number + 1) << 40), me->shared->draws[me->number]++);

	return drawn % 1000 < per_mille;
}

static void
count(Client *me, Figure figure)
{
	me->shared->figures[me->number].of[figure]++;
}

/* Killed, or cut off: no goodbye, no clean-up. */
static void
die(Client *me, Figure figure)
{
	count(me, figure);
	if (chance(me, 500))
		raise(SIGKILL);
	cut_link(&me->link);
}

/* The run is over: somebody else ended it. */
static bool
is_illegal_move(const Client *me)
{
	return strcmp(me->link.state, "55000") == 0;
}

/* True if there is a row; errors are faults, but for moves that are refused. */
static bool
is_answered(Client *me, Reply reply, PGresult *result, const char *what)
{
	char	   *first = me->shared->fault[me->number];

	if (reply == REFUSED && is_illegal_move(me))
		count(me, REFUSED_MOVE);
	else if (reply != ANSWERED && first[0] == '\0')
		snprintf(first, sizeof(me->shared->fault[0]), "%s: %s %s", what, me->link.state, me->link.message);
	return reply == ANSWERED && PQntuples(result) > 0;
}

static void
say(Client *me, const char *sql)
{
	is_answered(me, tell(&me->link, sql), NULL, sql);
}

/* The id of the run, or 0. */
static long
start(Client *me)
{
	const char *values[] = {me->user_id};
	PGresult   *result;
	long		id = 0;
	Reply		reply = ask(&me->link, &result, "SELECT id FROM usage.start_run($1, expires_in => '10 minutes')", 1, values);

	if (is_answered(me, reply, result, "start_run"))
	{
		id = atol(PQgetvalue(result, 0, 0));
		count(me, id > 0 ? STARTED : REFUSED_START);
	}
	PQclear(result);
	return id;
}

/* Whatever run of the user is under way; it may be another's. */
static void
move(Client *me, const char *call, Figure figure)
{
	const char *values[] = {me->user_id};
	char		sql[200];
	PGresult   *result;
	Reply		reply;

	snprintf(sql, sizeof(sql), "SELECT (usage.%s).status FROM usage.list_runs($1) WHERE status = 'running'", call);
	reply = ask(&me->link, &result, sql, 1, values);
	if (is_answered(me, reply, result, call))
		count(me, figure);
	PQclear(result);
}

static void
move_somewhere(Client *me)
{
	if (chance(me, 300))
		move(me, "update_run($1, id, expires_in => '20 minutes')", RENEWED);
	if (chance(me, 400))
		move(me, "fail_run($1, id, 'no', cost => 0.01)", FAILED);
	else if (chance(me, 400))
		move(me, "cancel_run($1, id)", CANCELLED);
	else
		move(me, "succeed_run($1, id, input_tokens => 10, cost => 0.02)", SUCCEEDED);
}

static void
start_in_vain(Client *me)
{
	say(me, "BEGIN");
	if (start(me) > 0)
	{
		usleep(2000);
		die(me, DIED_BEFORE_COMMIT);
	}
	else
		say(me, "ROLLBACK");
}

static void
take_part(Client *me, int round)
{
	long		id = 0;

	snprintf(me->user_id, sizeof(me->user_id), USER_ID_FORMAT, FIRST_USER + round);
	if (round % ROUNDS == ANYTHING && chance(me, 200))
		start_in_vain(me);
	else
		id = start(me);
	if (id > 0 && round % ROUNDS == WINNERS_DIE)
		die(me, DIED_AFTER_START);
	else if (round % ROUNDS == ANYTHING && (id > 0 || chance(me, 200)))
		move_somewhere(me);
}

void
run_client(void *shared, int number)
{
	Client		me = {.shared = shared, .number = number};

	connect_link(&me.link);
	while (!me.shared->stop && getppid() == me.shared->parent)
	{
		int			round = me.shared->round;

		if (round > me.shared->done[number])
		{
			take_part(&me, round);
			me.shared->done[number] = round;
		}
		usleep(500);
	}
	PQfinish(me.link.conn);
}
