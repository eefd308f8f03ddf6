/*
 * counters_memory.h -- counters in shared memory: what is used, and what is on its way.
 */
#ifndef UT_COUNTERS_MEMORY_H
#define UT_COUNTERS_MEMORY_H

#include "postgres.h"

#include "amounts.h"
#include "storage/lwlock.h"
#include "user_key.h"
#include "window.h"


#define NONE (-1)
#define RESERVED_TAKINGS 128	/* in each partition, for counters that are not here */
#define DEPARTURES 32			/* buckets share them */

/* What one transaction takes of one counter. */
typedef struct Taking
{
	int			next;			/* of the counter's, or of the free ones */
	int			counter;		/* NONE: of a counter that is not here */
	TransactionId xid;			/* whose end to wait for: of the latest subtransaction */
	int			pid;			/* 0: it is prepared */
	int			mine;			/* its place among those of its session */
	Amount		up;				/* by which the counter may be more in the end, */
	Amount		down;			/* or less, */
	Amount		gain;			/* and is more once it is committed */
	int			events;
	bool		is_looking;		/* again, in the end, at what it reaches */
	bool		is_early;		/* has instants before the counter's "boundary" */
	int			changes_of_holds;
	bool		is_folding;
	TimestampTz counts_to;		/* what the counter's row will say; 0: as before */
} Taking;

typedef struct Counter
{
	int			next;			/* of its bucket, or of the free ones */
	UserKey		user;
	int64		limit_id;
	Window		window;
	Amount		used;			/* by what is committed */
	Amount		up;				/* sums of the takings */
	Amount		down;
	int			takings;		/* the first one */
	int			ntakings;
	int			nearly;			/* that are early, */
	int			nprepared;		/* or prepared */
	int			exclusive;		/* the taking that keeps new ones away, or NONE */
	int			folding;		/* the taking whose transaction changes the row, or NONE */
	int64		holds;			/* another number whenever reservations changed */
	bool		may_have_holds;
	bool		is_stale;		/* goes as soon as nobody has taken of it */
	bool		was_used;		/* since somebody looked for room */
	int			unfolded;		/* events that the row does not count yet, and such as were read for it */
	int			fold_at;		/* so many, after it was tried in vain */
	TimestampTz counts_to;		/* the row has the sum of events before this instant */
	TimestampTz neighbours_to;	/* so have rows of other windows that may overlap */
	TimestampTz boundary;		/* where the row may count to as soon as no early taking is left */
	TimestampTz latest;			/* no use that is counted or under way is later */
} Counter;

typedef struct Partition
{
	LWLock		lock;
	int64		departures[DEPARTURES]; /* how often a counter left a bucket */
	int			bypassing;		/* takings of counters that are not here */
	int			free_counter;
	int			free_taking;
	int			hand;			/* where room is looked for next */
	int			nbuckets;
	int			ncounters;
	int			ntakings;
	int			nfree_takings;
	int			first_counter;	/* of all there are */
	int			first_taking;
	int			first_bucket;
	int64		changes_of_holds;	/* no number comes twice, also of counters that left */
	int64		nused;
	int64		evictions;
	int64		bypasses;
} Partition;

/* Where a user's counters are: all in one bucket of one partition. */
typedef struct Place
{
	UserKey		user;
	Partition  *partition;
	int			bucket;
} Place;

extern void counters_memory_init(void);
extern bool has_counter_memory(void);
extern Place place_of_user(const Installation *home, Datum user_id);
extern Place place_of_key(const UserKey *user);

/* All of the following with the partition's lock. */
extern Counter *counter_in_memory(const Place *place, int64 limit_id, Window window);
extern Counter *next_counter_of_user(const Place *place, const Counter *after);
extern Counter *counter_number(int number);
extern int	number_of_counter(const Counter *counter);
extern Counter *add_counter(const Place *place, int64 limit_id, Window window);
extern void remove_counter(Partition *partition, Counter *counter);
extern Taking *taking_number(int number);
extern int	number_of_taking(const Taking *taking);

/* counters_takings.c */
extern Taking *add_taking(Partition *partition, Counter *counter, TransactionId xid);
extern void end_taking(Partition *partition, Taking *taking, bool committed);
extern TransactionId any_taker(Partition *partition);
extern bool has_free_taking(const Partition *partition);
extern Taking *find_taking(const Counter *counter, int pid);
extern bool is_bypassed(Partition *partition);
extern int64 departures_from(const Place *place);
extern void settle_prepared(Partition *partition, Counter *counter);

extern int	number_of_partitions(void);
extern Partition *partition_number(int number);

#endif							/* UT_COUNTERS_MEMORY_H */
