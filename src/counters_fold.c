/*
 * counters_fold.c -- rows of counters that are in shared memory.
 *
 * There an event counts by being recorded, and rows follow: now and then a
 * transaction that is about to commit adds to the row what it lacks, up to an
 * instant ("counted_to") before which nobody is adding an event any more.  What is
 * read from tables is the row and the events since.
 *
 * An event before that instant, because it is late, is added to the row at once.
 *
 * Locking: rows in the order of limits.  Whoever folds waits for nobody: events
 * before the instant have ended their transactions, and with them their locks.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "counters_fold.h"
#include "counters_inflight.h"
#include "miscadmin.h"
#include "settings.h"
#include "storage/lmgr.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* ---- prepared transactions, which are all that a restart leaves ---- */

static uint64
hash_of_key(const UserKey *user, int64 limit_id, Window window)
{
	int64		rest[] = {limit_id, window.start, window.end};

	return hash_bytes_extended((const unsigned char *) user, sizeof(UserKey),
							   hash_bytes_extended((const unsigned char *) rest, sizeof(rest), 0));
}

/* Clocks of users are sub-objects 0 (locks.c). */
static uint16
subobject_of(uint64 hash)
{
	return 1 + (hash >> 32) % PG_UINT16_MAX;
}

/*
 * Tells who finds no counter here that there is more to come than tables say.  Who
 * counts in rows need not wait for others who do, but who brings it here must.
 */
void
lock_key(const UserKey *user, int64 limit_id, Window window, bool in_row)
{
	uint64		hash = hash_of_key(user, limit_id, window);

	LockDatabaseObject(user->usage_events, (uint32) hash, subobject_of(hash), in_row ? RowShareLock : RowExclusiveLock);
}

void
lock_prepared(Partition *partition, Taking *taking)
{
	const Counter *counter;

	if (taking->counter == NONE)
		return;					/* locked when it began */
	counter = counter_number(taking->counter);
	lock_key(&counter->user, counter->limit_id, counter->window, false);
}

/* Who has locked it, for counting in its row as well, or only otherwise. */
static VirtualTransactionId *
holders_of_key(const UserKey *user, int64 limit_id, Window window, bool in_row)
{
	uint64		hash = hash_of_key(user, limit_id, window);
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, user->usage_events, (uint32) hash, subobject_of(hash));
	return GetLockConflicts(&tag, in_row ? ExclusiveLock : ShareRowExclusiveLock, NULL);
}

static bool
wait_for_prepared(const UserKey *user, int64 limit_id, Window window)
{
	VirtualTransactionId *holders;
	bool		waited = false;

	for (holders = holders_of_key(user, limit_id, window, false); VirtualTransactionIdIsValid(*holders); holders++)
		waited = VirtualXactLock(*holders, true);
	return waited;
}

/* ---- from rows and events ---- */

typedef struct Found
{
	Numeric		used;
	EventSpan	unfolded;
	TimestampTz counts_to;
	TimestampTz neighbours_to;
	bool		may_have_holds;
} Found;

/* The row of a stake, and those of other windows that overlap its own. */
static Rows
begin_rows(Datum user_id, const Stake *stake, Window span)
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

static Window
window_of_row(const Rows *rows)
{
	Window		window = {row_time(rows, COUNTER_START, 0), row_time(rows, COUNTER_END, 0)};

	return window;
}

static bool
same_window(Window a, Window b)
{
	return a.start == b.start && a.end == b.end;
}

/* With a fresh view. */
static Found
find_counter(Datum user_id, const Stake *stake)
{
	Found		found = {num_zero, {0, DT_NOBEGIN}, DT_NOBEGIN, DT_NOBEGIN, false};
	TimestampTz from = stake->window.start;
	Rows		rows = begin_rows(user_id, stake, stake->window);
	Hold	   *holds;
	int			nholds;

	while (rows_next(&rows))
	{
		TimestampTz counts_to = row_time(&rows, COUNTER_COUNTED_TO, 0);

		if (!same_window(window_of_row(&rows), stake->window))
		{
			found.neighbours_to = Max(found.neighbours_to, counts_to);
			continue;
		}
		found.used = row_numeric(&rows, COUNTER_USED);
		found.counts_to = from = counts_to;
	}
	rows_end(&rows);
	if (from < stake->window.end)
		found.used = num_add(found.used, sum_of_events(user_id, stake, from, stake->window.end, &found.unfolded));
	holds = live_holds(user_id, &nholds);
	found.may_have_holds = holds != NULL && nholds > 0;
	return found;
}

/* ---- into memory ---- */

/* Somebody who has taken of it, or of a window that overlaps it, under another clock. */
static Taking *
taking_beside(const Place *place, const Stake *stake)
{
	Counter    *counter = NULL;

	while ((counter = next_counter_of_user(place, counter)) != NULL)
	{
		if (counter->limit_id != stake->limit->id || counter->window.start >= stake->window.end ||
			counter->window.end <= stake->window.start)
			continue;
		settle_prepared(place->partition, counter);
		if (counter->ntakings > 0)
			return taking_number(counter->takings);
	}
	return NULL;
}

typedef enum Way
{
	CAN_BE_READ,
	IS_THERE,
	HAS_NO_PLACE,				/* is counted in its row */
	IS_TAKEN_OF					/* wait, and look again */
} Way;

static Way
way_to_bring(const Place *place, const Stake *stake, int64 *departures, TransactionId *taker)
{
	Taking	   *taking = NULL;
	Way			way = CAN_BE_READ;

	LWLockAcquire(&place->partition->lock, LW_EXCLUSIVE);
	*departures = departures_from(place);
	if (counter_in_memory(place, stake->limit->id, stake->window) != NULL)
		way = IS_THERE;
	else if (is_bypassed(place->partition))
		way = HAS_NO_PLACE;
	else if ((taking = taking_beside(place, stake)) != NULL)
		way = is_own(taking) ? HAS_NO_PLACE : IS_TAKEN_OF;
	if (way == IS_TAKEN_OF)
		*taker = taking->xid;
	LWLockRelease(&place->partition->lock);
	return way;
}

/* What was found is still all there is: nobody had taken of it, and nobody has since. */
static Way
put_counter(const Place *place, const Stake *stake, const Found *found, const Amount *used, int64 departures)
{
	Counter    *counter;
	Way			way = CAN_BE_READ;

	LWLockAcquire(&place->partition->lock, LW_EXCLUSIVE);
	if (counter_in_memory(place, stake->limit->id, stake->window) != NULL)
		way = IS_THERE;
	else if (is_bypassed(place->partition))
		way = HAS_NO_PLACE;
	else if (departures_from(place) == departures && taking_beside(place, stake) == NULL)
	{
		/* One that nobody could take of would be brought here again and again. */
		counter = has_free_taking(place->partition) ? add_counter(place, stake->limit->id, stake->window) : NULL;
		way = counter == NULL ? HAS_NO_PLACE : IS_THERE;
		if (counter != NULL)
		{
			counter->used = *used;
			counter->counts_to = counter->boundary = found->counts_to;
			counter->neighbours_to = found->neighbours_to;
			counter->unfolded = Min(found->unfolded.n, PG_INT32_MAX / 2);
			counter->latest = found->unfolded.latest;
			counter->may_have_holds = found->may_have_holds;
		}
	}
	LWLockRelease(&place->partition->lock);
	return way;
}

static Way
try_to_bring(const Place *place, Datum user_id, const Stake *stake)
{
	TransactionId taker = InvalidTransactionId;
	int64		departures;
	Way			way = way_to_bring(place, stake, &departures, &taker);
	Found		found;
	Amount		used;

	if (way == IS_TAKEN_OF)
		XactLockTableWait(taker, NULL, NULL, XLTW_None);
	if (way != CAN_BE_READ)
		return way;
	if (VirtualTransactionIdIsValid(*holders_of_key(&place->user, stake->limit->id, stake->window, true)))
		return HAS_NO_PLACE;	/* who wants what cannot fit need not wait for them */
	begin_fresh_view();
	found = find_counter(user_id, stake);
	end_fresh_view();
	used = amount_from(found.used);
	return put_counter(place, stake, &found, &used, departures);
}

/* False: there is no place for it, so its row counts. */
bool
bring_counter(const Place *place, Datum user_id, const Stake *stake)
{
	Way			way;

	while ((way = try_to_bring(place, user_id, stake)) != IS_THERE && way != HAS_NO_PLACE)
		CHECK_FOR_INTERRUPTS();
	return way == IS_THERE;
}

/* ---- changing rows ---- */

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

typedef struct CounterRow
{
	Datum		user_id;
	int64		limit_id;
	Window		window;
	Numeric		used;
	int64		holds;
	TimestampTz counts_to;
} CounterRow;

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
static bool
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

/* Adds what the row must count of these uses.  The row is locked. */
static TimestampTz
count_late_in_row(CounterRow *row, const Stakes *stakes, const Stake *stake, bool back)
{
	Numeric		amount = amount_before(stakes, stake, row->window, row->counts_to);

	row->used = num_trim(back ? num_sub(row->used, amount) : num_add(row->used, amount));
	if (TIMESTAMP_IS_NOEND(row->counts_to))
		row->counts_to = end_of_counted(row->user_id, stakes->last);
	write_row(&change_row, row);
	return row->counts_to;
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
	rows = begin_rows(user_id, stake, span);
	while (rows_next(&rows))
	{
		CounterRow	row = {user_id, stake->limit->id, window_of_row(&rows)};

		if (row_time(&rows, COUNTER_COUNTED_TO, 0) <= stakes->first)
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

	for (int i = 0; i < n; i++)
	{
		const Stake *own = stake_in_window(stakes, rows[i].limit_id, rows[i].window);

		if (own != NULL && own->has_new_row && !back)
			continue;
		if (lock_counter_row(&rows[i]) && stakes->first < rows[i].counts_to)
			note_counted_to(user_id, &rows[i], count_late_in_row(&rows[i], stakes, stake, back));
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
 * row can say so.  Else a later use makes it.
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
	if (own != NULL && TIMESTAMP_IS_NOBEGIN(counter->counts_to) && counter->ntakings == 1 && counter->folding == NONE)
	{
		Change		change = {.folds = true, .counts_to = Max(now, counter->latest) + 1};

		counter->boundary = row->counts_to = change.counts_to;
		counter->nearly = own->is_early = true;
		*used = amount_plus(&counter->used, &own->gain);
		change_taking(place->partition, own, &change);
		begun = true;
	}
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

		stake->has_new_row = begin_row(place, &row, &used);
		if (!stake->has_new_row)
			continue;
		row.used = amount_numeric(&used);
		write_row(&make_row, &row);
	}
}

/* ---- for rows that count without memory ---- */

/* Nobody else adds an event that it would not count. */
static void
make_row_whole(Datum user_id, const Stake *stake)
{
	CounterRow	row = {user_id, stake->limit->id, stake->window};
	EventSpan	span;

	if (!lock_counter_row(&row) || TIMESTAMP_IS_NOEND(row.counts_to))
		return;
	if (row.counts_to < row.window.end)
	{
		begin_fresh_view();
		row.used = num_trim(num_add(row.used, sum_of_events(user_id, stake, row.counts_to, row.window.end, &span)));
		end_fresh_view();
	}
	row.counts_to = DT_NOEND;
	row.holds++;				/* there may be some that it was not told of */
	write_row(&change_row, &row);
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
		const Stake *stake = sorted[i];

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

/* ---- folding ---- */

typedef struct NotedFold
{
	struct NotedFold *next;
	Place		place;
	Datum		user_id;
	int64		limit_id;
	Window		window;
	TimestampTz from;
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
static bool
is_due(const Counter *counter, const Taking *taking)
{
	int			enough = TIMESTAMP_IS_NOBEGIN(counter->counts_to) ? 1 : FOLD_AFTER;

	return counter->unfolded + taking->events >= enough && counter->folding == NONE &&
		!counter->is_stale && !TIMESTAMP_IS_NOEND(counter->counts_to);
}

/* Counters of these uses whose rows are due, for when the transaction commits. */
void
note_folds(Datum user_id, const Stakes *stakes)
{
	Place		place;

	if (!has_counter_memory() || IsolationUsesXactSnapshot())
		return;
	place = place_of_user(present_installation(), user_id);
	for (int i = 0; i < stakes->n; i++)
	{
		const Stake *stake = &stakes->all[i];
		NotedFold	like = {NULL, place, user_id, stake->limit->id, stake->window};
		Counter    *counter;
		Taking	   *taking;
		bool		due;

		if (!stake->in_memory)
			continue;
		LWLockAcquire(&place.partition->lock, LW_SHARED);
		counter = counter_in_memory(&place, stake->limit->id, stake->window);
		taking = counter == NULL ? NULL : find_taking(counter, MyProcPid);
		due = taking != NULL && is_due(counter, taking);
		LWLockRelease(&place.partition->lock);
		if (due && !is_noted(&like))
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

/* Whether it is ours to do, now: no early taking is left but our own. */
static bool
begin_fold(NotedFold *fold)
{
	TimestampTz boundary = usage_now() + 1;
	Counter    *counter;
	Taking	   *taking;
	bool		begun = false;

	LWLockAcquire(&fold->place.partition->lock, LW_EXCLUSIVE);
	counter = counter_in_memory(&fold->place, fold->limit_id, fold->window);
	taking = counter == NULL ? NULL : find_taking(counter, MyProcPid);
	if (taking != NULL && is_due(counter, taking))
	{
		settle_prepared(fold->place.partition, counter);
		set_boundary(counter, boundary);
		begun = counter->boundary > counter->counts_to && counter->nearly == taking->is_early;
	}
	if (begun)
	{
		counter->folding = number_of_taking(taking);
		taking->is_folding = true;
		taking->counts_to = fold->to = counter->boundary;
		fold->from = counter->counts_to;
	}
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

static void
fold_row(const NotedFold *fold, const UsageLimit *limit)
{
	Stake		stake = {limit, fold->window};
	CounterRow	row = {fold->user_id, fold->limit_id, fold->window, num_zero, 0, fold->from};
	bool		exists = lock_counter_row(&row);
	TimestampTz from = exists ? Max(row.counts_to, fold->window.start) : fold->window.start;
	EventSpan	span;

	begin_fresh_view();
	if (from < Min(fold->to, fold->window.end))
		row.used = num_trim(num_add(row.used, sum_of_events(fold->user_id, &stake, from, Min(fold->to, fold->window.end), &span)));
	end_fresh_view();
	row.counts_to = fold->to;
	write_row(exists ? &change_row : &make_row, &row);
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
