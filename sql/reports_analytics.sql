/* reports, what administrators ask: who uses most, what comes of it, what it costs.
 *
 * Asked for the last days up to one of them, by default today, in the zone of the
 * sums by day; answered from those sums and the events that are not in them yet.
 * As in sql/reports.sql, each question has a function in C that decides who may ask
 * (src/reports_analytics.c) and one with the answer, for the owner.
 */

/* ---- what the answers are made of ---- */

CREATE FUNCTION @extschema@._last_days(
    days integer, until date, at timestamptz, OUT zone text, OUT first_day date, OUT last_day date) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT p.zone, l.day - (days - 1), l.day
      FROM @extschema@._rollup_progress() AS p
     CROSS JOIN LATERAL (SELECT COALESCE($2, (at AT TIME ZONE p.zone)::date)) AS l (day);
END;
COMMENT ON FUNCTION @extschema@._last_days(integer, date, timestamptz) IS
'Internal: the zone of the sums by day, the first and the last of so many days';

/* The days of a window in a month, as bits: 0 is the first of the month. */
CREATE FUNCTION @extschema@._days_of_month(month date, first_day date, last_day date) RETURNS integer
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT (((1::bigint << LEAST(GREATEST(last_day + 1 - month, 0), 31)) - 1)
            & ~((1::bigint << LEAST(GREATEST(first_day - month, 0), 31)) - 1))::integer;
END;
COMMENT ON FUNCTION @extschema@._days_of_month(date, date, date) IS
'Internal: which days of a month are in a window';

/* Where the sums are of another cluster, only what is final is taken from them. */
CREATE FUNCTION @extschema@._active_days(
    first_day date, last_day date,
    OUT user_id @user_id@, OUT usage_type text, OUT month date, OUT active_days integer, OUT success_days integer) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT u.user_id, u.usage_type, u.month, pg_catalog.bit_or(u.active_days) & w.days, pg_catalog.bit_or(u.success_days) & w.days
      FROM (SELECT s.month::date, @extschema@._days_of_month(s.month::date, $1, $2)
              FROM pg_catalog.generate_series(pg_catalog.date_trunc('month', ($1 + '00:00'::time)), $2 + '00:00'::time,
                                              '1 month'::interval) AS s (month)) AS w (month, days)
      JOIN (SELECT m.user_id, m.usage_type, m.month, m.active_days, m.success_days
              FROM @extschema@.usage_user_months AS m
             WHERE m.month >= pg_catalog.date_trunc('month', ($1 + '00:00'::time))::date AND m.month <= $2
               AND (SELECT p.is_current FROM @extschema@._rollup_progress() AS p)
             UNION ALL
            SELECT a.user_id, a.usage_type, pg_catalog.date_trunc('month', (a.day + '00:00'::time))::date,
                   @extschema@._day_bit(a.day), CASE a.status WHEN 'success' THEN @extschema@._day_bit(a.day) ELSE 0 END
              FROM @extschema@.usage_aggregations AS a
             WHERE a.day >= $1 AND a.day <= $2 AND a.is_final AND NOT (SELECT p.is_current FROM @extschema@._rollup_progress() AS p)
             UNION ALL
            SELECT e.user_id, e.usage_type, pg_catalog.date_trunc('month', (e.day + '00:00'::time))::date,
                   @extschema@._day_bit(e.day), CASE e.status WHEN 'success' THEN @extschema@._day_bit(e.day) ELSE 0 END
              FROM @extschema@._uncounted_events($1, $2) AS e) AS u ON u.month = w.month
     GROUP BY u.user_id, u.usage_type, u.month, w.days
    HAVING pg_catalog.bit_or(u.active_days) & w.days <> 0;
END;
COMMENT ON FUNCTION @extschema@._active_days(date, date) IS
'Internal: on which days of a window who used what, a row for each month';

/* Of a month that is in the window for the most part, the sum is taken and the days
 * outside are taken off it; of another one, the days inside are added. */
CREATE FUNCTION @extschema@._whole_months(
    first_day date, last_day date, today date, OUT begins date, OUT ends date) RETURNS SETOF record
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT f.month, l.month
      FROM (SELECT (pg_catalog.date_trunc('month', ($1 + '00:00'::time))
                    + CASE WHEN EXTRACT(day FROM $1) > 16 THEN '1 month'::interval ELSE '0'::interval END)::date) AS f (month)
     CROSS JOIN (SELECT (pg_catalog.date_trunc('month', ($2 + '00:00'::time))
                         + CASE WHEN EXTRACT(day FROM $2) > 15 OR $2 >= $3 THEN '1 month'::interval ELSE '0'::interval END)::date) AS l (month)
     WHERE f.month < l.month
     UNION ALL
    SELECT $1, $1 LIMIT 1;
END;
COMMENT ON FUNCTION @extschema@._whole_months(date, date, date) IS
'Internal: from which month up to which other one, without it, sums by month are taken for a window; the same day if none';

CREATE FUNCTION @extschema@._sums_of_users(
    first_day date, last_day date, today date,
    OUT user_id @user_id@, OUT usage_type text, OUT uses numeric, OUT failed numeric, OUT quantity numeric, OUT tokens numeric,
    OUT cost numeric, OUT unpriced numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT m.user_id, m.usage_type, m.uses, m.failed, m.quantity, m.tokens, m.cost, m.unpriced
      FROM @extschema@._whole_months($1, $2, $3) AS w
      JOIN @extschema@.usage_user_months AS m ON m.month >= w.begins AND m.month < w.ends
     WHERE (SELECT p.is_current FROM @extschema@._rollup_progress() AS p)
     UNION ALL
    SELECT a.user_id, a.usage_type, CASE a.status WHEN 'success' THEN d.sign * a.events ELSE 0 END,
           CASE a.status WHEN 'success' THEN 0 ELSE d.sign * a.events END, d.sign * a.quantity, d.sign * a.tokens,
           d.sign * a.cost, d.sign * a.unpriced
      FROM @extschema@._whole_months($1, $2, $3) AS w
     CROSS JOIN LATERAL (VALUES (1, $1, LEAST($2, w.begins - 1)), (1, GREATEST($1, w.ends), $2),
                                (-1, w.begins, $1 - 1), (-1, $2 + 1, w.ends - 1)) AS d (sign, first_day, last_day)
      JOIN @extschema@.usage_aggregations AS a ON a.day >= d.first_day AND a.day <= d.last_day
     WHERE (SELECT p.is_current FROM @extschema@._rollup_progress() AS p)
     UNION ALL
    SELECT a.user_id, a.usage_type, CASE a.status WHEN 'success' THEN a.events ELSE 0 END,
           CASE a.status WHEN 'success' THEN 0 ELSE a.events END, a.quantity, a.tokens, a.cost, a.unpriced
      FROM @extschema@.usage_aggregations AS a
     WHERE a.day >= $1 AND a.day <= $2 AND a.is_final AND NOT (SELECT p.is_current FROM @extschema@._rollup_progress() AS p)
     UNION ALL
    SELECT e.user_id, e.usage_type, CASE e.status WHEN 'success' THEN e.events ELSE 0 END,
           CASE e.status WHEN 'success' THEN 0 ELSE e.events END, e.quantity, e.tokens, e.cost, e.unpriced
      FROM @extschema@._uncounted_events($1, $2) AS e;
END;
COMMENT ON FUNCTION @extschema@._sums_of_users(date, date, date) IS
'Internal: what every user used of each type in a window, for adding up';

CREATE FUNCTION @extschema@._ratio(amount numeric, of numeric, decimals integer) RETURNS numeric
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN of > 0 THEN pg_catalog.round(amount / of, decimals) END;
END;
COMMENT ON FUNCTION @extschema@._ratio(numeric, numeric, integer) IS
'Internal: one number divided by another and rounded, NULL if there is nothing to divide by';

/* ---- who uses most ---- */

/* Of a resource there are no sums: its events are read. */
CREATE FUNCTION @extschema@._uses_of_users(
    usage_type text, first_day date, last_day date, zone text, today date, resource_type text, resource_id text,
    OUT user_id @user_id@, OUT uses numeric, OUT failed numeric, OUT quantity numeric, OUT tokens numeric,
    OUT cost numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT d.user_id, d.uses, d.failed, d.quantity, d.tokens, d.cost
      FROM @extschema@._sums_of_users($2, $3, today) AS d
     WHERE $6 IS NULL AND $7 IS NULL AND ($1 IS NULL OR d.usage_type = $1)
     UNION ALL
    SELECT e.user_id, CASE WHEN COALESCE(e.corrected_status, e.status) = 'success' THEN COALESCE(e.corrected_events, 1) ELSE 0 END,
           CASE WHEN COALESCE(e.corrected_status, e.status) = 'success' THEN 0 ELSE COALESCE(e.corrected_events, 1) END,
           e.quantity, e.tokens::numeric, COALESCE(e.cost, 0)
      FROM @extschema@.usage_events AS e
      LEFT JOIN @extschema@.usage_events AS c  -- a correction does not name the resource
        ON c.user_id = e.user_id AND c.occurred_at = e.occurred_at AND c.id = e.corrects
     WHERE ($6 IS NOT NULL OR $7 IS NOT NULL) AND ($1 IS NULL OR e.usage_type = $1)
       AND ($6 IS NULL OR COALESCE(c.resource_type, e.resource_type) = $6)
       AND ($7 IS NULL OR COALESCE(c.resource_id, e.resource_id) = $7)
       AND e.corrected_limit IS NULL
       AND e.occurred_at >= ($2 + '00:00'::time) AT TIME ZONE zone AND e.occurred_at < ($3 + 1 + '00:00'::time) AT TIME ZONE zone;
END;
COMMENT ON FUNCTION @extschema@._uses_of_users(text, date, date, text, date, text, text) IS
'Internal: what users used on some days, of a type or a resource if one is named, for adding up';

/* The last use is looked for among events: NULL once retention has dropped it. */
CREATE FUNCTION @extschema@._get_top_users(
    usage_type text, days integer, measure text, max_rows integer, last_day date, resource_type text, resource_id text,
    at timestamptz,
    OUT user_id @user_id@, OUT uses bigint, OUT failed bigint, OUT quantity numeric, OUT tokens numeric, OUT cost numeric,
    OUT last_used timestamptz) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT t.user_id, t.uses::bigint, t.failed::bigint, pg_catalog.trim_scale(t.quantity), t.tokens, pg_catalog.trim_scale(t.cost), l.used
      FROM @extschema@._last_days($2, $5, at) AS r
     CROSS JOIN LATERAL (
           SELECT u.*, CASE $3 WHEN 'uses' THEN u.uses WHEN 'quantity' THEN u.quantity WHEN 'tokens' THEN u.tokens ELSE u.cost END AS rank
             FROM (SELECT d.user_id, pg_catalog.sum(d.uses) AS uses, pg_catalog.sum(d.failed) AS failed,
                          pg_catalog.sum(d.quantity) AS quantity, pg_catalog.sum(d.tokens) AS tokens, pg_catalog.sum(d.cost) AS cost
                     FROM @extschema@._uses_of_users($1, r.first_day, r.last_day, r.zone, (at AT TIME ZONE r.zone)::date, $6, $7) AS d
                    GROUP BY d.user_id) AS u
            WHERE u.uses <> 0 OR u.failed <> 0 OR u.quantity <> 0 OR u.tokens <> 0 OR u.cost <> 0
            ORDER BY rank DESC, u.user_id
            LIMIT $4) AS t
      LEFT JOIN LATERAL (
           SELECT e.occurred_at AS used
             FROM @extschema@.usage_events AS e
            WHERE e.user_id = t.user_id AND e.status = 'success' AND ($1 IS NULL OR e.usage_type = $1)
              AND ($6 IS NULL OR e.resource_type = $6) AND ($7 IS NULL OR e.resource_id = $7)
              AND e.occurred_at >= (r.first_day + '00:00'::time) AT TIME ZONE r.zone
              AND e.occurred_at < (r.last_day + 1 + '00:00'::time) AT TIME ZONE r.zone
            ORDER BY e.occurred_at DESC LIMIT 1) AS l ON true
     ORDER BY t.rank DESC, t.user_id;
END;
COMMENT ON FUNCTION @extschema@._get_top_users(text, integer, text, integer, date, text, text, timestamptz) IS
'Internal: the answer of get_top_users()';

CREATE FUNCTION @extschema@.get_top_users(
    usage_type text DEFAULT NULL, days integer DEFAULT 30, measure text DEFAULT 'uses', max_rows integer DEFAULT 100,
    last_day date DEFAULT NULL, resource_type text DEFAULT NULL, resource_id text DEFAULT NULL,
    OUT user_id @user_id@, OUT uses bigint, OUT failed bigint, OUT quantity numeric, OUT tokens numeric, OUT cost numeric,
    OUT last_used timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 100
AS 'MODULE_PATHNAME', 'ut_get_top_users';
COMMENT ON FUNCTION @extschema@.get_top_users(text, integer, text, integer, date, text, text) IS
'Who used most of a type in the last days, with the time of the last use; for admins and servers';

/* ---- how it went over time ---- */

CREATE FUNCTION @extschema@._count_days(active_days integer[]) RETURNS bigint[]
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_count_days';
COMMENT ON FUNCTION @extschema@._count_days(integer[]) IS
'Internal: in how many of these sets of days of a month each of its 31 days is';

CREATE FUNCTION @extschema@._get_usage_trends(
    days integer, last_day date, at timestamptz,
    OUT day date, OUT usage_type text, OUT events bigint, OUT failed bigint, OUT quantity numeric, OUT tokens numeric,
    OUT cost numeric, OUT unique_users bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH used AS (
        SELECT d.day, d.usage_type, pg_catalog.sum(d.events)::bigint AS events,
               COALESCE(pg_catalog.sum(d.events) FILTER (WHERE d.status <> 'success'), 0)::bigint AS failed,
               pg_catalog.sum(d.quantity) AS quantity, pg_catalog.sum(d.tokens) AS tokens, pg_catalog.sum(d.cost) AS cost
          FROM @extschema@._last_days($1, $2, at) AS r
         CROSS JOIN LATERAL @extschema@._days_of_all(r.first_day, r.last_day) AS d
         GROUP BY d.day, d.usage_type
    ), users AS (
        SELECT m.month + n.day::integer - 1 AS day, m.usage_type, n.users
          FROM (SELECT d.month, d.usage_type, @extschema@._count_days(pg_catalog.array_agg(d.active_days)) AS users
                  FROM @extschema@._last_days($1, $2, at) AS r
                 CROSS JOIN LATERAL @extschema@._active_days(r.first_day, r.last_day) AS d
                 GROUP BY d.month, d.usage_type) AS m
         CROSS JOIN LATERAL pg_catalog.unnest(m.users) WITH ORDINALITY AS n (users, day)
         WHERE n.users > 0
    )
    SELECT u.day, u.usage_type, u.events, u.failed, u.quantity, u.tokens, pg_catalog.trim_scale(u.cost), COALESCE(n.users, 0)
      FROM used AS u LEFT JOIN users AS n ON n.day = u.day AND n.usage_type = u.usage_type
     ORDER BY u.day, u.usage_type;
END;
COMMENT ON FUNCTION @extschema@._get_usage_trends(integer, date, timestamptz) IS
'Internal: the answer of get_usage_trends()';

CREATE FUNCTION @extschema@.get_usage_trends(
    days integer DEFAULT 30, last_day date DEFAULT NULL,
    OUT day date, OUT usage_type text, OUT events bigint, OUT failed bigint, OUT quantity numeric, OUT tokens numeric,
    OUT cost numeric, OUT unique_users bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 100
AS 'MODULE_PATHNAME', 'ut_get_usage_trends';
COMMENT ON FUNCTION @extschema@.get_usage_trends(integer, date) IS
'What was used of each type on each of the last days, and by how many users; for admins and servers';

CREATE FUNCTION @extschema@._funnel_depth(steps integer[], months date[], success_days integer[]) RETURNS integer
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_funnel_depth';
COMMENT ON FUNCTION @extschema@._funnel_depth(integer[], date[], integer[]) IS
'Internal: how many steps a user took in their order, whose days of each step and month are given as bits';

/* A user takes a step on the first day on which he did so with success and which is
 * not before the step above it. */
CREATE FUNCTION @extschema@._get_conversion_funnel(
    steps text[], days integer, last_day date, at timestamptz,
    OUT step integer, OUT name text, OUT users bigint, OUT percent numeric, OUT percent_of_previous numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH reached AS MATERIALIZED (
        SELECT u.depth, pg_catalog.count(*) AS users
          FROM (SELECT @extschema@._funnel_depth(pg_catalog.array_agg(s.step::integer), pg_catalog.array_agg(d.month),
                                                 pg_catalog.array_agg(d.success_days)) AS depth
                  FROM @extschema@._last_days($2, $3, at) AS r
                 CROSS JOIN LATERAL @extschema@._active_days(r.first_day, r.last_day) AS d
                  JOIN pg_catalog.unnest($1) WITH ORDINALITY AS s (usage_type, step) ON s.usage_type = d.usage_type
                 WHERE d.success_days <> 0
                 GROUP BY d.user_id) AS u
         GROUP BY u.depth
    ), counted AS (
        SELECT 0::bigint AS step, 'registered' AS name,
               COALESCE(@extschema@._registered_users(), (SELECT pg_catalog.count(*) FROM @extschema@.user_subscriptions AS s)) AS users
         UNION ALL
        SELECT s.step, s.usage_type, (SELECT COALESCE(pg_catalog.sum(b.users), 0)::bigint FROM reached AS b WHERE b.depth >= s.step)
          FROM pg_catalog.unnest($1) WITH ORDINALITY AS s (usage_type, step)
    )
    SELECT c.step::integer, c.name, c.users,
           @extschema@._ratio(c.users * 100::numeric, pg_catalog.first_value(c.users) OVER (ORDER BY c.step), 2),
           @extschema@._ratio(c.users * 100::numeric, pg_catalog.lag(c.users) OVER (ORDER BY c.step), 2)
      FROM counted AS c
     ORDER BY c.step;
END;
COMMENT ON FUNCTION @extschema@._get_conversion_funnel(text[], integer, date, timestamptz) IS
'Internal: the answer of get_conversion_funnel()';

CREATE FUNCTION @extschema@.get_conversion_funnel(
    steps text[] DEFAULT NULL, days integer DEFAULT 30, last_day date DEFAULT NULL,
    OUT step integer, OUT name text, OUT users bigint, OUT percent numeric, OUT percent_of_previous numeric) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 5
AS 'MODULE_PATHNAME', 'ut_get_conversion_funnel';
COMMENT ON FUNCTION @extschema@.get_conversion_funnel(text[], integer, date) IS
'How many users registered, and how many of them took these steps in this order in the last days; for admins and servers';

/* Sums know no subtype: for those, events are read. */
CREATE FUNCTION @extschema@._get_error_rates(
    days integer, detail text, last_day date, at timestamptz,
    OUT usage_type text, OUT provider text, OUT model text, OUT event_subtype text, OUT events bigint, OUT failed bigint,
    OUT cancelled bigint, OUT rate_limited bigint, OUT error_rate numeric, OUT is_small_sample boolean,
    OUT duration_ms_mean numeric, OUT duration_ms_max bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT g.usage_type, NULLIF(g.provider, ''), NULLIF(g.model, ''), g.event_subtype, g.events, g.failed, g.cancelled,
           g.rate_limited, @extschema@._ratio(g.failed * 100::numeric, g.events, 2), g.events <= 10,
           @extschema@._ratio(g.duration_ms_sum, g.duration_count, 3), g.duration_ms_max
      FROM (SELECT d.usage_type, d.provider, d.model, d.event_subtype, pg_catalog.sum(d.events)::bigint AS events,
                   COALESCE(pg_catalog.sum(d.events) FILTER (WHERE d.status = 'failed'), 0)::bigint AS failed,
                   COALESCE(pg_catalog.sum(d.events) FILTER (WHERE d.status = 'cancelled'), 0)::bigint AS cancelled,
                   COALESCE(pg_catalog.sum(d.events) FILTER (WHERE d.status = 'rate_limited'), 0)::bigint AS rate_limited,
                   pg_catalog.sum(d.duration_ms_sum) AS duration_ms_sum, pg_catalog.sum(d.duration_count) AS duration_count,
                   pg_catalog.max(d.duration_ms_max) AS duration_ms_max
              FROM (SELECT s.usage_type, CASE detail WHEN 'model' THEN s.provider ELSE '' END AS provider,
                           CASE detail WHEN 'model' THEN s.model ELSE '' END AS model, NULL::text AS event_subtype, s.status, s.events,
                           s.duration_ms_sum, s.duration_count, s.duration_ms_max
                      FROM @extschema@._last_days($1, $3, at) AS r
                     CROSS JOIN LATERAL @extschema@._days_of_all(r.first_day, r.last_day) AS s
                     WHERE detail <> 'subtype'
                     UNION ALL
                    SELECT e.usage_type, '', '', COALESCE(c.event_subtype, e.event_subtype), COALESCE(e.corrected_status, e.status),
                           COALESCE(e.corrected_events, 1), COALESCE(e.duration_ms, 0),
                           CASE WHEN e.duration_ms IS NULL THEN 0 ELSE 1 END, e.duration_ms
                      FROM @extschema@._last_days($1, $3, at) AS r
                     CROSS JOIN @extschema@.usage_events AS e
                      LEFT JOIN @extschema@.usage_events AS c
                        ON c.user_id = e.user_id AND c.occurred_at = e.occurred_at AND c.id = e.corrects
                     WHERE detail = 'subtype' AND e.corrected_limit IS NULL
                       AND e.occurred_at >= (r.first_day + '00:00'::time) AT TIME ZONE r.zone
                       AND e.occurred_at < (r.last_day + 1 + '00:00'::time) AT TIME ZONE r.zone) AS d
             GROUP BY d.usage_type, d.provider, d.model, d.event_subtype) AS g
     ORDER BY g.events DESC, g.usage_type, g.provider, g.model, g.event_subtype;
END;
COMMENT ON FUNCTION @extschema@._get_error_rates(integer, text, date, timestamptz) IS
'Internal: the answer of get_error_rates()';

CREATE FUNCTION @extschema@.get_error_rates(
    days integer DEFAULT 7, detail text DEFAULT 'model', last_day date DEFAULT NULL,
    OUT usage_type text, OUT provider text, OUT model text, OUT event_subtype text, OUT events bigint, OUT failed bigint,
    OUT cancelled bigint, OUT rate_limited bigint, OUT error_rate numeric, OUT is_small_sample boolean,
    OUT duration_ms_mean numeric, OUT duration_ms_max bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 20
AS 'MODULE_PATHNAME', 'ut_get_error_rates';
COMMENT ON FUNCTION @extschema@.get_error_rates(integer, text, date) IS
'How much of each operation failed in the last days, and how long it took; for admins and servers';

/* ---- what it costs ---- */

CREATE FUNCTION @extschema@._get_cost_breakdown(
    dimension text, days integer, last_day date, max_rows integer, at timestamptz,
    OUT usage_type text, OUT provider text, OUT model text, OUT user_id @user_id@, OUT campaign_id text, OUT events bigint,
    OUT tokens numeric, OUT cost numeric, OUT percent numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT g.usage_type, NULLIF(g.provider, ''), NULLIF(g.model, ''), g.user_id, g.campaign_id, g.events, g.tokens,
           pg_catalog.trim_scale(g.cost),
           @extschema@._ratio(g.cost * 100, pg_catalog.sum(g.cost) OVER (), 1), g.unpriced
      FROM (SELECT d.usage_type, d.provider, d.model, d.user_id, d.campaign_id, pg_catalog.sum(d.events)::bigint AS events,
                   pg_catalog.sum(d.tokens) AS tokens, pg_catalog.sum(d.cost) AS cost, pg_catalog.sum(d.unpriced)::bigint AS unpriced
              FROM (SELECT CASE dimension WHEN 'type' THEN s.usage_type END AS usage_type,
                           CASE WHEN dimension = 'model' OR dimension = 'provider' THEN s.provider END AS provider,
                           CASE dimension WHEN 'model' THEN s.model END AS model,
                           NULL::@user_id_column@ AS user_id, NULL AS campaign_id, s.events, s.tokens, s.cost, s.unpriced
                      FROM @extschema@._last_days($2, $3, at) AS r
                     CROSS JOIN LATERAL @extschema@._days_of_all(r.first_day, r.last_day) AS s
                     WHERE dimension <> 'campaign'
                     UNION ALL
                    SELECT NULL, NULL, NULL, a.user_id, a.campaign_id, a.events, a.tokens, a.cost, a.unpriced
                      FROM @extschema@._last_days($2, $3, at) AS r
                      JOIN @extschema@.usage_aggregations AS a ON a.day >= r.first_day AND a.day <= r.last_day
                     WHERE dimension = 'campaign' AND a.campaign_id <> ''
                       AND (a.is_final OR (SELECT p.is_current FROM @extschema@._rollup_progress() AS p))
                     UNION ALL
                    SELECT NULL, NULL, NULL, e.user_id, e.campaign_id, e.events, e.tokens, e.cost, e.unpriced
                      FROM @extschema@._last_days($2, $3, at) AS r
                     CROSS JOIN LATERAL @extschema@._uncounted_events(r.first_day, r.last_day) AS e
                     WHERE dimension = 'campaign' AND e.campaign_id <> '') AS d
             GROUP BY d.usage_type, d.provider, d.model, d.user_id, d.campaign_id) AS g
     ORDER BY g.cost DESC, g.events DESC, g.usage_type, g.provider, g.model, g.user_id, g.campaign_id
     LIMIT $4;
END;
COMMENT ON FUNCTION @extschema@._get_cost_breakdown(text, integer, date, integer, timestamptz) IS
'Internal: the answer of get_cost_breakdown()';

CREATE FUNCTION @extschema@.get_cost_breakdown(
    dimension text DEFAULT 'model', days integer DEFAULT 30, last_day date DEFAULT NULL, max_rows integer DEFAULT 100,
    OUT usage_type text, OUT provider text, OUT model text, OUT user_id @user_id@, OUT campaign_id text, OUT events bigint,
    OUT tokens numeric, OUT cost numeric, OUT percent numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 20
AS 'MODULE_PATHNAME', 'ut_get_cost_breakdown';
COMMENT ON FUNCTION @extschema@.get_cost_breakdown(text, integer, date, integer) IS
'What was spent in the last days by model, provider, type or campaign, the dearest first; for admins and servers';

/* The row without a type is of all types. */
CREATE FUNCTION @extschema@._get_unit_costs(
    days integer, last_day date, at timestamptz,
    OUT usage_type text, OUT users bigint, OUT events bigint, OUT quantity numeric, OUT cost numeric,
    OUT cost_per_user numeric, OUT cost_per_event numeric, OUT cost_per_unit numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH used AS (
        SELECT d.usage_type, pg_catalog.sum(d.events)::bigint AS events, pg_catalog.sum(d.quantity) AS quantity,
               pg_catalog.sum(d.cost) AS cost, pg_catalog.sum(d.unpriced)::bigint AS unpriced
          FROM @extschema@._last_days($1, $2, at) AS r
         CROSS JOIN LATERAL @extschema@._days_of_all(r.first_day, r.last_day) AS d
         GROUP BY GROUPING SETS ((d.usage_type), ())
    ), users AS (
        SELECT d.usage_type, pg_catalog.count(DISTINCT d.user_id) AS users
          FROM @extschema@._last_days($1, $2, at) AS r
         CROSS JOIN LATERAL @extschema@._active_days(r.first_day, r.last_day) AS d
         GROUP BY GROUPING SETS ((d.usage_type), ())
    )
    SELECT n.usage_type, n.users, u.events, u.quantity, pg_catalog.trim_scale(u.cost),
           pg_catalog.trim_scale(@extschema@._ratio(u.cost, n.users, 12)),
           pg_catalog.trim_scale(@extschema@._ratio(u.cost, u.events, 12)),
           pg_catalog.trim_scale(@extschema@._ratio(u.cost, u.quantity, 12)), u.unpriced
      FROM users AS n JOIN used AS u ON COALESCE(u.usage_type, '') = COALESCE(n.usage_type, '')
     WHERE n.users > 0
     ORDER BY n.usage_type NULLS FIRST;
END;
COMMENT ON FUNCTION @extschema@._get_unit_costs(integer, date, timestamptz) IS
'Internal: the answer of get_unit_costs()';

CREATE FUNCTION @extschema@.get_unit_costs(
    days integer DEFAULT 30, last_day date DEFAULT NULL,
    OUT usage_type text, OUT users bigint, OUT events bigint, OUT quantity numeric, OUT cost numeric,
    OUT cost_per_user numeric, OUT cost_per_event numeric, OUT cost_per_unit numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 10
AS 'MODULE_PATHNAME', 'ut_get_unit_costs';
COMMENT ON FUNCTION @extschema@.get_unit_costs(integer, date) IS
'What a user, an event and a unit cost on average in the last days, of all types and of each; for admins and servers';

CREATE FUNCTION @extschema@._get_cost_forecast(
    at timestamptz,
    OUT month date, OUT month_to_date numeric, OUT elapsed_share numeric, OUT forecast numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT m.first_day, pg_catalog.trim_scale(u.cost), pg_catalog.round(e.elapsed / e.whole, 6),
           pg_catalog.trim_scale(@extschema@._ratio(u.cost * e.whole, e.elapsed, 6)), u.unpriced
      FROM @extschema@._rollup_progress() AS p
     CROSS JOIN LATERAL (SELECT pg_catalog.date_trunc('month', at AT TIME ZONE p.zone)) AS b (began)
     CROSS JOIN LATERAL (SELECT b.began::date AS first_day, b.began AT TIME ZONE p.zone AS start_instant,
                                (b.began + '1 month'::interval) AT TIME ZONE p.zone AS end_instant) AS m
     CROSS JOIN LATERAL (SELECT EXTRACT(epoch FROM at - m.start_instant) AS elapsed,
                                EXTRACT(epoch FROM m.end_instant - m.start_instant) AS whole) AS e
     CROSS JOIN LATERAL (SELECT COALESCE(pg_catalog.sum(d.cost), 0) AS cost, COALESCE(pg_catalog.sum(d.unpriced), 0)::bigint AS unpriced
                           FROM @extschema@._days_of_all(m.first_day, (at AT TIME ZONE p.zone)::date) AS d) AS u;
END;
COMMENT ON FUNCTION @extschema@._get_cost_forecast(timestamptz) IS
'Internal: the answer of get_cost_forecast()';

CREATE FUNCTION @extschema@.get_cost_forecast(
    OUT month date, OUT month_to_date numeric, OUT elapsed_share numeric, OUT forecast numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 1
AS 'MODULE_PATHNAME', 'ut_get_cost_forecast';
COMMENT ON FUNCTION @extschema@.get_cost_forecast() IS
'What this month will have cost if it goes on like this: what it cost so far, divided by the share of it that is over; for admins and servers';

/* ---- who is near a limit ---- */

/* No less than what a user used in his present window of a limit.  A counter tells,
 * if there is one for that window; else it is all he used since a day on which the
 * window cannot have begun yet. */
CREATE FUNCTION @extschema@._used_at_most(
    at timestamptz, today date, OUT user_id @user_id@, OUT limit_id bigint, OUT used numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    WITH counted AS MATERIALIZED (
        SELECT c.user_id, c.limit_id, pg_catalog.sum(c.used) AS used
          FROM @extschema@._counted_usage() AS c
         WHERE c.window_start <= at AND c.window_end > at
         GROUP BY c.user_id, c.limit_id
    ), limits AS MATERIALIZED (
        SELECT l.limit_id, l.usage_type, l.measure, l.period IS NOT NULL AND l.period <= '1 day'::interval AS is_short, l.period IS NULL AS is_long,
               CASE WHEN l.period IS NULL THEN '0001-01-01'
                    WHEN l.period <= '1 day'::interval THEN $2 - 2
                    WHEN l.window_kind = 'sliding'
                    THEN pg_catalog.date_trunc('month', ($2 - 2 + '00:00'::time) - EXTRACT(epoch FROM l.period) * '1.02 seconds'::interval)::date
                    ELSE pg_catalog.date_trunc('month', ($2 - 2 + '00:00'::time) - l.period)::date END AS since
          FROM @extschema@.usage_limits AS l
         WHERE l.window_kind = ANY (ARRAY['calendar', 'anchored', 'billing', 'lifetime', 'sliding'])
    ), used AS (
        SELECT l.limit_id, l.measure, m.user_id, m.uses + m.failed AS events, m.quantity, m.tokens, m.cost
          FROM limits AS l
          JOIN @extschema@.usage_user_months AS m ON m.month >= l.since AND (l.usage_type IS NULL OR m.usage_type = l.usage_type)
         WHERE NOT l.is_short
         UNION ALL
        SELECT l.limit_id, l.measure, a.user_id, a.events, a.quantity, a.tokens, a.cost
          FROM limits AS l
          JOIN @extschema@.usage_aggregations AS a ON a.day >= l.since AND (l.usage_type IS NULL OR a.usage_type = l.usage_type)
         WHERE l.is_short
         UNION ALL
        SELECT l.limit_id, l.measure, e.user_id, e.events, e.quantity, e.tokens, e.cost
          FROM limits AS l
          JOIN @extschema@._uncounted_events('0001-01-01', '9999-12-31') AS e
            ON e.day >= l.since AND (l.usage_type IS NULL OR e.usage_type = l.usage_type)
         UNION ALL
        SELECT l.limit_id, l.measure, c.user_id, c.events, c.quantity, c.tokens, c.cost
          FROM limits AS l
          JOIN @extschema@.usage_carried AS c ON c.limit_id = 0 AND (l.usage_type IS NULL OR c.usage_type = l.usage_type)
         WHERE l.is_long
    )
    SELECT c.user_id, c.limit_id, c.used
      FROM counted AS c
     UNION ALL
    SELECT u.user_id, u.limit_id, pg_catalog.sum(CASE u.measure WHEN 'events' THEN u.events WHEN 'quantity' THEN u.quantity
                                                                WHEN 'tokens' THEN u.tokens ELSE u.cost END)
      FROM used AS u
     WHERE NOT EXISTS (SELECT FROM counted AS c WHERE c.user_id = u.user_id AND c.limit_id = u.limit_id)
     GROUP BY u.user_id, u.limit_id;
END;
COMMENT ON FUNCTION @extschema@._used_at_most(timestamptz, date) IS
'Internal: a bound of what each user used of each limit that is counted';

/* No maximum that may be in force for a user is below the least of those that are
 * named here: first of all that there are of a limit, which leaves few users.  What is
 * shown is rounded to a tenth. */
CREATE FUNCTION @extschema@._percent_at_most(
    percent numeric, at timestamptz, OUT user_id @user_id@, OUT percent_at_most numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    WITH limits AS MATERIALIZED (
        SELECT l.limit_id, l.limit_type, l.max_usage, t.max_usage AS temporary,
               pg_catalog.strpos(pg_catalog.current_setting('usage_tracking.limit_overrides'), l.limit_type) > 0 AS is_overridden,
               LEAST(NULLIF(l.max_usage, -1), t.max_usage,
                     (SELECT pg_catalog.min(p.max_usage) FROM @extschema@.plan_limits AS p
                       WHERE p.limit_type = l.limit_type AND p.max_usage >= 0)) AS least
          FROM @extschema@.usage_limits AS l
          LEFT JOIN (SELECT t.limit_type, pg_catalog.min(t.max_usage) AS max_usage
                       FROM @extschema@.temporary_limits AS t WHERE t.max_usage >= 0 GROUP BY t.limit_type) AS t
            ON t.limit_type = l.limit_type
    )
    SELECT m.user_id, pg_catalog.max(CASE WHEN m.max_usage = 0 THEN 'Infinity'::numeric ELSE m.used * 100 / m.max_usage END)
      FROM (SELECT u.user_id, u.used,
                   CASE WHEN l.is_overridden THEN 0
                        ELSE LEAST(NULLIF(o.max_usage, -1), NULLIF(COALESCE(p.max_usage, l.max_usage), -1),
                                   NULLIF(COALESCE(d.max_usage, l.max_usage), -1), l.temporary) END AS max_usage
              FROM (SELECT b.user_id, b.limit_id, b.used
                      FROM @extschema@._rollup_progress() AS r
                     CROSS JOIN LATERAL @extschema@._used_at_most(at, (at AT TIME ZONE r.zone)::date) AS b
                     UNION ALL
                    SELECT v.user_id, l.limit_id, v.level
                      FROM @extschema@.usage_levels AS v JOIN limits AS l ON l.limit_type = v.limit_type) AS u
              JOIN limits AS l ON l.limit_id = u.limit_id
              LEFT JOIN @extschema@.user_limits AS o ON o.user_id = u.user_id AND o.limit_type = l.limit_type
              LEFT JOIN @extschema@.user_subscriptions AS s ON s.user_id = u.user_id
              LEFT JOIN @extschema@.plan_limits AS p ON p.plan = s.plan AND p.limit_type = l.limit_type
              LEFT JOIN @extschema@.plan_limits AS d
                ON d.plan = pg_catalog.current_setting('usage_tracking.default_plan') AND d.limit_type = l.limit_type
             WHERE u.used > 0 AND (l.is_overridden OR u.used * 100 >= ($1 - 0.05) * LEAST(l.least, NULLIF(o.max_usage, -1)))
             UNION ALL  -- how much is reserved or leased, is not asked here
            SELECT h.user_id, 1, 0 FROM @extschema@.usage_reservations AS h WHERE h.state = 'held' AND h.expires_at > at
             UNION ALL
            SELECT h.user_id, 1, 0 FROM @extschema@.usage_leases AS h WHERE h.released_at IS NULL
             UNION ALL  -- his windows were moved: a counter may be one of before, and the sums know no adjustments
            SELECT h.user_id, 1, 0
              FROM @extschema@.usage_changes AS h
             WHERE h.changed_at >= (SELECT at - '1 day'::interval - pg_catalog.max(CASE l.window_kind WHEN 'billing' THEN '1 year' ELSE l.period END)
                                      FROM @extschema@.usage_limits AS l
                                     WHERE l.window_kind = ANY (ARRAY['calendar', 'anchored', 'billing']))
               AND h.user_id IS NOT NULL AND h.table_name = 'user_subscriptions' AND h.action <> 'INSERT'
               AND (h.old -> 'time_zone' IS DISTINCT FROM h.new -> 'time_zone' OR h.old -> 'anchor' IS DISTINCT FROM h.new -> 'anchor'
                    OR (h.old -> 'billing_period_start' IS DISTINCT FROM h.new -> 'billing_period_start'
                        AND h.old -> 'billing_period_end' IS DISTINCT FROM h.new -> 'billing_period_start'))) AS m
     GROUP BY m.user_id;
END;
COMMENT ON FUNCTION @extschema@._percent_at_most(numeric, timestamptz) IS
'Internal: a bound of how near users are to any of their limits, of all who may be as near as that';

/* To compute the limits of all users would take long: those who may be nearest come
 * first, until nobody who is left can be among the nearest. */
CREATE FUNCTION @extschema@._get_users_near_limit(
    percent numeric, max_rows integer, at timestamptz,
    OUT user_id @user_id@, OUT plan text, OUT limit_type text, OUT measure text, OUT used numeric, OUT max_usage numeric,
    OUT percent_used numeric, OUT reset_at timestamptz) RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    next record;
    near jsonb := '[]';
BEGIN
    FOR next IN
        SELECT array_agg(o.user_id) AS users, max(o.percent) AS at_most
          FROM (SELECT b.user_id, b.percent_at_most AS percent,
                       (row_number() OVER (ORDER BY b.percent_at_most DESC, b.user_id) - 1) / 100 AS batch
                  FROM @extschema@._percent_at_most($1, $3) AS b WHERE round(b.percent_at_most, 1) >= $1) AS o
         GROUP BY o.batch ORDER BY o.batch
    LOOP
        EXIT WHEN (SELECT count(*) FROM jsonb_to_recordset(near) AS n (percent numeric) WHERE n.percent > round(next.at_most, 1)) >= $2;
        near := (SELECT COALESCE(jsonb_agg(n.row), '[]')
                   FROM (SELECT r.row FROM (SELECT e.row FROM jsonb_array_elements(near) AS e (row)
                                             UNION ALL
                                            SELECT to_jsonb(w) || jsonb_build_object('user_id', u.id)
                                              FROM unnest(next.users) AS u (id) CROSS JOIN LATERAL @extschema@._usage_of_user(u.id) AS w
                                             WHERE w.percent >= $1 AND w.used > 0) AS r
                          ORDER BY (r.row ->> 'percent')::numeric DESC, (r.row ->> 'user_id')::@user_id@, r.row ->> 'limit_type'
                          LIMIT $2) AS n);
    END LOOP;
    RETURN QUERY
        SELECT n.user_id, n.plan, n.limit_type, n.measure, n.used, n.max_usage, n.percent, n.reset_at
          FROM jsonb_to_recordset(near) AS n (user_id @user_id@, plan text, limit_type text, measure text, used numeric,
                                              max_usage numeric, percent numeric, reset_at timestamptz)
         ORDER BY n.percent DESC, n.user_id, n.limit_type;
END
$$;
COMMENT ON FUNCTION @extschema@._get_users_near_limit(numeric, integer, timestamptz) IS
'Internal: the answer of get_users_near_limit()';

CREATE FUNCTION @extschema@.get_users_near_limit(
    percent numeric DEFAULT 80, max_rows integer DEFAULT 100,
    OUT user_id @user_id@, OUT plan text, OUT limit_type text, OUT measure text, OUT used numeric, OUT max_usage numeric,
    OUT percent_used numeric, OUT reset_at timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 100
AS 'MODULE_PATHNAME', 'ut_get_users_near_limit';
COMMENT ON FUNCTION @extschema@.get_users_near_limit(numeric, integer) IS
'Who has used at least so many percent of which limit, the nearest first; for admins and servers';
