/*
 * credits_config.c -- what uses cost in credits, and what plans give.
 *
 * Kept whole in each backend like the limits, and read again when a trigger on the
 * tables says so.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "credits.h"
#include "numbers.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"

typedef struct CreditCost
{
	char	   *usage_type;
	Numeric		credits;
} CreditCost;

typedef struct PlanRefill
{
	char	   *plan;
	Refill		refill;
} PlanRefill;

typedef struct CreditConfig
{
	CreditCost *costs;			/* by type */
	int			ncosts;
	PlanRefill *refills;
	int			nrefills;
} CreditConfig;

static MemoryContext kept_context = NULL;
static CreditConfig kept;
static bool kept_valid = false;

static void
forget_config(void)
{
	kept_valid = false;
}

void
credits_init(void)
{
	on_config_change(forget_config);
}

static Statement read_costs = {
	"SELECT usage_type, credits FROM @extschema@.credit_costs ORDER BY usage_type COLLATE pg_catalog.\"C\"", 0
};

static Statement read_refills = {
	"SELECT plan, amount, max_rollover, period FROM @extschema@.credit_refills", 0
};

static void
load_costs(CreditConfig *into, MemoryContext keep)
{
	into->ncosts = statement_look_afresh(&read_costs, NULL, NULL);
	MemoryContextSwitchTo(keep);
	into->costs = palloc(into->ncosts * sizeof(CreditCost) + 1);
	for (int i = 0; i < into->ncosts; i++)
	{
		into->costs[i].usage_type = pstrdup(result_text(i, 1));
		into->costs[i].credits = result_numeric(i, 2);
	}
}

static void
load_refills(CreditConfig *into, MemoryContext keep)
{
	into->nrefills = statement_look_afresh(&read_refills, NULL, NULL);
	MemoryContextSwitchTo(keep);
	into->refills = palloc(into->nrefills * sizeof(PlanRefill) + 1);
	for (int i = 0; i < into->nrefills; i++)
	{
		PlanRefill *one = &into->refills[i];
		bool		isnull;

		one->plan = pstrdup(result_text(i, 1));
		one->refill.amount = result_numeric(i, 2);
		one->refill.max_rollover = result_numeric(i, 3);
		one->refill.period = *DatumGetIntervalP(result_datum(i, 4, &isnull));
		if (!period_fits_kind(WINDOW_CALENDAR, &one->refill.period))
			elog(ERROR, "period of the refill of plan \"%s\" is not one of the calendar", one->plan);
	}
}

static void
load_config(void)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext fresh = AllocSetContextCreate(caller, "usage_tracking credits", ALLOCSET_SMALL_SIZES);
	CreditConfig loaded = {0};

	load_costs(&loaded, fresh);
	load_refills(&loaded, fresh);
	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(fresh, CacheMemoryContext);	/* complete: keep it */
	if (kept_context != NULL)
		MemoryContextDelete(kept_context);
	kept_context = fresh;
	kept = loaded;
}

static const CreditConfig *
present_config(void)
{
	AcceptInvalidationMessages();
	while (!kept_valid)
	{
		kept_valid = true;		/* first: a change may arrive while we read */
		PG_TRY();
		{
			load_config();
		}
		PG_CATCH();
		{
			kept_valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	return &kept;
}

static int
compare_cost(const void *usage_type, const void *cost)
{
	return strcmp(usage_type, ((const CreditCost *) cost)->usage_type);
}

/* NULL if it costs none: the type is free of them, it is a correction, or they are off. */
Numeric
credit_cost_of(const Event *event)
{
	const CreditConfig *config;
	const CreditCost *cost;
	Numeric		price;

	if (!setting_credits_enabled || is_correction(event) || strcmp(event->status, "success") != 0)
		return NULL;
	config = present_config();
	if (config->ncosts == 0)
		return NULL;
	cost = bsearch(event->usage_type, config->costs, config->ncosts, sizeof(CreditCost), compare_cost);
	if (cost == NULL)
		return NULL;
	price = num_trim(num_mul(cost->credits, event->quantity));
	return num_sign(price) > 0 ? price : NULL;
}

static Numeric
amount_of_override(const char *plan)
{
	const char *number = credit_refill_override(plan);

	if (number == NULL)
		return NULL;
	return num_trim(DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(number),
														ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
}

/* What the setting says is above what a table says; a plan of the setting alone has it each day. */
Refill
with_override(const char *plan, Refill refill)
{
	Numeric		amount = amount_of_override(plan);

	if (amount == NULL)
		return refill;
	return refill.amount != NULL ? (Refill) {amount, refill.max_rollover, refill.period}
		: (Refill) {amount, num_zero, {.day = 1}};
}

Refill
refill_of_plan(const char *plan)
{
	const CreditConfig *config = present_config();

	for (int i = 0; i < config->nrefills; i++)
		if (strcmp(config->refills[i].plan, plan) == 0)
			return with_override(plan, config->refills[i].refill);
	return with_override(plan, (Refill) {NULL});
}
