/*
 * limits_known.c -- terms of users that this session has read, and whether they still hold.
 *
 * Shared memory has a mark for each group of users: how many transactions are about
 * to change terms of one of them, and how often that has happened.  A trigger sets it
 * before a change can be committed; the end of the transaction takes it back, when
 * everybody sees the change.  So what is read after nobody was found at it holds for
 * as long as the mark stays the same.
 *
 * TRUNCATE, and ALTER TABLE by an owner who disabled the triggers, tell that the table
 * changed, and nothing that was read before holds.
 *
 * A prepared transaction is done with its marks, and has a lock for each instead
 * until it is over, also after a restart: who finds one keeps nothing.  So groups are
 * the same on every server, and one without memory takes these locks as well.
 *
 * Locking: a mark is one atomic number; nobody waits.
 */
#include "compat.h"

#include "access/twophase.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "errors.h"
#include "limits.h"
#include "limits_known.h"
#include "locks.h"
#include "memory.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "port/atomics.h"
#include "settings.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define KEPT 16384			/* users, by each session, some 300 bytes each */
#define KEPT_OVERRIDES 16		/* of each */

#define ONE_AT_IT UINT64CONST(1)
#define ONE_CHANGE (UINT64CONST(1) << 24)
#define AT_IT(mark) ((mark) % ONE_CHANGE)

/* ---- marks ---- */

#define GROUPS 65536

typedef struct Marks
{
	pg_atomic_uint64 all[GROUPS];
} Marks;

static Size
size_of_marks(int slots)
{
	return sizeof(Marks);
}

static void
make_marks(void *memory, int slots, int tranche)
{
	Marks	   *marks = memory;

	for (int i = 0; i < GROUPS; i++)
		pg_atomic_init_u64(&marks->all[i], 0);
}

/* Wherever there are counters. */
static SharedArea area = {"usage_tracking terms", &setting_counter_slots, size_of_marks, make_marks, NULL};

static Marks *
marks_here(void)
{
	return RecoveryInProgress() ? NULL : shared_memory(&area);
}

static int
group_of(const UserKey *user)
{
	return hash_bytes((const unsigned char *) user, sizeof(UserKey)) % GROUPS;
}

/* ---- changes ---- */

static Bitmapset *changing = NULL;	/* groups, by this transaction */
static Marks *marked = NULL;	/* where it is at them; NULL: there is no memory */
static Oid	changed_events;		/* names the installation in locks */

static void
note_change(const Installation *home, int group)
{
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);

	if (changing == NULL)
		marked = marks_here();
	if (!bms_is_member(group, changing))
	{
		changing = bms_add_member(changing, group);
		changed_events = home->usage_events;
		if (marked != NULL)
			pg_atomic_fetch_add_u64(&marked->all[group], ONE_AT_IT);
	}
	MemoryContextSwitchTo(caller);
}

static void
end_changes(void)
{
	for (int group = -1; marked != NULL && (group = bms_next_member(changing, group)) >= 0;)
		pg_atomic_fetch_add_u64(&marked->all[group], ONE_CHANGE - ONE_AT_IT);
	marked = NULL;
	changing = NULL;
}

static void
transaction_ends(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			for (int group = -1; (group = bms_next_member(changing, group)) >= 0;)
				lock_terms(changed_events, group);
			break;
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			end_changes();
			break;
		default:
			break;
	}
}

/* ---- changes of the tables themselves ---- */

static Oid	tables[2];
static uint64 generation = 0;	/* of the installation they are in */
static uint64 news = 0;

static void
relation_changed(Datum arg, Oid relation)
{
	if (relation == InvalidOid || relation == tables[0] || relation == tables[1])
		news++;
}

static void
find_tables(void)
{
	const Installation *home = present_installation();

	if (generation == home->generation)
		return;
	tables[0] = get_relname_relid("user_subscriptions", home->schema);
	tables[1] = get_relname_relid("user_limits", home->schema);
	generation = home->generation;
	news++;
}

/* ---- what this session keeps ---- */

typedef struct KnownTerms
{
	Seen		seen;
	UserTerms	terms;			/* the default plan as NULL */
} KnownTerms;

static KnownTerms **kept = NULL;

static KnownTerms **
place_of(const UserKey *user)
{
	if (kept == NULL)
		kept = MemoryContextAllocZero(TopMemoryContext, KEPT * sizeof(KnownTerms *));
	return &kept[hash_bytes((const unsigned char *) user, sizeof(UserKey)) % KEPT];
}

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
forget(KnownTerms *known)
{
	if (known->terms.plan != NULL)
		pfree((char *) known->terms.plan);
	for (int i = 0; i < known->terms.noverrides; i++)
	{
		pfree(known->terms.overrides[i].limit_type);
		pfree(known->terms.overrides[i].max_usage);
	}
	if (known->terms.overrides != NULL)
		pfree(known->terms.overrides);
	pfree(known);
}

/* What a look at the tables is going to be worth. */
static Seen
look_at_marks(const Marks *marks, const UserKey *user)
{
	int			group = group_of(user);
	Seen		seen = {.user = *user, .news = news};

	seen.mark = pg_atomic_read_u64((pg_atomic_uint64 *) &marks->all[group]);
	pg_read_barrier();
	seen.may_keep = AT_IT(seen.mark) == 0;
	return seen;
}

static bool
still_holds(const KnownTerms *known, const Seen *seen, TimestampTz now)
{
	return memcmp(&known->seen.user, &seen->user, sizeof(UserKey)) == 0 &&
		known->seen.news == seen->news && known->seen.mark == seen->mark &&
		known->terms.now <= now && now < known->terms.until;
}

static bool
is_prepared(const UserKey *user)
{
	return max_prepared_xacts > 0 && terms_are_locked(user->usage_events, group_of(user));
}

/* False: they have to be read, and kept if "seen" says so. */
bool
find_known_terms(Datum user_id, TimestampTz now, Seen *seen, UserTerms *terms)
{
	Marks	   *marks = marks_here();
	UserKey		user;
	KnownTerms *known;

	seen->may_keep = false;
	if (marks == NULL)
		return false;
	find_tables();
	user = key_of_user(present_installation(), user_id);
	*seen = look_at_marks(marks, &user);
	if (!seen->may_keep)
		return false;
	known = *place_of(&user);
	if (known == NULL || !still_holds(known, seen, now))
	{
		seen->may_keep = !is_prepared(&user);
		return false;
	}
	*terms = copy_of(&known->terms);
	terms->now = now;
	if (terms->plan == NULL)
		terms->plan = setting_default_plan;
	return true;
}

/* They were read with a snapshot of after "seen". */
void
keep_known_terms(const Seen *seen, const UserTerms *terms)
{
	KnownTerms **place;
	KnownTerms *known;
	UserTerms	keep = *terms;
	MemoryContext caller;

	if (!seen->may_keep || !terms->is_known || terms->noverrides > KEPT_OVERRIDES)
		return;
	if (keep.plan == setting_default_plan)
		keep.plan = NULL;
	place = place_of(&seen->user);
	caller = MemoryContextSwitchTo(TopMemoryContext);
	known = palloc(sizeof(KnownTerms));
	known->seen = *seen;
	known->terms = copy_of(&keep);
	MemoryContextSwitchTo(caller);
	if (*place != NULL)
		forget(*place);
	*place = known;
}

void
known_terms_init(void)
{
	memory_register(&area);
	RegisterXactCallback(transaction_ends, NULL);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

/* ---- everything below only translates between SQL and the above ---- */

static void
note_change_of(const Installation *home, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	Datum		user_id = SPI_getbinval(row, desc, SPI_fnumber(desc, "user_id"), &isnull);
	UserKey		user = key_of_user(home, user_id);

	note_change(home, group_of(&user));
}

/* AFTER row trigger of the tables that say what is particular to a user. */
PG_FUNCTION_INFO_V1(ut_terms_changed);
Datum
ut_terms_changed(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of_any_version(fcinfo);
	TriggerData *trigger = check_row_trigger(fcinfo, "user_id");
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);

	if (marks_here() == NULL && max_prepared_xacts == 0)
		return PointerGetDatum(NULL);
	note_change_of(home, trigger->tg_trigtuple, desc);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		note_change_of(home, trigger->tg_newtuple, desc);
	return PointerGetDatum(NULL);
}
