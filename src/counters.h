/*
 * counters.h -- how much is used so far, and taking more of it.
 */
#ifndef UT_COUNTERS_H
#define UT_COUNTERS_H

#include "postgres.h"

#include "limits.h"
#include "query.h"

/* What one limit has at stake in one use. */
typedef struct Stake
{
	const UsageLimit *limit;
	Window		window;
	Numeric		max_usage;		/* negative: unlimited */
	Numeric		amount;			/* what this use would take */
	Numeric		used;			/* what was used before it */
	bool		has_counter;	/* else "used" was summed from events */
	bool		has_neighbours; /* counters of other windows hold the instant too */
} Stake;

extern void lock_counting(const Installation *home, Datum user_id);
extern void read_counters(Datum user_id, TimestampTz at, Stake *stakes, int n, bool afresh);
extern bool take_from_counters(Datum user_id, TimestampTz at, Stake *stakes, int n, bool within_limits);
extern void return_to_counters(Datum user_id, TimestampTz at, Stake *stakes, int n);

#endif							/* UT_COUNTERS_H */
