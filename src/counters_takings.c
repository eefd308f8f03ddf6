/*
 * counters_takings.c -- what transactions under way take of counters in shared memory.
 *
 * Locking: all of it with the partition's lock.
 */
#include "compat.h"

#include "access/transam.h"
#include "counters_memory.h"
#include "faults.h"
#include "miscadmin.h"
#include "storage/procarray.h"

/* Of a session that is at work, not of what it prepared. */
Taking *
find_taking(const Counter *counter, int pid)
{
	for (int number = counter->takings; number != NONE; number = taking_number(number)->next)
		if (taking_number(number)->pid == pid)
			return taking_number(number);
	return NULL;
}

/* Of a counter, or of one that is not here (NULL).  NULL: there is no room. */
Taking *
add_taking(Partition *partition, Counter *counter, TransactionId xid)
{
	Taking	   *taking;

	if (partition->free_taking == NONE)
		return NULL;
	taking = taking_number(partition->free_taking);
	partition->free_taking = taking->next;
	partition->nfree_takings--;
	memset(taking, 0, sizeof(*taking));
	taking->xid = xid;
	taking->pid = MyProcPid;
	taking->counter = NONE;
	taking->next = NONE;
	if (counter == NULL)
	{
		taking->next = partition->bypassing;
		partition->bypassing = number_of_taking(taking);
		partition->bypasses++;
		return taking;
	}
	taking->counter = number_of_counter(counter);
	taking->next = counter->takings;
	counter->takings = number_of_taking(taking);
	counter->ntakings++;
	return taking;
}

static void
count_taking(Partition *partition, Counter *counter, const Taking *taking)
{
	counter->used = amount_plus(&counter->used, &taking->gain);
	counter->unfolded += taking->events;
	if (taking->changes_of_holds > 0)
		counter->holds = ++partition->changes_of_holds;
	if (taking->counts_to == 0)
		return;
	counter->counts_to = taking->counts_to;
	if (taking->is_folding)
		counter->unfolded = counter->fold_at = 0;
}

static void
unlink_taking(int *first, const Taking *taking)
{
	while (*first != number_of_taking(taking))
		first = &taking_number(*first)->next;
	*first = taking->next;
}

static void
leave_counter(Partition *partition, Counter *counter, Taking *taking)
{
	int			number = number_of_taking(taking);

	counter->up = amount_minus(&counter->up, &taking->up);
	counter->down = amount_minus(&counter->down, &taking->down);
	counter->nearly -= taking->is_early;
	counter->nprepared -= taking->pid == 0;
	if (counter->exclusive == number)
		counter->exclusive = NONE;
	if (counter->folding == number)
		counter->folding = NONE;
	unlink_taking(&counter->takings, taking);
	if (--counter->ntakings == 0 && counter->is_stale)
		remove_counter(partition, counter);
}

/* Who reads tables to bring a counter here must notice: it may have been this one. */
static void
leave_others(Partition *partition, Taking *taking)
{
	unlink_taking(&partition->bypassing, taking);
	for (int i = 0; i < DEPARTURES; i++)
		partition->departures[i]++;
}

/* The transaction is over: for everybody, not only about to be. */
void
end_taking(Partition *partition, Taking *taking, bool committed)
{
	if (taking->counter == NONE)
		leave_others(partition, taking);
	else
	{
		if (committed)
			count_taking(partition, counter_number(taking->counter), taking);
		leave_counter(partition, counter_number(taking->counter), taking);
	}
	taking->xid = InvalidTransactionId;
	taking->next = partition->free_taking;
	partition->free_taking = number_of_taking(taking);
	partition->nfree_takings++;
}

/* The others are kept for counters that are not here. */
bool
has_free_taking(const Partition *partition)
{
	return partition->nfree_takings > RESERVED_TAKINGS;
}

static void
settle_list(Partition *partition, int number)
{
	while (number != NONE)
	{
		Taking	   *taking = taking_number(number);

		number = taking->next;
		if (taking->pid != 0 || TransactionIdIsInProgress(taking->xid))
			continue;
		stall("settled");
		end_taking(partition, taking, TransactionIdDidCommit(taking->xid));
	}
}

/*
 * Takings of prepared transactions that are over by now: nobody was told when they
 * ended.
 */
void
settle_prepared(Partition *partition, Counter *counter)
{
	if (counter->nprepared > 0)
		settle_list(partition, counter->takings);
}

/* Whether some transaction changes counters that are not here. */
bool
is_bypassed(Partition *partition)
{
	settle_list(partition, partition->bypassing);
	return partition->bypassing != NONE;
}

static void
settle_all(Partition *partition)
{
	settle_list(partition, partition->bypassing);
	for (int i = 0; i < partition->ncounters; i++)
		settle_prepared(partition, counter_number(partition->first_counter + i));
}

/* One for whose end to wait; none if prepared ones are over, which are settled. */
TransactionId
any_taker(Partition *partition)
{
	settle_all(partition);
	for (int i = partition->first_taking; i < partition->first_taking + partition->ntakings; i++)
		if (TransactionIdIsValid(taking_number(i)->xid) && taking_number(i)->pid != MyProcPid)
			return taking_number(i)->xid;
	return InvalidTransactionId;
}
