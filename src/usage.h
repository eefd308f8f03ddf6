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

extern Stake stake_in(const UsageLimit *limit, const UserTerms *terms, TimestampTz at);
extern Stakes stakes_of_event(const Config *config, const UserTerms *terms, const Event *event);
extern Stakes stakes_that_change(const Stakes *stakes);
extern Numeric amount_of(const UsageLimit *limit, const Event *event);
extern Decision decide(const Stakes *stakes, bool taken);
extern Decision decision_not_made(void);
extern Decision decision_replayed(const FirstAnswer *answer);
extern FirstAnswer answer_to_keep(const Decision *decision);
extern char *overage_of(const Stakes *stakes);
extern Datum decision_datum(FunctionCallInfo fcinfo, const Decision *decision);
extern void raise_limit_reached(const Decision *decision);

#endif							/* UT_USAGE_H */
