/* writer.sql: a database for writer.c, and the questions that must have no answer.
 *
 *   hot    user 0           maxima raised by crash.go_on() each time writers begin or go on
 *   facts  users 1 to 20    recorded by track_usage, so these may be over
 *   cold   users from 1000  small maxima; 40 new ones each time
 *
 * What they may is written down here a second time, and but for the last two the
 * views ask events, orders and the writers' logs alone: no code of the extension
 * judges itself.
 */
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
CREATE EXTENSION amcheck;
CREATE EXTENSION pg_buffercache;
SELECT usage.usage_maintenance();

/* A day that began an hour or two ago, and does not end during the test. */
SELECT name AS quiet_zone FROM pg_timezone_names
 WHERE name LIKE 'Etc/GMT_%' AND extract(hour FROM now() AT TIME ZONE name) BETWEEN 1 AND 2
 ORDER BY name LIMIT 1 \gset

SELECT usage.define_usage_type('extra');
SELECT usage.define_usage_limit('calls_daily', 'unit', 15, measure => 'events', time_zone => :'quiet_zone');
SELECT usage.define_usage_limit('tokens_weekly', NULL, 200, 'anchored', '7 days', 'tokens');
SELECT usage.define_usage_limit('units_ever', 'unit', 40, 'lifetime', NULL);
/* Writers change what it counts. */
SELECT usage.define_usage_limit('units_noted', 'unit', 10, enforcement => 'soft');

CREATE SCHEMA crash;

/* The application's own rows. */
CREATE TABLE crash.orders (request text PRIMARY KEY, event_id bigint NOT NULL);

CREATE FUNCTION crash.user_id(no integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN format('00000000-0000-4000-8000-%s', lpad(no::text, 12, '0'))::uuid;

CREATE TABLE crash.people (
    user_id    uuid PRIMARY KEY,
    kind       text NOT NULL,
    max_units  numeric NOT NULL,
    max_calls  numeric NOT NULL,
    max_tokens numeric  -- NULL: unlimited
);
INSERT INTO crash.people VALUES (crash.user_id(0), 'hot', 0, 0, NULL);
INSERT INTO crash.people SELECT crash.user_id(no), 'facts', 40, 15, 200 FROM generate_series(1, 20) AS no;
INSERT INTO crash.people SELECT crash.user_id(no), 'cold', 40, 15, 200 FROM generate_series(1000, 9999) AS no;
SELECT usage.set_user_limit(crash.user_id(0), 'tokens_weekly', -1);

CREATE VIEW crash.room AS
SELECT p.user_id, p.kind, p.max_units - e.units AS units, p.max_calls - e.calls AS calls,
       p.max_tokens - e.tokens AS tokens
  FROM crash.people AS p
  JOIN (SELECT user_id, coalesce(sum(quantity) FILTER (WHERE usage_type = 'unit'), 0) AS units,
               count(*) FILTER (WHERE usage_type = 'unit') AS calls, sum(tokens) AS tokens
          FROM usage.usage_events GROUP BY user_id) AS e USING (user_id);

/* A little more for the hot user: he is to be near his limits all the time. */
CREATE FUNCTION crash.go_on() RETURNS void LANGUAGE sql
BEGIN ATOMIC
    UPDATE crash.people AS p
       SET max_units = p.max_units + 300 - coalesce((SELECT r.units FROM crash.room AS r WHERE r.kind = 'hot'), 0),
           max_calls = p.max_calls + 150 - coalesce((SELECT r.calls FROM crash.room AS r WHERE r.kind = 'hot'), 0)
     WHERE p.kind = 'hot';
    SELECT usage.set_user_limit(p.user_id, 'units_ever', p.max_units),
           usage.set_user_limit(p.user_id, 'calls_daily', p.max_calls) FROM crash.people AS p WHERE p.kind = 'hot';
END;

/* What the writers know, loaded from their files. */
CREATE TABLE crash.log (
    transaction text NOT NULL,
    request     text NOT NULL,
    user_id     uuid NOT NULL,
    usage_type  text NOT NULL,
    quantity    numeric NOT NULL,
    tokens      bigint NOT NULL,
    event_id    bigint,
    fate        text NOT NULL CHECK (fate IN ('recorded', 'unknown', 'gone'))
);

CREATE VIEW crash.events AS
SELECT id, resource_id AS request, user_id, usage_type, quantity, tokens FROM usage.usage_events WHERE resource_type = 'writer';

/* ---- rows of these are faults ---- */

CREATE VIEW crash.lost AS
SELECT event_id, request, user_id, usage_type, quantity, tokens FROM crash.log WHERE fate = 'recorded'
EXCEPT SELECT * FROM crash.events;

CREATE VIEW crash.unexplained AS
SELECT request, user_id, usage_type, quantity, tokens FROM crash.events
EXCEPT SELECT request, user_id, usage_type, quantity, tokens FROM crash.log WHERE fate <> 'gone';

/* Asked again, the server said that it was not there. */
CREATE VIEW crash.gone_but_there AS
SELECT e.* FROM crash.events AS e JOIN crash.log AS l USING (request) WHERE l.fate = 'gone';

CREATE VIEW crash.doubled AS
SELECT request AS what, count(*) FROM crash.events GROUP BY request HAVING count(*) > 1
 UNION ALL
SELECT id::text, count(*) FROM usage.usage_events GROUP BY id HAVING count(*) > 1;

CREATE VIEW crash.torn AS
SELECT transaction, count(*) AS uses, count(e.id) AS there
  FROM (SELECT DISTINCT transaction, request FROM crash.log) AS l LEFT JOIN crash.events AS e USING (request)
 GROUP BY transaction HAVING count(e.id) NOT IN (0, count(*));

CREATE VIEW crash.without_order AS
SELECT o.request AS order, o.event_id, e.request AS event, e.id FROM crash.orders AS o
  FULL JOIN crash.events AS e ON e.request = o.request AND e.id = o.event_id
 WHERE o.request IS NULL OR e.request IS NULL;

CREATE VIEW crash.without_key AS
SELECT k.idempotency_key, k.event_id, e.request, e.id FROM usage.usage_keys AS k
  FULL JOIN (SELECT * FROM crash.events WHERE request LIKE 'key-%') AS e
    ON e.id = k.event_id AND e.user_id = k.user_id AND e.request = k.idempotency_key
 WHERE k.event_id IS NULL OR e.id IS NULL;

CREATE VIEW crash.over AS
SELECT * FROM crash.room WHERE kind <> 'facts' AND (units < 0 OR calls < 0 OR tokens < 0);

CREATE VIEW crash.miscounted AS
SELECT r.user_id, c.used, p.max_units - r.units AS recorded
  FROM crash.people AS p JOIN crash.room AS r USING (user_id)
 CROSS JOIN LATERAL usage.check_usage_limit(p.user_id, 'units_ever') AS c
 WHERE c.used <> p.max_units - r.units;

/* Locks and pins on our tables, transactions and snapshots of idle writers. */
CREATE VIEW crash.left_behind AS
SELECT 'lock' AS what, l.relation::regclass::text AS name, l.mode FROM pg_locks AS l
  JOIN pg_class AS c ON c.oid = CASE l.locktype WHEN 'object' THEN l.classid ELSE l.relation END
 WHERE c.relnamespace IN ('usage'::regnamespace, 'crash'::regnamespace) AND l.pid <> pg_backend_pid()
   AND l.pid NOT IN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'autovacuum worker')
 UNION ALL
SELECT 'session', application_name, state FROM pg_stat_activity
 WHERE application_name = 'writer' AND (state <> 'idle' OR backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
 UNION ALL
SELECT 'prepared', gid, NULL FROM pg_prepared_xacts
 UNION ALL
SELECT 'pin', c.relname, b.pinning_backends::text FROM pg_buffercache AS b
  JOIN pg_class AS c ON b.relfilenode = pg_relation_filenode(c.oid)
 WHERE b.pinning_backends > 0 AND b.reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND c.relnamespace = 'usage'::regnamespace;

/* ---- what is left can be used, to the last unit ---- */

CREATE FUNCTION crash.fill_up(who uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    may    numeric := (SELECT least(units, calls) FROM crash.room WHERE user_id = who);
    could  numeric := 0;
    answer usage.usage_decision;
BEGIN
    LOOP
        answer := usage.consume_usage(who, 'unit');
        EXIT WHEN NOT answer.allowed OR could > may;
        could := could + 1;
    END LOOP;
    RETURN CASE WHEN could <> may OR answer.reason <> 'limit_reached'
                THEN format('%s: %s were left, %s could be used, then %s', who, may, could, answer.reason) END;
END
$$;
