/*
 * leases_client.c -- a client that holds places, and may not live to give them back.
 *
 * It says that it holds one from the answer until just before it gives it back,
 * or loses it, so that it never says so of a place that may be another's.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "leases.h"

#define USER "'00000000-0000-4000-8000-000000000001'"
#define A_MOMENT "'200 milliseconds'"
#define LONG_ENOUGH "'2 seconds'"
#define LONG_ENOUGH_MS 2000
#define THE_SESSION "NULL"

typedef struct Client
{
	Shared	   *shared;
	int			number;
	Link		link;
	int64_t		asked_ms;		/* when its place was asked for */
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

/* ---- who holds a place ---- */

static void
hold(Client *me)
{
	int			nothing = HOLDS_NOTHING;
	int			holders;
	int			most = atomic_load(&me->shared->most);

	if (!atomic_compare_exchange_strong(&me->shared->state[me->number], &nothing, HOLDS_A_PLACE))
		return;
	holders = atomic_fetch_add(&me->shared->holders, 1) + 1;
	while (holders > most && !atomic_compare_exchange_weak(&me->shared->most, &most, holders))
		;
}

void
stop_holding(Shared *shared, int number)
{
	int			place = HOLDS_A_PLACE;

	if (atomic_compare_exchange_strong(&shared->state[number], &place, HOLDS_NOTHING))
		atomic_fetch_sub(&shared->holders, 1);
}

/* ---- connections that end ---- */

static void
connect_anew(Client *me)
{
	stop_holding(me->shared, me->number);
	connect_link(&me->link);
	atomic_store(&me->shared->server[me->number], PQbackendPID(me->link.conn));
	atomic_store(&me->shared->state[me->number], HOLDS_NOTHING);
}

/* A machine that stood still has let places expire that somebody still counted. */
static void
check_pace(Client *me)
{
	if (now_ms() - me->asked_ms >= LONG_ENOUGH_MS)
		me->shared->was_late = true;
}

static void
die(Client *me)
{
	stop_holding(me->shared, me->number);
	if (chance(me, 300))
		raise(SIGKILL);			/* the parent counts it */
	count(me, CUT);
	cut_link(&me->link);
	connect_anew(me);
}

/* True if there is an answer; errors are faults, and lost connections replaced. */
static bool
is_answered(Client *me, Reply reply, const char *what)
{
	char	   *first = me->shared->fault[me->number];

	if (reply == GONE)
		connect_anew(me);
	if (reply == REFUSED && strcmp(me->link.state, "57P01") != 0 && first[0] == '\0')
		snprintf(first, sizeof(me->shared->fault[0]), "%s: %s %s", what, me->link.state, me->link.message);
	return reply == ANSWERED;
}

static bool
say(Client *me, const char *sql)
{
	return is_answered(me, tell(&me->link, sql), sql);
}

/* ---- calls ---- */

/* The id of the lease, or 0. */
static long
acquire(Client *me, const char *expires_in)
{
	char		sql[200];
	PGresult   *result;
	long		id = 0;

	me->asked_ms = now_ms();
	snprintf(sql, sizeof(sql), "SELECT id FROM usage.acquire_lease(" USER ", 'renders', %s)", expires_in);
	if (is_answered(me, ask(&me->link, &result, sql, 0, NULL), sql))
	{
		id = atol(PQgetvalue(result, 0, 0));
		count(me, id == 0 ? FULL : strcmp(expires_in, THE_SESSION) == 0 ? FOR_A_SESSION : FOR_A_TIME);
	}
	PQclear(result);
	return id;
}

static void
release(Client *me, long id)
{
	char		sql[200];

	stop_holding(me->shared, me->number);
	check_pace(me);
	snprintf(sql, sizeof(sql), "SELECT usage.release_lease(" USER ", %ld)", id);
	if (say(me, sql))
		count(me, RELEASED);
}

/* What is renewed while it is held is renewed. */
static bool
renew(Client *me, long id, const char *expires_in)
{
	char		sql[200];
	PGresult   *result;
	bool		answered;

	snprintf(sql, sizeof(sql), "SELECT allowed FROM usage.renew_lease(" USER ", %ld, %s)", id, expires_in);
	answered = is_answered(me, ask(&me->link, &result, sql, 0, NULL), sql);
	if (answered && PQgetvalue(result, 0, 0)[0] == 't')
		count(me, RENEWED);
	else if (answered && now_ms() - me->asked_ms < LONG_ENOUGH_MS)
		snprintf(me->shared->fault[me->number], sizeof(me->shared->fault[0]), "a lease that was held was not renewed");
	PQclear(result);
	return answered;
}

/* ---- what a client does ---- */

static void
hold_a_place(Client *me, const char *expires_in)
{
	long		id = acquire(me, expires_in);

	if (id == 0)
		return;
	hold(me);
	usleep(draw(me, 3000));
	if (chance(me, 300) && !renew(me, id, chance(me, 500) ? THE_SESSION : LONG_ENOUGH))
		return;
	if (strcmp(expires_in, THE_SESSION) == 0 && chance(me, 400) && renew(me, id, THE_SESSION))
		die(me);
	else
		release(me, id);
}

static void
abandon_a_place(Client *me)
{
	if (acquire(me, A_MOMENT) == 0)
		return;
	count(me, ABANDONED);
	if (chance(me, 300))
		die(me);
}

/* Until the end of the transaction nobody else gets it. */
static void
hold_in_vain(Client *me)
{
	long		id;

	if (!say(me, "BEGIN"))
		return;
	id = acquire(me, chance(me, 500) ? THE_SESSION : LONG_ENOUGH);
	if (id != 0)
		hold(me);
	if (PQtransactionStatus(me->link.conn) == PQTRANS_IDLE)
		return;					/* another connection by now */
	usleep(draw(me, 1000));
	stop_holding(me->shared, me->number);
	if (chance(me, 300))
		die(me);
	else if (say(me, "ROLLBACK") && id != 0)
		count(me, ROLLED_BACK);
}

/*
 * Another client's connection.  Its place is not its own any more from the moment at
 * which somebody is going to end it.
 */
static void
terminate_another(Client *me)
{
	int			victim = draw(me, CLIENTS);
	int			place = HOLDS_A_PLACE;
	int			nothing = HOLDS_NOTHING;
	char		sql[300];

	if (victim == me->number || atomic_load(&me->shared->server[victim]) == 0)
		return;
	if (atomic_compare_exchange_strong(&me->shared->state[victim], &place, IS_DOOMED))
		atomic_fetch_sub(&me->shared->holders, 1);
	else if (!atomic_compare_exchange_strong(&me->shared->state[victim], &nothing, IS_DOOMED))
		return;
	snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d)", atomic_load(&me->shared->server[victim]));
	if (say(me, sql))
		count(me, TERMINATED);
}

void
run_client(void *shared, int number)
{
	Client		me = {.shared = shared, .number = number};

	connect_anew(&me);
	while (!me.shared->stop && getppid() == me.shared->parent)
	{
		unsigned	what = draw(&me, 1000);

		if (what < 300)
			hold_a_place(&me, LONG_ENOUGH);
		else if (what < 700)
			hold_a_place(&me, THE_SESSION);
		else if (what < 750)
			abandon_a_place(&me);
		else if (what < 980)
			hold_in_vain(&me);
		else
			terminate_another(&me);
	}
	stop_holding(me.shared, number);
	PQfinish(me.link.conn);
}
