/*
 * counters_reached.c -- whether uses that were just taken reach parts of limits.
 *
 * Where that hangs on other transactions, the use waits for them, as it would have waited
 * for a row's lock.  So who takes users in one order waits in no circle.
 *
 * Meanwhile the use is "undecided": others leave it out, because it takes account of
 * them, as it looks again later.  So nobody waits for one who waits for him, and who
 * looks last sees all.  What the same transaction took before is decided: if both have
 * used before, they may wait for each other.  If the wait fails, the use is taken back.
 *
 * Locking: the partition's lock, to look and to say whether it is undecided; without it,
 * to wait.
 */
#include "compat.h"

#include "counters.h"
#include "counters_inflight.h"
#include "counters_trial.h"
#include "faults.h"
#include "miscadmin.h"
#include "storage/lmgr.h"

/* A mark, as it is compared under the lock. */
typedef struct Look
{
	Mark	   *mark;
	Amount		amount;
	Amount		by_this;		/* use */
	Amount		used;			/* with it, by what is committed */
	bool		is_here;
} Look;

/* Who makes the bounds differ; an invalid one: nobody. */
static TransactionId
find_bounds(const Counter *counter, Amount *low, Amount *high)
{
	TransactionId xid = InvalidTransactionId;

	for (int number = counter->takings; number != NONE; number = taking_number(number)->next)
	{
		const Taking *taking = taking_number(number);
		Amount		up = amount_minus(&taking->up, &taking->undecided);

		if (is_own(taking) || (amount_is_zero(&up) && amount_is_zero(&taking->down)))
			continue;
		*low = amount_plus(low, &taking->down);
		*high = amount_plus(high, &up);
		xid = taking->xid;
	}
	return xid;
}

/* On whom it hangs, or an invalid one. */
static TransactionId
look_at_mark(const Place *place, Look *look)
{
	const Stake *stake = look->mark->stake;
	Counter    *counter = counter_in_memory(place, stake->limit->id, stake->window);
	TransactionId xid;
	Amount		low;
	Amount		high;

	look->is_here = counter != NULL && find_taking(counter, MyProcPid) != NULL;
	if (!look->is_here)
		return InvalidTransactionId;
	settle_prepared(place->partition, counter);
	low = high = look->used = used_by_us(counter);
	xid = find_bounds(counter, &low, &high);
	if (amount_compare(&low, &look->amount) >= 0 || amount_compare(&high, &look->amount) < 0)
		return InvalidTransactionId;
	return xid;
}

/* All limits of the use, or of two uses each might wait for the other. */
static void
tell_others(const Place *place, const Look *looks, int n, bool is_sure)
{
	for (int i = 0; i < n; i++)
	{
		const Stake *stake = looks[i].mark->stake;
		Counter    *counter = counter_in_memory(place, stake->limit->id, stake->window);

		if (looks[i].is_here)
			find_taking(counter, MyProcPid)->undecided = is_sure ? amount_zero : looks[i].by_this;
	}
}

static TransactionId
try_to_be_sure(const Place *place, Look *looks, int n)
{
	TransactionId xid = InvalidTransactionId;

	LWLockAcquire(&place->partition->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n; i++)
	{
		TransactionId other = look_at_mark(place, &looks[i]);

		if (TransactionIdIsValid(other))
			xid = other;
	}
	tell_others(place, looks, n, !TransactionIdIsValid(xid));
	LWLockRelease(&place->partition->lock);
	return xid;
}

/* Of stakes without any such marks there is nothing to be sure of. */
static int
unsure_looks(List *marks, Look *looks)
{
	ListCell   *cell;
	int			n = 0;

	foreach(cell, marks)
	{
		Mark	   *mark = lfirst(cell);

		if (!mark->stake->is_unsure)
			continue;
		looks[n].mark = mark;
		looks[n].amount = amount_from(mark->amount);
		looks[n++].by_this = amount_from(mark->stake->amount);
	}
	return n;
}

/*
 * Makes "used" of each mark say whether it is reached, however transactions that are
 * under way end.  Right after the taking, by the same subtransaction.
 */
void
be_sure_of_marks(Datum user_id, List *marks)
{
	Look	   *looks = palloc(list_length(marks) * sizeof(Look));
	int			n = unsure_looks(marks, looks);
	TransactionId xid;
	Place		place;

	if (n == 0)
		return;
	place = place_of_user(present_installation(), user_id);
	while (xid = try_to_be_sure(&place, looks, n), TransactionIdIsValid(xid))
	{
		fault("undecided");
		CHECK_FOR_INTERRUPTS();
		XactLockTableWait(xid, NULL, NULL, XLTW_None);
	}
	for (int i = 0; i < n; i++)
		if (looks[i].is_here)
			looks[i].mark->used = amount_numeric(&looks[i].used);
}
