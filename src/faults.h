/*
 * faults.h -- places where test builds (-DUT_FAULTS) let something go wrong.
 */
#ifndef UT_FAULTS_H
#define UT_FAULTS_H

#include "postgres.h"

/*
 * fault() is passed where an error is allowed, stall() with a lock of shared memory or
 * when the transaction is over, where waiting and dying is all that can happen.
 */
#ifdef UT_FAULTS
extern void faults_init(void);
extern void fault(const char *place);
extern void stall(const char *place);
#else
#define faults_init() ((void) 0)
#define fault(place) ((void) 0)
#define stall(place) ((void) 0)
#endif

#endif							/* UT_FAULTS_H */
