/*
 * tallies_sync.c -- what is displayed, and what there is.
 *
 * A sync counts the source while nobody can change it, with a snapshot of after
 * that lock, so that it is right at any isolation level.
 */
#include "compat.h"

#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "funcapi.h"
#include "executor/tstoreReceiver.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "tables.h"
#include "tallies.h"
#include "transitions.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

/* Rows "key, displayed, actual, displayed_last, actual_last" that differ, of a join that may be of any size. */
static char *
differences_sql(const Tally *tally)
{
	const char *key = quote_identifier(tally->source_key);
	const char *count = psprintf("t.%s", quote_identifier(tally->count_column));
	const char *last = tally->last_used == NULL ? "NULL::pg_catalog.timestamptz"
		: psprintf("t.%s", quote_identifier(tally->last_used));
	const char *latest = tally->last_used == NULL ? "NULL::pg_catalog.timestamptz"
		: psprintf("pg_catalog.max(s.%s)", quote_identifier(tally->used_at));

	return psprintf("SELECT t.%s AS key, %s AS displayed, COALESCE(a.rows, 0) AS actual,"
					" %s AS displayed_last, a.latest AS actual_last"
					" FROM %s AS t LEFT JOIN (SELECT s.%s AS key, pg_catalog.count(*) AS rows, %s AS latest"
					" FROM %s AS s WHERE s.%s IS NOT NULL GROUP BY s.%s) AS a ON a.key OPERATOR(pg_catalog.=) t.%s"
					" WHERE (%s OPERATOR(pg_catalog.=) COALESCE(a.rows, 0)) IS NOT TRUE"
					" OR (%s OPERATOR(pg_catalog.=) a.latest OR COALESCE(%s, a.latest) IS NULL) IS NOT TRUE"
					" ORDER BY t.%s",
					quote_identifier(tally->key), count, last, qualified_name(tally->target), key, latest,
					qualified_name(tally->source), key, key, quote_identifier(tally->key), count, last, last,
					quote_identifier(tally->key));
}

static char *
repair_sql(const Tally *tally)
{
	Oid			type = plain_column_type(tally->target, tally->count_column);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "WITH wrong AS MATERIALIZED (%s FOR NO KEY UPDATE OF t) UPDATE %s AS t SET %s = w.actual::%s",
					 differences_sql(tally), qualified_name(tally->target),
					 quote_identifier(tally->count_column), format_type_be_qualified(type));
	if (tally->last_used != NULL)
		appendStringInfo(&sql, ", %s = w.actual_last", quote_identifier(tally->last_used));
	appendStringInfo(&sql, " FROM wrong AS w WHERE t.%s OPERATOR(pg_catalog.=) w.key", quote_identifier(tally->key));
	return sql.data;
}

/* Planned each time, for the sizes that the tables have. */
static uint64
run(const char *sql, Snapshot snapshot)
{
	SPIPlanPtr	plan = SPI_prepare(sql, 0, NULL);
	int			rc;

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed for \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	rc = SPI_execute_snapshot(plan, NULL, NULL, snapshot, InvalidSnapshot, false, true, 0);
	if (rc < 0)
		elog(ERROR, "SPI failed for \"%s\": %s", sql, SPI_result_code_string(rc));
	return SPI_processed;
}

/* Returns how many rows of the target were wrong. */
int64
sync_tally(const Tally *tally)
{
	Disguise	before;
	Oid			owner;
	int64		repaired;

	LockRelationOid(tally->source, ShareRowExclusiveLock);
	find_all_inheritors(tally->source, ShareRowExclusiveLock, NULL);	/* a partition can be changed by its own name */
	owner = check_tally(tally);
	become_table_owner(owner, &before);
	CommandCounterIncrement();
	repaired = run(repair_sql(tally), GetLatestSnapshot());
	become_caller(&before);
	return repaired;
}

/* A time without zone is taken for one of UTC. */
static char *
listed_sql(const Tally *tally)
{
	bool		zoned = tally->last_used == NULL ||
		plain_column_type(tally->target, tally->last_used) == TIMESTAMPTZOID;
	const char *before = zoned ? "" : "pg_catalog.timezone('UTC', ";
	const char *after = zoned ? "" : ")";

	return psprintf("SELECT d.key::pg_catalog.text, d.displayed::pg_catalog.numeric, d.actual,"
					" %sd.displayed_last%s, %sd.actual_last%s FROM (%s) AS d",
					before, after, before, after, differences_sql(tally));
}

static void
put_differences(const Tally *tally, ReturnSetInfo *result)
{
	SPIExecuteOptions options = {.read_only = true, .dest = CreateDestReceiver(DestTuplestore)};
	SPIPlanPtr	plan = SPI_prepare(listed_sql(tally), 0, NULL);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SetTuplestoreDestReceiverParams(options.dest, result->setResult, CurrentMemoryContext, false, NULL, NULL);
	if (SPI_execute_plan_extended(plan, &options) < 0)
		elog(ERROR, "SPI_execute_plan_extended failed");
	options.dest->rDestroy(options.dest);
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_sync_usage_tally);
Datum
ut_sync_usage_tally(PG_FUNCTION_ARGS)
{
	Tally		tally = required_tally(installation_of(fcinfo), fcinfo);

	PreventCommandDuringRecovery("sync_usage_tally()");
	check_owns(tally.source);
	check_owns(tally.target);
	PG_RETURN_INT64(sync_tally(&tally));
}

PG_FUNCTION_INFO_V1(ut_verify_usage_tally);
Datum
ut_verify_usage_tally(PG_FUNCTION_ARGS)
{
	Tally		tally = required_tally(installation_of(fcinfo), fcinfo);
	Disguise	before;
	Oid			owner;

	check_owns(tally.source);
	check_owns(tally.target);
	owner = check_tally(&tally);
	InitMaterializedSRF(fcinfo, 0);
	become_table_owner(owner, &before);
	put_differences(&tally, (ReturnSetInfo *) fcinfo->resultinfo);
	become_caller(&before);
	return (Datum) 0;
}
