/*
 * usage_hold.c -- reserve, then commit or release.
 *
 * A reservation is decided like a use and stands in usage_reservations instead
 * of the counters; its commit records the event, at the instant at which it was
 * reserved, whatever the limits say by then.
 */
#include "compat.h"

#include "arguments.h"
#include "errors.h"
#include "locks.h"
#include "numbers.h"
#include "settings.h"
#include "usage.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define MAX_HOLD_DAYS 366

/* A day has 24 hours and a month 30 days here, as when intervals are compared. */
int64
hold_argument(FunctionCallInfo fcinfo, int n)
{
	const Interval *given;
	int64		days;
	int64		length = 0;

	check_not_null(PG_ARGISNULL(n), "expires_in");
	given = PG_GETARG_INTERVAL_P(n);
	days = (int64) given->month * DAYS_PER_MONTH + given->day + given->time / USECS_PER_DAY;
	if (days >= -MAX_HOLD_DAYS && days <= MAX_HOLD_DAYS)
		length = days * USECS_PER_DAY + given->time % USECS_PER_DAY;
	if (length <= 0 || length > MAX_HOLD_DAYS * USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"expires_in\" must be greater than zero and at most %d days", MAX_HOLD_DAYS)));
	return length;
}

static Event
event_to_reserve(const Installation *home, FunctionCallInfo fcinfo)
{
	Event		event = {"reserve_usage"};

	amount_arguments(home, fcinfo, &event, "usage_type");
	check_takes_something(&event);
	event.hold_for = hold_argument(fcinfo, 5);
	event.idempotency_key = text_argument(fcinfo, 6, "idempotency_key");
	return event;
}

/* The reservation, locked until we end; after the user's clock, as who forgets him does. */
static Hold
find_hold(const Installation *home, Datum user_id, int64 id)
{
	Hold		hold;

	lock_counting(home, user_id);
	if (!lock_hold(user_id, id, &hold))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("reservation " INT64_FORMAT " of this user does not exist", id)));
	if (hold.event.is_run)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("reservation " INT64_FORMAT " is that of a run", id),
				 errhint("Use succeed_run(), fail_run(), or cancel_run().")));
	return hold;
}

static bool
is_state(const Hold *hold, const char *state)
{
	return strcmp(hold->state, state) == 0;
}

static Decision
commit_hold(const Installation *home, Datum user_id, int64 id, Event *event)
{
	Hold		hold = find_hold(home, user_id, id);
	FirstAnswer answer = {0, NULL, NULL, num_from(-1), DT_NOEND};
	Decision	decision;

	if (is_state(&hold, "committed"))
		return decision_again(&hold.answer, true, hold.reason);
	if (!is_state(&hold, "held"))
		return decision_again(&answer, false, "expired");
	settle_hold(user_id, id, "committed");	/* so that it holds nothing any more */
	event->settles_hold = true;
	event->user_id = user_id;
	event->usage_type = hold.event.usage_type;
	event->occurred_at = hold.event.occurred_at;
	event->quantity = event->quantity != NULL ? event->quantity : hold.event.quantity;
	event->tokens = event->tokens >= 0 ? event->tokens : hold.event.tokens;
	event->cost = event->cost != NULL ? event->cost : hold.event.cost;
	decision = record_fact(home, event);
	answer = answer_to_keep(&decision);
	keep_answer_of_hold(user_id, id, decision.reason, &answer);
	return decision;
}

/* What is not given is as reserved: NULL, or -1 for tokens. */
static Event
event_to_commit(FunctionCallInfo fcinfo)
{
	Event		event = {"commit_usage"};

	if (!PG_ARGISNULL(2))
		event.quantity = amount_argument(fcinfo, 2, "quantity", QUANTITY_DECIMALS);
	event.tokens = PG_ARGISNULL(3) ? -1 : count_argument(fcinfo, 3, "tokens");
	if (!PG_ARGISNULL(4))
		event.cost = amount_argument(fcinfo, 4, "cost", MONEY_DECIMALS);
	event.metadata = metadata_argument(fcinfo, 5);
	event.status = "success";
	event.events = 1;
	event.has_own_time = true;
	return event;
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_reserve_usage);
Datum
ut_reserve_usage(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Decision	decision;
	Event		event;
	Disguise	before;
	Datum		result;

	check_is_server(home);
	event = event_to_reserve(home, fcinfo);
	become_owner(home, &before);
	decision = record_use(home, &event, true);
	MemoryContextSwitchTo(caller);
	result = decision_datum(fcinfo, &decision);
	become_caller(&before);
	return result;
}

PG_FUNCTION_INFO_V1(ut_commit_usage);
Datum
ut_commit_usage(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Datum		user_id;
	Decision	decision;
	Event		event;
	Disguise	before;
	Datum		result;

	check_is_server(home);
	user_id = user_id_argument(home, fcinfo);
	check_not_null(PG_ARGISNULL(1), "reservation_id");
	event = event_to_commit(fcinfo);
	become_owner(home, &before);
	decision = commit_hold(home, user_id, PG_GETARG_INT64(1), &event);
	MemoryContextSwitchTo(caller);
	result = decision_datum(fcinfo, &decision);
	become_caller(&before);
	return result;
}

PG_FUNCTION_INFO_V1(ut_release_usage);
Datum
ut_release_usage(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id;
	Hold		hold;
	Disguise	before;

	check_is_server(home);
	user_id = user_id_argument(home, fcinfo);
	check_not_null(PG_ARGISNULL(1), "reservation_id");
	become_owner(home, &before);
	hold = find_hold(home, user_id, PG_GETARG_INT64(1));
	if (is_state(&hold, "held"))
		settle_hold(user_id, hold.event.id, "released");
	become_caller(&before);
	PG_RETURN_VOID();
}
