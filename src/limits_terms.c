/*
 * limits_terms.c -- what is particular to one user: his plan, his clock, and what was
 * set for him.
 *
 * Read at each call, by primary key and without a plan (rows.h), unless what this
 * session read before is known to hold (limits_known.c).
 */
#include "compat.h"

#include "access/xact.h"
#include "limits.h"
#include "limits_known.h"
#include "plans.h"
#include "rows.h"
#include "settings.h"

enum
{
	SUBSCRIPTION_USER, SUBSCRIPTION_PLAN, SUBSCRIPTION_STATUS, SUBSCRIPTION_EXPIRES_AT,
	SUBSCRIPTION_ZONE, SUBSCRIPTION_ANCHOR, SUBSCRIPTION_BILLING_START, SUBSCRIPTION_BILLING_END
};

static Table subscriptions = {
	"user_subscriptions", {
		"user_id", "plan", "status", "expires_at", "time_zone", "anchor",
		"billing_period_start", "billing_period_end"
	}
};

enum
{
	OVERRIDE_USER, OVERRIDE_LIMIT, OVERRIDE_MAX_USAGE, OVERRIDE_EXPIRES_AT
};

static Table overrides = {
	"user_limits", {"user_id", "limit_type", "max_usage", "expires_at"}
};

static void
read_billing_period(UserTerms *terms, const Rows *rows)
{
	terms->billing_period.start = row_time(rows, SUBSCRIPTION_BILLING_START, DT_NOBEGIN);
	terms->billing_period.end = row_time(rows, SUBSCRIPTION_BILLING_END, DT_NOEND);
	terms->has_billing_period = !TIMESTAMP_IS_NOBEGIN(terms->billing_period.start);
}

static void
read_subscription(UserTerms *terms, Datum user_id, TimestampTz now)
{
	Key			keys[] = {{SUBSCRIPTION_USER, BTEqualStrategyNumber, user_id}};
	Rows		rows = rows_begin(&subscriptions, keys, lengthof(keys));
	char	   *zone;

	terms->plan = setting_default_plan;
	terms->anchor = now;		/* what his first use would make it */
	terms->is_known = rows_next(&rows);
	if (terms->is_known)
	{
		TimestampTz expires_at = row_time(&rows, SUBSCRIPTION_EXPIRES_AT, DT_NOEND);

		terms->plan = plan_in_force(row_text(&rows, SUBSCRIPTION_PLAN), row_text(&rows, SUBSCRIPTION_STATUS), expires_at, now);
		if (expires_at > now)
			terms->until = Min(terms->until, expires_at);
		terms->anchor = row_time(&rows, SUBSCRIPTION_ANCHOR, now);
		zone = row_text(&rows, SUBSCRIPTION_ZONE);
		terms->zone = zone == NULL ? NULL : find_time_zone(zone);
		read_billing_period(terms, &rows);
	}
	rows_end(&rows);
}

static void
add_override(UserTerms *terms, char *limit_type, Numeric max_usage)
{
	Override	override = {limit_type, max_usage};

	/* room doubles at 0, 1, 3, 7, ... */
	if (terms->noverrides == 0)
		terms->overrides = palloc(sizeof(Override));
	else if ((terms->noverrides & (terms->noverrides + 1)) == 0)
		terms->overrides = repalloc(terms->overrides, (2 * terms->noverrides + 1) * sizeof(Override));
	terms->overrides[terms->noverrides++] = override;
}

static void
read_overrides(UserTerms *terms, Datum user_id, TimestampTz now)
{
	Key			keys[] = {{OVERRIDE_USER, BTEqualStrategyNumber, user_id}};
	Rows		rows = rows_begin(&overrides, keys, lengthof(keys));

	while (rows_next(&rows))
	{
		TimestampTz expires_at = row_time(&rows, OVERRIDE_EXPIRES_AT, DT_NOEND);

		if (expires_at <= now)
			continue;
		add_override(terms, row_text(&rows, OVERRIDE_LIMIT), row_numeric(&rows, OVERRIDE_MAX_USAGE));
		terms->until = Min(terms->until, expires_at);
	}
	rows_end(&rows);
}

/*
 * One look at both tables: an old plan and new overrides may allow what neither
 * the old terms nor the new ones do.
 */
static UserTerms
read_terms(Datum user_id, TimestampTz now, bool afresh)
{
	UserTerms	terms = {.now = now, .until = DT_NOEND};

	if (afresh)
		begin_fresh_view();
	read_subscription(&terms, user_id, now);
	read_overrides(&terms, user_id, now);
	if (afresh)
		end_fresh_view();
	return terms;
}

/* Allocated in SPI's context: gone when the caller leaves the owner's role. */
UserTerms
terms_of_user(Datum user_id, TimestampTz now, bool afresh)
{
	UserTerms	terms;
	Seen		seen;

	if (!afresh && IsolationUsesXactSnapshot())
		return read_terms(user_id, now, false);
	if (find_known_terms(user_id, now, &seen, &terms))
		return terms;
	terms = read_terms(user_id, now, afresh || seen.may_keep);
	keep_known_terms(&seen, &terms);
	return terms;
}

/* Of a user who is known from now on, if not before. */
UserTerms
known_terms(Datum user_id, TimestampTz at)
{
	UserTerms	terms = terms_of_user(user_id, usage_now(), true);

	while (!terms.is_known)
	{
		note_first_use(user_id, at);
		terms = terms_of_user(user_id, usage_now(), true);
	}
	return terms;
}

pg_tz *
zone_of_user(const UserTerms *terms)
{
	return terms->zone != NULL ? terms->zone : default_time_zone();
}
