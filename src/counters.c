/*
 * counters.c -- how much so far?
 *
 * One row counts one limit of one user over one window; a row always equals
 * the sum of that user's events in its window, and where there is no row the
 * sum of the events is the answer.  Whoever counts an event adds to the row of
 * its window, creating it from the events if need be, and to every other row of
 * that limit whose window holds the instant (windows of an earlier clock).
 *
 * Locking: see locks.c.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "counters.h"
#include "errors.h"
#include "locks.h"
#include "numbers.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* ---- arrays of the stakes, as statements want them ---- */

typedef enum StakeField
{
	LIMIT_ID,
	WINDOW_START,
	WINDOW_END,
	NEIGHBOUR_START,
	USED,
	AMOUNT,
	CEILING
} StakeField;

/*
 * Windows of the same limit that hold the instant cannot begin earlier than
 * this: they are as long, give or take a clamped month or a zone's jump.
 */
static TimestampTz
earliest_neighbour(const Stake *stake)
{
	TimestampTz length = stake->window.end - stake->window.start;

	if (TIMESTAMP_IS_NOBEGIN(stake->window.start))
		return DT_NOBEGIN;
	return stake->window.start - length - 4 * USECS_PER_DAY;
}

static Datum
stake_field(const Stake *stake, StakeField field, bool *isnull)
{
	*isnull = false;
	switch (field)
	{
		case LIMIT_ID:
			return Int64GetDatum(stake->limit->id);
		case WINDOW_START:
			return TimestampTzGetDatum(stake->window.start);
		case WINDOW_END:
			return TimestampTzGetDatum(stake->window.end);
		case NEIGHBOUR_START:
			return TimestampTzGetDatum(earliest_neighbour(stake));
		case USED:
			return NumericGetDatum(stake->used);
		case AMOUNT:
			return NumericGetDatum(stake->amount);
		case CEILING:
			*isnull = !can_refuse(stake);
			return NumericGetDatum(stake->max_usage);
	}
	return (Datum) 0;
}

static Datum
stake_array(const Stake *stakes, int n, StakeField field)
{
	Datum	   *values = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));
	int			lower = 1;

	for (int i = 0; i < n; i++)
		values[i] = stake_field(&stakes[i], field, &nulls[i]);
	if (field == LIMIT_ID)
		return PointerGetDatum(construct_array(values, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	if (field < USED)
		return PointerGetDatum(construct_array(values, n, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, NUMERICOID, -1, false, TYPALIGN_INT));
}

static Stake *
stake_of_limit(Stakes *stakes, int64 limit_id)
{
	for (int i = 0; i < stakes->n; i++)
		if (stakes->all[i].limit->id == limit_id)
			return &stakes->all[i];
	elog(ERROR, "unexpected limit " INT64_FORMAT " among counters", limit_id);
	return NULL;
}

/* ---- reading ---- */

/* Every counter of these limits whose window holds the instant. */
static Statement read_rows = {
	"SELECT c.limit_id, c.window_start, c.window_end, c.used"
	" FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) AS w (limit_id, low)"
	" JOIN @extschema@.usage_counters AS c ON c.user_id OPERATOR(pg_catalog.=) $1"
	" AND c.limit_id OPERATOR(pg_catalog.=) w.limit_id"
	" AND c.window_start OPERATOR(pg_catalog.>=) w.low"
	" AND c.window_start OPERATOR(pg_catalog.<=) $4"
	" AND c.window_end OPERATOR(pg_catalog.>) $4",
	4, {USER_ID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZOID}
};

/* Which events a limit counts, and how: as stakes_of_event() and reconcile_usage(). */
static Statement sum_events = {
	"SELECT CASE WHEN $6 OPERATOR(pg_catalog.=) 0 THEN pg_catalog.count(*)::pg_catalog.numeric"
	" WHEN $6 OPERATOR(pg_catalog.=) 1 THEN pg_catalog.sum(quantity)"
	" ELSE pg_catalog.sum(tokens) END"
	" FROM @extschema@.usage_events WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND occurred_at OPERATOR(pg_catalog.>=) $2 AND occurred_at OPERATOR(pg_catalog.<) $3"
	" AND ($4 IS NULL OR usage_type OPERATOR(pg_catalog.=) $4)"
	" AND status OPERATOR(pg_catalog.=) ANY ($5)",
	6, {USER_ID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTARRAYOID, INT4OID}
};

static Numeric
sum_of_events(Datum user_id, const Stake *stake, bool afresh)
{
	const UsageLimit *limit = stake->limit;
	Datum		args[] = {
		user_id,
		TimestampTzGetDatum(stake->window.start),
		TimestampTzGetDatum(stake->window.end),
		limit->usage_type ? CStringGetTextDatum(limit->usage_type) : (Datum) 0,
		PointerGetDatum(limit->statuses),
		Int32GetDatum(limit->measure)
	};
	const char *nulls = limit->usage_type ? "      " : "   n  ";
	bool		isnull;
	Datum		sum;

	if (afresh)
		statement_look_afresh(&sum_events, args, nulls);
	else
		statement_look(&sum_events, args, nulls);
	sum = result_datum(0, 1, &isnull);
	return isnull ? num_from(0) : num_trim(DatumGetNumeric(sum));
}

static void
note_neighbour(Stakes *stakes, const Stake *of, Window window, Numeric used)
{
	Stake	   *neighbour = &stakes->neighbours[stakes->nneighbours++];

	*neighbour = *of;
	neighbour->window = window;
	neighbour->max_usage = num_from(-1);
	neighbour->used = used;
	neighbour->has_counter = true;
}

static void
note_counter(Stakes *stakes, uint64 row)
{
	Stake	   *stake = stake_of_limit(stakes, result_int64(row, 1));
	bool		isnull;
	Numeric		used = DatumGetNumericCopy(result_datum(row, 4, &isnull));
	Window		window;

	window.start = DatumGetTimestampTz(result_datum(row, 2, &isnull));
	window.end = DatumGetTimestampTz(result_datum(row, 3, &isnull));
	if (window.start != stake->window.start || window.end != stake->window.end)
	{
		note_neighbour(stakes, stake, window, used);
		return;
	}
	stake->used = num_trim(num_add(stake->used, used));
	stake->has_counter = true;
}

/* Fills "used" of each stake, from its counter or else from the events. */
void
read_counters(Datum user_id, TimestampTz at, Stakes *stakes, bool afresh)
{
	Datum		args[] = {
		user_id,
		stake_array(stakes->all, stakes->n, LIMIT_ID),
		stake_array(stakes->all, stakes->n, NEIGHBOUR_START),
		TimestampTzGetDatum(at)
	};
	uint64		rows;

	if (stakes->n == 0)
		return;
	for (int i = 0; i < stakes->n; i++)
		stakes->all[i].used = num_from(0);
	rows = afresh ? statement_look_afresh(&read_rows, args, NULL) : statement_look(&read_rows, args, NULL);
	stakes->neighbours = palloc(rows * sizeof(Stake));
	for (uint64 row = 0; row < rows; row++)
		note_counter(stakes, row);
	for (int i = 0; i < stakes->n; i++)
		if (!stakes->all[i].has_counter)
			stakes->all[i].used = sum_of_events(user_id, &stakes->all[i], afresh);
}

/* ---- taking ---- */

/*
 * Every stake of one limit, neighbours included, has the same amount, so that
 * array_position() may find any of them.
 *
 * A row that is there decides by its latest version, whatever we read before.
 * A row that is not is made from what we read: nobody else can have counted
 * an event in its window without making it first.
 */
static Statement take_rows = {
	"INSERT INTO @extschema@.usage_counters AS c"
	" (user_id, limit_id, window_start, stripe, window_end, used)"
	" SELECT $1, w.limit_id, w.window_start, 0, w.window_end, w.used OPERATOR(pg_catalog.+) w.amount"
	" FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6)) AS w (limit_id, window_start, window_end, used, amount)"
	" ORDER BY w.limit_id, w.window_start"
	" ON CONFLICT (user_id, limit_id, window_start, stripe, window_end) DO UPDATE"
	" SET used = c.used OPERATOR(pg_catalog.+) ($6)[pg_catalog.array_position($2, c.limit_id)]"
	" WHERE ($7)[pg_catalog.array_position($2, c.limit_id)] IS NULL"
	" OR c.used OPERATOR(pg_catalog.+) ($6)[pg_catalog.array_position($2, c.limit_id)]"
	" OPERATOR(pg_catalog.<=) ($7)[pg_catalog.array_position($2, c.limit_id)]"
	" RETURNING c.limit_id, c.used",
	7, {USER_ID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, NUMERICARRAYOID,
	NUMERICARRAYOID, NUMERICARRAYOID}
};

/* Rows of this transaction, given back because another limit refused. */
static Statement return_rows = {
	"UPDATE @extschema@.usage_counters AS c"
	" SET used = c.used OPERATOR(pg_catalog.-) w.amount"
	" FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5)) AS w (limit_id, window_start, window_end, amount)"
	" WHERE c.user_id OPERATOR(pg_catalog.=) $1 AND c.limit_id OPERATOR(pg_catalog.=) w.limit_id"
	" AND c.window_start OPERATOR(pg_catalog.=) w.window_start"
	" AND c.window_end OPERATOR(pg_catalog.=) w.window_end",
	5, {USER_ID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, NUMERICARRAYOID}
};

static uint64
take_amounts(Datum user_id, const Stake *stakes, int n, bool within_limits)
{
	Datum		args[] = {
		user_id,
		stake_array(stakes, n, LIMIT_ID),
		stake_array(stakes, n, WINDOW_START),
		stake_array(stakes, n, WINDOW_END),
		stake_array(stakes, n, USED),
		stake_array(stakes, n, AMOUNT),
		within_limits ? stake_array(stakes, n, CEILING)
		: PointerGetDatum(construct_empty_array(NUMERICOID))
	};

	return n == 0 ? 0 : statement_write(&take_rows, args, NULL);
}

static void
return_amounts(Datum user_id, const Stake *stakes, int n)
{
	Datum		args[] = {
		user_id,
		stake_array(stakes, n, LIMIT_ID),
		stake_array(stakes, n, WINDOW_START),
		stake_array(stakes, n, WINDOW_END),
		stake_array(stakes, n, AMOUNT)
	};

	if (n > 0)
		statement_write(&return_rows, args, NULL);
}

/* The stakes whose rows the take returned, "used" now as it was before it. */
static Stake *
stakes_taken(Stakes *stakes, uint64 rows)
{
	Stake	   *taken = palloc(rows * sizeof(Stake));

	for (uint64 row = 0; row < rows; row++)
	{
		bool		isnull;
		Stake	   *stake = stake_of_limit(stakes, result_int64(row, 1));

		stake->used = num_trim(num_sub(DatumGetNumeric(result_datum(row, 2, &isnull)), stake->amount));
		taken[row] = *stake;
	}
	return taken;
}

/*
 * Takes every amount or none.  False: another use was faster, one of the limits
 * is used up; nothing is taken.
 *
 * Neighbours go through the same upsert: a row that is newer than the snapshot
 * of a REPEATABLE READ transaction makes it fail, where an UPDATE would pass it
 * over.
 */
bool
take_from_counters(Datum user_id, Stakes *stakes, bool within_limits)
{
	uint64		rows = take_amounts(user_id, stakes->all, stakes->n, within_limits);
	Stake	   *taken = stakes_taken(stakes, rows);

	if (rows < stakes->n)
	{
		return_amounts(user_id, taken, rows);
		return false;
	}
	take_amounts(user_id, stakes->neighbours, stakes->nneighbours, false);
	return true;
}

/* Undoes a take of this transaction. */
void
return_to_counters(Datum user_id, Stakes *stakes)
{
	return_amounts(user_id, stakes->all, stakes->n);
	return_amounts(user_id, stakes->neighbours, stakes->nneighbours);
}

/* ---- everything below only translates between SQL and the above ---- */

/* AFTER row trigger of usage_limits, fired where what is counted changed. */
PG_FUNCTION_INFO_V1(ut_counting_changed);
Datum
ut_counting_changed(PG_FUNCTION_ARGS)
{
	check_trigger(fcinfo);
	lock_out_all_uses(installation_of(fcinfo));
	return PointerGetDatum(NULL);
}

/* AFTER row trigger of user_subscriptions, fired where the clock changed. */
PG_FUNCTION_INFO_V1(ut_clock_changed);
Datum
ut_clock_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = check_row_trigger(fcinfo, "user_id");
	TupleDesc	desc = trigger->tg_relation->rd_att;
	bool		isnull;

	lock_out_uses_of(installation_of(fcinfo),
					 SPI_getbinval(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "user_id"), &isnull));
	return PointerGetDatum(NULL);
}
