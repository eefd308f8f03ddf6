/*
 * arguments.h -- takes an argument of an SQL function, or says what is wrong
 * with it.
 */
#ifndef UT_ARGUMENTS_H
#define UT_ARGUMENTS_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#define MAX_TEXT 255			/* characters of keys, resource ids and the like */
#define MAX_DESCRIPTION 1000	/* characters */
#define MAX_WHOLE_DIGITS 29
#define QUANTITY_DECIMALS 9
#define MONEY_DECIMALS 30		/* of rates per token times tokens */

extern bool is_name(const char *name);
extern bool is_plain_name(const char *name);
extern char *name_argument(FunctionCallInfo fcinfo, int n, const char *argument);
extern char *plain_name_argument(FunctionCallInfo fcinfo, int n, const char *argument);
extern bool is_key_text(Datum value);
extern char *required_text_argument(FunctionCallInfo fcinfo, int n, const char *argument);
extern char *text_argument(FunctionCallInfo fcinfo, int n, const char *argument);
extern char *description_argument(FunctionCallInfo fcinfo, int n, const char *argument);
extern Numeric amount_argument(FunctionCallInfo fcinfo, int n, const char *argument, int decimals);
extern Numeric delta_argument(FunctionCallInfo fcinfo, int n, const char *argument, int decimals);
extern Numeric max_usage_argument(FunctionCallInfo fcinfo, int n);
extern int64 count_argument(FunctionCallInfo fcinfo, int n, const char *argument);
extern Datum number_argument(FunctionCallInfo fcinfo, int n, const char *argument, int least, int most);
extern Datum day_argument(FunctionCallInfo fcinfo, int n, const char *argument, char *null);
extern char *choice_argument(FunctionCallInfo fcinfo, int n, const char *argument, const char *const *choices,
							 const char *said);
extern char *zone_argument(FunctionCallInfo fcinfo, int n);
extern int64 span_argument(FunctionCallInfo fcinfo, int n, const char *argument, int max_days);
extern int64 span_of(const Interval *interval);
extern Datum time_argument(FunctionCallInfo fcinfo, int n, const char *argument);
extern void check_finite_time(TimestampTz at, const char *argument);

/* arguments_metadata.c */
extern void check_isolation(const char *function);
extern Jsonb *redact(Jsonb *metadata);
extern char *cut_text(Datum value, bool isnull);
extern Jsonb *metadata_argument(FunctionCallInfo fcinfo, int n);

#endif							/* UT_ARGUMENTS_H */
