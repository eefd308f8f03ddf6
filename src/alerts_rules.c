/*
 * alerts_rules.c -- at which part of which limit an alert is raised.
 *
 * The rules are configuration: small, and kept whole in each backend until a
 * trigger on the table says that they changed.  A limit has rules of its own, or
 * those for every limit, or those that the setting lists.
 */
#include "compat.h"

#include "alerts.h"
#include "numbers.h"
#include "settings.h"
#include "utils/memutils.h"

/* By limit and threshold; those for every limit come last. */
typedef struct AlertRules
{
	AlertRule  *all;
	int			n;
	int			ngeneral;
	char	   *setting;		/* what it said when they were read */
} AlertRules;

static MemoryContext rules_context = NULL;
static AlertRules rules;
static bool rules_valid = false;

static void
forget_rules(void)
{
	rules_valid = false;
}

void
alert_rules_init(void)
{
	on_config_change(forget_rules);
}

static Statement read_rules = {
	"SELECT limit_type, threshold, is_active, throttle FROM @extschema@.usage_alert_rules"
	" ORDER BY limit_type COLLATE pg_catalog.\"C\" NULLS LAST, threshold",
	0
};

static void
read_rule(AlertRule *rule, uint64 row)
{
	char	   *limit_type = result_text(row, 1);
	bool		isnull;
	Datum		throttle = result_datum(row, 4, &isnull);

	rule->limit_type = limit_type == NULL ? NULL : pstrdup(limit_type);
	rule->threshold = result_numeric(row, 2);
	rule->is_active = result_bool(row, 3);
	rule->has_throttle = !isnull;
	if (!isnull)
		rule->throttle = *DatumGetIntervalP(throttle);
}

static int
compare_rules(const void *a, const void *b)
{
	return num_cmp(((const AlertRule *) a)->threshold, ((const AlertRule *) b)->threshold);
}

/* The setting's check hook has let numbers and commas through, and nothing else. */
static void
read_setting(AlertRules *into)
{
	char	   *list = pstrdup(into->setting);
	char	   *at = list;
	int			length;

	for (; (length = strspn(at += strspn(at, ", "), "0123456789.")) > 0; at += length)
	{
		AlertRule  *rule = &into->all[into->n + into->ngeneral++];
		char	   *number = pnstrdup(at, length);

		rule->is_active = true;
		rule->threshold = num_trim(DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(number),
																	   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
		pfree(number);
	}
	pfree(list);
	qsort(&into->all[into->n], into->ngeneral, sizeof(AlertRule), compare_rules);
}

static void
load_rules(void)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext fresh = AllocSetContextCreate(caller, "usage_tracking alert rules", ALLOCSET_SMALL_SIZES);
	AlertRules	loaded = {0};
	uint64		rows = statement_look_afresh(&read_rules, NULL, NULL);

	MemoryContextSwitchTo(fresh);
	loaded.setting = pstrdup(setting_alert_thresholds);
	loaded.all = palloc0((rows + strlen(loaded.setting) / 2 + 1) * sizeof(AlertRule));
	for (uint64 row = 0; row < rows; row++)
	{
		read_rule(&loaded.all[row], row);
		if (loaded.all[row].limit_type == NULL)
			loaded.ngeneral++;
	}
	loaded.n = rows - loaded.ngeneral;
	if (loaded.ngeneral == 0)
		read_setting(&loaded);
	MemoryContextSwitchTo(caller);

	MemoryContextSetParent(fresh, CacheMemoryContext);	/* complete: keep it */
	if (rules_context != NULL)
		MemoryContextDelete(rules_context);
	rules_context = fresh;
	rules = loaded;
}

static void
be_current(void)
{
	while (!rules_valid || strcmp(rules.setting, setting_alert_thresholds) != 0)
	{
		rules_valid = true;		/* first: a change may arrive while we read */
		PG_TRY();
		{
			load_rules();
		}
		PG_CATCH();
		{
			rules_valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
}

/*
 * The rules that hold for a limit, the lowest threshold first.  The caller is
 * connected to SPI as the owner and has just read the configuration; the answer
 * holds until he does so again.
 */
const AlertRule *
rules_of_limit(const UsageLimit *limit, int *n)
{
	int			first = 0;

	be_current();
	while (first < rules.n && strcmp(rules.all[first].limit_type, limit->name) != 0)
		first++;
	*n = rules.ngeneral;
	if (first == rules.n)
		return &rules.all[first];
	for (*n = 1; first + *n < rules.n && strcmp(rules.all[first + *n].limit_type, limit->name) == 0; (*n)++)
		;
	return &rules.all[first];
}
