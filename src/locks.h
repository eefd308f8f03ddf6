/*
 * locks.h -- the locks of counting, by their names.
 */
#ifndef UT_LOCKS_H
#define UT_LOCKS_H

#include "postgres.h"

#include "query.h"

extern void lock_user(const Installation *home, Datum user_id);
extern void lock_counting(const Installation *home, Datum user_id);
extern bool try_to_lock_counting(const Installation *home, Datum user_id);
extern void unlock_counting(const Installation *home, Datum user_id);
extern void lock_known(Oid usage_events, int group);
extern bool known_is_locked(Oid usage_events, int group);
extern void lock_out_uses_of(const Installation *home, Datum user_id);
extern void keep_out_uses_of(const Installation *home, Datum user_id);
extern void keep_out_all_uses(const Installation *home);

typedef void (*LockOutListener) (const Installation *home, Datum user_id);
extern void on_lock_out(LockOutListener listener);

#endif							/* UT_LOCKS_H */
