/*
 * settings.c -- defines the settings and answers what they mean.
 *
 * All are for superusers, or those granted SET on them, but error_style, which
 * only changes how the caller's own errors look, and those of the worker, which
 * are the server's.
 */
#include "compat.h"

#include <limits.h>

#include "miscadmin.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

bool		setting_enabled = true;
bool		setting_credits_enabled;
bool		setting_analytics_enabled = true;
bool		setting_enforce_limits = true;
char	   *setting_default_plan = NULL;
char	   *setting_identity = NULL;
char	   *setting_user_id = NULL;
char	   *setting_user_id_setting = NULL;
char	   *setting_redacted_keys = NULL;
int			setting_idempotency_retention = 35 * SECS_PER_DAY;
int			setting_max_event_age = 35 * SECS_PER_DAY;
int			setting_max_event_lead = 5 * SECS_PER_MINUTE;
int			setting_event_retention = 0;
char	   *setting_worker_databases = NULL;
int			setting_counter_slots = 0;
int			setting_worker_interval = SECS_PER_MINUTE;
char	   *setting_alert_thresholds = NULL;
char	   *setting_alert_channel = NULL;
char	   *setting_funnel_steps = NULL;
int			setting_unusual_use_floor = 100;

static int	setting_alert_retention = 400 * SECS_PER_DAY;	/* read by SQL only */
static char *setting_time_zone = NULL;
static char *setting_limit_overrides = NULL;
static char *setting_credit_refills = NULL;
static pg_tz *default_zone = NULL;
static char *setting_clock = NULL;

typedef enum ErrorStyle
{
	ERROR_STYLE_AUTO,
	ERROR_STYLE_SQL,
	ERROR_STYLE_POSTGREST
} ErrorStyle;

static int	setting_error_style = ERROR_STYLE_AUTO;

static const struct config_enum_entry error_styles[] = {
	{"auto", ERROR_STYLE_AUTO, false},
	{"sql", ERROR_STYLE_SQL, false},
	{"postgrest", ERROR_STYLE_POSTGREST, false},
	{NULL, 0, false}
};

/*
 * Zone names go to pg_tzset() only, never to anything printf-like; the
 * characters are limited all the same, because POSIX zone texts may hold any.
 */
pg_tz *
find_time_zone(const char *name)
{
	pg_tz	   *zone;

	if (*name == '\0' || strlen(name) > TZ_STRLEN_MAX ||
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			   "0123456789_+-/") != strlen(name))
		return NULL;
	zone = pg_tzset(name);
	if (zone == NULL || !pg_tz_acceptable(zone))
		return NULL;
	return zone;
}

static void
assign_time_zone(const char *newval, void *extra)
{
	default_zone = find_time_zone(newval);
}

pg_tz *
default_time_zone(void)
{
	return default_zone;
}

static bool
check_time_zone(char **newval, void **extra, GucSource source)
{
	if (find_time_zone(*newval) != NULL)
		return true;
	GUC_check_errdetail("The time zone is not recognized.");
	return false;
}

/* A source misspelled would make everybody nobody. */
static bool
check_identity(char **newval, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*newval);
	List	   *sources;
	ListCell   *cell;

	if (!SplitIdentifierString(copy, ',', &sources))
	{
		GUC_check_errdetail("List syntax is invalid.");
		return false;
	}
	foreach(cell, sources)
	{
		const char *name = lfirst(cell);

		if (strcmp(name, "user_id") != 0 && strcmp(name, "jwt") != 0 && strcmp(name, "setting") != 0)
		{
			GUC_check_errdetail("The sources are user_id, jwt, and setting.");
			return false;
		}
	}
	pfree(copy);
	list_free(sources);
	return true;
}

static bool
check_names(char **newval, void **extra, GucSource source)
{
	char	   *copy = pstrdup(*newval);
	List	   *names;
	bool		is_list = SplitIdentifierString(copy, ',', &names);

	if (!is_list)
		GUC_check_errdetail("List syntax is invalid.");
	list_free(names);
	pfree(copy);
	return is_list;
}

/* Percentages greater than zero, or none at all. */
static bool
check_alert_thresholds(char **newval, void **extra, GucSource source)
{
	static const char *const digits = "0123456789";
	const char *at = *newval + strspn(*newval, " ");
	bool		good = true;

	while (good && *at != '\0')
	{
		size_t		whole = strspn(at, digits);
		size_t		decimals = at[whole] == '.' ? strspn(at + whole + 1, digits) : 0;
		size_t		length = whole + (at[whole] == '.' ? 1 + decimals : 0);

		good = whole >= 1 && whole <= 9 && decimals <= 9 && strspn(at, "0.") < length &&
			(at[whole] != '.' || decimals >= 1);
		at += length + strspn(at + length, " ");
		if (*at == ',')
		{
			at += 1 + strspn(at + 1, " ");
			good = good && *at != '\0';
		}
		else
			good = good && *at == '\0';
	}
	if (!good)
		GUC_check_errdetail("The thresholds are either empty or percentages greater than zero, such as 80,100.");
	return good;
}

/* A few, so that a transaction can take of several counters at once. */
static bool
check_counter_slots(int *newval, void **extra, GucSource source)
{
	if (*newval > 0 && *newval < 8)
		GUC_check_errdetail("There are 8 at least, or none.");
	return *newval == 0 || *newval >= 8;
}

static bool
check_alert_channel(char **newval, void **extra, GucSource source)
{
	if (strlen(*newval) < NAMEDATALEN)
		return true;
	GUC_check_errdetail("The name of a channel has up to %d bytes.", NAMEDATALEN - 1);
	return false;
}

bool
errors_for_postgrest(void)
{
	const char *method;

	if (setting_error_style != ERROR_STYLE_AUTO)
		return setting_error_style == ERROR_STYLE_POSTGREST;
	method = GetConfigOption("request.method", true, false);
	return method != NULL && *method != '\0';
}

static void
define_switches(void)
{
	DefineCustomBoolVariable("usage_tracking.enabled",
							 "Records usage.",
							 "When off, nothing is recorded and everything is allowed.",
							 &setting_enabled, true, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("usage_tracking.credits_enabled",
							 "Takes from the user's credits what a use costs.",
							 "When off, uses cost no credits; they can be granted and spent all the same.",
							 &setting_credits_enabled, false, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("usage_tracking.analytics_enabled",
							 "Sets whether administrators are told about all users together.",
							 NULL, &setting_analytics_enabled, true, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("usage_tracking.enforce_limits",
							 "Refuses uses that do not fit a hard limit.",
							 "When off, usage is recorded and nothing is refused.",
							 &setting_enforce_limits, true, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("usage_tracking.error_style",
							 "Sets the form of refusals: SQL errors, or errors as PostgREST reads them.",
							 "\"auto\" chooses by whether request.method is set.",
							 &setting_error_style, ERROR_STYLE_AUTO, error_styles,
							 PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
define_identity(void)
{
	DefineCustomStringVariable("usage_tracking.identity",
							   "Lists the sources that may say who the user is.",
							   "Of user_id, jwt and setting, the first that is set counts.",
							   &setting_identity, "user_id,jwt", PGC_SUSET, GUC_LIST_INPUT,
							   check_identity, NULL, NULL);
	DefineCustomStringVariable("usage_tracking.user_id",
							   "Sets the user on whose behalf the session acts.",
							   "Grant SET on it to the role the application logs in as.",
							   &setting_user_id, "", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("usage_tracking.user_id_setting",
							   "Names the setting that the identity source \"setting\" reads.",
							   NULL,
							   &setting_user_id_setting, "", PGC_SUSET, 0, NULL, NULL, NULL);
}

static void
define_defaults(void)
{
	DefineCustomStringVariable("usage_tracking.default_plan",
							   "Sets the plan of users without a plan of their own.",
							   NULL,
							   &setting_default_plan, "free", PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("usage_tracking.time_zone",
							   "Sets the time zone of windows whose limit and user name none.",
							   NULL,
							   &setting_time_zone, "UTC", PGC_SUSET, 0, check_time_zone, assign_time_zone, NULL);
	DefineCustomStringVariable("usage_tracking.limit_overrides",
							   "Lists maxima of limits for users on a plan, above what the tables say.",
							   "A list such as prompts_daily.free=20, exports_daily.pro=-1.",
							   &setting_limit_overrides, "", PGC_SUSET, GUC_LIST_INPUT,
							   check_limit_overrides, assign_limit_overrides, NULL);
	DefineCustomStringVariable("usage_tracking.credit_refills",
							   "Lists the credits that users have anew in each period, by plan, above what the tables say.",
							   "For example: free=100, pro=1000",
							   &setting_credit_refills, "", PGC_SUSET, GUC_LIST_INPUT,
							   check_credit_refills, assign_credit_refills, NULL);
	DefineCustomStringVariable("usage_tracking.redacted_keys",
							   "Lists keys whose values are not kept in metadata.",
							   "At any depth, in any case, with - or _.",
							   &setting_redacted_keys,
							   "authorization, proxy_authorization, cookie, set_cookie, password, secret, client_secret, webhook_secret, "
							   "api_key, apikey, x_api_key, access_token, refresh_token, id_token, session_token, private_key, "
							   "credit_card, card_number, cvv, ssn",
							   PGC_SUSET, GUC_LIST_INPUT, NULL, NULL, NULL);
	DefineCustomStringVariable("usage_tracking.clock",
							   "Stops the extension's clock at an instant, for tests.",
							   "Empty lets it run.",
							   &setting_clock, "", PGC_SUSET, GUC_NOT_IN_SAMPLE,
							   check_clock, assign_clock, NULL);
}

static void
define_periods(void)
{
	DefineCustomIntVariable("usage_tracking.idempotency_retention",
							"Sets how long an idempotency key is remembered.",
							"Never less than usage_tracking.max_event_age.",
							&setting_idempotency_retention, 35 * SECS_PER_DAY, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("usage_tracking.max_event_age",
							"Sets how far back an event may have happened.",
							"Raise it in a session that loads history.",
							&setting_max_event_age, 35 * SECS_PER_DAY, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("usage_tracking.max_event_lead",
							"Sets how far ahead of the clock an event may be.",
							NULL,
							&setting_max_event_lead, 5 * SECS_PER_MINUTE, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("usage_tracking.event_retention",
							"Sets after how long upkeep drops the events of a month and keeps their sums.",
							"Zero keeps them for ever.",
							&setting_event_retention, 0, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("usage_tracking.unusual_use_floor",
							"Sets how much of a type a user may use on a day without upkeep asking whether it is unusual.",
							"-1 never asks.",
							&setting_unusual_use_floor, 100, -1, INT_MAX,
							PGC_SUSET, 0, NULL, NULL, NULL);
}

/*
 * Sizes of shared memory, as they were when it was made: at the server's start, or,
 * where the library is not preloaded, when the first session needed it.
 */
static void
define_memory(void)
{
	GucContext	context = process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP;

	DefineCustomIntVariable("usage_tracking.counter_slots",
							"Sets how many counters shared memory has room for.",
							"Zero keeps counters in their table alone.",
							&setting_counter_slots, 32768, 0, 10000000,
							context, 0, check_counter_slots, NULL, NULL);
}

/* The worker belongs to the server, not to a session. */
static void
define_worker(void)
{
	DefineCustomStringVariable("usage_tracking.worker_databases",
							   "Lists the databases whose upkeep is done in the background.",
							   "Needs the library in shared_preload_libraries.",
							   &setting_worker_databases, "", PGC_SIGHUP, GUC_LIST_INPUT,
							   check_names, NULL, NULL);
	DefineCustomIntVariable("usage_tracking.worker_interval",
							"Sets how long the background upkeep rests between two rounds.",
							NULL,
							&setting_worker_interval, SECS_PER_MINUTE, 1, INT_MAX / 1000,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
}

static void
define_reports(void)
{
	DefineCustomStringVariable("usage_tracking.funnel_steps",
							   "Lists the usage types that are steps from a sign-up to success, in their order.",
							   NULL, &setting_funnel_steps, "", PGC_SUSET, GUC_LIST_INPUT, check_names, NULL, NULL);
}

static void
define_alerts(void)
{
	DefineCustomStringVariable("usage_tracking.alert_thresholds",
							   "Lists the percentages at which limits without alert rules raise an alert.",
							   "Empty raises none.",
							   &setting_alert_thresholds, "80,100", PGC_SUSET, GUC_LIST_INPUT,
							   check_alert_thresholds, NULL, NULL);
	DefineCustomStringVariable("usage_tracking.alert_channel",
							   "Names the channel on which the ids of new alerts are notified.",
							   "Empty notifies nobody.",
							   &setting_alert_channel, "", PGC_SUSET, 0, check_alert_channel, NULL, NULL);
	DefineCustomIntVariable("usage_tracking.alert_retention",
							"Sets after how long upkeep deletes an alert whose window is over.",
							"Zero keeps them for ever.",
							&setting_alert_retention, 400 * SECS_PER_DAY, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
}

void
settings_init(void)
{
	define_switches();
	define_identity();
	define_defaults();
	define_periods();
	define_memory();
	define_worker();
	define_alerts();
	define_reports();
	define_rate_settings();
	MarkGUCPrefixReserved("usage_tracking");
}
