/*
 * counters_elsewhere.c -- what changes events, windows or reservations by other ways than uses.
 *
 * Whoever does keeps uses out of it (locks.c); then nobody has taken of the counters
 * in shared memory, and they leave it, to be read anew.
 */
#include "compat.h"

#include "counters.h"
#include "counters_memory.h"
#include "errors.h"
#include "events.h"
#include "faults.h"
#include "locks.h"
#include "miscadmin.h"
#include "utils/rel.h"

static void
forget_counter(Partition *partition, Counter *counter)
{
	settle_prepared(partition, counter);
	stall("forgotten");
	if (counter->limit_id == 0)
		return;					/* it left with the last prepared transaction */
	if (counter->ntakings == 0)
		remove_counter(partition, counter);
	else
		counter->is_stale = true;
}

/*
 * Windows or events of a user are going to change, by who keeps his uses out.  What
 * this transaction itself has taken stays until it ends, for nobody to take more of.
 */
static void
forget_counters_of(const Installation *home, Datum user_id)
{
	Place		place;
	Counter    *counter;
	Counter    *next;

	if (!has_counter_memory())
		return;
	place = place_of_user(home, user_id);
	LWLockAcquire(&place.partition->lock, LW_EXCLUSIVE);
	for (counter = next_counter_of_user(&place, NULL); counter != NULL; counter = next)
	{
		next = next_counter_of_user(&place, counter);
		forget_counter(place.partition, counter);
	}
	LWLockRelease(&place.partition->lock);
}

static void
forget_partition(Partition *partition, const Installation *home)
{
	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	for (int i = 0; i < partition->ncounters; i++)
	{
		Counter    *counter = counter_number(partition->first_counter + i);

		if (counter->limit_id != 0 && counter->user.database == MyDatabaseId &&
			counter->user.usage_events == home->usage_events)
			forget_counter(partition, counter);
	}
	LWLockRelease(&partition->lock);
}

/* The same of everybody. */
static void
forget_all_counters(const Installation *home)
{
	if (has_counter_memory())
		for (int i = 0; i < number_of_partitions(); i++)
			forget_partition(partition_number(i), home);
}

/* What replication brings of a user is not seen by memory, nor what follows in its transaction. */
void
leave_memory_for(const Installation *home, Datum user_id)
{
	keep_out_uses_of(home, user_id);
	forget_counters_of(home, user_id);
	pass_memory_by(home, user_id);
}

void
counters_elsewhere_init(void)
{
	on_lock_out(forget_counters_of);
}

/* ---- everything below only translates between SQL and the above ---- */

/*
 * Trigger of usage_events and its partitions, for INSERTs that are not ours: those
 * of replication come row by row, and may well be all of one user.
 */
PG_FUNCTION_INFO_V1(ut_events_come);
Datum
ut_events_come(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of_any_version(fcinfo);
	TriggerData *trigger = check_trigger(fcinfo);
	TupleDesc	desc = trigger->tg_relation->rd_att;
	bool		isnull;
	Datum		user_id;

	if (events_are_ours())
		return PointerGetDatum(NULL);
	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
	{
		keep_out_all_uses(home);
		forget_all_counters(home);
		pass_all_memory_by();
		return PointerGetDatum(NULL);
	}
	user_id = SPI_getbinval(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "user_id"), &isnull);
	leave_memory_for(home, user_id);
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(ut_forget_counters);
Datum
ut_forget_counters(PG_FUNCTION_ARGS)
{
	forget_all_counters(installation_of(fcinfo));
	PG_RETURN_VOID();
}
