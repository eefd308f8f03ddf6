/*
 * counters_inflight.c -- what this transaction takes of counters in shared memory.
 *
 * A counter is a user's use of a limit in a window.  In memory it has "used", the
 * sum of all events that are committed, and a taking of each transaction under way:
 * by how much it may be more in the end ("up") or less ("down"), and what its commit
 * adds ("gain").  An event counts by being recorded; rows follow (counters_follow.c,
 * counters_fold.c), so a use writes its event and nothing else.
 *
 * A taking goes through: taken of (counters_shared.c) -> changed again, or in part
 * taken back by a subtransaction -> ended, when the transaction is over for
 * everybody; or left to itself, if it is prepared, and ended by whoever finds that
 * the prepared transaction is over.
 *
 * Invariants:
 *  I1 used + the sum of all "up" is never less than what can come to be committed.
 *     What is admitted fits beside that, so nothing admitted exceeds a limit.
 *  I2 A transaction has its taking from before its event is written until after the
 *     event is there for everybody, or gone.  So of a counter that is not in memory
 *     there is no event under way, and a snapshot taken now sees all there are.
 *  I3 A counter with a taking stays in memory.
 *  I4 Before "counts_to" all events are in the row; of events before "boundary" none
 *     is under way but those of early takings.
 *
 * Locking: locks.c first; then the partition's lock, for a moment; rows of counters
 * after that, by limit and window.  Nobody waits, allocates or reads a table with a
 * partition's lock.  Who has to wait for another does so by the lock of the other's
 * (sub)transaction, where deadlocks are found, and then looks again.
 *
 * Hazards, and what is done:
 *  abort, error, cancel, terminate   the taking is ended when the transaction is; it was
 *                        noted before anything could fail after it (expect_takings)
 *  subtransaction        its part is taken back, the taking stays: of nothing
 *  answer hangs on work under way    two bounds (counters_trial.c): wait only if they differ
 *  load race             I2, I3 and "departures": read again if a counter left meanwhile
 *  eviction, full table  only without takings; else rows count (counters_past.c), and
 *                        nobody brings a counter to that partition meanwhile
 *  PREPARE               the taking stays under the transaction's xid
 *  crash, restart        memory is gone; what is prepared holds a lock for each counter,
 *                        for whose end is waited (counters_bring.c)
 *  REPEATABLE READ       memory and rows are those of this moment
 *  another clock's window that overlaps    brought when nobody has taken of either
 *  windows or events changed by other means    uses are kept out, then the counters leave
 *                        (counters_elsewhere.c); what the same transaction does next goes
 *                        past memory
 *  savepoint rolled back that had kept uses out    its locks are gone, what was taken
 *                        before is still under way, of counters that are out of use:
 *                        whoever counts in rows waits for it (taker_beside)
 *  server without memory, and back    rows say to which instant they count
 *  standby               tables only; a promoted server begins with nothing in memory
 */
#include "compat.h"

#include "access/xact.h"
#include "counters_rows.h"
#include "counters_inflight.h"
#include "faults.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* A taking of this transaction. */
typedef struct Own
{
	Partition  *partition;
	int			taking;
	int			last;			/* of its changes */
} Own;

/*
 * A subtransaction's part of it.  Those of the innermost one come last, because
 * nobody else changes anything meanwhile.
 */
typedef struct Part
{
	int			own;
	int			previous;		/* of the same taking, by an outer one, or NONE */
	SubTransactionId by;
	TransactionId xid;
	Change		change;
} Part;

static Own *owns = NULL;
static int	nowns = 0;
static int	own_room = 0;
static Part *parts = NULL;
static int	nparts = 0;
static int	part_room = 0;

/* ---- room for what is going to be noted, because it must not fail then ---- */

static void *
grown(void *array, int *room, int needed, Size size)
{
	if (needed <= *room)
		return array;
	*room = Max(needed, 2 * *room);
	if (array == NULL)
		return MemoryContextAlloc(TopMemoryContext, *room * size);
	return repalloc_huge(array, *room * size);
}

/* Before up to so many are changed under a lock. */
void
expect_takings(int n)
{
	(void) GetCurrentTransactionId();	/* others wait for it */
	owns = grown(owns, &own_room, nowns + n, sizeof(Own));
	parts = grown(parts, &part_room, nparts + n, sizeof(Part));
}

static void
forget_all(void)
{
	forget_noted_folds();
	forget_noted_rows();
	nowns = nparts = 0;
	if (own_room <= 64 && part_room <= 256)
		return;
	pfree(owns);
	pfree(parts);
	owns = NULL;
	parts = NULL;
	own_room = part_room = 0;
}

/* ---- taking ---- */

bool
is_own(const Taking *taking)
{
	return taking->pid == MyProcPid;
}

/* Of counters that are not here (NULL) one stands for all in the partition. */
static Taking *
find_own(Partition *partition, const Counter *counter)
{
	if (counter != NULL)
		return find_taking(counter, MyProcPid);
	for (int i = 0; i < nowns; i++)
		if (owns[i].partition == partition && taking_number(owns[i].taking)->counter == NONE)
			return taking_number(owns[i].taking);
	return NULL;
}

/* The one there is, or a new one; NULL: there is no room for it. */
Taking *
own_taking(Partition *partition, Counter *counter)
{
	Taking	   *taking = find_own(partition, counter);

	if (taking != NULL)
		return taking;
	if (counter != NULL && !has_free_taking(partition))
		return NULL;
	taking = add_taking(partition, counter, counter == NULL ? GetTopTransactionIdIfAny() : GetCurrentTransactionIdIfAny());
	if (taking == NULL)
		return NULL;
	Assert(nowns < own_room);
	taking->mine = nowns;
	owns[nowns].partition = partition;
	owns[nowns].taking = number_of_taking(taking);
	owns[nowns].last = NONE;
	nowns++;
	return taking;
}

static void
add_change(Change *to, const Change *change)
{
	to->up = amount_plus(&to->up, &change->up);
	to->down = amount_plus(&to->down, &change->down);
	to->gain = amount_plus(&to->gain, &change->gain);
	to->events += change->events;
	to->changes_of_holds += change->changes_of_holds;
	to->excludes = to->excludes || change->excludes;
	to->folds = to->folds || change->folds;
	to->counts_to = Max(to->counts_to, change->counts_to);
}

static Part *
part_of(Own *own, SubTransactionId by)
{
	if (own->last == NONE || parts[own->last].by != by)
	{
		Part	   *part = &parts[nparts];

		Assert(nparts < part_room);
		memset(part, 0, sizeof(*part));
		part->own = own - owns;
		part->previous = own->last;
		part->by = by;
		part->xid = GetCurrentTransactionIdIfAny();
		own->last = nparts++;
	}
	return &parts[own->last];
}

static void
apply_change(Counter *counter, Taking *taking, const Change *change)
{
	taking->up = amount_plus(&taking->up, &change->up);
	taking->down = amount_plus(&taking->down, &change->down);
	taking->gain = amount_plus(&taking->gain, &change->gain);
	taking->events += change->events;
	taking->changes_of_holds += change->changes_of_holds;
	taking->counts_to = Max(taking->counts_to, change->counts_to);
	counter->up = amount_plus(&counter->up, &change->up);
	counter->down = amount_plus(&counter->down, &change->down);
	if (change->changes_of_holds > 0)
		counter->may_have_holds = true;
	if (change->excludes)
		counter->exclusive = number_of_taking(taking);
	if (change->folds)
	{
		counter->folding = number_of_taking(taking);
		taking->is_folding = true;
	}
}

void
change_taking(Partition *partition, Taking *taking, const Change *change)
{
	Part	   *part = part_of(&owns[taking->mine], GetCurrentSubTransactionId());

	taking->xid = part->xid;
	apply_change(counter_number(taking->counter), taking, change);
	add_change(&part->change, change);
}

/* ---- subtransactions ---- */

static void
take_back(Own *own, const Part *part)
{
	Taking	   *taking = taking_number(own->taking);
	Counter    *counter = counter_number(taking->counter);
	const Change *change = &part->change;

	taking->up = amount_minus(&taking->up, &change->up);
	taking->down = amount_minus(&taking->down, &change->down);
	taking->gain = amount_minus(&taking->gain, &change->gain);
	taking->is_looking = false;
	taking->events -= change->events;
	taking->changes_of_holds -= change->changes_of_holds;
	counter->up = amount_minus(&counter->up, &change->up);
	counter->down = amount_minus(&counter->down, &change->down);
	own->last = part->previous;
	taking->xid = own->last == NONE ? GetTopTransactionIdIfAny() : parts[own->last].xid;
	taking->counts_to = 0;
	if (change->excludes)
		counter->exclusive = NONE;
	if (change->folds)
	{
		counter->folding = NONE;
		taking->is_folding = false;
	}
	for (int i = own->last; i != NONE; i = parts[i].previous)
	{
		taking->counts_to = Max(taking->counts_to, parts[i].change.counts_to);
		if (parts[i].change.excludes)
			counter->exclusive = own->taking;
	}
}

/* The taking stays, of nothing, until the whole transaction ends. */
static void
subtransaction_aborts(SubTransactionId by)
{
	while (nparts > 0 && parts[nparts - 1].by == by)
	{
		const Part *part = &parts[--nparts];
		Own		   *own = &owns[part->own];

		stall("subtransaction aborted");
		LWLockAcquire(&own->partition->lock, LW_EXCLUSIVE);
		take_back(own, part);
		LWLockRelease(&own->partition->lock);
	}
}

static void
subtransaction_commits(SubTransactionId by, SubTransactionId parent)
{
	int			first = nparts;
	int			end = nparts;

	while (first > 0 && parts[first - 1].by == by)
		first--;
	nparts = first;
	if (first < end)
		stall("subtransaction committed");
	for (int i = first; i < end; i++)
	{
		Part		part = parts[i];
		Own		   *own = &owns[part.own];

		if (part.previous != NONE && parts[part.previous].by == parent)
		{
			add_change(&parts[part.previous].change, &part.change);
			own->last = part.previous;
			continue;
		}
		part.by = parent;
		own->last = nparts;
		parts[nparts++] = part;
	}
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		subtransaction_aborts(mine);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		subtransaction_commits(mine, parent);
}

/* ---- the transaction ---- */

void
visit_own_takings(TakingVisitor visit)
{
	for (int i = 0; i < nowns; i++)
		visit(owns[i].partition, taking_number(owns[i].taking));
}

/* It is over for everybody: who reads tables from now on finds what it did. */
static void
end_all(bool committed)
{
	if (nowns > 0)
		stall(committed ? "committed" : "aborted");
	for (int i = 0; i < nowns; i++)
	{
		LWLockAcquire(&owns[i].partition->lock, LW_EXCLUSIVE);
		end_taking(owns[i].partition, taking_number(owns[i].taking), committed);
		LWLockRelease(&owns[i].partition->lock);
	}
	forget_all();
}

/* From now on they belong to nobody, until somebody finds that it is over. */
static void
leave_prepared(Partition *partition, Taking *taking)
{
	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	taking->pid = 0;
	taking->xid = GetTopTransactionIdIfAny();
	if (taking->counter != NONE)
		counter_number(taking->counter)->nprepared++;
	LWLockRelease(&partition->lock);
}

static void
transaction_ends(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (nowns > 0)
				fault("commit");
			fold_noted();
			break;
		case XACT_EVENT_PRE_PREPARE:
			visit_own_takings(lock_prepared);
			lock_noted_rows();
			if (nowns > 0)
				fault("prepare");
			break;
		case XACT_EVENT_PREPARE:
			if (nowns > 0)
				stall("prepared");
			visit_own_takings(leave_prepared);
			if (nowns > 0)
				stall("left prepared");
			forget_all();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			end_all(event == XACT_EVENT_COMMIT);
			break;
		default:
			break;
	}
}

void
inflight_init(void)
{
	RegisterXactCallback(transaction_ends, NULL);
	RegisterSubXactCallback(subtransaction_ends, NULL);
}
