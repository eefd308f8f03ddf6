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

CREATE FUNCTION @extschema@._days_of_users(
    first_day date, last_day date,
    OUT user_id @user_id@, OUT day date, OUT usage_type text, OUT campaign_id text, OUT status text, OUT events bigint,
    OUT quantity numeric, OUT tokens numeric, OUT cost numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT a.user_id, a.day, a.usage_type, a.campaign_id, a.status, a.events, a.quantity, a.tokens, a.cost, a.unpriced
      FROM @extschema@._rollup_progress() AS p
     CROSS JOIN @extschema@.usage_aggregations AS a
     WHERE a.day >= $1 AND a.day <= $2 AND (a.is_final OR p.is_current)
     UNION ALL
    SELECT e.user_id, e.day, e.usage_type, e.campaign_id, e.status, e.events, e.quantity, e.tokens, e.cost, e.unpriced
      FROM @extschema@._rollup_progress() AS p
     CROSS JOIN LATERAL @extschema@._event_amounts(p.zone) AS e
     WHERE @extschema@._is_uncounted(e.id, e.xact_id, p.floor_id, p.base_id, p.through, p.done_id, p.next_through)
       AND e.day >= $1 AND e.day <= $2;
END;
COMMENT ON FUNCTION @extschema@._days_of_users(date, date) IS
'Internal: sums of every user by day, and the events that are not in them, for adding up';

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
    usage_type text, first_day date, last_day date, zone text, resource_type text, resource_id text,
    OUT user_id @user_id@, OUT day date, OUT status text, OUT events bigint, OUT quantity numeric, OUT tokens numeric,
    OUT cost numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT d.user_id, d.day, d.status, d.events, d.quantity, d.tokens, d.cost
      FROM @extschema@._days_of_users($2, $3) AS d
     WHERE $5 IS NULL AND $6 IS NULL AND ($1 IS NULL OR d.usage_type = $1)
     UNION ALL
    SELECT e.user_id, (e.occurred_at AT TIME ZONE zone)::date, COALESCE(e.corrected_status, e.status),
           COALESCE(e.corrected_events, 1), e.quantity, e.tokens::numeric, COALESCE(e.cost, 0)
      FROM @extschema@.usage_events AS e
      LEFT JOIN @extschema@.usage_events AS c  -- a correction does not name the resource
        ON c.user_id = e.user_id AND c.occurred_at = e.occurred_at AND c.id = e.corrects
     WHERE ($5 IS NOT NULL OR $6 IS NOT NULL) AND ($1 IS NULL OR e.usage_type = $1)
       AND ($5 IS NULL OR COALESCE(c.resource_type, e.resource_type) = $5)
       AND ($6 IS NULL OR COALESCE(c.resource_id, e.resource_id) = $6)
       AND e.corrected_limit IS NULL
       AND e.occurred_at >= ($2 + '00:00'::time) AT TIME ZONE zone AND e.occurred_at < ($3 + 1 + '00:00'::time) AT TIME ZONE zone;
END;
COMMENT ON FUNCTION @extschema@._uses_of_users(text, date, date, text, text, text) IS
'Internal: what users used on some days, of a type or a resource if one is named, for adding up';

/* The last use is known by its day; its instant is found among the events of that
 * day, NULL once retention has dropped them. */
CREATE FUNCTION @extschema@._get_top_users(
    usage_type text, days integer, measure text, max_rows integer, last_day date, resource_type text, resource_id text,
    at timestamptz,
    OUT user_id @user_id@, OUT uses bigint, OUT failed bigint, OUT quantity numeric, OUT tokens numeric, OUT cost numeric,
    OUT last_day_used date, OUT last_used timestamptz) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT t.user_id, t.uses, t.failed, t.quantity, t.tokens, pg_catalog.trim_scale(t.cost), t.last_day, l.used
      FROM @extschema@._last_days($2, $5, at) AS r
     CROSS JOIN LATERAL (
           SELECT u.*
             FROM (SELECT d.user_id,
                          COALESCE(pg_catalog.sum(d.events) FILTER (WHERE d.status = 'success'), 0)::bigint AS uses,
                          COALESCE(pg_catalog.sum(d.events) FILTER (WHERE d.status <> 'success'), 0)::bigint AS failed,
                          pg_catalog.sum(d.quantity) AS quantity, pg_catalog.sum(d.tokens) AS tokens,
                          pg_catalog.sum(d.cost) AS cost,
                          pg_catalog.max(d.day) FILTER (WHERE d.status = 'success') AS last_day
                     FROM @extschema@._uses_of_users($1, r.first_day, r.last_day, r.zone, $6, $7) AS d
                    GROUP BY d.user_id) AS u
            ORDER BY CASE $3 WHEN 'uses' THEN u.uses WHEN 'quantity' THEN u.quantity
                             WHEN 'tokens' THEN u.tokens ELSE u.cost END DESC, u.user_id
            LIMIT $4) AS t
      LEFT JOIN LATERAL (
           SELECT pg_catalog.max(e.occurred_at) AS used
             FROM @extschema@.usage_events AS e
            WHERE e.user_id = t.user_id AND e.status = 'success' AND ($1 IS NULL OR e.usage_type = $1)
              AND ($6 IS NULL OR e.resource_type = $6) AND ($7 IS NULL OR e.resource_id = $7)
              AND e.occurred_at >= (t.last_day + '00:00'::time) AT TIME ZONE r.zone
              AND e.occurred_at < (t.last_day + 1 + '00:00'::time) AT TIME ZONE r.zone) AS l ON true
     ORDER BY CASE $3 WHEN 'uses' THEN t.uses WHEN 'quantity' THEN t.quantity
                      WHEN 'tokens' THEN t.tokens ELSE t.cost END DESC, t.user_id;
END;
COMMENT ON FUNCTION @extschema@._get_top_users(text, integer, text, integer, date, text, text, timestamptz) IS
'Internal: the answer of get_top_users()';

CREATE FUNCTION @extschema@.get_top_users(
    usage_type text DEFAULT NULL, days integer DEFAULT 30, measure text DEFAULT 'uses', max_rows integer DEFAULT 100,
    last_day date DEFAULT NULL, resource_type text DEFAULT NULL, resource_id text DEFAULT NULL,
    OUT user_id @user_id@, OUT uses bigint, OUT failed bigint, OUT quantity numeric, OUT tokens numeric, OUT cost numeric,
    OUT last_day_used date, OUT last_used timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 100
AS 'MODULE_PATHNAME', 'ut_get_top_users';
COMMENT ON FUNCTION @extschema@.get_top_users(text, integer, text, integer, date, text, text) IS
'Who used most of a type in the last days, with the time of the last use; for admins and servers';

/* ---- how it went over time ---- */

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
        SELECT n.day, n.usage_type, pg_catalog.count(*) AS users
          FROM (SELECT DISTINCT d.day, d.usage_type, d.user_id
                  FROM @extschema@._last_days($1, $2, at) AS r
                 CROSS JOIN LATERAL @extschema@._days_of_users(r.first_day, r.last_day) AS d) AS n
         GROUP BY n.day, n.usage_type
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

/* The first day of a step is the earliest on which a user took it that is not
 * before the step above it.  Days on which he failed, or which were taken back
 * whole, do not count. */
CREATE FUNCTION @extschema@._get_conversion_funnel(
    steps text[], days integer, last_day date, at timestamptz,
    OUT step integer, OUT name text, OUT users bigint, OUT percent numeric, OUT percent_of_previous numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH RECURSIVE taken AS MATERIALIZED (
        SELECT d.user_id, s.step, pg_catalog.array_agg(d.day) AS days
          FROM @extschema@._last_days($2, $3, at) AS r
         CROSS JOIN LATERAL (
               SELECT u.user_id, u.day, u.usage_type
                 FROM @extschema@._days_of_users(r.first_day, r.last_day) AS u
                WHERE u.usage_type = ANY ($1) AND u.status = 'success'
                GROUP BY u.user_id, u.day, u.usage_type HAVING pg_catalog.sum(u.events) > 0) AS d
          JOIN pg_catalog.unnest($1) WITH ORDINALITY AS s (usage_type, step) ON s.usage_type = d.usage_type
         GROUP BY d.user_id, s.step
    ), reached AS (
        SELECT t.user_id, t.step, f.day
          FROM taken AS t CROSS JOIN LATERAL (SELECT pg_catalog.min(n.day) FROM pg_catalog.unnest(t.days) AS n (day)) AS f (day)
         WHERE t.step = 1
         UNION ALL
        SELECT t.user_id, t.step, f.day
          FROM reached AS b
          JOIN taken AS t ON t.user_id = b.user_id AND t.step = b.step + 1
         CROSS JOIN LATERAL (SELECT pg_catalog.min(n.day) FROM pg_catalog.unnest(t.days) AS n (day) WHERE n.day >= b.day) AS f (day)
         WHERE f.day IS NOT NULL
    ), counted AS (
        SELECT 0::bigint AS step, 'registered' AS name,
               COALESCE(@extschema@._registered_users(), (SELECT pg_catalog.count(*) FROM @extschema@.user_subscriptions AS s)) AS users
         UNION ALL
        SELECT s.step, s.usage_type, (SELECT pg_catalog.count(*) FROM reached AS b WHERE b.step = s.step)
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
                    SELECT NULL, NULL, NULL, u.user_id, u.campaign_id, u.events, u.tokens, u.cost, u.unpriced
                      FROM @extschema@._last_days($2, $3, at) AS r
                     CROSS JOIN LATERAL @extschema@._days_of_users(r.first_day, r.last_day) AS u
                     WHERE dimension = 'campaign' AND u.campaign_id <> '') AS d
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
    SELECT g.usage_type, g.users, g.events, g.quantity, pg_catalog.trim_scale(g.cost),
           pg_catalog.trim_scale(@extschema@._ratio(g.cost, g.users, 12)),
           pg_catalog.trim_scale(@extschema@._ratio(g.cost, g.events, 12)),
           pg_catalog.trim_scale(@extschema@._ratio(g.cost, g.quantity, 12)), g.unpriced
      FROM (SELECT u.usage_type, pg_catalog.count(DISTINCT u.user_id) AS users, pg_catalog.sum(u.events)::bigint AS events,
                   pg_catalog.sum(u.quantity) AS quantity, pg_catalog.sum(u.cost) AS cost, pg_catalog.sum(u.unpriced)::bigint AS unpriced
              FROM (SELECT d.user_id, d.usage_type, pg_catalog.sum(d.events) AS events, pg_catalog.sum(d.quantity) AS quantity,
                           pg_catalog.sum(d.cost) AS cost, pg_catalog.sum(d.unpriced) AS unpriced
                      FROM @extschema@._last_days($1, $2, at) AS r
                     CROSS JOIN LATERAL @extschema@._days_of_users(r.first_day, r.last_day) AS d
                     GROUP BY d.user_id, d.usage_type) AS u
             GROUP BY GROUPING SETS ((u.usage_type), ())) AS g
     WHERE g.users > 0
     ORDER BY g.usage_type NULLS FIRST;
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

/* To compute all limits of all users would take long: closer looked at is only who
 * has something reserved, or enough used for the least maximum that may be his. */
CREATE FUNCTION @extschema@._perhaps_near_limit(percent numeric, at timestamptz) RETURNS SETOF @user_id@
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT DISTINCT u.user_id
      FROM (SELECT c.user_id, l.limit_type, pg_catalog.sum(c.used) AS used, pg_catalog.sum(c.holds) > 0 AS is_held
              FROM @extschema@.usage_counters AS c
              JOIN @extschema@.usage_limits AS l ON l.limit_id = c.limit_id
             WHERE c.window_start <= at AND c.window_end > at
             GROUP BY c.user_id, l.limit_type
             UNION ALL
            SELECT v.user_id, v.limit_type, v.level,
                   EXISTS (SELECT FROM @extschema@.usage_leases AS h
                            WHERE h.user_id = v.user_id AND h.limit_type = v.limit_type AND h.released_at IS NULL)
              FROM @extschema@.usage_levels AS v) AS u
      JOIN @extschema@.usage_limits AS l ON l.limit_type = u.limit_type
      LEFT JOIN @extschema@.user_limits AS o ON o.user_id = u.user_id AND o.limit_type = u.limit_type
      LEFT JOIN @extschema@.user_subscriptions AS s ON s.user_id = u.user_id
      LEFT JOIN @extschema@.plan_limits AS p ON p.plan = s.plan AND p.limit_type = u.limit_type
      LEFT JOIN @extschema@.plan_limits AS d
        ON d.plan = pg_catalog.current_setting('usage_tracking.default_plan') AND d.limit_type = u.limit_type
      LEFT JOIN (SELECT t.limit_type, pg_catalog.min(t.max_usage) AS max_usage
                   FROM @extschema@.temporary_limits AS t WHERE t.max_usage >= 0 GROUP BY t.limit_type) AS t
        ON t.limit_type = u.limit_type
     WHERE u.is_held
        OR pg_catalog.strpos(pg_catalog.current_setting('usage_tracking.limit_overrides'), u.limit_type) > 0
        OR u.used * 100 >= $1 * LEAST(NULLIF(o.max_usage, -1), NULLIF(COALESCE(p.max_usage, l.max_usage), -1),
                                      NULLIF(COALESCE(d.max_usage, l.max_usage), -1), t.max_usage);
END;
COMMENT ON FUNCTION @extschema@._perhaps_near_limit(numeric, timestamptz) IS
'Internal: every user who uses so much of a limit, and some who do not';

CREATE FUNCTION @extschema@._get_users_near_limit(
    percent numeric, max_rows integer, at timestamptz,
    OUT user_id @user_id@, OUT plan text, OUT limit_type text, OUT measure text, OUT used numeric, OUT max_usage numeric,
    OUT percent_used numeric, OUT reset_at timestamptz) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT n.user_id, w.plan, w.limit_type, w.measure, w.used, w.max_usage, w.percent, w.reset_at
      FROM @extschema@._perhaps_near_limit($1, at) AS n (user_id)
     CROSS JOIN LATERAL @extschema@._usage_of_user(n.user_id) AS w
     WHERE w.percent >= $1 AND w.used > 0
     ORDER BY w.percent DESC, n.user_id, w.limit_type
     LIMIT $2;
END;
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
