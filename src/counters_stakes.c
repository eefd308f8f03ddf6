/*
 * counters_stakes.c -- what limits count of uses, and of it what statements want.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "counters.h"
#include "numbers.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* ---- arrays of the stakes, as statements want them ---- */

/*
 * Windows of the same limit that hold the instant cannot begin earlier than
 * this: they are as long, give or take a clamped month or a zone's jump.  Only
 * billing periods can have been of any length.
 */
TimestampTz
earliest_neighbour(const Stake *stake)
{
	TimestampTz length = stake->window.end - stake->window.start;

	if (TIMESTAMP_IS_NOBEGIN(stake->window.start) || stake->limit->kind == WINDOW_BILLING)
		return DT_NOBEGIN;
	return stake->window.start - length - 4 * USECS_PER_DAY;
}

/* The most that the row may say for this use to fit. */
Numeric
room_of(const Stake *stake)
{
	return num_sub(num_sub(stake->max_usage, stake->held), stake->amount);
}

static Datum
stake_field(const Stake *stake, StakeField field, bool *isnull)
{
	*isnull = false;
	switch (field)
	{
		case LIMIT_ID:
			return Int64GetDatum(stake->limit->id);
		case HOLDS:
			return Int64GetDatum(stake->holds);
		case WINDOW_START:
			return TimestampTzGetDatum(stake->window.start);
		case WINDOW_END:
			return TimestampTzGetDatum(stake->window.end);
		case USED:
			return NumericGetDatum(stake->used);
		case AMOUNT:
			return NumericGetDatum(stake->amount);
		case MINUS_AMOUNT:
			return NumericGetDatum(num_sub(num_from(0), stake->amount));
		case NOTHING:
			return NumericGetDatum(num_from(0));
		case ROOM:
			*isnull = !can_refuse(stake);
			return NumericGetDatum(room_of(stake));
	}
	return (Datum) 0;
}

Datum
stake_array(const Stake *stakes, int n, StakeField field)
{
	Datum	   *values = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));
	int			lower = 1;

	for (int i = 0; i < n; i++)
		values[i] = stake_field(&stakes[i], field, &nulls[i]);
	if (field <= HOLDS)
		return PointerGetDatum(construct_array(values, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	if (field < USED)
		return PointerGetDatum(construct_array(values, n, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, NUMERICOID, -1, false, TYPALIGN_INT));
}

static bool
is_window(const Stake *stake, int64 limit_id, Window window)
{
	return stake->limit->id == limit_id &&
		stake->window.start == window.start && stake->window.end == window.end;
}

/* The stake in a window, or NULL. */
Stake *
stake_in_window(Stakes *stakes, int64 limit_id, Window window)
{
	for (int i = 0; i < stakes->n; i++)
		if (is_window(&stakes->all[i], limit_id, window))
			return &stakes->all[i];
	return NULL;
}

/* As events that are read (counters_events.c). */
bool
limit_counts(const UsageLimit *limit, const Event *event)
{
	if (event->corrected_limit != 0)
		return limit->id == event->corrected_limit;
	return limit_covers(limit, event->usage_type) &&
		limit_counts_status(limit, event->counted_status != NULL ? event->counted_status : event->status);
}

/* What one limit counts of an event. */
Numeric
amount_of(const UsageLimit *limit, const Event *event)
{
	switch (limit->measure)
	{
		case MEASURE_EVENTS:
			return num_from(event->events);
		case MEASURE_QUANTITY:
			return event->quantity;
		case MEASURE_TOKENS:
			return num_from(event->tokens);
		case MEASURE_COST:
			return event->cost != NULL ? event->cost : num_zero;
	}
	return num_from(0);
}

/* ---- amounts of several uses ---- */

static bool
is_in(Window window, const Event *event)
{
	return event->occurred_at >= window.start && event->occurred_at < window.end;
}

/*
 * Whether a row of this limit, one that the uses' span of time touches, counts some
 * of them.  Another one is none of ours: who changes it does not expect us to have it
 * locked.
 */
bool
counts_some_of(const Stakes *stakes, const Stake *stake, Window window)
{
	if (stakes->events == NULL)
		return true;
	for (int i = 0; i < stakes->nevents; i++)
		if (is_in(window, stakes->events[i]) && limit_counts(stake->limit, stakes->events[i]))
			return true;
	return false;
}

/* Of these uses, what a limit counts in a window before an instant. */
Numeric
amount_before(const Stakes *stakes, const Stake *stake, Window window, TimestampTz bound)
{
	Numeric		sum = num_zero;

	if (stakes->events == NULL)
		return stakes->first < bound ? stake->amount : num_zero;
	for (int i = 0; i < stakes->nevents; i++)
	{
		const Event *event = stakes->events[i];

		if (is_in(window, event) && event->occurred_at < bound && limit_counts(stake->limit, event))
			sum = num_add(sum, amount_of(stake->limit, event));
	}
	return sum;
}
