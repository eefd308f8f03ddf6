/*
 * counters_known.c -- reservations of users that this session has read before (see known.c).
 *
 * Locking: none.
 */
#include "compat.h"

#include "counters.h"
#include "errors.h"
#include "known.h"
#include "query.h"
#include "utils/memutils.h"

#define KEPT_HOLDS 16			/* of each user */

typedef struct KnownHolds
{
	Known		known;
	int			n;
	Hold	   *all;
} KnownHolds;

static Numeric
copy_of_numeric(Numeric value)
{
	return value == NULL ? NULL : DatumGetNumericCopy(NumericGetDatum(value));
}

/* What live_holds() tells of each, into the current context. */
static Hold
copy_of(const Hold *hold, Datum user_id)
{
	Hold		copy = *hold;

	copy.event.user_id = user_id;
	copy.event.usage_type = pstrdup(hold->event.usage_type);
	copy.event.quantity = copy_of_numeric(hold->event.quantity);
	copy.event.cost = copy_of_numeric(hold->event.cost);
	copy.event.credits_used = copy_of_numeric(hold->event.credits_used);
	copy.state = pstrdup(hold->state);
	return copy;
}

static void
forget(Known *known)
{
	KnownHolds *holds = (KnownHolds *) known;

	for (int i = 0; i < holds->n; i++)
	{
		Hold	   *hold = &holds->all[i];

		pfree(hold->event.usage_type);
		pfree(hold->event.quantity);
		pfree(hold->event.cost);
		if (hold->event.credits_used != NULL)
			pfree(hold->event.credits_used);
		pfree(hold->state);
	}
	if (holds->n > 0)
		pfree(holds->all);
	pfree(holds);
}

static KnownKind kind = {KNOWN_HOLDS, {"usage_reservations"}, forget};

static void
keep(const Seen *seen, TimestampTz now, const Hold *holds, int n)
{
	MemoryContext caller;
	KnownHolds *kept;

	if (!seen->may_keep || n > KEPT_HOLDS)
		return;
	caller = MemoryContextSwitchTo(TopMemoryContext);
	kept = palloc(sizeof(KnownHolds));
	kept->known.now = now;
	kept->known.until = DT_NOEND;
	kept->n = n;
	kept->all = n == 0 ? NULL : palloc(n * sizeof(Hold));
	for (int i = 0; i < n; i++)
		kept->all[i] = copy_of(&holds[i], (Datum) 0);
	MemoryContextSwitchTo(caller);
	known_keep(&kind, seen, &kept->known);
}

static Hold *
live_ones(const KnownHolds *known, Datum user_id, TimestampTz now, int *n)
{
	Hold	   *holds = palloc(known->n * sizeof(Hold));

	*n = 0;
	for (int i = 0; i < known->n; i++)
		if (known->all[i].expires_at > now)
			holds[(*n)++] = copy_of(&known->all[i], user_id);
	return holds;
}

/* What a snapshot of this moment shows. */
Hold *
holds_now(Datum user_id, int *n)
{
	TimestampTz now = usage_now();
	Seen		seen;
	Known	   *known = known_find(&kind, user_id, now, &seen);
	Hold	   *holds;

	if (known != NULL)
		return live_ones((KnownHolds *) known, user_id, now, n);
	begin_fresh_view();
	holds = live_holds(user_id, n);
	end_fresh_view();
	keep(&seen, now, holds, *n);
	return holds;
}

void
known_holds_init(void)
{
	known_register(&kind);
}

/* ---- everything below only translates between SQL and the above ---- */

/*
 * AFTER row trigger of the table of reservations.  What replication brings is news to
 * counters in memory, too: they may have been told that nothing is reserved.
 */
PG_FUNCTION_INFO_V1(ut_holds_changed);
Datum
ut_holds_changed(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of_any_version(fcinfo);
	TriggerData *trigger = check_row_trigger(fcinfo, "user_id");

	known_changed(&kind, home, trigger);
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA && !TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		leave_memory_for(home, user_of_trigger(trigger));
	return PointerGetDatum(NULL);
}
