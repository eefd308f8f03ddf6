/*
 * counters_rows.c -- the row of a counter, whatever a transaction's snapshot shows.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "counters_rows.h"
#include "miscadmin.h"
#include "numbers.h"

/* The row of a stake, and those of other windows that overlap its own. */
Rows
begin_counter_rows(Datum user_id, const Stake *stake, Window span)
{
	Key			keys[] = {
		{COUNTER_USER, BTEqualStrategyNumber, user_id},
		{COUNTER_LIMIT, BTEqualStrategyNumber, Int64GetDatum(stake->limit->id)},
		{COUNTER_START, BTGreaterEqualStrategyNumber, TimestampTzGetDatum(earliest_neighbour(stake))},
		{COUNTER_START, BTLessEqualStrategyNumber, TimestampTzGetDatum(span.end)},
		{COUNTER_END, BTGreaterStrategyNumber, TimestampTzGetDatum(span.start)}
	};

	return rows_begin(&counters, keys, lengthof(keys));
}

Window
window_of_row(const Rows *rows)
{
	Window		window = {row_time(rows, COUNTER_START, 0), row_time(rows, COUNTER_END, 0)};

	return window;
}

bool
same_window(Window a, Window b)
{
	return a.start == b.start && a.end == b.end;
}

static Statement change_row = {
	"UPDATE @extschema@.usage_counters SET used = $5, holds = $6, counted_to = $7"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND limit_id OPERATOR(pg_catalog.=) $2"
	" AND window_start OPERATOR(pg_catalog.=) $3 AND window_end OPERATOR(pg_catalog.=) $4",
	7, {USER_ID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, NUMERICOID, INT8OID, TIMESTAMPTZOID}
};

static Statement lock_row = {
	"SELECT used, holds, counted_to FROM @extschema@.usage_counters"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND limit_id OPERATOR(pg_catalog.=) $2"
	" AND window_start OPERATOR(pg_catalog.=) $3 AND window_end OPERATOR(pg_catalog.=) $4 FOR NO KEY UPDATE",
	4, {USER_ID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static Statement make_row = {
	"INSERT INTO @extschema@.usage_counters (user_id, limit_id, window_start, window_end, used, holds, counted_to)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7)"
	" ON CONFLICT (user_id, limit_id, window_start, stripe, window_end) DO NOTHING",
	7, {USER_ID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, NUMERICOID, INT8OID, TIMESTAMPTZOID}
};

static void
write_row(Statement *statement, const CounterRow *row)
{
	Datum		args[] = {
		row->user_id, Int64GetDatum(row->limit_id),
		TimestampTzGetDatum(row->window.start), TimestampTzGetDatum(row->window.end),
		NumericGetDatum(row->used), Int64GetDatum(row->holds), TimestampTzGetDatum(row->counts_to)
	};

	statement_write_afresh(statement, args);
}

/* Unless there is one. */
void
make_counter_row(const CounterRow *row)
{
	write_row(&make_row, row);
}

static bool
change_by_statement(CounterRow *row, RowChange change, void *argument)
{
	Datum		args[] = {
		row->user_id, Int64GetDatum(row->limit_id),
		TimestampTzGetDatum(row->window.start), TimestampTzGetDatum(row->window.end)
	};

	if (statement_write_afresh(&lock_row, args) == 0)
		return false;
	row->used = result_numeric(0, 1);
	row->holds = result_int64(0, 2);
	row->counts_to = result_time(0, 3, 0);
	if (change(row, argument))
		write_row(&change_row, row);
	return true;
}

/* Where it stands at this moment. */
static bool
find_row(const CounterRow *row, ItemPointer place)
{
	Key			keys[] = {
		{COUNTER_USER, BTEqualStrategyNumber, row->user_id},
		{COUNTER_LIMIT, BTEqualStrategyNumber, Int64GetDatum(row->limit_id)},
		{COUNTER_START, BTEqualStrategyNumber, TimestampTzGetDatum(row->window.start)},
		{COUNTER_END, BTEqualStrategyNumber, TimestampTzGetDatum(row->window.end)}
	};
	Rows		rows;
	bool		found;

	begin_fresh_view();
	rows = rows_begin(&counters, keys, lengthof(keys));
	found = rows_next(&rows);
	if (found)
		*place = rows.row->t_self;
	rows_end(&rows);
	end_fresh_view();
	return found;
}

static void
change_in_place(CounterRow *row, const LockedRow *locked, RowChange change, void *argument)
{
	int			columns[] = {COUNTER_USED, COUNTER_HOLDS, COUNTER_COUNTED_TO};
	Datum		values[lengthof(columns)];

	row->used = locked_numeric(locked, COUNTER_USED);
	row->holds = locked_int64(locked, COUNTER_HOLDS);
	row->counts_to = DatumGetTimestampTz(locked_datum(locked, COUNTER_COUNTED_TO));
	if (!change(row, argument))
		return;
	values[0] = NumericGetDatum(row->used);
	values[1] = Int64GetDatum(row->holds);
	values[2] = TimestampTzGetDatum(row->counts_to);
	row_change(locked, lengthof(columns), columns, values);
}

/*
 * Locks the row, whatever the transaction's snapshot says of it, and lets it be
 * changed as its latest version requires.  False: there is none.
 */
bool
change_counter_row(CounterRow *row, RowChange change, void *argument)
{
	ItemPointerData place;

	while (find_row(row, &place))
	{
		LockedRow	locked;
		bool		found;

		if (!counters.may_change)
			return change_by_statement(row, change, argument);
		locked = row_lock(&counters, &place, &found);
		found = found && is_row_of(row->user_id, row->limit_id, &locked);
		if (found)
			change_in_place(row, &locked, change, argument);
		row_release(&locked);
		if (found)
			return true;
		CHECK_FOR_INTERRUPTS();
	}
	return false;
}

/* What the row does not count yet, up to an instant before which no event is under way. */
void
add_events(CounterRow *row, const Stake *stake, TimestampTz counts_to)
{
	TimestampTz from = Max(row->counts_to, row->window.start);
	TimestampTz to = Min(counts_to, row->window.end);
	EventSpan	span;

	row->counts_to = counts_to;
	if (from >= to)
		return;
	begin_fresh_view();
	row->used = num_trim(num_add(row->used, sum_of_events(row->user_id, stake, from, to, &span)));
	end_fresh_view();
}
