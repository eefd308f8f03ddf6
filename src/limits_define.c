/*
 * limits_define.c -- the functions that say how much is allowed.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "limits.h"
#include "plans.h"
#include "users.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static Statement add_type = {
	"INSERT INTO @extschema@.usage_types AS t (usage_type, description) VALUES ($1, $2)"
	" ON CONFLICT (usage_type) DO UPDATE SET description = EXCLUDED.description"
	" WHERE $3 AND (t.description OPERATOR(pg_catalog.=) EXCLUDED.description) IS NOT TRUE"
	" AND EXCLUDED.description IS NOT NULL",
	3, {TEXTOID, TEXTOID, BOOLOID}
};

/*
 * Registers a type; a description given changes that of a type there is.  A
 * type that stays as it is is not touched: its readers would reload.
 */
static void
register_type(const char *usage_type, bool describe, Datum description, bool no_description)
{
	Datum		args[] = {CStringGetTextDatum(usage_type), description, BoolGetDatum(describe)};

	if (is_usage_type(current_config(), usage_type) && (!describe || no_description))
		return;
	statement_write(&add_type, args, no_description ? " n " : "   ");
}

PG_FUNCTION_INFO_V1(ut_define_usage_type);
Datum
ut_define_usage_type(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char	   *usage_type;
	Disguise	before;

	check_is_admin(home);
	usage_type = name_argument(fcinfo, 0, "usage_type");
	description_argument(fcinfo, 1, "description");
	become_owner(home, &before);
	register_type(usage_type, true, PG_GETARG_DATUM(1), PG_ARGISNULL(1));
	become_caller(&before);
	PG_RETURN_VOID();
}

static Statement add_limit = {
	"INSERT INTO @extschema@.usage_limits (limit_type, usage_type, max_usage, window_kind,"
	" period, measure, enforcement, time_zone, is_active, description, statuses)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
	" ON CONFLICT (limit_type) DO NOTHING",
	11, {TEXTOID, TEXTOID, NUMERICOID, TEXTOID, INTERVALOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID,
	TEXTOID, TEXTARRAYOID}
};

#define DIFFERS \
	" WHERE limit_type OPERATOR(pg_catalog.=) $1" \
	" AND ROW(usage_type, max_usage, window_kind, period, measure, enforcement, time_zone," \
	" is_active, description, statuses)::pg_catalog.text OPERATOR(pg_catalog.<>)" \
	" ROW($2, $3, $4, $5, $6, $7, $8, $9, $10, $11)::pg_catalog.text"

/* The same definition again is no change: compared as rows, NULLs included. */
static Statement change_limit = {
	"UPDATE @extschema@.usage_limits SET usage_type = $2, max_usage = $3, window_kind = $4,"
	" period = $5, measure = $6, enforcement = $7, time_zone = $8, is_active = $9,"
	" description = $10, statuses = $11" DIFFERS,
	11, {TEXTOID, TEXTOID, NUMERICOID, TEXTOID, INTERVALOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID,
	TEXTOID, TEXTARRAYOID}
};

static Statement find_other_limit = {
	"SELECT FROM @extschema@.usage_limits" DIFFERS,
	11, {TEXTOID, TEXTOID, NUMERICOID, TEXTOID, INTERVALOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID,
	TEXTOID, TEXTARRAYOID}
};

enum LimitArgument
{
	ARG_LIMIT_TYPE, ARG_USAGE_TYPE, ARG_MAX_USAGE, ARG_WINDOW_KIND, ARG_PERIOD, ARG_MEASURE,
	ARG_ENFORCEMENT, ARG_TIME_ZONE, ARG_IS_ACTIVE, ARG_DESCRIPTION, ARG_STATUSES, LIMIT_ARGUMENTS
};

static void
check_one_of(FunctionCallInfo fcinfo, int n, const char *argument,
			 const char *const *allowed, const char *in_words)
{
	char	   *value = required_text_argument(fcinfo, n, argument);

	for (; *allowed != NULL; allowed++)
		if (strcmp(value, *allowed) == 0)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" must be %s", argument, in_words)));
}

static bool
are_statuses(ArrayType *array)
{
	static const char *const known[] = {"success", "failed", "cancelled", "rate_limited"};
	Datum	   *names;
	bool	   *nulls;
	int			count;

	if (ARR_NDIM(array) != 1 || ArrayGetNItems(1, ARR_DIMS(array)) > lengthof(known))
		return false;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		bool		found = false;

		for (int k = 0; k < lengthof(known) && !nulls[i]; k++)
			found = found || strcmp(TextDatumGetCString(names[i]), known[k]) == 0;
		if (!found)
			return false;
	}
	return count > 0;
}

static void
check_statuses(FunctionCallInfo fcinfo, int n)
{
	check_not_null(PG_ARGISNULL(n), "statuses");
	if (!are_statuses(PG_GETARG_ARRAYTYPE_P(n)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"statuses\" must list some of success, failed, cancelled, and rate_limited")));
}

static void
check_limit_arguments(FunctionCallInfo fcinfo)
{
	static const char *const kinds[] = {"calendar", "anchored", "billing", "lifetime", "gauge", "sliding", NULL};
	static const char *const enforcements[] = {"hard", "soft", NULL};

	name_argument(fcinfo, ARG_LIMIT_TYPE, "limit_type");
	if (!PG_ARGISNULL(ARG_USAGE_TYPE))
		name_argument(fcinfo, ARG_USAGE_TYPE, "usage_type");
	check_not_null(PG_ARGISNULL(ARG_MAX_USAGE), "max_usage");
	check_one_of(fcinfo, ARG_WINDOW_KIND, "window_kind", kinds,
				 "calendar, anchored, billing, lifetime, gauge, or sliding");
	check_one_of(fcinfo, ARG_MEASURE, "measure", measure_names, "events, quantity, tokens, or cost");
	check_one_of(fcinfo, ARG_ENFORCEMENT, "enforcement", enforcements, "hard or soft");
	check_not_null(PG_ARGISNULL(ARG_IS_ACTIVE), "is_active");
	description_argument(fcinfo, ARG_DESCRIPTION, "description");
	check_statuses(fcinfo, ARG_STATUSES);
}

static void
put_one_limit(FunctionCallInfo fcinfo)
{
	Datum		args[LIMIT_ARGUMENTS];
	char		nulls[LIMIT_ARGUMENTS + 1] = {0};
	WindowKind	kind;

	for (int i = 0; i < LIMIT_ARGUMENTS; i++)
	{
		args[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	if (window_kind_from_name(TextDatumGetCString(args[ARG_WINDOW_KIND]), &kind) && !kind_has_period(kind))
		nulls[ARG_PERIOD] = 'n';
	if (!PG_ARGISNULL(ARG_TIME_ZONE))
		args[ARG_TIME_ZONE] = CStringGetTextDatum(zone_argument(fcinfo, ARG_TIME_ZONE));
	args[ARG_MAX_USAGE] = NumericGetDatum(max_usage_argument(fcinfo, ARG_MAX_USAGE));
	if (!PG_ARGISNULL(ARG_USAGE_TYPE))
		register_type(TextDatumGetCString(args[ARG_USAGE_TYPE]), false, (Datum) 0, true);
	if (find_limit(current_config(), TextDatumGetCString(args[ARG_LIMIT_TYPE])) == NULL)
		statement_write(&add_limit, args, nulls);
	statement_write_or_fail(&change_limit, &find_other_limit, args, nulls);
}

PG_FUNCTION_INFO_V1(ut_define_usage_limit);
Datum
ut_define_usage_limit(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Disguise	before;

	check_is_admin(home);
	check_limit_arguments(fcinfo);
	become_owner(home, &before);
	put_one_limit(fcinfo);
	become_caller(&before);
	PG_RETURN_VOID();
}

void
check_limit_exists(const char *limit_type)
{
	if (find_limit(current_config(), limit_type) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UT_UNREGISTERED),
				 errmsg("usage limit \"%s\" does not exist", limit_type),
				 errhint("Define it with define_usage_limit().")));
}

static Statement put_plan_limit = {
	"INSERT INTO @extschema@.plan_limits AS p (plan, limit_type, max_usage) VALUES ($1, $2, $3)"
	" ON CONFLICT (plan, limit_type) DO UPDATE SET max_usage = EXCLUDED.max_usage"
	" WHERE p.max_usage OPERATOR(pg_catalog.<>) EXCLUDED.max_usage",
	3, {TEXTOID, TEXTOID, NUMERICOID}
};

static Statement drop_plan_limit = {
	"DELETE FROM @extschema@.plan_limits"
	" WHERE plan OPERATOR(pg_catalog.=) $1 AND limit_type OPERATOR(pg_catalog.=) $2",
	2, {TEXTOID, TEXTOID}
};

static Statement find_plan_limit = {
	"SELECT FROM @extschema@.plan_limits"
	" WHERE plan OPERATOR(pg_catalog.=) $1 AND limit_type OPERATOR(pg_catalog.=) $2",
	2, {TEXTOID, TEXTOID}
};

PG_FUNCTION_INFO_V1(ut_set_plan_limit);
Datum
ut_set_plan_limit(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[3];
	Disguise	before;

	check_is_admin(home);
	args[0] = CStringGetTextDatum(plain_name_argument(fcinfo, 0, "plan"));
	args[1] = CStringGetTextDatum(name_argument(fcinfo, 1, "limit_type"));
	if (!PG_ARGISNULL(2))
		args[2] = NumericGetDatum(max_usage_argument(fcinfo, 2));
	become_owner(home, &before);
	check_limit_exists(TextDatumGetCString(args[1]));
	check_plan_exists(TextDatumGetCString(args[0]));
	if (PG_ARGISNULL(2))
		statement_write_or_fail(&drop_plan_limit, &find_plan_limit, args, NULL);
	else
		statement_write(&put_plan_limit, args, NULL);
	become_caller(&before);
	PG_RETURN_VOID();
}

static Statement put_temporary_limit = {
	"INSERT INTO @extschema@.temporary_limits AS t (limit_type, plan, starts_at, ends_at, max_usage, reason)"
	" VALUES ($1, $2, $3, $4, $5, $6)"
	" ON CONFLICT (limit_type, plan, starts_at) DO UPDATE SET ends_at = EXCLUDED.ends_at,"
	" max_usage = EXCLUDED.max_usage, reason = EXCLUDED.reason"
	" WHERE ROW(t.ends_at, t.max_usage, t.reason)::pg_catalog.text OPERATOR(pg_catalog.<>)"
	" ROW(EXCLUDED.ends_at, EXCLUDED.max_usage, EXCLUDED.reason)::pg_catalog.text",
	6, {TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, NUMERICOID, TEXTOID}
};

#define THAT_TEMPORARY_LIMIT \
	" FROM @extschema@.temporary_limits WHERE limit_type OPERATOR(pg_catalog.=) $1" \
	" AND COALESCE(plan OPERATOR(pg_catalog.=) $2, plan IS NULL AND $2 IS NULL)" \
	" AND starts_at OPERATOR(pg_catalog.=) $3"

static Statement drop_temporary_limit = {
	"DELETE" THAT_TEMPORARY_LIMIT,
	3, {TEXTOID, TEXTOID, TIMESTAMPTZOID}
};

static Statement find_temporary_limit = {
	"SELECT" THAT_TEMPORARY_LIMIT,
	3, {TEXTOID, TEXTOID, TIMESTAMPTZOID}
};

enum TemporaryArgument
{
	TEMPORARY_LIMIT_TYPE, TEMPORARY_MAX_USAGE, TEMPORARY_STARTS_AT, TEMPORARY_ENDS_AT, TEMPORARY_PLAN,
	TEMPORARY_REASON
};

static void
check_temporary_arguments(FunctionCallInfo fcinfo)
{
	check_not_null(PG_ARGISNULL(TEMPORARY_STARTS_AT), "starts_at");
	time_argument(fcinfo, TEMPORARY_STARTS_AT, "starts_at");
	if (PG_ARGISNULL(TEMPORARY_MAX_USAGE))
		return;					/* it is taken back, whenever it would end */
	check_not_null(PG_ARGISNULL(TEMPORARY_ENDS_AT), "ends_at");
	time_argument(fcinfo, TEMPORARY_ENDS_AT, "ends_at");
	if (PG_GETARG_TIMESTAMPTZ(TEMPORARY_ENDS_AT) <= PG_GETARG_TIMESTAMPTZ(TEMPORARY_STARTS_AT))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"ends_at\" must be later than \"starts_at\"")));
}

PG_FUNCTION_INFO_V1(ut_set_temporary_limit);
Datum
ut_set_temporary_limit(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[6] = {0};
	char		nulls[7] = "      ";
	char	   *plan = NULL;
	char	   *reason;
	Disguise	before;

	check_is_admin(home);
	args[0] = CStringGetTextDatum(name_argument(fcinfo, TEMPORARY_LIMIT_TYPE, "limit_type"));
	check_temporary_arguments(fcinfo);
	if (!PG_ARGISNULL(TEMPORARY_PLAN))
		args[1] = CStringGetTextDatum(plan = plain_name_argument(fcinfo, TEMPORARY_PLAN, "plan"));
	nulls[1] = plan == NULL ? 'n' : ' ';
	args[2] = PG_GETARG_DATUM(TEMPORARY_STARTS_AT);
	args[3] = PG_GETARG_DATUM(TEMPORARY_ENDS_AT);
	if (!PG_ARGISNULL(TEMPORARY_MAX_USAGE))
		args[4] = NumericGetDatum(max_usage_argument(fcinfo, TEMPORARY_MAX_USAGE));
	reason = text_argument(fcinfo, TEMPORARY_REASON, "reason");
	if (reason != NULL)
		args[5] = CStringGetTextDatum(reason);
	nulls[5] = reason == NULL ? 'n' : ' ';

	become_owner(home, &before);
	check_limit_exists(TextDatumGetCString(args[0]));
	if (plan != NULL)
		check_plan_exists(plan);
	if (PG_ARGISNULL(TEMPORARY_MAX_USAGE))
		statement_write_or_fail(&drop_temporary_limit, &find_temporary_limit, args, nulls);
	else
		statement_write(&put_temporary_limit, args, nulls);
	become_caller(&before);
	PG_RETURN_VOID();
}

static Statement put_user_limit = {
	"INSERT INTO @extschema@.user_limits (user_id, limit_type, max_usage, expires_at, reason)"
	" VALUES ($1, $2, $3, $4, $5)"
	" ON CONFLICT (user_id, limit_type) DO UPDATE SET max_usage = EXCLUDED.max_usage,"
	" expires_at = EXCLUDED.expires_at, reason = EXCLUDED.reason",
	5, {USER_ID, TEXTOID, NUMERICOID, TIMESTAMPTZOID, TEXTOID}
};

static Statement drop_user_limit = {
	"DELETE FROM @extschema@.user_limits"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND limit_type OPERATOR(pg_catalog.=) $2",
	2, {USER_ID, TEXTOID}
};

static Statement find_user_limit = {
	"SELECT FROM @extschema@.user_limits"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND limit_type OPERATOR(pg_catalog.=) $2",
	2, {USER_ID, TEXTOID}
};

PG_FUNCTION_INFO_V1(ut_set_user_limit);
Datum
ut_set_user_limit(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[5] = {0};
	char		nulls[6] = "     ";
	char	   *reason;
	Disguise	before;

	check_is_admin_or_server(home);
	args[0] = user_id_argument(home, fcinfo);
	args[1] = CStringGetTextDatum(name_argument(fcinfo, 1, "limit_type"));
	if (!PG_ARGISNULL(2))
		args[2] = NumericGetDatum(max_usage_argument(fcinfo, 2));
	args[3] = time_argument(fcinfo, 3, "expires_at");
	nulls[3] = PG_ARGISNULL(3) ? 'n' : ' ';
	reason = text_argument(fcinfo, 4, "reason");
	nulls[4] = reason == NULL ? 'n' : ' ';
	if (reason != NULL)
		args[4] = CStringGetTextDatum(reason);

	become_owner(home, &before);
	check_limit_exists(TextDatumGetCString(args[1]));
	if (PG_ARGISNULL(2))
		statement_write_or_fail(&drop_user_limit, &find_user_limit, args, nulls);
	else
		statement_write(&put_user_limit, args, nulls);
	become_caller(&before);
	PG_RETURN_VOID();
}
