/*
 * runs_calls.c -- start_run(), update_run(), succeed_run(), fail_run(), cancel_run() and
 * record_delivery(): for servers.
 */
#include "compat.h"

#include "arguments.h"
#include "errors.h"
#include "numbers.h"
#include "runs.h"
#include "users.h"
#include "utils/builtins.h"

#define MAX_CONFIGURATION_BYTES 65536

/* ---- what a run is about ---- */

/* Half a configuration would be none: it is taken whole, or refused. */
static Jsonb *
configuration_argument(FunctionCallInfo fcinfo, int n)
{
	Jsonb	   *full;

	if (PG_ARGISNULL(n))
		return NULL;
	full = redact(PG_GETARG_JSONB_P(n));
	if (VARSIZE(full) > MAX_CONFIGURATION_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"configuration_snapshot\" is too large"),
				 errdetail("Its stored form may have up to %d bytes.", MAX_CONFIGURATION_BYTES)));
	return full;
}

static bool
flag_argument(FunctionCallInfo fcinfo, int n, const char *argument)
{
	check_not_null(PG_ARGISNULL(n), argument);
	return PG_GETARG_BOOL(n);
}

static Event
event_to_start(const Installation *home, FunctionCallInfo fcinfo)
{
	Event		event = {"start_run"};

	event.user_id = user_id_argument(home, fcinfo);
	event.usage_type = name_argument(fcinfo, 1, "usage_type");
	event.hold_for = hold_argument(fcinfo, 2);
	event.events = flag_argument(fcinfo, 3, "counts") ? 1 : 0;
	event.quantity = num_from(event.events);
	event.resource_type = text_argument(fcinfo, 4, "resource_type");
	event.resource_id = text_argument(fcinfo, 5, "resource_id");
	event.tokens = count_argument(fcinfo, 9, "tokens");
	event.cost = amount_argument(fcinfo, 10, "cost", MONEY_DECIMALS);
	event.idempotency_key = text_argument(fcinfo, 11, "idempotency_key");
	event.status = "success";
	event.is_run = true;
	return event;
}

static RunSubject
subject_arguments(FunctionCallInfo fcinfo)
{
	RunSubject	subject = {
		.configuration_id = text_argument(fcinfo, 6, "configuration_id"),
		.configuration = configuration_argument(fcinfo, 7),
		.progress = metadata_argument(fcinfo, 8)
	};

	return subject;
}

/* ---- what it used ---- */

/* Where the arguments stand that all ends of a run have. */
typedef struct UsageArguments
{
	int			call;			/* provider, model, four classes of tokens, cost */
	int			rest;			/* progress, metadata, tier, the other classes */
} UsageArguments;

#define CLASSES_WITH_CALL TOKENS_CACHE_WRITE_1H

static LlmCall
billed_arguments(FunctionCallInfo fcinfo, UsageArguments at, const char *status)
{
	LlmCall		billed = {.requests = strcmp(status, "success") == 0};

	for (int class = 0; class < TOKEN_CLASSES; class++)
	{
		int			n = class < CLASSES_WITH_CALL ? at.call + 2 + class : at.rest + 3 + class - CLASSES_WITH_CALL;

		billed.tokens[class] = count_argument(fcinfo, n, token_class_arguments[class]);
	}
	billed.tier = tier_argument(fcinfo, at.rest + 2);
	return billed;
}

/* Of no model and no tokens the cost is known: there was none. */
static void
take_cost(FunctionCallInfo fcinfo, int n, Event *event)
{
	ApiCall    *call = event->call;

	if (!PG_ARGISNULL(n))
		event->cost = amount_argument(fcinfo, n, "cost", MONEY_DECIMALS);
	else if (call->provider == NULL && call->model == NULL && event->tokens == 0)
		event->cost = num_zero;
	call->cost_is_given = event->cost != NULL;
}

static Event
event_of_end(FunctionCallInfo fcinfo, const char *function, UsageArguments at, const char *status)
{
	Event		event = {function};
	ApiCall    *call = palloc0(sizeof(ApiCall));

	call->provider = text_argument(fcinfo, at.call, "provider");
	call->model = text_argument(fcinfo, at.call + 1, "model");
	call->billed = billed_arguments(fcinfo, at, status);
	event.call = call;
	event.tokens = sum_of_tokens(&call->billed);
	take_cost(fcinfo, at.call + 6, &event);
	event.metadata = metadata_argument(fcinfo, at.rest + 1);
	event.status = status;
	return event;
}

/* ---- everything below only translates between SQL and the above ---- */

static int64
run_id_argument(FunctionCallInfo fcinfo)
{
	check_not_null(PG_ARGISNULL(1), "run_id");
	return PG_GETARG_INT64(1);
}

PG_FUNCTION_INFO_V1(ut_start_run);
Datum
ut_start_run(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Event		event;
	RunSubject	subject;
	Decision	decision;
	Disguise	before;
	Datum		result;

	check_is_server(home);
	event = event_to_start(home, fcinfo);
	subject = subject_arguments(fcinfo);
	become_owner(home, &before);
	decision = start_run(home, &event, &subject);
	MemoryContextSwitchTo(caller);
	result = decision_datum(fcinfo, &decision);
	become_caller(&before);
	return result;
}

PG_FUNCTION_INFO_V1(ut_update_run);
Datum
ut_update_run(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Datum		user_id;
	int64		id;
	Jsonb	   *progress;
	int64		hold_for;
	Disguise	before;
	Datum		result;

	check_is_server(home);
	user_id = user_id_argument(home, fcinfo);
	id = run_id_argument(fcinfo);
	progress = metadata_argument(fcinfo, 2);
	hold_for = PG_ARGISNULL(3) ? 0 : hold_argument(fcinfo, 3);
	become_owner(home, &before);
	update_run(home, user_id, id, hold_for, progress);
	result = run_datum(home, fcinfo, caller, user_id, id);
	become_caller(&before);
	return result;
}

static Datum
end(FunctionCallInfo fcinfo, const Installation *home, Event *event, const RunEnd *run_end)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		user_id = user_id_argument(home, fcinfo);
	int64		id = run_id_argument(fcinfo);
	Disguise	before;
	Datum		result;

	become_owner(home, &before);
	end_run(home, user_id, id, event, run_end);
	result = run_datum(home, fcinfo, caller, user_id, id);
	become_caller(&before);
	return result;
}

PG_FUNCTION_INFO_V1(ut_succeed_run);
Datum
ut_succeed_run(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	UsageArguments at = {.call = 2, .rest = 11};
	RunEnd		run_end = {"success"};
	Event		event;

	check_is_server(home);
	event = event_of_end(fcinfo, "succeed_run", at, run_end.status);
	if (!PG_ARGISNULL(9))
		run_end.output = text_to_cstring(PG_GETARG_TEXT_PP(9));
	run_end.output_format = text_argument(fcinfo, 10, "output_format");
	run_end.progress = metadata_argument(fcinfo, at.rest);
	return end(fcinfo, home, &event, &run_end);
}

PG_FUNCTION_INFO_V1(ut_fail_run);
Datum
ut_fail_run(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	UsageArguments at = {.call = 4, .rest = 11};
	RunEnd		run_end = {"failed"};
	Event		event;

	check_is_server(home);
	event = event_of_end(fcinfo, "fail_run", at, run_end.status);
	event.error_message = cut_text(PG_GETARG_DATUM(2), PG_ARGISNULL(2));
	event.call->error_code = text_argument(fcinfo, 3, "error_code");
	run_end.progress = metadata_argument(fcinfo, at.rest);
	return end(fcinfo, home, &event, &run_end);
}

PG_FUNCTION_INFO_V1(ut_cancel_run);
Datum
ut_cancel_run(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	UsageArguments at = {.call = 2, .rest = 9};
	RunEnd		run_end = {"cancelled"};
	Event		event;

	check_is_server(home);
	event = event_of_end(fcinfo, "cancel_run", at, run_end.status);
	run_end.progress = metadata_argument(fcinfo, at.rest);
	return end(fcinfo, home, &event, &run_end);
}

static Delivery
delivery_arguments(FunctionCallInfo fcinfo)
{
	Delivery	delivery = {.delivered = flag_argument(fcinfo, 2, "delivered")};

	delivery.has_response = !PG_ARGISNULL(3);
	if (delivery.has_response)
		delivery.response_status = DatumGetInt32(number_argument(fcinfo, 3, "response_status", 100, 599));
	delivery.error = cut_text(PG_GETARG_DATUM(4), PG_ARGISNULL(4));
	delivery.delivery_id = text_argument(fcinfo, 5, "delivery_id");
	return delivery;
}

PG_FUNCTION_INFO_V1(ut_record_delivery);
Datum
ut_record_delivery(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Datum		user_id;
	int64		id;
	Delivery	delivery;
	Disguise	before;
	Datum		result;

	check_is_server(home);
	user_id = user_id_argument(home, fcinfo);
	id = run_id_argument(fcinfo);
	delivery = delivery_arguments(fcinfo);
	become_owner(home, &before);
	record_delivery(home, user_id, id, &delivery);
	result = run_datum(home, fcinfo, caller, user_id, id);
	become_caller(&before);
	return result;
}
