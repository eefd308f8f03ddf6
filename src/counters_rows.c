/*
 * counters_rows.c -- the row of a counter, whatever a transaction's snapshot shows.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "counters_rows.h"

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

/* The latest version, whatever the transaction's snapshot says.  False: there is none. */
bool
lock_counter_row(CounterRow *row)
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
	return true;
}

void
change_counter_row(const CounterRow *row)
{
	write_row(&change_row, row);
}

/* Unless there is one. */
void
make_counter_row(const CounterRow *row)
{
	write_row(&make_row, row);
}
