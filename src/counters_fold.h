/*
 * counters_fold.h -- rows of counters that are in shared memory.
 */
#ifndef UT_COUNTERS_FOLD_H
#define UT_COUNTERS_FOLD_H

#include "postgres.h"

#include "counters.h"
#include "counters_memory.h"

#define FOLD_AFTER 32			/* events */

extern bool bring_counter(const Place *place, Datum user_id, const Stake *stake);
extern void make_rows(const Place *place, Datum user_id, Stakes *stakes);
extern void count_late(Datum user_id, Stakes *stakes, bool back);
extern bool make_rows_whole(Datum user_id, const Stakes *stakes);
extern void lock_key(const UserKey *user, int64 limit_id, Window window, bool in_row);

/* counters_inflight.c, when the transaction ends */
extern void fold_noted(void);
extern void forget_noted_folds(void);
extern void lock_prepared(Partition *partition, Taking *taking);

#endif							/* UT_COUNTERS_FOLD_H */
