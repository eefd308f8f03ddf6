/*
 * rates_limits.h -- rate limits: how fast somebody may be.
 */
#ifndef UT_RATES_LIMITS_H
#define UT_RATES_LIMITS_H

#include "postgres.h"

#include "decision.h"
#include "installation.h"
#include "rates_cell.h"

/* One row of api_rate_limits. */
typedef struct RateLimit
{
	char	   *name;
	char	   *plan;			/* NULL: every plan that has no row of its own */
	Pace		pace;
} RateLimit;

/* Who asks for how much. */
typedef struct RateRequest
{
	const char *name;
	bool		has_user;
	Datum		user_id;
	const char *key;			/* NULL: none */
	int64		requests;
	bool		looks;			/* takes nothing, and sees what the calling query sees */
} RateRequest;

/* rates_config.c */
extern void rate_limits_init(void);
extern const RateLimit *rates_named(const Installation *home, const char *name, int *n);

/* rates_limits.c */
extern Decision decide_rate(const Installation *home, const RateRequest *request);

#endif							/* UT_RATES_LIMITS_H */
