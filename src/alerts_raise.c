/*
 * alerts_raise.c -- what was noted becomes rows, each once.
 */
#include "compat.h"

#include "alerts.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define COLUMN(name, datum) \
	static Datum column_##name(const void *row, bool *isnull) { const NotedAlert *alert = row; *isnull = false; return datum; }
#define COLUMN_OR_NULL(name, datum, null) \
	static Datum column_##name(const void *row, bool *isnull) { const NotedAlert *alert = row; *isnull = null; return datum; }

COLUMN(user_id, alert->key.user_id)
COLUMN(limit_id, Int64GetDatum(alert->key.limit_id))
COLUMN(window_start, TimestampTzGetDatum(alert->key.window_start))
COLUMN(threshold, NumericGetDatum(alert->key.threshold))
COLUMN(limit_type, CStringGetTextDatum(alert->limit_type))
COLUMN(window_end, TimestampTzGetDatum(alert->window_end))
COLUMN(used, NumericGetDatum(alert->used))
COLUMN(max_usage, NumericGetDatum(alert->max_usage))
COLUMN_OR_NULL(event_id, Int64GetDatum(alert->event_id), alert->event_id == 0)
COLUMN_OR_NULL(throttle, IntervalPGetDatum(&alert->throttle), !alert->has_throttle)

/* Alerts that are there already, and until when others keep theirs from coming. */
static Statement find_alerts = {
	"WITH n AS MATERIALIZED (SELECT r.* FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
	" pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5)) WITH ORDINALITY"
	" AS r (user_id, limit_id, threshold, window_start, throttle, number))"
	" SELECT n.number, 'infinity'::pg_catalog.timestamptz"
	" FROM n JOIN @extschema@.usage_alerts AS a ON a.kind OPERATOR(pg_catalog.=) 'threshold'"
	" AND a.user_id OPERATOR(pg_catalog.=) n.user_id AND a.limit_id OPERATOR(pg_catalog.=) n.limit_id"
	" AND a.threshold OPERATOR(pg_catalog.=) n.threshold AND a.window_start OPERATOR(pg_catalog.=) n.window_start"
	" UNION ALL"
	" SELECT n.number, t.until"
	" FROM n JOIN @extschema@.usage_alerts AS a ON a.kind OPERATOR(pg_catalog.=) 'threshold'"
	" AND a.user_id OPERATOR(pg_catalog.=) n.user_id AND a.limit_id OPERATOR(pg_catalog.=) n.limit_id"
	" AND a.threshold OPERATOR(pg_catalog.=) n.threshold,"
	" LATERAL (SELECT (a.raised_at AT TIME ZONE 'UTC' OPERATOR(pg_catalog.+) n.throttle) AT TIME ZONE 'UTC' AS until) AS t"
	" WHERE n.throttle IS NOT NULL AND a.raised_at OPERATOR(pg_catalog.<=) $6 AND t.until OPERATOR(pg_catalog.>) $6",
	6, {USER_IDS, INT8ARRAYOID, NUMERICARRAYOID, TIMESTAMPTZARRAYOID, INTERVALARRAYOID, TIMESTAMPTZOID}
};

/* A user who was erased since is not known any more. */
static Statement insert_alerts = {
	"INSERT INTO @extschema@.usage_alerts AS a (user_id, kind, limit_type, limit_id, window_start, window_end,"
	" threshold, used, max_usage, event_id, raised_at)"
	" SELECT n.user_id, 'threshold', n.limit_type, n.limit_id, n.window_start, n.window_end,"
	" n.threshold, n.used, n.max_usage, n.event_id, $10"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),"
	" pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9))"
	" AS n (user_id, limit_id, threshold, window_start, window_end, limit_type, used, max_usage, event_id)"
	" WHERE EXISTS (SELECT FROM @extschema@.user_subscriptions AS s WHERE s.user_id OPERATOR(pg_catalog.=) n.user_id)"
	" ORDER BY n.user_id, n.limit_id, n.threshold, n.window_start"
	" ON CONFLICT (user_id, limit_id, threshold, window_start) WHERE kind OPERATOR(pg_catalog.=) 'threshold'"
	" DO NOTHING RETURNING a.id",
	10, {USER_IDS, INT8ARRAYOID, NUMERICARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID,
	NUMERICARRAYOID, NUMERICARRAYOID, INT8ARRAYOID, TIMESTAMPTZOID}
};

/*
 * How many of them are not there yet.  An alert committed since the snapshot of
 * a REPEATABLE READ transaction is found as well, and costs it no failure.
 */
static int
drop_needless(NotedAlert **alerts, int n, TimestampTz now)
{
	Oid			users = present_installation()->user_id_type;
	Datum		args[] = {
		column_array((void *const *) alerts, n, column_user_id, users),
		column_array((void *const *) alerts, n, column_limit_id, INT8OID),
		column_array((void *const *) alerts, n, column_threshold, NUMERICOID),
		column_array((void *const *) alerts, n, column_window_start, TIMESTAMPTZOID),
		column_array((void *const *) alerts, n, column_throttle, INTERVALOID),
		TimestampTzGetDatum(now)
	};
	uint64		began = begin_to_remember_alerts();
	uint64		rows = statement_look_afresh(&find_alerts, args, NULL);
	int			left = 0;

	for (uint64 row = 0; row < rows; row++)
	{
		NotedAlert **alert = &alerts[result_int64(row, 1) - 1];

		if (*alert != NULL)
			remember_alert(&(*alert)->key, result_time(row, 2, DT_NOEND), began);
		*alert = NULL;
	}
	for (int i = 0; i < n; i++)
		if (alerts[i] != NULL)
			alerts[left++] = alerts[i];
	return left;
}

/* Only a hint to look: anybody may notify a channel. */
static void
announce(int64 id)
{
	Async_Notify(setting_alert_channel, psprintf(INT64_FORMAT, id));
}

static void
insert(NotedAlert **alerts, int n, TimestampTz now, bool may_notify)
{
	Oid			users = present_installation()->user_id_type;
	Datum		args[] = {
		column_array((void *const *) alerts, n, column_user_id, users),
		column_array((void *const *) alerts, n, column_limit_id, INT8OID),
		column_array((void *const *) alerts, n, column_threshold, NUMERICOID),
		column_array((void *const *) alerts, n, column_window_start, TIMESTAMPTZOID),
		column_array((void *const *) alerts, n, column_window_end, TIMESTAMPTZOID),
		column_array((void *const *) alerts, n, column_limit_type, TEXTOID),
		column_array((void *const *) alerts, n, column_used, NUMERICOID),
		column_array((void *const *) alerts, n, column_max_usage, NUMERICOID),
		column_array((void *const *) alerts, n, column_event_id, INT8OID),
		TimestampTzGetDatum(now)
	};
	uint64		rows = statement_write(&insert_alerts, args, NULL);

	if (may_notify && *setting_alert_channel != '\0')
		for (uint64 row = 0; row < rows; row++)
			announce(result_int64(row, 1));
}

/*
 * As the last thing before the commit; the caller is connected to SPI as the
 * owner.  PostgreSQL prepares no transaction that notifies.
 */
void
raise_alerts(NotedAlert **alerts, int n, bool may_notify)
{
	TimestampTz now = usage_now();

	n = drop_needless(alerts, n, now);
	if (n > 0)
		insert(alerts, n, now, may_notify);
}
