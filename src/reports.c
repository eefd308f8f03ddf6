/*
 * reports.c -- what do I show?
 *
 * The figures come from the same stakes that decide, so what is shown is what
 * will be decided.
 */
#include "compat.h"

#include "funcapi.h"
#include "numbers.h"
#include "settings.h"
#include "usage.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define USER_USAGE_COLUMNS 13


static Numeric
used_or_held(const Stake *stake)
{
	return num_trim(num_add(stake->used, stake->held));
}

static Numeric
percent_of(const Stake *stake)
{
	Datum		ratio = NumericGetDatum(num_from(100));

	if (num_sign(stake->max_usage) != 0)
		ratio = DirectFunctionCall2(numeric_div, NumericGetDatum(num_mul(used_or_held(stake), num_from(100))),
									NumericGetDatum(stake->max_usage));
	return DatumGetNumeric(DirectFunctionCall2(numeric_round, ratio, Int32GetDatum(1)));
}

static Numeric
remaining_of(const Stake *stake)
{
	Numeric		rest = num_sub(stake->max_usage, used_or_held(stake));

	return num_sign(rest) < 0 ? num_from(0) : rest;
}

static void
put_row(ReturnSetInfo *result, const UserTerms *terms, const Stake *stake)
{
	const UsageLimit *limit = stake->limit;
	bool		unlimited = is_unlimited(stake);
	TimestampTz reset_at = all_back_at(stake, false);
	Datum		values[USER_USAGE_COLUMNS] = {0};
	bool		nulls[USER_USAGE_COLUMNS] = {false};

	values[0] = CStringGetTextDatum(limit->name);
	if (!(nulls[1] = limit->usage_type == NULL))
		values[1] = CStringGetTextDatum(limit->usage_type);
	values[2] = CStringGetTextDatum(measure_names[limit->measure]);
	values[3] = NumericGetDatum(used_or_held(stake));
	values[4] = NumericGetDatum(stake->held);
	values[5] = NumericGetDatum(stake->max_usage);
	if (!(nulls[6] = nulls[7] = unlimited))
	{
		values[6] = NumericGetDatum(remaining_of(stake));
		values[7] = NumericGetDatum(percent_of(stake));
	}
	values[8] = TimestampTzGetDatum(stake->window.start);
	nulls[8] = TIMESTAMP_IS_NOBEGIN(stake->window.start);
	values[9] = TimestampTzGetDatum(reset_at);
	nulls[9] = TIMESTAMP_IS_NOEND(reset_at);
	values[10] = CStringGetTextDatum(limit->is_hard ? "hard" : "soft");
	values[11] = BoolGetDatum(limit->is_active && setting_enforce_limits && setting_enabled);
	values[12] = CStringGetTextDatum(terms->plan);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* The limits of one kind, or those that are not. */
static Stakes
stakes_of(const Config *config, const UserTerms *terms, bool (*is_one) (const UsageLimit *))
{
	Stakes		stakes = {palloc(config->nlimits * sizeof(Stake))};

	for (int i = 0; i < config->nlimits; i++)
		if (is_one(&config->limits[i]))
			stakes.all[stakes.n++] = stake_in(&config->limits[i], terms, terms->now);
	return stakes;
}

static void
put_rows(ReturnSetInfo *result, Datum user_id)
{
	const Config *config = current_config();
	TimestampTz now = usage_now();
	UserTerms	terms = terms_of_user(user_id, now, false);
	Stakes		counted = stakes_of(config, &terms, limit_is_counted);
	Stakes		gauges = stakes_of(config, &terms, limit_is_gauge);
	int			next = 0;
	int			next_gauge = 0;

	read_counters(user_id, now, now, &counted, false);
	read_levels(user_id, &gauges, false);
	for (int i = 0; i < config->nlimits; i++)
	{
		Stake		bare = stake_in(&config->limits[i], &terms, now);

		if (limit_is_counted(bare.limit))
			bare = counted.all[next++];
		else if (limit_is_gauge(bare.limit))
			bare = gauges.all[next_gauge++];
		put_row(result, &terms, &bare);
	}
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_usage_of_user);
Datum
ut_usage_of_user(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id;
	Disguise	before;

	user_id = user_to_see(home, fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	become_owner(home, &before);
	put_rows((ReturnSetInfo *) fcinfo->resultinfo, user_id);
	become_caller(&before);
	return (Datum) 0;
}
