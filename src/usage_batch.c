/*
 * usage_batch.c -- many facts in one call.
 *
 * The same as track_usage() for each element, with less to do: everybody's terms are
 * read at one instant, each user's counters are taken of once, and events and keys are
 * written all together.  If a key turns out to be somebody else's by then, all is
 * undone and done again, in a subtransaction.
 */
#include "compat.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "locks.h"
#include "miscadmin.h"
#include "numbers.h"
#include "settings.h"
#include "usage_batch.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/typcache.h"

/* ---- which elements are for whom ---- */

static int
compare_users(const Event *a, const Event *b, void *compare)
{
	return DatumGetInt32(FunctionCall2Coll(compare, C_COLLATION_OID, a->user_id, b->user_id));
}

/* By user, then in the order of the batch. */
static int
compare_items(const void *a, const void *b, void *compare)
{
	const BatchItem *x = a;
	const BatchItem *y = b;
	int			order = compare_users(&x->event, &y->event, compare);

	return order != 0 ? order : x->index - y->index;
}

static FmgrInfo *
order_of_users(const Installation *home)
{
	return &lookup_type_cache(home->user_id_type, TYPECACHE_CMP_PROC_FINFO)->cmp_proc_finfo;
}

/* How many items from here on are for the same user. */
int
run_length(const Installation *home, BatchItem *items, int n)
{
	int			length = 1;

	while (length < n && same_user(home, items[length].event.user_id, items[0].event.user_id))
		length++;
	return length;
}

static void
lock_users(const Installation *home, const Batch *batch)
{
	for (int i = 0; i < batch->n; i += run_length(home, &batch->items[i], batch->n - i))
		lock_counting(home, batch->items[i].event.user_id);
}

static void
drop_unregistered(Batch *batch)
{
	const Config *config = current_config();
	int			kept = 0;

	for (int i = 0; i < batch->n; i++)
	{
		BatchItem  *item = &batch->items[i];

		if (is_usage_type(config, item->event.usage_type))
			batch->items[kept++] = *item;
		else
			note_error(batch, item->index, ERRCODE_UT_UNREGISTERED,
					   psprintf("usage type \"%s\" is not registered", item->event.usage_type));
	}
	batch->n = kept;
}

/* ---- keys ---- */

static void
settle(Batch *batch, BatchItem *item, bool is_same)
{
	item->fate = is_same ? ITEM_REPLAYED : ITEM_REFUSED;
	if (!is_same)
		note_error(batch, item->index, ERRCODE_UT_KEY_REUSED,
				   "idempotency key was used for another request");
}

/* Events of the items that are still open, with a key or all. */
Event **
open_events(Batch *batch, bool keyed_only, BatchItem ***items, int *n)
{
	Event	  **events = palloc(batch->n * sizeof(Event *) + 1);

	*items = palloc(batch->n * sizeof(BatchItem *) + 1);
	*n = 0;
	for (int i = 0; i < batch->n; i++)
		if (batch->items[i].fate == ITEM_OPEN &&
			(!keyed_only || batch->items[i].event.idempotency_key != NULL))
		{
			(*items)[*n] = &batch->items[i];
			events[(*n)++] = &batch->items[i].event;
		}
	return events;
}

static void
settle_known_keys(const Installation *home, Batch *batch)
{
	BatchItem **items;
	int			n;
	Event	  **events = open_events(batch, true, &items, &n);
	int			found = 0;
	KeyFate    *fates = n == 0 ? NULL : find_first_answers(home, events, n, &found);

	for (int i = 0; i < found; i++)
		settle(batch, items[fates[i].number], fates[i].is_same);
}

static int
compare_keys(const void *a, const void *b, void *compare)
{
	const BatchItem *x = *(BatchItem *const *) a;
	const BatchItem *y = *(BatchItem *const *) b;
	int			order = strcmp(x->event.idempotency_key, y->event.idempotency_key);

	if (order == 0)
		order = compare_users(&x->event, &y->event, compare);
	return order != 0 ? order : x->index - y->index;
}

/* As find_key in events.c. */
static bool
is_same_request(const Event *a, const Event *b)
{
	return strcmp(a->usage_type, b->usage_type) == 0 && num_cmp(a->quantity, b->quantity) == 0 &&
		a->tokens == b->tokens && a->has_own_time == b->has_own_time &&
		(!a->has_own_time || a->occurred_at == b->occurred_at);
}

/* A key that comes twice: the first one in the batch counts. */
static void
settle_repeated_keys(const Installation *home, Batch *batch)
{
	BatchItem **items;
	BatchItem  *first = NULL;
	int			n;

	(void) open_events(batch, true, &items, &n);
	qsort_arg(items, n, sizeof(BatchItem *), compare_keys, order_of_users(home));
	for (int i = 0; i < n; i++)
		if (first != NULL && strcmp(first->event.idempotency_key, items[i]->event.idempotency_key) == 0 &&
			same_user(home, first->event.user_id, items[i]->event.user_id))
			settle(batch, items[i], is_same_request(&first->event, &items[i]->event));
		else
			first = items[i];
}

/* ---- all together ---- */

/* False: a key was somebody else's by the time it was to be kept. */
static bool
try_to_record_batch(const Installation *home, Batch *batch)
{
	BatchItem **items;
	Event	  **events;
	int			n;

	settle_known_keys(home, batch);
	settle_repeated_keys(home, batch);
	events = open_events(batch, false, &items, &n);
	for (int i = 0; i < n; i++)
		events[i]->id = next_event_id(home);
	count_users(home, batch);
	if (n > 0)
		insert_events(events, n);
	events = open_events(batch, true, &items, &n);
	return n == 0 || keep_keys(home, events, n);
}

static bool
has_key(const Batch *batch)
{
	for (int i = 0; i < batch->n; i++)
		if (batch->items[i].event.idempotency_key != NULL)
			return true;
	return false;
}

typedef struct Attempt
{
	const Installation *home;
	Batch	   *batch;
} Attempt;

static bool
attempt(void *argument)
{
	Attempt    *one = argument;

	return try_to_record_batch(one->home, one->batch);
}

static void
record_batch(const Installation *home, Batch *batch)
{
	Attempt		one = {home, batch};
	int			nerrors;

	qsort_arg(batch->items, batch->n, sizeof(BatchItem), compare_items, order_of_users(home));
	lock_users(home, batch);
	drop_unregistered(batch);
	nerrors = batch->nerrors;
	if (!has_key(batch))
	{
		try_to_record_batch(home, batch);
		return;
	}
	while (!in_subtransaction(attempt, &one))
	{
		CHECK_FOR_INTERRUPTS();
		batch->nerrors = nerrors;
		for (int i = 0; i < batch->n; i++)
			batch->items[i].fate = ITEM_OPEN;
	}
}

/* ---- the answer ---- */

static int
compare_errors(const void *a, const void *b)
{
	return ((const BatchError *) a)->index - ((const BatchError *) b)->index;
}

static Datum
errors_datum(Batch *batch)
{
	StringInfoData json;

	qsort(batch->errors, batch->nerrors, sizeof(BatchError), compare_errors);
	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < batch->nerrors; i++)
	{
		appendStringInfo(&json, "%s{\"index\":%d,\"code\":\"%s\",\"message\":", i > 0 ? "," : "",
						 batch->errors[i].index, unpack_sql_state(batch->errors[i].sqlstate));
		escape_json(&json, batch->errors[i].message);
		appendStringInfoChar(&json, '}');
	}
	appendStringInfoChar(&json, ']');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

static int64
count_fate(const Batch *batch, ItemFate fate)
{
	int64		count = 0;

	for (int i = 0; i < batch->n; i++)
		count += batch->items[i].fate == fate;
	return count;
}

static Datum
answer_datum(FunctionCallInfo fcinfo, Batch *batch)
{
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row");
	values[0] = Int64GetDatum(setting_enabled ? count_fate(batch, ITEM_OPEN) : 0);
	values[1] = Int64GetDatum(count_fate(batch, ITEM_REPLAYED));
	values[2] = errors_datum(batch);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_track_usage_batch);
Datum
ut_track_usage_batch(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Batch		batch;
	Disguise	before;
	Datum		result;

	check_is_server(home);
	check_not_null(PG_ARGISNULL(0), "events");
	batch = parse_batch(home, PG_GETARG_JSONB_P(0));
	become_owner(home, &before);
	if (setting_enabled)
		record_batch(home, &batch);
	else
		drop_unregistered(&batch);
	MemoryContextSwitchTo(caller);
	result = answer_datum(fcinfo, &batch);
	become_caller(&before);
	return result;
}
