/*
 * limits_known.c -- terms of users that this session has read before (see known.c).
 *
 * Locking: none.
 */
#include "compat.h"

#include "errors.h"
#include "known.h"
#include "limits.h"
#include "limits_known.h"
#include "settings.h"
#include "utils/memutils.h"

#define KEPT_OVERRIDES 16		/* of each */

typedef struct KnownTerms
{
	Known		known;
	UserTerms	terms;			/* the default plan as NULL */
} KnownTerms;

/* Into the current context. */
static UserTerms
copy_of(const UserTerms *terms)
{
	UserTerms	copy = *terms;

	copy.plan = terms->plan == NULL ? NULL : pstrdup(terms->plan);
	copy.overrides = terms->noverrides == 0 ? NULL : palloc(terms->noverrides * sizeof(Override));
	for (int i = 0; i < terms->noverrides; i++)
	{
		copy.overrides[i].limit_type = pstrdup(terms->overrides[i].limit_type);
		copy.overrides[i].max_usage = DatumGetNumericCopy(NumericGetDatum(terms->overrides[i].max_usage));
	}
	return copy;
}

static void
forget(Known *known)
{
	UserTerms  *terms = &((KnownTerms *) known)->terms;

	if (terms->plan != NULL)
		pfree((char *) terms->plan);
	for (int i = 0; i < terms->noverrides; i++)
	{
		pfree(terms->overrides[i].limit_type);
		pfree(terms->overrides[i].max_usage);
	}
	if (terms->overrides != NULL)
		pfree(terms->overrides);
	pfree(known);
}

static KnownKind kind = {KNOWN_TERMS, {"user_subscriptions", "user_limits"}, forget};

/* False: they have to be read, and kept if "seen" says so. */
bool
find_known_terms(Datum user_id, TimestampTz now, Seen *seen, UserTerms *terms)
{
	Known	   *known = known_find(&kind, user_id, now, seen);

	if (known == NULL)
		return false;
	*terms = copy_of(&((KnownTerms *) known)->terms);
	terms->now = now;
	if (terms->plan == NULL)
		terms->plan = setting_default_plan;
	return true;
}

/* They were read with a snapshot of after "seen". */
void
keep_known_terms(const Seen *seen, const UserTerms *terms)
{
	KnownTerms *keep;
	MemoryContext caller;

	if (!seen->may_keep || !terms->is_known || terms->noverrides > KEPT_OVERRIDES)
		return;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	keep = palloc(sizeof(KnownTerms));
	keep->known.now = terms->now;
	keep->known.until = terms->until;
	keep->terms = copy_of(terms);
	if (terms->plan == setting_default_plan)
	{
		pfree((char *) keep->terms.plan);
		keep->terms.plan = NULL;
	}
	MemoryContextSwitchTo(caller);
	known_keep(&kind, seen, &keep->known);
}

void
known_terms_init(void)
{
	known_register(&kind);
}

/* ---- everything below only translates between SQL and the above ---- */

/* AFTER row trigger of the tables that say what is particular to a user. */
PG_FUNCTION_INFO_V1(ut_terms_changed);
Datum
ut_terms_changed(PG_FUNCTION_ARGS)
{
	known_changed(&kind, installation_of_any_version(fcinfo), check_row_trigger(fcinfo, "user_id"));
	return PointerGetDatum(NULL);
}
