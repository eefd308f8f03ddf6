/*
 * settings_overrides.c -- the list in usage_tracking.limit_overrides.
 *
 * It is read once, when it is set.  Its numbers stay texts until one is wanted,
 * because making a numeric may raise an error, which a check hook must not do.
 */
#include "compat.h"

#include "arguments.h"
#include "parser/scansup.h"
#include "settings.h"
#include "utils/guc.h"

typedef struct LimitOverride
{
	char	   *limit_type;
	char	   *plan;
	char	   *max_usage;
} LimitOverride;

/* One block of memory, with the texts behind the entries. */
typedef struct LimitOverrides
{
	int			n;
	LimitOverride entries[FLEXIBLE_ARRAY_MEMBER];
} LimitOverrides;

static const LimitOverrides *overrides = NULL;

static char *
trim(char *text)
{
	char	   *end = text + strlen(text);

	while (end > text && scanner_isspace(end[-1]))
		*--end = '\0';
	while (scanner_isspace(*text))
		text++;
	return text;
}

/* As max_usage_argument() wants it: -1, or digits with few decimals. */
static bool
is_maximum(const char *text)
{
	size_t		whole = strspn(text, "0123456789");
	size_t		decimals;

	if (strcmp(text, "-1") == 0)
		return true;
	if (whole < 1 || whole > MAX_WHOLE_DIGITS)
		return false;
	if (text[whole] == '\0')
		return true;
	decimals = strspn(text + whole + 1, "0123456789");
	return text[whole] == '.' && decimals >= 1 && decimals <= QUANTITY_DECIMALS &&
		text[whole + 1 + decimals] == '\0';
}

/* limit.plan=maximum; the limit's name may have dots, the plan's has none. */
static bool
split_entry(char *text, LimitOverride *entry)
{
	char	   *equals = strchr(text, '=');
	char	   *dot;

	if (equals == NULL)
		return false;
	*equals = '\0';
	entry->limit_type = trim(text);
	entry->max_usage = trim(equals + 1);
	dot = strrchr(entry->limit_type, '.');
	if (dot == NULL)
		return false;
	*dot = '\0';
	entry->plan = dot + 1;
	return is_name(entry->limit_type) && is_plain_name(entry->plan) && is_maximum(entry->max_usage);
}

static const LimitOverride *
find_override(const LimitOverride *entries, int n, const char *limit_type, const char *plan)
{
	for (int i = 0; i < n; i++)
		if (strcmp(entries[i].limit_type, limit_type) == 0 && strcmp(entries[i].plan, plan) == 0)
			return &entries[i];
	return NULL;
}

/* Cuts the list up where it stands.  False: the n-th entry, from 0, is not good. */
static bool
split_list(char *text, LimitOverride *entries, int *n)
{
	*n = 0;
	if (*trim(text) == '\0')
		return true;
	for (char *next = text; next != NULL;)
	{
		char	   *comma = strchr(next, ',');

		if (comma != NULL)
			*comma = '\0';
		if (!split_entry(next, &entries[*n]) ||
			find_override(entries, *n, entries[*n].limit_type, entries[*n].plan) != NULL)
			return false;
		(*n)++;
		next = comma == NULL ? NULL : comma + 1;
	}
	return true;
}

static int
most_entries(const char *text)
{
	int			n = 1;

	for (; *text != '\0'; text++)
		n += *text == ',';
	return n;
}

bool
check_limit_overrides(char **newval, void **extra, GucSource source)
{
	int			room = most_entries(*newval);
	size_t		entries_size = offsetof(LimitOverrides, entries) + room * sizeof(LimitOverride);
	LimitOverride *tried = palloc(room * sizeof(LimitOverride));
	LimitOverrides *kept;
	int			n;

	if (!split_list(pstrdup(*newval), tried, &n))
	{
		GUC_check_errdetail("Entry %d is not of the form limit.plan=maximum, or repeats one before it.", n + 1);
		return false;
	}
	kept = guc_malloc(LOG, entries_size + strlen(*newval) + 1);
	if (kept == NULL)
		return false;
	strcpy((char *) kept + entries_size, *newval);
	(void) split_list((char *) kept + entries_size, kept->entries, &kept->n);
	*extra = kept;
	return true;
}

void
assign_limit_overrides(const char *newval, void *extra)
{
	overrides = extra;
}

/* What the list says, as a number in decimal; NULL if nothing. */
const char *
limit_override(const char *limit_type, const char *plan)
{
	const LimitOverride *found = find_override(overrides->entries, overrides->n, limit_type, plan);

	return found == NULL ? NULL : found->max_usage;
}
