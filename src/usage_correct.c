/*
 * usage_correct.c -- mending mistakes, by events that take back or adjust.
 *
 * Nothing recorded is ever changed.  A reversal counts where the event counted,
 * with negative amounts; an adjustment counts for its one limit only.
 */
#include "compat.h"

#include "alerts.h"
#include "arguments.h"
#include "credits.h"
#include "errors.h"
#include "locks.h"
#include "numbers.h"
#include "plans.h"
#include "settings.h"
#include "usage.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static Numeric
negative(Numeric value)
{
	return num_sub(num_from(0), value);
}

/* ---- an event ---- */

static void
check_reversible(bool found, const Event *event, int64 id)
{
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event " INT64_FORMAT " of this user does not exist", id)));
	if (is_correction(event))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event " INT64_FORMAT " is a correction", id)));
}

static void
check_quantity_left(const Event *left, Numeric quantity)
{
	if (num_cmp(quantity, left->quantity) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"quantity\" is more than is left of the event"),
				 errdetail("%s is left.", num_text(left->quantity))));
}

static bool
nothing_left(const Event *left)
{
	return left->events == 0 && takes_nothing(left);
}

/* A part of the quantity leaves tokens, cost and the event itself. */
static void
keep_only_quantity(Event *event, Numeric quantity)
{
	event->quantity = quantity;
	event->tokens = 0;
	event->cost = num_from(0);
	event->events = 0;
	if (event->call != NULL)
		event->call->input_cost = event->call->output_cost = NULL;
}

static void
turn_into_correction(Event *event, char *reason)
{
	event->corrects = event->id;
	event->counted_status = event->status;
	event->status = "correction";
	event->quantity = negative(event->quantity);
	event->tokens = -event->tokens;
	event->cost = negative(event->cost);
	event->events = -event->events;
	event->reason = reason;
	event->has_own_time = true;
	if (event->call != NULL && event->call->input_cost != NULL)
		event->call->input_cost = negative(event->call->input_cost);
	if (event->call != NULL && event->call->output_cost != NULL)
		event->call->output_cost = negative(event->call->output_cost);
}

static void
reverse(const Installation *home, Datum user_id, int64 id, Numeric quantity, char *reason)
{
	Event		event;

	lock_counting(home, user_id);
	check_reversible(lock_event(user_id, id, &event), &event, id);
	if (quantity != NULL)
		check_quantity_left(&event, quantity);
	if (nothing_left(&event))
		return;
	refund_event(home, &event, quantity != NULL ? quantity : event.quantity);
	if (quantity != NULL && num_cmp(quantity, event.quantity) < 0)
		keep_only_quantity(&event, quantity);
	turn_into_correction(&event, reason);
	record_fact(home, &event);
}

/* ---- a limit ---- */

static const UsageLimit *
limit_to_adjust(const char *limit_type)
{
	const UsageLimit *limit = find_limit(current_config(), limit_type);

	if (limit == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UT_UNREGISTERED),
				 errmsg("usage limit \"%s\" does not exist", limit_type)));
	if (!limit_is_counted(limit))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("usage limit \"%s\" is of a kind that is not counted", limit_type),
				 limit_is_gauge(limit) ? errhint("The level of a gauge is set by set_usage_level().") : 0));
	return limit;
}

static int64
whole_number(Numeric value)
{
	if (!num_is_whole(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"used\" must be a whole number for this limit")));
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value)));
}

static Stakes
lock_counters(const UsageLimit *limit, Datum user_id, TimestampTz at)
{
	UserTerms	terms = known_terms(user_id, at);
	Stakes		stakes = {palloc(sizeof(Stake)), 1};

	stakes.all[0] = stake_in(limit, &terms, at);
	read_counters(user_id, at, at, &stakes, true);
	take_from_counters(user_id, &stakes, TAKE_ALONE);
	return stakes;
}

static Event
adjusting_event(const Installation *home, Datum user_id, const UsageLimit *limit, TimestampTz at,
				Numeric delta, char *reason)
{
	Event		event = {"adjust_usage"};

	event.user_id = user_id;
	event.usage_type = limit->usage_type != NULL ? limit->usage_type : "*";
	event.status = "correction";
	event.quantity = limit->measure == MEASURE_QUANTITY ? delta : num_from(0);
	event.tokens = limit->measure == MEASURE_TOKENS ? whole_number(delta) : 0;
	event.events = limit->measure == MEASURE_EVENTS ? whole_number(delta) : 0;
	event.cost = limit->measure == MEASURE_COST ? delta : num_zero;
	event.corrected_limit = limit->id;
	event.reason = reason;
	event.occurred_at = at;
	event.id = next_event_id(home);
	return event;
}

/*
 * Lowers what was used in a sliding window, each part of it at its own instant: as one
 * event it would still be there when what it takes back has left.  The latest first.
 */
static void
take_back(const Installation *home, Datum user_id, const Stake *stake, Numeric left, char *reason)
{
	for (int i = stake->nbuckets - 1; i >= 0 && num_sign(left) > 0; i--)
	{
		const Bucket *bucket = &stake->buckets[i];
		Numeric		part = num_cmp(bucket->used, left) < 0 ? bucket->used : left;
		Event		event;

		if (bucket->is_held || num_sign(part) <= 0)
			continue;
		event = adjusting_event(home, user_id, stake->limit, bucket->at, negative(part), reason);
		insert_event(&event);
		left = num_sub(left, part);
	}
}

static void
adjust(const Installation *home, Datum user_id, const char *limit_type, Numeric used,
	   TimestampTz at, char *reason)
{
	const UsageLimit *limit;
	Stakes		stakes;
	Numeric		delta;
	Event		event;

	lock_counting(home, user_id);
	limit = limit_to_adjust(limit_type);
	if (limit->measure == MEASURE_EVENTS || limit->measure == MEASURE_TOKENS)
		(void) whole_number(used);
	stakes = lock_counters(limit, user_id, at);
	delta = num_sub(used, stakes.all[0].used);
	if (num_sign(delta) == 0)
		return;
	if (limit_is_sliding(limit) && num_sign(delta) < 0)
	{
		take_back(home, user_id, &stakes.all[0], negative(delta), reason);
		return;
	}
	event = adjusting_event(home, user_id, limit, at, delta, reason);
	stakes.all[0].amount = delta;
	for (int i = 0; i < stakes.nneighbours; i++)
		stakes.neighbours[i].amount = delta;
	add_to_counters(user_id, &stakes);
	insert_event(&event);
	note_alerts(user_id, reached_alerts(user_id, &stakes), event.id);
	note_folds(user_id, &stakes);
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_reverse_usage);
Datum
ut_reverse_usage(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id;
	Numeric		quantity = NULL;
	char	   *reason;
	Disguise	before;

	check_is_admin_or_server(home);
	user_id = user_id_argument(home, fcinfo);
	check_not_null(PG_ARGISNULL(1), "event_id");
	if (!PG_ARGISNULL(2))
		quantity = amount_argument(fcinfo, 2, "quantity", QUANTITY_DECIMALS);
	if (quantity != NULL && num_sign(quantity) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"quantity\" must be greater than zero")));
	reason = text_argument(fcinfo, 3, "reason");
	become_owner(home, &before);
	if (setting_enabled)
		reverse(home, user_id, PG_GETARG_INT64(1), quantity, reason);
	become_caller(&before);
	PG_RETURN_VOID();
}

static TimestampTz
instant_argument(FunctionCallInfo fcinfo, int n)
{
	TimestampTz at;

	if (PG_ARGISNULL(n))
		return usage_now();
	at = PG_GETARG_TIMESTAMPTZ(n);
	check_finite_time(at, "at");
	check_event_time(at);
	return at;
}

PG_FUNCTION_INFO_V1(ut_adjust_usage);
Datum
ut_adjust_usage(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id;
	char	   *limit_type;
	Numeric		used;
	TimestampTz at;
	char	   *reason;
	Disguise	before;

	check_is_admin_or_server(home);
	user_id = user_id_argument(home, fcinfo);
	limit_type = name_argument(fcinfo, 1, "limit_type");
	used = amount_argument(fcinfo, 2, "used", QUANTITY_DECIMALS);
	at = instant_argument(fcinfo, 3);
	reason = text_argument(fcinfo, 4, "reason");
	become_owner(home, &before);
	if (setting_enabled)
		adjust(home, user_id, limit_type, used, at, reason);
	become_caller(&before);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(ut_reset_user_usage);
Datum
ut_reset_user_usage(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id;
	char	   *limit_type;
	Disguise	before;

	check_is_admin_or_server(home);
	user_id = user_id_argument(home, fcinfo);
	limit_type = name_argument(fcinfo, 1, "limit_type");
	become_owner(home, &before);
	if (setting_enabled)
		adjust(home, user_id, limit_type, num_from(0), usage_now(), NULL);
	become_caller(&before);
	PG_RETURN_VOID();
}
