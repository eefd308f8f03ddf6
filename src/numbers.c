/*
 * numbers.c -- numbers that every call needs.
 */
#include "compat.h"

#include "numbers.h"
#include "utils/memutils.h"

Numeric		num_zero = NULL;
Numeric		num_too_large = NULL;

void
numbers_init(void)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	num_zero = num_from(0);
	num_too_large = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum("1e29"),
														ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	MemoryContextSwitchTo(caller);
}
