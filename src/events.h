/*
 * events.h -- the fact of a use, and the key under which it is repeated.
 */
#ifndef UT_EVENTS_H
#define UT_EVENTS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "query.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

/* One use as it was asked for.  Texts may be NULL. */
typedef struct Event
{
	const char *function;		/* by which it came */
	Datum		user_id;
	char	   *usage_type;
	Numeric		quantity;
	int64		tokens;
	Numeric		cost;
	const char *status;
	char	   *event_subtype;
	bool		has_duration;
	int64		duration_ms;
	char	   *error_message;
	char	   *resource_type;
	char	   *resource_id;
	char	   *parent_resource_id;
	Jsonb	   *metadata;
	char	   *overage;		/* JSON text */
	char	   *idempotency_key;
	bool		has_own_time;	/* the caller said when */
	TimestampTz occurred_at;
	bool		takes_nothing;	/* a check that only asks how things stand */
	int64		id;				/* once it is recorded */
} Event;

/* What was answered when the key was first used. */
typedef struct FirstAnswer
{
	int64		event_id;
	char	   *limit_type;		/* NULL: no limit bound it */
	Numeric		used;
	Numeric		max_usage;
	TimestampTz reset_at;		/* DT_NOEND: never */
} FirstAnswer;

extern void check_event_time(TimestampTz occurred_at);
extern int64 next_event_id(const Installation *home);
extern void insert_event(const Event *event);
extern bool find_first_answer(const Event *event, FirstAnswer *answer);
extern bool key_is_free(const Event *event);
extern bool keep_first_answer(const Event *event, const FirstAnswer *answer);

#endif							/* UT_EVENTS_H */
