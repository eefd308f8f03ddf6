/*
 * counters_bring.c -- brings counters to shared memory.
 *
 * A counter that is not here has nobody who takes of it, so what is committed is all
 * there is: it is read with a snapshot of that moment, and put here if none like it
 * has come and gone meanwhile.  Nobody waits for another who reads, and an error
 * leaves nothing behind.
 *
 * After a restart prepared transactions are not known here.  Each holds a lock for
 * every counter it has taken of, which who reads finds, and waits for; also if the
 * server had no memory when it was prepared.
 */
#include "compat.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "counters_inflight.h"
#include "counters_rows.h"
#include "faults.h"
#include "locks.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

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

/* ---- what is counted in rows by a server without memory, which may have some by then ---- */

typedef struct RowKey
{
	UserKey		user;
	int64		limit_id;
	Window		window;
} RowKey;

static HTAB *row_keys = NULL;	/* gone with the transaction */

void
note_in_rows(Datum user_id, const Stakes *stakes)
{
	HASHCTL		control = {.keysize = sizeof(RowKey), .entrysize = sizeof(RowKey), .hcxt = TopTransactionContext};
	RowKey		key;

	if (max_prepared_xacts == 0)
		return;
	if (row_keys == NULL)
		row_keys = hash_create("usage_tracking rows", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	memset(&key, 0, sizeof(key));
	key.user = key_of_user(present_installation(), user_id);
	for (int i = 0; i < stakes->n; i++)
	{
		key.limit_id = stakes->all[i].limit->id;
		key.window = stakes->all[i].window;
		(void) hash_search(row_keys, &key, HASH_ENTER, NULL);
	}
}

void
lock_noted_rows(void)
{
	HASH_SEQ_STATUS walk;
	const RowKey *key;

	if (row_keys == NULL)
		return;
	hash_seq_init(&walk, row_keys);
	while ((key = hash_seq_search(&walk)) != NULL)
		lock_key(&key->user, key->limit_id, key->window, true);
}

void
forget_noted_rows(void)
{
	row_keys = NULL;
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

bool
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

/* With a fresh view. */
static Found
find_counter(Datum user_id, const Stake *stake)
{
	Found		found = {num_zero, {0, DT_NOBEGIN}, DT_NOBEGIN, DT_NOBEGIN, false};
	TimestampTz from = stake->window.start;
	Rows		rows = begin_counter_rows(user_id, stake, stake->window);
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
		found.counts_to = counts_to;
		from = Max(counts_to, stake->window.start);
	}
	rows_end(&rows);
	if (from < stake->window.end)
		found.used = num_add(found.used, sum_of_events(user_id, stake, from, stake->window.end, &found.unfolded));
	holds = live_holds(user_id, &nholds);
	for (int i = 0; i < nholds; i++)
		found.may_have_holds = found.may_have_holds || is_held_of(stake, &holds[i]);
	return found;
}

/* ---- into memory ---- */

/* What a savepoint that was rolled back leaves is nothing to wait for. */
static bool
is_of_nothing(const Counter *counter, const Taking *taking)
{
	return taking->events == 0 && taking->changes_of_holds == 0 && taking->counts_to == 0 &&
		amount_is_zero(&taking->up) && amount_is_zero(&taking->down) &&
		counter->exclusive != number_of_taking(taking);
}

/* Others' before our own. */
static Taking *
taking_of_something(const Counter *counter)
{
	Taking	   *own = NULL;

	for (int number = counter->takings; number != NONE; number = taking_number(number)->next)
	{
		Taking	   *taking = taking_number(number);

		if (is_of_nothing(counter, taking))
			continue;
		if (!is_own(taking))
			return taking;
		own = taking;
	}
	return own;
}

/*
 * Somebody who has taken of it, though it is out of use by now, or of a window that
 * overlaps it, under another clock.  Others before us.
 */
static Taking *
taking_beside(const Place *place, const Stake *stake)
{
	Taking	   *own = NULL;
	Counter    *next = next_counter_of_user(place, NULL);
	Taking	   *taking;

	while (next != NULL)
	{
		Counter    *counter = next;

		next = next_counter_of_user(place, counter);	/* this one may leave now */
		if (counter->limit_id != stake->limit->id || counter->window.start >= stake->window.end ||
			counter->window.end <= stake->window.start)
			continue;
		settle_prepared(place->partition, counter);
		taking = taking_of_something(counter);
		if (taking != NULL && !is_own(taking))
			return taking;
		own = taking != NULL ? taking : own;
	}
	return own;
}

/*
 * Whose events the row of a counter that is not here may lack: their takings are of
 * counters that are out of use, and no lock keeps us out any more if it was got in a
 * savepoint that was rolled back.  None: an invalid one.
 */
TransactionId
taker_beside(const Place *place, const Stake *stake)
{
	const Taking *taking = taking_beside(place, stake);

	return taking == NULL || is_own(taking) ? InvalidTransactionId : taking->xid;
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

/*
 * Of windows that overlap, which another clock makes, one is here at a time: who adds
 * to it would not know of the others.
 */
static void
remove_overlapping(const Place *place, const Stake *stake)
{
	Counter    *counter = next_counter_of_user(place, NULL);

	while (counter != NULL)
	{
		Counter    *next = next_counter_of_user(place, counter);

		if (counter->limit_id == stake->limit->id && counter->window.start < stake->window.end &&
			counter->window.end > stake->window.start)
		{
			if (counter->ntakings == 0)
				remove_counter(place->partition, counter);
			else
				counter->is_stale = true;	/* of nothing, so far */
		}
		counter = next;
	}
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
		remove_overlapping(place, stake);
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
	stall("brought");
	LWLockRelease(&place->partition->lock);
	return way;
}

static Way
try_to_bring(const Place *place, Datum user_id, const Stake *stake, bool may_wait)
{
	TransactionId taker = InvalidTransactionId;
	int64		departures;
	Way			way = way_to_bring(place, stake, &departures, &taker);
	Found		found;
	Amount		used;

	if (way == IS_TAKEN_OF && may_wait)
		XactLockTableWait(taker, NULL, NULL, XLTW_None);
	if (way != CAN_BE_READ)
		return way;
	if (VirtualTransactionIdIsValid(*holders_of_key(&place->user, stake->limit->id, stake->window, true)))
		return HAS_NO_PLACE;	/* who wants what cannot fit need not wait for them */
	begin_fresh_view();
	found = find_counter(user_id, stake);
	end_fresh_view();
	used = amount_from(found.used);
	fault("read");
	return put_counter(place, stake, &found, &used, departures);
}

/*
 * For who only looks: one try, for which nobody is waited.  What his uses would wait
 * for (locks.c) is not wanted for longer.
 */
bool
bring_to_look(const Place *place, Datum user_id, const Stake *stake)
{
	const Installation *home = present_installation();
	Way			way;

	if (!try_to_lock_counting(home, user_id))
		return false;
	way = try_to_bring(place, user_id, stake, false);
	unlock_counting(home, user_id);
	return way == IS_THERE;
}

/* False: there is no place for it, so its row counts. */
bool
bring_counter(const Place *place, Datum user_id, const Stake *stake)
{
	Way			way;

	while ((way = try_to_bring(place, user_id, stake, true)) != IS_THERE && way != HAS_NO_PLACE)
		CHECK_FOR_INTERRUPTS();
	return way == IS_THERE;
}
