/*
 * amounts.h -- exact decimal numbers of a fixed size, for shared memory.
 */
#ifndef UT_AMOUNTS_H
#define UT_AMOUNTS_H

#include "postgres.h"

#include "utils/numeric.h"

#define AMOUNT_LIMBS 5

/*
 * The sum of limb[i] * 10^(15 * i - 30).  All limbs but the last are in 0 .. 10^15 - 1,
 * so the last one has the sign.  That is 30 decimals, and sums of a million
 * million of the largest amounts that functions take.
 */
typedef struct Amount
{
	int64		limb[AMOUNT_LIMBS];
} Amount;

extern const Amount amount_zero;

extern Amount amount_from(Numeric value);
extern Numeric amount_numeric(const Amount *a);
extern Amount amount_plus(const Amount *a, const Amount *b);
extern Amount amount_minus(const Amount *a, const Amount *b);
extern int	amount_compare(const Amount *a, const Amount *b);
extern bool amount_is_zero(const Amount *a);
extern bool amount_is_negative(const Amount *a);

#endif							/* UT_AMOUNTS_H */
