/*
 * rates_cell.h -- how much of a rate is taken, as one instant.
 */
#ifndef UT_RATES_CELL_H
#define UT_RATES_CELL_H

#include "postgres.h"

#include "datatype/timestamp.h"

/* So many requests in so many microseconds; and how many at once. */
typedef struct Pace
{
	int64		max_requests;
	int64		per;
	int64		burst;
} Pace;

/* When all that was taken will be back: exactly, in parts of a microsecond. */
typedef struct Cell
{
	TimestampTz until;
	int64		part;			/* and so many */
	int64		parts;			/* of so many */
} Cell;

/* What a request meets, or leaves. */
typedef struct Room
{
	bool		fits;
	int64		left;			/* whole requests */
	int64		wait;			/* microseconds until it fits; -1: never */
	TimestampTz full_at;		/* when nothing is taken any more */
} Room;

extern Room cell_take(Cell *cell, const Pace *pace, int64 requests, TimestampTz now);
extern int64 microseconds_to_fill(const Pace *pace);

/* Such a cell says as much as none. */
static inline bool
cell_is_at_rest(const Cell *cell, TimestampTz now)
{
	return cell->until < now || (cell->until == now && cell->part == 0);
}

#endif							/* UT_RATES_CELL_H */
