/*
 * alerts.c -- who should know?
 *
 * A use that ends at or above a threshold, and does not know that the alert is
 * there, notes it in memory.  What is noted goes with its subtransaction, and is
 * inserted when the transaction is about to commit.  So uses above a threshold do
 * not wait for each other's open transactions, at most for one that commits.
 *
 * None is missing: of two uses that cross a threshold together the second one knows
 * what the first one used, because the counter is locked; or, in shared memory, waits
 * for the first one if it hangs on that (counters_reached.c); in a subtransaction, it
 * looks once more as it commits, for what is left by then.  And every use above
 * looks, not only the one that crosses: if the alert was lost with the transaction that
 * raised it, or throttled, or is for a rule that was made since, the next one raises it.
 *
 * None comes twice: a unique index decides.  A backend remembers alerts it has
 * seen committed, so that they cost nothing any more; a trigger tells everybody
 * when some are removed.
 *
 * Locking: rows in the order of the index, as the last thing before the commit.
 */
#include "compat.h"

#include "access/xact.h"
#include "alerts.h"
#include "numbers.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

static HTAB *noted = NULL;		/* gone with the transaction */
static List *debts = NIL;		/* lists of marks to be looked at again, one for a use; gone, too */
static Oid	noted_for = InvalidOid; /* usage_events of the installation they are for */
static Oid	noted_type = InvalidOid;	/* of user ids */

/* ---- noting ---- */

/* Within which an alert comes once.  What slides has none; it may come once a period. */
static Window
window_to_alert(const Stake *stake)
{
	return limit_is_sliding(stake->limit) ? period_from_epoch(&stake->limit->period, stake->at) : stake->window;
}

/* Not for an extension that was dropped since, with user ids of another type. */
static bool
is_anything_noted(void)
{
	if (noted_type != present_installation()->user_id_type)
	{
		noted = NULL;
		debts = NIL;
	}
	return noted != NULL;
}

/* A threshold that a use may have reached. */
typedef struct Candidate
{
	Mark		mark;
	const Stake *stake;
	AlertRule	rule;
} Candidate;

/* Rules may be read anew before it is looked at. */
static Candidate *
candidate_for(const Stake *stake, const AlertRule *rule, Numeric used)
{
	Candidate  *candidate = palloc0(sizeof(Candidate));
	Mark	   *mark = &candidate->mark;

	mark->limit_id = stake->limit->id;
	mark->window = stake->window;
	mark->amount = num_mul(num_mul(rule->threshold, stake->max_usage), num_hundredth);
	mark->used = used;
	candidate->stake = stake;
	candidate->rule = *rule;
	candidate->rule.limit_type = NULL;
	candidate->rule.threshold = DatumGetNumericCopy(NumericGetDatum(rule->threshold));
	return candidate;
}

static AlertKey
key_of(Datum user_id, const Stake *stake, const AlertRule *rule)
{
	AlertKey	key = {stake->limit->id, window_to_alert(stake).start, user_id, rule->threshold};

	return key;
}

/* In the current context. */
static NotedAlert
alert_of(Datum user_id, const Candidate *candidate, int64 event_id)
{
	const Stake *stake = candidate->stake;
	AlertKey	key = key_of(user_id, stake, &candidate->rule);
	NotedAlert	alert = {{0}};

	alert.key = copy_alert_key(&key);
	alert.noted_in = GetCurrentSubTransactionId();
	alert.limit_type = pstrdup(stake->limit->name);
	alert.window_end = window_to_alert(stake).end;
	alert.used = num_trim(candidate->mark.used);
	alert.max_usage = DatumGetNumericCopy(NumericGetDatum(stake->max_usage));
	alert.event_id = event_id;
	alert.has_throttle = candidate->rule.has_throttle;
	alert.throttle = candidate->rule.throttle;
	return alert;
}

static void
begin_to_note(void)
{
	if (!is_anything_noted())
		noted = new_alert_set(TopTransactionContext, sizeof(NotedAlert));
	noted_for = present_installation()->usage_events;
	noted_type = present_installation()->user_id_type;
}

static bool
is_noted(const AlertKey *key)
{
	return hash_search(noted, key, HASH_FIND, NULL) != NULL;
}

/* Which is to live as long as the transaction. */
static void
note_alert(const NotedAlert *alert)
{
	*(NotedAlert *) hash_search(noted, &alert->key, HASH_ENTER, NULL) = *alert;
}

/* Of nothing any use is all there is and more. */
static bool
is_reached(const Mark *mark)
{
	return num_sign(mark->used) > 0 && num_cmp(mark->used, mark->amount) >= 0;
}

/* By what it may come to. */
static bool
may_reach(const Stake *stake, const AlertRule *rule, Numeric used)
{
	Numeric		percent = num_mul(stake->is_unsure ? num_add(used, stake->more) : used, num_from(100));

	return num_sign(percent) > 0 && num_cmp(percent, num_mul(rule->threshold, stake->max_usage)) >= 0;
}

/* Rules are in the order of their thresholds. */
static List *
add_candidates(List *candidates, Datum user_id, const Stake *stake, bool all)
{
	int			n;
	const AlertRule *rules = rules_of_limit(stake->limit, &n);
	Numeric		used = n == 0 ? NULL : num_add(stake->used, stake->amount);

	for (int i = 0; i < n && (all || may_reach(stake, &rules[i], used)); i++)
	{
		AlertKey	key = key_of(user_id, stake, &rules[i]);
		Candidate  *candidate;

		if (!rules[i].is_active || is_known_alert(&key))
			continue;
		candidate = candidate_for(stake, &rules[i], used);
		candidate->mark.is_unsure = all || stake->is_unsure;
		candidates = lappend(candidates, candidate);
	}
	return candidates;
}

static List *
candidates_of(Datum user_id, const Stakes *stakes, bool all)
{
	List	   *candidates = NIL;

	for (int i = 0; i < stakes->n; i++)
	{
		const Stake *stake = &stakes->all[i];

		if (num_sign(stake->amount) > 0 && stake->limit->is_active && !is_unlimited(stake))
			candidates = add_candidates(candidates, user_id, stake, all);
	}
	return candidates;
}

static bool
any_is_unsure(const List *candidates)
{
	ListCell   *cell;

	foreach(cell, candidates)
		if (((Candidate *) lfirst(cell))->mark.is_unsure)
			return true;
	return false;
}

/* ---- looking once more ---- */

/*
 * What a transaction is to look at again as it commits, because others have left it
 * out: what it took in a subtransaction may be gone then, but not what it took before.
 */
typedef struct Debt
{
	Mark		mark;
	NotedAlert	alert;
} Debt;

static void
owe_another_look(Datum user_id, List *candidates)
{
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
	List	   *marks = NIL;
	ListCell   *cell;

	begin_to_note();
	foreach(cell, candidates)
	{
		const Candidate *candidate = lfirst(cell);
		Debt	   *debt = palloc(sizeof(Debt));

		if (!candidate->mark.is_unsure)
			continue;
		debt->mark = candidate->mark;
		debt->mark.amount = DatumGetNumericCopy(NumericGetDatum(candidate->mark.amount));
		debt->mark.used = num_zero;
		debt->alert = alert_of(user_id, candidate, 0);
		debt->alert.noted_in = TopSubTransactionId;
		marks = lappend(marks, debt);
	}
	debts = lappend(debts, marks);
	MemoryContextSwitchTo(caller);
}

static void
look_once_more(void)
{
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
	ListCell   *use;
	ListCell   *cell;

	foreach(use, debts)
	{
		List	   *marks = lfirst(use);

		wait_for_marks(((Debt *) linitial(marks))->alert.key.user_id, marks);
		foreach(cell, marks)
		{
			Debt	   *debt = lfirst(cell);

			debt->alert.used = num_trim(debt->mark.used);
			if (is_reached(&debt->mark) && !is_noted(&debt->alert.key))
				note_alert(&debt->alert);
		}
	}
	MemoryContextSwitchTo(caller);
}

/* ---- a use ---- */

/*
 * Which thresholds a use that was just taken reaches: "used" was before it, and is
 * exact, or said to be unsure, and how much more it may be.  Before anything else is
 * locked, because it may wait, as the taking itself.  As the owner.
 *
 * Who has to look again does so at all parts of all its limits, because others may
 * leave him out there.
 */
List *
reached_alerts(Datum user_id, const Stakes *stakes)
{
	List	   *candidates = candidates_of(user_id, stakes, false);
	List	   *reached = NIL;
	ListCell   *cell;

	if (any_is_unsure(candidates))
		candidates = candidates_of(user_id, stakes, true);
	if (!is_sure_of_marks(user_id, candidates))
	{
		if (GetCurrentTransactionNestLevel() > 1)
			owe_another_look(user_id, candidates);
		wait_for_marks(user_id, candidates);
	}
	foreach(cell, candidates)
	{
		Candidate  *candidate = lfirst(cell);

		if (is_reached(&candidate->mark))
			reached = lappend(reached, candidate);
	}
	return reached;
}

/* What reached_alerts() has found, once the use is recorded. */
void
note_alerts(Datum user_id, List *found, int64 event_id)
{
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
	ListCell   *cell;

	if (found != NIL)
		begin_to_note();
	foreach(cell, found)
	{
		const Candidate *candidate = lfirst(cell);
		AlertKey	key = key_of(user_id, candidate->stake, &candidate->rule);
		NotedAlert	alert;

		if (is_noted(&key))
			continue;
		alert = alert_of(user_id, candidate, event_id);
		note_alert(&alert);
	}
	MemoryContextSwitchTo(caller);
}

/* ---- with the transaction ---- */

static NotedAlert **
all_noted(int *n)
{
	NotedAlert **all = palloc(hash_get_num_entries(noted) * sizeof(NotedAlert *));
	HASH_SEQ_STATUS walk;
	NotedAlert *alert;

	*n = 0;
	hash_seq_init(&walk, noted);
	while ((alert = hash_seq_search(&walk)) != NULL)
		all[(*n)++] = alert;
	return all;
}

/*
 * Not in an installation that this transaction dropped.  A transaction that
 * became read only after the use wrote then, and may write what follows from it.
 */
static void
raise_noted(bool may_notify)
{
	bool		read_only = XactReadOnly;
	Disguise	before;
	NotedAlert **alerts;
	int			n;

	if (!installation_remains(noted_for))
		return;
	XactReadOnly = false;		/* if this fails, so does the transaction */
	PushActiveSnapshot(GetTransactionSnapshot());
	become_owner(present_installation(), &before);
	look_once_more();
	alerts = all_noted(&n);
	if (n > 0)
		raise_alerts(alerts, n, may_notify);
	become_caller(&before);
	PopActiveSnapshot();
	XactReadOnly = read_only;
}

static void
transaction_ends(XactEvent event, void *arg)
{
	if (!is_anything_noted())
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		raise_noted(event == XACT_EVENT_PRE_COMMIT);
	else
	{
		noted = NULL;
		debts = NIL;
	}
}

static void
subtransaction_ends(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	HASH_SEQ_STATUS walk;
	NotedAlert *alert;

	if ((event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB) || !is_anything_noted())
		return;
	hash_seq_init(&walk, noted);
	while ((alert = hash_seq_search(&walk)) != NULL)
	{
		if (alert->noted_in != mine)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			alert->noted_in = parent;
		else
			hash_search(noted, &alert->key, HASH_REMOVE, NULL);
	}
}

void
alerts_init(void)
{
	alert_rules_init();
	known_alerts_init();
	RegisterXactCallback(transaction_ends, NULL);
	RegisterSubXactCallback(subtransaction_ends, NULL);
}
