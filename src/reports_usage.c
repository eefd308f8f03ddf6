/*
 * reports_usage.c -- who may ask what was used, and rows of the answer.
 *
 * What is asked is in sql/reports.sql, for the owner; whether the caller may ask
 * it is decided here, before anything is read.  Policies on the tables would not
 * do: EXPLAIN tells whoever may read a table how much of it he may not.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "events.h"
#include "funcapi.h"
#include "reports.h"
#include "settings.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#define MAX_METER_EVENTS 100000

/* ---- arguments ---- */

static void
check_order(FunctionCallInfo fcinfo, int first, int last)
{
	if (!PG_ARGISNULL(first) && !PG_ARGISNULL(last) && PG_GETARG_DATEADT(first) > PG_GETARG_DATEADT(last))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"first_day\" must not be after \"last_day\"")));
}

static Datum
granularity_argument(FunctionCallInfo fcinfo, int n)
{
	static const char *const granularities[] = {"day", "week", "month", NULL};

	return CStringGetTextDatum(choice_argument(fcinfo, n, "granularity", granularities, "day, week, or month"));
}

/* As answer_rows(), of a statement that answers one value, which is not NULL. */
Datum
answer_value(const Installation *home, Statement *statement, Datum *args, const char *nulls)
{
	MemoryContext caller = CurrentMemoryContext;
	Disguise	before;
	Datum		value;

	become_owner(home, &before);
	statement_look(statement, args, nulls);
	value = copied_result(caller);
	if (must_look_again())
	{
		statement_look_afresh(statement, args, nulls);
		value = copied_result(caller);
	}
	become_caller(&before);
	return value;
}

/* ---- everything below only translates between SQL and the above ---- */

static Statement calls_of_user = {
	"SELECT * FROM @extschema@._recorded_calls($1)", 1, {USER_ID}
};

PG_FUNCTION_INFO_V1(ut_calls_of_user);
Datum
ut_calls_of_user(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[] = {user_to_see(home, fcinfo)};

	return answer_rows(home, fcinfo, &calls_of_user, args, NULL);
}

static Statement campaigns_of_user = {
	"SELECT * FROM @extschema@._get_campaigns($1)", 1, {USER_ID}
};

PG_FUNCTION_INFO_V1(ut_get_campaigns);
Datum
ut_get_campaigns(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[] = {user_to_see(home, fcinfo)};

	return answer_rows(home, fcinfo, &campaigns_of_user, args, NULL);
}

static Statement usage_of_user = {
	"SELECT * FROM @extschema@._get_user_usage($1, $2, $3, $4)", 4, {USER_ID, DATEOID, DATEOID, TIMESTAMPTZOID}
};

PG_FUNCTION_INFO_V1(ut_get_user_usage);
Datum
ut_get_user_usage(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char		nulls[5] = "    ";
	Datum		args[] = {
		user_to_see(home, fcinfo),
		day_argument(fcinfo, 1, "first_day", &nulls[1]),
		day_argument(fcinfo, 2, "last_day", &nulls[2]),
		TimestampTzGetDatum(usage_now())
	};

	check_order(fcinfo, 1, 2);
	return answer_rows(home, fcinfo, &usage_of_user, args, nulls);
}

static Statement costs_of_user = {
	"SELECT * FROM @extschema@._get_user_costs($1, $2)", 2, {USER_ID, TIMESTAMPTZOID}
};

PG_FUNCTION_INFO_V1(ut_get_user_costs);
Datum
ut_get_user_costs(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[] = {user_to_see(home, fcinfo), TimestampTzGetDatum(usage_now())};

	return answer_rows(home, fcinfo, &costs_of_user, args, NULL);
}

static Statement history_of_user = {
	"SELECT * FROM @extschema@._get_user_usage_history($1, $2, $3, $4)", 4, {USER_ID, TIMESTAMPTZOID, INT8OID, INT4OID}
};

PG_FUNCTION_INFO_V1(ut_get_user_usage_history);
Datum
ut_get_user_usage_history(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[] = {
		user_to_see(home, fcinfo),
		PG_ARGISNULL(1) ? TimestampTzGetDatum(DT_NOEND) : time_argument(fcinfo, 1, "before_time"),
		Int64GetDatum(PG_ARGISNULL(2) ? PG_INT64_MIN : PG_GETARG_INT64(2)),
		number_argument(fcinfo, 3, "max_rows", 1, MAX_ROWS)
	};

	if (PG_ARGISNULL(1) && !PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"before_id\" requires \"before_time\"")));
	return answer_rows(home, fcinfo, &history_of_user, args, NULL);
}

static Statement aggregations_of_user = {
	"SELECT * FROM @extschema@._get_user_aggregations($1, $2, $3, $4, $5)",
	5, {USER_ID, TEXTOID, DATEOID, DATEOID, TIMESTAMPTZOID}
};

PG_FUNCTION_INFO_V1(ut_get_user_aggregations);
Datum
ut_get_user_aggregations(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char		nulls[6] = "     ";
	Datum		args[] = {
		user_to_see(home, fcinfo),
		granularity_argument(fcinfo, 1),
		day_argument(fcinfo, 2, "first_day", &nulls[2]),
		day_argument(fcinfo, 3, "last_day", &nulls[3]),
		TimestampTzGetDatum(usage_now())
	};

	check_order(fcinfo, 2, 3);
	return answer_rows(home, fcinfo, &aggregations_of_user, args, nulls);
}

static Statement totals = {
	"SELECT * FROM @extschema@._get_usage_totals($1, $2, $3, $4)", 4, {DATEOID, DATEOID, TEXTOID, TIMESTAMPTZOID}
};

PG_FUNCTION_INFO_V1(ut_get_usage_totals);
Datum
ut_get_usage_totals(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char		nulls[5] = "    ";
	Datum		args[4];

	check_sees_all_users(home);
	args[0] = day_argument(fcinfo, 0, "first_day", &nulls[0]);
	args[1] = day_argument(fcinfo, 1, "last_day", &nulls[1]);
	args[2] = granularity_argument(fcinfo, 2);
	args[3] = TimestampTzGetDatum(usage_now());
	check_order(fcinfo, 0, 1);
	return answer_rows(home, fcinfo, &totals, args, nulls);
}

static Statement meter_events = {
	"SELECT * FROM @extschema@._stripe_meter_events($1, $2, $3)", 3, {TIMESTAMPTZOID, INT8OID, INT4OID}
};

PG_FUNCTION_INFO_V1(ut_stripe_meter_events);
Datum
ut_stripe_meter_events(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char		nulls[4] = "   ";
	Datum		args[3] = {0};

	check_sees_all_users(home);
	check_not_null(PG_ARGISNULL(0), "since");
	args[0] = time_argument(fcinfo, 0, "since");
	nulls[1] = PG_ARGISNULL(1) ? 'n' : ' ';
	if (!PG_ARGISNULL(1))
		args[1] = PG_GETARG_DATUM(1);
	args[2] = number_argument(fcinfo, 2, "max_rows", 1, MAX_METER_EVENTS);
	return answer_rows(home, fcinfo, &meter_events, args, nulls);
}

static Statement stats_of_user = {
	"SELECT @extschema@._get_user_stats($1, $2, $3)", 3, {USER_ID, INT4OID, TIMESTAMPTZOID}, .plans_within = true
};

PG_FUNCTION_INFO_V1(ut_get_user_stats);
Datum
ut_get_user_stats(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[] = {
		user_to_see(home, fcinfo),
		number_argument(fcinfo, 1, "days", 1, MAX_DAYS),
		TimestampTzGetDatum(usage_now())
	};

	PG_RETURN_DATUM(answer_value(home, &stats_of_user, args, NULL));
}
