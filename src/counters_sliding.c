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

/* Which facts a limit counts, and how: as sum_events in counters.c. */
#define COUNTS(limit_id, status) \
	" AND (" limit_id " OPERATOR(pg_catalog.=) $7 OR (COALESCE(" limit_id ", 0) OPERATOR(pg_catalog.=) 0" \
	" AND ($4 IS NULL OR usage_type OPERATOR(pg_catalog.=) $4)" \
	" AND " status " OPERATOR(pg_catalog.=) ANY ($5)))"

/* Of this measure.  Only one of two sums costs something. */
#define MEASURED(events, sum, quantity, tokens, cost) \
	"CASE WHEN $6 OPERATOR(pg_catalog.=) 0 THEN " events " ELSE " sum "(CASE WHEN $6 OPERATOR(pg_catalog.=) 1 THEN " quantity \
	" WHEN $6 OPERATOR(pg_catalog.=) 2 THEN " tokens " WHEN $6 OPERATOR(pg_catalog.=) 3 THEN " cost " END) END"

/* Buckets are counted from the window's begin; what is carried is all of one instant. */
static Statement sum_buckets = {
	"SELECT pg_catalog.max(occurred_at), "
	MEASURED("pg_catalog.sum(COALESCE(corrected_events, 1))", "pg_catalog.sum", "quantity", "tokens::pg_catalog.numeric", "cost")
	" FROM @extschema@.usage_events WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND occurred_at OPERATOR(pg_catalog.>=) $2 AND occurred_at OPERATOR(pg_catalog.<) $3"
	COUNTS("corrected_limit", "COALESCE(corrected_status, status)")
	" GROUP BY pg_catalog.date_bin($8, occurred_at, $2)"
	" UNION ALL SELECT month, " MEASURED("events", "", "quantity", "tokens", "cost")
	" FROM @extschema@.usage_carried WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND month OPERATOR(pg_catalog.>=) $2 AND month OPERATOR(pg_catalog.<) $3"
	COUNTS("limit_id", "status"),
	8, {USER_ID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTARRAYOID, INT4OID, INT8OID, INTERVALOID}
};

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

static Bucket
bucket_of_row(uint64 row)
{
	Numeric		sum = result_numeric(row, 2);
	Bucket		bucket = {result_time(row, 1, 0), sum == NULL ? num_zero : num_trim(sum)};

	return bucket;
}

/* Fills "used" of a stake in a sliding window, and says of when it is. */
void
read_buckets(Datum user_id, Stake *stake)
{
	const UsageLimit *limit = stake->limit;
	Interval	length = {bucket_length(&limit->period)};
	Datum		args[] = {
		user_id,
		TimestampTzGetDatum(stake->window.start),
		TimestampTzGetDatum(stake->window.end),
		limit->usage_type ? CStringGetTextDatum(limit->usage_type) : (Datum) 0,
		PointerGetDatum(limit->statuses),
		Int32GetDatum(limit->measure),
		Int64GetDatum(limit->id),
		IntervalPGetDatum(&length)
	};
	int			n = statement_look(&sum_buckets, args, limit->usage_type ? "        " : "   n    ");

	stake->buckets = palloc(Max(n, 1) * sizeof(Bucket));
	for (int row = 0; row < n; row++)
	{
		Bucket		bucket = bucket_of_row(row);

		if (num_sign(bucket.used) != 0)
			stake->buckets[stake->nbuckets++] = bucket;
		stake->used = num_add(stake->used, bucket.used);
	}
	stake->used = num_trim(stake->used);
	qsort(stake->buckets, stake->nbuckets, sizeof(Bucket), compare_buckets);
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
