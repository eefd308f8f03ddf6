/*
 * locks.c -- who waits for whom when usage is counted.
 *
 * Locking, in this order; what settles a reservation has locked its run and it
 * before (runs.c, counters_holds.c):
 *  1. ROW EXCLUSIVE on usage_events.  A change of what is counted takes SHARE
 *     ROW EXCLUSIVE: it waits for uses in flight, later uses wait for it and
 *     then read the new configuration.
 *  2. The user's clock, a lock on his bucket of CLOCKS: shared by his uses,
 *     exclusive for a change of his zone, anchor or billing period, for the same
 *     reason.
 *     A first use makes the user's row in user_subscriptions while it shares
 *     the clock, so whoever wants both takes the clock before the row.  (A
 *     transaction that makes the row and later changes the clock, as a sign-up
 *     may, can meet the user's first use in a deadlock; one of them gets 40P01.)
 *  3. Only then are configuration and terms read, with fresh snapshots.
 *  4. The user's credits, if some are taken or held: credits_account.c.
 *  5. The rows of sliding limits (counters_sliding.c), then the counters, each sorted by
 *     limit_id and window.
 * What is no event, a gauge, takes the second and then its level (counters_levels.c).
 * A refusal that can be seen without locking takes no row lock.
 */
#include "compat.h"

#include "catalog/pg_collation.h"
#include "errors.h"
#include "executor/spi.h"
#include "locks.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/typcache.h"

/* So many locks at most for a transaction that counts for many users. */
#define CLOCKS 256

#define PATIENCE_MS 2000

static LockOutListener listeners[1];
static int	nlisteners = 0;

static Oid
clock_of_user(const Installation *home, Datum user_id)
{
	TypeCacheEntry *type = lookup_type_cache(home->user_id_type, TYPECACHE_HASH_PROC_FINFO);

	return DatumGetUInt32(FunctionCall1Coll(&type->hash_proc_finfo, DEFAULT_COLLATION_OID, user_id)) % CLOCKS;
}

/* Held to the end of the transaction, as the rows are. */
void
lock_counting(const Installation *home, Datum user_id)
{
	LockRelationOid(home->usage_events, RowExclusiveLock);
	lock_user(home, user_id);
}

/*
 * What is no event waits for nobody but a change of the user's clock, and for his
 * being forgotten: tables of the application are written under this lock.
 */
void
lock_user(const Installation *home, Datum user_id)
{
	LockDatabaseObject(home->usage_events, clock_of_user(home, user_id), 0, RowExclusiveLock);
}

/*
 * For a moment, for who only looks and brings what he sees to shared memory.  He
 * waits for nobody: false.
 */
bool
try_to_lock_counting(const Installation *home, Datum user_id)
{
	LOCKTAG		clock;

	if (!ConditionalLockRelationOid(home->usage_events, RowExclusiveLock))
		return false;
	SET_LOCKTAG_OBJECT(clock, MyDatabaseId, home->usage_events, clock_of_user(home, user_id), 0);
	if (LockAcquire(&clock, RowExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
		return true;
	UnlockRelationOid(home->usage_events, RowExclusiveLock);
	return false;
}

void
unlock_counting(const Installation *home, Datum user_id)
{
	UnlockDatabaseObject(home->usage_events, clock_of_user(home, user_id), 0, RowExclusiveLock);
	UnlockRelationOid(home->usage_events, RowExclusiveLock);
}

/* Of users of whom a prepared transaction changes what sessions keep (known.c); nobody waits for it. */
void
lock_known(Oid usage_events, int group)
{
	LockDatabaseObject(usage_events, CLOCKS + group, 0, RowShareLock);
}

bool
known_is_locked(Oid usage_events, int group)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, usage_events, CLOCKS + group, 0);
	return VirtualTransactionIdIsValid(*GetLockConflicts(&tag, ExclusiveLock, NULL));
}

static void
be_patient_for(int milliseconds)
{
	char		value[32];

	if (LockTimeout > 0 && LockTimeout < milliseconds)
		return;
	snprintf(value, sizeof(value), "%d", milliseconds);
	(void) set_config_option("lock_timeout", value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

static void
hint_at_uses_in_flight(ErrorData *error)
{
	if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		return;
	error->message = pstrdup("could not wait for uses in flight");
	error->hint = pstrdup("Transactions that recorded usage are still open.  Try again when they are over.");
}

/* Waits until every use in flight is over and keeps new ones out. */
static void
lock_out(const Installation *home, bool all_users, Datum user_id)
{
	int			nest = NewGUCNestLevel();
	MemoryContext caller = CurrentMemoryContext;

	PreventCommandDuringRecovery("changing what is counted");
	be_patient_for(PATIENCE_MS);
	PG_TRY();
	{
		if (all_users)
			LockRelationOid(home->usage_events, ShareRowExclusiveLock);
		else
			LockDatabaseObject(home->usage_events, clock_of_user(home, user_id), 0, ShareRowExclusiveLock);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		hint_at_uses_in_flight(error);
		ReThrowError(error);
	}
	PG_END_TRY();
	AtEOXact_GUC(true, nest);
}

static void
lock_out_all_uses(const Installation *home)
{
	lock_out(home, true, (Datum) 0);
}

/* Of this user, and of those who share his bucket. */
void
lock_out_uses_of(const Installation *home, Datum user_id)
{
	lock_out(home, false, user_id);
	for (int i = 0; i < nlisteners; i++)
		listeners[i] (home, user_id);
}

/* Registers who wants to know whose windows or events are going to change. */
void
on_lock_out(LockOutListener listener)
{
	if (nlisteners == lengthof(listeners))
		elog(ERROR, "no room for another listener");
	listeners[nlisteners++] = listener;
}

/* Uses of some users stay out until we end; others who want them out do not. */
void
keep_out_uses_of(const Installation *home, Datum user_id)
{
	LockDatabaseObject(home->usage_events, clock_of_user(home, user_id), 0, ShareLock);
}

void
keep_out_all_uses(const Installation *home)
{
	for (int clock = 0; clock < CLOCKS; clock++)
		LockDatabaseObject(home->usage_events, clock, 0, ShareLock);
}

/* ---- everything below only translates between SQL and the above ---- */

/* AFTER row trigger of usage_limits, fired where what is counted changed. */
PG_FUNCTION_INFO_V1(ut_counting_changed);
Datum
ut_counting_changed(PG_FUNCTION_ARGS)
{
	check_trigger(fcinfo);
	lock_out_all_uses(installation_of(fcinfo));
	return PointerGetDatum(NULL);
}

/* AFTER row trigger of user_subscriptions, fired where the clock changed. */
PG_FUNCTION_INFO_V1(ut_clock_changed);
Datum
ut_clock_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = check_row_trigger(fcinfo, "user_id");
	TupleDesc	desc = trigger->tg_relation->rd_att;
	bool		isnull;

	lock_out_uses_of(installation_of(fcinfo),
					 SPI_getbinval(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "user_id"), &isnull));
	return PointerGetDatum(NULL);
}
