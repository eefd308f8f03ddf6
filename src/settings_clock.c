/*
 * settings_clock.c -- the clock of uses, which usage_tracking.clock may stop.
 */
#include "compat.h"

#include "settings.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

/* The parsed clock; DT_NOBEGIN while it runs free. */
static TimestampTz fixed_clock = DT_NOBEGIN;

static bool
parse_instant(const char *text, TimestampTz *instant)
{
	char		work[MAXDATELEN + MAXDATEFIELDS];
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	int			nf;
	int			dtype;
	int			tz;
	fsec_t		fsec;
	struct pg_tm tm;

	return ParseDateTime(text, work, sizeof(work), field, ftype, MAXDATEFIELDS, &nf) == 0 &&
		ut_decode_date_time(field, ftype, nf, &dtype, &tm, &fsec, &tz) == 0 &&
		dtype == DTK_DATE &&
		tm2timestamp(&tm, fsec, &tz, instant) == 0;
}

bool
check_clock(char **newval, void **extra, GucSource source)
{
	TimestampTz instant = DT_NOBEGIN;
	TimestampTz *kept;

	if (**newval != '\0' && !parse_instant(*newval, &instant))
	{
		GUC_check_errdetail("The clock is either empty or a date and time.");
		return false;
	}
	kept = guc_malloc(LOG, sizeof(TimestampTz));
	if (kept == NULL)
		return false;
	*kept = instant;
	*extra = kept;
	return true;
}

void
assign_clock(const char *newval, void *extra)
{
	fixed_clock = *(TimestampTz *) extra;
}

/* The instant at which a use happens: not now(), which is the transaction's. */
TimestampTz
usage_now(void)
{
	return TIMESTAMP_IS_NOBEGIN(fixed_clock) ? GetCurrentTimestamp() : fixed_clock;
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_usage_now);
Datum
ut_usage_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(usage_now());
}
