/*
 * usage_api.c -- track_api_usage(): a use with what it cost.
 *
 * The price is that of the instant of the use; a price that nobody knows leaves
 * the cost unknown.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "arguments.h"
#include "common/int.h"
#include "funcapi.h"
#include "numbers.h"
#include "usage.h"
#include "users.h"

enum
{
	ARG_USER, ARG_SERVICE, ARG_PROVIDER, ARG_MODEL, ARG_ENDPOINT, ARG_REQUEST_ID, ARG_INPUT, ARG_OUTPUT,
	ARG_CACHE_READ, ARG_CACHE_WRITE, ARG_QUANTITY, ARG_STATUS, ARG_DURATION, ARG_ERROR, ARG_CAMPAIGN,
	ARG_IP, ARG_USER_AGENT, ARG_METADATA, ARG_TIME, ARG_KEY, ARG_ERROR_CODE, ARG_TIER,
	ARG_OTHER_TOKENS, ARG_SUBTYPE = ARG_OTHER_TOKENS + TOKEN_CLASSES - TOKENS_CACHE_WRITE_1H,
	ARG_RESOURCE_TYPE, ARG_RESOURCE_ID
};

/* The first four classes of tokens are among the first arguments. */
static int
argument_of_class(TokenClass class)
{
	return class < TOKENS_CACHE_WRITE_1H ? ARG_INPUT + class : ARG_OTHER_TOKENS + class - TOKENS_CACHE_WRITE_1H;
}

int64
sum_of_tokens(const LlmCall *billed)
{
	int64		sum = 0;

	for (int class = 0; class < TOKEN_CLASSES; class++)
		if (pg_add_s64_overflow(sum, billed->tokens[class], &sum))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("tokens are too many")));
	return sum;
}

/* What failed was not delivered: its tokens are billed, but no request and no unit. */
static LlmCall
billed_arguments(FunctionCallInfo fcinfo, const char *status)
{
	LlmCall		billed = {.requests = strcmp(status, "success") == 0};

	for (int class = 0; class < TOKEN_CLASSES; class++)
		billed.tokens[class] = count_argument(fcinfo, argument_of_class(class), token_class_arguments[class]);
	billed.tier = tier_argument(fcinfo, ARG_TIER);
	return billed;
}

static ApiCall *
call_arguments(FunctionCallInfo fcinfo, const char *status)
{
	ApiCall    *call = palloc0(sizeof(ApiCall));

	call->provider = text_argument(fcinfo, ARG_PROVIDER, "provider");
	call->model = text_argument(fcinfo, ARG_MODEL, "model");
	call->endpoint = cut_text(PG_GETARG_DATUM(ARG_ENDPOINT), PG_ARGISNULL(ARG_ENDPOINT));
	call->request_id = cut_text(PG_GETARG_DATUM(ARG_REQUEST_ID), PG_ARGISNULL(ARG_REQUEST_ID));
	call->billed = billed_arguments(fcinfo, status);
	call->error_code = text_argument(fcinfo, ARG_ERROR_CODE, "error_code");
	call->campaign_id = text_argument(fcinfo, ARG_CAMPAIGN, "campaign_id");
	call->has_ip = !PG_ARGISNULL(ARG_IP);
	call->ip = PG_GETARG_DATUM(ARG_IP);
	call->user_agent = cut_text(PG_GETARG_DATUM(ARG_USER_AGENT), PG_ARGISNULL(ARG_USER_AGENT));
	return call;
}

static Event
event_of_call(const Installation *home, FunctionCallInfo fcinfo)
{
	Event		event = {"track_api_usage"};

	event.user_id = user_id_argument(home, fcinfo);
	event.usage_type = name_argument(fcinfo, ARG_SERVICE, "service_type");
	event.quantity = amount_argument(fcinfo, ARG_QUANTITY, "quantity", QUANTITY_DECIMALS);
	event.status = status_argument(fcinfo, ARG_STATUS);
	event.call = call_arguments(fcinfo, event.status);
	event.tokens = sum_of_tokens(&event.call->billed);
	event.events = 1;
	event.has_duration = !PG_ARGISNULL(ARG_DURATION);
	if (event.has_duration)
		event.duration_ms = count_argument(fcinfo, ARG_DURATION, "duration_ms");
	event.error_message = cut_text(PG_GETARG_DATUM(ARG_ERROR), PG_ARGISNULL(ARG_ERROR));
	event.event_subtype = text_argument(fcinfo, ARG_SUBTYPE, "event_subtype");
	event.resource_type = text_argument(fcinfo, ARG_RESOURCE_TYPE, "resource_type");
	event.resource_id = text_argument(fcinfo, ARG_RESOURCE_ID, "resource_id");
	event.metadata = metadata_argument(fcinfo, ARG_METADATA);
	take_time(fcinfo, ARG_TIME, &event);
	event.idempotency_key = text_argument(fcinfo, ARG_KEY, "idempotency_key");
	return event;
}

/* ---- what it costs ---- */

LlmCost
cost_of_event(const Installation *home, const Event *event)
{
	const ApiCall *call = event->call;
	bool		delivered = call->billed.requests > 0;

	return cost_of_call(home, call->provider, call->model, &call->billed,
						delivered ? event->quantity : num_zero, event->occurred_at);
}

void
price_call(const Installation *home, Event *event)
{
	LlmCost		cost;

	if (event->call->cost_is_given)
		return;
	cost = cost_of_event(home, event);
	event->cost = cost.total;
	event->call->input_cost = cost.input;
	event->call->output_cost = cost.output;
	event->call->price_id = cost.price_id;
}

/* ---- everything below only translates between SQL and the above ---- */

/* What was recorded the first time; nothing is known of an event that is gone. */
static void
cost_of_first(Event *event, int64 id)
{
	Event		first;

	event->cost = event->call->input_cost = event->call->output_cost = NULL;
	if (!find_event(event->user_id, id, &first) || first.call == NULL)
		return;
	event->cost = first.cost;
	event->call->input_cost = first.call->input_cost;
	event->call->output_cost = first.call->output_cost;
}

static Datum
costs_datum(FunctionCallInfo fcinfo, const Event *event, int64 id)
{
	TupleDesc	desc;
	Numeric		costs[] = {event->call->input_cost, event->call->output_cost, event->cost};
	Datum		values[5] = {Int64GetDatum(id)};
	bool		nulls[5] = {id == 0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != lengthof(values))
		elog(ERROR, "return type must be a row of an id, three costs and a boolean");
	for (int i = 0; i < lengthof(costs); i++)
	{
		nulls[i + 1] = costs[i] == NULL;
		values[i + 1] = NumericGetDatum(costs[i]);
	}
	values[4] = BoolGetDatum(event->cost != NULL);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

PG_FUNCTION_INFO_V1(ut_track_api_usage);
Datum
ut_track_api_usage(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Decision	decision;
	Event		event;
	Disguise	before;
	Datum		result;

	check_is_server(home);
	event = event_of_call(home, fcinfo);
	become_owner(home, &before);
	decision = record_use(home, &event, false);
	if (strcmp(decision.reason, "replayed") == 0)
		cost_of_first(&event, decision.id);
	MemoryContextSwitchTo(caller);
	result = costs_datum(fcinfo, &event, decision.id);
	become_caller(&before);
	return result;
}
