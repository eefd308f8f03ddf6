/*
 * plans.c -- what did they sign up for?
 *
 * A user's row is made at sign-up or at his first use, whichever comes first;
 * it carries his clock (zone, anchor and billing period) as well.  A row without
 * a plan means usage_tracking.default_plan, at the moment of reading.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "arguments.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "locks.h"
#include "plans.h"
#include "settings.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#define MAX_BILLING_DAYS INT64CONST(36600)

/* Statuses under which a subscription gives its plan until it expires. */
static const char *const paid_statuses[] = {
	"active", "trialing", "past_due", "cancelled"
};

const char *
plan_in_force(const char *plan, const char *status, TimestampTz expires_at, TimestampTz now)
{
	if (plan == NULL || now >= expires_at)
		return setting_default_plan;
	for (int i = 0; i < lengthof(paid_statuses); i++)
		if (strcmp(status, paid_statuses[i]) == 0)
			return plan;
	return setting_default_plan;
}

static Statement add_subscription = {
	"INSERT INTO @extschema@.user_subscriptions (user_id, started_at, anchor) VALUES ($1, $2, $2)"
	" ON CONFLICT (user_id) DO NOTHING",
	2, {USER_ID, TIMESTAMPTZOID}
};

/* False if somebody else did so first; the caller is the owner already. */
bool
note_first_use(Datum user_id, TimestampTz at)
{
	Datum		args[] = {user_id, TimestampTzGetDatum(at)};

	return statement_write(&add_subscription, args, NULL) > 0;
}

static Statement add_subscriptions = {
	"INSERT INTO @extschema@.user_subscriptions (user_id, started_at, anchor)"
	" SELECT id, $2, $2 FROM pg_catalog.unnest($1) AS u (id) WHERE id IS NOT NULL ORDER BY id"
	" ON CONFLICT (user_id) DO NOTHING",
	2, {USER_IDS, TIMESTAMPTZOID}
};

/* Of an array of users; how many were new. */
uint64
note_first_uses(Datum user_ids, TimestampTz at)
{
	Datum		args[] = {user_ids, TimestampTzGetDatum(at)};

	return statement_write(&add_subscriptions, args, NULL);
}

static Statement add_subscriptions_at = {
	"INSERT INTO @extschema@.user_subscriptions (user_id, started_at, anchor)"
	" SELECT id, at, at FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS u (id, at, number)"
	" ORDER BY number ON CONFLICT (user_id) DO NOTHING",
	2, {USER_IDS, TIMESTAMPTZARRAYOID}
};

/* Of each user at his own instant, in the order of the arrays. */
void
note_first_events(Datum user_ids, Datum instants)
{
	Datum		args[] = {user_ids, instants};

	statement_write(&add_subscriptions_at, args, NULL);
}

static Statement find_plan = {
	"SELECT FROM @extschema@.plans WHERE plan OPERATOR(pg_catalog.=) $1",
	1, {TEXTOID}
};

void
check_plan_exists(const char *plan)
{
	Datum		args[] = {CStringGetTextDatum(plan)};

	if (statement_look_afresh(&find_plan, args, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UT_UNREGISTERED),
				 errmsg("plan \"%s\" does not exist", plan),
				 errhint("Insert it into table \"plans\", or call install_default_plans().")));
}

static Statement set_plan = {
	"UPDATE @extschema@.user_subscriptions SET plan = $2, status = 'active', expires_at = $3,"
	" billing_period_start = $4, billing_period_end = $5"
	" WHERE user_id OPERATOR(pg_catalog.=) $1",
	5, {USER_ID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

/* The billing period is a part of his clock: a row if it is that one already. */
static Statement find_billing_period = {
	"SELECT FROM (SELECT) AS one"
	" LEFT JOIN @extschema@.user_subscriptions AS s ON s.user_id OPERATOR(pg_catalog.=) $1"
	" WHERE COALESCE(s.billing_period_start OPERATOR(pg_catalog.=) $2"
	" AND s.billing_period_end OPERATOR(pg_catalog.=) $3,"
	" s.billing_period_start IS NULL AND $2 IS NULL)",
	3, {USER_ID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static Statement find_clock = {
	"SELECT FROM @extschema@.user_subscriptions WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND ($2 IS NULL OR time_zone OPERATOR(pg_catalog.=) $2)"
	" AND ($3 IS NULL OR anchor OPERATOR(pg_catalog.=) $3)",
	3, {USER_ID, TEXTOID, TIMESTAMPTZOID}
};

static Statement set_clock = {
	"UPDATE @extschema@.user_subscriptions"
	" SET time_zone = COALESCE($2, time_zone), anchor = COALESCE($3, anchor)"
	" WHERE user_id OPERATOR(pg_catalog.=) $1",
	3, {USER_ID, TEXTOID, TIMESTAMPTZOID}
};

/* ---- everything below only translates between SQL and the above ---- */

/*
 * BEFORE row trigger of tables with a column time_zone, where it is not NULL:
 * the zone as the time zone library spells it, or an error.
 */
PG_FUNCTION_INFO_V1(ut_canonical_zone);
Datum
ut_canonical_zone(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = check_row_trigger(fcinfo, "time_zone");
	TupleDesc	desc = trigger->tg_relation->rd_att;
	HeapTuple	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	int			column = SPI_fnumber(desc, "time_zone");
	bool		isnull;
	Datum		value = SPI_getbinval(row, desc, column, &isnull);
	pg_tz	   *zone;

	if (isnull)
		return PointerGetDatum(row);
	zone = find_time_zone(TextDatumGetCString(value));
	if (zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone is not recognized"),
				 errhint("See the names in pg_timezone_names.")));
	value = CStringGetTextDatum(pg_get_timezone_name(zone));
	return PointerGetDatum(heap_modify_tuple_by_cols(row, desc, 1, &column, &value, &isnull));
}

/* So far from the ends of time that no window overflows. */
static void
check_in_range(FunctionCallInfo fcinfo, int n, const char *argument)
{
	TimestampTz first = (TimestampTz) (date2j(1, 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;
	TimestampTz end = (TimestampTz) (date2j(10000, 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY;

	if (!PG_ARGISNULL(n) && (PG_GETARG_TIMESTAMPTZ(n) < first || PG_GETARG_TIMESTAMPTZ(n) >= end))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("argument \"%s\" is out of range", argument),
				 errdetail("It must lie in the years 1 to 9999.")));
}

static void
check_billing_period(FunctionCallInfo fcinfo, int start, int end)
{
	TimestampTz length;

	if (PG_ARGISNULL(start) != PG_ARGISNULL(end) ||
		(!PG_ARGISNULL(start) && PG_GETARG_TIMESTAMPTZ(start) >= PG_GETARG_TIMESTAMPTZ(end)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("billing period must have both a start and a later end")));
	check_in_range(fcinfo, start, "billing_period_start");
	check_in_range(fcinfo, end, "billing_period_end");
	if (PG_ARGISNULL(start))
		return;
	length = PG_GETARG_TIMESTAMPTZ(end) - PG_GETARG_TIMESTAMPTZ(start);
	if (length < USECS_PER_SEC || length > MAX_BILLING_DAYS * USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("billing period must last from a second to 100 years")));
}

/* Of the arguments of set_plan: whether the user has this one, or none, now. */
static bool
has_billing_period(const Datum *args, const char *nulls)
{
	Datum		period[] = {args[0], args[3], args[4]};
	char		period_nulls[] = {' ', nulls[3], nulls[4], '\0'};

	return statement_look_afresh(&find_billing_period, period, period_nulls) > 0;
}

PG_FUNCTION_INFO_V1(ut_set_user_plan);
Datum
ut_set_user_plan(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[5];
	char		nulls[6] = "     ";
	char	   *plan;
	Disguise	before;

	check_is_admin_or_server(home);
	plan = plain_name_argument(fcinfo, 1, "plan");
	check_billing_period(fcinfo, 3, 4);
	args[0] = user_id_argument(home, fcinfo);
	args[1] = CStringGetTextDatum(plan);
	args[2] = time_argument(fcinfo, 2, "expires_at");
	args[3] = time_argument(fcinfo, 3, "billing_period_start");
	args[4] = time_argument(fcinfo, 4, "billing_period_end");
	for (int i = 2; i < 5; i++)
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';

	become_owner(home, &before);
	check_plan_exists(plan);
	if (!has_billing_period(args, nulls))
		lock_out_uses_of(home, args[0]);
	note_first_use(args[0], usage_now());
	statement_write(&set_plan, args, nulls);
	become_caller(&before);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(ut_set_user_clock);
Datum
ut_set_user_clock(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[3] = {0};
	char		nulls[4] = "   ";
	char	   *zone;
	Disguise	before;

	check_is_admin_or_server(home);
	zone = zone_argument(fcinfo, 1);
	check_in_range(fcinfo, 2, "anchor");
	args[0] = user_id_argument(home, fcinfo);
	if (zone != NULL)
		args[1] = CStringGetTextDatum(zone);
	args[2] = time_argument(fcinfo, 2, "anchor");
	nulls[1] = zone == NULL ? 'n' : ' ';
	nulls[2] = PG_ARGISNULL(2) ? 'n' : ' ';

	become_owner(home, &before);
	if (statement_look_afresh(&find_clock, args, nulls) == 0)
	{
		lock_out_uses_of(home, args[0]);
		note_first_use(args[0], usage_now());
		statement_write(&set_clock, args, nulls);
	}
	become_caller(&before);
	PG_RETURN_VOID();
}
