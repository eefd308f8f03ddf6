/*
 * credits.c -- what a user can spend, and which of it goes first.
 *
 * Arithmetic on one account in memory; reads nothing but what plans gave, and writes
 * nothing.
 *
 * A grant is worth its remainder from effective_at to expires_at, and then at most
 * max_rollover of it up to rollover_until.  What ended is taken off the remainder
 * by the next change (settle_account); until then usable() says the same.
 *
 * A refill is a grant for one period of the plan's calendar.  Nobody makes it: it
 * is due until somebody spends, and is made then.
 */
#include "compat.h"

#include "credits.h"
#include "numbers.h"

Numeric
usable(const Grant *grant, TimestampTz at)
{
	if (at < grant->effective_at)
		return num_zero;
	if (at < grant->expires_at)
		return grant->remaining;
	if (at < grant->rollover_until)
		return num_least(grant->remaining, grant->max_rollover);
	return num_zero;
}

static Numeric
usable_at(const Account *account, TimestampTz at)
{
	Numeric		sum = num_zero;

	for (int i = 0; i < account->ngrants; i++)
	{
		Numeric		part = usable(&account->grants[i], at);
		Numeric		before = sum;

		if (num_sign(part) == 0)
			continue;
		sum = num_add(before, part);
		if (before != num_zero)
			pfree(before);		/* asked for each of many entries */
	}
	return sum;
}

/* Reserved or not. */
Numeric
balance_at(const Account *account, TimestampTz at)
{
	return num_trim(num_sub(usable_at(account, at), account->owed));
}

static Numeric
room_for_debt(const Account *account)
{
	return num_at_least_zero(num_sub(account->overdraft, account->owed));
}

/* What may be spent; less than nothing is nothing. */
Numeric
available(const Account *account)
{
	Numeric		all = num_add(usable_at(account, account->now), room_for_debt(account));

	return num_trim(num_at_least_zero(num_sub(all, account->held)));
}

/* ---- grants ---- */

Grant *
add_grant(Account *account)
{
	Grant	   *grant;

	if (account->ngrants == account->room)
	{
		account->room = account->room == 0 ? 8 : 2 * account->room;
		account->grants = account->grants == NULL ? palloc(account->room * sizeof(Grant))
			: repalloc(account->grants, account->room * sizeof(Grant));
	}
	grant = &account->grants[account->ngrants++];
	memset(grant, 0, sizeof(Grant));
	grant->is_open = grant->is_new = true;
	return grant;
}

Grant *
find_grant(const Account *account, int64 id)
{
	for (int i = 0; i < account->ngrants; i++)
		if (account->grants[i].id == id)
			return &account->grants[i];
	return NULL;
}

/* ---- refills ---- */

/* What was made for a time that is not over at this instant. */
static Numeric
refilled_beyond(const Account *account, TimestampTz at, Numeric *max_rollover)
{
	Numeric		amount = num_zero;

	*max_rollover = num_zero;
	for (int i = 0; i < account->ngrants; i++)
		if (account->grants[i].is_refill && account->grants[i].expires_at > at)
		{
			amount = num_add(amount, account->grants[i].amount);
			*max_rollover = num_add(*max_rollover, account->grants[i].max_rollover);
		}
	return amount;
}

static void
add_refill(Account *account, Numeric amount, Window period, Numeric max_rollover, TimestampTz rollover_until)
{
	Grant	   *grant = add_grant(account);

	grant->is_refill = true;
	grant->amount = grant->remaining = num_trim(amount);
	grant->effective_at = period.start;
	grant->expires_at = period.end;
	grant->max_rollover = num_trim(num_at_least_zero(max_rollover));
	grant->rollover_until = num_sign(grant->max_rollover) > 0 ? rollover_until : period.end;
}

static Window
period_at(const Account *account, const UserTerms *terms, TimestampTz at)
{
	return window_at(WINDOW_CALENDAR, &account->refill.period, zone_of_user(terms), terms->anchor, at);
}

static bool
gives_in_such_periods(const Refill *refill, const Refill *other)
{
	return refill->amount != NULL && refill->period.month == other->period.month &&
		refill->period.day == other->period.day && refill->period.time == other->period.time;
}

/* As much of a period as is still open: what was due before the last change was made by it. */
static TimestampTz
open_since(const Account *account, Window period, TimestampTz last)
{
	TimestampTz begin = Max(period.start, account->updated_at);

	for (int i = 0; i < account->ngrants; i++)
		if (account->grants[i].is_refill && account->grants[i].expires_at <= last)
			begin = Max(begin, account->grants[i].expires_at);	/* in another zone it lasted longer */
	return Min(begin, last);
}

/*
 * A refill is made once a period, as far as there is none; where his plan came to give
 * more during the period, the difference is made at that instant.
 */
static void
add_refills(Account *account, Window period, TimestampTz last, TimestampTz rollover_until)
{
	TimestampTz begin = open_since(account, period, last);
	RefillSteps steps = refill_steps(account->user_id, begin, last, &account->refill, account->now);

	for (int i = 0; i < steps.n; i++)
	{
		const RefillStep *step = &steps.all[i];
		Numeric		rollover;
		Numeric		more;

		if (!gives_in_such_periods(&step->refill, &account->refill))
			continue;
		more = num_sub(step->refill.amount, refilled_beyond(account, last, &rollover));
		if (num_sign(more) > 0)
			add_refill(account, more, (Window) {step->since, period.end},
					   num_sub(step->refill.max_rollover, rollover), rollover_until);
	}
}

/*
 * The period before is only of interest for what rolls over: if nothing was written
 * since it ended, and the user was there, all of it was left.
 */
static void
add_former_refills(Account *account, const UserTerms *terms)
{
	Window		former = period_at(account, terms, account->period.start - 1);
	RefillSteps end;

	if (terms->anchor >= former.end || account->updated_at >= former.end)
		return;
	end = refill_steps(account->user_id, former.end - 1, former.end - 1, &account->refill, account->now);
	if (gives_in_such_periods(&end.all[0].refill, &account->refill) &&
		num_sign(end.all[0].refill.max_rollover) > 0)
		add_refills(account, former, former.end - 1, account->period.end);
}

/* To an account whose grants were read. */
void
add_due_refills(Account *account, const UserTerms *terms)
{
	if (account->refill.amount == NULL || num_sign(account->refill.amount) == 0)
		return;
	if (!account->is_known && account->now < terms->anchor)
		return;					/* asked about a time before he came */
	account->period = period_at(account, terms, account->now);
	add_former_refills(account, terms);
	add_refills(account, account->period, account->now, period_at(account, terms, account->period.end).end);
}

/* ---- taking and giving ---- */

static void
add_part(Parts *parts, int64 grant, Numeric amount)
{
	if (num_sign(amount) != 0)
		parts->all[parts->n++] = (Part) {grant, num_trim(amount)};
}

static TimestampTz
end_of_grant(const Grant *grant, TimestampTz now)
{
	return now < grant->expires_at ? grant->expires_at : grant->rollover_until;
}

/* Which is spent first: by priority, then what ends first, then the older. */
static bool
goes_first(const Grant *a, const Grant *b, TimestampTz now)
{
	TimestampTz end_a = end_of_grant(a, now);
	TimestampTz end_b = end_of_grant(b, now);

	if (a->priority != b->priority)
		return a->priority < b->priority;
	return end_a != end_b ? end_a < end_b : a->id < b->id;
}

static Grant *
next_to_spend(const Account *account)
{
	Grant	   *next = NULL;

	for (int i = 0; i < account->ngrants; i++)
	{
		Grant	   *grant = &account->grants[i];

		if (num_sign(usable(grant, account->now)) > 0 && (next == NULL || goes_first(grant, next, account->now)))
			next = grant;
	}
	return next;
}

/* Of an account that was settled.  What no grant has is owed. */
Parts
draw(Account *account, Numeric amount)
{
	Parts		parts = {palloc((account->ngrants + 1) * sizeof(Part))};
	Numeric		left = amount;
	Grant	   *grant;

	while (num_sign(left) > 0 && (grant = next_to_spend(account)) != NULL)
	{
		Numeric		part = num_least(left, grant->remaining);

		grant->remaining = num_trim(num_sub(grant->remaining, part));
		grant->is_changed = true;
		left = num_sub(left, part);
		add_part(&parts, grant->id, num_sub(num_zero, part));
	}
	account->owed = num_trim(num_add(account->owed, left));
	account->spent = num_trim(num_add(account->spent, amount));
	add_part(&parts, 0, num_sub(num_zero, left));
	return parts;
}

/* A new grant; what is owed is paid from it, if it has begun. */
Parts
give(Account *account, Grant *grant)
{
	Parts		parts = {palloc(2 * sizeof(Part))};
	Numeric		paid = num_zero;

	if (grant->effective_at <= account->now && num_sign(account->owed) > 0)
		paid = num_least(account->owed, grant->amount);
	grant->remaining = num_trim(num_sub(grant->amount, paid));
	account->owed = num_trim(num_sub(account->owed, paid));
	account->earned = num_trim(num_add(account->earned, grant->amount));
	add_part(&parts, grant->id, grant->remaining);
	add_part(&parts, 0, paid);
	return parts;
}

/* To the very grants it was taken from, the last first; these were loaded. */
Parts
give_back(Account *account, const Parts *taken, Numeric amount)
{
	Parts		parts = {palloc(taken->n * sizeof(Part) + 1)};
	Numeric		left = amount;

	for (int i = taken->n - 1; i >= 0 && num_sign(left) > 0; i--)
	{
		Numeric		part = num_least(left, taken->all[i].amount);
		Grant	   *grant = find_grant(account, taken->all[i].grant);

		left = num_sub(left, part);
		add_part(&parts, taken->all[i].grant, part);
		if (taken->all[i].grant == 0)
		{
			account->owed = num_trim(num_sub(account->owed, part));
			continue;
		}
		grant->remaining = num_trim(num_add(grant->remaining, part));
		grant->is_open = grant->is_changed = true;
	}
	account->spent = num_trim(num_sub(account->spent, amount));
	return parts;
}
