/*
 * runs_read.c -- what runs there are, who may ask for them, and whether more may start.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "arguments.h"
#include "catalog/pg_type.h"
#include "credits.h"
#include "errors.h"
#include "funcapi.h"
#include "numbers.h"
#include "runs.h"
#include "settings.h"
#include "storage/lmgr.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define MAX_ROWS 1000
#define MAX_SKIPPED 1000000

static Statement runs_of_user = {
	"SELECT * FROM @extschema@._runs_of_user($1, $2, $3, $4, $5, $6)",
	6, {USER_ID, INT8OID, INT8OID, INT4OID, INT4OID, TIMESTAMPTZOID}
};

/* ---- one run ---- */

/* The row that was found. */
static Datum
found_run(FunctionCallInfo fcinfo, MemoryContext context)
{
	MemoryContext before = MemoryContextSwitchTo(context);
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
	Datum		result;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be usage_run");
	values = palloc(desc->natts * sizeof(Datum));
	nulls = palloc(desc->natts * sizeof(bool));
	for (int i = 0; i < desc->natts; i++)
		values[i] = result_datum(0, i + 1, &nulls[i]);
	result = HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
	MemoryContextSwitchTo(before);
	return result;
}

static bool
look_for_run(Datum user_id, int64 id, uint64 (*look) (Statement *, Datum *, const char *))
{
	Datum		args[] = {
		user_id, Int64GetDatum(id), Int64GetDatum(id), Int32GetDatum(0), Int32GetDatum(1),
		TimestampTzGetDatum(usage_now())
	};

	return look(&runs_of_user, args, NULL) > 0;
}

/* As the owner: a run as this transaction left it. */
Datum
run_datum(const Installation *home, FunctionCallInfo fcinfo, MemoryContext caller, Datum user_id, int64 id)
{
	LockRelationOid(home->usage_events, AccessShareLock);	/* so that events stay where they are */
	if (!look_for_run(user_id, id, statement_look_afresh))
		elog(ERROR, "run " INT64_FORMAT " is gone", id);
	return found_run(fcinfo, caller);
}

/* ---- limits on runs ---- */

static bool
is_monthly(const UsageLimit *limit)
{
	const Interval *period = &limit->period;

	return limit->kind == WINDOW_BILLING ||
		(kind_has_period(limit->kind) && period->time == 0 &&
		 ((period->month == 1 && period->day == 0) || (period->month == 0 && period->day >= 28 && period->day <= 31)));
}

/* Whether it is a number of runs that it limits. */
static bool
limits_runs(const UsageLimit *limit)
{
	return limit->measure == MEASURE_EVENTS || limit->measure == MEASURE_QUANTITY;
}

static Stakes
stakes_on_runs(const Stakes *stakes, bool monthly)
{
	Stakes		some = {palloc(stakes->n * sizeof(Stake))};

	for (int i = 0; i < stakes->n; i++)
		if (limits_runs(stakes->all[i].limit) && (!monthly || is_monthly(stakes->all[i].limit)))
			some.all[some.n++] = stakes->all[i];
	return some;
}

/* Of the limits on runs by the month the one that answers; if there is none, of all on runs. */
static Decision
decide_on_runs(const Stakes *stakes)
{
	Stakes		monthly = stakes_on_runs(stakes, true);
	Stakes		any = stakes_on_runs(stakes, false);

	return decide(monthly.n > 0 ? &monthly : &any, false);
}

static Event
event_of_next_run(Datum user_id, char *usage_type)
{
	Event		event = {"run_usage"};

	event.user_id = user_id;
	event.usage_type = usage_type;
	event.quantity = num_from(1);
	event.cost = num_zero;
	event.events = 1;
	event.status = "success";
	event.occurred_at = usage_now();
	return event;
}

/* ---- months ---- */

/* In the user's own zone. */
static Window
present_month(const UserTerms *terms)
{
	Interval	month = {.month = 1};

	return window_at(WINDOW_CALENDAR, &month, zone_of_user(terms), terms->anchor, terms->now);
}

static Statement count_runs = {
	"SELECT pg_catalog.count(*) FROM @extschema@.usage_runs WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND started_at OPERATOR(pg_catalog.>=) $2 AND started_at OPERATOR(pg_catalog.<) $3 AND counts"
	" AND (status OPERATOR(pg_catalog.=) 'success'"
	" OR (status OPERATOR(pg_catalog.=) 'running' AND expires_at OPERATOR(pg_catalog.>) $4))",
	4, {USER_ID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static int64
runs_this_month(Datum user_id)
{
	UserTerms	terms = terms_of_user(user_id, usage_now(), false);
	Window		month = present_month(&terms);
	Datum		args[] = {
		user_id, TimestampTzGetDatum(month.start), TimestampTzGetDatum(month.end), TimestampTzGetDatum(terms.now)
	};

	statement_look(&count_runs, args, NULL);
	return result_int64(0, 1);
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_get_run);
Datum
ut_get_run(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Datum		user_id = user_to_see(home, fcinfo);
	Disguise	before;
	Datum		result = (Datum) 0;
	bool		found;

	check_not_null(PG_ARGISNULL(1), "run_id");
	become_owner(home, &before);
	found = look_for_run(user_id, PG_GETARG_INT64(1), statement_look);
	if (found)
		result = found_run(fcinfo, caller);
	if (found && must_look_again() && (found = look_for_run(user_id, PG_GETARG_INT64(1), statement_look_afresh)))
		result = found_run(fcinfo, caller);
	become_caller(&before);
	if (!found)
		PG_RETURN_NULL();
	return result;
}

PG_FUNCTION_INFO_V1(ut_list_runs);
Datum
ut_list_runs(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[] = {
		user_to_see(home, fcinfo),
		Int64GetDatum(PG_INT64_MIN),
		Int64GetDatum(PG_INT64_MAX),
		number_argument(fcinfo, 2, "skip_rows", 0, MAX_SKIPPED),
		number_argument(fcinfo, 1, "max_rows", 1, MAX_ROWS),
		TimestampTzGetDatum(usage_now())
	};

	if (!PG_ARGISNULL(3))
		args[2] = Int64GetDatum(Max(PG_GETARG_INT64(3), 1) - 1);
	return answer_rows(home, fcinfo, &runs_of_user, args, NULL);
}

static Statement deliveries = {
	"SELECT * FROM @extschema@._deliveries_of_run($1, $2)", 2, {USER_ID, INT8OID}
};

PG_FUNCTION_INFO_V1(ut_get_run_deliveries);
Datum
ut_get_run_deliveries(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[] = {user_to_see(home, fcinfo), PG_GETARG_DATUM(1)};

	check_not_null(PG_ARGISNULL(1), "run_id");
	return answer_rows(home, fcinfo, &deliveries, args, NULL);
}

PG_FUNCTION_INFO_V1(ut_check_monthly_usage_limit);
Datum
ut_check_monthly_usage_limit(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id = user_to_see(home, fcinfo);
	int32		max_runs = DatumGetInt32(number_argument(fcinfo, 1, "max_runs", -1, PG_INT32_MAX));
	Disguise	before;
	bool		can_run;

	become_owner(home, &before);
	can_run = max_runs < 0 || runs_this_month(user_id) < max_runs;
	become_caller(&before);
	PG_RETURN_BOOL(can_run);
}

static Statement months_of_runs = {
	"SELECT * FROM @extschema@._months_of_runs($1, $2, '-infinity', 'infinity')", 2, {USER_ID, TEXTOID}
};

PG_FUNCTION_INFO_V1(ut_monthly_runs);
Datum
ut_monthly_runs(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[] = {user_to_see(home, fcinfo), (Datum) 0};
	UserTerms	terms;
	Disguise	before;
	const char *zone;

	become_owner(home, &before);
	terms = terms_of_user(args[0], usage_now(), false);
	zone = pg_get_timezone_name(zone_of_user(&terms));
	become_caller(&before);
	args[1] = CStringGetTextDatum(zone);
	return answer_rows(home, fcinfo, &months_of_runs, args, NULL);
}

static Statement run_usage = {
	"SELECT @extschema@._run_usage($1, $2, $3, $4, $5, $6, $7)",
	7, {USER_ID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID, NUMERICOID, NUMERICOID}, .plans_within = true
};

/* As start_run() would decide. */
static bool
may_run(const Installation *home, const Event *next, const UserTerms *terms, const Stakes *stakes, bool afresh)
{
	Decision	decision = decide(stakes, false);
	Numeric		price = credit_cost_of(next);

	if (!setting_enabled)
		return true;
	if (price != NULL)
		deny_without_credits(home, next, terms, price, afresh, &decision);
	return decision.allowed;
}

/* As the owner. */
static void
look_at_run_usage(const Installation *home, Event *next, bool afresh)
{
	const Config *config = current_config();
	UserTerms	terms = terms_of_user(next->user_id, next->occurred_at, afresh);
	Window		month = present_month(&terms);
	Stakes		stakes = weigh(config, &terms, next, afresh);
	Decision	on_runs = decide_on_runs(&stakes);
	Datum		args[] = {
		next->user_id,
		CStringGetTextDatum(pg_get_timezone_name(zone_of_user(&terms))),
		TimestampTzGetDatum(month.start),
		TimestampTzGetDatum(month.end),
		BoolGetDatum(may_run(home, next, &terms, &stakes, afresh)),
		NumericGetDatum(on_runs.used),
		NumericGetDatum(on_runs.max_usage)
	};

	(afresh ? statement_look_afresh : statement_look) (&run_usage, args, on_runs.used == NULL ? "     n " : NULL);
}

PG_FUNCTION_INFO_V1(ut_run_usage);
Datum
ut_run_usage(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Event		next = event_of_next_run(user_to_see(home, fcinfo), name_argument(fcinfo, 1, "usage_type"));
	Disguise	before;
	Datum		result;

	become_owner(home, &before);
	check_usage_type(current_config(), next.usage_type);
	look_at_run_usage(home, &next, false);
	result = copied_result(caller);
	if (must_look_again())
	{
		look_at_run_usage(home, &next, true);
		result = copied_result(caller);
	}
	become_caller(&before);
	PG_RETURN_DATUM(result);
}
