/*
 * counters_shared.c -- reading counters in shared memory, and taking of them.
 *
 * Why it is exact is told in counters_inflight.c.  All counters of a user are in one
 * partition, so a use looks at all its limits and takes of them under one lock.
 */
#include "compat.h"

#include "access/xact.h"
#include "counters.h"
#include "counters_inflight.h"
#include "counters_rows.h"
#include "counters_trial.h"
#include "faults.h"
#include "miscadmin.h"
#include "numbers.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"

static Place
place_of(Datum user_id)
{
	return place_of_user(present_installation(), user_id);
}

/* ---- reading ---- */

/* Copies what a stake needs of its counter.  False: it is not here. */
static bool
look_at(const Place *place, Stake *stake, Amount *used)
{
	Counter    *counter;

	LWLockAcquire(&place->partition->lock, LW_SHARED);
	counter = counter_in_memory(place, stake->limit->id, stake->window);
	if (counter != NULL && counter->nprepared > 0)
	{
		LWLockRelease(&place->partition->lock);
		LWLockAcquire(&place->partition->lock, LW_EXCLUSIVE);
		counter = counter_in_memory(place, stake->limit->id, stake->window);
		if (counter != NULL)
			settle_prepared(place->partition, counter);
	}
	if (counter != NULL)
	{
		counter->was_used = true;
		*used = used_by_us(counter);
		stake->holds = counter->holds;
		stake->may_have_holds = counter->may_have_holds;
	}
	LWLockRelease(&place->partition->lock);
	return counter != NULL;
}

/* Brings it here if need be.  It may leave again at any time. */
static void
read_stake(const Place *place, Datum user_id, Stake *stake)
{
	Amount		used;

	while (!(stake->in_memory = look_at(place, stake, &used)))
		if (!bring_counter(place, user_id, stake))
			return;
	stake->used = amount_numeric(&used);
}

/* Of each stake what is used now; those that have no place here are left. */
void
read_shared(Datum user_id, Stakes *stakes)
{
	Place		place = place_of(user_id);

	for (int i = 0; i < stakes->n; i++)
		if (!limit_is_sliding(stakes->all[i].limit))
			read_stake(&place, user_id, &stakes->all[i]);
}

/* Of one of whom nothing is known there is nothing worth a place. */
static bool
look_or_bring(const Place *place, Datum user_id, Stake *stake, bool is_known, Amount *used)
{
	return look_at(place, stake, used) ||
		(is_known && bring_to_look(place, user_id, stake) && look_at(place, stake, used));
}

/* False: not all of them can be had here. */
bool
read_if_shared(Datum user_id, Stakes *stakes)
{
	Place		place = place_of(user_id);
	Amount		used;

	for (int i = 0; i < stakes->n; i++)
	{
		if (limit_is_sliding(stakes->all[i].limit) ||
			!look_or_bring(&place, user_id, &stakes->all[i], stakes->is_known, &used))
			return false;
		stakes->all[i].used = amount_numeric(&used);
		stakes->all[i].in_memory = true;
	}
	return true;
}

/*
 * Somebody who changed reservations and is over, as tables say, while the counter
 * has not been told yet.
 */
static TransactionId
changer_of_holds(const Counter *counter)
{
	for (int number = counter->takings; number != NONE; number = taking_number(number)->next)
	{
		const Taking *taking = taking_number(number);

		if (!is_own(taking) && taking->changes_of_holds > 0 && !TransactionIdIsInProgress(taking->xid))
			return taking->xid;
	}
	return InvalidTransactionId;
}

/*
 * Whether reservations that were read after these counters are of the same instant.
 * If not, both can be read again.
 */
bool
holds_belong(Datum user_id, const Stakes *stakes)
{
	Place		place = place_of(user_id);
	TransactionId changer = InvalidTransactionId;
	bool		belong = true;

	LWLockAcquire(&place.partition->lock, LW_SHARED);
	for (int i = 0; i < stakes->n && belong; i++)
	{
		const Stake *stake = &stakes->all[i];
		Counter    *counter;

		if (!stake->in_memory)
			continue;
		counter = counter_in_memory(&place, stake->limit->id, stake->window);
		if (counter != NULL)
			changer = changer_of_holds(counter);
		belong = counter != NULL && counter->holds == stake->holds && !TransactionIdIsValid(changer);
	}
	LWLockRelease(&place.partition->lock);
	if (TransactionIdIsValid(changer))
		XactLockTableWait(changer, NULL, NULL, XLTW_None);
	return belong;
}

/* ---- taking ---- */

Change
change_of(const Share *share, TakingKind kind)
{
	Change		change = {share->amount};

	if (adds_in_memory(kind))
		change.gain = share->amount;
	if (amount_is_negative(&share->amount))
	{
		change.down = share->amount;
		change.up = amount_zero;
	}
	if (kind == TAKE_ALONE)
		change.up = change.down = amount_zero;
	change.changes_of_holds = kind == HOLD_IF_IT_FITS || kind == HOLD_ANYWAY || kind == TAKE_AND_SETTLE;
	return change;
}

/* Before anything is changed: a taking for each.  NULL: there is no room for this one's. */
static Share *
find_own_takings(const Place *place, Share *shares, int n)
{
	for (int i = 0; i < n; i++)
		if (own_taking(place->partition, shares[i].counter) == NULL)
			return &shares[i];
	return NULL;
}

static void
take_share(const Place *place, const Stakes *stakes, Share *share, TakingKind kind)
{
	Counter    *counter = share->counter;
	Taking	   *taking = own_taking(place->partition, counter);
	Change		change = change_of(share, kind);

	change.events = adds_in_memory(kind) ? Max(stakes->nevents, 1) : 0;
	if (stakes->first < counter->boundary && !taking->is_early)
	{
		taking->is_early = true;
		counter->nearly++;
	}
	counter->was_used = true;
	counter->latest = Max(counter->latest, stakes->last);
	change_taking(place->partition, taking, &change);
	share->stake->lacks_row = adds_in_memory(kind) && TIMESTAMP_IS_NOBEGIN(counter->counts_to) && counter->folding == NONE;
	share->stake->is_due = is_due(counter, taking);
}

/* Who has the last takings there is room for. */
static void
note_full(const Place *place, Share *share, Trial *trial)
{
	const Taking *other = taking_number(share->counter->takings);

	trial->share = share;
	trial->verdict = share->counter->ntakings == 0 ? IS_NOT_HERE : HANGS;
	if (trial->verdict == HANGS)
		trial->xid = other->xid;
	else
		remove_counter(place->partition, share->counter);
}

/* Keeps those away from now on who have not taken of it yet. */
static void
claim(const Place *place, const Share *shares, int n)
{
	Change		change = {.excludes = true};

	for (int i = 0; i < n; i++)
		if (shares[i].counter->exclusive == NONE)
			change_taking(place->partition, own_taking(place->partition, shares[i].counter), &change);
}

static void
take_shares(const Place *place, const Stakes *stakes, Share *shares, TakingKind kind, bool alone, Trial *trial)
{
	Share	   *full = find_own_takings(place, shares, stakes->n);

	if (full != NULL)
	{
		note_full(place, full, trial);
		return;
	}
	if (alone)
		claim(place, shares, stakes->n);
	for (int i = 0; i < stakes->n && trial->verdict == FITS; i++)
		take_share(place, stakes, &shares[i], kind);
}

static Trial
try_to_take(const Place *place, Stakes *stakes, Share *shares, TakingKind kind, bool alone)
{
	Trial		trial;

	expect_takings(stakes->n);
	fault("take");
	LWLockAcquire(&place->partition->lock, LW_EXCLUSIVE);
	trial = try_shares(place, stakes, shares, alone);
	if (trial.verdict == FITS || (alone && trial.verdict == HANGS))
		take_shares(place, stakes, shares, kind, alone, &trial);
	stall("taking");
	LWLockRelease(&place->partition->lock);
	fault("taken");
	return trial;
}

/*
 * "used" of each stake is what it was before it, by what is committed: with what is
 * under way something that moves from what is held to what is recorded would be in
 * the answer twice.  Marks are the same either way.
 */
static void
tell_stakes(const Share *shares, int n)
{
	for (int i = 0; i < n; i++)
	{
		Stake	   *stake = shares[i].stake;
		Amount		more = amount_minus(&shares[i].high, &shares[i].used);

		stake->used = amount_numeric(&shares[i].used);
		stake->is_unsure = amount_compare(&shares[i].low, &shares[i].high) != 0;
		stake->more = amount_numeric(&more);
	}
}

/* Whether it can be tried again. */
static bool
get_over(const Place *place, Datum user_id, const Trial *trial)
{
	switch (trial->verdict)
	{
		case HANGS:
			fault("hangs");
			XactLockTableWait(trial->xid, NULL, NULL, XLTW_None);
			return true;
		case IS_NOT_HERE:
			return trial->share->stake->in_memory = bring_counter(place, user_id, trial->share->stake);
		default:
			return false;
	}
}

/* What a counter that came back says of reservations, which are read again then. */
static void
look_again(const Place *place, Datum user_id, Stakes *stakes, Share *shares, TakingKind kind)
{
	Amount		used;

	for (int i = 0; i < stakes->n; i++)
		(void) look_at(place, &stakes->all[i], &used);
	read_holds_again(user_id, stakes);
	for (int i = 0; i < stakes->n; i++)
		shares[i] = share_of(&stakes->all[i], kind);
}

/*
 * Takes of each stake, all of which are here.  False: one of them is used up, its
 * reservations have changed, or (in_memory is false) it is no longer here.  Moved:
 * there is no room for all of them at once, however often one is brought back.
 */
bool
take_here(const Place *place, Datum user_id, Stakes *stakes, TakingKind kind, bool *stale, bool *moved)
{
	Share	   *shares = palloc(stakes->n * sizeof(Share));
	bool		alone = kind == TAKE_ALONE;
	int			brought = 0;
	Trial		trial;

	for (int i = 0; i < stakes->n; i++)
		shares[i] = share_of(&stakes->all[i], kind);
	while ((trial = try_to_take(place, stakes, shares, kind, alone)).verdict != FITS)
	{
		CHECK_FOR_INTERRUPTS();
		alone = alone || (trial.verdict == HANGS && kind == TAKE_TOGETHER);
		if (trial.verdict == IS_NOT_HERE && brought++ == 2 * stakes->n)
		{
			trial.share->stake->in_memory = false;
			*moved = true;
			return false;
		}
		if (!get_over(place, user_id, &trial))
			return false;
		if (trial.verdict == IS_NOT_HERE)
			look_again(place, user_id, stakes, shares, kind);
	}
	*stale = *stale || trial.is_stale;
	tell_stakes(shares, stakes->n);
	stakes->is_late = trial.is_late && adds_in_memory(kind);
	return true;
}
