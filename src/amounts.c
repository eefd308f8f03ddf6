/*
 * amounts.c -- exact decimal numbers of a fixed size, for shared memory.
 *
 * Numeric has no size of its own and allocates, which nothing may do that holds a
 * lock of shared memory.  Adding and comparing do not fail here.
 */
#include "compat.h"

#include "amounts.h"
#include "numbers.h"

#define BASE INT64CONST(1000000000000000)
#define LIMB_DIGITS 15
#define DECIMAL_LIMBS 2

const Amount amount_zero = {{0}};

/* ---- arithmetic ---- */

/* Brings each limb but the last one into its range. */
static Amount
carried(Amount a)
{
	for (int i = 0; i < AMOUNT_LIMBS - 1; i++)
	{
		if (a.limb[i] < 0)
		{
			a.limb[i] += BASE;
			a.limb[i + 1]--;
		}
		else if (a.limb[i] >= BASE)
		{
			a.limb[i] -= BASE;
			a.limb[i + 1]++;
		}
	}
	return a;
}

Amount
amount_plus(const Amount *a, const Amount *b)
{
	Amount		sum;

	for (int i = 0; i < AMOUNT_LIMBS; i++)
		sum.limb[i] = a->limb[i] + b->limb[i];
	return carried(sum);
}

Amount
amount_minus(const Amount *a, const Amount *b)
{
	Amount		difference;

	for (int i = 0; i < AMOUNT_LIMBS; i++)
		difference.limb[i] = a->limb[i] - b->limb[i];
	return carried(difference);
}

int
amount_compare(const Amount *a, const Amount *b)
{
	for (int i = AMOUNT_LIMBS - 1; i >= 0; i--)
		if (a->limb[i] != b->limb[i])
			return a->limb[i] < b->limb[i] ? -1 : 1;
	return 0;
}

bool
amount_is_zero(const Amount *a)
{
	return amount_compare(a, &amount_zero) == 0;
}

bool
amount_is_negative(const Amount *a)
{
	return a->limb[AMOUNT_LIMBS - 1] < 0;
}

/* ---- from and to numeric, by way of digits ---- */

static void
refuse_digits(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("amount is too large to be counted")));
}

/* Up to 15 digits; missing ones at the end are zeros. */
static int64
limb_of_digits(const char *digits, int n)
{
	int64		limb = 0;

	for (int i = 0; i < LIMB_DIGITS; i++)
		limb = limb * 10 + (i < n ? digits[i] - '0' : 0);
	return limb;
}

static void
read_whole(Amount *a, const char *digits, int n)
{
	if (n > LIMB_DIGITS * (AMOUNT_LIMBS - DECIMAL_LIMBS))
		refuse_digits();
	for (int i = DECIMAL_LIMBS; n > 0; i++, n -= LIMB_DIGITS)
	{
		int			length = Min(n, LIMB_DIGITS);
		int64		limb = 0;

		for (const char *digit = digits + n - length; digit < digits + n; digit++)
			limb = limb * 10 + (*digit - '0');
		a->limb[i] = limb;
	}
}

/* What is finer is rounded up: no argument of ours is, only a cost by a price that is. */
static void
read_decimals(Amount *a, const char *digits, int n)
{
	int			rest = n - LIMB_DIGITS * DECIMAL_LIMBS;

	for (int i = DECIMAL_LIMBS - 1; i >= 0 && n > 0; i--, n -= LIMB_DIGITS, digits += LIMB_DIGITS)
		a->limb[i] = limb_of_digits(digits, Min(n, LIMB_DIGITS));
	if (rest > 0 && strspn(digits, "0") < rest)
		a->limb[0]++;
}

Amount
amount_from(Numeric value)
{
	Amount		a = amount_zero;
	char	   *text = num_text(value);
	char	   *digits = text + (*text == '-');
	int			whole = strspn(digits, "0123456789");

	if (whole == 0)
		refuse_digits();		/* NaN, or infinity */
	read_whole(&a, digits, whole);
	if (digits[whole] == '.')
		read_decimals(&a, digits + whole + 1, strlen(digits + whole + 1));
	if (*text == '-')
		a = amount_minus(&amount_zero, &a);
	pfree(text);
	return carried(a);
}

static bool
is_short(const Amount *a)
{
	for (int i = 0; i < AMOUNT_LIMBS; i++)
		if (i != DECIMAL_LIMBS && a->limb[i] != 0)
			return false;
	return true;
}

Numeric
amount_numeric(const Amount *a)
{
	char		text[AMOUNT_LIMBS * 20 + 3];
	Amount		size = amount_is_negative(a) ? amount_minus(&amount_zero, a) : *a;

	if (is_short(a))
		return num_from(a->limb[DECIMAL_LIMBS]);
	snprintf(text, sizeof(text),
			 "%s%lld%015lld%015lld.%015lld%015lld", amount_is_negative(a) ? "-" : "",
			 (long long) size.limb[4], (long long) size.limb[3], (long long) size.limb[2],
			 (long long) size.limb[1], (long long) size.limb[0]);
	return num_trim(DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
														ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1))));
}
