/*
 * limits.h -- what is limited, and how much one user may.
 */
#ifndef UT_LIMITS_H
#define UT_LIMITS_H

#include "postgres.h"

#include "query.h"
#include "utils/numeric.h"
#include "window.h"

typedef enum Measure
{
	MEASURE_EVENTS,
	MEASURE_QUANTITY,
	MEASURE_TOKENS,
	MEASURE_COST
} Measure;

extern const char *const measure_names[];	/* up to a NULL */

typedef struct PlanLimit
{
	char	   *plan;
	Numeric		max_usage;
} PlanLimit;

typedef struct TemporaryLimit
{
	char	   *plan;			/* NULL: everybody */
	TimestampTz starts_at;
	TimestampTz ends_at;
	Numeric		max_usage;
} TemporaryLimit;

/* One row of usage_limits with its rows of plan_limits and temporary_limits. */
typedef struct UsageLimit
{
	int64		id;
	char	   *name;
	char	   *usage_type;		/* NULL: every type */
	Numeric		max_usage;
	WindowKind	kind;
	Interval	period;
	Measure		measure;
	bool		is_hard;
	bool		is_active;
	pg_tz	   *zone;			/* NULL: the user's, else the default */
	ArrayType  *statuses;		/* which events count */
	char	  **status_names;
	int			nstatuses;
	PlanLimit  *plans;
	int			nplans;
	TemporaryLimit *temporary;	/* those not over, the last to begin first */
	int			ntemporary;
} UsageLimit;

/* The small tables as last committed. */
typedef struct Config
{
	UsageLimit	   *limits;			/* by name */
	int			nlimits;
	char	  **usage_types;	/* sorted */
	int			ntypes;
	TimestampTz as_of;			/* what was over then is left out */
} Config;

/* A level that is set and held, whatever is used. */
static inline bool
limit_is_gauge(const UsageLimit *limit)
{
	return limit->kind == WINDOW_GAUGE;
}

/* By uses. */
static inline bool
limit_is_counted(const UsageLimit *limit)
{
	return !limit_is_gauge(limit);
}

/* From events, each time: it has no counter. */
static inline bool
limit_is_sliding(const UsageLimit *limit)
{
	return limit->kind == WINDOW_SLIDING;
}

typedef struct Override
{
	char	   *limit_type;
	Numeric		max_usage;
} Override;

/* What is particular to one user. */
typedef struct UserTerms
{
	TimestampTz now;			/* the moment for which they are, */
	TimestampTz until;			/* and when they may be others without anybody changing them */
	bool		is_known;		/* has a subscription row */
	const char *plan;
	pg_tz	   *zone;			/* NULL if he has none */
	TimestampTz anchor;
	bool		has_billing_period;
	Window		billing_period;
	Override   *overrides;
	int			noverrides;
} UserTerms;

extern void limits_init(void);
extern const Config *current_config(void);
extern const UsageLimit *find_limit(const Config *config, const char *name);
extern void check_limit_exists(const char *limit_type);
extern bool is_usage_type(const Config *config, const char *name);
extern void check_usage_type(const Config *in, const char *usage_type);
extern bool limit_covers(const UsageLimit *limit, const char *usage_type);
extern bool limit_counts_status(const UsageLimit *limit, const char *status);

extern UserTerms terms_of_user(Datum user_id, TimestampTz now, bool afresh);
extern pg_tz *zone_of_user(const UserTerms *terms);
extern UserTerms known_terms(Datum user_id, TimestampTz at);
extern Numeric max_usage_of(const UsageLimit *limit, const UserTerms *terms);
extern Window window_of(const UsageLimit *limit, const UserTerms *terms, TimestampTz at);

#endif							/* UT_LIMITS_H */
