/*
 * settings_overrides.c -- the lists in usage_tracking.limit_overrides and
 * usage_tracking.credit_refills.
 *
 * They are read once, when they are set.  Their numbers stay texts until one is wanted,
 * because making a numeric may raise an error, which a check hook must not do.
 */
#include "compat.h"

#include "arguments.h"
#include "parser/scansup.h"
#include "settings.h"
#include "utils/guc.h"

typedef struct Override
{
	char	   *limit_type;		/* "" in a list that is not about limits */
	char	   *plan;
	char	   *max_usage;
} Override;

/* One block of memory, with the texts behind the entries. */
typedef struct Overrides
{
	int			n;
	Override entries[FLEXIBLE_ARRAY_MEMBER];
} Overrides;

static const Overrides *limits = NULL;
static const Overrides *refills = NULL;

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

/* The limit's name may have dots, the plan's has none. */
static bool
split_names(char *text, bool of_limits, Override *entry)
{
	char	   *dot;

	entry->plan = text;
	entry->limit_type = text + strlen(text);
	if (!of_limits)
		return is_plain_name(entry->plan);
	dot = strrchr(text, '.');
	if (dot == NULL)
		return false;
	*dot = '\0';
	entry->limit_type = text;
	entry->plan = dot + 1;
	return is_name(entry->limit_type) && is_plain_name(entry->plan);
}

/* limit.plan=maximum, or plan=amount */
static bool
split_entry(char *text, bool of_limits, Override *entry)
{
	char	   *equals = strchr(text, '=');

	if (equals == NULL)
		return false;
	*equals = '\0';
	entry->max_usage = trim(equals + 1);
	return split_names(trim(text), of_limits, entry) && is_maximum(entry->max_usage) &&
		(of_limits || entry->max_usage[0] != '-');
}

static const Override *
find_override(const Override *entries, int n, const char *limit_type, const char *plan)
{
	for (int i = 0; i < n; i++)
		if (strcmp(entries[i].limit_type, limit_type) == 0 && strcmp(entries[i].plan, plan) == 0)
			return &entries[i];
	return NULL;
}

/* Cuts the list up where it stands.  False: the n-th entry, from 0, is not good. */
static bool
split_list(char *text, bool of_limits, Override *entries, int *n)
{
	*n = 0;
	if (*trim(text) == '\0')
		return true;
	for (char *next = text; next != NULL;)
	{
		char	   *comma = strchr(next, ',');

		if (comma != NULL)
			*comma = '\0';
		if (!split_entry(next, of_limits, &entries[*n]) ||
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

static bool
check_list(char **newval, void **extra, bool of_limits)
{
	int			room = most_entries(*newval);
	size_t		entries_size = offsetof(Overrides, entries) + room * sizeof(Override);
	Override   *tried = palloc(room * sizeof(Override));
	Overrides  *kept;
	int			n;

	if (!split_list(pstrdup(*newval), of_limits, tried, &n))
	{
		GUC_check_errdetail(of_limits ? "Entry %d is not of the form limit.plan=maximum, or repeats one before it."
							: "Entry %d is not of the form plan=amount, or repeats one before it.", n + 1);
		return false;
	}
	kept = guc_malloc(LOG, entries_size + strlen(*newval) + 1);
	if (kept == NULL)
		return false;
	strcpy((char *) kept + entries_size, *newval);
	(void) split_list((char *) kept + entries_size, of_limits, kept->entries, &kept->n);
	*extra = kept;
	return true;
}

bool
check_limit_overrides(char **newval, void **extra, GucSource source)
{
	return check_list(newval, extra, true);
}

void
assign_limit_overrides(const char *newval, void *extra)
{
	limits = extra;
}

bool
check_credit_refills(char **newval, void **extra, GucSource source)
{
	return check_list(newval, extra, false);
}

void
assign_credit_refills(const char *newval, void *extra)
{
	refills = extra;
}

static const char *
find_number(const Overrides *in, const char *limit_type, const char *plan)
{
	const Override *found = find_override(in->entries, in->n, limit_type, plan);

	return found == NULL ? NULL : found->max_usage;
}

/* What the list says, as a number in decimal; NULL if nothing. */
const char *
limit_override(const char *limit_type, const char *plan)
{
	return find_number(limits, limit_type, plan);
}

const char *
credit_refill_override(const char *plan)
{
	return find_number(refills, "", plan);
}
