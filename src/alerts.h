/*
 * alerts.h -- who should know that a user reached a part of a limit.
 */
#ifndef UT_ALERTS_H
#define UT_ALERTS_H

#include "postgres.h"

#include "counters.h"
#include "limits.h"
#include "utils/hsearch.h"

/* At which part of a limit an alert is raised. */
typedef struct AlertRule
{
	char	   *limit_type;		/* NULL: every limit without rules of its own */
	Numeric		threshold;		/* percent */
	bool		is_active;
	bool		has_throttle;
	Interval	throttle;
} AlertRule;

/* Which alert.  Users and thresholds are compared by what is behind the pointers. */
typedef struct AlertKey
{
	int64		limit_id;
	TimestampTz window_start;
	Datum		user_id;
	Numeric		threshold;
} AlertKey;

/* One to be raised when the transaction commits. */
typedef struct NotedAlert
{
	AlertKey	key;
	SubTransactionId noted_in;
	char	   *limit_type;
	TimestampTz window_end;
	Numeric		used;
	Numeric		max_usage;
	int64		event_id;		/* 0: a batch */
	bool		has_throttle;
	Interval	throttle;
} NotedAlert;

extern void alerts_init(void);
extern List *reached_alerts(Datum user_id, const Stakes *stakes);
extern void note_alerts(Datum user_id, List *found, int64 event_id);

/* alerts_rules.c */
extern void alert_rules_init(void);
extern const AlertRule *rules_of_limit(const UsageLimit *limit, int *n);

/* alerts_known.c */
extern void known_alerts_init(void);
extern HTAB *new_alert_set(MemoryContext context, Size entry);
extern AlertKey copy_alert_key(const AlertKey *key);
extern bool is_known_alert(const AlertKey *key);
extern uint64 begin_to_remember_alerts(void);
extern void remember_alert(const AlertKey *key, TimestampTz until, uint64 began);

/* alerts_raise.c */
extern void raise_alerts(NotedAlert **alerts, int n, bool may_notify);

#endif							/* UT_ALERTS_H */
