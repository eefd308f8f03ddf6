/*
 * rates_memory.h -- what was taken of rates, in memory that all sessions share.
 */
#ifndef UT_RATES_MEMORY_H
#define UT_RATES_MEMORY_H

#include "postgres.h"

#include "rates_cell.h"

typedef struct WideHash
{
	uint64		low;
	uint64		high;
} WideHash;

/* rates_hash.c */
extern WideHash sip_hash(const WideHash *secret, const void *data, Size length);

extern void rates_init(void);
extern Room take_of_rate(const void *subject, Size length, const Pace *pace, int64 requests);
extern Room look_at_rate(const void *subject, Size length, const Pace *pace, int64 requests);

#endif							/* UT_RATES_MEMORY_H */
