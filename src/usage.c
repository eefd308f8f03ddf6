/*
 * usage.c -- the door: may it, and make it happen.
 *
 * The only writer of events and counters.  One use is, in one transaction:
 * locks (see locks.c), terms, decision, counters, key, event.  What the
 * decision refuses on sight costs no write and no row lock.
 */
#include "compat.h"

#include "arguments.h"
#include "errors.h"
#include "locks.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "numbers.h"
#include "settings.h"
#include "plans.h"
#include "usage.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define MAX_METADATA_BYTES 8192
#define MAX_ERROR_CHARACTERS 1000

/* ---- the door, as its owner ---- */

static void
check_usage_type(const Config *config, const char *usage_type)
{
	if (!is_usage_type(config, usage_type))
		ereport(ERROR,
				(errcode(ERRCODE_UT_UNREGISTERED),
				 errmsg("usage type \"%s\" is not registered", usage_type),
				 errhint("Register it with define_usage_type(), or define a limit on it.")));
}

static Stakes
weigh(const Config *config, const UserTerms *terms, const Event *event, bool afresh)
{
	Stakes		stakes = stakes_of_event(config, terms, event);

	read_counters(event->user_id, event->occurred_at, &stakes, afresh);
	return stakes;
}

/*
 * One try.  False: somebody was faster (the user's first use, the last unit of
 * a limit, or this key), so look again.
 */
static bool
try_to_record(const Installation *home, Event *event, bool may_refuse, Decision *decision)
{
	const Config *config = current_config();
	UserTerms	terms;
	Stakes		stakes;
	Stakes		changing;
	FirstAnswer answer;

	check_usage_type(config, event->usage_type);
	if (event->idempotency_key != NULL && find_first_answer(event, &answer))
	{
		*decision = decision_replayed(&answer);
		return true;
	}

	terms = terms_of_user(event->user_id, usage_now(), true);
	/* only now: a use cannot lie before the anchor that another first use set */
	if (!event->has_own_time)
		event->occurred_at = usage_now();
	if (!terms.is_known)
		terms.anchor = event->occurred_at;
	stakes = weigh(config, &terms, event, true);
	*decision = decide(&stakes, false);
	if (!decision->allowed && may_refuse)
		return event->idempotency_key == NULL || key_is_free(event);

	if (!terms.is_known && !note_first_use(event->user_id, event->occurred_at))
		return false;
	changing = stakes_that_change(&stakes);
	if (!take_from_counters(event->user_id, &changing, may_refuse))
		return false;
	/* the counters may have moved since they were read */
	for (int i = 0, k = 0; i < stakes.n && k < changing.n; i++)
		if (stakes.all[i].limit == changing.all[k].limit)
			stakes.all[i].used = changing.all[k++].used;

	*decision = decide(&stakes, true);
	decision->allowed = true;
	decision->id = event->id = next_event_id(home);
	answer = answer_to_keep(decision);
	if (event->idempotency_key != NULL && !keep_first_answer(event, &answer))
	{
		return_to_counters(event->user_id, &changing);
		return false;
	}
	event->overage = overage_of(&stakes);
	insert_event(event);
	return true;
}

static Decision
record(const Installation *home, Event *event, bool may_refuse)
{
	Decision	decision;

	if (!setting_enabled)
	{
		check_usage_type(current_config(), event->usage_type);
		return decision_not_made();
	}
	lock_counting(home, event->user_id);
	while (!try_to_record(home, event, may_refuse, &decision))
		CHECK_FOR_INTERRUPTS();
	return decision;
}

/* ---- arguments of consume_usage, require_usage and track_usage ---- */

/* Decoration is cut, never a reason to refuse a fact. */
static char *
cut_text(Datum value, bool isnull)
{
	text	   *full;
	int			characters;
	int			bytes;

	if (isnull)
		return NULL;
	full = DatumGetTextPP(value);
	characters = pg_mbstrlen_with_len(VARDATA_ANY(full), VARSIZE_ANY_EXHDR(full));
	if (characters <= MAX_ERROR_CHARACTERS)
		return text_to_cstring(full);
	bytes = pg_mbcharcliplen(VARDATA_ANY(full), VARSIZE_ANY_EXHDR(full), MAX_ERROR_CHARACTERS);
	return psprintf("%.*s ... (cut from %d characters)", bytes, VARDATA_ANY(full), characters);
}

static Jsonb *
cut_metadata(FunctionCallInfo fcinfo, int n)
{
	Jsonb	   *full;
	char	   *mark;

	if (PG_ARGISNULL(n))
		return NULL;
	full = PG_GETARG_JSONB_P(n);
	if (VARSIZE(full) <= MAX_METADATA_BYTES)
		return full;
	mark = psprintf("{\"cut_from_bytes\": %u}", (unsigned) VARSIZE(full));
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(mark)));
}

static void
take_amounts(const Installation *home, FunctionCallInfo fcinfo, Event *event, const char *name)
{
	event->user_id = user_id_argument(home, fcinfo);
	event->usage_type = name_argument(fcinfo, 1, name);
	event->quantity = amount_argument(fcinfo, 2, "quantity", QUANTITY_DECIMALS);
	event->tokens = count_argument(fcinfo, 3, "tokens");
	event->cost = amount_argument(fcinfo, 4, "cost", MONEY_DECIMALS);
}

static bool
takes_nothing(const Event *event)
{
	return num_sign(event->quantity) == 0 && event->tokens == 0 && num_sign(event->cost) == 0;
}

static void
check_takes_something(const Event *event)
{
	if (takes_nothing(event))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("quantity, tokens, and cost must not all be zero")));
}

static Event
event_to_consume(const Installation *home, FunctionCallInfo fcinfo, const char *function)
{
	Event		event = {function};

	take_amounts(home, fcinfo, &event, "usage_type");
	check_takes_something(&event);
	event.status = "success";
	event.idempotency_key = text_argument(fcinfo, 5, "idempotency_key");
	event.event_subtype = text_argument(fcinfo, 6, "event_subtype");
	event.resource_type = text_argument(fcinfo, 7, "resource_type");
	event.resource_id = text_argument(fcinfo, 8, "resource_id");
	event.metadata = cut_metadata(fcinfo, 9);
	return event;
}

static const char *
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

static void
take_time(FunctionCallInfo fcinfo, int n, Event *event)
{
	event->has_own_time = !PG_ARGISNULL(n);
	if (!event->has_own_time)
		return;
	event->occurred_at = PG_GETARG_TIMESTAMPTZ(n);
	check_finite_time(event->occurred_at, "occurred_at");
	check_event_time(event->occurred_at);
}

static Event
event_to_track(const Installation *home, FunctionCallInfo fcinfo)
{
	Event		event = {"track_usage"};

	take_amounts(home, fcinfo, &event, "usage_type");
	event.status = status_argument(fcinfo, 5);
	event.event_subtype = text_argument(fcinfo, 6, "event_subtype");
	event.has_duration = !PG_ARGISNULL(7);
	if (event.has_duration)
		event.duration_ms = count_argument(fcinfo, 7, "duration_ms");
	event.error_message = cut_text(PG_GETARG_DATUM(8), PG_ARGISNULL(8));
	event.resource_type = text_argument(fcinfo, 9, "resource_type");
	event.resource_id = text_argument(fcinfo, 10, "resource_id");
	event.parent_resource_id = text_argument(fcinfo, 11, "parent_resource_id");
	event.metadata = cut_metadata(fcinfo, 12);
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
	decision = record(home, &event, true);
	if (raise && !decision.allowed)
		raise_limit_reached(&decision);
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
	decision = record(home, &event, false);
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
	Stakes		stakes = {NULL};

	if (limit == NULL)
	{
		check_usage_type(config, name);
		return weigh(config, terms, event, false);
	}
	stakes.all = palloc(sizeof(Stake));
	stakes.all[stakes.n++] = stake_in(limit, terms, event->occurred_at);
	if (limit_counts_status(limit, event->status))
		stakes.all[0].amount = amount_of(limit, event);
	read_counters(event->user_id, event->occurred_at, &stakes, false);
	return stakes;
}

PG_FUNCTION_INFO_V1(ut_check_usage_limit);
Datum
ut_check_usage_limit(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Event		event = {"check_usage_limit"};
	UserTerms	terms;
	Stakes		stakes;
	Decision	decision;
	Disguise	before;
	Datum		result;

	check_may_act_for(home, fcinfo);
	take_amounts(home, fcinfo, &event, "name");
	event.status = "success";
	event.takes_nothing = takes_nothing(&event);
	event.occurred_at = usage_now();
	become_owner(home, &before);
	terms = terms_of_user(event.user_id, event.occurred_at, false);
	stakes = stakes_by_name(current_config(), &terms, &event, event.usage_type);
	decision = setting_enabled ? decide(&stakes, false) : decision_not_made();
	MemoryContextSwitchTo(caller);
	result = decision_datum(fcinfo, &decision);
	become_caller(&before);
	return result;
}
