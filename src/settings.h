/*
 * settings.h -- every usage_tracking.* setting, and the clock they may move.
 */
#ifndef UT_SETTINGS_H
#define UT_SETTINGS_H

#include "postgres.h"
#include "datatype/timestamp.h"
#include "pgtime.h"
#include "utils/guc.h"

extern bool setting_enabled;
extern bool setting_enforce_limits;
extern bool setting_credits_enabled;
extern bool setting_analytics_enabled;
extern char *setting_default_plan;
extern char *setting_identity;
extern char *setting_user_id;
extern char *setting_user_id_setting;
extern char *setting_redacted_keys;
extern int	setting_idempotency_retention;	/* seconds, as are the next three */
extern int	setting_max_event_age;
extern int	setting_max_event_lead;
extern int	setting_event_retention;	/* 0: for ever */
extern char *setting_alert_thresholds;
extern char *setting_alert_channel;
extern char *setting_funnel_steps;
extern int	setting_unusual_use_floor;	/* -1: never */

extern int	setting_counter_slots;

extern char *setting_worker_databases;
extern int	setting_worker_interval;	/* seconds */

extern void settings_init(void);
extern pg_tz *default_time_zone(void);
extern bool errors_for_postgrest(void);
extern TimestampTz usage_now(void);
extern bool check_clock(char **newval, void **extra, GucSource source);
extern void assign_clock(const char *newval, void *extra);
extern pg_tz *find_time_zone(const char *name);

extern bool check_limit_overrides(char **newval, void **extra, GucSource source);
extern void assign_limit_overrides(const char *newval, void *extra);
extern const char *limit_override(const char *limit_type, const char *plan);
extern bool check_credit_refills(char **newval, void **extra, GucSource source);
extern void assign_credit_refills(const char *newval, void *extra);
extern const char *credit_refill_override(const char *plan);

/* settings_rates.c */
#define MAX_RATE_SLOTS 4194304

extern int	setting_rate_slots;
extern char *setting_pre_request_rate;
extern char *setting_pre_request_anonymous_rate;
extern char *setting_client_address_header;
extern int	setting_trusted_proxies;

extern void define_rate_settings(void);

#endif							/* UT_SETTINGS_H */
