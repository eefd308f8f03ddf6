/*
 * counters_reached.c -- whether uses reach parts of limits, where that hangs on others.
 *
 * It is waited for them right after the use was taken, as it would have been for a row's
 * lock, and before rows that count it too are locked (let_rows_follow).  So who takes users
 * in one order waits in no circle.
 *
 * Who waits is "looking" at all counters of his use: others leave out all that his
 * transaction takes of them, because he takes account of them, when he looks again.  So
 * nobody waits for one who waits for him, and who looks last sees all.  If the wait fails, or a savepoint is
 * rolled back later, he has to look once more as he commits, if anything is left.
 *
 * Locking: the partition's lock, to look and to say who is looking; without it, to wait.
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
	Amount		used;			/* by what is committed, and by this transaction */
	Taking	   *own;			/* NULL: it takes nothing of it here */
} Look;

/* Who makes the bounds differ; an invalid one: nobody. */
static TransactionId
find_bounds(const Counter *counter, Amount *low, Amount *high)
{
	TransactionId xid = InvalidTransactionId;

	for (int number = counter->takings; number != NONE; number = taking_number(number)->next)
	{
		const Taking *taking = taking_number(number);

		if (is_own(taking) || taking->is_looking || !shows(taking))
			continue;
		*low = amount_plus(low, &taking->down);
		*high = amount_plus(high, &taking->up);
		xid = taking->xid;
	}
	return xid;
}

/* On whom it hangs, or an invalid one. */
static TransactionId
look_at_mark(const Place *place, Look *look)
{
	Counter    *counter = counter_in_memory(place, look->mark->limit_id, look->mark->window);
	TransactionId xid;
	Amount		low;
	Amount		high;

	look->own = counter == NULL ? NULL : find_taking(counter, MyProcPid);
	if (look->own == NULL || !shows(look->own))
		return InvalidTransactionId;
	settle_prepared(place->partition, counter);
	low = high = look->used = used_by_us(counter);
	xid = find_bounds(counter, &low, &high);
	if (amount_compare(&low, &look->amount) >= 0 || amount_compare(&high, &look->amount) < 0)
		return InvalidTransactionId;
	return xid;
}

/* At all marks at once: if one hangs, what the others come to is not the last word. */
static TransactionId
look_at_all(const Place *place, Look *looks, int n)
{
	TransactionId xid = InvalidTransactionId;

	LWLockAcquire(&place->partition->lock, LW_EXCLUSIVE);
	for (int i = 0; i < n; i++)
	{
		TransactionId other = look_at_mark(place, &looks[i]);

		if (TransactionIdIsValid(other))
			xid = other;
	}
	for (int i = 0; i < n; i++)
		if (looks[i].own != NULL)
			looks[i].own->is_looking = TransactionIdIsValid(xid);
	LWLockRelease(&place->partition->lock);
	return xid;
}

static Look *
looks_at_unsure(List *marks, int *n)
{
	Look	   *looks = palloc(list_length(marks) * sizeof(Look));
	ListCell   *cell;

	*n = 0;
	foreach(cell, marks)
	{
		Mark	   *mark = lfirst(cell);

		if (!mark->is_unsure)
			continue;
		looks[*n].mark = mark;
		looks[(*n)++].amount = amount_from(mark->amount);
	}
	return looks;
}

/* On whom it hangs; if on nobody, "used" of each mark says whether it is reached. */
static TransactionId
look(Datum user_id, List *marks)
{
	int			n;
	Look	   *looks = looks_at_unsure(marks, &n);
	TransactionId xid;
	Place		place;

	if (n == 0)
		return InvalidTransactionId;
	place = place_of_user(present_installation(), user_id);
	xid = look_at_all(&place, looks, n);
	for (int i = 0; i < n && !TransactionIdIsValid(xid); i++)
		if (looks[i].own != NULL && shows(looks[i].own))
			looks[i].mark->used = amount_numeric(&looks[i].used);
	return xid;
}

/*
 * False: it hangs on transactions under way, and until it is waited for them others
 * leave this one out.
 */
bool
is_sure_of_marks(Datum user_id, List *marks)
{
	return !TransactionIdIsValid(look(user_id, marks));
}

void
wait_for_marks(Datum user_id, List *marks)
{
	TransactionId xid;

	while (xid = look(user_id, marks), TransactionIdIsValid(xid))
	{
		fault("looking");
		CHECK_FOR_INTERRUPTS();
		XactLockTableWait(xid, NULL, NULL, XLTW_None);
	}
}
