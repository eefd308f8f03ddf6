/*
 * counters_take.c -- taking more of it: every counter of a use, or none.
 *
 * Locking: the rows of sliding limits (counters_sliding.c), then all others, each sorted
 * by limit_id and window, after the locks of locks.c.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "counters.h"
#include "counters_rows.h"
#include "counters_memory.h"
#include "miscadmin.h"
#include "users.h"
#include "utils/array.h"
#include "utils/builtins.h"

/*
 * Every stake of one limit, neighbours included, has the same amount, so that
 * array_position() may find any of them.
 *
 * A row that is there decides by its latest version, whatever we read before;
 * if reservations changed meanwhile, what we know of them is old, and nothing
 * is taken.  A row that is not there is made from what we read: nobody else can
 * have counted an event in its window without making it first.
 */
#define OF_THIS_LIMIT(array) "(" array ")[pg_catalog.array_position($2, c.limit_id)]"

static Statement take_rows = {
	"INSERT INTO @extschema@.usage_counters AS c"
	" (user_id, limit_id, window_start, stripe, window_end, used, holds)"
	" SELECT $1, w.limit_id, w.window_start, 0, w.window_end, w.used OPERATOR(pg_catalog.+) w.amount,"
	" w.holds OPERATOR(pg_catalog.+) $9"
	" FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
	" pg_catalog.unnest($6), pg_catalog.unnest($8)) AS w (limit_id, window_start, window_end, used, amount, holds)"
	" ORDER BY w.limit_id, w.window_start"
	" ON CONFLICT (user_id, limit_id, window_start, stripe, window_end) DO UPDATE"
	" SET used = c.used OPERATOR(pg_catalog.+) " OF_THIS_LIMIT("$6") ", holds = c.holds OPERATOR(pg_catalog.+) $9"
	" WHERE " OF_THIS_LIMIT("$7") " IS NULL"
	" OR (c.used OPERATOR(pg_catalog.<=) " OF_THIS_LIMIT("$7")
	" AND c.holds OPERATOR(pg_catalog.=) " OF_THIS_LIMIT("$8") ")"
	" RETURNING c.limit_id, c.window_start, c.window_end, c.used, c.holds",
	9, {USER_ID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, NUMERICARRAYOID,
	NUMERICARRAYOID, NUMERICARRAYOID, INT8ARRAYOID, INT8OID}
};

/* To rows that this transaction has locked. */
static Statement add_rows = {
	"UPDATE @extschema@.usage_counters AS c"
	" SET used = c.used OPERATOR(pg_catalog.+) w.amount"
	" FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5)) AS w (limit_id, window_start, window_end, amount)"
	" WHERE c.user_id OPERATOR(pg_catalog.=) $1 AND c.limit_id OPERATOR(pg_catalog.=) w.limit_id"
	" AND c.window_start OPERATOR(pg_catalog.=) w.window_start"
	" AND c.window_end OPERATOR(pg_catalog.=) w.window_end",
	5, {USER_ID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, NUMERICARRAYOID}
};

static bool
adds(TakingKind kind)
{
	return kind == TAKE_IF_IT_FITS || kind == TAKE_ANYWAY || kind == TAKE_AND_SETTLE;
}

static bool
refuses(TakingKind kind)
{
	return kind == TAKE_IF_IT_FITS || kind == HOLD_IF_IT_FITS;
}

static bool
changes_holds(TakingKind kind)
{
	return kind == HOLD_IF_IT_FITS || kind == HOLD_ANYWAY || kind == TAKE_AND_SETTLE;
}

static uint64
take_amounts(Datum user_id, const Stake *stakes, int n, TakingKind kind)
{
	Datum		args[] = {
		user_id,
		stake_array(stakes, n, LIMIT_ID),
		stake_array(stakes, n, WINDOW_START),
		stake_array(stakes, n, WINDOW_END),
		stake_array(stakes, n, USED),
		stake_array(stakes, n, adds(kind) ? AMOUNT : NOTHING),
		refuses(kind) ? stake_array(stakes, n, ROOM) : PointerGetDatum(construct_empty_array(NUMERICOID)),
		stake_array(stakes, n, HOLDS),
		Int64GetDatum(changes_holds(kind) ? 1 : 0)
	};

	return n == 0 ? 0 : statement_write_afresh(&take_rows, args);
}

static void
add_amounts(Datum user_id, const Stake *stakes, int n, StakeField amount)
{
	Datum		args[] = {
		user_id,
		stake_array(stakes, n, LIMIT_ID),
		stake_array(stakes, n, WINDOW_START),
		stake_array(stakes, n, WINDOW_END),
		stake_array(stakes, n, amount)
	};

	if (n > 0)
		statement_write_afresh(&add_rows, args);
}

/*
 * The stakes whose rows the take returned, "used" now as it was before it.  Stale:
 * reservations have changed since they were read.
 */
static Stake *
stakes_taken(Stakes *stakes, uint64 rows, TakingKind kind, bool *stale)
{
	Stake	   *taken = palloc(rows * sizeof(Stake));

	for (uint64 row = 0; row < rows; row++)
	{
		Window		window = {result_time(row, 2, 0), result_time(row, 3, 0)};
		Stake	   *stake = stake_in_window(stakes, result_int64(row, 1), window);
		Numeric		now = result_numeric(row, 4);

		int64		holds = result_int64(row, 5) - (changes_holds(kind) ? 1 : 0);

		*stale = *stale || holds != stake->holds;
		stake->holds = holds;
		stake->used = num_trim(adds(kind) ? num_sub(now, stake->amount) : now);
		taken[row] = *stake;
	}
	return taken;
}

/* ---- from rows that are there, without a statement ---- */

/* Making rows is left to the statement. */
static bool
can_take_in_place(const Stakes *stakes, TakingKind kind)
{
	if (!counters.may_change || stakes->nneighbours > 0 || kind == TAKE_ALONE || kind == TAKE_TOGETHER)
		return false;
	for (int i = 0; i < stakes->n; i++)
		if (!stakes->all[i].has_counter)
			return false;
	return true;
}

/*
 * What was seen there is kept from being pruned by the calling query's snapshot,
 * but up to 16 not by one that old_snapshot_threshold calls too old.
 */
bool
is_row_of(Datum user_id, int64 limit_id, const LockedRow *row)
{
	return locked_int64(row, COUNTER_LIMIT) == limit_id &&
		same_user(present_installation(), locked_datum(row, COUNTER_USER), user_id);
}

static bool
has_room(const Stake *stake, const LockedRow *row, TakingKind kind)
{
	return !refuses(kind) || !can_refuse(stake) ||
		(num_cmp(stake->used, room_of(stake)) <= 0 &&
		 locked_int64(row, COUNTER_HOLDS) == stake->holds);
}

static void
change_counter(const Stake *stake, const LockedRow *row, TakingKind kind)
{
	int			columns[] = {COUNTER_USED, COUNTER_HOLDS};
	Datum		values[] = {
		NumericGetDatum(adds(kind) ? num_add(stake->used, stake->amount) : stake->used),
		Int64GetDatum(stake->holds + (changes_holds(kind) ? 1 : 0))
	};

	row_change(row, lengthof(columns), columns, values);
}

static int
compare_stakes(const void *a, const void *b)
{
	const Stake *x = *(Stake *const *) a;
	const Stake *y = *(Stake *const *) b;

	if (x->limit->id != y->limit->id)
		return x->limit->id < y->limit->id ? -1 : 1;
	return x->window.start < y->window.start ? -1 : x->window.start > y->window.start;
}

Stake **
sorted_stakes(const Stakes *stakes)
{
	Stake	  **sorted = palloc(stakes->n * sizeof(Stake *));

	for (int i = 0; i < stakes->n; i++)
		sorted[i] = &stakes->all[i];
	qsort(sorted, stakes->n, sizeof(Stake *), compare_stakes);
	return sorted;
}

/* All rows are locked before the first one is changed, so nothing is given back. */
static bool
take_in_place(Datum user_id, Stakes *stakes, TakingKind kind, bool *stale)
{
	Stake	  **sorted = sorted_stakes(stakes);
	LockedRow  *rows = palloc(stakes->n * sizeof(LockedRow));
	int			nlocked = 0;
	bool		taken = true;

	while (taken && nlocked < stakes->n)
	{
		Stake	   *stake = sorted[nlocked];
		LockedRow  *row = &rows[nlocked++];

		*row = row_lock(&counters, &stake->counter, &taken);
		taken = taken && is_row_of(user_id, stake->limit->id, row);
		if (!taken)
			break;
		stake->used = num_trim(locked_numeric(row, COUNTER_USED));
		taken = has_room(stake, row, kind);
		*stale = *stale || locked_int64(row, COUNTER_HOLDS) != stake->holds;
		stake->holds = locked_int64(row, COUNTER_HOLDS);
	}
	for (int i = 0; i < nlocked; i++)
	{
		if (taken)
			change_counter(sorted[i], &rows[i], kind);
		row_release(&rows[i]);
	}
	return taken;
}

/* ---- by whichever way ---- */

static bool
take_by_statement(Datum user_id, Stakes *stakes, TakingKind kind, bool *stale)
{
	uint64		rows = take_amounts(user_id, stakes->all, stakes->n, kind);
	Stake	   *taken = stakes_taken(stakes, rows, kind, stale);

	if (rows < stakes->n)
	{
		if (adds(kind))
			add_amounts(user_id, taken, rows, MINUS_AMOUNT);
		return false;
	}
	take_amounts(user_id, stakes->neighbours, stakes->nneighbours, kind);
	return true;
}

/* Of several uses not all need be in the window of an earlier clock, nor uncounted there. */
static void
weigh_neighbours(Stakes *stakes)
{
	for (int i = 0; i < stakes->nneighbours; i++)
	{
		Stake	   *neighbour = &stakes->neighbours[i];

		if (stakes->events != NULL)
			neighbour->amount = amount_before(stakes, neighbour, neighbour->window, neighbour->counts_to);
	}
}

/*
 * What is used is what is committed, whatever the transaction's snapshot shows: so
 * no transaction is too old for it.
 */
bool
take_from_rows(Datum user_id, Stakes *stakes, TakingKind kind, bool *stale)
{
	bool		taken;

	weigh_neighbours(stakes);
	taken = can_take_in_place(stakes, kind) ? take_in_place(user_id, stakes, kind, stale)
		: take_by_statement(user_id, stakes, kind, stale);
	if (taken && kind == TAKE_TOGETHER)
		add_to_rows(user_id, stakes, AMOUNT);
	return taken;
}

void
add_to_rows(Datum user_id, const Stakes *stakes, StakeField amount)
{
	add_amounts(user_id, stakes->all, stakes->n, amount);
	add_amounts(user_id, stakes->neighbours, stakes->nneighbours, amount);
}

/* Where there is no shared memory, every row counts every event. */
static bool
take_from_whole_rows(Datum user_id, Stakes *stakes, TakingKind kind, bool *stale)
{
	note_in_rows(user_id, stakes);
	if (make_rows_whole(user_id, stakes))
		read_from_rows(user_id, stakes);
	return take_from_rows(user_id, stakes, kind, stale);
}

static bool
take_counted(Datum user_id, Stakes *stakes, TakingKind kind)
{
	bool		stale = false;

	if (stakes->n == 0)
		return true;
	PreventCommandIfReadOnly("INSERT");
	if (!(has_counter_memory() ? take_shared : take_from_whole_rows) (user_id, stakes, kind, &stale))
		return false;
	if (stale)
		read_holds_again(user_id, stakes);
	return true;
}

/*
 * Takes every amount or none.  False: another use was faster, one of the limits
 * is used up, or what is reserved has changed; nothing is taken.
 */
bool
take_from_counters(Datum user_id, Stakes *stakes, TakingKind kind)
{
	Stakes		counted;
	Stakes		sliding;
	bool		taken;

	if (!any_slides(stakes))
		return take_counted(user_id, stakes, kind);
	split_stakes(stakes, &counted, &sliding);
	taken = take_sliding(user_id, &sliding, kind) && take_counted(user_id, &counted, kind);
	join_stakes(stakes, &counted, &sliding);
	return taken;
}

/* To those that were taken with TAKE_ALONE. */
void
add_to_counters(Datum user_id, const Stakes *stakes)
{
	Stakes		counted;
	Stakes		sliding;

	split_stakes(stakes, &counted, &sliding);
	if (has_counter_memory())
		add_to_shared(user_id, &counted, false);
	else
		add_to_rows(user_id, &counted, AMOUNT);
}

/* Undoes a take of this transaction that added. */
void
return_to_counters(Datum user_id, const Stakes *stakes)
{
	Stakes		counted;
	Stakes		sliding;

	split_stakes(stakes, &counted, &sliding);
	if (has_counter_memory())
		add_to_shared(user_id, &counted, true);
	else
		add_to_rows(user_id, &counted, MINUS_AMOUNT);
}
