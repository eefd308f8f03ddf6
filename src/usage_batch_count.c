/*
 * usage_batch_count.c -- the counters of a batch, user by user.
 *
 * Locking: users have been locked; then rows of those who are new, in the order of
 * users; then of each user his credits and, in their order, his counters.
 */
#include "compat.h"

#include "alerts.h"
#include "catalog/pg_type.h"
#include "credits.h"
#include "miscadmin.h"
#include "numbers.h"
#include "plans.h"
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
			all->all = repalloc(all->all, (*room = 2 * *room + 1) * sizeof(Stake));
		all->all[all->n++] = *one;
	}
}

/* Everything that the events have at stake, one stake for each limit and window. */
static Stakes
stakes_of_events(const Config *config, const UserTerms *terms, Event **events, int n)
{
	Stakes		all = stakes_of_event(config, terms, events[0]);
	int			room = all.n;

	for (int i = 1; i < n; i++)
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

/* Where all of them together fit, so does each. */
static bool
may_be_over(const Stakes *all)
{
	for (int i = 0; i < all->n; i++)
		if (limit_is_sliding(all->all[i].limit))
			return true;
	return overage_of(all) != NULL;
}

/* Marks what of each event is beyond a limit, by what was used before it. */
static void
mark_overage(const Config *config, const UserTerms *terms, Event **events, int n, Stakes *all)
{
	for (int i = 0; i < n; i++)
		events[i]->overage = NULL;
	if (!may_be_over(all))
		return;
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

/* The open events of one user. */
typedef struct UserEvents
{
	Event	  **events;
	int			n;
	UserTerms	terms;
} UserEvents;

static void
count_together(const Installation *home, const UserEvents *user)
{
	const Config *config = current_config();
	Datum		user_id = user->events[0]->user_id;
	Stakes		stakes = stakes_of_events(config, &user->terms, user->events, user->n);
	TimestampTz first;
	TimestampTz last;
	List	   *alerts;

	charge_together(home, &user->terms, user->events, user->n);
	find_span(user->events, user->n, &first, &last);
	stakes.events = user->events;
	stakes.nevents = user->n;
	read_counters(user_id, first, last, &stakes, true);
	take_from_counters(user_id, &stakes, TAKE_TOGETHER);
	alerts = reached_alerts(user_id, &stakes);
	let_rows_follow(user_id, &stakes);
	note_alerts(user_id, alerts, 0);
	note_folds(user_id, &stakes);
	mark_overage(config, &user->terms, user->events, user->n, &stakes);
}

/* ---- everybody's terms, at one instant ---- */

static Datum
column_user(const void *user, bool *isnull)
{
	*isnull = false;
	return ((const UserEvents *) user)->events[0]->user_id;
}

static Datum
column_first_use(const void *user, bool *isnull)
{
	*isnull = false;
	return TimestampTzGetDatum(((const UserEvents *) user)->events[0]->occurred_at);
}

/* Returns those of them who are not known. */
static UserEvents **
read_terms(UserEvents *users, int n, int *nunknown)
{
	UserEvents **unknown = palloc(n * sizeof(UserEvents *) + 1);

	*nunknown = 0;
	begin_fresh_view();
	for (int i = 0; i < n; i++)
	{
		users[i].terms = terms_of_user(users[i].events[0]->user_id, usage_now(), false);
		if (!users[i].terms.is_known)
			unknown[(*nunknown)++] = &users[i];
	}
	end_fresh_view();
	return unknown;
}

/* Before anything of anybody is locked for counting; in the order of users. */
static void
read_known_terms(const Installation *home, UserEvents *users, int n)
{
	UserEvents **unknown;
	int			nunknown;

	while (unknown = read_terms(users, n, &nunknown), nunknown > 0)
	{
		CHECK_FOR_INTERRUPTS();
		note_first_events(column_array((void *const *) unknown, nunknown, column_user, home->user_id_type),
						  column_array((void *const *) unknown, nunknown, column_first_use, TIMESTAMPTZOID));
	}
}

static UserEvents *
users_of(const Installation *home, Batch *batch, int *n)
{
	UserEvents *users = palloc_extended(batch->n * sizeof(UserEvents) + 1, MCXT_ALLOC_HUGE);

	*n = 0;
	for (int i = 0, length; i < batch->n; i += length)
	{
		Batch		slice = {&batch->items[i]};
		UserEvents *user = &users[*n];
		BatchItem **items;

		slice.n = length = run_length(home, &batch->items[i], batch->n - i);
		user->events = open_events(&slice, false, &items, &user->n);
		for (int k = 0; k < user->n; k++)
			if (!user->events[k]->has_own_time)
				user->events[k]->occurred_at = usage_now();
		*n += user->n > 0;
	}
	return users;
}

void
count_users(const Installation *home, Batch *batch)
{
	int			n;
	UserEvents *users = users_of(home, batch, &n);

	read_known_terms(home, users, n);
	for (int i = 0; i < n; i++)
	{
		count_together(home, &users[i]);
		CHECK_FOR_INTERRUPTS();
	}
}
