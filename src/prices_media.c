/*
 * prices_media.c -- what is not billed by the token: images, and seconds.
 */
#include "compat.h"

#include "numbers.h"
#include "prices.h"

/* ---- images ---- */

static Numeric
price_of_image(const ModelPrices *prices, ImageSize size)
{
	Numeric		price = find_rate(prices, "output_image", TIER_STANDARD, 0);
	Numeric		input;
	Numeric		output;

	if (price == NULL)
		price = find_rate(prices, "input_image", TIER_STANDARD, 0);
	if (price != NULL || size.width == 0)
		return price;
	input = find_rate(prices, "input_pixel", TIER_STANDARD, 0);
	output = find_rate(prices, "output_pixel", TIER_STANDARD, 0);
	if (input == NULL && output == NULL)
		return NULL;
	return num_mul(num_from((int64) size.width * size.height),
				   num_add(input == NULL ? num_zero : input, output == NULL ? num_zero : output));
}

/*
 * Price lists put quality and size before the model's name: that which says most
 * counts.  NULL if the model is not billed by the image.
 */
const ModelPrices *
find_image_price(const Installation *home, const char *provider, const char *model,
				 ImageSize size, const char *quality, TimestampTz at, Numeric *price)
{
	const char *wanted = quality == NULL ? "standard" : quality;
	char	   *names[4];
	int			count = 0;

	if (model == NULL)
		return NULL;
	if (size.width > 0)
	{
		names[count++] = psprintf("%s/%d-x-%d/%s", wanted, size.width, size.height, model);
		names[count++] = psprintf("%d-x-%d/%s", size.width, size.height, model);
	}
	names[count++] = psprintf("%s/%s", wanted, model);
	names[count++] = pstrdup(model);
	for (int i = 0; i < count; i++)
	{
		const ModelPrices *prices = prices_of_model(home, provider, names[i], at);

		*price = prices == NULL ? NULL : price_of_image(prices, size);
		if (*price != NULL)
			return prices;
	}
	return NULL;
}

/* ---- seconds ---- */

/* Of video, or of anything; NULL if it is not billed by the second. */
Numeric
find_second_price(const ModelPrices *prices, const char *resolution)
{
	static const char *const classes[] = {"output_video_second", "output_second"};
	Numeric		price = NULL;

	for (int i = 0; i < lengthof(classes) && resolution != NULL && price == NULL; i++)
		price = find_rate(prices, psprintf("%s_%s", classes[i], resolution), TIER_STANDARD, 0);
	for (int i = 0; i < lengthof(classes) && price == NULL; i++)
		price = find_rate(prices, classes[i], TIER_STANDARD, 0);
	return price;
}

/* ---- a call of any model ---- */

static bool
has_tokens(const LlmCall *call)
{
	for (int class = 0; class < TOKEN_CLASSES; class++)
		if (call->tokens[class] != 0)
			return true;
	return false;
}

static LlmCost
cost_of_units(const ModelPrices *prices, Numeric units, Numeric price)
{
	LlmCost		cost = {prices->id, num_zero, num_zero};

	cost.total = num_trim(num_mul(units, price));
	return cost;
}

/* Of a model of tokens, the price of an image may be that of one it is shown. */
static bool
takes_images(const ModelPrices *prices)
{
	return find_rate(prices, "output_image", TIER_STANDARD, 0) == NULL &&
		find_rate(prices, "input", TIER_STANDARD, 0) != NULL;
}

/*
 * A call without tokens, of a model that is billed by the image or by the
 * second, made so many of them.
 */
LlmCost
cost_of_call(const Installation *home, const char *provider, const char *model,
			 const LlmCall *call, Numeric units, TimestampTz at)
{
	const ImageSize any_size = {0, 0};
	const ModelPrices *prices;
	Numeric		price = NULL;

	if (has_tokens(call) || num_sign(units) == 0)
		return cost_of_llm_call(prices_of_model(home, provider, model, at), call);
	prices = find_image_price(home, provider, model, any_size, NULL, at, &price);
	if (prices == NULL || takes_images(prices))
	{
		prices = prices_of_model(home, provider, model, at);
		price = prices == NULL ? NULL : find_second_price(prices, NULL);
	}
	return price == NULL ? cost_of_llm_call(prices, call) : cost_of_units(prices, units, price);
}
