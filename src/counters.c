/*
 * counters.c -- how much so far?
 *
 * One row counts one limit of one user over one window.  A row always equals the
 * sum of that user's events in its window before "counted_to"; later events, and all
 * where there is no row, are added when it is read.  Whoever counts an event adds to
 * every row that counts to later than its instant (windows of an earlier clock
 * included); other rows follow by themselves (counters_fold.c).  What is reserved
 * stands in usage_reservations and is added when it is read.
 *
 * Locking: see locks.c.
 */
#include "compat.h"

#include "access/xact.h"
#include "counters.h"
#include "counters_memory.h"
#include "errors.h"
#include "miscadmin.h"
#include "numbers.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

Table		counters = {
	"usage_counters", {"user_id", "limit_id", "window_start", "window_end", "used", "holds", "counted_to"}
};

static const Stake *
any_stake_of(const Stakes *stakes, int64 limit_id)
{
	for (int i = 0; i < stakes->n; i++)
		if (stakes->all[i].limit->id == limit_id)
			return &stakes->all[i];
	elog(ERROR, "unexpected limit " INT64_FORMAT " among counters", limit_id);
	return NULL;
}

/* Where its row has not, the event itself counts. */
static void
note_neighbour(Stakes *stakes, int64 limit_id, Window window, TimestampTz counts_to)
{
	const Stake *like = any_stake_of(stakes, limit_id);
	Stake	   *neighbour;

	if (counts_to <= stakes->first || !counts_some_of(stakes, like, window))
		return;
	if (stakes->nneighbours == 0)
		stakes->neighbours = palloc(sizeof(Stake));
	else
		stakes->neighbours = repalloc(stakes->neighbours, (stakes->nneighbours + 1) * sizeof(Stake));
	neighbour = &stakes->neighbours[stakes->nneighbours++];
	*neighbour = *like;
	neighbour->window = window;
	neighbour->counts_to = counts_to;
	neighbour->max_usage = num_from(-1);
}

static void
note_counter(Stakes *stakes, int64 limit_id, Window window, const Rows *rows)
{
	Stake	   *stake = stake_in_window(stakes, limit_id, window);
	TimestampTz counts_to = row_time(rows, COUNTER_COUNTED_TO, 0);

	if (stake == NULL)
	{
		note_neighbour(stakes, limit_id, window, counts_to);
		return;
	}
	stake->used = num_trim(num_add(stake->used, row_numeric(rows, COUNTER_USED)));
	stake->holds += row_int64(rows, COUNTER_HOLDS);
	stake->has_counter = true;
	stake->may_have_holds = stake->holds > 0 || !TIMESTAMP_IS_NOEND(counts_to);
	stake->counts_to = counts_to;
	stake->counter = rows->row->t_self;
}

/* Every counter of a limit whose window holds an instant of the span. */
static void
note_counters(Stakes *stakes, Datum user_id, const Stake *earliest)
{
	int64		limit_id = earliest->limit->id;
	Key			keys[] = {
		{COUNTER_USER, BTEqualStrategyNumber, user_id},
		{COUNTER_LIMIT, BTEqualStrategyNumber, Int64GetDatum(limit_id)},
		{COUNTER_START, BTGreaterEqualStrategyNumber, TimestampTzGetDatum(earliest_neighbour(earliest))},
		{COUNTER_START, BTLessEqualStrategyNumber, TimestampTzGetDatum(stakes->last)},
		{COUNTER_END, BTGreaterStrategyNumber, TimestampTzGetDatum(stakes->first)}
	};
	Rows		rows = rows_begin(&counters, keys, lengthof(keys));

	while (rows_next(&rows))
	{
		Window		window = {row_time(&rows, COUNTER_START, 0), row_time(&rows, COUNTER_END, 0)};

		note_counter(stakes, limit_id, window, &rows);
	}
	rows_end(&rows);
}

/* One stake of each limit that has counters: its earliest, from where its counters are read. */
static Stake *
earliest_of_each_limit(const Stakes *stakes, int *n)
{
	Stake	   *earliest = palloc(stakes->n * sizeof(Stake));

	*n = 0;
	for (int i = 0; i < stakes->n; i++)
	{
		int			k = 0;

		if (limit_is_sliding(stakes->all[i].limit))
			continue;
		while (k < *n && earliest[k].limit != stakes->all[i].limit)
			k++;
		if (k == *n)
			earliest[(*n)++] = stakes->all[i];
		else if (earliest_neighbour(&stakes->all[i]) < earliest_neighbour(&earliest[k]))
			earliest[k] = stakes->all[i];
	}
	return earliest;
}

static bool
may_have_holds(const Stakes *stakes)
{
	for (int i = 0; i < stakes->n; i++)
		if (stakes->all[i].may_have_holds)
			return true;
	return false;
}

bool
is_held_of(const Stake *stake, const Hold *hold)
{
	return limit_covers(stake->limit, hold->event.usage_type) &&
		limit_counts_status(stake->limit, "success") &&
		hold->event.occurred_at >= stake->window.start && hold->event.occurred_at < stake->window.end;
}

static void
add_hold(Stake *stake, const Hold *hold)
{
	if (!is_held_of(stake, hold))
		return;
	stake->held = num_trim(num_add(stake->held, amount_of(stake->limit, &hold->event)));
	if (limit_is_sliding(stake->limit))
		note_held_bucket(stake, hold->event.occurred_at, amount_of(stake->limit, &hold->event));
	if (!stake->in_memory && !stake->has_counter)	/* the number its row will begin with */
		stake->holds = 1;
}

static void
add_holds(Stakes *stakes, const Hold *holds, int n)
{
	for (int i = 0; i < stakes->n; i++)
		for (int k = 0; k < n; k++)
			add_hold(&stakes->all[i], &holds[k]);
}

/* As the snapshot in use shows them. */
static void
read_holds(Datum user_id, Stakes *stakes)
{
	int			n;
	Hold	   *holds;

	if (!may_have_holds(stakes))
		return;
	holds = live_holds(user_id, &n);
	add_holds(stakes, holds, n);
}

static void
read_holds_now(Datum user_id, Stakes *stakes)
{
	int			n;
	Hold	   *holds;

	if (!may_have_holds(stakes))
		return;
	holds = holds_now(user_id, &n);
	add_holds(stakes, holds, n);
}

/* What is held now, beside rows that this transaction has locked. */
void
read_holds_again(Datum user_id, Stakes *stakes)
{
	for (int i = 0; i < stakes->n; i++)
		stakes->all[i].held = num_from(0);
	begin_fresh_view();
	read_holds(user_id, stakes);
	end_fresh_view();
}

/* From its row, and from events that it does not count. */
static void
read_rows_and_events(Datum user_id, Stakes *stakes)
{
	int			n;
	Stake	   *limits = earliest_of_each_limit(stakes, &n);

	for (int i = 0; i < n; i++)
		note_counters(stakes, user_id, &limits[i]);
	for (int i = 0; i < stakes->n; i++)
	{
		Stake	   *stake = &stakes->all[i];
		TimestampTz from = stake->has_counter ? Max(stake->counts_to, stake->window.start) : stake->window.start;
		EventSpan	span;

		if (limit_is_sliding(stake->limit))
			read_buckets(user_id, stake);
		else if (from < stake->window.end)
			stake->used = num_trim(num_add(stake->used, sum_of_events(user_id, stake, from, stake->window.end, &span)));
	}
}

/* Whether events were looked for where they no longer are. */
static bool
missed_events(const Stakes *stakes)
{
	for (int i = 0; i < stakes->n; i++)
		if (!stakes->all[i].has_counter || stakes->all[i].counts_to < stakes->all[i].window.end)
			return events_have_moved();
	return false;
}

static void
forget_counters(Stakes *stakes)
{
	for (int i = 0; i < stakes->n; i++)
	{
		Stake	   *stake = &stakes->all[i];

		stake->used = stake->held = num_zero;
		stake->holds = 0;
		stake->has_counter = stake->in_memory = stake->is_unsure = false;
		stake->lacks_row = stake->is_due = stake->has_new_row = false;
		stake->may_have_holds = true;
		stake->counts_to = DT_NOBEGIN;
		stake->nbuckets = 0;
	}
	stakes->nneighbours = 0;
}

/* As it is now, whatever is in memory. */
void
read_from_rows(Datum user_id, Stakes *stakes)
{
	forget_counters(stakes);
	begin_fresh_view();
	read_rows_and_events(user_id, stakes);
	read_holds(user_id, stakes);
	end_fresh_view();
}

/*
 * For a use: counters are in shared memory, if there is room.  Only then is read
 * what is reserved, so that who reserves meanwhile is noticed by "holds".
 */
static void
read_once_for_use(Datum user_id, Stakes *stakes)
{
	Stakes		others;

	forget_counters(stakes);
	if (has_counter_memory())
		read_shared(user_id, stakes);
	others = *stakes;
	others.all = palloc(stakes->n * sizeof(Stake));
	others.n = 0;
	for (int i = 0; i < stakes->n; i++)
		if (!stakes->all[i].in_memory)
			others.all[others.n++] = stakes->all[i];
	if (others.n == 0)
	{
		read_holds_now(user_id, stakes);
		return;
	}
	begin_fresh_view();
	read_rows_and_events(user_id, &others);
	for (int i = 0, k = 0; i < stakes->n && k < others.n; i++)
		if (!stakes->all[i].in_memory)
			stakes->all[i] = others.all[k++];
	stakes->neighbours = others.neighbours;
	stakes->nneighbours = others.nneighbours;
	read_holds(user_id, stakes);
	end_fresh_view();
}

/*
 * Where counters push each other out of memory it may not come to be of one instant;
 * then the taking finds out.
 */
#define MAX_TRIES 10

/* What was used at one instant and held at another may not fit where both do. */
static bool
is_of_one_instant(Datum user_id, const Stakes *stakes)
{
	CHECK_FOR_INTERRUPTS();
	return !has_counter_memory() || !may_have_holds(stakes) || holds_belong(user_id, stakes);
}

static void
read_for_use(Datum user_id, Stakes *stakes)
{
	int			tries = 0;

	do
		read_once_for_use(user_id, stakes);
	while (!is_of_one_instant(user_id, stakes) && ++tries < MAX_TRIES);
}

/* False: not all of them are there. */
static bool
read_from_memory(Datum user_id, Stakes *stakes)
{
	do
	{
		forget_counters(stakes);
		if (!has_counter_memory() || !read_if_shared(user_id, stakes))
			return false;
		read_holds_now(user_id, stakes);
	} while (!is_of_one_instant(user_id, stakes));
	return true;
}

/*
 * Fills "used" and "held" of each stake, for uses between two instants: from its
 * counter or else from the events, and from the live reservations.
 *
 * A use has locked usage_events by now, which keeps events where they are.
 * Who only looks with an older snapshot may have to look again, or cannot.
 */
void
read_counters(Datum user_id, TimestampTz first, TimestampTz last, Stakes *stakes, bool afresh)
{
	stakes->first = first;
	stakes->last = last;
	if (stakes->n == 0)
		return;
	if (afresh)
	{
		read_for_use(user_id, stakes);
		return;
	}
	if (!IsolationUsesXactSnapshot() && read_from_memory(user_id, stakes))
		return;
	forget_counters(stakes);
	read_rows_and_events(user_id, stakes);
	if (missed_events(stakes))
	{
		if (IsolationUsesXactSnapshot())
			refuse_old_snapshot();
		read_from_rows(user_id, stakes);
		return;
	}
	read_holds(user_id, stakes);
}
