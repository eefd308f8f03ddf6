/*
 * storm_client.c -- a client that uses things and takes them back, in every way that
 * may be interrupted, undone, or ended by somebody else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storm.h"

#define DEPTH 70				/* more subtransactions than PostgreSQL caches */
#define MAX_STEPS 4
#define USERS_TO_LOOK_AT 4

typedef struct Client
{
	Shared	   *shared;
	int			number;
	uint64_t	draws;
	long		prepared;
	Link		link;
	Link		other;			/* ends what this one prepared */
} Client;

static unsigned
draw(Client *me, unsigned below)
{
	return mix(me->shared->seed ^ ((uint64_t) (me->number + 1) << 40), me->draws++) % below;
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

/*
 * Cancelled, terminated, deadlocked, a use too many for an older snapshot, uses
 * kept out, no room for what is prepared.
 */
static bool
was_to_be_expected(const Client *me)
{
	return strstr("57014 57P01 40P01 40001 55P03 53200", me->link.state) != NULL;
}

static void
note_fault(Client *me, const char *sql)
{
	char	   *first = me->shared->fault[me->number];

	if (first[0] == '\0')
		snprintf(first, sizeof(me->shared->fault[0]), "%s: %s %s", sql, me->link.state, me->link.message);
}

/* The first value of the answer stands in "value". */
static bool
answered(Client *me, const char *sql, char *value)
{
	PGresult   *result;
	Reply		reply = ask(&me->link, &result, sql, 0, NULL);

	if (reply == ANSWERED && value != NULL)
		snprintf(value, 16, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	if (reply == REFUSED && !was_to_be_expected(me))
		note_fault(me, sql);
	if (reply != ANSWERED)
		count(me, INTERRUPTED);
	if (reply == GONE)
		connect_link(&me->link);
	return reply == ANSWERED;
}

static bool
say(Client *me, const char *sql)
{
	return answered(me, sql, NULL);
}

/* ---- one step ---- */

/* A few cold users at a time are everybody's, so that their counters come and go. */
static int
choose_user(Client *me)
{
	unsigned	kind = draw(me, 100);

	if (kind < 20)
		return draw(me, HOT_USERS);
	if (kind < 80)
		return FIRST_COLD_USER + ((now_ms() - me->shared->began_ms) / 250 * 3 + draw(me, 5)) % COLD_USERS;
	if (kind < 90)
		return FIRST_COLD_USER + draw(me, COLD_USERS);
	if (kind < 97)
		return FIRST_FACT_USER + draw(me, FACT_USERS);
	return FIRST_ODD_USER + draw(me, FIRST_FACT_USER + FACT_USERS - FIRST_ODD_USER);
}

static bool
record_fact(Client *me, int user)
{
	unsigned	way = draw(me, user >= FIRST_ODD_USER ? 100 : 75);
	char		sql[300];

	if (way < 50)
		snprintf(sql, sizeof(sql), "SELECT usage.track_usage(storm.user_id(%d), 'unit', %u,"
				 " occurred_at => clock_timestamp() - make_interval(secs => %u))", user, 1 + draw(me, 9), draw(me, 3) * draw(me, 100000));
	else if (way >= 75)
		snprintf(sql, sizeof(sql), "SELECT storm.insert_one(storm.user_id(%d), %u)", user, 1 + draw(me, 9));
	else
		snprintf(sql, sizeof(sql), "SELECT usage.set_user_limit(storm.user_id(%d), 'units_ever', %u)", user, 1 + draw(me, 2000));
	if (!say(me, sql))
		return false;
	count(me, way < 50 ? LATE : way < 75 ? MAXIMA_CHANGED : INSERTED);
	return true;
}

static bool
take_back(Client *me, int user)
{
	bool		reverses = chance(me, 600);
	char		sql[200];

	if (reverses)
		snprintf(sql, sizeof(sql), "SELECT storm.reverse_one(storm.user_id(%d))", user);
	else
		snprintf(sql, sizeof(sql), "SELECT usage.adjust_usage(storm.user_id(%d), 'units_ever', %u)", user, draw(me, 13));
	if (!say(me, sql))
		return false;
	count(me, reverses ? REVERSED : ADJUSTED);
	return true;
}

static bool
use(Client *me, int user)
{
	unsigned	way = draw(me, 100);
	unsigned	quarters = 1 + draw(me, 40);
	char		allowed[16];
	char		sql[300];

	if (way < 3)
	{
		snprintf(sql, sizeof(sql), "SELECT storm.deep(storm.user_id(%d), %d)", user, DEPTH);
		if (!say(me, sql))
			return false;
		count(me, DEEP);
		return true;
	}
	if (way < 30)
		snprintf(sql, sizeof(sql), "SELECT (storm.in_a_block(storm.user_id(%d), %u / 4.0, %s)).allowed",
				 user, quarters, way < 15 ? "true" : "false");
	else
		snprintf(sql, sizeof(sql), "SELECT allowed FROM usage.consume_usage(storm.user_id(%d), 'unit', %u / 4.0)", user, quarters);
	if (!answered(me, sql, allowed))
		return false;
	count(me, way < 15 ? UNDONE_IN_BLOCK : allowed[0] == 't' ? USED : DENIED);
	return true;
}

static bool
take_step(Client *me, int user)
{
	if (user >= FIRST_FACT_USER)
		return record_fact(me, user);
	return chance(me, 180) ? take_back(me, user) : use(me, user);
}

static bool
take_step_in_savepoint(Client *me, int user)
{
	if (!chance(me, 300))
		return take_step(me, user);
	return say(me, "SAVEPOINT s") && take_step(me, user) && say(me, chance(me, 500) ? "ROLLBACK TO s" : "RELEASE s");
}

/* Uses something in vain.  That brings counters to memory, and so pushes others out of it. */
static void
look(Client *me)
{
	char		sql[300];

	for (int i = 0; i < USERS_TO_LOOK_AT; i++)
	{
		snprintf(sql, sizeof(sql), "SELECT storm.in_a_block(storm.user_id(%d), 0.25, true)", choose_user(me));
		if (!say(me, sql))
			return;
	}
	count(me, LOOKED);
	usleep(draw(me, 2000));
}

/* ---- a transaction ---- */

static void
roll_back(Client *me)
{
	while (PQtransactionStatus(me->link.conn) == PQTRANS_INTRANS || PQtransactionStatus(me->link.conn) == PQTRANS_INERROR)
		tell(&me->link, "ROLLBACK");
}

/* Who hears nothing may have prepared it, or prepares it still: the monitor finds it. */
static void
end_by_another(Client *me)
{
	bool		commits = chance(me, 600);
	char		sql[100];
	Reply		reply;

	snprintf(sql, sizeof(sql), "PREPARE TRANSACTION 'storm-%d-%ld'", me->number, ++me->prepared);
	if (!say(me, sql))
	{
		roll_back(me);
		return;
	}
	usleep(draw(me, 4000));
	snprintf(sql, sizeof(sql), "%s PREPARED 'storm-%d-%ld'", commits ? "COMMIT" : "ROLLBACK", me->number, me->prepared);
	while ((reply = tell(&me->other, sql)) != ANSWERED && strcmp(me->other.state, "42704") != 0)
		if (reply == GONE)
			connect_link(&me->other);
	count(me, commits ? COMMITTED_PREPARED : ROLLED_BACK_PREPARED);
}

static void
finish(Client *me)
{
	unsigned	end = draw(me, 1000);

	if (end < 100)
		end_by_another(me);
	else if (end < 700)
	{
		if (say(me, "COMMIT"))
			count(me, COMMITTED);
	}
	else if (end < 960)
		count(me, ROLLED_BACK);
	else
	{
		if (end < 980)
			(void) PQsendQuery(me->link.conn, "COMMIT");
		cut_link(&me->link);
		count(me, CUT);
	}
	roll_back(me);
}

static int
compare_users(const void *a, const void *b)
{
	return *(const int *) a - *(const int *) b;
}

static void
run_transaction(Client *me)
{
	int			users[MAX_STEPS];
	int			n = chance(me, 600) ? 1 : 1 + draw(me, MAX_STEPS);
	bool		goes_on = say(me, chance(me, 200) ? "BEGIN ISOLATION LEVEL REPEATABLE READ" : "BEGIN");

	for (int i = 0; i < n; i++)
		users[i] = choose_user(me);
	qsort(users, n, sizeof(int), compare_users);
	if (goes_on && chance(me, 50))
		goes_on = say(me, "SET LOCAL statement_timeout = 5");
	for (int i = 0; i < n && goes_on; i++)
		goes_on = take_step_in_savepoint(me, users[i]);
	if (goes_on && chance(me, 300))
		usleep(draw(me, 5000));
	if (goes_on)
		finish(me);
	else
		roll_back(me);
}

static void
disturb(Client *me)
{
	char		sql[300];

	snprintf(sql, sizeof(sql),
			 "SELECT pg_%s_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
			 " WHERE datname = current_database() AND application_name = 'stress client'"
			 " AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1) AS other",
			 chance(me, 500) ? "terminate" : "cancel");
	if (say(me, sql))
		count(me, DISTURBED);
}

/* In a build with faults: reading a counter from tables takes a while, of some for longer. */
static void
dawdle(Client *me)
{
	char		sql[200];

	snprintf(sql, sizeof(sql), "SELECT set_config(name, 'read %u', false) FROM pg_settings WHERE name = 'usage_tracking.fault'",
			 draw(me, me->number < WRITERS ? 2 : 16));
	say(me, sql);
}

void
run_client(void *shared, int number)
{
	Client		me = {.shared = shared, .number = number};

	connect_link(&me.link);
	connect_link(&me.other);
	while (!me.shared->stop && getppid() == me.shared->parent)
	{
		me.shared->idle[number] = me.shared->paused;
		if (me.shared->paused)
			usleep(1000);
		else if (chance(&me, 15))
			disturb(&me);
		else if (chance(&me, 100))
			dawdle(&me);
		else if (number >= WRITERS && chance(&me, 970))
			look(&me);
		else
			run_transaction(&me);
	}
	PQfinish(me.link.conn);
	PQfinish(me.other.conn);
}
