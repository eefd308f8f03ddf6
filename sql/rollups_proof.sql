/* rollups, the proof: do counters, sums and balances agree with events? */

/* The first measure in which rows of a day differ, as (counted, recorded). */
CREATE FUNCTION @extschema@._first_difference(VARIADIC pairs numeric[], OUT counted numeric, OUT recorded numeric) RETURNS SETOF record
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pairs[2 * n - 1], pairs[2 * n]
      FROM pg_catalog.generate_series(1, pg_catalog.cardinality(pairs) / 2) AS n
     WHERE pairs[2 * n - 1] IS DISTINCT FROM pairs[2 * n] ORDER BY n LIMIT 1;
END;
COMMENT ON FUNCTION @extschema@._first_difference(numeric[]) IS
'Internal: of numbers in pairs, the first pair that differs';

/* Rows of days against the events they have counted; what is final has none left.
 * An erased user's durations are gone from his events, but not from totals. */
CREATE FUNCTION @extschema@._reconcile_days(
    OUT user_id @user_id@, OUT day date, OUT zone text, OUT counted numeric, OUT recorded numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000000
BEGIN ATOMIC
    WITH recorded AS MATERIALIZED (
        SELECT e.user_id, e.day, e.usage_type, e.provider, e.model, e.campaign_id, e.status, pg_catalog.sum(e.events) AS events,
               pg_catalog.sum(e.quantity) AS quantity, pg_catalog.sum(e.tokens) AS tokens,
               pg_catalog.sum(e.input_tokens) AS input_tokens, pg_catalog.sum(e.output_tokens) AS output_tokens,
               pg_catalog.sum(e.cost) AS cost, pg_catalog.sum(e.unpriced) AS unpriced,
               COALESCE(pg_catalog.sum(e.duration_ms), 0) AS duration_ms_sum, pg_catalog.count(e.duration_ms) AS duration_count,
               pg_catalog.max(e.duration_ms) AS duration_ms_max
          FROM @extschema@._rollup_progress() AS p CROSS JOIN LATERAL @extschema@._event_amounts(p.zone) AS e
         WHERE p.is_current
           AND NOT @extschema@._is_uncounted(e.id, e.xact_id, p.floor_id, p.base_id, p.through, p.done_id, p.next_through)
         GROUP BY e.user_id, e.day, e.usage_type, e.provider, e.model, e.campaign_id, e.status
    ), all_recorded AS (
        SELECT r.day, r.usage_type, r.provider, r.model, r.status, pg_catalog.sum(r.events) AS events,
               pg_catalog.sum(r.quantity) AS quantity, pg_catalog.sum(r.tokens) AS tokens,
               pg_catalog.sum(r.input_tokens) AS input_tokens, pg_catalog.sum(r.output_tokens) AS output_tokens,
               pg_catalog.sum(r.cost) AS cost, pg_catalog.sum(r.unpriced) AS unpriced
          FROM recorded AS r
         GROUP BY r.day, r.usage_type, r.provider, r.model, r.status
    )
    SELECT v.user_id, v.day, p.zone, v.counted, v.recorded
      FROM @extschema@._rollup_progress() AS p
     CROSS JOIN LATERAL (
           SELECT COALESCE(a.user_id, r.user_id) AS user_id, COALESCE(a.day, r.day) AS day, d.counted, d.recorded
             FROM (SELECT c.* FROM @extschema@.usage_aggregations AS c WHERE NOT c.is_final) AS a
             FULL JOIN recorded AS r
               ON a.user_id = r.user_id AND a.day = r.day AND a.usage_type = r.usage_type AND a.provider = r.provider
              AND a.model = r.model AND a.campaign_id = r.campaign_id AND a.status = r.status
            CROSS JOIN LATERAL @extschema@._first_difference(
                  a.events, r.events, a.quantity, r.quantity, a.tokens, r.tokens, a.input_tokens, r.input_tokens,
                  a.output_tokens, r.output_tokens, a.cost, r.cost, a.unpriced, r.unpriced, a.duration_ms_sum, r.duration_ms_sum,
                  a.duration_count, r.duration_count, a.duration_ms_max, r.duration_ms_max) AS d
            UNION ALL
           SELECT NULL, COALESCE(a.day, r.day), d.counted, d.recorded
             FROM (SELECT c.* FROM @extschema@.usage_daily_totals AS c WHERE NOT c.is_final) AS a
             FULL JOIN all_recorded AS r
               ON a.day = r.day AND a.usage_type = r.usage_type AND a.provider = r.provider
              AND a.model = r.model AND a.status = r.status
            CROSS JOIN LATERAL @extschema@._first_difference(
                  a.events, r.events, a.quantity, r.quantity, a.tokens, r.tokens, a.input_tokens, r.input_tokens,
                  a.output_tokens, r.output_tokens, a.cost, r.cost, a.unpriced, r.unpriced) AS d
            UNION ALL
           SELECT COALESCE(m.user_id, a.user_id), COALESCE(m.month, a.month), d.counted, d.recorded
             FROM @extschema@.usage_user_months AS m
             FULL JOIN (SELECT c.user_id, c.usage_type, pg_catalog.date_trunc('month', (c.day + '00:00'::time))::date AS month,
                               pg_catalog.sum(c.events) FILTER (WHERE c.status = 'success') AS uses,
                               pg_catalog.sum(c.events) FILTER (WHERE c.status <> 'success') AS failed,
                               pg_catalog.sum(c.quantity) AS quantity, pg_catalog.sum(c.tokens) AS tokens, pg_catalog.sum(c.cost) AS cost,
                               pg_catalog.sum(c.unpriced) AS unpriced, pg_catalog.bit_or(@extschema@._day_bit(c.day)) AS active_days,
                               pg_catalog.bit_or(@extschema@._day_bit(c.day)) FILTER (WHERE c.status = 'success') AS success_days
                          FROM @extschema@.usage_aggregations AS c
                         GROUP BY c.user_id, c.usage_type, pg_catalog.date_trunc('month', (c.day + '00:00'::time))) AS a
               ON a.user_id = m.user_id AND a.usage_type = m.usage_type AND a.month = m.month
            CROSS JOIN LATERAL @extschema@._first_difference(
                  m.uses, COALESCE(a.uses, 0), m.failed, COALESCE(a.failed, 0), m.quantity, a.quantity, m.tokens, a.tokens,
                  m.cost, a.cost, m.unpriced, a.unpriced, m.active_days, a.active_days,
                  m.success_days, COALESCE(a.success_days, 0)) AS d) AS v
     WHERE p.is_current;
END;
COMMENT ON FUNCTION @extschema@._reconcile_days() IS
'Internal: a row for each row of usage_aggregations, usage_daily_totals or usage_user_months that is not the sum of its events';

/* Without settings of its own (jit), or its snapshot would be older than its locks: events may
 * be moved meanwhile. */
CREATE FUNCTION @extschema@.reconcile_usage(
    OUT user_id @user_id@, OUT limit_type text, OUT window_start timestamptz, OUT window_end timestamptz,
    OUT counted numeric, OUT recorded numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000000
BEGIN ATOMIC
    SELECT c.user_id, l.limit_type, c.window_start, c.window_end, c.used, e.used
      FROM @extschema@.usage_counters AS c
      JOIN @extschema@.usage_limits AS l ON l.limit_id = c.limit_id
     CROSS JOIN LATERAL (
           SELECT COALESCE(pg_catalog.sum(CASE l.measure WHEN 'events' THEN p.events
                                               WHEN 'quantity' THEN p.quantity
                                               WHEN 'tokens' THEN p.tokens
                                               ELSE p.cost END), 0) AS used
             FROM (SELECT COALESCE(v.corrected_limit, 0) AS limit_id, v.usage_type,
                          COALESCE(v.corrected_status, v.status) AS status,
                          COALESCE(v.corrected_events, 1)::numeric AS events, v.quantity, v.tokens::numeric AS tokens, v.cost
                     FROM @extschema@.usage_events AS v
                    WHERE v.user_id = c.user_id
                      AND v.occurred_at >= c.window_start AND v.occurred_at < LEAST(c.window_end, c.counted_to)
                    UNION ALL
                   SELECT k.limit_id, k.usage_type, k.status, k.events, k.quantity, k.tokens, k.cost
                     FROM @extschema@.usage_carried AS k
                    WHERE k.user_id = c.user_id
                      AND k.month >= c.window_start AND k.month < LEAST(c.window_end, c.counted_to)) AS p
            WHERE p.limit_id = l.limit_id
               OR (p.limit_id = 0 AND p.status = ANY (l.statuses)
                   AND (l.usage_type IS NULL OR p.usage_type = l.usage_type))) AS e
     WHERE c.used <> e.used AND @extschema@._events_are_in_place()
     UNION ALL
    SELECT d.user_id, NULL, (d.day + '00:00'::time) AT TIME ZONE d.zone, (d.day + 1 + '00:00'::time) AT TIME ZONE d.zone, d.counted, d.recorded
      FROM @extschema@._reconcile_days() AS d
     WHERE @extschema@._events_are_in_place()
     UNION ALL
    SELECT c.user_id, NULL, NULL, NULL, c.counted, c.recorded
      FROM @extschema@._reconcile_credits() AS c;
END;
COMMENT ON FUNCTION @extschema@.reconcile_usage() IS
'Compares every counter, and the sums of every day, with the events they stand for, and credits with their ledger; a row for each difference, so none is good';
