/*
 * numbers.c -- numbers that every call needs.
 */
#include "compat.h"

#include "numbers.h"
#include "utils/memutils.h"

Numeric		num_zero = NULL;
Numeric		num_hundredth = NULL;
Numeric		num_too_large = NULL;

static Numeric
number(const char *text)
{
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
											   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

void
numbers_init(void)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	num_zero = num_from(0);
	num_hundredth = number("0.01");
	num_too_large = number("1e29");
	MemoryContextSwitchTo(caller);
}
