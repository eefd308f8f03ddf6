/*
 * counters_follow.c -- rows follow what is counted in shared memory.
 *
 * There an event counts by being recorded; its row is made at the first use of a
 * window and has the sum of events before an instant, "counted_to".  An event before
 * that instant, because it is late, is added to the row at once.  Rows written without
 * memory count every event, until one is added to them here.
 *
 * Locking: rows in the order of limits and windows.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "counters_inflight.h"
#include "counters_rows.h"
#include "faults.h"
#include "miscadmin.h"
#include "settings.h"

/* ---- events that are late ---- */

static Statement latest_event = {
	"SELECT pg_catalog.max(occurred_at) FROM @extschema@.usage_events"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND occurred_at OPERATOR(pg_catalog.>=) $2",
	2, {USER_ID, TIMESTAMPTZOID}
};

/*
 * For a row that counts every event, as rows do that were written without shared
 * memory: an instant after all that it counts.
 */
static TimestampTz
end_of_counted(Datum user_id, TimestampTz at_least)
{
	TimestampTz now = Max(usage_now(), at_least);
	Datum		args[] = {user_id, TimestampTzGetDatum(now)};

	statement_look_afresh(&latest_event, args, NULL);
	return result_time(0, 1, now) + 1;
}

/* Uses that are late for some row. */
typedef struct Late
{
	const Stakes *stakes;
	const Stake *stake;
	bool		back;			/* are taken back */
} Late;

/* Adds what the row must count of these uses. */
static bool
count_late_in_row(CounterRow *row, void *argument)
{
	const Late *late = argument;
	Numeric		amount = amount_before(late->stakes, late->stake, row->window, row->counts_to);

	if (late->stakes->first >= row->counts_to)
		return false;
	row->used = num_trim(late->back ? num_sub(row->used, amount) : num_add(row->used, amount));
	if (TIMESTAMP_IS_NOEND(row->counts_to))
		row->counts_to = end_of_counted(row->user_id, late->stakes->last);
	return true;
}

static void
note_counted_to(Datum user_id, const CounterRow *row, TimestampTz counts_to)
{
	Place		place = place_of_user(present_installation(), user_id);
	Change		change = {.counts_to = counts_to};
	Counter    *counter;

	expect_takings(1);
	LWLockAcquire(&place.partition->lock, LW_EXCLUSIVE);
	counter = counter_in_memory(&place, row->limit_id, row->window);
	if (counter != NULL && TIMESTAMP_IS_NOEND(counter->counts_to))
		change_taking(place.partition, own_taking(place.partition, counter), &change);
	stall("counts to");
	LWLockRelease(&place.partition->lock);
}

static CounterRow *
rows_that_count_later(Datum user_id, const Stakes *stakes, const Stake *stake, int *n)
{
	Window		span = {stakes->first, stakes->last};
	CounterRow *all = NULL;
	Rows		rows;
	int			room = 0;

	*n = 0;
	begin_fresh_view();
	rows = begin_counter_rows(user_id, stake, span);
	while (rows_next(&rows))
	{
		CounterRow	row = {user_id, stake->limit->id, window_of_row(&rows)};

		if (row_time(&rows, COUNTER_COUNTED_TO, 0) <= stakes->first || !counts_some_of(stakes, stake, row.window))
			continue;
		if (*n == room)
		{
			room = Max(4, 2 * room);
			all = all == NULL ? palloc(room * sizeof(CounterRow)) : repalloc(all, room * sizeof(CounterRow));
		}
		all[(*n)++] = row;
	}
	rows_end(&rows);
	end_fresh_view();
	return all;
}

static void
count_late_of(Datum user_id, Stakes *stakes, const Stake *stake, bool back)
{
	int			n;
	CounterRow *rows = rows_that_count_later(user_id, stakes, stake, &n);
	Late		late = {stakes, stake, back};

	for (int i = 0; i < n; i++)
	{
		const Stake *own = stake_in_window(stakes, rows[i].limit_id, rows[i].window);

		if (own != NULL && own->has_new_row && !back)
			continue;
		if (change_counter_row(&rows[i], count_late_in_row, &late))
			note_counted_to(user_id, &rows[i], rows[i].counts_to);
		fault("late");
	}
}

/* Of uses that are counted in memory, or (back) are counted there no more. */
void
count_late(Datum user_id, Stakes *stakes, bool back)
{
	Stake	  **sorted = sorted_stakes(stakes);

	for (int i = 0; i < stakes->n; i++)
		if (i == 0 || sorted[i]->limit->id != sorted[i - 1]->limit->id)
			count_late_of(user_id, stakes, sorted[i], back);
}

/* ---- a row for a window that is used for the first time ---- */

/*
 * If nobody else has taken of it, what is known is the sum of all events, and the
 * row can say so; but it counts none as long as reservations may be committed at
 * instants that are past.  Else a later use makes it, or who commits last.
 */
static bool
begin_row(const Place *place, CounterRow *row, Amount *used)
{
	TimestampTz now = usage_now();
	Counter    *counter;
	Taking	   *own;
	bool		begun = false;

	expect_takings(1);
	LWLockAcquire(&place->partition->lock, LW_EXCLUSIVE);
	counter = counter_in_memory(place, row->limit_id, row->window);
	own = counter == NULL ? NULL : find_taking(counter, MyProcPid);
	if (own != NULL && TIMESTAMP_IS_NOBEGIN(counter->counts_to) && counter->ntakings == 1 &&
		counter->folding == NONE)
	{
		Change		change = {.folds = true};

		row->counts_to = DT_NOBEGIN;
		*used = amount_zero;
		if (!counter->may_have_holds)
		{
			counter->boundary = row->counts_to = change.counts_to = Max(now, counter->latest) + 1;
			counter->nearly = own->is_early = true;
			*used = amount_plus(&counter->used, &own->gain);
		}
		change_taking(place->partition, own, &change);
		begun = true;
	}
	stall("row begins");
	LWLockRelease(&place->partition->lock);
	return begun;
}

/* Of stakes that have just been taken of. */
void
make_rows(const Place *place, Datum user_id, Stakes *stakes)
{
	for (int i = 0; i < stakes->n; i++)
	{
		Stake	   *stake = &stakes->all[i];
		CounterRow	row = {user_id, stake->limit->id, stake->window};
		Amount		used;

		if (!stake->lacks_row || !begin_row(place, &row, &used))
			continue;
		stake->is_due = false;
		stake->has_new_row = !TIMESTAMP_IS_NOBEGIN(row.counts_to);
		row.used = amount_numeric(&used);
		fault("row");
		make_counter_row(&row);
		fault("row made");
	}
}

/* ---- for rows that count without memory ---- */

/* Nobody else adds an event that it would not count. */
static bool
count_all(CounterRow *row, void *argument)
{
	if (TIMESTAMP_IS_NOEND(row->counts_to))
		return false;
	add_events(row, argument, DT_NOEND);
	row->holds++;				/* there may be some that it was not told of */
	return true;
}

static void
make_row_whole(Datum user_id, Stake *stake)
{
	CounterRow	row = {user_id, stake->limit->id, stake->window};

	(void) change_counter_row(&row, count_all, stake);
	fault("whole");
}

/* False: they were, and nobody had to be waited for. */
bool
make_rows_whole(Datum user_id, const Stakes *stakes)
{
	UserKey		user = key_of_user(present_installation(), user_id);
	Stake	  **sorted = sorted_stakes(stakes);
	bool		changed = false;

	for (int i = 0; i < stakes->n; i++)
	{
		Stake	   *stake = sorted[i];

		if (stake->has_counter && TIMESTAMP_IS_NOEND(stake->counts_to))
			continue;
		changed = wait_for_prepared(&user, stake->limit->id, stake->window) || changed;
		if (!stake->has_counter)
			continue;
		make_row_whole(user_id, stake);
		changed = true;
	}
	return changed;
}
