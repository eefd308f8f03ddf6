/*
 * usage.h -- decisions: what the limits say about one use.
 */
#ifndef UT_USAGE_H
#define UT_USAGE_H

#include "postgres.h"

#include "counters.h"
#include "events.h"
#include "limits.h"

/* The answer to a request for permission, as usage_decision shows it. */
typedef struct Decision
{
	bool		allowed;
	const char *reason;
	int64		id;				/* 0: nothing was made */
	const char *limit_type;		/* NULL: no limit binds */
	Numeric		used;			/* NULL then */
	Numeric		max_usage;
	TimestampTz reset_at;		/* DT_NOEND: never */
	Numeric		asked;			/* of the binding limit */
} Decision;

extern bool limit_counts(const UsageLimit *limit, const Event *event);
extern Stake stake_in(const UsageLimit *limit, const UserTerms *terms, TimestampTz at);
extern Stakes stakes_of_event(const Config *config, const UserTerms *terms, const Event *event);
extern Stakes stakes_that_change(const Stakes *stakes);
extern Decision decide(const Stakes *stakes, bool taken);
extern Decision decision_not_made(void);
extern Decision decision_again(const FirstAnswer *answer, bool allowed, const char *reason);
extern FirstAnswer answer_to_keep(const Decision *decision);
extern char *overage_of(const Stakes *stakes);

/* usage_answer.c */
extern Datum decision_datum(FunctionCallInfo fcinfo, const Decision *decision);
extern void raise_limit_reached(const Decision *decision);

/* usage.c */
extern void check_usage_type(const Config *config, const char *usage_type);
extern Stakes weigh(const Config *config, const UserTerms *terms, const Event *event, bool afresh);
extern UserTerms known_terms(Datum user_id, TimestampTz at);
extern Decision record_use(const Installation *home, Event *event, bool may_refuse);
extern Decision record_fact(const Installation *home, Event *event);

/* usage_arguments.c */
extern void amount_arguments(const Installation *home, FunctionCallInfo fcinfo, Event *event, const char *name);
extern bool takes_nothing(const Event *event);
extern void check_takes_something(const Event *event);
extern char *cut_text(Datum value, bool isnull);
extern Jsonb *metadata_argument(FunctionCallInfo fcinfo, int n);

/* usage_hold.c */
extern int64 hold_argument(FunctionCallInfo fcinfo, int n);

/* usage_redact.c */
extern Jsonb *redact(Jsonb *metadata);

/* usage_api.c */
extern LlmCost cost_of_event(const Installation *home, const Event *event);
extern void price_call(const Installation *home, Event *event);

/* usage_calls.c */
extern const char *status_argument(FunctionCallInfo fcinfo, int n);
extern void take_time(FunctionCallInfo fcinfo, int n, Event *event);
extern Event event_to_track(const Installation *home, FunctionCallInfo fcinfo);

#endif							/* UT_USAGE_H */
