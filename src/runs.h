/*
 * runs.h -- long work, from its start to its end.
 */
#ifndef UT_RUNS_H
#define UT_RUNS_H

#include "postgres.h"

#include "usage.h"

/* One row of usage_runs, without what only describes it. */
typedef struct Run
{
	Datum		user_id;
	int64		id;
	char	   *usage_type;
	char	   *status;
	bool		counts;
	TimestampTz started_at;
	TimestampTz expires_at;
	TimestampTz completed_at;	/* DT_NOEND: not yet */
	int64		event_id;		/* 0: none */
	char	   *resource_type;
	char	   *resource_id;
	int			attempts;		/* to deliver it */
} Run;

/* What a run is about.  All may be NULL. */
typedef struct RunSubject
{
	char	   *configuration_id;
	Jsonb	   *configuration;
	Jsonb	   *progress;
} RunSubject;

/* What a run came to, beside what it used.  All may be NULL but the status. */
typedef struct RunEnd
{
	const char *status;
	char	   *output;
	char	   *output_format;
	Jsonb	   *progress;
} RunEnd;

typedef struct Delivery
{
	bool		delivered;
	bool		has_response;
	int32		response_status;
	char	   *error;			/* NULL, as the next */
	char	   *delivery_id;
} Delivery;

extern Decision start_run(const Installation *home, Event *event, const RunSubject *subject);
extern void update_run(const Installation *home, Datum user_id, int64 id, int64 hold_for, Jsonb *progress);
extern void end_run(const Installation *home, Datum user_id, int64 id, Event *event, const RunEnd *end);
extern void record_delivery(const Installation *home, Datum user_id, int64 id, const Delivery *delivery);

/* runs_read.c */
extern Datum run_datum(const Installation *home, FunctionCallInfo fcinfo, MemoryContext caller, Datum user_id, int64 id);

#endif							/* UT_RUNS_H */
