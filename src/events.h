/*
 * events.h -- the fact of a use, and the key under which it is repeated.
 */
#ifndef UT_EVENTS_H
#define UT_EVENTS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "prices.h"
#include "query.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

/* What only calls of an API have.  Texts may be NULL. */
typedef struct ApiCall
{
	char	   *provider;
	char	   *model;
	char	   *endpoint;
	char	   *request_id;
	LlmCall		billed;
	bool		cost_is_given;	/* and not a matter of prices */
	Numeric		input_cost;		/* NULL: unknown */
	Numeric		output_cost;
	int64		price_id;		/* 0: none */
	char	   *error_code;
	char	   *campaign_id;
	bool		has_ip;
	Datum		ip;
	char	   *user_agent;
} ApiCall;

/* One use as it was asked for.  Texts may be NULL. */
typedef struct Event
{
	const char *function;		/* by which it came */
	Datum		user_id;
	char	   *usage_type;
	Numeric		quantity;
	int64		tokens;
	Numeric		cost;			/* NULL: unknown */
	bool		is_priced;		/* of one that was found: somebody knew its cost */
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
	int64		hold_for;		/* microseconds, if it is only to be reserved */
	bool		is_run;			/* reserved by start_run(), so a run has the same id */
	bool		settles_hold;	/* it was reserved */
	int64		events;			/* what it counts for under limits on events */
	const char *counted_status; /* NULL: status */
	int64		corrects;		/* an event, or 0 */
	int64		corrected_limit;	/* limit_id of the only limit that counts it, or 0 */
	char	   *reason;
	ApiCall    *call;			/* NULL: it was none */
	int64		run_id;			/* 0: none */
	Numeric		credits_used;	/* NULL: it costs none */
	Numeric		credits_owed;	/* NULL: nothing */
	int64		id;				/* once it is recorded */
} Event;

/* What was answered to a use, to be answered again. */
typedef struct FirstAnswer
{
	int64		event_id;
	char	   *limit_type;		/* NULL: no limit bound it */
	Numeric		used;
	Numeric		max_usage;
	TimestampTz reset_at;		/* DT_NOEND: never */
} FirstAnswer;

/* Whether the known key of one of several events stands for the same request. */
typedef struct KeyFate
{
	int			number;			/* of the event, from 0 */
	bool		is_same;
} KeyFate;

extern void check_event_lead(TimestampTz occurred_at);
extern void check_event_time(TimestampTz occurred_at);
extern int64 next_event_id(const Installation *home);
extern void insert_event(const Event *event);
extern void insert_events(Event *const *events, int n);
extern bool events_are_ours(void);
extern void insert_as_ours(Statement *statement, Datum *args, const char *nulls);
extern bool is_correction(const Event *event);
extern bool find_event(Datum user_id, int64 id, Event *event);
extern bool lock_event(Datum user_id, int64 id, Event *event);
extern bool find_first_answer(const Event *event, FirstAnswer *answer);
extern bool key_is_free(const Event *event);
extern TimestampTz oldest_key(void);
extern KeyFate *find_first_answers(const Installation *home, Event *const *events, int n, int *found);
extern bool keep_keys(const Installation *home, Event *const *events, int n);
extern bool keep_first_answer(const Event *event, const FirstAnswer *answer);

extern bool events_have_moved(void);
extern void refuse_old_snapshot(void);

/* events_answer.c */
extern bool must_look_again(void);
extern Datum answer_rows(const Installation *home, FunctionCallInfo fcinfo, Statement *statement, Datum *args,
						 const char *nulls);
extern Datum copied_result(MemoryContext context);

#endif							/* UT_EVENTS_H */
