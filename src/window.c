/*
 * window.c -- calendar arithmetic; knows nothing of tables.
 *
 * A window is computed from (kind, period, zone, anchor) each time it is
 * needed, so no job has to start one.  Period k begins at anchor + k * period,
 * never at the end of period k - 1: stepping would drift at month ends.
 *
 * A boundary given in local time becomes an instant as PostgreSQL itself
 * converts it ("timestamp AT TIME ZONE zone").  An hour is a run of instants
 * with the same local hour and the same offset from UTC.  The session's
 * TimeZone plays no part.
 */
#include "compat.h"

#include "common/int.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"
#include "window.h"

#define MAX_YEARS 100

typedef enum Unit
{
	UNIT_HOUR,
	UNIT_DAYS,
	UNIT_MONTHS
} Unit;

/* Where the boundaries of days and months lie, in local time. */
typedef struct Grid
{
	Unit		unit;
	int			count;			/* days or months from boundary to boundary */
	int			first_day;		/* Julian date of boundary 0 (days) */
	int			first_month;	/* months since year 0 of boundary 0 (months) */
	int			month_day;		/* day of the month, clamped to its length */
	TimeOffset	time_of_day;
	pg_tz	   *zone;
	TimestampTz anchor;			/* boundary 0, if anchored: an hour may be lived twice */
	bool		anchored;
} Grid;

static const char *const kind_names[] = {
	[WINDOW_CALENDAR] = "calendar",
	[WINDOW_ANCHORED] = "anchored",
	[WINDOW_BILLING] = "billing",
	[WINDOW_LIFETIME] = "lifetime",
	[WINDOW_GAUGE] = "gauge",
	[WINDOW_SLIDING] = "sliding"
};

bool
window_kind_from_name(const char *name, WindowKind *kind)
{
	for (int i = 0; i < lengthof(kind_names); i++)
		if (strcmp(name, kind_names[i]) == 0)
		{
			*kind = i;
			return true;
		}
	return false;
}

bool
kind_has_period(WindowKind kind)
{
	return kind == WINDOW_CALENDAR || kind == WINDOW_ANCHORED || kind == WINDOW_SLIDING;
}

static bool
is_calendar_period(const Interval *p)
{
	if (p->month != 0)
		return p->day == 0 && p->time == 0 &&
			(p->month == 1 || p->month == 3 || p->month == MONTHS_PER_YEAR);
	if (p->day != 0)
		return p->time == 0 && (p->day == 1 || p->day == 7);
	return p->time == USECS_PER_HOUR;
}

/* One unit only, so that which boundary comes k-th needs no loop. */
static bool
is_one_unit(const Interval *p)
{
	if (p->month != 0)
		return p->day == 0 && p->time == 0 &&
			p->month > 0 && p->month <= MAX_YEARS * MONTHS_PER_YEAR;
	if (p->day != 0)
		return p->time == 0 && p->day > 0 && p->day <= MAX_YEARS * 366;
	return p->time >= USECS_PER_SEC &&
		p->time <= MAX_YEARS * INT64CONST(366) * USECS_PER_DAY;
}

bool
period_fits_kind(WindowKind kind, const Interval *period)
{
	switch (kind)
	{
		case WINDOW_CALENDAR:
			return is_calendar_period(period);
		case WINDOW_ANCHORED:
		case WINDOW_SLIDING:
			return is_one_unit(period);
		case WINDOW_BILLING:
		case WINDOW_LIFETIME:
		case WINDOW_GAUGE:
			break;
	}
	return true;
}

void
timestamp_out_of_range(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
			 errmsg("timestamp out of range")));
}

static void
to_local(TimestampTz at, pg_tz *zone, struct pg_tm *tm, TimeOffset *time_of_day)
{
	int			tz;
	fsec_t		fsec;

	if (timestamp2tm(at, &tz, tm, &fsec, NULL, zone) != 0)
		timestamp_out_of_range();
	*time_of_day = ((tm->tm_hour * MINS_PER_HOUR + tm->tm_min) * SECS_PER_MINUTE
					+ tm->tm_sec) * USECS_PER_SEC + fsec;
}

static TimestampTz
from_local(int julian, TimeOffset time_of_day, pg_tz *zone)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			tz;
	TimestampTz result;

	memset(&tm, 0, sizeof(tm));
	j2date(julian, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	dt2time(time_of_day, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &fsec);
	tz = DetermineTimeZoneOffset(&tm, zone);
	if (tm2timestamp(&tm, fsec, &tz, &result) != 0)
		timestamp_out_of_range();
	return result;
}

static int
month_length(int year, int month)
{
	return day_tab[isleap(year)][month - 1];
}

static int
month_number(const struct pg_tm *tm)
{
	return tm->tm_year * MONTHS_PER_YEAR + tm->tm_mon - 1;
}

/* The instant of boundary k of the grid. */
static TimestampTz
boundary(const Grid *grid, int64 k)
{
	int64		months;
	int			year;
	int			month;

	if (grid->anchored && k == 0)
		return grid->anchor;
	if (grid->unit == UNIT_DAYS)
		return from_local(grid->first_day + k * grid->count, grid->time_of_day, grid->zone);
	months = grid->first_month + k * grid->count;
	year = floor_div(months, MONTHS_PER_YEAR);
	month = months - (int64) year * MONTHS_PER_YEAR + 1;
	return from_local(date2j(year, month, Min(grid->month_day, month_length(year, month))),
					  grid->time_of_day, grid->zone);
}

/* Which boundary is the last at or before "at", near enough to walk the rest. */
static int64
guess_boundary(const Grid *grid, TimestampTz at)
{
	struct pg_tm tm;
	TimeOffset	time_of_day;

	to_local(at, grid->zone, &tm, &time_of_day);
	if (grid->unit == UNIT_DAYS)
		return floor_div((int64) date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - grid->first_day,
						 grid->count);
	return floor_div((int64) month_number(&tm) - grid->first_month, grid->count);
}

/* The guess is off by at most two: local time of day, clamping, zone jumps. */
static Window
window_on_grid(const Grid *grid, TimestampTz at)
{
	int64		k = guess_boundary(grid, at);
	Window		w = {boundary(grid, k), boundary(grid, k + 1)};

	while (at < w.start)
	{
		w.end = w.start;
		w.start = boundary(grid, --k);
	}
	while (at >= w.end)
	{
		w.start = w.end;
		w.end = boundary(grid, ++k + 1);
	}
	return w;
}

static Window
window_of_hour(pg_tz *zone, TimestampTz at)
{
	struct pg_tm tm;
	TimeOffset	time_of_day;
	Window		w;
	pg_time_t	probe;
	pg_time_t	jump;
	long		before;
	long		after;
	int			before_dst;
	int			after_dst;

	to_local(at, zone, &tm, &time_of_day);
	w.start = at - time_of_day % USECS_PER_HOUR;
	w.end = w.start + USECS_PER_HOUR;
	probe = timestamptz_to_time_t(w.start);
	while (pg_next_dst_boundary(&probe, &before, &before_dst, &jump, &after, &after_dst, zone) == 1)
	{
		TimestampTz cut = time_t_to_timestamptz(jump);

		if (cut >= w.end)
			break;
		if (before != after && cut > at)
			w.end = cut;
		else if (before != after && cut > w.start)
			w.start = cut;
		probe = jump;
	}
	if (!IS_VALID_TIMESTAMP(w.start) || !IS_VALID_TIMESTAMP(w.end))
		timestamp_out_of_range();
	return w;
}

static Window
calendar_window(const Interval *period, pg_tz *zone, TimestampTz at)
{
	Grid		grid = {UNIT_DAYS, period->day, 0, 0, 1, 0, zone};

	if (period->time != 0)
		return window_of_hour(zone, at);
	if (period->month != 0)
	{
		grid.unit = UNIT_MONTHS;
		grid.count = period->month;
	}
	return window_on_grid(&grid, at);	/* Julian day 0 was a Monday */
}

static Window
stopwatch_window(TimeOffset length, TimestampTz anchor, TimestampTz at)
{
	int64		elapsed;
	Window		w;

	if (pg_sub_s64_overflow(at, anchor, &elapsed) ||
		pg_mul_s64_overflow(floor_div(elapsed, length), length, &elapsed) ||
		pg_add_s64_overflow(anchor, elapsed, &w.start) ||
		pg_add_s64_overflow(w.start, length, &w.end) ||
		!IS_VALID_TIMESTAMP(w.start) || !IS_VALID_TIMESTAMP(w.end))
		timestamp_out_of_range();
	return w;
}

/* A grid of days with its boundary 0 at the anchor; "local" is that in the zone. */
static Grid
grid_from(TimestampTz anchor, pg_tz *zone, struct pg_tm *local)
{
	Grid		grid = {UNIT_DAYS, 0, 0, 0, 1, 0, zone, anchor, true};

	to_local(anchor, zone, local, &grid.time_of_day);
	grid.first_day = date2j(local->tm_year, local->tm_mon, local->tm_mday);
	grid.first_month = month_number(local);
	grid.month_day = local->tm_mday;
	return grid;
}

static Window
anchored_window(const Interval *period, pg_tz *zone, TimestampTz anchor, TimestampTz at)
{
	struct pg_tm tm;
	Grid		grid;

	if (period->time != 0)
		return stopwatch_window(period->time, anchor, at);
	grid = grid_from(anchor, zone, &tm);
	grid.unit = period->month != 0 ? UNIT_MONTHS : UNIT_DAYS;
	grid.count = period->month != 0 ? period->month : period->day;
	return window_on_grid(&grid, at);
}

/*
 * Makes the grid one of months if the period is a whole number of them: if it
 * ends on the day of the month on which it starts, or on the last before it.  A
 * start on the last day of its month may be such a day itself, as in 28 February
 * to 31 March; then the end has the day.
 */
static bool
becomes_grid_of_months(Grid *grid, const struct pg_tm *start, TimestampTz end_at)
{
	struct pg_tm end;
	TimeOffset	time_of_day;

	to_local(end_at, grid->zone, &end, &time_of_day);
	grid->unit = UNIT_MONTHS;
	grid->count = month_number(&end) - grid->first_month;
	if (grid->count <= 0)
		return false;
	if (boundary(grid, 1) == end_at)
		return true;
	grid->month_day = end.tm_mday;
	return end.tm_mday > start->tm_mday &&
		start->tm_mday == month_length(start->tm_year, start->tm_mon) &&
		boundary(grid, 1) == end_at;
}

/*
 * Without news a billing period is followed, and was preceded, by others like it.
 * Who sends bills often counts months in UTC, wherever the user is.
 */
Window
billing_window(const Window *period, pg_tz *zone, TimestampTz at)
{
	pg_tz	   *zones[] = {zone, pg_tzset("UTC")};
	TimeOffset	length;

	for (int i = 0; i < lengthof(zones); i++)
	{
		struct pg_tm start;
		Grid		grid = grid_from(period->start, zones[i], &start);

		if (becomes_grid_of_months(&grid, &start, period->end))
			return window_on_grid(&grid, at);
	}
	if (pg_sub_s64_overflow(period->end, period->start, &length))
		timestamp_out_of_range();
	return stopwatch_window(length, period->start, at);
}

Window
window_at(WindowKind kind, const Interval *period, pg_tz *zone,
		  TimestampTz anchor, TimestampTz at)
{
	static const Interval month = {0, 0, 1};
	Window		forever = {DT_NOBEGIN, DT_NOEND};

	switch (kind)
	{
		case WINDOW_CALENDAR:
			return calendar_window(period, zone, at);
		case WINDOW_ANCHORED:
			return anchored_window(period, zone, anchor, at);
		case WINDOW_BILLING:	/* of a user who has no billing period */
			return anchored_window(&month, zone, anchor, at);
		case WINDOW_LIFETIME:
		case WINDOW_GAUGE:
			break;
		case WINDOW_SLIDING:
			return sliding_window(period, at);
	}
	return forever;
}
