/*
 * alerts_known.c -- alerts that need not be raised, as a session remembers them.
 *
 * Only what was seen committed is remembered, so it is true until a trigger says
 * that some were removed.
 */
#include "compat.h"

#include "alerts.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "numbers.h"
#include "settings.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

/* An alert that need not be raised, for now or at all. */
typedef struct KnownAlert
{
	AlertKey	key;
	TimestampTz until;
} KnownAlert;

/* Users are many, so there is an end to what is remembered. */
#define MAX_KNOWN 8192

static MemoryContext known_context = NULL;
static HTAB *known = NULL;
static Oid	known_table = InvalidOid;	/* usage_alerts */
static uint64 known_generation = 0;
static uint64 forgettings = 0;	/* how often something was to be forgotten */
static bool known_valid = false;

/* ---- sets of alerts ---- */

/* Not from the catalogs: a subtransaction that aborts asks, and cannot read them. */
static void
type_of_users(int16 *length, bool *byval)
{
	switch (present_installation()->user_id_type)
	{
		case INT8OID:
			*length = sizeof(int64);
			*byval = FLOAT8PASSBYVAL;
			break;
		case UUIDOID:
			*length = UUID_LEN;
			*byval = false;
			break;
		default:
			*length = -1;
			*byval = false;
	}
}

static uint32
hash_key(const void *key, Size size)
{
	const AlertKey *alert = key;
	int16		length;
	bool		byval;

	type_of_users(&length, &byval);
	return hash_combine(hash_bytes((const unsigned char *) alert, offsetof(AlertKey, user_id)),
						datum_image_hash(alert->user_id, byval, length));
}

static int
compare_keys(const void *a, const void *b, Size size)
{
	const AlertKey *x = a;
	const AlertKey *y = b;
	int16		length;
	bool		byval;

	type_of_users(&length, &byval);
	return x->limit_id != y->limit_id || x->window_start != y->window_start ||
		!datum_image_eq(x->user_id, y->user_id, byval, length) ||
		num_cmp(x->threshold, y->threshold) != 0;
}

HTAB *
new_alert_set(MemoryContext context, Size entry)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(AlertKey);
	control.entrysize = entry;
	control.hash = hash_key;
	control.match = compare_keys;
	control.hcxt = context;
	return hash_create("usage_tracking alerts", 64, &control,
					   HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

AlertKey
copy_alert_key(const AlertKey *key)
{
	AlertKey	copy = *key;
	int16		length;
	bool		byval;

	type_of_users(&length, &byval);
	copy.user_id = datumCopy(key->user_id, byval, length);
	copy.threshold = DatumGetNumeric(datumCopy(NumericGetDatum(key->threshold), false, -1));
	return copy;
}

/* ---- what is known ---- */

static void
alerts_changed(Datum arg, Oid relation)
{
	if (relation != InvalidOid && relation != known_table)
		return;
	known_valid = false;
	forgettings++;
}

/* What a throttle kept from coming, it may not any more. */
static void
rules_changed(void)
{
	alerts_changed((Datum) 0, InvalidOid);
}

static void
forget_what_is_known(void)
{
	if (known_context == NULL)
		known_context = AllocSetContextCreate(CacheMemoryContext, "usage_tracking alerts", ALLOCSET_SMALL_SIZES);
	known = NULL;
	MemoryContextReset(known_context);
	known_generation = present_installation()->generation;
	known_table = get_relname_relid("usage_alerts", present_installation()->schema);
	known = new_alert_set(known_context, sizeof(KnownAlert));
	known_valid = true;
}

static bool
is_good(void)
{
	return known_valid && known != NULL && known_generation == present_installation()->generation;
}

/*
 * To be asked before looking for alerts, and given to remember_alert() with what
 * was found.
 */
uint64
begin_to_remember_alerts(void)
{
	if (!is_good())
		forget_what_is_known();
	return forgettings;
}

/* Whether it is there, or others keep it from coming for now. */
bool
is_known_alert(const AlertKey *key)
{
	const KnownAlert *entry;

	if (!is_good())
		return false;
	entry = hash_search(known, key, HASH_FIND, NULL);
	return entry != NULL && usage_now() < entry->until;
}

void
remember_alert(const AlertKey *key, TimestampTz until, uint64 began)
{
	MemoryContext caller;
	AlertKey	copy;
	KnownAlert *entry;

	if (began != forgettings)
		return;					/* it may be gone again */
	if (hash_get_num_entries(known) >= MAX_KNOWN)
		forget_what_is_known();
	caller = MemoryContextSwitchTo(known_context);
	entry = hash_search(known, key, HASH_FIND, NULL);
	if (entry == NULL)
	{
		copy = copy_alert_key(key);
		entry = hash_search(known, &copy, HASH_ENTER, NULL);
	}
	entry->until = until;
	MemoryContextSwitchTo(caller);
}

void
known_alerts_init(void)
{
	CacheRegisterRelcacheCallback(alerts_changed, (Datum) 0);
	on_config_change(rules_changed);
}
