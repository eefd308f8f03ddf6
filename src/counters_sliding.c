/*
 * counters_sliding.c -- how much in the last so long?
 *
 * A sliding window has no counter: what is used in it is the sum of its events, added
 * up by bucket whenever it is asked for.  So there is nothing to keep in step with
 * events, whichever way they come, are corrected, or go.
 *
 * Locking: each user and sliding limit has a row in usage_counters, of an empty
 * window before all time.  Whoever uses the limit locks it until his transaction
 * ends, after the locks of locks.c and before any other counter, and only then
 * adds up, with a snapshot of that moment.  Nobody waits for a sliding limit who has
 * taken of a counter in the same use.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "counters.h"
#include "counters_trial.h"
#include "miscadmin.h"
#include "numbers.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* ---- adding up ---- */

static int
compare_buckets(const void *a, const void *b)
{
	TimestampTz x = ((const Bucket *) a)->at;
	TimestampTz y = ((const Bucket *) b)->at;

	return x < y ? -1 : x > y;
}

/* What a reservation holds of it, in its place among the others. */
void
note_held_bucket(Stake *stake, TimestampTz at, Numeric amount)
{
	Bucket		bucket = {at, amount, true};
	Bucket	   *all = palloc((stake->nbuckets + 1) * sizeof(Bucket));

	if (stake->nbuckets > 0)
		memcpy(all, stake->buckets, stake->nbuckets * sizeof(Bucket));
	all[stake->nbuckets++] = bucket;
	stake->buckets = all;
	qsort(stake->buckets, stake->nbuckets, sizeof(Bucket), compare_buckets);
}

static bool
are_together(const Stake *stake, TimestampTz a, TimestampTz b)
{
	TimeOffset	length = bucket_length(&stake->limit->period);

	return (a - stake->window.start) / length == (b - stake->window.start) / length;
}

static void
note_used_bucket(Fact *fact, void *argument)
{
	Stake	   *stake = argument;
	Bucket	   *last = stake->nbuckets == 0 ? NULL : &stake->buckets[stake->nbuckets - 1];
	Bucket		bucket = {fact->at, fact->amount};

	if (last != NULL && are_together(stake, last->at, fact->at))
	{
		last->at = Max(last->at, fact->at);
		last->used = add_and_free(last->used, fact->amount);
		return;
	}
	/* room doubles at 0, 1, 3, 7, ... */
	if (last == NULL)
		stake->buckets = palloc(sizeof(Bucket));
	else if ((stake->nbuckets & (stake->nbuckets + 1)) == 0)
		stake->buckets = repalloc(stake->buckets, (2 * stake->nbuckets + 1) * sizeof(Bucket));
	stake->buckets[stake->nbuckets++] = bucket;
}

/* Fills "used" of a stake in a sliding window, and says of when it is. */
void
read_buckets(Datum user_id, Stake *stake)
{
	int			n = 0;

	visit_facts(user_id, stake->limit, stake->window.start, stake->window.end, note_used_bucket, stake);
	for (int i = 0; i < stake->nbuckets; i++)
	{
		Bucket		bucket = stake->buckets[i];

		stake->used = num_add(stake->used, bucket.used);
		if (num_sign(bucket.used) != 0)
			stake->buckets[n++] = bucket;
	}
	stake->nbuckets = n;
	stake->used = num_trim(stake->used);
	qsort(stake->buckets, n, sizeof(Bucket), compare_buckets);
}

/* ---- apart from all others ---- */

bool
any_slides(const Stakes *stakes)
{
	for (int i = 0; i < stakes->n; i++)
		if (limit_is_sliding(stakes->all[i].limit))
			return true;
	return false;
}

static Stakes
stakes_that(const Stakes *stakes, bool slide)
{
	Stakes		some = *stakes;

	some.all = palloc(stakes->n * sizeof(Stake));
	some.n = 0;
	for (int i = 0; i < stakes->n; i++)
		if (limit_is_sliding(stakes->all[i].limit) == slide)
			some.all[some.n++] = stakes->all[i];
	if (slide)
		some.nneighbours = 0;
	return some;
}

void
split_stakes(const Stakes *stakes, Stakes *counted, Stakes *sliding)
{
	*counted = stakes_that(stakes, false);
	*sliding = stakes_that(stakes, true);
}

/* Back into the places they were split from. */
void
join_stakes(Stakes *stakes, const Stakes *counted, const Stakes *sliding)
{
	const Stake *next = counted->all;
	const Stake *next_sliding = sliding->all;

	for (int i = 0; i < stakes->n; i++)
		stakes->all[i] = limit_is_sliding(stakes->all[i].limit) ? *next_sliding++ : *next++;
	stakes->neighbours = counted->neighbours;
	stakes->nneighbours = counted->nneighbours;
	stakes->is_late = counted->is_late;
}

/* ---- taking ---- */

static Statement lock_row = {
	"SELECT FROM @extschema@.usage_counters"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND limit_id OPERATOR(pg_catalog.=) $2"
	" AND window_start OPERATOR(pg_catalog.=) '-infinity' AND window_end OPERATOR(pg_catalog.=) '-infinity' FOR NO KEY UPDATE",
	2, {USER_ID, INT8OID}
};

static Statement make_row = {
	"INSERT INTO @extschema@.usage_counters (user_id, limit_id, window_start, window_end, used)"
	" VALUES ($1, $2, '-infinity', '-infinity', 0)"
	" ON CONFLICT (user_id, limit_id, window_start, stripe, window_end) DO NOTHING",
	2, {USER_ID, INT8OID}
};

/* Until we end nobody else uses this limit of this user. */
static void
lock_limit(Datum user_id, int64 limit_id)
{
	Datum		args[] = {user_id, Int64GetDatum(limit_id)};

	while (statement_write_afresh(&lock_row, args) == 0)
	{
		CHECK_FOR_INTERRUPTS();
		statement_write_afresh(&make_row, args);
	}
}

/* In an order that all keep to.  A batch may be in several windows of a limit. */
static void
lock_limits(Datum user_id, const Stakes *stakes)
{
	Stake	  **sorted = sorted_stakes(stakes);

	for (int i = 0; i < stakes->n; i++)
		if (i == 0 || sorted[i]->limit != sorted[i - 1]->limit)
			lock_limit(user_id, sorted[i]->limit->id);
}

static bool
all_have_room(const Stakes *stakes)
{
	for (int i = 0; i < stakes->n; i++)
		if (can_refuse(&stakes->all[i]) && num_cmp(stakes->all[i].used, room_of(&stakes->all[i])) > 0)
			return false;
	return true;
}

/* Of several uses, what is in each window. */
static void
weigh_together(Stakes *stakes)
{
	for (int i = 0; i < stakes->n; i++)
		stakes->all[i].amount = amount_before(stakes, &stakes->all[i], stakes->all[i].window, DT_NOEND);
}

/*
 * Locks and adds up; the events themselves are what is taken.  False: one of the
 * limits is used up.
 */
bool
take_sliding(Datum user_id, Stakes *stakes, TakingKind kind)
{
	if (stakes->n == 0)
		return true;
	PreventCommandIfReadOnly("INSERT");
	lock_limits(user_id, stakes);
	read_from_rows(user_id, stakes);
	if (stakes->events != NULL)
		weigh_together(stakes);
	return !may_be_refused(kind) || all_have_room(stakes);
}
