/*
 * rates.h -- gauges: levels that are set, and places that are held.
 */
#ifndef UT_RATES_H
#define UT_RATES_H

#include "postgres.h"

#include "usage.h"

extern const UsageLimit *find_gauge(const char *limit_type);
extern Stakes weigh_gauge(Datum user_id, const char *limit_type, Numeric amount);
extern Stakes weigh_gauge_locked(Datum user_id, const char *limit_type, Numeric amount);
extern Decision decision_on_fact(const Stakes *stakes);

#endif							/* UT_RATES_H */
