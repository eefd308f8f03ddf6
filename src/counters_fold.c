/*
 * counters_fold.c -- rows catch up with the events of their windows.
 *
 * Who reads a window from tables adds the events that its row does not count yet, so
 * there must not be many.  A transaction that finds too many folds them when it
 * commits: the row then counts to an instant before which nobody adds an event any
 * more.  For that it says where the boundary is going to be; takings there are, and
 * later ones with an instant before it, are early; and who finds, as it commits, that
 * no early one is left but its own, does it.
 *
 * Locking: rows in the order of limits and windows.  Whoever folds waits for nobody:
 * early takings have ended their transactions, and with them their locks.
 */
#include "compat.h"

#include "access/xact.h"
#include "counters_inflight.h"
#include "counters_rows.h"
#include "faults.h"
#include "miscadmin.h"
#include "numbers.h"
#include "settings.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define FOLD_AFTER 32			/* events */
#define FOLD_ANYWAY 256			/* whatever is reserved */

typedef struct NotedFold
{
	struct NotedFold *next;
	Place		place;
	Datum		user_id;
	int64		limit_id;
	Window		window;
	TimestampTz to;
} NotedFold;

static NotedFold *noted = NULL; /* gone with the transaction */

static void
note_fold(const Place *place, Datum user_id, const Stake *stake)
{
	int16		length;
	bool		byval;
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
	NotedFold  *fold = palloc(sizeof(NotedFold));

	get_typlenbyval(present_installation()->user_id_type, &length, &byval);
	fold->next = noted;
	fold->place = *place;
	fold->user_id = datumCopy(user_id, byval, length);
	fold->limit_id = stake->limit->id;
	fold->window = stake->window;
	noted = fold;
	MemoryContextSwitchTo(caller);
}

static bool
is_noted(const NotedFold *like)
{
	for (NotedFold *fold = noted; fold != NULL; fold = fold->next)
		if (fold->limit_id == like->limit_id && same_window(fold->window, like->window) &&
			memcmp(&fold->place.user, &like->place.user, sizeof(UserKey)) == 0)
			return true;
	return false;
}

/*
 * Whether its row lacks so much that who reads it would have to read too many
 * events.  A window that was used has a row.
 */
bool
is_due(const Counter *counter, const Taking *taking)
{
	int			enough = TIMESTAMP_IS_NOBEGIN(counter->counts_to) ? 1 : FOLD_AFTER;

	return counter->unfolded + taking->events >= Max(enough, counter->fold_at) && !taking->is_folding &&
		!counter->is_stale && !TIMESTAMP_IS_NOEND(counter->counts_to);
}

static bool
any_is_due(const Stakes *stakes)
{
	for (int i = 0; i < stakes->n; i++)
		if (stakes->all[i].is_due)
			return true;
	return false;
}

/* Counters of these uses whose rows are due, for when the transaction commits. */
void
note_folds(Datum user_id, const Stakes *stakes)
{
	Place		place;

	if (IsolationUsesXactSnapshot() || !any_is_due(stakes))
		return;
	place = place_of_user(present_installation(), user_id);
	for (int i = 0; i < stakes->n; i++)
	{
		const Stake *stake = &stakes->all[i];
		NotedFold	like = {NULL, place, user_id, stake->limit->id, stake->window};

		if (stake->is_due && !is_noted(&like))
			note_fold(&place, user_id, stake);
	}
}

/*
 * New takings with an instant before the boundary are early, so that is where the
 * row may count to once those that are there now are over.
 */
static void
set_boundary(Counter *counter, TimestampTz boundary)
{
	if (boundary <= counter->counts_to || counter->boundary > counter->counts_to)
		return;
	counter->boundary = boundary;
	for (int number = counter->takings; number != NONE; number = taking_number(number)->next)
		taking_number(number)->is_early = true;
	counter->nearly = counter->ntakings;
}

/*
 * Commits of reservations have their instants, which had better not be late then.
 * Those that are still to be committed themselves may be, and those that last long.
 */
static TimestampTz
boundary_beside_holds(Datum user_id, TimestampTz now)
{
	TimestampTz boundary = now;
	int			n;
	Hold	   *holds = live_holds(user_id, &n);

	for (int i = 0; i < n; i++)
		boundary = Min(boundary, holds[i].event.occurred_at);
	return boundary;
}

/* Whether it is ours to do, now: no early taking is left but our own. */
static bool
begin_fold(NotedFold *fold)
{
	TimestampTz now = usage_now() + 1;
	TimestampTz beside_holds = boundary_beside_holds(fold->user_id, now);
	Counter    *counter;
	Taking	   *taking;
	bool		begun = false;

	LWLockAcquire(&fold->place.partition->lock, LW_EXCLUSIVE);
	counter = counter_in_memory(&fold->place, fold->limit_id, fold->window);
	taking = counter == NULL ? NULL : find_taking(counter, MyProcPid);
	if (taking != NULL && is_due(counter, taking) && counter->folding == NONE)
	{
		int			lacking = counter->unfolded + taking->events;

		settle_prepared(fold->place.partition, counter);
		set_boundary(counter, lacking >= FOLD_ANYWAY ? now : beside_holds);
		begun = counter->boundary > counter->counts_to && counter->nearly == taking->is_early;
		if (counter->boundary <= counter->counts_to)
			counter->fold_at = Min(2 * lacking, FOLD_ANYWAY);
	}
	if (begun)
	{
		counter->folding = number_of_taking(taking);
		taking->is_folding = true;
		taking->counts_to = fold->to = counter->boundary;
	}
	stall("folding");
	LWLockRelease(&fold->place.partition->lock);
	return begun;
}

static const UsageLimit *
limit_with_id(int64 limit_id)
{
	const Config *config = current_config();

	for (int i = 0; i < config->nlimits; i++)
		if (config->limits[i].id == limit_id)
			return &config->limits[i];
	return NULL;
}

typedef struct FoldRow
{
	Stake		stake;
	TimestampTz to;
} FoldRow;

static bool
count_up_to(CounterRow *row, void *argument)
{
	const FoldRow *fold = argument;

	add_events(row, &fold->stake, fold->to);
	return true;
}

static void
fold_row(const NotedFold *noted_fold, const UsageLimit *limit)
{
	FoldRow		fold = {{limit, noted_fold->window}, noted_fold->to};
	CounterRow	row = {noted_fold->user_id, noted_fold->limit_id, noted_fold->window, num_zero, 0, DT_NOBEGIN};

	fault("fold");
	if (!change_counter_row(&row, count_up_to, &fold))
	{
		add_events(&row, &fold.stake, fold.to);
		make_counter_row(&row);
	}
	fault("folded");
}

/* By limits, and within them by windows, as rows are locked. */
static int
compare_folds(const ListCell *a, const ListCell *b)
{
	const NotedFold *x = lfirst(a);
	const NotedFold *y = lfirst(b);

	if (x->limit_id != y->limit_id)
		return x->limit_id < y->limit_id ? -1 : 1;
	return x->window.start < y->window.start ? -1 : x->window.start > y->window.start;
}

static void
fold_all(void)
{
	List	   *folds = NIL;
	ListCell   *cell;

	for (NotedFold *fold = noted; fold != NULL; fold = fold->next)
		folds = lappend(folds, fold);
	list_sort(folds, compare_folds);
	foreach(cell, folds)
	{
		NotedFold  *fold = lfirst(cell);
		const UsageLimit *limit = limit_with_id(fold->limit_id);

		if (limit != NULL && begin_fold(fold))
			fold_row(fold, limit);
	}
}

/*
 * As the last thing before the commit.  Not in an installation that this
 * transaction dropped.
 */
void
fold_noted(void)
{
	bool		read_only = XactReadOnly;
	Disguise	before;

	if (noted == NULL || !installation_remains(noted->place.user.usage_events))
		return;
	XactReadOnly = false;
	PushActiveSnapshot(GetTransactionSnapshot());
	become_owner(present_installation(), &before);
	fold_all();
	become_caller(&before);
	PopActiveSnapshot();
	XactReadOnly = read_only;
}

void
forget_noted_folds(void)
{
	noted = NULL;
}
