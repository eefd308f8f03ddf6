/*
 * usage_decide.c -- which of several limits answers, and what it says.
 *
 * Reads and writes nothing: stakes in, decision out.
 */
#include "compat.h"

#include "lib/stringinfo.h"
#include "numbers.h"
#include "settings.h"
#include "usage.h"
#include "utils/builtins.h"
#include "utils/json.h"

/* ---- stakes ---- */

Stake
stake_in(const UsageLimit *limit, const UserTerms *terms, TimestampTz at)
{
	Stake		stake = {limit};

	stake.window = window_of(limit, terms, at);
	stake.max_usage = max_usage_of(limit, terms);
	stake.amount = num_from(0);
	stake.at = at;
	return stake;
}

static int
limits_that_count(const Config *config, const Event *event, const UsageLimit **limits)
{
	int			n = 0;

	for (int i = 0; i < config->nlimits; i++)
		if (limit_is_counted(&config->limits[i]) && limit_counts(&config->limits[i], event))
			limits[n++] = &config->limits[i];
	return n;
}

Stakes
stakes_of_event(const Config *config, const UserTerms *terms, const Event *event)
{
	const UsageLimit **limits = palloc(config->nlimits * sizeof(UsageLimit *));
	Stakes		stakes = {.n = limits_that_count(config, event, limits), .is_known = terms->is_known};

	stakes.all = palloc(stakes.n * sizeof(Stake));
	for (int i = 0; i < stakes.n; i++)
	{
		stakes.all[i] = stake_in(limits[i], terms, event->occurred_at);
		stakes.all[i].amount = amount_of(limits[i], event);
	}
	pfree(limits);
	return stakes;
}

static int
copy_changing(Stake *to, const Stake *from, int n)
{
	int			copied = 0;

	for (int i = 0; i < n; i++)
		if (num_sign(from[i].amount) != 0)
			to[copied++] = from[i];
	return copied;
}

Stakes
stakes_that_change(const Stakes *stakes)
{
	Stakes		changing = *stakes;

	changing.all = palloc(stakes->n * sizeof(Stake));
	changing.neighbours = palloc(stakes->nneighbours * sizeof(Stake));
	changing.n = copy_changing(changing.all, stakes->all, stakes->n);
	changing.nneighbours = copy_changing(changing.neighbours, stakes->neighbours, stakes->nneighbours);
	return changing;
}

/* ---- one stake ---- */

/* Recorded and reserved; with this use if it is taken. */
static Numeric
used_so_far(const Stake *stake, bool taken)
{
	Numeric		used = num_add(stake->used, stake->held);

	return num_trim(taken ? num_add(used, stake->amount) : used);
}

static Numeric
recorded_after(const Stake *stake)
{
	return num_trim(num_add(stake->used, stake->amount));
}

/* Only compared with, so there is no need to trim it. */
static Numeric
with_this_use(const Stake *stake)
{
	return num_add(num_add(stake->used, stake->held), stake->amount);
}

/*
 * A use that takes nothing from a limit fits it, however full it is.  But one of
 * no cost is one whose cost is not known yet, so a budget must have something left.
 */
static bool
fits_beside(const Stake *stake, Numeric used_with_it)
{
	int			sign = num_sign(stake->amount);

	if (is_unlimited(stake) || sign < 0)
		return true;
	if (sign == 0)
		return stake->limit->measure != MEASURE_COST || num_cmp(used_with_it, stake->max_usage) < 0;
	return num_cmp(used_with_it, stake->max_usage) <= 0;
}

static bool
fits(const Stake *stake)
{
	return fits_beside(stake, with_this_use(stake));
}

static bool
fits_but_for_holds(const Stake *stake)
{
	return fits_beside(stake, recorded_after(stake));
}

static bool
denies(const Stake *stake)
{
	return can_refuse(stake) && !fits(stake);
}

static const char *
reason_of(const Stake *stake)
{
	if (is_unlimited(stake))
		return "unlimited";
	if (fits(stake))
		return "ok";
	if (!stake->limit->is_active)
		return "not_enforced";
	if (!stake->limit->is_hard)
		return "overage";
	if (!setting_enforce_limits)
		return "not_enforced";
	return fits_but_for_holds(stake) ? "held" : "limit_reached";
}

/* ---- when there is room again ---- */

static TimestampTz
leaves_at(const Stake *stake, TimestampTz at)
{
	return leaves_sliding_window(&stake->limit->period, at);
}

/* When so much of a sliding window has left that this use fits; never, if it is more than there can be. */
static TimestampTz
fits_at(const Stake *stake)
{
	Numeric		used = with_this_use(stake);

	for (int i = 0; i < stake->nbuckets; i++)
	{
		used = num_sub(used, stake->buckets[i].used);
		if (fits_beside(stake, used))
			return leaves_at(stake, stake->buckets[i].at);
	}
	return DT_NOEND;
}

/* When all that is used of it is there again; now, if that is nothing.  DT_NOEND: never. */
TimestampTz
all_back_at(const Stake *stake, bool taken)
{
	TimestampTz last = stake->nbuckets == 0 ? DT_NOBEGIN : stake->buckets[stake->nbuckets - 1].at;

	if (!limit_is_sliding(stake->limit))
		return stake->window.end;
	if (taken)
		last = Max(last, stake->at);
	return TIMESTAMP_IS_NOBEGIN(last) ? stake->at : leaves_at(stake, last);
}

static TimestampTz
reset_of(const Stake *stake, bool taken)
{
	if (limit_is_sliding(stake->limit) && !taken && denies(stake))
		return fits_at(stake);
	return all_back_at(stake, taken);
}

/* ---- which one binds ---- */

/* Of those that deny: the one that resets last, then by name. */
static const Stake *
last_denial(const Stakes *stakes)
{
	const Stake *binding = NULL;

	for (int i = 0; i < stakes->n; i++)
	{
		const Stake *stake = &stakes->all[i];

		if (denies(stake) &&
			(binding == NULL || reset_of(stake, false) > reset_of(binding, false)))
			binding = stake;
	}
	return binding;
}

/* An inactive limit that fits says nothing, unless it is all there is. */
static int
precedence(const Stake *stake)
{
	if (!fits(stake))
		return 0;
	if (is_unlimited(stake))
		return 3;
	return stake->limit->is_active ? 1 : 2;
}

/* Of nothing there is no part, also when less than nothing is used. */
static Numeric
part_left(const Stake *stake, bool taken)
{
	if (num_sign(stake->max_usage) == 0)
		return num_from(0);
	return num_at_least_zero(num_sub(stake->max_usage, used_so_far(stake, taken)));
}

/* remaining(a) / max(a) < remaining(b) / max(b), without dividing */
static bool
is_tighter(const Stake *a, const Stake *b, bool taken)
{
	Numeric		rest_a;
	Numeric		rest_b;

	if (precedence(a) != precedence(b))
		return precedence(a) < precedence(b);
	if (is_unlimited(a))
		return false;
	rest_a = part_left(a, taken);
	rest_b = part_left(b, taken);
	if (num_sign(a->max_usage) == 0 || num_sign(b->max_usage) == 0)
		return num_sign(rest_a) == 0 && num_sign(rest_b) != 0;
	return num_cmp(num_mul(rest_a, b->max_usage), num_mul(rest_b, a->max_usage)) < 0;
}

static const Stake *
tightest(const Stakes *stakes, bool taken)
{
	const Stake *binding = NULL;

	for (int i = 0; i < stakes->n; i++)
		if (binding == NULL || is_tighter(&stakes->all[i], binding, taken))
			binding = &stakes->all[i];
	return binding;
}

/* Stakes come in the order of limit names, so the first of equals wins. */
Decision
decide(const Stakes *stakes, bool taken)
{
	const Stake *binding;
	Decision	decision = {true, "unlimited", 0, NULL, NULL, num_from(-1), DT_NOEND, NULL};

	binding = last_denial(stakes);
	if (binding != NULL)
		decision.allowed = false;
	else
		binding = tightest(stakes, taken);
	if (binding == NULL)
		return decision;
	decision.reason = reason_of(binding);
	decision.limit_type = binding->limit->name;
	decision.used = used_so_far(binding, taken);
	decision.max_usage = binding->max_usage;
	decision.asked = binding->amount;
	decision.reset_at = reset_of(binding, taken);
	return decision;
}

Decision
decision_again(const FirstAnswer *answer, bool allowed, const char *reason)
{
	Decision	decision = {allowed, reason, answer->event_id, answer->limit_type,
	answer->used, answer->max_usage, answer->reset_at, NULL};

	return decision;
}

FirstAnswer
answer_to_keep(const Decision *decision)
{
	FirstAnswer answer = {decision->id, (char *) decision->limit_type, decision->used,
	decision->max_usage, decision->reset_at};

	return answer;
}

/*
 * {limit_type: amount beyond it} of this use, or NULL.  Reservations play no
 * part, so that the marks add up to what was recorded beyond the limit.
 */
char *
overage_of(const Stakes *stakes)
{
	StringInfoData json = {NULL};

	for (int i = 0; i < stakes->n; i++)
	{
		const Stake *stake = &stakes->all[i];
		Numeric		beyond;

		if (num_sign(stake->amount) <= 0 || fits_but_for_holds(stake) || !stake->limit->is_active)
			continue;
		beyond = num_sub(recorded_after(stake), stake->max_usage);
		if (num_cmp(beyond, stake->amount) > 0)
			beyond = stake->amount;
		if (json.data == NULL)
			initStringInfo(&json);
		appendStringInfoChar(&json, json.len == 0 ? '{' : ',');
		escape_json(&json, stake->limit->name);
		appendStringInfo(&json, ":%s", num_text(beyond));
	}
	if (json.data == NULL)
		return NULL;
	appendStringInfoChar(&json, '}');
	return json.data;
}
