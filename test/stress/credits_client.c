/*
 * credits_client.c -- a client that spends, and does not always mean it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "credits.h"

typedef struct Client
{
	Shared	   *shared;
	int			number;
	long		references;
	Link		link;
	bool		was_allowed;	/* by the last answer */
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
fault(Client *me, const char *sql)
{
	char	   *first = me->shared->fault[me->number];

	if (first[0] == '\0')
		snprintf(first, sizeof(me->shared->fault[0]), "%s: %s %s", sql, me->link.state, me->link.message);
}

/* Waiting in a circle, or for too long at REPEATABLE READ, is nobody's fault. */
static bool
heard(Client *me, Reply reply, PGresult *result, const char *sql)
{
	me->was_allowed = reply == ANSWERED && PQntuples(result) == 1 && PQgetvalue(result, 0, 0)[0] == 't';
	PQclear(result);
	if (reply == GONE)
		connect_link(&me->link);
	else if (reply == REFUSED && strcmp(me->link.state, "40001") == 0)
		count(me, TOO_LATE);
	else if (reply == REFUSED && strcmp(me->link.state, "40P01") == 0)
		count(me, DEADLOCKED);
	else if (reply == REFUSED && strcmp(me->link.state, "22023") == 0 && strstr(sql, "refund") != NULL)
		count(me, REFUSED_REFUND);
	else if (reply == REFUSED)
		fault(me, sql);
	return reply == ANSWERED;
}

static bool
say(Client *me, const char *sql)
{
	PGresult   *result;
	Reply		reply = ask(&me->link, &result, sql, 0, NULL);

	return heard(me, reply, result, sql);
}

/* ---- the purse ---- */

typedef enum Way
{
	SPEND, CONSUME, CONSUME_CLIP, RESERVE, WAYS
} Way;

/* Some tenths of a credit; a unit is 25 of them. */
static void
say_how(char *sql, size_t size, Way way, int tenths, const char *reference)
{
	char		named[60] = "";
	const char *last = reference != NULL ? named : "gen_random_uuid()::text";

	if (reference != NULL)
		snprintf(named, sizeof(named), "'%s'", reference);
	if (way == SPEND)
		snprintf(sql, size, "SELECT credits.mean(usage.spend_credits('" USER_ID_FORMAT "', %d * 0.1, %s), %d * 0.1, %s)",
				 PURSE, tenths, reference != NULL ? named : "NULL", tenths, last);
	else if (way == RESERVE)
		snprintf(sql, size, "SELECT credits.mean(usage.commit_usage(u.id, r.id), %d * 0.1) FROM (SELECT '" USER_ID_FORMAT "'::uuid AS id) AS u,"
				 " LATERAL usage.reserve_usage(u.id, 'clip', %d) AS r WHERE r.allowed", tenths, PURSE, tenths);
	else
		snprintf(sql, size, "SELECT credits.mean(usage.consume_usage('" USER_ID_FORMAT "', '%s', %d * %s, idempotency_key => %s), %d * 0.1, %s)",
				 PURSE, way == CONSUME ? "unit" : "clip", tenths, way == CONSUME ? "0.04" : "1",
				 reference != NULL ? named : "NULL", tenths, last);
}

/* False: the transaction is lost.  Refused or not, it is written down. */
static bool
spend(Client *me, int tenths)
{
	char		sql[500];
	Way			way = draw(me, WAYS);

	say_how(sql, sizeof(sql), way, tenths, NULL);
	if (!say(me, sql))
		return false;
	if (me->was_allowed)
		count(me, way == SPEND ? SPENT : CONSUMED);
	return true;
}

#define MOST_LOST 5

/* Whoever was left alone may still do what he was asked for. */
static void
await_backends(Client *me, const int *pids, int n)
{
	char		sql[120];

	for (int i = 0; i < n; i++)
	{
		snprintf(sql, sizeof(sql), "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = %d", pids[i]);
		while (!say(me, sql) || !me->was_allowed)
			usleep(2000);
	}
}

/*
 * Asks until there is an answer; a refusal is one when nobody else is still asking,
 * because it keeps no reference.  It is written down later, in a transaction of
 * its own, so what was charged before the answer was lost is charged no more.
 */
static void
spend_by_reference(Client *me, int tenths)
{
	char		reference[30];
	char		sql[400];
	PGresult   *result;
	Reply		reply;
	bool		is_spend = chance(me, 500);
	int			lost[MOST_LOST];
	int			nlost = 0;
	bool		is_last = false;

	snprintf(reference, sizeof(reference), "r%d.%ld", me->number, me->references++);
	if (is_spend)
		snprintf(sql, sizeof(sql), "SELECT allowed, reason FROM usage.spend_credits('" USER_ID_FORMAT "', %d * 0.1, '%s')", PURSE, tenths, reference);
	else
		snprintf(sql, sizeof(sql), "SELECT allowed, reason FROM usage.consume_usage('" USER_ID_FORMAT "', 'clip', %d, idempotency_key => '%s')",
				 PURSE, tenths, reference);
	for (;;)
	{
		send_query(&me->link, sql, 0, NULL);
		if (nlost == 0 || (nlost < MOST_LOST && chance(me, 200)))
		{
			usleep(draw(me, 5000));
			lost[nlost++] = PQbackendPID(me->link.conn);
			cut_link(&me->link);
			continue;
		}
		reply = read_reply(&me->link, &result);
		if (reply == ANSWERED && strcmp(PQgetvalue(result, 0, 1), "replayed") == 0)
			count(me, REPEATED);
		if (heard(me, reply, result, sql) && (me->was_allowed || is_last))
			break;
		if (reply == ANSWERED)
		{
			await_backends(me, lost, nlost);
			is_last = true;
			nlost = MOST_LOST;	/* from here on nothing is lost */
		}
	}
	snprintf(sql, sizeof(sql), "INSERT INTO credits.meant VALUES ('%s', %d * 0.1) ON CONFLICT DO NOTHING", reference, me->was_allowed ? tenths : 0);
	while (!say(me, sql))
		;
}

/* ---- transactions ---- */

/* False: the connection or the transaction is lost. */
static bool
spend_in_savepoint(Client *me)
{
	bool		undo = chance(me, 500);
	bool		well = say(me, "SAVEPOINT sp") && spend(me, 1 + draw(me, 30)) && (chance(me, 500) || spend(me, 1 + draw(me, 10)));

	if (PQtransactionStatus(me->link.conn) == PQTRANS_IDLE)
		return false;
	if (well && !undo)
		return say(me, "RELEASE sp");
	if (!say(me, "ROLLBACK TO sp"))
		return false;
	count(me, UNDONE);
	return true;
}

static void
spend_together(Client *me)
{
	bool		well = say(me, chance(me, 150) ? "BEGIN ISOLATION LEVEL REPEATABLE READ" : "BEGIN");

	for (int left = 1 + draw(me, 3); well && left > 0; left--)
		well = chance(me, 400) ? spend_in_savepoint(me) : spend(me, 1 + draw(me, 30));
	if (chance(me, 100))
	{
		count(me, CUT);
		cut_link(&me->link);
	}
	else if (chance(me, 300))
	{
		if (say(me, "ROLLBACK"))
			count(me, ROLLED_BACK);
	}
	else if (PQtransactionStatus(me->link.conn) != PQTRANS_IDLE)
		(void) say(me, "COMMIT");
}

/* ---- the wallet ---- */

/* Of the last transactions and uses, whoever made them: many want the same. */
#define ONE_OF_THE_LAST(columns, condition) \
	"(SELECT " columns " FROM (SELECT " columns " FROM usage.credit_ledger WHERE user_id = '" USER_ID_FORMAT "' AND " condition \
	" ORDER BY id DESC LIMIT 5) AS l ORDER BY random() LIMIT 1)"

static void
use_wallet(Client *me)
{
	char		sql[600];
	int			what = draw(me, 6);

	if (what == 0)
		snprintf(sql, sizeof(sql), "SELECT usage.grant_credits('" USER_ID_FORMAT "', %u, expires_at => usage._usage_now() + '%u ms'::interval, priority => %u)",
				 WALLET, 1 + draw(me, 9), 1 + draw(me, 900), draw(me, 3));
	else if (what == 1)
		snprintf(sql, sizeof(sql), "SELECT usage.spend_credits('" USER_ID_FORMAT "', %u * 0.5)", WALLET, 1 + draw(me, 9));
	else if (what == 2)
		snprintf(sql, sizeof(sql), "SELECT usage.%s('" USER_ID_FORMAT "', 'unit', %u)", chance(me, 500) ? "track_usage" : "consume_usage", WALLET, 1 + draw(me, 3));
	else if (what == 3)
		snprintf(sql, sizeof(sql), "SELECT usage.reverse_usage('" USER_ID_FORMAT "', l.event_id) FROM " ONE_OF_THE_LAST("event_id", "event_id IS NOT NULL") " AS l",
				 WALLET, WALLET);
	else
		snprintf(sql, sizeof(sql), "SELECT usage.refund_credits('" USER_ID_FORMAT "', l.id%s) FROM " ONE_OF_THE_LAST("id", "amount < 0 AND action <> 'expiry'") " AS l",
				 WALLET, chance(me, 500) ? ", 0.5" : "", WALLET);
	if (say(me, sql))
		count(me, what == 0 ? GRANTED : what == 1 ? SPENT : what == 2 ? CONSUMED : what == 3 ? TAKEN_BACK : REFUNDED);
}

/* ---- to the end ---- */

/* Whoever comes last finds nothing. */
static void
empty_purse(Client *me)
{
	do
	{
		char		sql[500];

		say_how(sql, sizeof(sql), SPEND, 1, NULL);
		while (!say(me, sql))
			;
	} while (me->was_allowed);
	count(me, REFUSED_EMPTY);
}

void
run_client(void *shared, int number)
{
	Client		me = {.shared = shared,.number = number};

	connect_link(&me.link);
	while (!me.shared->stop)
	{
		if (chance(&me, 300))
			use_wallet(&me);
		else if (chance(&me, 150))
			spend_by_reference(&me, 1 + draw(&me, 30));
		else if (chance(&me, 500))
			spend_together(&me);
		else if (chance(&me, 100))
			empty_purse(&me);
		else
			(void) spend(&me, 1 + draw(&me, 60));
		if (PQtransactionStatus(me.link.conn) != PQTRANS_IDLE)
			(void) say(&me, "ROLLBACK");
	}
	empty_purse(&me);
	PQfinish(me.link.conn);
}
