/*
 * counters_inflight.h -- what this transaction takes of counters in shared memory.
 */
#ifndef UT_COUNTERS_INFLIGHT_H
#define UT_COUNTERS_INFLIGHT_H

#include "postgres.h"

#include "counters_memory.h"

/* What is added to a taking. */
typedef struct Change
{
	Amount		up;
	Amount		down;
	Amount		gain;
	int			events;
	int			changes_of_holds;
	bool		excludes;		/* others, until this transaction ends */
	bool		folds;
	TimestampTz counts_to;		/* what the row says from now on; 0: nothing of it */
} Change;

extern void inflight_init(void);
extern void expect_takings(int n);

/* With the partition's lock, and not more often than was expected. */
extern Taking *own_taking(Partition *partition, Counter *counter);
extern void change_taking(Partition *partition, Taking *taking, const Change *change);

extern bool is_own(const Taking *taking);

typedef void (*TakingVisitor) (Partition *partition, Taking *taking);
extern void visit_own_takings(TakingVisitor visit);

#endif							/* UT_COUNTERS_INFLIGHT_H */
