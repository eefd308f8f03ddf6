/*
 * reports_days.c -- days as bits of months, for questions about all users.
 *
 * There are millions of them: what SQL would ask once a day and user is asked here
 * once a user.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "port/pg_bitutils.h"
#include "utils/array.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"

#define DAYS_OF_MONTH 31

/* Our own arrays: of one dimension, without NULL. */
static int
array_of(ArrayType *array, Oid type, Datum **elements)
{
	int			n;

	deconstruct_array(array, type, sizeof(int32), true, TYPALIGN_INT, elements, NULL, &n);
	return n;
}

/* Of the days in one month, the first that is not before some day; false if none. */
static bool
first_day_from(DateADT month, uint32 days, DateADT from, DateADT *first)
{
	int			skipped = from > month ? Min(from - month, DAYS_OF_MONTH) : 0;

	days &= ~((UINT64CONST(1) << skipped) - 1);
	if (days == 0)
		return false;
	*first = month + pg_rightmost_one_pos32(days);
	return true;
}

/* When a user took a step, not before some day; false if never. */
static bool
take_step(int step, const Datum *steps, const Datum *months, const Datum *days, int n, DateADT *day)
{
	DateADT		from = *day;
	DateADT		first;
	bool		found = false;

	for (int i = 0; i < n; i++)
		if (DatumGetInt32(steps[i]) == step &&
			first_day_from(DatumGetDateADT(months[i]), (uint32) DatumGetInt32(days[i]), from, &first) &&
			(!found || first < *day))
		{
			*day = first;
			found = true;
		}
	return found;
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_funnel_depth);
Datum
ut_funnel_depth(PG_FUNCTION_ARGS)
{
	Datum	   *steps;
	Datum	   *months;
	Datum	   *days;
	int			n = array_of(PG_GETARG_ARRAYTYPE_P(0), INT4OID, &steps);
	DateADT		day = PG_INT32_MIN / 2;
	int			depth = 0;

	n = Min(n, array_of(PG_GETARG_ARRAYTYPE_P(1), DATEOID, &months));
	n = Min(n, array_of(PG_GETARG_ARRAYTYPE_P(2), INT4OID, &days));
	while (take_step(depth + 1, steps, months, days, n, &day))
		depth++;
	PG_RETURN_INT32(depth);
}

PG_FUNCTION_INFO_V1(ut_count_days);
Datum
ut_count_days(PG_FUNCTION_ARGS)
{
	Datum	   *months;
	int			n = array_of(PG_GETARG_ARRAYTYPE_P(0), INT4OID, &months);
	int64		counts[DAYS_OF_MONTH] = {0};
	Datum		result[DAYS_OF_MONTH];

	for (int i = 0; i < n; i++)
		for (uint32 days = (uint32) DatumGetInt32(months[i]) & 0x7FFFFFFF; days != 0; days &= days - 1)
			counts[pg_rightmost_one_pos32(days)]++;
	for (int bit = 0; bit < DAYS_OF_MONTH; bit++)
		result[bit] = Int64GetDatum(counts[bit]);
	PG_RETURN_ARRAYTYPE_P(construct_array(result, DAYS_OF_MONTH, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
