/*
 * usage_recost.c -- what calls would cost at the prices as they are known now.
 *
 * Nothing recorded is changed: a call whose cost differs gets an event that
 * corrects it, of no quantity and no tokens.  Calls are looked through without a
 * lock, in the order of their key; one that differs is locked and looked at again.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "arguments.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "funcapi.h"
#include "locks.h"
#include "miscadmin.h"
#include "numbers.h"
#include "settings.h"
#include "usage.h"
#include "users.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define CALLS_AT_A_TIME 1000

typedef struct Recost
{
	const Installation *home;
	TimestampTz first;
	TimestampTz end;
	int64		checked;
	int64		corrected;
	int64		unpriced;
	Numeric		difference;		/* of all costs */
} Recost;

/* A call as it was recorded, and what it was found to cost so far. */
typedef struct Recorded
{
	Event		event;
	bool		is_reversed;
	bool		is_priced;
	Numeric		cost;
} Recorded;

/* ---- reading ---- */

#define CALL_COLUMNS(e) \
	e "user_id, " e "occurred_at, " e "id, " e "quantity, " e "status, " e "provider, " e "model, " e "service_tier, " \
	e "input_tokens, " e "output_tokens, " e "cache_read_tokens, " e "cache_write_tokens, " e "cache_write_1h_tokens, " \
	e "reasoning_tokens, " e "audio_input_tokens, " e "audio_cache_read_tokens, " e "audio_output_tokens, " \
	e "image_input_tokens, " e "image_output_tokens"

#define CALLS(beyond) \
	"SELECT " CALL_COLUMNS("e.") ", COALESCE(e.cost, 0) OPERATOR(pg_catalog.+) COALESCE(c.cost, 0)," \
	" e.cost IS NOT NULL OR c.priced, COALESCE(c.events, 0) OPERATOR(pg_catalog.<) 0" \
	" FROM (SELECT " CALL_COLUMNS("") ", cost FROM @extschema@.usage_events" \
	" WHERE occurred_at OPERATOR(pg_catalog.>=) $1 AND occurred_at OPERATOR(pg_catalog.<) $2" \
	" AND (cost IS NULL OR input_cost IS NOT NULL)" /* else its cost was given */ \
	" AND model IS NOT NULL AND status OPERATOR(pg_catalog.<>) 'correction'" beyond \
	" ORDER BY user_id, occurred_at, id LIMIT $3) AS e" \
	" LEFT JOIN LATERAL (SELECT pg_catalog.sum(v.cost) AS cost, pg_catalog.sum(v.corrected_events) AS events," \
	" pg_catalog.count(v.price_id) OPERATOR(pg_catalog.>) 0 AS priced FROM @extschema@.usage_events AS v" \
	" WHERE v.user_id OPERATOR(pg_catalog.=) e.user_id AND v.occurred_at OPERATOR(pg_catalog.=) e.occurred_at" \
	" AND v.corrects OPERATOR(pg_catalog.=) e.id) AS c ON true" \
	" ORDER BY e.user_id, e.occurred_at, e.id"

static Statement first_calls = {
	CALLS(""), 3, {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID}
};

static Statement next_calls = {
	CALLS(" AND ROW(user_id, occurred_at, id) OPERATOR(pg_catalog.>) ROW($4, $5, $6)"),
	6, {TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, USER_ID, TIMESTAMPTZOID, INT8OID}
};

static ApiCall *
read_call(int row)
{
	ApiCall    *call = palloc0(sizeof(ApiCall));
	char	   *tier = result_text(row, 8);

	call->provider = result_text(row, 6);
	call->model = result_text(row, 7);
	if (tier != NULL)
		(void) service_tier_from_name(tier, &call->billed.tier);
	for (int class = 0; class < TOKEN_CLASSES; class++)
		call->billed.tokens[class] = result_int64(row, 9 + class);
	return call;
}

static Recorded
read_recorded(const Installation *home, int row)
{
	Recorded	recorded = {{"recost_usage"}};
	Event	   *event = &recorded.event;
	int16		length;
	bool		byval;
	bool		isnull;

	get_typlenbyval(home->user_id_type, &length, &byval);
	event->user_id = datumCopy(result_datum(row, 1, &isnull), byval, length);
	event->occurred_at = result_time(row, 2, 0);
	event->id = result_int64(row, 3);
	event->quantity = result_numeric(row, 4);
	event->status = result_text(row, 5);
	event->call = read_call(row);
	event->call->billed.requests = strcmp(event->status, "success") == 0;
	recorded.cost = result_numeric(row, 20);
	recorded.is_priced = result_bool(row, 21);
	recorded.is_reversed = result_bool(row, 22);
	return recorded;
}

static Recorded *
read_calls(const Recost *recost, const Event *last, int *n)
{
	Datum		args[6] = {TimestampTzGetDatum(recost->first), TimestampTzGetDatum(recost->end), Int32GetDatum(CALLS_AT_A_TIME)};
	Recorded   *calls;

	if (last == NULL)
		*n = statement_look(&first_calls, args, NULL);
	else
	{
		args[3] = last->user_id;
		args[4] = TimestampTzGetDatum(last->occurred_at);
		args[5] = Int64GetDatum(last->id);
		*n = statement_look(&next_calls, args, NULL);
	}
	calls = palloc0(Max(*n, 1) * sizeof(Recorded));
	for (int i = 0; i < *n; i++)
		calls[i] = read_recorded(recost->home, i);
	return calls;
}

/* ---- correcting ---- */

static Numeric
difference_of(Numeric now, Numeric before)
{
	return num_trim(before == NULL ? now : num_sub(now, before));
}

/* What of the call is left, turned into what is to be added to its cost. */
static void
turn_into_difference(Event *left, const LlmCost *cost)
{
	left->corrects = left->id;
	left->counted_status = left->status;
	left->status = "correction";
	left->quantity = num_zero;
	left->tokens = 0;
	left->events = 0;
	left->cost = difference_of(cost->total, left->cost);
	left->call->input_cost = difference_of(cost->input, left->call->input_cost);
	left->call->output_cost = difference_of(cost->output, left->call->output_cost);
	left->call->price_id = cost->price_id;
	left->reason = "prices";
	left->credits_used = left->credits_owed = NULL;
	left->has_own_time = true;
}

/* A test counts for no event, but it has tokens. */
static bool
is_taken_back(const Event *left)
{
	return left->events <= 0 && left->tokens == 0;
}

/* Nobody else corrects it from here on, but somebody may just have done so. */
static void
correct_call(Recost *recost, const Recorded *recorded, const LlmCost *cost)
{
	const Event *event = &recorded->event;
	Event		left;

	lock_counting(recost->home, event->user_id);
	if (!lock_event(event->user_id, event->id, &left) || is_taken_back(&left) || left.call == NULL)
		return;
	if (left.is_priced && num_cmp(left.cost, cost->total) == 0)
		return;
	turn_into_difference(&left, cost);
	recost->difference = num_add(recost->difference, left.cost);
	recost->corrected++;
	record_fact(recost->home, &left);
}

static void
recost_call(Recost *recost, const Recorded *recorded)
{
	LlmCost		cost = cost_of_event(recost->home, &recorded->event);

	recost->checked++;
	if (recorded->is_reversed)
		return;
	if (cost.total == NULL)
		recost->unpriced += !recorded->is_priced;
	else if (!recorded->is_priced || num_cmp(recorded->cost, cost.total) != 0)
		correct_call(recost, recorded, &cost);
}

/* Sums and the last call live on, what a thousand calls needed does not. */
static void
recost_calls(Recost *recost)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext contexts[2] = {
		AllocSetContextCreate(caller, "recost", ALLOCSET_DEFAULT_SIZES),
		AllocSetContextCreate(caller, "recost", ALLOCSET_DEFAULT_SIZES)
	};
	const Event *last = NULL;
	int			n = CALLS_AT_A_TIME;

	for (int turn = 0; n == CALLS_AT_A_TIME; turn++)
	{
		Recorded   *calls;

		MemoryContextReset(contexts[turn % 2]);
		MemoryContextSwitchTo(contexts[turn % 2]);
		recost->difference = num_trim(recost->difference);
		calls = read_calls(recost, last, &n);
		for (int i = 0; i < n; i++)
		{
			CHECK_FOR_INTERRUPTS();
			recost_call(recost, &calls[i]);
		}
		last = &calls[Max(n, 1) - 1].event;
	}
	MemoryContextSwitchTo(caller);
	recost->difference = num_trim(recost->difference);
}

/* ---- everything below only translates between SQL and the above ---- */

static void
check_range(const Recost *recost)
{
	check_finite_time(recost->first, "from_time");
	check_finite_time(recost->end, "to_time");
	if (recost->first > recost->end)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"from_time\" must not be after \"to_time\"")));
}

static Datum
recost_datum(FunctionCallInfo fcinfo, const Recost *recost)
{
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != lengthof(values))
		elog(ERROR, "return type must be a row of three counts and a cost");
	values[0] = Int64GetDatum(recost->checked);
	values[1] = Int64GetDatum(recost->corrected);
	values[2] = Int64GetDatum(recost->unpriced);
	values[3] = NumericGetDatum(recost->difference);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

PG_FUNCTION_INFO_V1(ut_recost_usage);
Datum
ut_recost_usage(PG_FUNCTION_ARGS)
{
	Recost		recost = {installation_of(fcinfo)};
	MemoryContext caller = CurrentMemoryContext;
	Disguise	before;
	Datum		result;

	check_is_admin_or_server(recost.home);
	check_not_null(PG_ARGISNULL(0), "from_time");
	check_not_null(PG_ARGISNULL(1), "to_time");
	recost.first = PG_GETARG_TIMESTAMPTZ(0);
	recost.end = PG_GETARG_TIMESTAMPTZ(1);
	check_range(&recost);
	PreventCommandDuringRecovery("recost_usage()");
	recost.difference = num_zero;
	become_owner(recost.home, &before);
	if (setting_enabled)
		recost_calls(&recost);
	MemoryContextSwitchTo(caller);
	result = recost_datum(fcinfo, &recost);
	become_caller(&before);
	return result;
}
