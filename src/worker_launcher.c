/*
 * worker_launcher.c -- starts workers, one after the other.
 *
 * Nothing depends on it.  It exists only where the library is preloaded, and its
 * workers do nothing but call usage_maintenance().
 *
 * It is connected to no database and sees the shared catalogs alone.  No worker is
 * started where it could not connect, because the server would log that each time.
 */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "settings.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"
#include "utils/wait_event.h"
#include "worker.h"

#define RESTART_SECONDS 5
#define WARNING_SECONDS SECS_PER_HOUR	/* between two rounds that may warn */
#define MAX_LOST 6

/* A database of the list. */
typedef struct Place
{
	NameData	name;
	News		news;
	TimestampTz warned_at;		/* when warnings were last let through */
	int			lost;			/* how many workers in a row did not come to their end */
	int			skip;			/* rounds to leave out for that */
} Place;

static Place *places = NULL;
static int	nplaces = 0;
static bool lacks_slot = false; /* has been logged */

static BackgroundWorker
process(const char *name, const char *function)
{
	BackgroundWorker worker = {0};

	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "%s", name);
	snprintf(worker.bgw_type, sizeof(worker.bgw_type), "%s", name);
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), "usage_tracking");
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "%s", function);
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	return worker;
}

static Place *
find_place(Place *all, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(NameStr(all[i].name), name) == 0)
			return &all[i];
	return NULL;
}

/* Of those that stay in the list, what was logged is known on. */
static void
read_places(void)
{
	char	   *copy = pstrdup(setting_worker_databases);
	List	   *names;
	ListCell   *cell;
	Place	   *all;
	int			n = 0;

	if (!SplitIdentifierString(copy, ',', &names))
		names = NIL;
	all = MemoryContextAllocZero(TopMemoryContext, (list_length(names) + 1) * sizeof(Place));
	foreach(cell, names)
	{
		const char *name = lfirst(cell);
		Place	   *known = find_place(places, nplaces, name);

		if (find_place(all, n, name) != NULL)
			continue;
		if (known != NULL)
			all[n] = *known;
		else
		{
			namestrcpy(&all[n].name, name);
			all[n].warned_at = DT_NOBEGIN;
		}
		n++;
	}
	if (places != NULL)
		pfree(places);
	places = all;
	nplaces = n;
	list_free(names);
	pfree(copy);
}

/* Until something happens, or for so many milliseconds if that is not less than 0. */
static void
launcher_wait(long timeout)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (timeout < 0 ? 0 : WL_TIMEOUT),
					 timeout, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ShutdownRequestPending)
		proc_exit(1);			/* for 0 the server would never start it again */
}

/* Until the next round: a reload begins one at once. */
static void
launcher_rest(void)
{
	TimestampTz until = GetCurrentTimestamp() + setting_worker_interval * USECS_PER_SEC;

	while (!ConfigReloadPending)
	{
		int64		left = until - GetCurrentTimestamp();

		if (nplaces == 0)
			launcher_wait(-1);
		else if (left <= 0)
			return;
		else
			launcher_wait(Min(left / 1000 + 1, setting_worker_interval * 1000L));
	}
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	read_places();
}

/*
 * Its row, copied, or NULL.  Without an index: who is connected to no database has
 * no description of one until somebody who is has written it to a file.
 */
static Form_pg_database
find_row(const char *name)
{
	Form_pg_database row = NULL;
	Relation	databases = table_open(DatabaseRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_database_datname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum(name));
	scan = systable_beginscan(databases, InvalidOid, false, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		row = palloc(sizeof(FormData_pg_database));
		memcpy(row, GETSTRUCT(tuple), sizeof(FormData_pg_database));
	}
	systable_endscan(scan);
	table_close(databases, AccessShareLock);
	return row;
}

/* Its number, or 0 where a worker could not connect. */
static Oid
find_database(Place *place)
{
	Form_pg_database row;
	Oid			database = InvalidOid;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	row = find_row(NameStr(place->name));
	if (row == NULL)
	{
		if (is_news(&place->news, NO_DATABASE, 0))
			ereport(LOG,
					(errmsg("usage_tracking cannot maintain database \"%s\": it does not exist",
							NameStr(place->name))));
	}
	else if (!row->datallowconn || row->datconnlimit < -1)	/* what a DROP DATABASE left */
	{
		if (is_news(&place->news, NO_CONNECTIONS, 0))
			ereport(LOG,
					(errmsg("usage_tracking cannot maintain database \"%s\": it is not accepting connections",
							NameStr(place->name))));
	}
	else
		database = row->oid;
	CommitTransactionCommand();
	return database;
}

static BackgroundWorkerHandle *
start_worker(dsm_segment *segment)
{
	BackgroundWorker worker = process("usage_tracking worker", "ut_worker_main");
	BackgroundWorkerHandle *handle;

	worker.bgw_restart_time = BGW_NEVER_RESTART;
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	worker.bgw_notify_pid = MyProcPid;
	return RegisterDynamicBackgroundWorker(&worker, &handle) ? handle : NULL;
}

static void
wait_for_end(BackgroundWorkerHandle *handle)
{
	pid_t		pid;
	BgwHandleStatus status;

	while ((status = GetBackgroundWorkerPid(handle, &pid)) == BGWH_STARTED || status == BGWH_NOT_YET_STARTED)
		launcher_wait(-1);
}

/* The server logs each worker that dies, so where they all do it is tried less often. */
static void
count_lost(Place *place, bool is_done)
{
	place->lost = is_done ? 0 : Min(place->lost + 1, MAX_LOST);
	place->skip = is_done ? 0 : (1 << place->lost) - 2;
}

static void
look_after(Place *place, dsm_segment *segment)
{
	Assignment *assignment = dsm_segment_address(segment);
	Oid			database = find_database(place);
	TimestampTz now = GetCurrentTimestamp();
	BackgroundWorkerHandle *handle;

	if (!OidIsValid(database))
		return;
	assignment->database = database;
	assignment->name = place->name;
	assignment->may_warn = TIMESTAMP_IS_NOBEGIN(place->warned_at) ||
		now - place->warned_at >= WARNING_SECONDS * USECS_PER_SEC;
	assignment->news = place->news;
	assignment->is_done = false;

	handle = start_worker(segment);
	if (handle == NULL)
	{
		if (!lacks_slot)
			ereport(LOG,
					(errmsg("usage_tracking cannot start a worker: too many background workers"),
					 errhint("Consider increasing the configuration parameter \"max_worker_processes\".")));
		lacks_slot = true;
		return;
	}
	lacks_slot = false;
	wait_for_end(handle);
	pfree(handle);
	if (assignment->may_warn)
		place->warned_at = now;
	place->news = assignment->news;
	count_lost(place, assignment->is_done);
}

void
ut_launcher_main(Datum arg)
{
	dsm_segment *segment;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	segment = dsm_create(sizeof(Assignment), 0);
	read_places();
	for (;;)
	{
		for (int i = 0; i < nplaces; i++)
		{
			if (places[i].skip > 0)
				places[i].skip--;
			else
				look_after(&places[i], segment);
		}
		launcher_rest();
	}
}

/*
 * A standby has none until it is promoted.  What pg_upgrade starts must not
 * change anything by itself.
 */
void
worker_init(void)
{
	BackgroundWorker launcher = process("usage_tracking launcher", "ut_launcher_main");

	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	launcher.bgw_restart_time = RESTART_SECONDS;
	RegisterBackgroundWorker(&launcher);
}
