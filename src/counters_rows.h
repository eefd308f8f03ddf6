/*
 * counters_rows.h -- rows of counters that are in shared memory.
 */
#ifndef UT_COUNTERS_ROWS_H
#define UT_COUNTERS_ROWS_H

#include "postgres.h"

#include "counters.h"
#include "counters_memory.h"

typedef struct CounterRow
{
	Datum		user_id;
	int64		limit_id;
	Window		window;
	Numeric		used;
	int64		holds;
	TimestampTz counts_to;
} CounterRow;

/* counters_rows.c */
extern Rows begin_counter_rows(Datum user_id, const Stake *stake, Window span);
extern Window window_of_row(const Rows *rows);
extern bool same_window(Window a, Window b);

/* Changes it as it is found; false leaves it as it is. */
typedef bool (*RowChange) (CounterRow *row, void *argument);
extern bool change_counter_row(CounterRow *row, RowChange change, void *argument);
extern void make_counter_row(const CounterRow *row);
extern void add_events(CounterRow *row, const Stake *stake, TimestampTz counts_to);

/* counters_follow.c */
extern void make_rows(const Place *place, Datum user_id, Stakes *stakes);
extern void count_late(Datum user_id, Stakes *stakes, bool back);
extern bool make_rows_whole(Datum user_id, const Stakes *stakes);

/* counters_fold.c: when the transaction ends */
extern bool is_due(const Counter *counter, const Taking *taking);
extern void fold_noted(void);
extern void forget_noted_folds(void);

/* counters_bring.c */
extern bool bring_to_look(const Place *place, Datum user_id, const Stake *stake);
extern bool bring_counter(const Place *place, Datum user_id, const Stake *stake);
extern TransactionId taker_beside(const Place *place, const Stake *stake);
extern void lock_key(const UserKey *user, int64 limit_id, Window window, bool in_row);
extern bool wait_for_prepared(const UserKey *user, int64 limit_id, Window window);
extern void lock_prepared(Partition *partition, Taking *taking);
extern void note_in_rows(Datum user_id, const Stakes *stakes);
extern void lock_noted_rows(void);
extern void forget_noted_rows(void);

#endif							/* UT_COUNTERS_ROWS_H */
