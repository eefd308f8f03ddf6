/*
 * rates_headers.c -- what a decision is in the headers of an answer.
 */
#include "compat.h"

#include "arguments.h"
#include "numbers.h"
#include "rates_limits.h"
#include "rates_memory.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

/*
 * In which all of it comes back, in seconds: a decision does not say, so it is that
 * of the rate with its name and burst.  0 if there is none, or if plans differ.
 */
static int64
window_of_decision(const Installation *home, const Decision *decision)
{
	int			n;
	const RateLimit *rows = rates_named(home, decision->limit_type, &n);
	int64		window = 0;

	for (int i = 0; i < n; i++)
	{
		int64		this = (microseconds_to_fill(&rows[i].pace) + USECS_PER_SEC - 1) / USECS_PER_SEC;

		if (num_cmp(num_from(rows[i].pace.burst), decision->max_usage) != 0)
			continue;
		if (window != 0 && window != this)
			return 0;
		window = this;
	}
	return window;
}

/* Fields of a usage_decision, one by one: no composite value comes in here. */
static Decision
decision_of_fields(FunctionCallInfo fcinfo)
{
	Decision	decision = {.allowed = true, .reset_at = DT_NOEND};

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		return decision;
	decision.allowed = PG_ARGISNULL(0) || PG_GETARG_BOOL(0);
	decision.limit_type = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (!is_name(decision.limit_type))
		decision.limit_type = NULL;	/* none of ours, and perhaps no header */
	decision.used = PG_GETARG_NUMERIC(2);
	decision.max_usage = PG_GETARG_NUMERIC(3);
	if (!PG_ARGISNULL(4) && !TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(4)))
		decision.reset_at = PG_GETARG_TIMESTAMPTZ(4);
	decision.is_rate = true;
	decision.retry_after = PG_ARGISNULL(5) ? 0 : PG_GETARG_INT32(5);
	return decision;
}

PG_FUNCTION_INFO_V1(ut_decision_headers);
Datum
ut_decision_headers(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Decision	decision = decision_of_fields(fcinfo);
	char	   *json;

	if (decision.limit_type != NULL)
		decision.window = window_of_decision(home, &decision);
	json = psprintf("{%s}", decision_headers(&decision, ","));
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}
