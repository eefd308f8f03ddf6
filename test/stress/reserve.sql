/* reserve.sql: the users of the test "reserve", and what must be true of them.
 *
 *   user 0            much room, and most of the clients
 *   users 1 to 19     little room
 *   users 20 to 23    as well, and reservations are committed after their expiry
 *   users 100 to 1099 as well, each met by all clients at once
 *
 * What a user may is written down twice, for the extension and in reserve.people.
 */
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT :'library' <> '' AS other_library \gset
\if :other_library
UPDATE pg_proc SET probin = :'library' WHERE probin = '$libdir/usage_tracking';
\connect
\endif

SELECT usage.define_usage_limit('units_ever', 'unit', 40, 'lifetime', NULL);
SELECT usage.define_usage_limit('calls_lately', 'unit', 18, 'sliding', '1 day', 'events');
SELECT usage.define_usage_limit('units_noted', 'unit', 25, 'lifetime', NULL, enforcement => 'soft');

CREATE SCHEMA reserve;

CREATE FUNCTION reserve.user_id(no integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN format('00000000-0000-4000-8000-%s', lpad(no::text, 12, '0'))::uuid;

CREATE TABLE reserve.people (user_id uuid PRIMARY KEY, no integer, kind text, max_units numeric, max_calls numeric);
INSERT INTO reserve.people
SELECT reserve.user_id(no), no, CASE WHEN no BETWEEN 20 AND 23 THEN 'late' ELSE 'in time' END,
       CASE no WHEN 0 THEN 500 ELSE 40 END, CASE no WHEN 0 THEN 220 ELSE 18 END
  FROM generate_series(0, 1099) AS no WHERE no < 24 OR no >= 100;
SELECT usage.set_user_limit(user_id, 'units_ever', max_units), usage.set_user_limit(user_id, 'calls_lately', max_calls)
  FROM reserve.people WHERE no = 0;

/* What the clients know: of each use, whether its commit was answered. */
CREATE TABLE reserve.log (request text NOT NULL, user_id uuid NOT NULL, quantity numeric NOT NULL, answered boolean NOT NULL);

CREATE VIEW reserve.recorded AS
SELECT p.user_id, p.no, p.kind, p.max_units, p.max_calls, coalesce(sum(e.quantity), 0) AS units, count(e.id) AS calls
  FROM reserve.people AS p LEFT JOIN usage.usage_events AS e USING (user_id)
 GROUP BY p.user_id;

/* Uses and live reservations together; time is asked when the rows are known. */
CREATE VIEW reserve.over AS
SELECT * FROM (
    SELECT r.no, r.units, r.calls, h.units AS held_units, h.calls AS held_calls, r.max_units, r.max_calls
      FROM reserve.recorded AS r
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(v.quantity), 0) AS units, count(*) AS calls FROM usage.usage_reservations AS v
            WHERE v.user_id = r.user_id AND v.state = 'held' AND v.expires_at > clock_timestamp()) AS h
     WHERE r.kind = 'in time' OFFSET 0) AS s
 WHERE units + held_units > max_units OR calls + held_calls > max_calls;

/* The marks of overage add up to what was recorded beyond the limit. */
CREATE VIEW reserve.badly_marked AS
SELECT r.no, r.units, r.calls, m.units AS marked_units, m.calls AS marked_calls, m.noted
  FROM reserve.recorded AS r
 CROSS JOIN LATERAL (
       SELECT coalesce(sum((e.overage->>'units_ever')::numeric), 0) AS units, coalesce(sum((e.overage->>'calls_lately')::numeric), 0) AS calls,
              coalesce(sum((e.overage->>'units_noted')::numeric), 0) AS noted
         FROM usage.usage_events AS e WHERE e.user_id = r.user_id) AS m
 WHERE m.units <> greatest(r.units - r.max_units, 0) OR m.calls <> greatest(r.calls - r.max_calls, 0)
    OR m.noted <> greatest(r.units - 25, 0);

/* A committed reservation is one event, of its instant; no other has one. */
CREATE VIEW reserve.miscommitted AS
SELECT v.id, v.state, e.id AS event, v.occurred_at, e.occurred_at AS recorded_at
  FROM (SELECT * FROM usage.usage_reservations WHERE state = 'committed') AS v
  FULL JOIN (SELECT * FROM usage.usage_events WHERE metadata ? 'reservation') AS e
    ON e.user_id = v.user_id AND (e.metadata->>'reservation')::bigint = v.id
 WHERE (v.event_id = e.id AND v.occurred_at = e.occurred_at) IS NOT TRUE;

CREATE VIEW reserve.lost AS
SELECT request, user_id, quantity FROM reserve.log WHERE answered
EXCEPT ALL
SELECT coalesce(resource_id, metadata->>'request'), user_id, quantity FROM usage.usage_events;

CREATE VIEW reserve.unexplained AS
SELECT coalesce(resource_id, metadata->>'request'), user_id, quantity FROM usage.usage_events
EXCEPT ALL
SELECT request, user_id, quantity FROM reserve.log;

CREATE VIEW reserve.left_behind AS
SELECT 'lock' AS what, l.relation::regclass::text AS name, l.mode FROM pg_locks AS l
  JOIN pg_class AS c ON c.oid = CASE l.locktype WHEN 'object' THEN l.classid ELSE l.relation END
 WHERE c.relnamespace = 'usage'::regnamespace AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.pid NOT IN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'autovacuum worker')
UNION ALL
SELECT 'connection', application_name, state FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid();
