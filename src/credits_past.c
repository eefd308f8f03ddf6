/*
 * credits_past.c -- what a user's plan gave, and what he had, at an instant of the past.
 *
 * The ledger knows what was written down.  What was due and nobody wrote down follows
 * from the plan and the refill of that time, which usage_changes tells: the row before
 * the first change after an instant is the row of that instant.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "credits.h"
#include "numbers.h"
#include "plans.h"
#include "utils/timestamp.h"

/* ---- plans and refills ---- */

static Statement find_plan_then = {
	"SELECT plan, status, expires_at FROM ("
	"(SELECT 1 AS n, old OPERATOR(pg_catalog.->>) 'plan' AS plan, old OPERATOR(pg_catalog.->>) 'status' AS status,"
	" CAST(old OPERATOR(pg_catalog.->>) 'expires_at' AS pg_catalog.timestamptz) AS expires_at"
	" FROM @extschema@.usage_changes WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND table_name OPERATOR(pg_catalog.=) 'user_subscriptions' AND changed_at OPERATOR(pg_catalog.>) $2"
	" ORDER BY id LIMIT 1)"
	" UNION ALL SELECT 2, plan, status, expires_at FROM @extschema@.user_subscriptions"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 ORDER BY n LIMIT 1) AS s",
	2, {USER_ID, TIMESTAMPTZOID}
};

static const char *
plan_at(Datum user_id, TimestampTz at)
{
	Datum		args[] = {user_id, TimestampTzGetDatum(at)};

	if (statement_look(&find_plan_then, args, NULL) == 0)
		return plan_in_force(NULL, NULL, DT_NOEND, at);
	return plan_in_force(result_text(0, 1), result_text(0, 2), result_time(0, 3, DT_NOEND), at);
}

static Statement find_refill_then = {
	"SELECT CAST(old OPERATOR(pg_catalog.->>) 'amount' AS pg_catalog.numeric),"
	" CAST(old OPERATOR(pg_catalog.->>) 'max_rollover' AS pg_catalog.numeric),"
	" CAST(old OPERATOR(pg_catalog.->>) 'period' AS pg_catalog.interval) FROM @extschema@.usage_changes"
	" WHERE table_name OPERATOR(pg_catalog.=) 'credit_refills' AND changed_at OPERATOR(pg_catalog.>) $2"
	" AND COALESCE(old, new) OPERATOR(pg_catalog.->>) 'plan' OPERATOR(pg_catalog.=) $1"
	" ORDER BY id LIMIT 1",
	2, {TEXTOID, TIMESTAMPTZOID}
};

Refill
refill_at(Datum user_id, TimestampTz at)
{
	const char *plan = plan_at(user_id, at);
	Datum		args[] = {CStringGetTextDatum(plan), TimestampTzGetDatum(at)};
	bool		isnull;
	Datum		period;

	if (statement_look(&find_refill_then, args, NULL) == 0)
		return refill_of_plan(plan);
	period = result_datum(0, 3, &isnull);
	if (isnull)
		return with_override(plan, (Refill) {NULL});	/* it had none */
	return with_override(plan, (Refill) {result_numeric(0, 1), result_numeric(0, 2), *DatumGetIntervalP(period)});
}

/* Few: when his plan was changed, or any refill. */
static Statement find_changes = {
	"SELECT changed_at FROM @extschema@.usage_changes WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND table_name OPERATOR(pg_catalog.=) 'user_subscriptions'"
	" AND changed_at OPERATOR(pg_catalog.>) $2 AND changed_at OPERATOR(pg_catalog.<=) $3"
	" UNION SELECT changed_at FROM @extschema@.usage_changes"
	" WHERE table_name OPERATOR(pg_catalog.=) 'credit_refills'"
	" AND changed_at OPERATOR(pg_catalog.>) $2 AND changed_at OPERATOR(pg_catalog.<=) $3"
	" ORDER BY 1",
	3, {USER_ID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

/* From "begin" to "last", each change of what he was given; at least one step.  "present" is that of now. */
RefillSteps
refill_steps(Datum user_id, TimestampTz begin, TimestampTz last, const Refill *present, TimestampTz now)
{
	Datum		args[] = {user_id, TimestampTzGetDatum(begin), TimestampTzGetDatum(now)};
	int			nchanges = statement_look(&find_changes, args, NULL);
	RefillSteps steps = {palloc((nchanges + 1) * sizeof(RefillStep)), 1};

	steps.all[0].since = begin;
	for (int i = 0; i < nchanges; i++)
		if (result_time(i, 1, 0) <= last)
			steps.all[steps.n++].since = result_time(i, 1, 0);
	for (int i = 0; i < steps.n; i++)
		steps.all[i].refill = nchanges == 0 ? *present : refill_at(user_id, steps.all[i].since);
	return steps;
}

/* ---- what he had ---- */

#define CHANGES_UP_TO_THEN \
	" FROM @extschema@.credit_ledger WHERE user_id OPERATOR(pg_catalog.=) $1" \
	" AND effective_at OPERATOR(pg_catalog.<=) $2"

static Statement find_grants_then = {
	"WITH parts AS MATERIALIZED (SELECT p.grant_id, pg_catalog.sum(p.amount) AS amount"
	" FROM (SELECT grants, amounts" CHANGES_UP_TO_THEN ") AS l CROSS JOIN LATERAL"
	" ROWS FROM (pg_catalog.unnest(l.grants), pg_catalog.unnest(l.amounts)) AS p (grant_id, amount)"
	" GROUP BY p.grant_id)"
	" SELECT g.id, g.is_refill, g.amount, p.amount, g.priority, g.effective_at, g.expires_at, g.max_rollover,"
	" g.rollover_until, g.is_open FROM parts AS p JOIN @extschema@.credit_grants AS g"
	" ON g.user_id OPERATOR(pg_catalog.=) $1 AND g.id OPERATOR(pg_catalog.=) p.grant_id"
	" UNION ALL SELECT 0, false, 0, p.amount, 0, NULL, NULL, 0, NULL, false"
	" FROM parts AS p WHERE p.grant_id OPERATOR(pg_catalog.=) 0",
	2, {USER_ID, TIMESTAMPTZOID}
};

static Statement find_last_change_then = {
	"SELECT pg_catalog.max(recorded_at) FROM @extschema@.credit_ledger WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND recorded_at OPERATOR(pg_catalog.<=) $2",
	2, {USER_ID, TIMESTAMPTZOID}
};

Numeric
balance_then(const Installation *home, Datum user_id, const UserTerms *terms, TimestampTz at)
{
	Datum		args[] = {user_id, TimestampTzGetDatum(at)};
	Account		account = empty_account(home, user_id);
	Grant	   *debt;

	account.now = at;
	statement_look(&find_last_change_then, args, NULL);
	account.updated_at = result_time(0, 1, DT_NOBEGIN);
	account.is_known = !TIMESTAMP_IS_NOBEGIN(account.updated_at);
	read_grants(&account, statement_look(&find_grants_then, args, NULL), 1);
	debt = find_grant(&account, 0);
	if (debt != NULL)
	{
		account.owed = num_sub(num_zero, debt->remaining);
		debt->remaining = num_zero;
	}
	account.refill = refill_at(user_id, at);
	add_due_refills(&account, terms);
	return balance_at(&account, at);
}
