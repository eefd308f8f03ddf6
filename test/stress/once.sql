/* once.sql: the limits of the test "once", and what must be true of its events.
 *
 *   users 0 to 199    what is sent three times; there is room for everything
 *   users 1000 on     one of each client: room for one unit of "poor"
 *   user 2000         of "poor", no room at all
 */
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT :'library' <> '' AS other_library \gset
\if :other_library
UPDATE pg_proc SET probin = :'library' WHERE probin = '$libdir/usage_tracking';
\connect
\endif

SELECT usage.usage_maintenance();
SELECT usage.define_usage_limit('units_ever', 'unit', 100000000, 'lifetime', NULL);
SELECT usage.define_usage_limit('calls_daily', 'unit', 3, measure => 'events', enforcement => 'soft');
SELECT usage.define_usage_limit('poor_ever', 'poor', 1, 'lifetime', NULL);
SELECT usage.define_usage_type('extra');

CREATE SCHEMA once;

CREATE FUNCTION once.user_id(no integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN format('00000000-0000-4000-8000-%s', lpad(no::text, 12, '0'))::uuid;

SELECT usage.set_user_limit(once.user_id(2000), 'poor_ever', 0);

/* What was sent, and what was answered to each attempt. */
CREATE TABLE once.sent (
    request     text PRIMARY KEY,
    user_id     uuid NOT NULL,
    usage_type  text NOT NULL,
    quantity    numeric NOT NULL,
    tokens      bigint NOT NULL,
    occurred_at timestamptz
);
CREATE TABLE once.answers (request text NOT NULL, event_id bigint NOT NULL);

CREATE VIEW once.recorded AS
SELECT * FROM usage.usage_events WHERE usage_type <> 'poor';

CREATE VIEW once.missing AS
SELECT s.* FROM once.sent AS s WHERE NOT EXISTS (
       SELECT FROM once.recorded AS e
        WHERE e.resource_id = s.request AND e.user_id = s.user_id AND e.usage_type = s.usage_type AND e.quantity = s.quantity
          AND e.tokens = s.tokens AND e.occurred_at = coalesce(s.occurred_at, e.occurred_at));

CREATE VIEW once.doubled AS
SELECT resource_id, count(*) FROM once.recorded GROUP BY resource_id HAVING count(*) > 1;

CREATE VIEW once.misanswered AS
SELECT a.*, e.id FROM once.answers AS a LEFT JOIN once.recorded AS e ON e.resource_id = a.request
 WHERE e.id IS DISTINCT FROM a.event_id;

/* Each key is that of its event, and each event has one. */
CREATE VIEW once.wrong_keys AS
SELECT k.idempotency_key, k.event_id, e.id, e.resource_id
  FROM (SELECT * FROM usage.usage_keys WHERE usage_type <> 'poor') AS k
  FULL JOIN once.recorded AS e ON e.user_id = k.user_id AND e.id = k.event_id
 WHERE (e.resource_id = k.idempotency_key) IS NOT TRUE;

CREATE VIEW once.miscounted AS
SELECT s.user_id, s.units, c.used
  FROM (SELECT user_id, sum(quantity) AS units FROM once.sent WHERE usage_type = 'unit' GROUP BY user_id) AS s
 CROSS JOIN LATERAL usage.check_usage_limit(s.user_id, 'units_ever', 0) AS c
 WHERE c.used <> s.units;

/* A refused use leaves no key; one that was taken back keeps its. */
CREATE VIEW once.keys_of_nothing AS
SELECT k.* FROM usage.usage_keys AS k
 WHERE NOT EXISTS (SELECT FROM usage.usage_events AS e WHERE e.user_id = k.user_id AND e.id = k.event_id);
