/*
 * plans_stripe.c -- events of Stripe, and the rows of users that follow from them.
 *
 * What an event says is kept (sql/plans.sql); what a user's row is to be is asked
 * of all that is kept, once with the new event and once without it.  Only if the
 * answers differ is the row written, so an event that comes late, or again, does
 * not undo what an admin did since.
 *
 * Two events at once: each locks its customer and then the users it may concern,
 * and looks only then.  Whoever is second sees what the first did.  A change of
 * what prices pay for shuts all events out, by a lock on the table against INSERT.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "errors.h"
#include "locks.h"
#include "miscadmin.h"
#include "plans.h"
#include "settings.h"
#include "storage/lmgr.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

/* So many locks at most for a transaction that takes many events. */
#define LOCKS 256
#define CUSTOMERS 1
#define USERS 2

/* Whom an event may concern. */
typedef struct Payer
{
	Datum		user_id;
	uint32		lock;
} Payer;

static Oid
stripe_events(const Installation *home)
{
	return get_relname_relid("stripe_events", home->schema);
}

static uint32
lock_number(const char *name)
{
	return hash_bytes((const unsigned char *) name, strlen(name)) % LOCKS;
}

static Statement read_event = {
	"SELECT id, customer, subscription FROM @extschema@._read_stripe_event($1)", 1, {JSONBOID}
};

static Statement find_event = {
	"SELECT FROM @extschema@.stripe_events WHERE id OPERATOR(pg_catalog.=) $1", 1, {TEXTOID}
};

static Statement keep_event = {
	"INSERT INTO @extschema@.stripe_events SELECT * FROM @extschema@._read_stripe_event($1)"
	" ON CONFLICT (id) DO NOTHING",
	1, {JSONBOID}
};

/* Whose subscriptions of the customer stand otherwise than without this event, or were another's. */
static Statement find_payers = {
	"SELECT s.user_id, CAST(s.user_id AS pg_catalog.text) FROM ("
	" ( SELECT * FROM @extschema@._stripe_subscriptions(ARRAY[$1], NULL)"
	" EXCEPT SELECT * FROM @extschema@._stripe_subscriptions(ARRAY[$1], $2))"
	" UNION ALL ( SELECT * FROM @extschema@._stripe_subscriptions(ARRAY[$1], $2)"
	" EXCEPT SELECT * FROM @extschema@._stripe_subscriptions(ARRAY[$1], NULL))) AS s"
	" WHERE s.user_id IS NOT NULL GROUP BY s.user_id",
	2, {TEXTOID, TEXTOID}
};

static Statement find_payers_of_price = {
	"SELECT s.user_id, CAST(s.user_id AS pg_catalog.text)"
	" FROM @extschema@._stripe_subscriptions(ARRAY(SELECT e.customer FROM @extschema@.stripe_events AS e"
	" WHERE $1 OPERATOR(pg_catalog.=) ANY (e.prices)), NULL) AS s"
	" WHERE s.user_id IS NOT NULL GROUP BY s.user_id",
	1, {TEXTOID}
};

static Statement find_news = {
	"SELECT customer, subscription, plan, status, period_start, period_end, expires_at, is_known, moves_clock"
	" FROM @extschema@._stripe_news($1, $2)",
	2, {USER_ID, TEXTOID}
};

static Statement follow = {
	"INSERT INTO @extschema@.user_subscriptions (user_id, started_at, anchor, stripe_customer_id,"
	" stripe_subscription_id, plan, status, billing_period_start, billing_period_end, expires_at)"
	" VALUES ($1, $2, $2, $3, $4, $5, $6, $7, $8, $9)"
	" ON CONFLICT (user_id) DO UPDATE SET stripe_customer_id = $3, stripe_subscription_id = $4, plan = $5,"
	" status = $6, billing_period_start = $7, billing_period_end = $8, expires_at = $9",
	9, {USER_ID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

/* Whether the subscription, or one of the customer, is somebody's and known to pay for a plan. */
static Statement find_effect = {
	"SELECT FROM @extschema@._stripe_subscriptions(ARRAY[$1], NULL) AS s"
	" WHERE s.user_id IS NOT NULL AND s.plan IS NOT NULL"
	" AND ($2 IS NULL OR s.subscription OPERATOR(pg_catalog.=) $2)",
	2, {TEXTOID, TEXTOID}
};

static Statement map_price = {
	"INSERT INTO @extschema@.stripe_prices AS p (price, plan) VALUES ($1, $2)"
	" ON CONFLICT (price) DO UPDATE SET plan = EXCLUDED.plan"
	" WHERE p.plan OPERATOR(pg_catalog.<>) EXCLUDED.plan",
	2, {TEXTOID, TEXTOID}
};

static int
compare_payers(const void *a, const void *b)
{
	uint32		first = ((const Payer *) a)->lock;
	uint32		second = ((const Payer *) b)->lock;

	return first < second ? -1 : first > second;
}

/* Of the last result, in the order in which their locks are taken. */
static Payer *
found_payers(const Installation *home, uint64 n)
{
	Payer	   *payers = palloc((n + 1) * sizeof(Payer));
	bool		byval = get_typbyval(home->user_id_type);
	int			length = get_typlen(home->user_id_type);
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
	{
		payers[i].user_id = datumCopy(result_datum(i, 1, &isnull), byval, length);
		payers[i].lock = lock_number(result_text(i, 2));
	}
	qsort(payers, n, sizeof(Payer), compare_payers);
	return payers;
}

/*
 * False if nothing is new to him.  "without" is the event that may be news, NULL
 * to write whatever is known.
 */
static bool
follow_news(const Installation *home, Datum user_id, const char *without)
{
	Datum		asked[] = {user_id, without == NULL ? (Datum) 0 : CStringGetTextDatum(without)};
	Datum		args[9] = {user_id, TimestampTzGetDatum(usage_now())};
	char		nulls[10] = "         ";

	if (statement_look_afresh(&find_news, asked, without == NULL ? " n" : NULL) == 0)
		return false;
	for (int i = 0; i < 7; i++)
	{
		bool		isnull;
		Datum		value = result_datum(0, i + 1, &isnull);

		nulls[i + 2] = isnull ? 'n' : ' ';
		if (!isnull)
			args[i + 2] = i < 4 ? datumCopy(value, false, -1) : value;
	}
	if (result_bool(0, 8))
		return true;
	if (result_bool(0, 9))
		lock_out_uses_of(home, user_id);
	statement_write(&follow, args, nulls);
	return true;
}

/* What follows from an event that is kept now. */
static const char *
follow_event(const Installation *home, const char *id, const char *customer, const char *subscription)
{
	Datum		about[] = {CStringGetTextDatum(customer), CStringGetTextDatum(id)};
	Datum		what[] = {about[0], subscription == NULL ? (Datum) 0 : CStringGetTextDatum(subscription)};
	uint64		n = statement_look_afresh(&find_payers, about, NULL);
	Payer	   *payers = found_payers(home, n);
	bool		is_news = false;

	for (uint64 i = 0; i < n; i++)
		LockDatabaseObject(stripe_events(home), payers[i].lock, USERS, ExclusiveLock);
	for (uint64 i = 0; i < n; i++)
		is_news |= follow_news(home, payers[i].user_id, id);
	if (is_news)
		return "applied";
	return statement_look_afresh(&find_effect, what, subscription == NULL ? " n" : NULL) > 0 ? "unchanged" : "waiting";
}

static const char *
apply_event(const Installation *home, Datum event)
{
	Datum		args[1];
	char	   *id;
	char	   *customer;
	char	   *subscription;

	if (statement_look(&read_event, &event, NULL) == 0)
		return "ignored";
	id = result_text(0, 1);
	customer = result_text(0, 2);
	subscription = result_text(0, 3);
	args[0] = CStringGetTextDatum(id);
	LockDatabaseObject(stripe_events(home), lock_number(customer), CUSTOMERS, ExclusiveLock);
	if (statement_look_afresh(&find_event, args, NULL) > 0 || statement_write(&keep_event, &event, NULL) == 0)
		return "repeated";
	return follow_event(home, id, customer, subscription);
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_apply_stripe_event);
Datum
ut_apply_stripe_event(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	const char *outcome;
	Disguise	before;

	check_is_server(home);
	PreventCommandDuringRecovery("apply_stripe_event()");
	check_not_null(PG_ARGISNULL(0), "event");
	become_owner(home, &before);
	outcome = apply_event(home, PG_GETARG_DATUM(0));
	become_caller(&before);
	PG_RETURN_TEXT_P(cstring_to_text(outcome));
}

PG_FUNCTION_INFO_V1(ut_set_stripe_price);
Datum
ut_set_stripe_price(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[2];
	char	   *plan;
	Disguise	before;

	check_is_admin_or_server(home);
	PreventCommandDuringRecovery("set_stripe_price()");
	check_not_null(PG_ARGISNULL(0), "price");
	args[0] = CStringGetTextDatum(text_argument(fcinfo, 0, "price"));
	plan = plain_name_argument(fcinfo, 1, "plan");
	args[1] = CStringGetTextDatum(plan);
	become_owner(home, &before);
	check_plan_exists(plan);
	LockRelationOid(stripe_events(home), ShareRowExclusiveLock);
	if (statement_write(&map_price, args, NULL) > 0)
	{
		uint64		n = statement_look_afresh(&find_payers_of_price, args, NULL);
		Payer	   *payers = found_payers(home, n);

		for (uint64 i = 0; i < n; i++)
			follow_news(home, payers[i].user_id, NULL);
	}
	become_caller(&before);
	PG_RETURN_VOID();
}
