/*
 * plans.h -- the one current subscription of a user, as the door needs it.
 */
#ifndef UT_PLANS_H
#define UT_PLANS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "query.h"

extern const char *plan_in_force(const char *plan, const char *status,
								 TimestampTz expires_at, TimestampTz now);
extern void check_plan_exists(const char *plan);
extern bool note_first_use(Datum user_id, TimestampTz at);
extern uint64 note_first_uses(Datum user_ids, TimestampTz at);
extern void note_first_events(Datum user_ids, Datum instants);

#endif							/* UT_PLANS_H */
