/*
 * counters_reached.c -- whether a part of a limit is reached, as the transaction ends.
 */
#include "compat.h"

#include "access/xact.h"
#include "counters.h"
#include "counters_inflight.h"
#include "counters_trial.h"
#include "miscadmin.h"
#include "storage/lmgr.h"

/* One that had taken before us and may not come to be; NULL: there is none. */
static Taking *
earlier_taking(const Counter *counter, const Taking *own, Amount *up)
{
	Taking	   *earlier = NULL;

	*up = amount_zero;
	for (int number = counter->takings; number != NONE; number = taking_number(number)->next)
	{
		Taking	   *taking = taking_number(number);

		if (is_own(taking) || taking->turn > own->turn || amount_is_zero(&taking->up))
			continue;
		*up = amount_plus(up, &taking->up);
		earlier = taking;
	}
	return earlier;
}

static Verdict
look_if_reached(const Place *place, Counter *counter, const Amount *amount, Amount *used, TransactionId *xid)
{
	const Taking *own = find_taking(counter, MyProcPid);
	Taking	   *earlier;
	Amount		high;

	settle_prepared(place->partition, counter);
	*used = used_by_us(counter);
	if (own == NULL || amount_compare(used, amount) >= 0)
		return FITS;
	earlier = earlier_taking(counter, own, &high);
	high = amount_plus(&high, used);
	if (amount_compare(&high, amount) < 0)
		return DOES_NOT_FIT;
	*xid = earlier->xid;
	return HANGS;
}

/*
 * Whether so much is used, now that this transaction commits.  If that hangs on
 * transactions that had taken before, they are waited for; who took later knows of
 * us, and has to see to it himself.
 */
bool
is_reached(Datum user_id, int64 limit_id, Window window, Numeric amount, Numeric *used)
{
	Place		place = place_of_user(present_installation(), user_id);
	Amount		wanted = amount_from(amount);
	Amount		now = amount_zero;
	Verdict		verdict;

	do
	{
		TransactionId xid = InvalidTransactionId;
		Counter    *counter;

		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(&place.partition->lock, LW_EXCLUSIVE);
		counter = counter_in_memory(&place, limit_id, window);
		verdict = counter == NULL ? IS_NOT_HERE : look_if_reached(&place, counter, &wanted, &now, &xid);
		LWLockRelease(&place.partition->lock);
		if (verdict == IS_NOT_HERE)
			return true;
		if (verdict == HANGS)
			XactLockTableWait(xid, NULL, NULL, XLTW_None);
	} while (verdict == HANGS);
	*used = amount_numeric(&now);
	return verdict == FITS;
}
