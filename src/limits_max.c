/*
 * limits_max.c -- how much of a limit one user may.
 *
 * The first that says something counts: what was set for the user, the setting
 * limit_overrides, a temporary limit for his plan, one for everybody, the plan,
 * the limit.  Negative is unlimited.
 */
#include "compat.h"

#include "limits.h"
#include "numbers.h"
#include "settings.h"

static Numeric
set_for_user(const UsageLimit *limit, const UserTerms *terms)
{
	for (int i = 0; i < terms->noverrides; i++)
		if (strcmp(terms->overrides[i].limit_type, limit->name) == 0)
			return terms->overrides[i].max_usage;
	return NULL;
}

static Numeric
set_by_setting(const UsageLimit *limit, const UserTerms *terms)
{
	const char *number = limit_override(limit->name, terms->plan);

	if (number == NULL)
		return NULL;
	return num_trim(DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(number),
														ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
}

static bool
is_for_plan(const TemporaryLimit *temporary, const char *plan)
{
	if (plan == NULL || temporary->plan == NULL)
		return plan == temporary->plan;
	return strcmp(plan, temporary->plan) == 0;
}

/* Of those that hold now, the last to begin; "plan" is NULL for everybody. */
static Numeric
set_for_now(const UsageLimit *limit, const UserTerms *terms, const char *plan)
{
	for (int i = 0; i < limit->ntemporary; i++)
	{
		const TemporaryLimit *temporary = &limit->temporary[i];

		if (temporary->starts_at <= terms->now && terms->now < temporary->ends_at &&
			is_for_plan(temporary, plan))
			return temporary->max_usage;
	}
	return NULL;
}

static Numeric
set_for_plan(const UsageLimit *limit, const UserTerms *terms)
{
	for (int i = 0; i < limit->nplans; i++)
		if (strcmp(limit->plans[i].plan, terms->plan) == 0)
			return limit->plans[i].max_usage;
	return NULL;
}

Numeric
max_usage_of(const UsageLimit *limit, const UserTerms *terms)
{
	Numeric		max_usage = set_for_user(limit, terms);

	if (max_usage == NULL)
		max_usage = set_by_setting(limit, terms);
	if (max_usage == NULL)
		max_usage = set_for_now(limit, terms, terms->plan);
	if (max_usage == NULL)
		max_usage = set_for_now(limit, terms, NULL);
	if (max_usage == NULL)
		max_usage = set_for_plan(limit, terms);
	return max_usage != NULL ? max_usage : limit->max_usage;
}
