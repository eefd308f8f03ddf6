/*
 * limits.c -- how much may they?
 *
 * The configuration (usage_types, usage_limits, plan_limits, temporary_limits) is
 * small and kept whole in each backend, but for temporary limits that are over.
 * Triggers on those tables send an invalidation; the next
 * current_config() reads them again with a snapshot of that moment, at every
 * isolation level.  What belongs to one user is read at each call.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "errors.h"
#include "limits.h"
#include "numbers.h"
#include "settings.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static MemoryContext config_context = NULL;
static Config config;
static bool config_valid = false;

static void
forget_config(void)
{
	config_valid = false;
}

void
limits_init(void)
{
	on_config_change(forget_config);
}

/*
 * ---- reading the configuration ----
 *
 * Each loader runs its query, which leaves SPI's context current, and then
 * allocates in the one that is to be kept.
 */

static Statement read_types = {
	"SELECT usage_type FROM @extschema@.usage_types ORDER BY usage_type COLLATE pg_catalog.\"C\"",
	0
};

static Statement read_limits = {
	"SELECT limit_id, limit_type, usage_type, max_usage, window_kind, period, measure,"
	" enforcement OPERATOR(pg_catalog.=) 'hard', is_active, time_zone, statuses"
	" FROM @extschema@.usage_limits ORDER BY limit_type COLLATE pg_catalog.\"C\"",
	0
};

static Statement read_plan_limits = {
	"SELECT limit_type, plan, max_usage FROM @extschema@.plan_limits"
	" ORDER BY limit_type COLLATE pg_catalog.\"C\"",
	0
};

static Statement read_temporary_limits = {
	"SELECT limit_type, plan, starts_at, ends_at, max_usage FROM @extschema@.temporary_limits"
	" WHERE ends_at OPERATOR(pg_catalog.>) $1"
	" ORDER BY limit_type COLLATE pg_catalog.\"C\", starts_at DESC",
	1, {TIMESTAMPTZOID}
};

static char *
copy_text(const char *text)
{
	return text == NULL ? NULL : pstrdup(text);
}

const char *const measure_names[] = {"events", "quantity", "tokens", "cost", NULL};

static Measure
measure_from_name(const char *name)
{
	int			measure = 0;

	while (strcmp(measure_names[measure], name) != 0)
		measure++;				/* a constraint lets no other name in */
	return (Measure) measure;
}

static void
read_statuses(UsageLimit *limit, uint64 row, int column)
{
	bool		isnull;
	Datum	   *names;

	limit->statuses = DatumGetArrayTypePCopy(result_datum(row, column, &isnull));
	deconstruct_array(limit->statuses, TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &limit->nstatuses);
	limit->status_names = palloc(limit->nstatuses * sizeof(char *));
	for (int i = 0; i < limit->nstatuses; i++)
		limit->status_names[i] = TextDatumGetCString(names[i]);
}

static void
read_limit(UsageLimit *limit, uint64 row)
{
	bool		isnull;
	Datum		period;
	char	   *zone;

	limit->id = result_int64(row, 1);
	limit->name = copy_text(result_text(row, 2));
	limit->usage_type = copy_text(result_text(row, 3));
	limit->max_usage = result_numeric(row, 4);
	if (!window_kind_from_name(result_text(row, 5), &limit->kind))
		elog(ERROR, "unrecognized window kind of limit \"%s\"", limit->name);
	period = result_datum(row, 6, &isnull);
	if (!isnull)
		limit->period = *DatumGetIntervalP(period);
	limit->measure = measure_from_name(result_text(row, 7));
	limit->is_hard = result_bool(row, 8);
	limit->is_active = result_bool(row, 9);
	zone = result_text(row, 10);
	limit->zone = zone == NULL ? NULL : find_time_zone(zone);
	read_statuses(limit, row, 11);
}

static void
load_types(Config *into, MemoryContext keep)
{
	into->ntypes = statement_look_afresh(&read_types, NULL, NULL);
	MemoryContextSwitchTo(keep);
	into->usage_types = palloc(into->ntypes * sizeof(char *));
	for (int i = 0; i < into->ntypes; i++)
		into->usage_types[i] = copy_text(result_text(i, 1));
}

static void
load_limits(Config *into, MemoryContext keep)
{
	into->nlimits = statement_look_afresh(&read_limits, NULL, NULL);
	MemoryContextSwitchTo(keep);
	into->limits = palloc0(into->nlimits * sizeof(UsageLimit));
	for (int i = 0; i < into->nlimits; i++)
		read_limit(&into->limits[i], i);
}

/* Both lists are in the order of limit names. */
static void
load_plan_limits(Config *into, MemoryContext keep)
{
	uint64		rows = statement_look_afresh(&read_plan_limits, NULL, NULL);
	PlanLimit  *all;

	MemoryContextSwitchTo(keep);
	all = palloc(rows * sizeof(PlanLimit));
	for (uint64 row = 0; row < rows; row++)
	{
		UsageLimit *limit = (UsageLimit *) find_limit(into, result_text(row, 1));

		all[row].plan = copy_text(result_text(row, 2));
		all[row].max_usage = result_numeric(row, 3);
		if (limit == NULL)
			continue;			/* its limit was made since the last query */
		if (limit->nplans++ == 0)
			limit->plans = &all[row];
	}
}

static void
load_temporary_limits(Config *into, MemoryContext keep)
{
	Datum		args[] = {TimestampTzGetDatum(into->as_of)};
	uint64		rows = statement_look_afresh(&read_temporary_limits, args, NULL);
	TemporaryLimit *all;

	MemoryContextSwitchTo(keep);
	all = palloc(rows * sizeof(TemporaryLimit));
	for (uint64 row = 0; row < rows; row++)
	{
		UsageLimit *limit = (UsageLimit *) find_limit(into, result_text(row, 1));

		all[row].plan = copy_text(result_text(row, 2));
		all[row].starts_at = result_time(row, 3, DT_NOBEGIN);
		all[row].ends_at = result_time(row, 4, DT_NOEND);
		all[row].max_usage = result_numeric(row, 5);
		if (limit == NULL)
			continue;			/* as above */
		if (limit->ntemporary++ == 0)
			limit->temporary = &all[row];
	}
}

static void
load_config(void)
{
	MemoryContext fresh = AllocSetContextCreate(CurrentMemoryContext, "usage_tracking configuration",
												ALLOCSET_SMALL_SIZES);
	MemoryContext caller = CurrentMemoryContext;
	Config		loaded = {0};

	loaded.as_of = usage_now();
	load_types(&loaded, fresh);
	load_limits(&loaded, fresh);
	load_plan_limits(&loaded, fresh);
	load_temporary_limits(&loaded, fresh);
	MemoryContextSwitchTo(caller);

	MemoryContextSetParent(fresh, CacheMemoryContext);	/* complete: keep it */
	if (config_context != NULL)
		MemoryContextDelete(config_context);
	config_context = fresh;
	config = loaded;
}

/*
 * The configuration as of now; the caller is connected to SPI as the owner.
 * The answer holds until the next call.
 */
const Config *
current_config(void)
{
	AcceptInvalidationMessages();
	if (usage_now() < config.as_of)
		config_valid = false;	/* the clock was put back */
	while (!config_valid)
	{
		config_valid = true;	/* first: a change may arrive while we read */
		PG_TRY();
		{
			load_config();
		}
		PG_CATCH();
		{
			config_valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	return &config;
}

static int
compare_limit(const void *name, const void *limit)
{
	return strcmp(name, ((const UsageLimit *) limit)->name);
}

const UsageLimit *
find_limit(const Config *in, const char *name)
{
	if (in->nlimits == 0)
		return NULL;
	return bsearch(name, in->limits, in->nlimits, sizeof(UsageLimit), compare_limit);
}

static int
compare_type(const void *name, const void *usage_type)
{
	return strcmp(name, *(char *const *) usage_type);
}

bool
is_usage_type(const Config *in, const char *name)
{
	return in->ntypes > 0 &&
		bsearch(name, in->usage_types, in->ntypes, sizeof(char *), compare_type) != NULL;
}

void
check_usage_type(const Config *config, const char *usage_type)
{
	if (!is_usage_type(config, usage_type))
		ereport(ERROR,
				(errcode(ERRCODE_UT_UNREGISTERED),
				 errmsg("usage type \"%s\" is not registered", usage_type),
				 errhint("Register it with define_usage_type(), or define a limit on it.")));
}

bool
limit_covers(const UsageLimit *limit, const char *usage_type)
{
	return limit->usage_type == NULL || strcmp(limit->usage_type, usage_type) == 0;
}

bool
limit_counts_status(const UsageLimit *limit, const char *status)
{
	for (int i = 0; i < limit->nstatuses; i++)
		if (strcmp(limit->status_names[i], status) == 0)
			return true;
	return false;
}
