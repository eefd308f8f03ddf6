/*
 * reports.h -- how much may be asked at once.
 */
#ifndef UT_REPORTS_H
#define UT_REPORTS_H

#include "query.h"

#define MAX_ROWS 1000
#define MAX_DAYS 3660

/* reports_usage.c */
extern Datum answer_value(const Installation *home, Statement *statement, Datum *args, const char *nulls);

/* reports_analytics.c */
extern void check_may_analyze(const Installation *home);
extern Datum default_steps(const Installation *home);

#endif							/* UT_REPORTS_H */
