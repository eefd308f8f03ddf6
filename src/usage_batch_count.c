/*
 * usage_batch_count.c -- the counters of a batch, user by user.
 *
 * For each user one statement locks all his counters in their order, and one
 * adds to them.
 */
#include "compat.h"

#include "alerts.h"
#include "credits.h"
#include "miscadmin.h"
#include "numbers.h"
#include "settings.h"
#include "usage_batch.h"

static void
add_stakes(Stakes *all, int *room, const Stakes *of_event)
{
	for (int i = 0; i < of_event->n; i++)
	{
		const Stake *one = &of_event->all[i];
		Stake	   *there = stake_in_window(all, one->limit->id, one->window);

		if (there != NULL)
		{
			there->amount = num_add(there->amount, one->amount);
			continue;
		}
		if (all->n == *room)
			all->all = repalloc(all->all, (*room *= 2) * sizeof(Stake));
		all->all[all->n++] = *one;
	}
}

/* Everything that the events have at stake, one stake for each limit and window. */
static Stakes
stakes_of_events(const Config *config, const UserTerms *terms, Event **events, int n)
{
	int			room = 8;
	Stakes		all = {palloc(room * sizeof(Stake))};

	for (int i = 0; i < n; i++)
	{
		Stakes		one = stakes_of_event(config, terms, events[i]);

		add_stakes(&all, &room, &one);
	}
	return stakes_that_change(&all);
}

/* Sliding windows overlap. */
static void
add_to_windows(Stakes *all, const Stake *stake, TimestampTz at)
{
	for (int i = 0; i < all->n; i++)
	{
		Stake	   *one = &all->all[i];

		if (one->limit == stake->limit && at >= one->window.start && at < one->window.end)
			one->used = num_add(one->used, stake->amount);
	}
}

/* Marks what of each event is beyond a limit, by what was used before it. */
static void
mark_overage(const Config *config, const UserTerms *terms, Event **events, int n, Stakes *all)
{
	for (int i = 0; i < n; i++)
	{
		Stakes		one = stakes_of_event(config, terms, events[i]);

		one = stakes_that_change(&one);
		for (int k = 0; k < one.n; k++)
			one.all[k].used = stake_in_window(all, one.all[k].limit->id, one.all[k].window)->used;
		events[i]->overage = overage_of(&one);
		for (int k = 0; k < one.n; k++)
			add_to_windows(all, &one.all[k], events[i]->occurred_at);
	}
}

static void
find_span(Event **events, int n, TimestampTz *first, TimestampTz *last)
{
	*first = *last = events[0]->occurred_at;
	for (int i = 1; i < n; i++)
	{
		*first = Min(*first, events[i]->occurred_at);
		*last = Max(*last, events[i]->occurred_at);
	}
}

/* Before counters are locked; in the order of the batch, as one by one. */
static void
charge_together(const Installation *home, const UserTerms *terms, Event **events, int n)
{
	Account		account;
	bool		is_locked = false;

	for (int i = 0; i < n; i++)
	{
		Numeric		price = price_of(events[i]);

		if (price == NULL)
			continue;
		if (!is_locked)
			account = lock_account(home, events[i]->user_id, terms);
		is_locked = true;
		set_price(&account, events[i], price, false);
		pay(&account, events[i]);
	}
	if (is_locked)
		write_account(&account);
}

static void
count_together(const Installation *home, Event **events, int n)
{
	const Config *config = current_config();
	Datum		user_id = events[0]->user_id;
	UserTerms	terms = known_terms(user_id, events[0]->occurred_at);
	Stakes		stakes = stakes_of_events(config, &terms, events, n);
	TimestampTz first;
	TimestampTz last;

	charge_together(home, &terms, events, n);
	find_span(events, n, &first, &last);
	stakes.events = events;
	stakes.nevents = n;
	read_counters(user_id, first, last, &stakes, true);
	take_from_counters(user_id, &stakes, TAKE_TOGETHER);
	note_alerts(user_id, &stakes, 0);
	note_folds(user_id, &stakes);
	mark_overage(config, &terms, events, n, &stakes);
}

static void
count_user(const Installation *home, Batch *slice)
{
	BatchItem **items;
	int			n;
	Event	  **events = open_events(slice, false, &items, &n);

	for (int i = 0; i < n; i++)
		if (!events[i]->has_own_time)
			events[i]->occurred_at = usage_now();
	if (n > 0)
		count_together(home, events, n);
}

void
count_users(const Installation *home, Batch *batch)
{
	for (int i = 0, length; i < batch->n; i += length)
	{
		Batch		slice = {&batch->items[i]};

		slice.n = length = run_length(home, &batch->items[i], batch->n - i);
		count_user(home, &slice);
		CHECK_FOR_INTERRUPTS();
	}
}
