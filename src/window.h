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

extern bool window_kind_from_name(const char *name, WindowKind *kind);
extern bool kind_has_period(WindowKind kind);
extern bool period_fits_kind(WindowKind kind, const Interval *period);
extern Window window_at(WindowKind kind, const Interval *period, pg_tz *zone,
						TimestampTz anchor, TimestampTz at);
extern Window billing_window(const Window *period, pg_tz *zone, TimestampTz at);

#endif							/* UT_WINDOW_H */
