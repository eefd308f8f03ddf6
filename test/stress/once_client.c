/*
 * once_client.c -- a client that sends its part of the attempts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "once.h"

/* ---- attempts that are let live ---- */

/* False: somebody else was faster, and our snapshot is too old to see it. */
static bool
send_once(Client *me, const Parcel *parcel, const char *begin)
{
	PGresult   *result;
	Reply		reply;
	bool		done = true;

	if (begin != NULL && !say(me, begin))
		return true;
	send_parcel(me, parcel);
	reply = read_reply(&me->link, &result);
	if (reply == REFUSED && begin != NULL && strcmp(me->link.state, "40001") == 0)
		done = false;
	else if (reply != ANSWERED)
		complain(me, parcel->is_batch ? "batch" : "call");
	if (begin != NULL)
		say(me, reply == ANSWERED ? "COMMIT" : "ROLLBACK");
	if (reply == ANSWERED)
		note_parcel(me, parcel, result);
	PQclear(result);
	return done;
}

static void
send_for_good(Client *me, const Parcel *parcel)
{
	unsigned	how = draw(me, 10);
	const char *begin = how < 7 ? NULL : how < 9 ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ";

	while (!send_once(me, parcel, begin))
		;
	count(me, parcel->is_batch ? IN_BATCHES : CALLED, parcel->n);
	count(me, BATCHES, parcel->is_batch);
}

/* ---- attempts that are not ---- */

static void
roll_back(Client *me, const Parcel *parcel)
{
	PGresult   *result;
	bool		to_savepoint = chance(me, 500);

	count(me, ROLLED_BACK, parcel->n);
	say(me, to_savepoint ? "BEGIN; SAVEPOINT s" : "BEGIN");
	send_parcel(me, parcel);
	if (read_reply(&me->link, &result) != ANSWERED)
		complain(me, "in a transaction");
	PQclear(result);
	say(me, to_savepoint ? "ROLLBACK TO s; COMMIT" : "ROLLBACK");
}

static void
cut_off(Client *me, const Parcel *parcel, bool at_commit)
{
	PGresult   *result;

	count(me, at_commit ? CUT_AT_COMMIT : CUT, parcel->n);
	if (at_commit)
		say(me, "BEGIN");
	send_parcel(me, parcel);
	if (at_commit)
	{
		if (read_reply(&me->link, &result) != ANSWERED)
			complain(me, "in a transaction");
		PQclear(result);
		if (chance(me, 600))
			send_query(&me->link, "COMMIT", 0, NULL);
	}
	usleep(draw(me, 3000));
	cut_link(&me->link);
}

static void
terminate(Client *me)
{
	char		sql[80];

	snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d)", PQbackendPID(me->link.conn));
	if (tell(&me->killer, sql) != ANSWERED)
		fault(me, "%s: %s %s", sql, me->killer.state, me->killer.message);
}

static void
cancel(Client *me)
{
	PGcancel   *request = PQgetCancel(me->link.conn);
	char		error[256];

	if (!PQcancel(request, error, sizeof(error)))
		fault(me, "cannot cancel: %s", error);
	PQfreeCancel(request);
}

/* Perhaps it was faster. */
static void
shoot_down(Client *me, const Parcel *parcel, bool dead)
{
	PGresult   *result;
	Reply		reply;

	count(me, dead ? TERMINATED : CANCELLED, parcel->n);
	send_parcel(me, parcel);
	usleep(draw(me, 3000));
	if (dead)
		terminate(me);
	else
		cancel(me);
	reply = read_reply(&me->link, &result);
	if (reply == ANSWERED)
	{
		note_parcel(me, parcel, result);
		count(me, SURVIVED, parcel->n);
	}
	else if (reply == REFUSED && strcmp(me->link.state, "57014") != 0 && strcmp(me->link.state, "57P01") != 0)
		complain(me, "shot down");
	PQclear(result);
	connect_link(&me->link);	/* a cancel request may come late */
}

static void
send_in_vain(Client *me, const Parcel *parcel)
{
	switch (draw(me, 5))
	{
		case 0:
			roll_back(me, parcel);
			break;
		case 1:
			cut_off(me, parcel, false);
			break;
		case 2:
			cut_off(me, parcel, true);
			break;
		case 3:
			shoot_down(me, parcel, true);
			break;
		default:
			shoot_down(me, parcel, false);
	}
}

/* ---- all attempts of this client ---- */

static void
sort_attempts(Client *me)
{
	int			all = me->shared->nthings * ATTEMPTS;

	for (int q = 0; q < 4; q++)
	{
		me->queues[q].attempts = malloc((all / CLIENTS + 1) * sizeof(int));
		me->queues[q].is_tracked = q & 1;
		me->queues[q].is_killed = q & 2;
	}
	me->answered = malloc((all / CLIENTS + 1) * sizeof(int));
	for (int i = me->number; i < all; i += CLIENTS)
	{
		int			attempt = attempt_number(me->shared, i);
		Thing		thing = thing_number(me->shared, attempt / ATTEMPTS);
		Queue	   *queue = &me->queues[thing.is_tracked + 2 * is_to_be_killed(me->shared, attempt)];

		queue->attempts[queue->n++] = attempt;
	}
}

/* One of the queues, the longer the likelier; NULL if all are empty. */
static Queue *
choose_queue(Client *me)
{
	int			left = 0;
	int			chosen;

	for (int q = 0; q < 4; q++)
		left += me->queues[q].n;
	if (left == 0)
		return NULL;
	chosen = draw(me, left);
	for (int q = 0; q < 4; q++)
		if ((chosen -= me->queues[q].n) < 0)
			return &me->queues[q];
	return NULL;
}

static void
send_some(Client *me, Queue *queue)
{
	Parcel		parcel = {.is_batch = queue->is_tracked && chance(me, 100)};
	int			n = parcel.is_batch ? 1 + (int) draw(me, MOST_IN_BATCH) : 1;

	while (parcel.n < n && queue->n > 0)
		parcel.attempts[parcel.n++] = queue->attempts[--queue->n];
	if (parcel.is_batch)
		write_batch(me, &parcel, !queue->is_killed);
	if (queue->is_killed)
		send_in_vain(me, &parcel);
	else
		send_for_good(me, &parcel);
	free(parcel.json);
}

void
run_client(void *shared, int number)
{
	Client		me = {.shared = shared, .number = number};
	Queue	   *queue;

	connect_link(&me.link);
	connect_link(&me.killer);
	sort_attempts(&me);
	while ((queue = choose_queue(&me)) != NULL && getppid() == me.shared->parent)
	{
		send_some(&me, queue);
		if (chance(&me, 30))
			repeat_key(&me);
		if (chance(&me, 10) || me.rounds == 0)
			decide_anew(&me);
	}
	PQfinish(me.link.conn);
	PQfinish(me.killer.conn);
}
