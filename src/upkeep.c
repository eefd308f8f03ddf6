/*
 * upkeep.c -- what happens with time?
 *
 * The work is in sql/upkeep.sql; this says what is old.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "events.h"
#include "funcapi.h"
#include "settings.h"

static TimestampTz
ago(int seconds)
{
	return usage_now() - (int64) seconds * USECS_PER_SEC;
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_usage_horizons);
Datum
ut_usage_horizons(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[] = {
		TimestampTzGetDatum(usage_now()),
		TimestampTzGetDatum(ago(setting_max_event_age)),
		TimestampTzGetDatum(oldest_key()),
		TimestampTzGetDatum(setting_event_retention == 0 ? DT_NOBEGIN : ago(setting_event_retention))
	};
	bool		nulls[lengthof(values)] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
