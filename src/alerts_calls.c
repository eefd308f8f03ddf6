/*
 * alerts_calls.c -- the functions about rules and alerts.
 */
#include "compat.h"

#include "alerts.h"
#include "arguments.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "funcapi.h"
#include "settings.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define MAX_THROTTLE_DAYS 36000 /* 100 years */
#define MAX_ROWS 1000
#define ALERT_COLUMNS 14

/* ---- rules ---- */

enum RuleArgument
{
	ARG_LIMIT_TYPE, ARG_THRESHOLD, ARG_THROTTLE, ARG_IS_ACTIVE, ARG_DESCRIPTION, RULE_ARGUMENTS
};

/* The same rule again is no change. */
static Statement put_rule = {
	"INSERT INTO @extschema@.usage_alert_rules AS r (limit_type, threshold, throttle, is_active, description)"
	" VALUES ($1, $2, $3, $4, $5)"
	" ON CONFLICT (limit_type, threshold) DO UPDATE SET throttle = EXCLUDED.throttle,"
	" is_active = EXCLUDED.is_active, description = EXCLUDED.description"
	" WHERE ROW(r.throttle, r.is_active, r.description)::pg_catalog.text OPERATOR(pg_catalog.<>)"
	" ROW(EXCLUDED.throttle, EXCLUDED.is_active, EXCLUDED.description)::pg_catalog.text",
	5, {TEXTOID, NUMERICOID, INTERVALOID, BOOLOID, TEXTOID}
};

/* A day has 24 hours and a month 30 days here, as when intervals are compared. */
static void
check_throttle(FunctionCallInfo fcinfo)
{
	const Interval *throttle;
	int64		days;
	int64		rest;

	if (PG_ARGISNULL(ARG_THROTTLE))
		return;
	throttle = PG_GETARG_INTERVAL_P(ARG_THROTTLE);
	days = (int64) throttle->month * DAYS_PER_MONTH + throttle->day + throttle->time / USECS_PER_DAY;
	rest = throttle->time % USECS_PER_DAY;
	if (days < 0 || (days == 0 && rest <= 0) ||
		days > MAX_THROTTLE_DAYS || (days == MAX_THROTTLE_DAYS && rest > 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"throttle\" must be greater than zero and at most 100 years")));
}

static Numeric
threshold_argument(FunctionCallInfo fcinfo)
{
	Numeric		threshold = amount_argument(fcinfo, ARG_THRESHOLD, "threshold", QUANTITY_DECIMALS);

	if (num_sign(threshold) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"threshold\" must be greater than zero")));
	return threshold;
}

/* ---- alerts ---- */

/* The windows of some limits never end or begin. */
static Statement page = {
	"SELECT id, kind, limit_type,"
	" CASE WHEN pg_catalog.isfinite(window_start) THEN window_start END,"
	" CASE WHEN pg_catalog.isfinite(window_end) THEN window_end END,"
	" threshold, usage_type, day, used, max_usage, expected, event_id, raised_at, acknowledged_at"
	" FROM @extschema@.usage_alerts"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.<) $2"
	" AND (acknowledged_at IS NULL OR NOT $3) ORDER BY id DESC LIMIT $4",
	4, {USER_ID, INT8OID, BOOLOID, INT8OID}
};

static void
put_page(ReturnSetInfo *result, Datum *args)
{
	uint64		rows = statement_look(&page, args, NULL);

	for (uint64 row = 0; row < rows; row++)
	{
		Datum		values[ALERT_COLUMNS];
		bool		nulls[ALERT_COLUMNS];

		for (int i = 0; i < ALERT_COLUMNS; i++)
			values[i] = result_datum(row, i + 1, &nulls[i]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

static int
rows_argument(FunctionCallInfo fcinfo, int n)
{
	check_not_null(PG_ARGISNULL(n), "max_rows");
	if (PG_GETARG_INT32(n) < 1 || PG_GETARG_INT32(n) > MAX_ROWS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"max_rows\" must be from 1 to %d", MAX_ROWS)));
	return PG_GETARG_INT32(n);
}

#define THAT_ALERT \
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2"

/* Whoever was first has acknowledged it. */
static Statement acknowledge = {
	"UPDATE @extschema@.usage_alerts SET acknowledged_at = COALESCE(acknowledged_at, $3),"
	" acknowledged_by = CASE WHEN acknowledged_at IS NULL THEN $4 ELSE acknowledged_by END" THAT_ALERT,
	4, {USER_ID, INT8OID, TIMESTAMPTZOID, USER_ID}
};

static Statement find_alert = {
	"SELECT FROM @extschema@.usage_alerts" THAT_ALERT,
	4, {USER_ID, INT8OID, TIMESTAMPTZOID, USER_ID}
};

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_define_usage_alert);
Datum
ut_define_usage_alert(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[RULE_ARGUMENTS];
	char		nulls[RULE_ARGUMENTS + 1] = {0};
	char	   *limit_type = NULL;
	Disguise	before;

	check_is_admin(home);
	for (int i = 0; i < RULE_ARGUMENTS; i++)
	{
		args[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	if (!PG_ARGISNULL(ARG_LIMIT_TYPE))
		limit_type = name_argument(fcinfo, ARG_LIMIT_TYPE, "limit_type");
	args[ARG_THRESHOLD] = NumericGetDatum(threshold_argument(fcinfo));
	check_throttle(fcinfo);
	check_not_null(PG_ARGISNULL(ARG_IS_ACTIVE), "is_active");
	description_argument(fcinfo, ARG_DESCRIPTION, "description");
	become_owner(home, &before);
	if (limit_type != NULL)
		check_limit_exists(limit_type);
	statement_write(&put_rule, args, nulls);
	become_caller(&before);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(ut_get_usage_alerts);
Datum
ut_get_usage_alerts(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[4];
	Disguise	before;

	args[0] = user_to_see(home, fcinfo);
	check_not_null(PG_ARGISNULL(1), "open_only");
	args[1] = Int64GetDatum(PG_ARGISNULL(2) ? PG_INT64_MAX : PG_GETARG_INT64(2));
	args[2] = BoolGetDatum(PG_GETARG_BOOL(1));
	args[3] = Int64GetDatum(rows_argument(fcinfo, 3));
	InitMaterializedSRF(fcinfo, 0);
	become_owner(home, &before);
	put_page((ReturnSetInfo *) fcinfo->resultinfo, args);
	become_caller(&before);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(ut_acknowledge_usage_alert);
Datum
ut_acknowledge_usage_alert(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[4] = {0};
	bool		known;
	Disguise	before;

	check_may_act_for_or_admin(home, fcinfo);
	args[0] = user_id_argument(home, fcinfo);
	check_not_null(PG_ARGISNULL(1), "alert_id");
	args[1] = PG_GETARG_DATUM(1);
	args[2] = TimestampTzGetDatum(usage_now());
	known = current_user_datum(home, &args[3]);
	become_owner(home, &before);
	if (statement_write_or_fail(&acknowledge, &find_alert, args, known ? "    " : "   n") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("alert " INT64_FORMAT " of this user does not exist", PG_GETARG_INT64(1))));
	become_caller(&before);
	PG_RETURN_VOID();
}
