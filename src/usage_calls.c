/*
 * usage_calls.c -- check_*, consume_*, require_* and track_*.
 */
#include "compat.h"

#include "arguments.h"
#include "credits.h"
#include "errors.h"
#include "settings.h"
#include "usage.h"
#include "users.h"
#include "utils/timestamp.h"

static Event
event_to_consume(const Installation *home, FunctionCallInfo fcinfo, const char *function)
{
	Event		event = {function};

	amount_arguments(home, fcinfo, &event, "usage_type");
	check_takes_something(&event);
	event.idempotency_key = text_argument(fcinfo, 5, "idempotency_key");
	event.event_subtype = text_argument(fcinfo, 6, "event_subtype");
	event.resource_type = text_argument(fcinfo, 7, "resource_type");
	event.resource_id = text_argument(fcinfo, 8, "resource_id");
	event.metadata = metadata_argument(fcinfo, 9);
	return event;
}

const char *
status_argument(FunctionCallInfo fcinfo, int n)
{
	static const char *const statuses[] = {"success", "failed", "cancelled", "rate_limited"};
	char	   *given = required_text_argument(fcinfo, n, "status");

	for (int i = 0; i < lengthof(statuses); i++)
		if (strcmp(given, statuses[i]) == 0)
			return statuses[i];
	if (strcmp(given, "error") == 0)
		return "failed";
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"status\" must be success, failed, cancelled, or rate_limited")));
	return NULL;
}

void
take_time(FunctionCallInfo fcinfo, int n, Event *event)
{
	event->has_own_time = !PG_ARGISNULL(n);
	if (!event->has_own_time)
		return;
	event->occurred_at = PG_GETARG_TIMESTAMPTZ(n);
	check_finite_time(event->occurred_at, "occurred_at");
	check_event_time(event->occurred_at);
}

Event
event_to_track(const Installation *home, FunctionCallInfo fcinfo)
{
	Event		event = {"track_usage"};

	amount_arguments(home, fcinfo, &event, "usage_type");
	event.status = status_argument(fcinfo, 5);
	event.event_subtype = text_argument(fcinfo, 6, "event_subtype");
	event.has_duration = !PG_ARGISNULL(7);
	if (event.has_duration)
		event.duration_ms = count_argument(fcinfo, 7, "duration_ms");
	event.error_message = cut_text(PG_GETARG_DATUM(8), PG_ARGISNULL(8));
	event.resource_type = text_argument(fcinfo, 9, "resource_type");
	event.resource_id = text_argument(fcinfo, 10, "resource_id");
	event.parent_resource_id = text_argument(fcinfo, 11, "parent_resource_id");
	event.metadata = metadata_argument(fcinfo, 12);
	take_time(fcinfo, 13, &event);
	event.idempotency_key = text_argument(fcinfo, 14, "idempotency_key");
	return event;
}

/* ---- everything below only translates between SQL and the above ---- */

static Datum
consume(FunctionCallInfo fcinfo, const char *function, bool raise)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Decision	decision;
	Event		event;
	Disguise	before;
	Datum		result;

	check_may_act_for(home, fcinfo);
	event = event_to_consume(home, fcinfo, function);
	become_owner(home, &before);
	decision = record_use(home, &event, true);
	if (raise && !decision.allowed)
		raise_denial(&decision);
	MemoryContextSwitchTo(caller);
	result = decision_datum(fcinfo, &decision);
	become_caller(&before);
	return result;
}

PG_FUNCTION_INFO_V1(ut_consume_usage);
Datum
ut_consume_usage(PG_FUNCTION_ARGS)
{
	return consume(fcinfo, "consume_usage", false);
}

PG_FUNCTION_INFO_V1(ut_require_usage);
Datum
ut_require_usage(PG_FUNCTION_ARGS)
{
	return consume(fcinfo, "require_usage", true);
}

PG_FUNCTION_INFO_V1(ut_track_usage);
Datum
ut_track_usage(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Decision	decision;
	Event		event;
	Disguise	before;

	check_is_server(home);
	event = event_to_track(home, fcinfo);
	become_owner(home, &before);
	decision = record_use(home, &event, false);
	become_caller(&before);
	if (decision.id == 0)
		PG_RETURN_NULL();		/* nothing is recorded while usage_tracking.enabled is off */
	PG_RETURN_INT64(decision.id);
}

/* The one limit of that name, or all that bind the type of that name. */
static Stakes
stakes_by_name(const Config *config, const UserTerms *terms, Event *event, const char *name)
{
	const UsageLimit *limit = find_limit(config, name);
	Stakes		stakes = {.is_known = terms->is_known};

	if (limit == NULL)
	{
		check_usage_type(config, name);
		return weigh(config, terms, event, false);
	}
	stakes.all = palloc(sizeof(Stake));
	stakes.all[stakes.n++] = stake_in(limit, terms, event->occurred_at);
	if (limit_is_gauge(limit) || limit_counts_status(limit, event->status))
		stakes.all[0].amount = amount_of(limit, event);
	if (limit_is_gauge(limit))
		read_levels(event->user_id, &stakes, false);
	else if (limit_is_counted(limit))
		read_counters(event->user_id, event->occurred_at, event->occurred_at, &stakes, false);
	return stakes;
}

PG_FUNCTION_INFO_V1(ut_check_usage_limit);
Datum
ut_check_usage_limit(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Event		event = {"check_usage_limit"};
	Numeric		price;
	UserTerms	terms;
	Stakes		stakes;
	Decision	decision;
	Disguise	before;
	Datum		result;

	check_may_act_for(home, fcinfo);
	amount_arguments(home, fcinfo, &event, "name");
	event.events = takes_nothing(&event) ? 0 : 1;
	event.occurred_at = usage_now();
	become_owner(home, &before);
	terms = terms_of_user(event.user_id, event.occurred_at, false);
	stakes = stakes_by_name(current_config(), &terms, &event, event.usage_type);
	decision = setting_enabled ? decide(&stakes, false) : decision_not_made();
	price = setting_enabled ? credit_cost_of(&event) : NULL;	/* none, where a limit was named */
	if (price != NULL)
		deny_without_credits(home, &event, &terms, price, false, &decision);
	MemoryContextSwitchTo(caller);
	result = decision_datum(fcinfo, &decision);
	become_caller(&before);
	return result;
}
