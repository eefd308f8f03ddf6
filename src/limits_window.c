/*
 * limits_window.c -- which window of a limit a user is in.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "arguments.h"
#include "funcapi.h"
#include "limits.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

Window
window_of(const UsageLimit *limit, const UserTerms *terms, TimestampTz at)
{
	pg_tz	   *zone = limit->zone != NULL ? limit->zone : zone_of_user(terms);

	Window		window;

	if (limit->kind == WINDOW_BILLING && terms->has_billing_period)
		return billing_window(&terms->billing_period, zone, at);
	window = window_at(limit->kind, &limit->period, zone, terms->anchor, at);
	if (limit_is_sliding(limit) && window.end > terms->now)
		window.end = DT_NOEND;	/* what is said to come later is used as well */
	return window;
}

/* ---- everything below only translates between SQL and the above ---- */

static Datum
window_datum(FunctionCallInfo fcinfo, Window w)
{
	TupleDesc	desc;
	Datum		values[] = {TimestampTzGetDatum(w.start), TimestampTzGetDatum(w.end)};
	bool		nulls[] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

PG_FUNCTION_INFO_V1(ut_usage_window);
Datum
ut_usage_window(PG_FUNCTION_ARGS)
{
	WindowKind	kind;
	Interval   *period = PG_GETARG_INTERVAL_P(1);
	pg_tz	   *zone = find_time_zone(text_to_cstring(PG_GETARG_TEXT_PP(2)));

	if (!window_kind_from_name(text_to_cstring(PG_GETARG_TEXT_PP(0)), &kind) || zone == NULL ||
		!period_fits_kind(kind, period))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("window kind, period, or time zone is not valid")));
	check_finite_time(PG_GETARG_TIMESTAMPTZ(3), "anchor");
	check_finite_time(PG_GETARG_TIMESTAMPTZ(4), "at");
	PG_RETURN_DATUM(window_datum(fcinfo, window_at(kind, period, zone, PG_GETARG_TIMESTAMPTZ(3),
												   PG_GETARG_TIMESTAMPTZ(4))));
}

PG_FUNCTION_INFO_V1(ut_billing_window);
Datum
ut_billing_window(PG_FUNCTION_ARGS)
{
	Window		period = {PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_TIMESTAMPTZ(1)};
	pg_tz	   *zone = find_time_zone(text_to_cstring(PG_GETARG_TEXT_PP(2)));

	check_finite_time(period.start, "billing_period_start");
	check_finite_time(period.end, "billing_period_end");
	check_finite_time(PG_GETARG_TIMESTAMPTZ(3), "at");
	if (period.start >= period.end || zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("billing period or time zone is not valid")));
	PG_RETURN_DATUM(window_datum(fcinfo, billing_window(&period, zone, PG_GETARG_TIMESTAMPTZ(3))));
}
