/*
 * counters_past.c -- past shared memory: by rows, which are locked.
 *
 * Where there is no room for a counter, or a transaction has brought events by other
 * ways, its row counts, as if there were no memory.  Until that transaction ends,
 * no counter is brought to this partition that is not there; those that are there
 * count on.
 */
#include "compat.h"

#include "access/xact.h"
#include "counters.h"
#include "counters_inflight.h"
#include "counters_rows.h"
#include "faults.h"
#include "storage/lmgr.h"

typedef enum Bypass
{
	BEGUN,
	CAME_BACK,					/* a counter is here after all */
	IS_FULL
} Bypass;

static Bypass
try_to_bypass(const Place *place, Stakes *stakes, TransactionId *taker)
{
	Bypass		bypass = BEGUN;

	expect_takings(1);
	LWLockAcquire(&place->partition->lock, LW_EXCLUSIVE);
	for (int i = 0; i < stakes->n; i++)
		if (counter_in_memory(place, stakes->all[i].limit->id, stakes->all[i].window) != NULL)
		{
			stakes->all[i].in_memory = true;
			bypass = CAME_BACK;
		}
	if (bypass == BEGUN && own_taking(place->partition, NULL) == NULL)
	{
		bypass = IS_FULL;
		*taker = any_taker(place->partition);
	}
	LWLockRelease(&place->partition->lock);
	return bypass;
}

static Bypass
begin_to_bypass(const Place *place, Stakes *stakes)
{
	TransactionId taker;
	Bypass		bypass;

	while ((bypass = try_to_bypass(place, stakes, &taker)) == IS_FULL)
		if (TransactionIdIsValid(taker))
			XactLockTableWait(taker, NULL, NULL, XLTW_None);
	return bypass;
}

/*
 * From now on nobody brings a counter here that is not, in this partition, until
 * the transaction ends.  False: one came back meanwhile.
 */
static bool
bypass_memory(const Place *place, Stakes *stakes)
{
	if (begin_to_bypass(place, stakes) == CAME_BACK)
		return false;
	fault("bypass");
	for (int i = 0; i < stakes->n; i++)
		lock_key(&place->user, stakes->all[i].limit->id, stakes->all[i].window, true);
	return true;
}

/*
 * This transaction has brought events that are not counted here.  Uses of its own
 * from now on count in rows, which see what it did.
 */
static void
pass_partition_by(Partition *partition)
{
	Place		place = {.partition = partition};
	Stakes		none = {NULL};

	(void) begin_to_bypass(&place, &none);
}

void
pass_memory_by(const Installation *home, Datum user_id)
{
	if (has_counter_memory())
		pass_partition_by(place_of_user(home, user_id).partition);
}

void
pass_all_memory_by(void)
{
	if (has_counter_memory())
		for (int i = 0; i < number_of_partitions(); i++)
			pass_partition_by(partition_number(i));
}

bool
take_past_memory(const Place *place, Datum user_id, Stakes *stakes, TakingKind kind, bool *stale, bool *moved)
{
	*moved = !bypass_memory(place, stakes);
	if (*moved)
		return false;
	read_from_rows(user_id, stakes);
	if (make_rows_whole(user_id, stakes))
		read_from_rows(user_id, stakes);
	fault("past");
	return take_from_rows(user_id, stakes, kind, stale);
}
