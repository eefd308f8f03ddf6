/*
 * worker.c -- does the upkeep of one database, and ends.
 *
 * Whoever is connected keeps DROP DATABASE and CREATE DATABASE TEMPLATE waiting,
 * and they give up after five seconds: so this ends after about two.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "query.h"
#include "storage/dsm.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "worker.h"

#define RUN_SECONDS 1			/* no call begins later, and none is for longer */

static const char *const extension_names[] = {
	"usage_tracking", "usage_tracking_text", "usage_tracking_bigint"
};

typedef struct Found
{
	Oid			extension;
	Oid			function;		/* its usage_maintenance() */
} Found;

static Found
find_extension(const char *name)
{
	Found		found = {InvalidOid, InvalidOid};
	Oid			argtypes[] = {TEXTOID};
	Datum		args[] = {CStringGetTextDatum(name)};
	bool		isnull;

	SPI_connect();
	SPI_execute_with_args("SELECT x.oid, p.oid FROM pg_catalog.pg_extension AS x"
						  " JOIN pg_catalog.pg_depend AS d ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::regclass"
						  " AND d.refobjid OPERATOR(pg_catalog.=) x.oid AND d.deptype OPERATOR(pg_catalog.=) 'e'"
						  " AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::regclass"
						  " JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) d.objid"
						  " WHERE x.extname OPERATOR(pg_catalog.=) $1::name"
						  " AND p.proname OPERATOR(pg_catalog.=) 'usage_maintenance'",
						  1, argtypes, args, NULL, false, 1);
	if (SPI_processed > 0)
	{
		found.extension = DatumGetObjectId(result_datum(0, 1, &isnull));
		found.function = DatumGetObjectId(result_datum(0, 2, &isnull));
	}
	SPI_finish();
	return found;
}

/*
 * One call.  True if it did something and something is left.
 *
 * Triggers, and whatever else the application added, must not run as the superuser
 * who is connected: so from here to the end of the transaction, deferred triggers
 * included, this is the extension's owner, who cannot become somebody else.
 * Restricted as well, deferred triggers would be refused.
 */
static bool
call_maintenance(const Installation *home)
{
	Disguise	before;
	char	   *call;
	bool		goes_on;

	SetUserIdAndSecContext(home->owner, SECURITY_LOCAL_USERID_CHANGE);
	call = psprintf("SELECT pg_catalog.bool_or(m.done OPERATOR(pg_catalog.>) 0)"
					" AND pg_catalog.bool_or(m.left OPERATOR(pg_catalog.>) 0)"
					" FROM %s.usage_maintenance(%d) AS m",
					quote_identifier(NameStr(home->schema_name)), RUN_SECONDS);
	become_owner(home, &before);
	SPI_execute(call, false, 0);
	goes_on = SPI_processed > 0 && result_bool(0, 1);
	become_caller(&before);
	return goes_on;
}

/* Until the end of the transaction nobody drops it; who is about to, goes first. */
static void
hold_extension(const char *name, Found found)
{
	if (!ConditionalLockDatabaseObject(ExtensionRelationId, found.extension, 0, AccessShareLock) ||
		find_extension(name).function != found.function)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("extension \"%s\" is being dropped", name)));
}

/* A transaction. */
static bool
maintain(const char *extension, bool *is_there)
{
	Oid			user;
	int			context;
	Found		found;
	bool		goes_on = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	GetUserIdAndSecContext(&user, &context);
	PushActiveSnapshot(GetTransactionSnapshot());
	found = find_extension(extension);
	*is_there = OidIsValid(found.extension);
	if (*is_there)
	{
		hold_extension(extension, found);
		goes_on = call_maintenance(installation_of_function(found.function));
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	SetUserIdAndSecContext(user, context);
	return goes_on;
}

/* What is locked is no trouble: another round will come. */
static void
report_failure(Assignment *assignment)
{
	ErrorData  *error;

	MemoryContextSwitchTo(TopMemoryContext);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
		is_news(&assignment->news, FAILED, error->sqlerrcode))
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("usage_tracking could not maintain database \"%s\": %s",
						NameStr(assignment->name), error->message),
				 error->detail == NULL ? 0 : errdetail_internal("%s", error->detail),
				 error->hint == NULL ? 0 : errhint("%s", error->hint)));
}

/* False if it failed. */
static bool
run(Assignment *assignment, const char *extension, bool *is_there)
{
	TimestampTz end = GetCurrentTimestamp() + RUN_SECONDS * USECS_PER_SEC;
	volatile bool is_good = true;

	PG_TRY();
	{
		while (maintain(extension, is_there) && GetCurrentTimestamp() < end)
			CHECK_FOR_INTERRUPTS();
	}
	PG_CATCH();
	{
		report_failure(assignment);
		is_good = false;
	}
	PG_END_TRY();
	return is_good;
}

static void
set(const char *setting, const char *value)
{
	SetConfigOption(setting, value, PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * What the database or the server sets for others and would be in the way.  A
 * standby that does not answer must not keep this connected for ever; what it
 * does not know of upkeep is done again.
 */
static void
settle(bool may_warn)
{
	set("search_path", "pg_catalog, pg_temp");
	set("default_transaction_isolation", "read committed");
	if (GetConfigOption("transaction_timeout", true, false) != NULL)	/* new in 17 */
		set("transaction_timeout", "0");
	if (synchronous_commit > SYNCHRONOUS_COMMIT_LOCAL_FLUSH)
		set("synchronous_commit", "local");
	if (!may_warn && log_min_messages < ERROR)
		set("log_min_messages", "error");
}

void
ut_worker_main(Datum arg)
{
	dsm_segment *segment;
	Assignment *assignment;
	bool		is_good = true;
	bool		any = false;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	segment = dsm_attach(DatumGetUInt32(arg));
	if (segment == NULL)
		return;					/* the launcher has gone */
	assignment = dsm_segment_address(segment);
	BackgroundWorkerInitializeConnectionByOid(assignment->database, InvalidOid, 0);
	settle(assignment->may_warn);

	pgstat_report_activity(STATE_RUNNING, "usage_maintenance()");
	for (int i = 0; i < lengthof(extension_names); i++)
	{
		bool		is_there = false;

		is_good = run(assignment, extension_names[i], &is_there) && is_good;
		any = any || is_there;
	}
	if (is_good && !any && is_news(&assignment->news, NO_EXTENSION, 0))
		ereport(LOG,
				(errmsg("usage_tracking cannot maintain database \"%s\": the extension is not installed there",
						NameStr(assignment->name))));
	if (is_good && any && is_news(&assignment->news, NO_TROUBLE, 0))
		ereport(LOG,
				(errmsg("usage_tracking maintains database \"%s\" again", NameStr(assignment->name))));
	assignment->is_done = true;
}
