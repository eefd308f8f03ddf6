/*
 * rates_config.c -- which rate limits there are: kept in each backend, and defined.
 *
 * Read like the configuration of limits (limits.c), but apart from it: who only asks
 * for a rate needs nothing of the others, and becomes the owner only to read.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "limits.h"
#include "plans.h"
#include "rates_limits.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#define MAX_DAYS 366
#define MOST_REQUESTS INT64CONST(1000000000000000)
#define MOST_BURST 1000			/* times max_requests */

static MemoryContext rates_context = NULL;
static RateLimit *rates;				/* by name; the one for every plan is the first of its name */
static int	nrates = 0;
static bool rates_valid = false;

static void
forget_rates(void)
{
	rates_valid = false;
}

void
rate_limits_init(void)
{
	on_config_change(forget_rates);
}

static Statement read_rates = {
	"SELECT name, plan, max_requests, per, COALESCE(burst, max_requests) FROM @extschema@.api_rate_limits"
	" ORDER BY name COLLATE pg_catalog.\"C\", plan NULLS FIRST",
	0
};

static void
read_rate(RateLimit *rate, uint64 row)
{
	char	   *plan = result_text(row, 2);
	bool		isnull;

	rate->name = pstrdup(result_text(row, 1));
	rate->plan = plan == NULL ? NULL : pstrdup(plan);
	rate->pace.max_requests = result_int64(row, 3);
	rate->pace.per = span_of(DatumGetIntervalP(result_datum(row, 4, &isnull)));
	rate->pace.burst = result_int64(row, 5);
}

static void
load_rates(void)
{
	MemoryContext fresh = AllocSetContextCreate(CurrentMemoryContext, "usage_tracking rate limits",
												ALLOCSET_SMALL_SIZES);
	int			n = statement_look_afresh(&read_rates, NULL, NULL);
	MemoryContext caller = MemoryContextSwitchTo(fresh);
	RateLimit	   *loaded = palloc(n * sizeof(RateLimit));

	for (int row = 0; row < n; row++)
		read_rate(&loaded[row], row);
	MemoryContextSwitchTo(caller);

	MemoryContextSetParent(fresh, CacheMemoryContext);	/* complete: keep it */
	if (rates_context != NULL)
		MemoryContextDelete(rates_context);
	rates_context = fresh;
	rates = loaded;
	nrates = n;
}

static void
load_rates_as_owner(const Installation *home)
{
	Disguise	before;

	become_owner(home, &before);
	load_rates();
	become_caller(&before);
}

static void
make_rates_valid(const Installation *home)
{
	AcceptInvalidationMessages();
	while (!rates_valid)
	{
		rates_valid = true;		/* first: a change may arrive while we read */
		PG_TRY();
		{
			load_rates_as_owner(home);
		}
		PG_CATCH();
		{
			rates_valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
}

static int
first_not_before(const char *name)
{
	int			low = 0;
	int			high = nrates;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (strcmp(rates[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The n rows of a name: as last committed, and good until the next call. */
const RateLimit *
rates_named(const Installation *home, const char *name, int *n)
{
	int			first;

	make_rates_valid(home);
	first = first_not_before(name);
	for (*n = 0; first + *n < nrates && strcmp(rates[first + *n].name, name) == 0;)
		(*n)++;
	return &rates[first];
}

/* ---- defining one ---- */

enum RateArgument
{
	ARG_NAME, ARG_MAX_REQUESTS, ARG_PER, ARG_BURST, ARG_PLAN, ARG_DESCRIPTION, RATE_ARGUMENTS
};

static Statement put_rate = {
	"INSERT INTO @extschema@.api_rate_limits AS r (name, max_requests, per, burst, plan, description)"
	" VALUES ($1, $2, $3, $4, $5, $6)"
	" ON CONFLICT (name, plan) DO UPDATE SET max_requests = EXCLUDED.max_requests, per = EXCLUDED.per,"
	" burst = EXCLUDED.burst, description = EXCLUDED.description"
	" WHERE ROW(r.max_requests, r.per, r.burst, r.description)::pg_catalog.text OPERATOR(pg_catalog.<>)"
	" ROW(EXCLUDED.max_requests, EXCLUDED.per, EXCLUDED.burst, EXCLUDED.description)::pg_catalog.text",
	RATE_ARGUMENTS, {TEXTOID, INT8OID, INTERVALOID, INT8OID, TEXTOID, TEXTOID}
};

static int64
bounded_argument(FunctionCallInfo fcinfo, int n, const char *argument, int64 most)
{
	int64		value;

	check_not_null(PG_ARGISNULL(n), argument);
	value = PG_GETARG_INT64(n);
	if (value < 1 || value > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be between 1 and " INT64_FORMAT, argument, most)));
	return value;
}

static void
check_rate_arguments(FunctionCallInfo fcinfo)
{
	int64		max_requests;

	name_argument(fcinfo, ARG_NAME, "name");
	max_requests = bounded_argument(fcinfo, ARG_MAX_REQUESTS, "max_requests", MOST_REQUESTS);
	span_argument(fcinfo, ARG_PER, "per", MAX_DAYS);
	if (!PG_ARGISNULL(ARG_BURST))
		bounded_argument(fcinfo, ARG_BURST, "burst", max_requests * MOST_BURST);
	if (!PG_ARGISNULL(ARG_PLAN))
		plain_name_argument(fcinfo, ARG_PLAN, "plan");
	description_argument(fcinfo, ARG_DESCRIPTION, "description");
}

PG_FUNCTION_INFO_V1(ut_define_rate_limit);
Datum
ut_define_rate_limit(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[RATE_ARGUMENTS];
	char		nulls[RATE_ARGUMENTS + 1] = {0};
	Disguise	before;

	check_is_admin(home);
	check_rate_arguments(fcinfo);
	for (int i = 0; i < RATE_ARGUMENTS; i++)
	{
		args[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	become_owner(home, &before);
	if (!PG_ARGISNULL(ARG_PLAN))
		check_plan_exists(text_to_cstring(PG_GETARG_TEXT_PP(ARG_PLAN)));
	statement_write(&put_rate, args, nulls);
	become_caller(&before);
	PG_RETURN_VOID();
}
