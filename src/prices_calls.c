/*
 * prices_calls.c -- the calculators as SQL sees them.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "arguments.h"
#include "errors.h"
#include "funcapi.h"
#include "numbers.h"
#include "prices.h"
#include "settings.h"

/* Looked up once for each place a query calls from. */
static TupleDesc
row_type(FunctionCallInfo fcinfo)
{
	MemoryContext caller;
	TupleDesc	desc;

	if (fcinfo->flinfo->fn_extra == NULL)
	{
		caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		fcinfo->flinfo->fn_extra = BlessTupleDesc(desc);
		MemoryContextSwitchTo(caller);
	}
	return fcinfo->flinfo->fn_extra;
}

/* Costs, and at last whether they are known. */
static Datum
costs_datum(FunctionCallInfo fcinfo, const Numeric *costs, int count, bool priced)
{
	TupleDesc	desc = row_type(fcinfo);
	Datum		values[4];
	bool		nulls[4];

	if (desc->natts != count + 1 || count >= lengthof(values))
		elog(ERROR, "return type must be %d costs and a boolean", count);
	for (int i = 0; i < count; i++)
	{
		nulls[i] = costs[i] == NULL;
		values[i] = NumericGetDatum(costs[i]);
	}
	nulls[count] = false;
	values[count] = BoolGetDatum(priced);
	return HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
}

static Datum
llm_cost_datum(FunctionCallInfo fcinfo, const LlmCost *cost)
{
	Numeric		costs[] = {cost->input, cost->output, cost->total};

	return costs_datum(fcinfo, costs, lengthof(costs), cost->total != NULL);
}

static Datum
one_cost_datum(FunctionCallInfo fcinfo, Numeric cost)
{
	return costs_datum(fcinfo, &cost, 1, cost != NULL);
}

static TimestampTz
moment_argument(FunctionCallInfo fcinfo, int n)
{
	time_argument(fcinfo, n, "at");
	return PG_ARGISNULL(n) ? usage_now() : PG_GETARG_TIMESTAMPTZ(n);
}

const char *const token_class_arguments[TOKEN_CLASSES] = {
	"input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens",
	"reasoning_tokens", "audio_input_tokens", "audio_cache_read_tokens", "audio_output_tokens",
	"image_input_tokens", "image_output_tokens"
};

ServiceTier
tier_argument(FunctionCallInfo fcinfo, int n)
{
	ServiceTier tier;

	if (!service_tier_from_name(required_text_argument(fcinfo, n, "service_tier"), &tier))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"service_tier\" must be standard, batch, flex, or priority")));
	return tier;
}

enum LlmArgument
{
	ARG_PROVIDER, ARG_MODEL, ARG_TOKENS, ARG_REQUESTS = ARG_TOKENS + TOKEN_CLASSES, ARG_TIER, ARG_AT
};

PG_FUNCTION_INFO_V1(ut_calculate_llm_cost);
Datum
ut_calculate_llm_cost(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char	   *provider = text_argument(fcinfo, ARG_PROVIDER, "provider");
	char	   *model = text_argument(fcinfo, ARG_MODEL, "model");
	LlmCall		call;
	LlmCost		cost;

	for (int class = 0; class < TOKEN_CLASSES; class++)
		call.tokens[class] = count_argument(fcinfo, ARG_TOKENS + class, token_class_arguments[class]);
	call.requests = count_argument(fcinfo, ARG_REQUESTS, "requests");
	call.tier = tier_argument(fcinfo, ARG_TIER);
	cost = cost_of_llm_call(prices_of_model(home, provider, model, moment_argument(fcinfo, ARG_AT)), &call);
	return llm_cost_datum(fcinfo, &cost);
}

PG_FUNCTION_INFO_V1(ut_calculate_openai_cost);
Datum
ut_calculate_openai_cost(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	LlmCall		call = {.requests = 1, .tier = TIER_STANDARD};
	char	   *model;
	LlmCost		cost;

	call.tokens[TOKENS_INPUT] = count_argument(fcinfo, 0, "input_tokens");
	call.tokens[TOKENS_OUTPUT] = count_argument(fcinfo, 1, "output_tokens");
	model = text_argument(fcinfo, 2, "model");
	cost = cost_of_llm_call(prices_of_model(home, "openai", model, usage_now()), &call);
	return llm_cost_datum(fcinfo, &cost);
}

/* ---- images ---- */

#define MAX_PIXELS 100000		/* a side */

static int
read_side(const char *text, char **end)
{
	long		side;

	*end = (char *) text;
	if (*text < '1' || *text > '9')
		return 0;
	side = strtol(text, end, 10);
	return side > MAX_PIXELS ? 0 : (int) side;
}

/* NULL is a size of zero; else "1024x1792", or "1024-x-1792" as price lists say. */
static ImageSize
size_argument(FunctionCallInfo fcinfo, int n)
{
	ImageSize	size = {0, 0};
	char	   *text = text_argument(fcinfo, n, "size");
	char	   *rest;

	if (text == NULL)
		return size;
	size.width = read_side(text, &rest);
	if (strncmp(rest, "-x-", 3) == 0)
		rest += 3;
	else if (*rest == 'x')
		rest += 1;
	else
		size.width = 0;
	size.height = read_side(rest, &rest);
	if (size.width == 0 || size.height == 0 || *rest != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"size\" must be a width and a height in pixels, such as 1024x1024")));
	return size;
}

PG_FUNCTION_INFO_V1(ut_calculate_image_cost);
Datum
ut_calculate_image_cost(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char	   *provider = text_argument(fcinfo, 0, "provider");
	char	   *model = text_argument(fcinfo, 1, "model");
	int64		images = count_argument(fcinfo, 2, "images");
	ImageSize	size = size_argument(fcinfo, 3);
	char	   *quality = text_argument(fcinfo, 4, "quality");
	TimestampTz at = moment_argument(fcinfo, 5);
	Numeric		price;

	if (find_image_price(home, provider, model, size, quality, at, &price) == NULL)
		return one_cost_datum(fcinfo, NULL);
	return one_cost_datum(fcinfo, num_trim(num_mul(num_from(images), price)));
}

/* ---- video ---- */

PG_FUNCTION_INFO_V1(ut_calculate_video_cost);
Datum
ut_calculate_video_cost(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char	   *provider = text_argument(fcinfo, 0, "provider");
	char	   *model = text_argument(fcinfo, 1, "model");
	Numeric		seconds = amount_argument(fcinfo, 2, "seconds", QUANTITY_DECIMALS);
	char	   *resolution = text_argument(fcinfo, 3, "resolution");
	const ModelPrices *prices = prices_of_model(home, provider, model, moment_argument(fcinfo, 4));
	Numeric		price = prices == NULL ? NULL : find_second_price(prices, resolution);

	return one_cost_datum(fcinfo, price == NULL ? NULL : num_trim(num_mul(seconds, price)));
}
