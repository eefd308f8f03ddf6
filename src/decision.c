/*
 * decision.c -- a decision as SQL sees it: a row, or an error that says as much.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "decision.h"
#include "errors.h"
#include "funcapi.h"
#include "numbers.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/* With usage_tracking.enabled off. */
Decision
decision_not_made(void)
{
	Decision	decision = {true, "not_enforced", 0, NULL, NULL, num_from(-1), DT_NOEND, NULL};

	return decision;
}

static int64
seconds_until(TimestampTz at)
{
	int64		left = at - usage_now();

	return left <= 0 ? 0 : (left + USECS_PER_SEC - 1) / USECS_PER_SEC;
}

static int64
retry_after(const Decision *d)
{
	return d->is_rate ? d->retry_after : seconds_until(d->reset_at);
}

static Numeric
remaining_of(const Decision *decision)
{
	return num_at_least_zero(num_sub(decision->max_usage, decision->used));
}

/* Allocated in the current context, which the caller sees to. */
Datum
decision_datum(FunctionCallInfo fcinfo, const Decision *d)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(get_func_rettype(fcinfo->flinfo->fn_oid), -1);
	HeapTuple	row;
	Datum		values[9] = {0};
	bool		nulls[9] = {false};
	bool		limited = d->limit_type != NULL && num_sign(d->max_usage) >= 0;
	bool		never = TIMESTAMP_IS_NOEND(d->reset_at);

	if (desc->natts != lengthof(values))
		elog(ERROR, "return type must be usage_decision");
	values[0] = BoolGetDatum(d->allowed);
	values[1] = CStringGetTextDatum(d->reason);
	values[2] = Int64GetDatum(d->id);
	nulls[2] = d->id == 0;
	if (!(nulls[3] = d->limit_type == NULL))
		values[3] = CStringGetTextDatum(d->limit_type);
	if (!(nulls[4] = d->used == NULL))
		values[4] = NumericGetDatum(d->used);
	if (!(nulls[5] = d->max_usage == NULL))
		values[5] = NumericGetDatum(d->max_usage);
	if (d->credits_left != NULL)
		values[6] = NumericGetDatum(d->credits_left);
	else if (!(nulls[6] = !limited || d->used == NULL))
		values[6] = NumericGetDatum(remaining_of(d));
	values[7] = TimestampTzGetDatum(d->reset_at);
	nulls[7] = never;
	nulls[8] = d->allowed || never;
	if (!nulls[8])
		values[8] = Int32GetDatum((int32) Min(retry_after(d), PG_INT32_MAX));
	row = heap_form_tuple(desc, values, nulls);
	ReleaseTupleDesc(desc);
	return HeapTupleGetDatum(row);
}

/* A structured field has integers of up to 15 digits. */
static char *
header_integer(Numeric value)
{
	Numeric		largest = num_from(INT64CONST(999999999999999));

	value = DatumGetNumeric(DirectFunctionCall1(numeric_floor, NumericGetDatum(value)));
	return num_text(num_cmp(value, largest) > 0 ? largest : value);
}

/* What comes back bit by bit is there again for who was denied when his request fits. */
static int64
seconds_to_more(const Decision *d)
{
	return d->allowed ? seconds_until(d->reset_at) : retry_after(d);
}

/*
 * Rate limit headers as in draft-ietf-httpapi-ratelimit-headers-10, as members of
 * JSON with "between" between them.
 */
char *
decision_headers(const Decision *d, const char *between)
{
	StringInfoData json;

	initStringInfo(&json);
	if (d->limit_type == NULL || num_sign(d->max_usage) < 0)
		return json.data;
	appendStringInfo(&json, "\"RateLimit-Policy\":\"\\\"%s\\\";q=%s", d->limit_type, header_integer(d->max_usage));
	if (d->window > 0)
		appendStringInfo(&json, ";w=" INT64_FORMAT, d->window);
	appendStringInfo(&json, "\"%s\"RateLimit\":\"\\\"%s\\\";r=%s",
					 between, d->limit_type, header_integer(remaining_of(d)));
	if (!TIMESTAMP_IS_NOEND(d->reset_at))
		appendStringInfo(&json, ";t=" INT64_FORMAT, seconds_to_more(d));
	appendStringInfoChar(&json, '"');
	if (!TIMESTAMP_IS_NOEND(d->reset_at) && !d->allowed)
		appendStringInfo(&json, "%s\"Retry-After\":\"" INT64_FORMAT "\"", between, retry_after(d));
	return json.data;
}

static char *
limit_detail(const Decision *d)
{
	if (TIMESTAMP_IS_NOEND(d->reset_at))
		return psprintf("Used %s of %s, and %s asked for; it never resets.",
						num_text(d->used), num_text(d->max_usage), num_text(d->asked));
	return psprintf("Used %s of %s, and %s asked for; resets at %s.",
					num_text(d->used), num_text(d->max_usage), num_text(d->asked),
					timestamptz_to_str(d->reset_at));
}

static void
raise_limit_reached(const Decision *d)
{
	Refusal		refusal = {
		.sqlstate = ERRCODE_UT_LIMIT_REACHED,
		.http_status = 429,
		.http_text = "Too Many Requests",
		.message = psprintf("usage limit \"%s\" reached", d->limit_type),
		.detail = limit_detail(d),
		.hint = TIMESTAMP_IS_NOEND(d->reset_at) ? "Have the limit raised."
		: "Wait for the reset, or have the limit raised.",
		.limit_type = d->limit_type,
		.headers = psprintf("{%s}", decision_headers(d, ","))
	};

	raise_refusal(&refusal);
}

static char *
rate_detail(const Decision *d)
{
	const char *when = TIMESTAMP_IS_NOEND(d->reset_at) ? "never fits"
		: psprintf("fits in " INT64_FORMAT " s", d->retry_after);

	return psprintf("Used %s of %s, and %s asked for, which %s.",
					num_text(d->used), num_text(d->max_usage), num_text(d->asked), when);
}

static void
raise_rate_limited(const Decision *d)
{
	Refusal		refusal = {
		.sqlstate = ERRCODE_UT_RATE_LIMITED,
		.http_status = 429,
		.http_text = "Too Many Requests",
		.message = psprintf("rate limit \"%s\" exceeded", d->limit_type),
		.detail = rate_detail(d),
		.hint = TIMESTAMP_IS_NOEND(d->reset_at) ? "Ask for fewer at once, or have the rate raised."
		: "Wait, or have the rate raised.",
		.limit_type = d->limit_type,
		.headers = psprintf("{%s}", decision_headers(d, ","))
	};

	raise_refusal(&refusal);
}

static void
raise_insufficient_credits(const Decision *d)
{
	Refusal		refusal = {
		.sqlstate = ERRCODE_UT_INSUFFICIENT_CREDITS,
		.http_status = 402,
		.http_text = "Payment Required",
		.message = "not enough credits",
		.detail = psprintf("%s are left.", num_text(d->credits_left)),
		.hint = TIMESTAMP_IS_NOEND(d->reset_at) ? "Grant more with grant_credits()."
		: "Wait for the refill, or grant more with grant_credits()."
	};

	raise_refusal(&refusal);
}

void
raise_denial(const Decision *d)
{
	if (d->credits_left != NULL)
		raise_insufficient_credits(d);
	if (d->is_rate)
		raise_rate_limited(d);
	raise_limit_reached(d);
	pg_unreachable();
}
