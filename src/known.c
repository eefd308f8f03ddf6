/*
 * known.c -- what this session has read of users, and whether it still holds.
 *
 * Shared memory has a mark for each group of users: how many transactions are about
 * to change what is particular to one of them, and how often that has happened.  A
 * trigger sets it before a change can be committed; the end of the transaction takes
 * it back, when everybody sees the change.  So what is read after nobody was found at
 * it holds for as long as the mark stays the same: it is what a new snapshot would see.
 *
 * Who writes may read his own change before its trigger comes, which it does not if the
 * statement fails: what was kept beside writes is forgotten when they are undone.
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
#include "known.h"
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

#define KEPT 16384			/* of each kind, by each session */
#define KEPT_TOGETHER 8			/* have their hash in common */

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

static uint32
hash_of(const UserKey *user)
{
	return hash_bytes((const unsigned char *) user, sizeof(UserKey));
}

/* Kinds have groups apart, lest a change of one is taken for a change of all. */
static int
group_of(const KnownKind *kind, uint32 hash)
{
	return (hash + kind->number * (GROUPS / KNOWN_KINDS)) % GROUPS;
}

/* ---- changes ---- */

static void forget_what_is_undone(bool undone);

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
				lock_known(changed_events, group);
			break;
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
			forget_what_is_undone(event == XACT_EVENT_ABORT);
			end_changes();
			break;
		default:
			break;
	}
}

/* ---- changes of the tables themselves ---- */

static KnownKind *kinds[KNOWN_KINDS];

static void
relation_changed(Datum arg, Oid relation)
{
	for (int i = 0; i < KNOWN_KINDS; i++)
		for (int k = 0; kinds[i] != NULL && k < lengthof(kinds[i]->relations); k++)
			if (relation == InvalidOid || relation == kinds[i]->relations[k])
				kinds[i]->news++;
}

static void
find_tables(KnownKind *kind)
{
	const Installation *home = present_installation();

	if (kind->generation == home->generation)
		return;
	for (int k = 0; k < lengthof(kind->relations) && kind->tables[k] != NULL; k++)
		kind->relations[k] = get_relname_relid(kind->tables[k], home->schema);
	kind->generation = home->generation;
	kind->news++;
}

/* ---- what this session keeps ---- */

/* Those whose hash is alike in part, the one that was asked for last in front. */
static KnownPlace *
places_for(KnownKind *kind, uint32 hash)
{
	if (kind->places == NULL)
		kind->places = MemoryContextAllocZero(TopMemoryContext, KEPT * sizeof(KnownPlace));
	return &kind->places[hash % (KEPT / KEPT_TOGETHER) * KEPT_TOGETHER];
}

static void
put_in_front(KnownPlace *places, int i)
{
	KnownPlace	place = places[i];

	memmove(&places[1], &places[0], i * sizeof(KnownPlace));
	places[0] = place;
}

/* Whose it is, or else the one that was not asked for the longest. */
static int
find_place(const KnownPlace *places, uint32 hash, const UserKey *user)
{
	for (int i = 0; i < KEPT_TOGETHER - 1; i++)
		if (places[i].hash == hash && places[i].known != NULL &&
			memcmp(&places[i].known->seen.user, user, sizeof(UserKey)) == 0)
			return i;
	return KEPT_TOGETHER - 1;
}

/* What a look at the tables is going to be worth. */
static void
look_at_mark(const KnownKind *kind, const Marks *marks, Seen *seen)
{
	seen->hash = hash_of(&seen->user);
	seen->news = kind->news;
	seen->mark = pg_atomic_read_u64((pg_atomic_uint64 *) &marks->all[group_of(kind, seen->hash)]);
	pg_read_barrier();
	seen->may_keep = AT_IT(seen->mark) == 0;
}

static bool
still_holds(const Known *known, const Seen *seen, TimestampTz now)
{
	return known != NULL && memcmp(&known->seen.user, &seen->user, sizeof(UserKey)) == 0 &&
		known->seen.news == seen->news && known->seen.mark == seen->mark &&
		known->now <= now && now < known->until;
}

static bool
is_prepared(const KnownKind *kind, const Seen *seen)
{
	return max_prepared_xacts > 0 && known_is_locked(seen->user.usage_events, group_of(kind, seen->hash));
}

/*
 * NULL: it has to be read, with a snapshot that is taken now, and kept if "seen" says so.
 * What is found may be gone as soon as something else is kept.
 */
Known *
known_find(KnownKind *kind, Datum user_id, TimestampTz now, Seen *seen)
{
	Marks	   *marks = marks_here();
	KnownPlace *places;
	int			i;

	seen->may_keep = false;
	if (marks == NULL)
		return NULL;
	find_tables(kind);
	seen->user = key_of_user(present_installation(), user_id);
	look_at_mark(kind, marks, seen);
	if (!seen->may_keep)
		return NULL;
	places = places_for(kind, seen->hash);
	i = find_place(places, seen->hash, &seen->user);
	if (still_holds(places[i].known, seen, now))
	{
		put_in_front(places, i);
		return places[0].known;
	}
	seen->may_keep = !is_prepared(kind, seen);
	return NULL;
}

/*
 * What was read in a transaction that writes may be a change of its own, whose trigger
 * comes at the end of the statement, or, if that fails, never.
 */
static bool may_be_undone = false;

static void
forget_what_is_undone(bool undone)
{
	for (int i = 0; i < KNOWN_KINDS && undone && may_be_undone; i++)
		kinds[i]->news++;
	may_be_undone = false;
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_what_is_undone(true);
}

/* Right after known_find() of the same user, but for what had to be read. */
void
known_keep(KnownKind *kind, const Seen *seen, Known *known)
{
	KnownPlace *places = places_for(kind, seen->hash);
	int			i = find_place(places, seen->hash, &seen->user);
	Known	   *before = places[i].known;

	may_be_undone = may_be_undone || TransactionIdIsValid(GetTopTransactionIdIfAny());
	known->seen = *seen;
	places[i].hash = seen->hash;
	places[i].known = known;
	put_in_front(places, i);
	if (before != NULL)
		kind->forget(before);
}

void
known_init(void)
{
	memory_register(&area);
	RegisterXactCallback(transaction_ends, NULL);
	RegisterSubXactCallback(subtransaction_ends, NULL);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

void
known_register(KnownKind *kind)
{
	kinds[kind->number] = kind;
}

/* ---- everything below only translates between SQL and the above ---- */

static Datum
user_of_row(const TriggerData *trigger, HeapTuple row)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		isnull;

	return SPI_getbinval(row, desc, SPI_fnumber(desc, "user_id"), &isnull);
}

/* Whose row it is, or becomes. */
Datum
user_of_trigger(const TriggerData *trigger)
{
	return user_of_row(trigger, TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple);
}

static void
note_change_of(const KnownKind *kind, const Installation *home, Datum user_id)
{
	UserKey		user = key_of_user(home, user_id);

	note_change(home, group_of(kind, hash_of(&user)));
}

/* For AFTER row triggers of its tables. */
void
known_changed(const KnownKind *kind, const Installation *home, const TriggerData *trigger)
{
	if (marks_here() == NULL && max_prepared_xacts == 0)
		return;
	note_change_of(kind, home, user_of_row(trigger, trigger->tg_trigtuple));
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		note_change_of(kind, home, user_of_trigger(trigger));
}
