/*
 * usage.h -- the door: what the limits say about one use, and making it happen.
 */
#ifndef UT_USAGE_H
#define UT_USAGE_H

#include "postgres.h"

#include "arguments.h"
#include "counters.h"
#include "decision.h"
#include "events.h"
#include "limits.h"

extern Stake stake_in(const UsageLimit *limit, const UserTerms *terms, TimestampTz at);
extern Stakes stakes_of_event(const Config *config, const UserTerms *terms, const Event *event);
extern Stakes stakes_that_change(const Stakes *stakes);
extern TimestampTz all_back_at(const Stake *stake, bool taken);
extern Decision decide(const Stakes *stakes, bool taken);
extern Decision decision_again(const FirstAnswer *answer, bool allowed, const char *reason);
extern FirstAnswer answer_to_keep(const Decision *decision);
extern char *overage_of(const Stakes *stakes);

/* usage.c */
extern Stakes weigh(const Config *config, const UserTerms *terms, const Event *event, bool afresh);
extern Decision record_use(const Installation *home, Event *event, bool may_refuse);
extern Decision record_fact(const Installation *home, Event *event);

/* usage_arguments.c */
extern void amount_arguments(const Installation *home, FunctionCallInfo fcinfo, Event *event, const char *name);
extern bool takes_nothing(const Event *event);
extern void check_takes_something(const Event *event);

/* usage_hold.c */
extern int64 hold_argument(FunctionCallInfo fcinfo, int n);

/* usage_renew.c */
extern bool renew_hold(const Installation *home, Datum user_id, int64 id, int64 hold_for, TimestampTz *expires_at);

/* usage_api.c */
extern int64 sum_of_tokens(const LlmCall *billed);
extern LlmCost cost_of_event(const Installation *home, const Event *event);
extern void price_call(const Installation *home, Event *event);

/* usage_calls.c */
extern const char *status_argument(FunctionCallInfo fcinfo, int n);
extern void take_time(FunctionCallInfo fcinfo, int n, Event *event);
extern Event event_to_track(const Installation *home, FunctionCallInfo fcinfo);

#endif							/* UT_USAGE_H */
