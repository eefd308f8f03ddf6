/*
 * rates.h -- gauges: levels that are set, and places that are held.
 */
#ifndef UT_RATES_H
#define UT_RATES_H

#include "postgres.h"

#include "storage/lockdefs.h"
#include "usage.h"

/* Which table a gauge follows. */
typedef struct Attachment
{
	Oid			target;
	char	   *limit_type;
	char	   *user_column;
	char	   *amount_column;	/* NULL: rows are counted */
} Attachment;

extern const UsageLimit *find_gauge(const char *limit_type);
extern Stakes weigh_gauge(Datum user_id, const char *limit_type, Numeric amount);
extern Stakes weigh_gauge_locked(Datum user_id, const char *limit_type, Numeric amount);
extern void lock_gauge(const Installation *home, const char *limit_type, LOCKMODE mode);
extern void check_level_in_range(const char *limit_type, Numeric level);
extern Decision decision_on_fact(const Stakes *stakes);

/* rates_gauge.c */
extern void check_user_column(const Installation *home, Oid relation, const char *column);
extern void empty_levels(const char *limit_type);

/* rates_attach.c */
extern Oid	table_of_gauge(const char *limit_type);
extern void check_follows_no_table(const char *limit_type);
extern char *levels_sql(const Installation *home, const Attachment *attachment);

#endif							/* UT_RATES_H */
