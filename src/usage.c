/*
 * usage.c -- the door: may it, and make it happen.
 *
 * The only writer of events and counters.  One use is, in one transaction:
 * locks (see locks.c), terms, decision, credits, counters, key, event.  What the
 * decision refuses on sight costs no write and no row lock.
 */
#include "compat.h"

#include "alerts.h"
#include "credits.h"
#include "errors.h"
#include "locks.h"
#include "miscadmin.h"
#include "numbers.h"
#include "plans.h"
#include "settings.h"
#include "usage.h"

Stakes
weigh(const Config *config, const UserTerms *terms, const Event *event, bool afresh)
{
	Stakes		stakes = stakes_of_event(config, terms, event);

	read_counters(event->user_id, event->occurred_at, event->occurred_at, &stakes, afresh);
	return stakes;
}

/* By rows: counters of windows that may never be stay out of memory. */
static Stakes
weigh_by_rows(const Config *config, const UserTerms *terms, const Event *event)
{
	Stakes		stakes = stakes_of_event(config, terms, event);

	stakes.first = stakes.last = event->occurred_at;
	read_from_rows(event->user_id, &stakes);
	return stakes;
}

static Decision
answer_to_repeat(const Event *event, const FirstAnswer *answer)
{
	if (event->hold_for > 0 && !hold_is_live(event->user_id, answer->event_id))
		return decision_again(answer, false, "expired");
	return decision_again(answer, true, "replayed");
}

static TakingKind
kind_of_taking(const Event *event, bool may_refuse)
{
	if (event->hold_for > 0)
		return HOLD_IF_IT_FITS;
	if (event->settles_hold)
		return TAKE_AND_SETTLE;
	return may_refuse ? TAKE_IF_IT_FITS : TAKE_ANYWAY;
}

/* False: the counters have moved since they were read, and there is no room. */
static bool
take(const Event *event, Stakes *stakes, Stakes *changing, bool may_refuse)
{
	*changing = stakes_that_change(stakes);
	if (!take_from_counters(event->user_id, changing, kind_of_taking(event, may_refuse)))
		return false;
	for (int i = 0, k = 0; i < stakes->n && k < changing->n; i++)
		if (stakes->all[i].limit == changing->all[k].limit)
			stakes->all[i] = changing->all[k++];
	return true;
}

/* What a fact takes beyond what there is. */
static void
note_debt(const Event *event, bool may_refuse, Decision *decision)
{
	if (event->credits_owed != NULL)
		allow_unpaid(decision, may_refuse ? "not_enforced" : "overage");
}

/* What is to be answered, and under which id it is going to stand. */
static Decision
decide_taken(const Installation *home, Event *event, const Stakes *stakes, bool may_refuse)
{
	Decision	decision = decide(stakes, true);

	event->overage = overage_of(stakes);
	if (!decision.allowed)		/* a fact that no limit could stop */
		decision.reason = event->overage != NULL ? "overage" : "ok";
	decision.allowed = true;
	decision.id = event->id = event->hold_for > 0 ? next_hold_id(home) : next_event_id(home);
	note_debt(event, may_refuse, &decision);
	return decision;
}

static void
insert(const Event *event, const Stakes *stakes, List *alerts)
{
	if (event->hold_for > 0)
		insert_hold(event, event->occurred_at + event->hold_for);
	else
	{
		insert_event(event);
		note_alerts(event->user_id, alerts, event->id);
		note_folds(event->user_id, stakes);
	}
}

/* False: somebody else had this key first, and what was taken is given back. */
static bool
keep_key(const Event *event, const Stakes *taken, const Decision *decision)
{
	FirstAnswer answer = answer_to_keep(decision);

	if (event->idempotency_key == NULL || keep_first_answer(event, &answer))
		return true;
	if (event->hold_for == 0)
		return_to_counters(event->user_id, taken);
	return false;
}

/*
 * One try.  False: somebody was faster (the user's first use, the last unit of
 * a limit, a reservation, or this key), so look again.
 */
static bool
try_to_record(const Installation *home, Event *event, bool may_refuse, Decision *decision)
{
	const Config *config = current_config();
	UserTerms	terms;
	Stakes		stakes;
	Stakes		changing;
	FirstAnswer answer;
	Numeric		price = price_of(event);
	Account		account;
	List	   *alerts;

	if (event->idempotency_key != NULL && find_first_answer(event, &answer))
	{
		*decision = answer_to_repeat(event, &answer);
		return true;
	}

	terms = terms_of_user(event->user_id, usage_now(), true);
	/* only now: a use cannot lie before the anchor that another first use set */
	if (!event->has_own_time)
		event->occurred_at = usage_now();
	if (event->call != NULL && !is_correction(event))
		price_call(home, event);
	if (!terms.is_known)
		terms.anchor = event->occurred_at;
	stakes = terms.is_known ? weigh(config, &terms, event, true) : weigh_by_rows(config, &terms, event);
	*decision = decide(&stakes, false);
	if (price != NULL && may_refuse)
		deny_without_credits(home, event, &terms, price, true, decision);
	if (!decision->allowed && may_refuse)
		return event->idempotency_key == NULL || key_is_free(event);

	if (!terms.is_known)
	{
		if (!note_first_use(event->user_id, event->occurred_at))
			return false;
		stakes = weigh(config, &terms, event, true);
	}
	if (price != NULL)
	{
		account = lock_account(home, event->user_id, &terms);
		if (!set_price(&account, event, price, may_refuse))
			return false;
	}
	if (!take(event, &stakes, &changing, may_refuse))
		return false;
	alerts = event->hold_for > 0 ? NIL : reached_alerts(event->user_id, &stakes);	/* of what is only reserved: none */
	let_rows_follow(event->user_id, &changing);
	*decision = decide_taken(home, event, &stakes, may_refuse);
	if (!keep_key(event, &changing, decision))
		return false;
	insert(event, &changing, alerts);
	if (price != NULL)
	{
		pay(&account, event);
		write_account(&account);
	}
	return true;
}

static Decision
record(const Installation *home, Event *event, bool may_refuse)
{
	Decision	decision;

	while (!try_to_record(home, event, may_refuse, &decision))
		CHECK_FOR_INTERRUPTS();
	return decision;
}

/* As the owner: decides, and makes it happen. */
Decision
record_use(const Installation *home, Event *event, bool may_refuse)
{
	if (setting_enabled)
		lock_counting(home, event->user_id);
	check_usage_type(current_config(), event->usage_type);
	return setting_enabled ? record(home, event, may_refuse) : decision_not_made();
}

/* Something that follows from what is recorded: its type need not exist any more. */
Decision
record_fact(const Installation *home, Event *event)
{
	if (!setting_enabled)
		return decision_not_made();
	lock_counting(home, event->user_id);
	return record(home, event, false);
}
