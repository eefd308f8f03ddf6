/*
 * decision.h -- the answer to a request for permission.
 */
#ifndef UT_DECISION_H
#define UT_DECISION_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

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
	Numeric		credits_left;	/* NULL, unless credits decided */
	bool		is_rate;		/* of requests, which come back bit by bit */
	int64		retry_after;	/* seconds, of a rate that denies and has a reset */
	int64		window;			/* seconds in which all of it comes back; 0: not known */
} Decision;

extern Decision decision_not_made(void);
extern Datum decision_datum(FunctionCallInfo fcinfo, const Decision *decision);
extern char *decision_headers(const Decision *decision, const char *between);
pg_noreturn extern void raise_denial(const Decision *decision);

#endif							/* UT_DECISION_H */
