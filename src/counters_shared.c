/*
 * counters_shared.c -- reading counters in shared memory, and taking of them.
 *
 * Why it is exact is told in counters_inflight.c.
 */
#include "compat.h"

#include "access/xact.h"
#include "counters.h"
#include "counters_fold.h"
#include "counters_inflight.h"
#include "miscadmin.h"
#include "numbers.h"
#include "storage/lmgr.h"

/* A stake, as it is compared under the lock, and what was found there. */
typedef struct Share
{
	Stake	   *stake;
	Amount		amount;
	Amount		room;			/* what may be used before it, for it to fit */
	bool		has_room;		/* else it is unlimited, or marks nothing */
	bool		refuses;		/* what does not fit */
	Counter    *counter;
	Amount		used;			/* by others that are committed, and by ourselves */
	Amount		low;			/* if of what is under way all came that makes it less, */
	Amount		high;			/* or more */
} Share;

typedef enum Verdict
{
	FITS,
	DOES_NOT_FIT,
	HANGS,						/* on a transaction that is under way */
	IS_NOT_HERE
} Verdict;

/* What was found out under the lock. */
typedef struct Trial
{
	Verdict		verdict;
	Share	   *share;			/* of which */
	TransactionId xid;			/* on whom it hangs */
	bool		is_late;		/* some row counts to a later instant */
	bool		is_stale;		/* reservations have changed since they were read */
} Trial;

static bool
adds(TakingKind kind)
{
	return kind == TAKE_IF_IT_FITS || kind == TAKE_ANYWAY || kind == TAKE_AND_SETTLE || kind == TAKE_TOGETHER;
}

static bool
refuses(TakingKind kind)
{
	return kind == TAKE_IF_IT_FITS || kind == HOLD_IF_IT_FITS;
}

static Place
place_of(Datum user_id)
{
	return place_of_user(present_installation(), user_id);
}

/* ---- reading ---- */

/* What this transaction adds to it is used, to itself. */
static Amount
used_by_us(const Counter *counter)
{
	const Taking *own = find_taking(counter, MyProcPid);

	return own == NULL ? counter->used : amount_plus(&counter->used, &own->gain);
}

/* Copies what a stake needs of its counter.  False: it is not here. */
static bool
look_at(const Place *place, Stake *stake, Amount *used)
{
	Counter    *counter;

	LWLockAcquire(&place->partition->lock, LW_SHARED);
	counter = counter_in_memory(place, stake->limit->id, stake->window);
	if (counter != NULL && counter->nprepared > 0)
	{
		LWLockRelease(&place->partition->lock);
		LWLockAcquire(&place->partition->lock, LW_EXCLUSIVE);
		counter = counter_in_memory(place, stake->limit->id, stake->window);
		if (counter != NULL)
			settle_prepared(place->partition, counter);
	}
	if (counter != NULL)
	{
		counter->was_used = true;
		*used = used_by_us(counter);
		stake->holds = counter->holds;
		stake->may_have_holds = counter->may_have_holds;
	}
	LWLockRelease(&place->partition->lock);
	return counter != NULL;
}

/* Brings it here if need be.  It may leave again at any time. */
static void
read_stake(const Place *place, Datum user_id, Stake *stake)
{
	Amount		used;

	while (!(stake->in_memory = look_at(place, stake, &used)))
		if (!bring_counter(place, user_id, stake))
			return;
	stake->used = amount_numeric(&used);
}

/* Of each stake what is used now; those that have no place here are left. */
void
read_shared(Datum user_id, Stakes *stakes)
{
	Place		place = place_of(user_id);

	for (int i = 0; i < stakes->n; i++)
		read_stake(&place, user_id, &stakes->all[i]);
}

/* False: not all of them are here. */
bool
read_if_shared(Datum user_id, Stakes *stakes)
{
	Place		place = place_of(user_id);
	Amount		used;

	for (int i = 0; i < stakes->n; i++)
	{
		if (!look_at(&place, &stakes->all[i], &used))
			return false;
		stakes->all[i].used = amount_numeric(&used);
	}
	return true;
}

/* ---- trying ---- */

static Share
share_of(Stake *stake, TakingKind kind)
{
	Share		share = {stake};

	share.amount = amount_from(stake->amount);
	share.has_room = !is_unlimited(stake) && stake->limit->is_active && num_sign(stake->amount) > 0;
	share.refuses = refuses(kind) && can_refuse(stake);
	if (share.has_room)
		share.room = amount_from(share.refuses ? room_of(stake) : num_sub(stake->max_usage, stake->amount));
	return share;
}

static bool
shows(const Taking *taking)
{
	return !amount_is_zero(&taking->up) || !amount_is_zero(&taking->down);
}

/* Somebody else's taking that makes a difference; NULL: there is none. */
static Taking *
taking_of_another(const Counter *counter)
{
	for (int number = counter->takings; number != NONE; number = taking_number(number)->next)
		if (!is_own(taking_number(number)) && shows(taking_number(number)))
			return taking_number(number);
	return NULL;
}

static void
find_bounds(Share *share)
{
	const Counter *counter = share->counter;
	const Taking *own = find_taking(counter, MyProcPid);

	share->used = used_by_us(counter);
	share->low = amount_plus(&share->used, &counter->down);
	share->high = amount_plus(&share->used, &counter->up);
	if (own == NULL)
		return;
	share->low = amount_minus(&share->low, &own->down);
	share->high = amount_minus(&share->high, &own->up);
}

static bool
has_room_beside(const Share *share, const Amount *used)
{
	return amount_compare(used, &share->room) <= 0;
}

/* What a fact takes beyond what there is: nothing, all of it, or a part. */
static bool
marks_the_same(const Share *share)
{
	Amount		max = amount_plus(&share->room, &share->amount);

	if (has_room_beside(share, &share->high))
		return true;
	return amount_compare(&share->low, &max) >= 0 || amount_compare(&share->low, &share->high) == 0;
}

static Verdict
verdict_on(const Share *share)
{
	if (!share->has_room)
		return FITS;
	if (!share->refuses)
		return marks_the_same(share) ? FITS : HANGS;
	if (has_room_beside(share, &share->high))
		return FITS;
	return has_room_beside(share, &share->low) ? HANGS : DOES_NOT_FIT;
}

/*
 * Who has to be waited for, whatever the amounts are.  Where somebody wants to be
 * alone, who has taken of it goes on, or they would wait for each other.
 */
static int
taking_in_the_way(const Counter *counter, TimestampTz first, bool alone)
{
	const Taking *own = find_taking(counter, MyProcPid);
	const Taking *other;

	if (counter->exclusive != NONE && !is_own(taking_number(counter->exclusive)) &&
		(alone || own == NULL || !shows(own)))
		return counter->exclusive;
	if (counter->folding != NONE && !is_own(taking_number(counter->folding)) && first < counter->boundary)
		return counter->folding;
	other = alone ? taking_of_another(counter) : NULL;
	return other == NULL ? NONE : number_of_taking(other);
}

/* The latest instant to which some row that has to do with it counts, as far as we see. */
static TimestampTz
rows_count_to(const Counter *counter)
{
	const Taking *own = find_taking(counter, MyProcPid);
	TimestampTz row = Max(counter->counts_to, counter->neighbours_to);

	return own == NULL || own->counts_to == 0 ? row : Max(row, own->counts_to);
}

static Verdict
try_share(const Place *place, const Stakes *stakes, Share *share, bool alone, Trial *trial)
{
	int			in_the_way;
	Verdict		verdict;

	share->counter = counter_in_memory(place, share->stake->limit->id, share->stake->window);
	if (share->counter == NULL)
		return IS_NOT_HERE;
	settle_prepared(place->partition, share->counter);
	find_bounds(share);
	in_the_way = taking_in_the_way(share->counter, stakes->first, alone);
	verdict = in_the_way != NONE ? HANGS : verdict_on(share);
	if (in_the_way == NONE && verdict == HANGS)
		in_the_way = number_of_taking(taking_of_another(share->counter));
	if (verdict == HANGS)
		trial->xid = taking_number(in_the_way)->xid;
	trial->is_late = trial->is_late || stakes->first < rows_count_to(share->counter);
	if (share->counter->holds != share->stake->holds)
	{
		trial->is_stale = true;
		if (share->refuses)
			verdict = DOES_NOT_FIT;	/* as far as we know; look again */
	}
	return verdict;
}

/* The worst of all: what is not here, then what does not fit, then what hangs. */
static Trial
try_shares(const Place *place, const Stakes *stakes, Share *shares, bool alone)
{
	Trial		trial = {FITS};

	for (int i = 0; i < stakes->n; i++)
	{
		TransactionId xid = trial.xid;
		Verdict		verdict = try_share(place, stakes, &shares[i], alone, &trial);

		if (verdict == IS_NOT_HERE || (verdict == DOES_NOT_FIT && trial.verdict != IS_NOT_HERE) ||
			(verdict == HANGS && trial.verdict == FITS))
		{
			trial.verdict = verdict;
			trial.share = &shares[i];
		}
		else if (verdict == HANGS)
			trial.xid = xid;
	}
	return trial;
}

/* ---- taking ---- */

static Change
change_of(const Share *share, TakingKind kind)
{
	Change		change = {share->amount};

	if (adds(kind))
		change.gain = share->amount;
	if (amount_is_negative(&share->amount))
	{
		change.down = share->amount;
		change.up = amount_zero;
	}
	if (kind == TAKE_ALONE)
		change.up = change.down = amount_zero;
	change.changes_of_holds = kind == HOLD_IF_IT_FITS || kind == HOLD_ANYWAY || kind == TAKE_AND_SETTLE;
	return change;
}

/* Before anything is changed: a taking for each.  NULL: there is no room for this one's. */
static Share *
find_own_takings(const Place *place, Share *shares, int n)
{
	for (int i = 0; i < n; i++)
		if (own_taking(place->partition, shares[i].counter) == NULL)
			return &shares[i];
	return NULL;
}

static void
take_share(const Place *place, const Stakes *stakes, Share *share, TakingKind kind)
{
	Counter    *counter = share->counter;
	Taking	   *taking = own_taking(place->partition, counter);
	Change		change = change_of(share, kind);

	change.events = adds(kind) ? Max(stakes->nevents, 1) : 0;
	if (stakes->first < counter->boundary && !taking->is_early)
	{
		taking->is_early = true;
		counter->nearly++;
	}
	counter->was_used = true;
	counter->latest = Max(counter->latest, stakes->last);
	change_taking(place->partition, taking, &change);
}

/* Who has the last takings there is room for. */
static void
note_full(const Place *place, Share *share, Trial *trial)
{
	const Taking *other = taking_number(share->counter->takings);

	trial->share = share;
	trial->verdict = share->counter->ntakings == 0 ? IS_NOT_HERE : HANGS;
	if (trial->verdict == HANGS)
		trial->xid = other->xid;
	else
		remove_counter(place->partition, share->counter);
}

/* Keeps those away from now on who have not taken of it yet. */
static void
claim(const Place *place, const Share *shares, int n)
{
	Change		change = {.excludes = true};

	for (int i = 0; i < n; i++)
		if (shares[i].counter->exclusive == NONE)
			change_taking(place->partition, own_taking(place->partition, shares[i].counter), &change);
}

static void
take_shares(const Place *place, const Stakes *stakes, Share *shares, TakingKind kind, bool alone, Trial *trial)
{
	Share	   *full = find_own_takings(place, shares, stakes->n);

	if (full != NULL)
	{
		note_full(place, full, trial);
		return;
	}
	if (alone)
		claim(place, shares, stakes->n);
	for (int i = 0; i < stakes->n && trial->verdict == FITS; i++)
		take_share(place, stakes, &shares[i], kind);
}

static Trial
try_to_take(const Place *place, Stakes *stakes, Share *shares, TakingKind kind, bool alone)
{
	Trial		trial;

	expect_takings(stakes->n);
	LWLockAcquire(&place->partition->lock, LW_EXCLUSIVE);
	trial = try_shares(place, stakes, shares, alone);
	if (trial.verdict == FITS || (alone && trial.verdict == HANGS))
		take_shares(place, stakes, shares, kind, alone, &trial);
	LWLockRelease(&place->partition->lock);
	return trial;
}

/* "used" of each stake is what it was before it. */
static void
tell_stakes(const Share *shares, int n)
{
	for (int i = 0; i < n; i++)
	{
		shares[i].stake->used = amount_numeric(&shares[i].high);
		shares[i].stake->is_unsure = amount_compare(&shares[i].used, &shares[i].high) != 0;
	}
}

/* Whether it can be tried again. */
static bool
get_over(const Place *place, Datum user_id, const Trial *trial)
{
	switch (trial->verdict)
	{
		case HANGS:
			XactLockTableWait(trial->xid, NULL, NULL, XLTW_None);
			return true;
		case IS_NOT_HERE:
			return trial->share->stake->in_memory = bring_counter(place, user_id, trial->share->stake);
		default:
			return false;
	}
}

/*
 * Takes of each stake, all of which are here.  False: one of them is used up, its
 * reservations have changed, or (in_memory is false) it is no longer here.  Moved:
 * there is no room for all of them at once, however often one is brought back.
 */
static bool
take_here(const Place *place, Datum user_id, Stakes *stakes, TakingKind kind, bool *stale, bool *moved)
{
	Share	   *shares = palloc(stakes->n * sizeof(Share));
	bool		alone = kind == TAKE_ALONE;
	int			brought = 0;
	Trial		trial;

	for (int i = 0; i < stakes->n; i++)
		shares[i] = share_of(&stakes->all[i], kind);
	while ((trial = try_to_take(place, stakes, shares, kind, alone)).verdict != FITS)
	{
		CHECK_FOR_INTERRUPTS();
		alone = alone || (trial.verdict == HANGS && kind == TAKE_TOGETHER);
		if (trial.verdict == IS_NOT_HERE && brought++ == 2 * stakes->n)
		{
			trial.share->stake->in_memory = false;
			*moved = true;
			return false;
		}
		if (!get_over(place, user_id, &trial))
			return false;
	}
	*stale = *stale || trial.is_stale;
	tell_stakes(shares, stakes->n);
	if (adds(kind))
	{
		make_rows(place, user_id, stakes);
		if (trial.is_late)
			count_late(user_id, stakes, false);
	}
	return true;
}

/* ---- of counters that are not here as well ---- */

static Stakes
some_stakes(const Stakes *stakes, bool in_memory)
{
	Stakes		some = *stakes;

	some.all = palloc(stakes->n * sizeof(Stake));
	some.n = 0;
	for (int i = 0; i < stakes->n; i++)
		if (stakes->all[i].in_memory == in_memory)
			some.all[some.n++] = stakes->all[i];
	if (in_memory)
		some.nneighbours = 0;
	return some;
}

static void
put_back(Stakes *stakes, const Stakes *some)
{
	for (int i = 0; i < some->n; i++)
	{
		Stake	   *stake = stake_in_window(stakes, some->all[i].limit->id, some->all[i].window);

		*stake = some->all[i];
	}
}

typedef enum Bypass
{
	BEGUN,
	CAME_BACK,					/* a counter is here after all */
	IS_FULL
} Bypass;

static Bypass
try_to_bypass(const Place *place, Stakes *stakes, TransactionId *taker)
{
	Bypass		bypass = BEGUN;

	expect_takings(1);
	LWLockAcquire(&place->partition->lock, LW_EXCLUSIVE);
	for (int i = 0; i < stakes->n; i++)
		if (counter_in_memory(place, stakes->all[i].limit->id, stakes->all[i].window) != NULL)
		{
			stakes->all[i].in_memory = true;
			bypass = CAME_BACK;
		}
	if (bypass == BEGUN && own_taking(place->partition, NULL) == NULL)
	{
		bypass = IS_FULL;
		*taker = any_taker(place->partition);
	}
	LWLockRelease(&place->partition->lock);
	return bypass;
}

/*
 * From now on nobody brings a counter here that is not, in this partition, until
 * the transaction ends.  False: one came back meanwhile.
 */
static bool
bypass_memory(const Place *place, Stakes *stakes)
{
	TransactionId taker = InvalidTransactionId;
	Bypass		bypass;

	while ((bypass = try_to_bypass(place, stakes, &taker)) == IS_FULL)
		XactLockTableWait(taker, NULL, NULL, XLTW_None);
	if (bypass == CAME_BACK)
		return false;
	for (int i = 0; i < stakes->n; i++)
		lock_key(&place->user, stakes->all[i].limit->id, stakes->all[i].window, true);
	return true;
}

/*
 * This transaction has brought events that are not counted here.  Uses of its own
 * from now on count in rows, which see what it did.
 */
static void
pass_partition_by(Partition *partition)
{
	TransactionId taker;

	do
	{
		expect_takings(1);
		taker = InvalidTransactionId;
		LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
		if (own_taking(partition, NULL) == NULL)
			taker = any_taker(partition);
		LWLockRelease(&partition->lock);
		if (TransactionIdIsValid(taker))
			XactLockTableWait(taker, NULL, NULL, XLTW_None);
	} while (TransactionIdIsValid(taker));
}

void
pass_memory_by(const Installation *home, Datum user_id)
{
	if (has_counter_memory())
		pass_partition_by(place_of_user(home, user_id).partition);
}

void
pass_all_memory_by(void)
{
	if (has_counter_memory())
		for (int i = 0; i < number_of_partitions(); i++)
			pass_partition_by(partition_number(i));
}

static bool
take_past_memory(const Place *place, Datum user_id, Stakes *stakes, TakingKind kind, bool *stale, bool *moved)
{
	*moved = !bypass_memory(place, stakes);
	if (*moved)
		return false;
	read_from_rows(user_id, stakes);
	if (make_rows_whole(user_id, stakes))
		read_from_rows(user_id, stakes);
	return take_from_rows(user_id, stakes, kind, stale);
}

/* Moved: nothing is taken, but it is known now which of them are here. */
static bool
try_both(const Place *place, Datum user_id, Stakes *stakes, TakingKind kind, bool *stale, bool *moved)
{
	Stakes		here = some_stakes(stakes, true);
	Stakes		there = some_stakes(stakes, false);
	bool		taken;

	*moved = false;
	taken = here.n == 0 || take_here(place, user_id, &here, kind, stale, moved);
	if (taken && there.n > 0 && !(taken = take_past_memory(place, user_id, &there, kind, stale, moved)) && adds(kind))
		add_to_shared(user_id, &here, true);
	put_back(stakes, &here);
	if (taken || *moved)
		put_back(stakes, &there);
	return taken;
}

/*
 * Takes every amount or none.  A counter may have left since it was read, or come;
 * who may not be refused then looks where it is now and takes from there.
 */
bool
take_shared(Datum user_id, Stakes *stakes, TakingKind kind, bool *stale)
{
	Place		place = place_of(user_id);
	bool		moved;

	PreventCommandIfReadOnly("INSERT");
	while (!try_both(&place, user_id, stakes, kind, stale, &moved))
	{
		CHECK_FOR_INTERRUPTS();
		if (moved)
			continue;
		if (refuses(kind))
			return false;
		read_shared(user_id, stakes);
	}
	return true;
}

static void
turn_round(Change *change)
{
	change->up = amount_minus(&amount_zero, &change->up);
	change->down = amount_minus(&amount_zero, &change->down);
	change->gain = amount_minus(&amount_zero, &change->gain);
	change->events = -change->events;
}

/* To, or back from, counters of which this transaction has taken. */
void
add_to_shared(Datum user_id, const Stakes *stakes, bool back)
{
	Stakes		here = some_stakes(stakes, true);
	Stakes		there = some_stakes(stakes, false);
	Place		place = place_of(user_id);

	expect_takings(here.n);
	LWLockAcquire(&place.partition->lock, LW_EXCLUSIVE);
	for (int i = 0; i < here.n; i++)
	{
		Stake	   *stake = &here.all[i];
		Share		share = share_of(stake, TAKE_ANYWAY);
		Change		change = change_of(&share, TAKE_ANYWAY);

		change.events = 1;
		if (back)
			turn_round(&change);
		change_taking(place.partition, own_taking(place.partition, counter_in_memory(&place, stake->limit->id, stake->window)), &change);
	}
	LWLockRelease(&place.partition->lock);
	count_late(user_id, &here, back);
	if (there.n > 0)
		add_to_rows(user_id, &there, back ? MINUS_AMOUNT : AMOUNT);
}

/* ---- what comes of it ---- */

/* One that had taken before us and may not come to be; NULL: there is none. */
static Taking *
earlier_taking(const Counter *counter, const Taking *own, Amount *up)
{
	Taking	   *earlier = NULL;

	*up = amount_zero;
	for (int number = counter->takings; number != NONE; number = taking_number(number)->next)
	{
		Taking	   *taking = taking_number(number);

		if (is_own(taking) || taking->turn > own->turn || amount_is_zero(&taking->up))
			continue;
		*up = amount_plus(up, &taking->up);
		earlier = taking;
	}
	return earlier;
}

static Verdict
look_if_reached(const Place *place, Counter *counter, const Amount *amount, Amount *used, TransactionId *xid)
{
	const Taking *own = find_taking(counter, MyProcPid);
	Taking	   *earlier;
	Amount		high;

	settle_prepared(place->partition, counter);
	*used = used_by_us(counter);
	if (own == NULL || amount_compare(used, amount) >= 0)
		return FITS;
	earlier = earlier_taking(counter, own, &high);
	high = amount_plus(&high, used);
	if (amount_compare(&high, amount) < 0)
		return DOES_NOT_FIT;
	*xid = earlier->xid;
	return HANGS;
}

/*
 * Whether so much is used, now that this transaction commits.  If that hangs on
 * transactions that had taken before, they are waited for; who took later knows of
 * us, and has to see to it himself.
 */
bool
is_reached(Datum user_id, int64 limit_id, Window window, Numeric amount, Numeric *used)
{
	Place		place = place_of(user_id);
	Amount		wanted = amount_from(amount);
	Amount		now = amount_zero;
	Verdict		verdict;

	do
	{
		TransactionId xid = InvalidTransactionId;
		Counter    *counter;

		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(&place.partition->lock, LW_EXCLUSIVE);
		counter = counter_in_memory(&place, limit_id, window);
		verdict = counter == NULL ? IS_NOT_HERE : look_if_reached(&place, counter, &wanted, &now, &xid);
		LWLockRelease(&place.partition->lock);
		if (verdict == IS_NOT_HERE)
			return true;
		if (verdict == HANGS)
			XactLockTableWait(xid, NULL, NULL, XLTW_None);
	} while (verdict == HANGS);
	*used = amount_numeric(&now);
	return verdict == FITS;
}
