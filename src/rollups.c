/*
 * rollups.c -- how was it over time?
 *
 * The work is in sql/rollups.sql; this says in which cluster, and
 * how far its transactions are.
 */
#include "compat.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/xid8.h"

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_system_identifier);
Datum
ut_system_identifier(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) GetSystemIdentifier());
}

PG_FUNCTION_INFO_V1(ut_next_xact_id);
Datum
ut_next_xact_id(PG_FUNCTION_ARGS)
{
	PG_RETURN_FULLTRANSACTIONID(ReadNextFullTransactionId());
}

PG_FUNCTION_INFO_V1(ut_default_time_zone);
Datum
ut_default_time_zone(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(GetConfigOption("usage_tracking.time_zone", false, false)));
}
