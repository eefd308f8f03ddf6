/*
 * rates_limits.c -- how fast?  Decides about requests.
 *
 * On the way of every request: no statement, no snapshot and no row of a table,
 * unless the rate is another for some plan.  What was taken is in rates_memory.c.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "limits.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "numbers.h"
#include "rates_limits.h"
#include "rates_memory.h"
#include "settings.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

/* ---- which rate ---- */

static const RateLimit *
rate_of_plan(const RateLimit *rows, int n, const char *plan)
{
	for (int i = 0; i < n; i++)
		if (rows[i].plan != NULL && strcmp(rows[i].plan, plan) == 0)
			return &rows[i];
	return NULL;
}

/* NULL if he is not on any of these plans. */
static const RateLimit *
rate_of_users_plan(const Installation *home, const RateRequest *request, const RateLimit *rows, int n)
{
	Disguise	before;
	const RateLimit *rate;

	become_owner(home, &before);
	rate = rate_of_plan(rows, n, terms_of_user(request->user_id, usage_now(), !request->looks).plan);
	become_caller(&before);
	return rate;
}

/* NULL: none binds. */
static const RateLimit *
rate_that_binds(const Installation *home, const RateRequest *request)
{
	int			n;
	const RateLimit *rows = rates_named(home, request->name, &n);
	const RateLimit *rate = NULL;
	bool		by_plan;

	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UT_UNREGISTERED),
				 errmsg("rate limit \"%s\" does not exist", request->name),
				 errhint("Define it with define_rate_limit().")));
	by_plan = rows[n - 1].plan != NULL;
	if (by_plan && request->has_user)
		rate = rate_of_users_plan(home, request, rows, n);
	return rate == NULL && rows[0].plan == NULL ? &rows[0] : rate;
}

/* ---- whose it is ---- */

/* The longest name, id and key, in bytes. */
#define LONGEST_SUBJECT (2 * sizeof(Oid) + NAMEDATALEN + 2 * (sizeof(uint32) + MAX_TEXT * MAX_MULTIBYTE_CHAR_LEN))

typedef struct Subject
{
	Size		length;
	char		bytes[LONGEST_SUBJECT];
} Subject;

static void
append(Subject *subject, const void *data, Size length)
{
	Assert(subject->length + length <= LONGEST_SUBJECT);
	memcpy(subject->bytes + subject->length, data, length);
	subject->length += length;
}

/* With its length before it, so that no two subjects look the same. */
static void
append_part(Subject *subject, const void *data, uint32 length)
{
	append(subject, &length, sizeof(length));
	append(subject, data, length);
}

static void
append_user(Subject *subject, const Installation *home, Datum user_id)
{
	int64		number;

	switch (home->user_id_type)
	{
		case UUIDOID:
			append_part(subject, DatumGetUUIDP(user_id), UUID_LEN);
			break;
		case INT8OID:
			number = DatumGetInt64(user_id);
			append_part(subject, &number, sizeof(number));
			break;
		default:
			append_part(subject, VARDATA_ANY(DatumGetPointer(user_id)), VARSIZE_ANY_EXHDR(DatumGetPointer(user_id)));
	}
}

/* No user and an empty one differ: ids are never empty, nor are keys. */
static Subject
subject_of(const Installation *home, const RateRequest *request)
{
	const char *key = request->key == NULL ? "" : request->key;
	Subject		subject;

	subject.length = 0;
	append(&subject, &MyDatabaseId, sizeof(Oid));
	append(&subject, &home->usage_events, sizeof(Oid));
	append(&subject, request->name, strlen(request->name) + 1);
	if (request->has_user)
		append_user(&subject, home, request->user_id);
	else
		append_part(&subject, "", 0);
	append_part(&subject, key, strlen(key));
	return subject;
}

/* ---- the answer ---- */

static int64
seconds_up(int64 microseconds)
{
	return microseconds / USECS_PER_SEC + (microseconds % USECS_PER_SEC > 0);
}

static Decision
decision_on_room(const RateLimit *rate, const Room *room, int64 requests)
{
	Decision	decision = {
		.allowed = room->fits || !setting_enforce_limits,
		.reason = room->fits ? "ok" : setting_enforce_limits ? "rate_limited" : "not_enforced",
		.limit_type = rate->name,
		.used = num_from(rate->pace.burst - room->left),
		.max_usage = num_from(rate->pace.burst),
		.reset_at = room->fits || room->wait >= 0 ? room->full_at : DT_NOEND,
		.asked = num_from(requests),
		.is_rate = true,
		.retry_after = seconds_up(room->wait),
		.window = seconds_up(microseconds_to_fill(&rate->pace))
	};

	return decision;
}

static Decision
decision_without_rate(void)
{
	Decision	decision = {
		.allowed = true, .reason = "unlimited", .max_usage = num_from(-1), .reset_at = DT_NOEND
	};

	return decision;
}

Decision
decide_rate(const Installation *home, const RateRequest *request)
{
	const RateLimit *rate = rate_that_binds(home, request);
	Subject		subject;
	Room		room;

	if (!setting_enabled)
		return decision_not_made();
	if (rate == NULL)
		return decision_without_rate();
	subject = subject_of(home, request);
	room = (request->looks ? look_at_rate : take_of_rate) (subject.bytes, subject.length, &rate->pace,
														   request->requests);
	return decision_on_room(rate, &room, request->requests);
}

/* ---- everything below only translates between SQL and the above ---- */

/* A key is the word of whoever calls, so only a server's counts. */
static void
check_may_ask_rate(const Installation *home, FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(3))
		check_may_act_for(home, fcinfo);
	else
		check_is_server(home);
}

static RateRequest
request_of(const Installation *home, FunctionCallInfo fcinfo, bool looks)
{
	RateRequest request = {.looks = looks, .has_user = !PG_ARGISNULL(0) || PG_ARGISNULL(3)};

	if (request.has_user)
		request.user_id = user_id_argument(home, fcinfo);
	request.name = name_argument(fcinfo, 1, "name");
	request.requests = count_argument(fcinfo, 2, "requests");
	request.key = text_argument(fcinfo, 3, "key");
	return request;
}

static Datum
ask(FunctionCallInfo fcinfo, bool looks, bool raises)
{
	const Installation *home = installation_of(fcinfo);
	RateRequest request;
	Decision	decision;

	check_may_ask_rate(home, fcinfo);
	request = request_of(home, fcinfo, looks);
	decision = decide_rate(home, &request);
	if (raises && !decision.allowed)
		raise_denial(&decision);
	return decision_datum(fcinfo, &decision);
}

PG_FUNCTION_INFO_V1(ut_consume_rate_limit);
Datum
ut_consume_rate_limit(PG_FUNCTION_ARGS)
{
	return ask(fcinfo, false, false);
}

PG_FUNCTION_INFO_V1(ut_check_rate_limit);
Datum
ut_check_rate_limit(PG_FUNCTION_ARGS)
{
	return ask(fcinfo, true, false);
}

PG_FUNCTION_INFO_V1(ut_require_rate_limit);
Datum
ut_require_rate_limit(PG_FUNCTION_ARGS)
{
	return ask(fcinfo, false, true);
}
