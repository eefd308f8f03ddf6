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
#include "counters_trial.h"
#include "faults.h"
#include "miscadmin.h"
#include "storage/lmgr.h"

typedef enum Bypass
{
	BEGUN,
	CAME_BACK,					/* a counter is here after all */
	HAS_TO_WAIT
} Bypass;

static Bypass
look_past(const Place *place, Stakes *stakes, TransactionId *taker)
{
	Bypass		bypass = BEGUN;

	for (int i = 0; i < stakes->n; i++)
	{
		Stake	   *stake = &stakes->all[i];

		if (counter_in_memory(place, stake->limit->id, stake->window) != NULL)
		{
			stake->in_memory = true;
			bypass = CAME_BACK;
		}
		else if (bypass == BEGUN && TransactionIdIsValid(*taker = taker_beside(place, stake)))
			bypass = HAS_TO_WAIT;
	}
	return bypass;
}

static Bypass
try_to_bypass(const Place *place, Stakes *stakes, TransactionId *taker)
{
	Bypass		bypass;

	expect_takings(1);
	LWLockAcquire(&place->partition->lock, LW_EXCLUSIVE);
	bypass = look_past(place, stakes, taker);
	if (bypass == BEGUN && own_taking(place->partition, NULL) == NULL)
	{
		bypass = HAS_TO_WAIT;
		*taker = any_taker(place->partition);
	}
	stall("bypassing");
	LWLockRelease(&place->partition->lock);
	return bypass;
}

static Bypass
begin_to_bypass(const Place *place, Stakes *stakes)
{
	TransactionId taker;
	Bypass		bypass;

	while ((bypass = try_to_bypass(place, stakes, &taker)) == HAS_TO_WAIT)
	{
		CHECK_FOR_INTERRUPTS();
		if (TransactionIdIsValid(taker))
			XactLockTableWait(taker, NULL, NULL, XLTW_None);
	}
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

static bool
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

/* ---- of those that are here and of those that are not ---- */

static Stakes
some_stakes(const Stakes *stakes, bool in_memory)
{
	Stakes		some = *stakes;

	some.all = palloc(stakes->n * sizeof(Stake));
	some.n = 0;
	for (int i = 0; i < stakes->n; i++)
		if (stakes->all[i].in_memory == in_memory)
			some.all[some.n++] = stakes->all[i];
	if (in_memory)
		some.nneighbours = 0;
	return some;
}

static void
put_back(Stakes *stakes, const Stakes *some)
{
	stakes->is_late = stakes->is_late || some->is_late;
	for (int i = 0; i < some->n; i++)
	{
		Stake	   *stake = stake_in_window(stakes, some->all[i].limit->id, some->all[i].window);

		*stake = some->all[i];
	}
}

static void
turn_round(Change *change)
{
	change->up = amount_minus(&amount_zero, &change->up);
	change->down = amount_minus(&amount_zero, &change->down);
	change->gain = amount_minus(&amount_zero, &change->gain);
	change->events = -change->events;
}

/* To, or back from, counters of which this transaction has taken; not to their rows. */
static void
add_here(const Place *place, const Stakes *here, bool back)
{
	expect_takings(here->n);
	LWLockAcquire(&place->partition->lock, LW_EXCLUSIVE);
	for (int i = 0; i < here->n; i++)
	{
		Stake	   *stake = &here->all[i];
		Share		share = share_of(stake, TAKE_ANYWAY);
		Change		change = change_of(&share, TAKE_ANYWAY);

		change.events = 1;
		if (back)
			turn_round(&change);
		change_taking(place->partition, own_taking(place->partition, counter_in_memory(place, stake->limit->id, stake->window)), &change);
	}
	stall(back ? "giving back" : "adding");
	LWLockRelease(&place->partition->lock);
	fault(back ? "given back" : "added");
}

/* Moved: nothing is taken, but it is known now which of them are here. */
static bool
try_both(const Place *place, Datum user_id, Stakes *stakes, TakingKind kind, bool *stale, bool *moved)
{
	Stakes		here = some_stakes(stakes, true);
	Stakes		there = some_stakes(stakes, false);
	bool		taken;

	*moved = false;
	taken = here.n == 0 || take_here(place, user_id, &here, kind, stale, moved);
	if (taken && there.n > 0 && !(taken = take_past_memory(place, user_id, &there, kind, stale, moved)) && adds_in_memory(kind))
		add_here(place, &here, true);
	put_back(stakes, &here);
	if (taken || *moved)
		put_back(stakes, &there);
	return taken;
}

/*
 * Takes every amount or none.  A counter may have left since it was read, or come;
 * who may not be refused then looks where it is now and takes from there.
 */
bool
take_shared(Datum user_id, Stakes *stakes, TakingKind kind, bool *stale)
{
	Place		place = place_of_user(present_installation(), user_id);
	bool		moved;

	while (!try_both(&place, user_id, stakes, kind, stale, &moved))
	{
		CHECK_FOR_INTERRUPTS();
		if (moved)
			continue;
		if (may_be_refused(kind))
			return false;
		read_shared(user_id, stakes);
	}
	return true;
}

static bool
any_lacks_row(const Stakes *stakes)
{
	for (int i = 0; i < stakes->n; i++)
		if (stakes->all[i].lacks_row)
			return true;
	return false;
}

/*
 * Rows of counters that were just taken of here, as far as they have to count it now.
 * After others were waited for (counters_reached.c), who may wait for these rows.
 */
void
let_rows_follow(Datum user_id, Stakes *stakes)
{
	Stakes		here;
	Place		place;

	if (!stakes->is_late && !any_lacks_row(stakes))
		return;
	here = some_stakes(stakes, true);
	place = place_of_user(present_installation(), user_id);
	make_rows(&place, user_id, &here);
	if (stakes->is_late)
		count_late(user_id, &here, false);
	put_back(stakes, &here);
}

/* To, or back from, counters of which this transaction has taken, and rows that count it. */
void
add_to_shared(Datum user_id, const Stakes *stakes, bool back)
{
	Stakes		here = some_stakes(stakes, true);
	Stakes		there = some_stakes(stakes, false);
	Place		place = place_of_user(present_installation(), user_id);

	add_here(&place, &here, back);
	count_late(user_id, &here, back);
	if (there.n > 0)
		add_to_rows(user_id, &there, back ? MINUS_AMOUNT : AMOUNT);
}
