/* setup.sql: the users, the limits, and the questions that must have no answer.
 *
 *   hot     user 0            maxima raised by the monitor each time they are used up
 *   cold    users 1 to 1000   small maxima; each tenth is on plan pro, with large ones
 *   rush    users 1001-2000   each met by all clients at once, for the first time
 *   facts   users 2001-2040   track_usage as well, so these may be over
 *
 * What a user may is written down twice, for the extension and in stress.people,
 * and every view below asks the events alone: no code of the extension judges itself.
 */
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT :'library' <> '' AS other_library \gset
\if :other_library
UPDATE pg_proc SET probin = :'library' WHERE probin = '$libdir/usage_tracking';
\connect
\endif

SELECT usage.usage_maintenance();
SELECT usage.install_default_plans();

/* A day that began an hour or two ago, and does not end during the test. */
SELECT name AS quiet_zone FROM pg_timezone_names
 WHERE name LIKE 'Etc/GMT_%' AND extract(hour FROM now() AT TIME ZONE name) BETWEEN 1 AND 2
 ORDER BY name LIMIT 1 \gset

SELECT usage.define_usage_type('extra');
SELECT usage.define_usage_limit('calls_daily', 'unit', 15, measure => 'events', time_zone => :'quiet_zone');
SELECT usage.define_usage_limit('tokens_weekly', NULL, 200, 'anchored', '7 days', 'tokens');
SELECT usage.define_usage_limit('units_ever', 'unit', 60, 'lifetime', NULL);
/* In each user's own zone; the monitor changes what it counts. */
SELECT usage.define_usage_limit('units_noted', 'unit', 10, enforcement => 'soft');
SELECT usage.set_plan_limit('pro', 'calls_daily', 100000);
SELECT usage.set_plan_limit('pro', 'units_ever', 100000);

CREATE SCHEMA stress;

CREATE FUNCTION stress.user_id(no integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN format('00000000-0000-4000-8000-%s', lpad(no::text, 12, '0'))::uuid;

CREATE TABLE stress.people (
    user_id    uuid PRIMARY KEY,
    no         integer NOT NULL,
    kind       text NOT NULL,
    max_units  numeric NOT NULL,
    max_calls  numeric NOT NULL,
    max_tokens numeric  -- NULL: unlimited
);
INSERT INTO stress.people VALUES (stress.user_id(0), 0, 'hot', 100, 20, NULL);
INSERT INTO stress.people
SELECT stress.user_id(no), no, 'cold', CASE no % 10 WHEN 0 THEN 100000 ELSE 60 END,
       CASE no % 10 WHEN 0 THEN 100000 ELSE 15 END, 200
  FROM generate_series(1, 1000) AS no;
INSERT INTO stress.people SELECT stress.user_id(no), no, 'rush', 60, 15, 200 FROM generate_series(1001, 2000) AS no;
INSERT INTO stress.people SELECT stress.user_id(no), no, 'facts', 60, 15, 200 FROM generate_series(2001, 2040) AS no;

SELECT usage.set_user_limit(user_id, 'units_ever', max_units), usage.set_user_limit(user_id, 'calls_daily', max_calls),
       usage.set_user_limit(user_id, 'tokens_weekly', -1)
  FROM stress.people WHERE kind = 'hot';
SELECT usage.set_user_plan(user_id, 'pro') FROM stress.people WHERE kind = 'cold' AND max_units > 60;

/* A use in a PL/pgSQL block, that is, in a subtransaction. */
CREATE FUNCTION stress.in_a_block(user_id uuid, usage_type text, quantity numeric, tokens bigint,
                                  key text, request text, undone boolean)
RETURNS usage.usage_decision LANGUAGE plpgsql AS $$
DECLARE
    decision usage.usage_decision;
BEGIN
    decision := usage.consume_usage(user_id, usage_type, quantity, tokens, 0, key, NULL, 'stress', request);
    IF undone THEN
        RAISE EXCEPTION 'undone';
    END IF;
    RETURN decision;
EXCEPTION WHEN raise_exception THEN
    RETURN decision;
END
$$;

/* What the clients know: each use of which COMMIT was answered, and each of
 * which it was sent but the answer never read. */
CREATE TABLE stress.log (
    request    text NOT NULL,
    user_id    uuid NOT NULL,
    usage_type text NOT NULL,
    quantity   numeric NOT NULL,
    tokens     bigint NOT NULL,
    fate       text NOT NULL CHECK (fate IN ('recorded', 'unknown'))
);

CREATE VIEW stress.room AS
SELECT p.user_id, p.no, p.kind, p.max_units - e.units AS units, p.max_calls - e.calls AS calls,
       p.max_tokens - e.tokens AS tokens
  FROM stress.people AS p
  LEFT JOIN LATERAL (
       SELECT coalesce(sum(quantity) FILTER (WHERE usage_type = 'unit'), 0) AS units,
              count(*) FILTER (WHERE usage_type = 'unit') AS calls, coalesce(sum(tokens), 0) AS tokens
         FROM usage.usage_events AS v WHERE v.user_id = p.user_id AND v.status = 'success') AS e ON true;

CREATE VIEW stress.over AS
SELECT * FROM stress.room WHERE kind <> 'facts' AND (units < 0 OR calls < 0 OR tokens < 0);

CREATE VIEW stress.lost AS
SELECT request, user_id, usage_type, quantity, tokens FROM stress.log WHERE fate = 'recorded'
EXCEPT
SELECT resource_id, user_id, usage_type, quantity, tokens FROM usage.usage_events;

CREATE VIEW stress.unexplained AS
SELECT resource_id, user_id, usage_type, quantity, tokens FROM usage.usage_events
EXCEPT
SELECT request, user_id, usage_type, quantity, tokens FROM stress.log;

CREATE VIEW stress.doubled AS
SELECT resource_id, count(*) FROM usage.usage_events GROUP BY resource_id HAVING count(*) > 1;

CREATE VIEW stress.miscounted AS
SELECT p.no, c.used, p.max_units - r.units AS recorded
  FROM stress.people AS p JOIN stress.room AS r USING (user_id)
 CROSS JOIN LATERAL usage.check_usage_limit(p.user_id, 'units_ever') AS c
 WHERE c.used <> p.max_units - r.units;

/* Locks on our tables, and connections of clients that are no more. */
CREATE VIEW stress.left_behind AS
SELECT 'lock' AS what, l.relation::regclass::text AS name, l.mode FROM pg_locks AS l
  JOIN pg_class AS c ON c.oid = CASE l.locktype WHEN 'object' THEN l.classid ELSE l.relation END
 WHERE c.relnamespace = 'usage'::regnamespace AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.pid NOT IN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'autovacuum worker')
UNION ALL
SELECT 'connection', application_name, state FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
UNION ALL
SELECT 'prepared', gid, NULL FROM pg_prepared_xacts WHERE database = current_database();
