/* rollups: how was it over time?
 *
 * So far only the proof that counters and events agree.
 */
CREATE FUNCTION @extschema@.reconcile_usage(
    OUT user_id @user_id@, OUT limit_type text, OUT window_start timestamptz, OUT window_end timestamptz,
    OUT counted numeric, OUT recorded numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000000
BEGIN ATOMIC
    SELECT c.user_id, l.limit_type, c.window_start, c.window_end, c.used, e.used
      FROM (SELECT s.user_id, s.limit_id, s.window_start, s.window_end, pg_catalog.sum(s.used) AS used
              FROM @extschema@.usage_counters AS s
             GROUP BY s.user_id, s.limit_id, s.window_start, s.window_end) AS c
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
                      AND v.occurred_at >= c.window_start AND v.occurred_at < c.window_end
                    UNION ALL
                   SELECT k.limit_id, k.usage_type, k.status, k.events, k.quantity, k.tokens, k.cost
                     FROM @extschema@.usage_carried AS k
                    WHERE k.user_id = c.user_id
                      AND k.month >= c.window_start AND k.month < c.window_end) AS p
            WHERE p.limit_id = l.limit_id
               OR (p.limit_id = 0 AND p.status = ANY (l.statuses)
                   AND (l.usage_type IS NULL OR p.usage_type = l.usage_type))) AS e
     WHERE c.used <> e.used AND @extschema@._events_are_in_place();
END;
COMMENT ON FUNCTION @extschema@.reconcile_usage() IS
'Compares every counter with the events it stands for; a row for each difference, so none is good';
