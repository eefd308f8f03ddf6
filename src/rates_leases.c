/*
 * rates_leases.c -- places that are held, each until it is given back, expires or
 * loses its session.
 */
#include "compat.h"

#include "access/xact.h"
#include "arguments.h"
#include "errors.h"
#include "faults.h"
#include "locks.h"
#include "miscadmin.h"
#include "numbers.h"
#include "rates.h"
#include "settings.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* How long it is to last: so many microseconds, or for 0 as long as the session. */
typedef struct Term
{
	int64		length;
	SessionMark holder;
} Term;

static Term
term_argument(FunctionCallInfo fcinfo, int n)
{
	Term		term = {0};

	if (PG_ARGISNULL(n))
		term.holder = mark_of_this_session();
	else
		term.length = hold_argument(fcinfo, n);
	return term;
}

static TimestampTz
end_of(const Term *term)
{
	return term->length == 0 ? DT_NOEND : usage_now() + term->length;
}

/* A lease as a request that a key can stand for. */
static Event
request_of_lease(Datum user_id, char *limit_type, char *idempotency_key)
{
	Event		request = {"acquire_lease"};

	request.user_id = user_id;
	request.usage_type = limit_type;
	request.quantity = num_from(1);
	request.idempotency_key = idempotency_key;
	return request;
}

static Decision
answer_to_repeat(Datum user_id, const FirstAnswer *answer)
{
	bool		is_live = lease_is_live(user_id, answer->event_id);

	return decision_again(answer, is_live, is_live ? "replayed" : "expired");
}

/* One try.  False: somebody was faster with this key, so look again. */
static bool
try_to_acquire(const Installation *home, const Event *request, const Term *term, Decision *decision)
{
	Datum		user_id = request->user_id;
	FirstAnswer answer;
	Stakes		stakes;

	if (request->idempotency_key != NULL && find_first_answer(request, &answer))
	{
		*decision = answer_to_repeat(user_id, &answer);
		return true;
	}
	stakes = weigh_gauge(user_id, request->usage_type, num_from(1));
	*decision = decide(&stakes, false);
	if (decision->allowed)
	{
		stakes = weigh_gauge_locked(user_id, request->usage_type, num_from(1));
		*decision = decide(&stakes, false);
	}
	if (!decision->allowed)
		return request->idempotency_key == NULL || key_is_free(request);

	*decision = decide(&stakes, true);
	decision->id = next_lease_id(home);
	answer = answer_to_keep(decision);
	if (request->idempotency_key != NULL && !keep_first_answer(request, &answer))
		return false;
	fault("lease");
	bury_leases(user_id, request->usage_type);
	write_lease(user_id, decision->id, request->usage_type, end_of(term), term->holder);
	fault("lease written");
	return true;
}

static Decision
acquire(const Installation *home, const Event *request, const Term *term)
{
	Decision	decision;

	(void) find_gauge(request->usage_type);
	if (!setting_enabled)
		return decision_not_made();
	lock_user(home, request->user_id);
	while (!try_to_acquire(home, request, term, &decision))
		CHECK_FOR_INTERRUPTS();
	return decision;
}

static char *
find_lease(Datum user_id, int64 id)
{
	char	   *limit_type = limit_of_lease(user_id, id);

	if (limit_type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lease " INT64_FORMAT " of this user does not exist", id)));
	return limit_type;
}

/*
 * Who holds a place keeps it, whatever the limit is by now.  Without the lock of
 * the level somebody might find the lease over and take the place.
 */
static Decision
renew(const Installation *home, Datum user_id, int64 id, const Term *term)
{
	char	   *limit_type = find_lease(user_id, id);
	bool		is_live;
	Stakes		stakes;
	Decision	decision;

	if (!setting_enabled)
		return decision_not_made();
	lock_user(home, user_id);
	lock_level(user_id, limit_type);
	is_live = lock_live_lease(user_id, id);
	fault("lease locked");
	if (is_live)
		prolong_lease(user_id, id, end_of(term), term->holder);
	stakes = weigh_gauge(user_id, limit_type, num_zero);
	decision = decision_on_fact(&stakes);
	decision.id = id;
	decision.allowed = is_live;
	if (!is_live)
		decision.reason = "expired";
	return decision;
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_acquire_lease);
Datum
ut_acquire_lease(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Decision	decision;
	Event		request;
	Term		term;
	Disguise	before;
	Datum		result;

	check_is_server(home);
	request = request_of_lease(user_id_argument(home, fcinfo), name_argument(fcinfo, 1, "limit_type"),
							   text_argument(fcinfo, 3, "idempotency_key"));
	term = term_argument(fcinfo, 2);
	become_owner(home, &before);
	decision = acquire(home, &request, &term);
	MemoryContextSwitchTo(caller);
	result = decision_datum(fcinfo, &decision);
	become_caller(&before);
	return result;
}

PG_FUNCTION_INFO_V1(ut_renew_lease);
Datum
ut_renew_lease(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Datum		user_id;
	Decision	decision;
	Term		term;
	Disguise	before;
	Datum		result;

	check_is_server(home);
	user_id = user_id_argument(home, fcinfo);
	check_not_null(PG_ARGISNULL(1), "lease_id");
	term = term_argument(fcinfo, 2);
	become_owner(home, &before);
	decision = renew(home, user_id, PG_GETARG_INT64(1), &term);
	MemoryContextSwitchTo(caller);
	result = decision_datum(fcinfo, &decision);
	become_caller(&before);
	return result;
}

PG_FUNCTION_INFO_V1(ut_release_lease);
Datum
ut_release_lease(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id;
	Disguise	before;

	check_is_server(home);
	user_id = user_id_argument(home, fcinfo);
	check_not_null(PG_ARGISNULL(1), "lease_id");
	become_owner(home, &before);
	(void) find_lease(user_id, PG_GETARG_INT64(1));
	end_lease(user_id, PG_GETARG_INT64(1));
	become_caller(&before);
	PG_RETURN_VOID();
}
