/*
 * numbers.h -- exact arithmetic on numeric, spelled short.
 */
#ifndef UT_NUMBERS_H
#define UT_NUMBERS_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/* Made once, because every call compares with them. */
extern Numeric num_zero;
extern Numeric num_hundredth;
extern Numeric num_too_large;	/* 30 digits before the point */

extern void numbers_init(void);

static inline Numeric
num_from(int64 value)
{
	return int64_to_numeric(value);
}

static inline Numeric
num_add(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(a), NumericGetDatum(b)));
}

static inline Numeric
num_sub(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_sub, NumericGetDatum(a), NumericGetDatum(b)));
}

static inline Numeric
num_mul(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_mul, NumericGetDatum(a), NumericGetDatum(b)));
}

static inline int
num_cmp(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a), NumericGetDatum(b)));
}

static inline int
num_sign(Numeric a)
{
	return num_cmp(a, num_zero);
}

static inline Numeric
num_least(Numeric a, Numeric b)
{
	return num_cmp(a, b) < 0 ? a : b;
}

static inline Numeric
num_at_least_zero(Numeric value)
{
	return num_sign(value) < 0 ? num_zero : value;
}

static inline Numeric
num_trim(Numeric a)
{
	return DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(a)));
}

static inline bool
num_is_whole(Numeric a)
{
	return num_cmp(a, DatumGetNumeric(DirectFunctionCall2(numeric_trunc, NumericGetDatum(a), Int32GetDatum(0)))) == 0;
}

static inline char *
num_text(Numeric a)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(a)));
}

#endif							/* UT_NUMBERS_H */
