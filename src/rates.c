/*
 * rates.c -- how fast, how many at once?  Levels of gauges.
 *
 * A level goes up and down by what the application says; it is no event.  What is
 * decided about it is decided under the lock of its row (counters_levels.c), with
 * the same stakes as a use.
 */
#include "compat.h"

#include "arguments.h"
#include "common/hashfn.h"
#include "errors.h"
#include "locks.h"
#include "numbers.h"
#include "rates.h"
#include "settings.h"
#include "storage/lmgr.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* Good until the configuration is asked for again. */
const UsageLimit *
find_gauge(const char *limit_type)
{
	const UsageLimit *limit;

	check_limit_exists(limit_type);
	limit = find_limit(current_config(), limit_type);
	if (!limit_is_gauge(limit))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("usage limit \"%s\" is not a gauge", limit_type),
				 errhint("Levels and leases are of limits with window kind \"gauge\".")));
	return limit;
}

static Stakes
stakes_of_gauge(Datum user_id, const UserTerms *terms, const char *limit_type, Numeric amount)
{
	Stakes		stakes = {palloc(sizeof(Stake)), 1};

	stakes.all[0] = stake_in(find_gauge(limit_type), terms, terms->now);
	stakes.all[0].amount = amount;
	read_levels(user_id, &stakes, true);
	return stakes;
}

/* As it stands at this moment: good for refusing on sight. */
Stakes
weigh_gauge(Datum user_id, const char *limit_type, Numeric amount)
{
	UserTerms	terms = terms_of_user(user_id, usage_now(), true);

	return stakes_of_gauge(user_id, &terms, limit_type, amount);
}

/* As it stands until we end, but for room that others make. */
Stakes
weigh_gauge_locked(Datum user_id, const char *limit_type, Numeric amount)
{
	UserTerms	terms;

	(void) known_terms(user_id, usage_now());
	lock_level(user_id, limit_type);
	terms = terms_of_user(user_id, usage_now(), true);	/* only now is it now */
	return stakes_of_gauge(user_id, &terms, limit_type, amount);
}

/*
 * Who sets levels shares it; who begins to keep them equal to a table waits for him,
 * and keeps him out.
 */
void
lock_gauge(const Installation *home, const char *limit_type, LOCKMODE mode)
{
	uint32		hash = hash_bytes((const unsigned char *) limit_type, strlen(limit_type));

	LockDatabaseObject(get_relname_relid("usage_levels", home->schema), hash, 0, mode);
}

/* What no limit can stop. */
Decision
decision_on_fact(const Stakes *stakes)
{
	Decision	decision = decide(stakes, true);

	if (!decision.allowed)
		decision.reason = "overage";
	decision.allowed = true;
	return decision;
}

void
check_level_in_range(const char *limit_type, Numeric level)
{
	if (num_cmp(level, num_too_large) >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("level of \"%s\" is out of range", limit_type)));
}

static void
check_level(const char *limit_type, Numeric before, Numeric level)
{
	if (num_sign(level) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("level of \"%s\" must not become negative", limit_type),
				 errdetail("The level is %s.", num_text(before))));
	check_level_in_range(limit_type, level);
}

static Decision
set_level(const Installation *home, Datum user_id, const char *limit_type, Numeric level)
{
	Stakes		stakes;

	(void) find_gauge(limit_type);
	lock_gauge(home, limit_type, RowExclusiveLock);
	check_follows_no_table(limit_type);
	if (!setting_enabled)
		return decision_not_made();
	lock_user(home, user_id);
	stakes = weigh_gauge_locked(user_id, limit_type, level);
	if (num_cmp(stakes.all[0].used, level) != 0)
		write_level(user_id, limit_type, level);
	stakes.all[0].used = num_zero;	/* all of it is what was just said */
	return decision_on_fact(&stakes);
}

static Decision
add_level(const Installation *home, Datum user_id, const char *limit_type, Numeric delta)
{
	Stakes		stakes;
	Decision	decision;
	Numeric		level;

	(void) find_gauge(limit_type);
	lock_gauge(home, limit_type, RowExclusiveLock);
	check_follows_no_table(limit_type);
	if (!setting_enabled)
		return decision_not_made();
	lock_user(home, user_id);
	stakes = weigh_gauge(user_id, limit_type, delta);
	decision = decide(&stakes, false);
	if (!decision.allowed)
		return decision;
	stakes = weigh_gauge_locked(user_id, limit_type, delta);
	decision = decide(&stakes, false);
	if (!decision.allowed)
		return decision;
	level = num_trim(num_add(stakes.all[0].used, delta));
	check_level(limit_type, stakes.all[0].used, level);
	if (num_sign(delta) != 0)
		write_level(user_id, limit_type, level);
	return decide(&stakes, true);
}

/* ---- everything below only translates between SQL and the above ---- */

typedef Decision (*LevelChange) (const Installation *home, Datum user_id, const char *limit_type, Numeric value);
typedef Numeric (*ValueArgument) (FunctionCallInfo fcinfo, int n, const char *argument, int decimals);

static Datum
change_level(FunctionCallInfo fcinfo, LevelChange change, ValueArgument value_argument, const char *name)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Datum		user_id;
	char	   *limit_type;
	Numeric		value;
	Decision	decision;
	Disguise	before;
	Datum		result;

	check_is_admin_or_server(home);
	user_id = user_id_argument(home, fcinfo);
	limit_type = name_argument(fcinfo, 1, "limit_type");
	value = value_argument(fcinfo, 2, name, QUANTITY_DECIMALS);
	become_owner(home, &before);
	decision = change(home, user_id, limit_type, value);
	MemoryContextSwitchTo(caller);
	result = decision_datum(fcinfo, &decision);
	become_caller(&before);
	return result;
}

PG_FUNCTION_INFO_V1(ut_set_usage_level);
Datum
ut_set_usage_level(PG_FUNCTION_ARGS)
{
	return change_level(fcinfo, set_level, amount_argument, "level");
}

PG_FUNCTION_INFO_V1(ut_add_usage_level);
Datum
ut_add_usage_level(PG_FUNCTION_ARGS)
{
	return change_level(fcinfo, add_level, delta_argument, "delta");
}
