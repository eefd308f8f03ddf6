/*
 * credits_charge.c -- what a use costs, taken with it.
 *
 * A use looks first without a lock, so a refusal leaves no trace; then it locks
 * the account before its counters, and what was seen there stays true.  A fact is
 * never refused: what there is not enough of is owed by the event, not by the user.
 */
#include "compat.h"

#include "credits.h"
#include "numbers.h"
#include "settings.h"

/* Of limits and credits that deny, whichever is there again last; never is last. */
static bool
limits_bind(const Decision *limits, TimestampTz refill)
{
	return !limits->allowed && limits->reset_at >= refill;
}

/* Not enough of them. */
Decision
decide_credits(const Account *account, const Decision *limits)
{
	Decision	decision = {false, "insufficient_credits", 0, NULL, NULL, NULL, next_refill(account)};

	if (limits != NULL && limits_bind(limits, decision.reset_at))
		return *limits;
	decision.credits_left = available(account);
	return decision;
}

/* What limits have to say about it comes first. */
void
allow_unpaid(Decision *decision, const char *reason)
{
	if (strcmp(decision->reason, "ok") == 0 || strcmp(decision->reason, "unlimited") == 0)
		decision->reason = reason;
}

/* What a use costs now, also if another try has found something else. */
Numeric
price_of(Event *event)
{
	Numeric		price = credit_cost_of(event);

	if (price == NULL && !is_correction(event))
		event->credits_used = event->credits_owed = NULL;
	return price;
}

/* On sight; what the limits decided becomes what both do. */
void
deny_without_credits(const Installation *home, const Event *event, const UserTerms *terms, Numeric price,
					 bool afresh, Decision *decision)
{
	Account		account;

	account = look_at_account(home, event->user_id, terms, afresh);
	if (num_cmp(available(&account), price) >= 0)
		return;
	if (setting_enforce_limits)
		*decision = decide_credits(&account, decision);
	else
		allow_unpaid(decision, "not_enforced");
}

/* Of a locked account.  False: there is not enough. */
bool
set_price(const Account *account, Event *event, Numeric price, bool may_refuse)
{
	Numeric		used = num_least(price, available(account));

	if (may_refuse && setting_enforce_limits && num_cmp(used, price) < 0)
		return false;
	event->credits_used = num_trim(used);
	event->credits_owed = num_cmp(used, price) < 0 ? num_trim(num_sub(price, used)) : NULL;
	return true;
}

/* What is only reserved stays where it is. */
void
pay(Account *account, const Event *event)
{
	LedgerEntry entry = {.action = "use", .type = "usage"};

	if (event->hold_for > 0 || num_sign(event->credits_used) == 0)
		return;
	entry.amount = num_sub(num_zero, event->credits_used);
	entry.effective_at = account->now;
	entry.event_id = event->id;
	entry.parts = draw(account, event->credits_used);
	write_entry(account, &entry);
}

/* ---- taken back ---- */

/* The part of what is left of its price that this much of its quantity is. */
static Numeric
share_of_price(const Event *left, Numeric quantity)
{
	Numeric		price = num_add(left->credits_used, left->credits_owed);

	if (num_cmp(quantity, left->quantity) == 0)
		return num_trim(price);
	return num_trim(DatumGetNumeric(DirectFunctionCall2(numeric_div, NumericGetDatum(num_mul(price, quantity)),
														NumericGetDatum(left->quantity))));
}

/* At most what was not refunded before. */
static void
refund_part(const Installation *home, Datum user_id, const LedgerEntry *use, Numeric amount)
{
	UserTerms	terms = terms_of_user(user_id, usage_now(), true);
	Account		account = lock_account(home, user_id, &terms);
	Parts		left = parts_not_refunded(user_id, use);
	LedgerEntry refund;

	amount = num_least(amount, sum_of_parts(&left));
	if (num_sign(amount) <= 0)
		return;
	refund = refund_entry(&account, use, &left, amount);
	write_entry(&account, &refund);
	settle_account(&account);
	write_account(&account);
}

/*
 * Of an event that is locked, of which this is left: what it owes goes first, and
 * what was refunded before by refund_credits() is not refunded again.  Its columns
 * become those of the correction.
 */
void
refund_event(const Installation *home, Event *left, Numeric quantity)
{
	LedgerEntry use;
	Numeric		share;
	Numeric		owed;
	Numeric		used;

	if (left->credits_used == NULL)
		return;
	share = share_of_price(left, quantity);
	owed = num_least(share, left->credits_owed);
	used = num_sub(share, owed);
	if (num_sign(used) > 0 && find_entry_of_event(left->user_id, left->id, &use))
		refund_part(home, left->user_id, &use, used);
	left->credits_used = num_sub(num_zero, used);
	left->credits_owed = num_sign(owed) == 0 ? NULL : num_sub(num_zero, owed);
}
