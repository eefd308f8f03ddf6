/*
 * window.h -- which window holds an instant.
 */
#ifndef UT_WINDOW_H
#define UT_WINDOW_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "pgtime.h"

typedef enum WindowKind
{
	WINDOW_CALENDAR,
	WINDOW_ANCHORED,
	WINDOW_BILLING,
	WINDOW_LIFETIME,
	WINDOW_GAUGE,				/* a level that goes up and down */
	WINDOW_SLIDING				/* the last so long */
} WindowKind;

/* Half-open: start <= instant < end. */
typedef struct Window
{
	TimestampTz start;
	TimestampTz end;
} Window;

static inline int64
floor_div(int64 dividend, int64 divisor)
{
	int64		quotient = dividend / divisor;

	return dividend % divisor < 0 ? quotient - 1 : quotient;
}

extern bool window_kind_from_name(const char *name, WindowKind *kind);
extern bool kind_has_period(WindowKind kind);
extern bool period_fits_kind(WindowKind kind, const Interval *period);
extern Window window_at(WindowKind kind, const Interval *period, pg_tz *zone,
						TimestampTz anchor, TimestampTz at);
extern Window billing_window(const Window *period, pg_tz *zone, TimestampTz at);
pg_noreturn extern void timestamp_out_of_range(void);

/* window_sliding.c */
extern TimeOffset sliding_length(const Interval *period);
extern TimeOffset bucket_length(const Interval *period);
extern Window sliding_window(const Interval *period, TimestampTz at);
extern TimestampTz leaves_sliding_window(const Interval *period, TimestampTz at);
extern Window period_from_epoch(const Interval *period, TimestampTz at);

#endif							/* UT_WINDOW_H */
