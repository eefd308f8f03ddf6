/* alerts.sql: the users of the test "alerts", and what must be true of them.
 *
 *   users 0 to 39     much used, each by a few clients
 *   users 100 to 1099 each met by all clients at once
 *
 * Whose usage was taken back is written down: he may have alerts about what is
 * no longer so.
 */
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT :'library' <> '' AS other_library \gset
\if :other_library
UPDATE pg_proc SET probin = :'library' WHERE probin = '$libdir/usage_tracking';
\connect
\endif

SELECT usage.define_usage_limit('units_daily', 'unit', 20, enforcement => 'soft');
SELECT usage.define_usage_limit('calls_daily', 'unit', 30, measure => 'events', enforcement => 'soft');
SELECT usage.define_usage_limit('units_monthly', 'unit', 150.5, 'calendar', '1 month', enforcement => 'soft');
SELECT usage.define_usage_limit('units_ever', 'unit', 400, 'lifetime', NULL, enforcement => 'soft');
SELECT usage.define_usage_limit('units_unlimited', 'unit', -1);

CREATE SCHEMA alerts;
CREATE TABLE alerts.taken_back (user_id uuid);

CREATE VIEW alerts.reached AS
SELECT c.user_id, c.limit_id, l.limit_type, c.window_start, c.used, t.threshold,
       c.used * 100 >= l.max_usage * t.threshold AS is_reached
  FROM usage._counted_usage() AS c JOIN usage.usage_limits AS l USING (limit_id), (VALUES (80), (100)) AS t (threshold)
 WHERE l.max_usage > 0;

CREATE VIEW alerts.missing AS
SELECT r.limit_type, r.threshold, r.used, r.user_id, r.window_start FROM alerts.reached AS r
 WHERE r.is_reached AND NOT EXISTS (
       SELECT FROM usage.usage_alerts AS a
        WHERE (a.user_id, a.limit_id, a.window_start, a.threshold) = (r.user_id, r.limit_id, r.window_start, r.threshold));

CREATE VIEW alerts.doubled AS
SELECT user_id, limit_type, window_start, threshold, count(*) FROM usage.usage_alerts
 GROUP BY 1, 2, 3, 4 HAVING count(*) > 1;

/* A day that was reset has fewer units; so has no other limit. */
CREATE VIEW alerts.unfounded AS
SELECT a.* FROM usage.usage_alerts AS a LEFT JOIN alerts.reached AS r USING (user_id, limit_id, window_start, threshold)
 WHERE r.is_reached IS NOT TRUE
   AND NOT (a.limit_type = 'units_daily' AND a.user_id IN (SELECT user_id FROM alerts.taken_back));

/* The event is there, and what was used with it is enough. */
CREATE VIEW alerts.inexact AS
SELECT a.id, a.limit_type, a.threshold, a.used, e.quantity
  FROM usage.usage_alerts AS a LEFT JOIN usage.usage_events AS e ON e.user_id = a.user_id AND e.id = a.event_id
 WHERE a.used * 100 < a.threshold * a.max_usage
    OR (a.event_id IS NOT NULL AND (e.id IS NULL OR e.occurred_at < a.window_start OR e.occurred_at >= a.window_end));
