/*
 * counters_trial.c -- whether so much can be taken of counters in shared memory.
 *
 * Looks and changes nothing, but for prepared transactions that have ended.  What is
 * under way makes two bounds of what is used; where both give one answer, that is it.
 *
 * Locking: all of it with the partition's lock.
 */
#include "compat.h"

#include "counters_inflight.h"
#include "counters_trial.h"
#include "miscadmin.h"
#include "numbers.h"

bool
adds_in_memory(TakingKind kind)
{
	return kind == TAKE_IF_IT_FITS || kind == TAKE_ANYWAY || kind == TAKE_AND_SETTLE || kind == TAKE_TOGETHER;
}

bool
may_be_refused(TakingKind kind)
{
	return kind == TAKE_IF_IT_FITS || kind == HOLD_IF_IT_FITS;
}

/* What this transaction adds to it is used, to itself. */
Amount
used_by_us(const Counter *counter)
{
	const Taking *own = find_taking(counter, MyProcPid);

	return own == NULL ? counter->used : amount_plus(&counter->used, &own->gain);
}

Share
share_of(Stake *stake, TakingKind kind)
{
	Share		share = {stake};

	share.amount = amount_from(stake->amount);
	share.has_room = !is_unlimited(stake) && stake->limit->is_active && num_sign(stake->amount) > 0;
	share.refuses = may_be_refused(kind) && can_refuse(stake);
	if (share.has_room)
		share.room = amount_from(share.refuses ? room_of(stake) : num_sub(stake->max_usage, stake->amount));
	return share;
}

bool
shows(const Taking *taking)
{
	return !amount_is_zero(&taking->up) || !amount_is_zero(&taking->down);
}

/* Somebody else's taking that makes a difference; NULL: there is none. */
Taking *
taking_of_another(const Counter *counter)
{
	for (int number = counter->takings; number != NONE; number = taking_number(number)->next)
		if (!is_own(taking_number(number)) && shows(taking_number(number)))
			return taking_number(number);
	return NULL;
}

static void
find_bounds(Share *share)
{
	const Counter *counter = share->counter;
	const Taking *own = find_taking(counter, MyProcPid);

	share->used = used_by_us(counter);
	share->low = amount_plus(&share->used, &counter->down);
	share->high = amount_plus(&share->used, &counter->up);
	if (own == NULL)
		return;
	share->low = amount_minus(&share->low, &own->down);
	share->high = amount_minus(&share->high, &own->up);
}

static bool
has_room_beside(const Share *share, const Amount *used)
{
	return amount_compare(used, &share->room) <= 0;
}

/* What a fact takes beyond what there is: nothing, all of it, or a part. */
static bool
marks_the_same(const Share *share)
{
	Amount		max = amount_plus(&share->room, &share->amount);

	if (has_room_beside(share, &share->high))
		return true;
	return amount_compare(&share->low, &max) >= 0 || amount_compare(&share->low, &share->high) == 0;
}

static Verdict
verdict_on(const Share *share)
{
	if (!share->has_room)
		return FITS;
	if (!share->refuses)
		return marks_the_same(share) ? FITS : HANGS;
	if (has_room_beside(share, &share->high))
		return FITS;
	return has_room_beside(share, &share->low) ? HANGS : DOES_NOT_FIT;
}

/*
 * Who has to be waited for, whatever the amounts are.  Where somebody wants to be
 * alone, who has taken of it goes on, or they would wait for each other.
 */
static int
taking_in_the_way(const Counter *counter, TimestampTz first, bool alone)
{
	const Taking *own = find_taking(counter, MyProcPid);
	const Taking *other;

	if (counter->exclusive != NONE && !is_own(taking_number(counter->exclusive)) &&
		(alone || own == NULL || !shows(own)))
		return counter->exclusive;
	if (counter->folding != NONE && !is_own(taking_number(counter->folding)) && first < counter->boundary)
		return counter->folding;
	other = alone ? taking_of_another(counter) : NULL;
	return other == NULL ? NONE : number_of_taking(other);
}

/* The latest instant to which some row that has to do with it counts, as far as we see. */
static TimestampTz
rows_count_to(const Counter *counter)
{
	const Taking *own = find_taking(counter, MyProcPid);
	TimestampTz row = Max(counter->counts_to, counter->neighbours_to);

	return own == NULL || own->counts_to == 0 ? row : Max(row, own->counts_to);
}

static Verdict
try_share(const Place *place, const Stakes *stakes, Share *share, bool alone, Trial *trial)
{
	int			in_the_way;
	Verdict		verdict;

	share->counter = counter_in_memory(place, share->stake->limit->id, share->stake->window);
	if (share->counter == NULL)
		return IS_NOT_HERE;
	settle_prepared(place->partition, share->counter);
	find_bounds(share);
	in_the_way = taking_in_the_way(share->counter, stakes->first, alone);
	verdict = in_the_way != NONE ? HANGS : verdict_on(share);
	if (in_the_way == NONE && verdict == HANGS)
		in_the_way = number_of_taking(taking_of_another(share->counter));
	if (verdict == HANGS)
		trial->xid = taking_number(in_the_way)->xid;
	trial->is_late = trial->is_late || stakes->first < rows_count_to(share->counter);
	if (share->counter->holds != share->stake->holds && (share->counter->may_have_holds || share->stake->may_have_holds))
	{
		trial->is_stale = true;
		if (share->refuses)
			verdict = DOES_NOT_FIT;	/* as far as we know; look again */
	}
	return verdict;
}

/* The worst of all: what is not here, then what does not fit, then what hangs. */
Trial
try_shares(const Place *place, const Stakes *stakes, Share *shares, bool alone)
{
	Trial		trial = {FITS};

	for (int i = 0; i < stakes->n; i++)
	{
		TransactionId xid = trial.xid;
		Verdict		verdict = try_share(place, stakes, &shares[i], alone, &trial);

		if (verdict == IS_NOT_HERE || (verdict == DOES_NOT_FIT && trial.verdict != IS_NOT_HERE) ||
			(verdict == HANGS && trial.verdict == FITS))
		{
			trial.verdict = verdict;
			trial.share = &shares[i];
		}
		else if (verdict == HANGS)
			trial.xid = xid;
	}
	return trial;
}
