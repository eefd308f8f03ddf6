/*
 * reports_analytics.c -- who may ask about all users together, and what.
 *
 * As in reports_usage.c: what is asked is in sql/reports_analytics.sql, for the
 * owner.  These questions read much, so each plan is made for its arguments.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "events.h"
#include "limits.h"
#include "query.h"
#include "reports.h"
#include "settings.h"
#include "users.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#define MAX_STEPS 20

void
check_may_analyze(const Installation *home)
{
	check_sees_all_users(home);
	if (!setting_analytics_enabled)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("analytics are switched off"),
				 errhint("Set usage_tracking.analytics_enabled to on.")));
}

/* ---- arguments ---- */

static void
check_types(const Installation *home, char *const *usage_types, int n)
{
	Disguise	before;

	become_owner(home, &before);
	for (int i = 0; i < n; i++)
		check_usage_type(current_config(), usage_types[i]);
	become_caller(&before);
}

static Datum
type_argument(const Installation *home, FunctionCallInfo fcinfo, int n, char *null)
{
	char	   *usage_type;

	*null = PG_ARGISNULL(n) ? 'n' : ' ';
	if (PG_ARGISNULL(n))
		return (Datum) 0;
	usage_type = name_argument(fcinfo, n, "usage_type");
	check_types(home, &usage_type, 1);
	return CStringGetTextDatum(usage_type);
}

static List *
steps_of(ArrayType *array)
{
	List	   *steps = NIL;
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		check_not_null(nulls[i], "steps");
		steps = lappend(steps, TextDatumGetCString(elements[i]));
	}
	return steps;
}

/* As an array, once each is known. */
static Datum
checked_steps(const Installation *home, List *steps)
{
	char	   *names[MAX_STEPS];
	Datum		values[MAX_STEPS];

	if (list_length(steps) > MAX_STEPS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a funnel has at most %d steps", MAX_STEPS)));
	for (int i = 0; i < list_length(steps); i++)
	{
		names[i] = list_nth(steps, i);
		values[i] = CStringGetTextDatum(names[i]);
	}
	check_types(home, names, list_length(steps));
	return PointerGetDatum(construct_array(values, list_length(steps), TEXTOID, -1, false, TYPALIGN_INT));
}

/* Those of the setting. */
Datum
default_steps(const Installation *home)
{
	List	   *steps;

	(void) SplitIdentifierString(pstrdup(setting_funnel_steps), ',', &steps);
	return checked_steps(home, steps);
}

static Datum
steps_argument(const Installation *home, FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? default_steps(home) : checked_steps(home, steps_of(PG_GETARG_ARRAYTYPE_P(n)));
}

static Datum
key_argument(FunctionCallInfo fcinfo, int n, const char *argument, char *null)
{
	return text_or_null(text_argument(fcinfo, n, argument), null);
}

static Datum
days_argument(FunctionCallInfo fcinfo, int n)
{
	return number_argument(fcinfo, n, "days", 1, MAX_DAYS);
}

/* ---- everything below only translates between SQL and the above ---- */

static Statement top_users = {
	"SELECT * FROM @extschema@._get_top_users($1, $2, $3, $4, $5, $6, $7, $8)",
	8, {TEXTOID, INT4OID, TEXTOID, INT4OID, DATEOID, TEXTOID, TEXTOID, TIMESTAMPTZOID}, .reads_much = true
};

PG_FUNCTION_INFO_V1(ut_get_top_users);
Datum
ut_get_top_users(PG_FUNCTION_ARGS)
{
	static const char *const measures[] = {"uses", "quantity", "tokens", "cost", NULL};
	const Installation *home = installation_of(fcinfo);
	char		nulls[9] = "        ";
	Datum		args[8];

	check_may_analyze(home);
	args[0] = type_argument(home, fcinfo, 0, &nulls[0]);
	args[1] = days_argument(fcinfo, 1);
	args[2] = CStringGetTextDatum(choice_argument(fcinfo, 2, "measure", measures, "uses, quantity, tokens, or cost"));
	args[3] = number_argument(fcinfo, 3, "max_rows", 1, MAX_ROWS);
	args[4] = day_argument(fcinfo, 4, "last_day", &nulls[4]);
	args[5] = key_argument(fcinfo, 5, "resource_type", &nulls[5]);
	args[6] = key_argument(fcinfo, 6, "resource_id", &nulls[6]);
	args[7] = TimestampTzGetDatum(usage_now());
	return answer_rows(home, fcinfo, &top_users, args, nulls);
}

static Statement trends = {
	"SELECT * FROM @extschema@._get_usage_trends($1, $2, $3)", 3, {INT4OID, DATEOID, TIMESTAMPTZOID}, .reads_much = true
};

PG_FUNCTION_INFO_V1(ut_get_usage_trends);
Datum
ut_get_usage_trends(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char		nulls[4] = "   ";
	Datum		args[3];

	check_may_analyze(home);
	args[0] = days_argument(fcinfo, 0);
	args[1] = day_argument(fcinfo, 1, "last_day", &nulls[1]);
	args[2] = TimestampTzGetDatum(usage_now());
	return answer_rows(home, fcinfo, &trends, args, nulls);
}

static Statement funnel = {
	"SELECT * FROM @extschema@._get_conversion_funnel($1, $2, $3, $4)",
	4, {TEXTARRAYOID, INT4OID, DATEOID, TIMESTAMPTZOID}, .reads_much = true
};

PG_FUNCTION_INFO_V1(ut_get_conversion_funnel);
Datum
ut_get_conversion_funnel(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char		nulls[5] = "    ";
	Datum		args[4];

	check_may_analyze(home);
	args[0] = steps_argument(home, fcinfo, 0);
	args[1] = days_argument(fcinfo, 1);
	args[2] = day_argument(fcinfo, 2, "last_day", &nulls[2]);
	args[3] = TimestampTzGetDatum(usage_now());
	return answer_rows(home, fcinfo, &funnel, args, nulls);
}

static Statement error_rates = {
	"SELECT * FROM @extschema@._get_error_rates($1, $2, $3, $4)",
	4, {INT4OID, TEXTOID, DATEOID, TIMESTAMPTZOID}, .reads_much = true
};

PG_FUNCTION_INFO_V1(ut_get_error_rates);
Datum
ut_get_error_rates(PG_FUNCTION_ARGS)
{
	static const char *const details[] = {"type", "model", "subtype", NULL};
	const Installation *home = installation_of(fcinfo);
	char		nulls[5] = "    ";
	Datum		args[4];

	check_may_analyze(home);
	args[0] = days_argument(fcinfo, 0);
	args[1] = CStringGetTextDatum(choice_argument(fcinfo, 1, "detail", details, "type, model, or subtype"));
	args[2] = day_argument(fcinfo, 2, "last_day", &nulls[2]);
	args[3] = TimestampTzGetDatum(usage_now());
	return answer_rows(home, fcinfo, &error_rates, args, nulls);
}

static Statement cost_breakdown = {
	"SELECT * FROM @extschema@._get_cost_breakdown($1, $2, $3, $4, $5)",
	5, {TEXTOID, INT4OID, DATEOID, INT4OID, TIMESTAMPTZOID}, .reads_much = true
};

PG_FUNCTION_INFO_V1(ut_get_cost_breakdown);
Datum
ut_get_cost_breakdown(PG_FUNCTION_ARGS)
{
	static const char *const dimensions[] = {"model", "provider", "type", "campaign", NULL};
	const Installation *home = installation_of(fcinfo);
	char		nulls[6] = "     ";
	Datum		args[5];

	check_may_analyze(home);
	args[0] = CStringGetTextDatum(choice_argument(fcinfo, 0, "dimension", dimensions, "model, provider, type, or campaign"));
	args[1] = days_argument(fcinfo, 1);
	args[2] = day_argument(fcinfo, 2, "last_day", &nulls[2]);
	args[3] = number_argument(fcinfo, 3, "max_rows", 1, MAX_ROWS);
	args[4] = TimestampTzGetDatum(usage_now());
	return answer_rows(home, fcinfo, &cost_breakdown, args, nulls);
}

static Statement unit_costs = {
	"SELECT * FROM @extschema@._get_unit_costs($1, $2, $3)", 3, {INT4OID, DATEOID, TIMESTAMPTZOID}, .reads_much = true
};

PG_FUNCTION_INFO_V1(ut_get_unit_costs);
Datum
ut_get_unit_costs(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char		nulls[4] = "   ";
	Datum		args[3];

	check_may_analyze(home);
	args[0] = days_argument(fcinfo, 0);
	args[1] = day_argument(fcinfo, 1, "last_day", &nulls[1]);
	args[2] = TimestampTzGetDatum(usage_now());
	return answer_rows(home, fcinfo, &unit_costs, args, nulls);
}

static Statement forecast = {
	"SELECT * FROM @extschema@._get_cost_forecast($1)", 1, {TIMESTAMPTZOID}, .reads_much = true
};

PG_FUNCTION_INFO_V1(ut_get_cost_forecast);
Datum
ut_get_cost_forecast(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[] = {TimestampTzGetDatum(usage_now())};

	check_may_analyze(home);
	return answer_rows(home, fcinfo, &forecast, args, NULL);
}

static Statement near_limit = {
	"SELECT * FROM @extschema@._get_users_near_limit($1, $2, $3)",
	3, {NUMERICOID, INT4OID, TIMESTAMPTZOID}, .reads_much = true
};

PG_FUNCTION_INFO_V1(ut_get_users_near_limit);
Datum
ut_get_users_near_limit(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[3];

	check_may_analyze(home);
	args[0] = NumericGetDatum(amount_argument(fcinfo, 0, "percent", QUANTITY_DECIMALS));
	args[1] = number_argument(fcinfo, 1, "max_rows", 1, MAX_ROWS);
	args[2] = TimestampTzGetDatum(usage_now());
	return answer_rows(home, fcinfo, &near_limit, args, NULL);
}
