/*
 * counters.h -- how much is used so far, and taking more of it.
 */
#ifndef UT_COUNTERS_H
#define UT_COUNTERS_H

#include "postgres.h"

#include "limits.h"
#include "numbers.h"
#include "query.h"
#include "settings.h"

/* What one limit has at stake in one use. */
typedef struct Stake
{
	const UsageLimit *limit;
	Window		window;
	Numeric		max_usage;		/* negative: unlimited */
	Numeric		amount;			/* what this use would take */
	Numeric		used;			/* what was used before it */
	bool		has_counter;	/* else "used" was summed from events */
} Stake;

/*
 * All limits that have a say, one stake each, and the counters of other
 * windows of these limits that hold the instant: windows of an earlier clock,
 * which refuse nothing and count on.
 */
typedef struct Stakes
{
	Stake	   *all;
	int			n;
	Stake	   *neighbours;
	int			nneighbours;
} Stakes;

static inline bool
is_unlimited(const Stake *stake)
{
	return num_sign(stake->max_usage) < 0;
}

/* What decides on sight and what the row decides under its lock must agree. */
static inline bool
can_refuse(const Stake *stake)
{
	return !is_unlimited(stake) && stake->limit->is_hard && stake->limit->is_active &&
		setting_enforce_limits;
}

extern void read_counters(Datum user_id, TimestampTz at, Stakes *stakes, bool afresh);
extern bool take_from_counters(Datum user_id, Stakes *stakes, bool within_limits);
extern void return_to_counters(Datum user_id, Stakes *stakes);

#endif							/* UT_COUNTERS_H */
