/*
 * liveness.c -- whether a session is still there.
 *
 * A session that is to be watched has a small segment of dynamic shared memory,
 * which goes when it goes, however that happens: PostgreSQL detaches it at every
 * kind of exit, and after a crash none is left.  (A lock would not do: an abort
 * releases those of a session as well, and advisory locks are anybody's.)
 *
 * The name of a segment is used again sooner or later.  A random number in it says
 * whose it is, so that what was dumped, restored, or written before a restart or a
 * promotion names nobody.
 */
#include "compat.h"

#include "access/xlog.h"
#include "errors.h"
#include "faults.h"
#include "liveness.h"
#include "miscadmin.h"
#include "storage/dsm.h"
#include "utils/builtins.h"

typedef struct Pulse
{
	int64		token;
	volatile bool beats;		/* whoever looks keeps the segment for a moment */
} Pulse;

static dsm_segment *own_segment = NULL;

static void
stop_pulse(dsm_segment *segment, Datum arg)
{
	((Pulse *) dsm_segment_address(segment))->beats = false;
}

static dsm_segment *
begin_pulse(void)
{
	dsm_segment *segment;
	Pulse	   *pulse;

	if (!IsUnderPostmaster)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a single-user server has no sessions")));
	segment = dsm_create(sizeof(Pulse), 0);
	pulse = dsm_segment_address(segment);
	if (!pg_strong_random(&pulse->token, sizeof(pulse->token)))
		elog(ERROR, "could not generate random values");
	pulse->beats = true;
	on_dsm_detach(segment, stop_pulse, (Datum) 0);
	fault("pulse");
	dsm_pin_mapping(segment);	/* to the end of the session, not of the transaction */
	return segment;
}

SessionMark
mark_of_this_session(void)
{
	SessionMark mark;

	if (own_segment == NULL)
		own_segment = begin_pulse();
	mark.segment = dsm_segment_handle(own_segment);
	mark.token = ((Pulse *) dsm_segment_address(own_segment))->token;
	return mark;
}

static bool
is_pulse_of(dsm_segment *segment, SessionMark mark)
{
	Pulse	   *pulse = dsm_segment_address(segment);

	return dsm_segment_map_length(segment) >= sizeof(Pulse) && pulse->token == mark.token && pulse->beats;
}

/* A standby cannot tell, and believes what it was told. */
bool
session_lives(SessionMark mark)
{
	dsm_segment *segment;
	bool		lives;

	if (RecoveryInProgress())
		return true;
	if (mark.segment <= 0 || mark.segment > PG_UINT32_MAX)
		return false;
	segment = dsm_find_mapping((dsm_handle) mark.segment);
	if (segment != NULL)
		return is_pulse_of(segment, mark);
	segment = dsm_attach((dsm_handle) mark.segment);
	if (segment == NULL)
		return false;
	lives = is_pulse_of(segment, mark);
	dsm_detach(segment);
	return lives;
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_session_lives);
Datum
ut_session_lives(PG_FUNCTION_ARGS)
{
	SessionMark mark = {PG_GETARG_INT64(0), PG_GETARG_INT64(1)};

	PG_RETURN_BOOL(session_lives(mark));
}
