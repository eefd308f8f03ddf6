/*
 * prices.c -- what does it cost?
 *
 * A backend keeps the prices of each model it was asked for, of all times, and
 * also that there are none.  Triggers on the tables send an invalidation; the
 * next question reads them again with a snapshot of that moment, at every
 * isolation level, as with the rest of the configuration.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "prices.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

/* A model as it was asked for; several names may mean one. */
typedef struct AskedModel
{
	char	   *model;
	char	   *provider;		/* "": whichever has it */
	ModelPrices *prices;		/* the last one first */
	int			nprices;
} AskedModel;

/* Names are the callers', so there is an end to what is kept. */
#define MAX_KEPT 1024

static MemoryContext kept_context = NULL;
static AskedModel *kept[MAX_KEPT];	/* by model and provider */
static int	nkept = 0;
static bool kept_valid = false;

static void
forget_prices(void)
{
	kept_valid = false;
}

void
prices_init(void)
{
	on_config_change(forget_prices);
}

const char *const service_tier_names[] = {"standard", "batch", "flex", "priority"};

bool
service_tier_from_name(const char *name, ServiceTier *tier)
{
	for (int i = 0; i < lengthof(service_tier_names); i++)
		if (strcmp(name, service_tier_names[i]) == 0)
		{
			*tier = (ServiceTier) i;
			return true;
		}
	return false;
}

/* ---- reading ---- */

static Statement read_prices = {
	"SELECT p.id, p.valid_from, p.valid_to, p.prices"
	" FROM @extschema@._find_model($1, $2) AS f, @extschema@.model_prices AS p"
	" WHERE p.model OPERATOR(pg_catalog.=) f.price_model"
	" AND p.provider OPERATOR(pg_catalog.=) f.price_provider"
	" ORDER BY p.valid_from DESC",
	2, {TEXTOID, TEXTOID}
};

/* A key is "class", "class.tier", "class>tokens" or "class.tier>tokens". */
static bool
read_key(Rate *rate, const char *key, int length)
{
	char	   *above;
	char	   *tier;

	rate->class = pnstrdup(key, length);
	rate->tier = TIER_STANDARD;
	rate->above = 0;
	if ((above = strchr(rate->class, '>')) != NULL)
	{
		*above = '\0';
		rate->above = strtol(above + 1, NULL, 10);
	}
	if ((tier = strchr(rate->class, '.')) == NULL)
		return true;
	*tier = '\0';
	return service_tier_from_name(tier + 1, &rate->tier);
}

static void
read_rates(ModelPrices *into, Jsonb *prices)
{
	JsonbIterator *it = JsonbIteratorInit(&prices->root);
	JsonbValue	value;
	JsonbIteratorToken token;
	Rate		rate;

	into->rates = palloc(Max(JB_ROOT_COUNT(prices), 1) * sizeof(Rate));
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		bool		is_known = false;

		if (token != WJB_KEY)
			continue;
		is_known = read_key(&rate, value.val.string.val, value.val.string.len);
		token = JsonbIteratorNext(&it, &value, true);
		if (!is_known || value.type != jbvNumeric)
			continue;
		rate.price = DatumGetNumeric(datumCopy(NumericGetDatum(value.val.numeric), false, -1));
		into->rates[into->nrates++] = rate;
	}
}

static AskedModel *
load_model(const Installation *home, const char *provider, const char *model)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext fresh = AllocSetContextCreate(caller, "usage_tracking prices", ALLOCSET_SMALL_SIZES);
	Datum		args[] = {CStringGetTextDatum(provider), CStringGetTextDatum(model)};
	AskedModel *asked = MemoryContextAllocZero(fresh, sizeof(AskedModel));
	Disguise	before;
	bool		isnull;

	become_owner(home, &before);
	asked->nprices = statement_look_afresh(&read_prices, args, NULL);
	MemoryContextSwitchTo(fresh);
	asked->provider = pstrdup(provider);
	asked->model = pstrdup(model);
	asked->prices = palloc0(Max(asked->nprices, 1) * sizeof(ModelPrices));
	for (int i = 0; i < asked->nprices; i++)
	{
		asked->prices[i].id = result_int64(i, 1);
		asked->prices[i].valid_from = result_time(i, 2, DT_NOBEGIN);
		asked->prices[i].valid_to = result_time(i, 3, DT_NOEND);
		read_rates(&asked->prices[i], DatumGetJsonbP(result_datum(i, 4, &isnull)));
	}
	become_caller(&before);
	MemoryContextSwitchTo(caller);
	MemoryContextSetParent(fresh, kept_context);	/* complete: keep it */
	return asked;
}

/* ---- keeping ---- */

static void
forget_what_is_kept(void)
{
	if (kept_context == NULL)
		kept_context = AllocSetContextCreate(CacheMemoryContext, "usage_tracking prices",
											 ALLOCSET_SMALL_SIZES);
	MemoryContextReset(kept_context);
	nkept = 0;
}

/* Where it is, or belongs. */
static int
place_of(const char *provider, const char *model, bool *found)
{
	int			low = 0;
	int			high = nkept;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order = strcmp(kept[middle]->model, model);

		if (order == 0)
			order = strcmp(kept[middle]->provider, provider);
		if (order == 0)
		{
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = false;
	return low;
}

static const AskedModel *
ask_for_model(const Installation *home, const char *provider, const char *model)
{
	AskedModel *asked;
	int			place;
	bool		found;

	AcceptInvalidationMessages();
	for (;;)
	{
		if (!kept_valid || nkept == MAX_KEPT)
			forget_what_is_kept();
		kept_valid = true;		/* first: a change may arrive while we read */
		place = place_of(provider, model, &found);
		if (found)
			return kept[place];
		asked = load_model(home, provider, model);
		if (kept_valid)
			break;
	}
	memmove(&kept[place + 1], &kept[place], (nkept - place) * sizeof(AskedModel *));
	kept[place] = asked;
	nkept++;
	return asked;
}

/*
 * What the model costs at that time, or NULL if nobody knows.  The provider may
 * be NULL.  The answer holds until the next call.
 */
const ModelPrices *
prices_of_model(const Installation *home, const char *provider, const char *model, TimestampTz at)
{
	const AskedModel *asked;

	if (model == NULL)
		return NULL;
	asked = ask_for_model(home, provider == NULL ? "" : provider, model);
	for (int i = 0; i < asked->nprices; i++)
		if (asked->prices[i].valid_from <= at)
			return at < asked->prices[i].valid_to ? &asked->prices[i] : NULL;
	return NULL;
}

/* ---- computing ---- */

/*
 * The price of one unit, or NULL.  That for the highest threshold the call is
 * above; of two for the same one that for its tier.
 */
Numeric
find_rate(const ModelPrices *prices, const char *class, ServiceTier tier, int64 input_tokens)
{
	const Rate *best = NULL;

	for (int i = 0; i < prices->nrates; i++)
	{
		const Rate *rate = &prices->rates[i];

		if (strcmp(rate->class, class) != 0 ||
			(rate->tier != TIER_STANDARD && rate->tier != tier) ||
			(rate->above > 0 && input_tokens <= rate->above))
			continue;
		if (best == NULL || rate->above > best->above ||
			(rate->above == best->above && rate->tier != TIER_STANDARD))
			best = rate;
	}
	return best == NULL ? NULL : best->price;
}
