/*
 * prices.h -- what a model costs.
 */
#ifndef UT_PRICES_H
#define UT_PRICES_H

#include "postgres.h"

#include "query.h"
#include "utils/numeric.h"

typedef enum ServiceTier
{
	TIER_STANDARD,
	TIER_BATCH,
	TIER_FLEX,
	TIER_PRIORITY
} ServiceTier;

/* One price of one unit, such as an input token. */
typedef struct Rate
{
	char	   *class;
	ServiceTier tier;
	int64		above;			/* for calls with more input tokens; 0: for all */
	Numeric		price;
} Rate;

/* One row of model_prices. */
typedef struct ModelPrices
{
	int64		id;
	TimestampTz valid_from;
	TimestampTz valid_to;
	Rate	   *rates;
	int			nrates;
} ModelPrices;

/* Every token of a call is in one of these. */
typedef enum TokenClass
{
	TOKENS_INPUT, TOKENS_OUTPUT, TOKENS_CACHE_READ, TOKENS_CACHE_WRITE, TOKENS_CACHE_WRITE_1H,
	TOKENS_REASONING, TOKENS_AUDIO_INPUT, TOKENS_AUDIO_CACHE_READ, TOKENS_AUDIO_OUTPUT,
	TOKENS_IMAGE_INPUT, TOKENS_IMAGE_OUTPUT, TOKEN_CLASSES
} TokenClass;

typedef struct LlmCall
{
	int64		tokens[TOKEN_CLASSES];
	int64		requests;
	ServiceTier tier;
} LlmCall;

/* In the book's currency; NULL is unknown. */
typedef struct LlmCost
{
	int64		price_id;		/* the row it comes from, 0 if none */
	Numeric		input;
	Numeric		output;
	Numeric		total;
} LlmCost;

/* In pixels; zero if it does not matter. */
typedef struct ImageSize
{
	int			width;
	int			height;
} ImageSize;

extern const char *const service_tier_names[];
extern const char *const token_class_arguments[TOKEN_CLASSES];

extern void prices_init(void);
extern bool service_tier_from_name(const char *name, ServiceTier *tier);
extern const ModelPrices *prices_of_model(const Installation *home, const char *provider,
										  const char *model, TimestampTz at);
extern Numeric find_rate(const ModelPrices *prices, const char *class, ServiceTier tier,
						 int64 input_tokens);
extern LlmCost cost_of_llm_call(const ModelPrices *prices, const LlmCall *call);

/* prices_calls.c */
extern ServiceTier tier_argument(FunctionCallInfo fcinfo, int n);

/* prices_media.c */
extern const ModelPrices *find_image_price(const Installation *home, const char *provider, const char *model,
										   ImageSize size, const char *quality, TimestampTz at, Numeric *price);
extern Numeric find_second_price(const ModelPrices *prices, const char *resolution);
extern LlmCost cost_of_call(const Installation *home, const char *provider, const char *model,
							const LlmCall *call, Numeric units, TimestampTz at);

#endif							/* UT_PRICES_H */
