/*
 * locks.h -- the locks of counting, by their names.
 */
#ifndef UT_LOCKS_H
#define UT_LOCKS_H

#include "postgres.h"

#include "query.h"

extern void lock_user(const Installation *home, Datum user_id);
extern void lock_counting(const Installation *home, Datum user_id);
extern void lock_out_uses_of(const Installation *home, Datum user_id);

#endif							/* UT_LOCKS_H */
