/*
 * prices_cost.c -- what a call of a language model costs.
 *
 * Exact: counts times prices, added up; nothing is divided or rounded.
 */
#include "compat.h"

#include "common/int.h"
#include "numbers.h"
#include "prices.h"

/*
 * A class without a price of its own has that of another one, never a cheaper
 * one: who lists no discount for cached tokens gives none.
 */
typedef struct ClassOfTokens
{
	const char *name;
	TokenClass	otherwise;		/* itself: nothing */
	bool		is_output;
} ClassOfTokens;

static const ClassOfTokens classes[TOKEN_CLASSES] = {
	[TOKENS_INPUT] = {"input", TOKENS_INPUT, false},
	[TOKENS_OUTPUT] = {"output", TOKENS_OUTPUT, true},
	[TOKENS_CACHE_READ] = {"cache_read", TOKENS_INPUT, false},
	[TOKENS_CACHE_WRITE] = {"cache_write", TOKENS_INPUT, false},
	[TOKENS_CACHE_WRITE_1H] = {"cache_write_1h", TOKENS_CACHE_WRITE, false},
	[TOKENS_REASONING] = {"reasoning", TOKENS_OUTPUT, true},
	[TOKENS_AUDIO_INPUT] = {"audio_input", TOKENS_INPUT, false},
	[TOKENS_AUDIO_CACHE_READ] = {"audio_cache_read", TOKENS_AUDIO_INPUT, false},
	[TOKENS_AUDIO_OUTPUT] = {"audio_output", TOKENS_OUTPUT, true},
	[TOKENS_IMAGE_INPUT] = {"image_input", TOKENS_INPUT, false},
	[TOKENS_IMAGE_OUTPUT] = {"image_output", TOKENS_OUTPUT, true}
};

/* What thresholds are compared with; beyond every threshold if it does not fit. */
static int64
input_of_call(const LlmCall *call)
{
	int64		sum = 0;

	for (int class = 0; class < TOKEN_CLASSES; class++)
		if (!classes[class].is_output && pg_add_s64_overflow(sum, call->tokens[class], &sum))
			return PG_INT64_MAX;
	return sum;
}

static Numeric
rate_of_tokens(const ModelPrices *prices, TokenClass class, ServiceTier tier, int64 input_tokens)
{
	for (;;)
	{
		Numeric		rate = find_rate(prices, classes[class].name, tier, input_tokens);

		if (rate != NULL || classes[class].otherwise == class)
			return rate;
		class = classes[class].otherwise;
	}
}

/* NULL plus anything is NULL. */
static void
add_cost(Numeric *sum, int64 count, Numeric rate)
{
	if (*sum != NULL)
		*sum = rate == NULL ? NULL : num_add(*sum, num_mul(num_from(count), rate));
}

/* Without prices, or without one that it needs, the cost is unknown: not zero. */
LlmCost
cost_of_llm_call(const ModelPrices *prices, const LlmCall *call)
{
	LlmCost		cost = {0};
	int64		input_tokens = input_of_call(call);
	Numeric		per_request;

	if (prices == NULL)
		return cost;
	cost.price_id = prices->id;
	cost.input = cost.output = num_zero;
	for (int class = 0; class < TOKEN_CLASSES; class++)
		if (call->tokens[class] > 0)
			add_cost(classes[class].is_output ? &cost.output : &cost.input, call->tokens[class],
					 rate_of_tokens(prices, class, call->tier, input_tokens));
	per_request = find_rate(prices, "request", call->tier, input_tokens);
	if (per_request != NULL)
		add_cost(&cost.input, call->requests, per_request);
	if (cost.input != NULL)
		cost.input = num_trim(cost.input);
	if (cost.output != NULL)
		cost.output = num_trim(cost.output);
	if (cost.input != NULL && cost.output != NULL)
		cost.total = num_trim(num_add(cost.input, cost.output));
	return cost;
}
