/*
 * rates_cell.c -- the generic cell rate algorithm (ITU-T I.371), exactly.
 *
 * A cell holds the instant at which all that was taken will be back, which is the
 * theoretical arrival time of the algorithm.  Each request moves it by
 * per / max_requests, and fits if it is then no further ahead than burst of these.
 * So in any span no more fit than burst + span * max_requests / per.
 *
 * That step need not be a whole number of microseconds, so what is ahead is counted
 * in units of 1/max_requests microsecond: a request is "per" of them, a full burst
 * burst * per, and with each microsecond max_requests of them are over.  The bounds
 * of table api_rate_limits keep all of it below 2^110.
 *
 * A clock that is put back, or a rate that is changed, may leave a cell further
 * ahead than a full burst: it is then taken for full.
 */
#include "compat.h"

#include "rates_cell.h"

#ifndef HAVE_INT128
#error "usage_tracking needs 128-bit integers"
#endif

static int128
divide_up(int128 a, int128 b)
{
	return (a + b - 1) / b;
}

static int128
units_full(const Pace *pace)
{
	return (int128) pace->burst * pace->per;
}

/* Parts of another rate are rounded up: it admits no more for that. */
static int128
units_ahead(const Cell *cell, const Pace *pace, TimestampTz now)
{
	int128		ahead = ((int128) cell->until - now) * pace->max_requests;

	if (cell->part > 0)
		ahead += cell->parts == pace->max_requests ? cell->part : pace->max_requests;
	return Max(0, Min(ahead, units_full(pace)));
}

/* The year 294276 ends a little earlier. */
static TimestampTz
instant_after(TimestampTz now, int128 microseconds)
{
	return (TimestampTz) Min(now + microseconds, (int128) END_TIMESTAMP - 1);
}

static void
cell_set(Cell *cell, const Pace *pace, TimestampTz now, int128 ahead)
{
	cell->until = instant_after(now, ahead / pace->max_requests);
	cell->part = (int64) (ahead % pace->max_requests);
	cell->parts = pace->max_requests;
}

/* Of somebody who took nothing, a cell whose "until" is not later than now. */
Room
cell_take(Cell *cell, const Pace *pace, int64 requests, TimestampTz now)
{
	int128		ahead = units_ahead(cell, pace, now);
	int128		with_it = ahead + (int128) requests * pace->per;
	int128		full = units_full(pace);
	Room		room = {.fits = with_it <= full, .wait = -1};

	if (room.fits)
		ahead = with_it;
	else if (requests <= pace->burst)
		room.wait = (int64) divide_up(with_it - full, pace->max_requests);
	cell_set(cell, pace, now, ahead);
	room.left = (int64) ((full - ahead) / pace->per);
	room.full_at = instant_after(now, divide_up(ahead, pace->max_requests));
	return room;
}

int64
microseconds_to_fill(const Pace *pace)
{
	return (int64) divide_up(units_full(pace), pace->max_requests);
}
