/*
 * window_sliding.c -- the last so long, in steps of a 60th.
 *
 * A sliding window moves on bucket by bucket.  Buckets are as long as a 60th of the
 * period, in whole seconds, rounded up, and lie on a grid from the Unix epoch: no
 * zone and no anchor plays a part.  At an instant the window begins with the bucket
 * that holds the instant one period before, so no span as long as the period is
 * ever partly out of it.
 */
#include "compat.h"

#include "common/int.h"
#include "utils/timestamp.h"
#include "window.h"

#define BUCKETS 60
#define HOURS_PER_YEAR 8766
#define UNIX_EPOCH ((UNIX_EPOCH_JDATE - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)

/* As extract(epoch) counts: a month is 30 days, twelve are 365 days and 6 hours. */
TimeOffset
sliding_length(const Interval *period)
{
	int64		hours = (int64) (period->month / MONTHS_PER_YEAR) * HOURS_PER_YEAR +
		(int64) (period->month % MONTHS_PER_YEAR) * (DAYS_PER_MONTH * HOURS_PER_DAY) +
		(int64) period->day * HOURS_PER_DAY;

	return hours * USECS_PER_HOUR + period->time;
}

TimeOffset
bucket_length(const Interval *period)
{
	int64		sixty_seconds = BUCKETS * USECS_PER_SEC;

	return (sliding_length(period) + sixty_seconds - 1) / sixty_seconds * USECS_PER_SEC;
}

/* The last instant, so many steps from the epoch, that is not after "at". */
static TimestampTz
floor_to_grid(TimestampTz at, TimeOffset step)
{
	int64		since;

	if (pg_sub_s64_overflow(at, UNIX_EPOCH, &since))
		timestamp_out_of_range();
	return UNIX_EPOCH + floor_div(since, step) * step;
}

/* From the bucket that holds the instant one period before to the end of that of "at". */
Window
sliding_window(const Interval *period, TimestampTz at)
{
	TimeOffset	bucket = bucket_length(period);
	TimestampTz before;
	Window		w;

	if (pg_sub_s64_overflow(at, sliding_length(period), &before) || !IS_VALID_TIMESTAMP(before))
		timestamp_out_of_range();
	w.start = floor_to_grid(before, bucket);
	w.end = floor_to_grid(at, bucket) + bucket;
	if (!IS_VALID_TIMESTAMP(w.start) || !IS_VALID_TIMESTAMP(w.end))
		timestamp_out_of_range();
	return w;
}

/* When the bucket that holds this instant is out of the window. */
TimestampTz
leaves_sliding_window(const Interval *period, TimestampTz at)
{
	TimestampTz leaves = sliding_window(period, at).end + sliding_length(period);

	return IS_VALID_TIMESTAMP(leaves) ? leaves : DT_NOEND;
}

/* The period that holds an instant, where periods follow each other from the epoch. */
Window
period_from_epoch(const Interval *period, TimestampTz at)
{
	TimeOffset	length = sliding_length(period);
	Window		w = {floor_to_grid(at, length)};

	w.end = w.start + length;
	return w;
}
