/* runs.sql: the users of the test "runs", one for each round, and what must be
 * true of them.  Each has used 49 of 50 runs.
 */
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT :'library' <> '' AS other_library \gset
\if :other_library
UPDATE pg_proc SET probin = :'library' WHERE probin = '$libdir/usage_tracking';
\connect
\endif

SELECT usage.define_usage_limit('runs_ever', 'run', 50, 'lifetime', NULL);

CREATE SCHEMA runs;

CREATE FUNCTION runs.user_id(no integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN format('00000000-0000-4000-8000-%s', lpad(no::text, 12, '0'))::uuid;

SELECT count(usage.track_usage(runs.user_id(no), 'run', 49)) FROM generate_series(1, 3000) AS no;

/* What was started for a user. */
CREATE FUNCTION runs.of(no integer) RETURNS SETOF usage.usage_runs LANGUAGE sql AS
'SELECT r.* FROM usage.usage_runs AS r WHERE r.user_id = runs.user_id($1)';

/* Time is asked when the rows are known. */
CREATE VIEW runs.over AS
SELECT * FROM (
    SELECT r.user_id, 49 + count(*) FILTER (WHERE r.status = 'success') AS used,
           array_agg(r.expires_at) FILTER (WHERE r.status = 'running') AS running
      FROM usage.usage_runs AS r GROUP BY r.user_id OFFSET 0) AS s
 WHERE used + (SELECT count(*) FROM unnest(running) AS e WHERE e > clock_timestamp()) > 50;

CREATE VIEW runs.badly_ended AS
SELECT r.id, r.status, e.id AS event, e.status AS recorded
  FROM (SELECT * FROM usage.usage_runs WHERE status <> 'running') AS r
  FULL JOIN (SELECT * FROM usage.usage_events WHERE run_id IS NOT NULL) AS e ON e.user_id = r.user_id AND e.run_id = r.id
 WHERE (r.event_id = e.id AND r.status = e.status AND r.started_at = e.occurred_at) IS NOT TRUE;

CREATE VIEW runs.miscounted AS
SELECT r.user_id, r.used, c.used AS said
  FROM (SELECT user_id, 49 + count(*) FILTER (WHERE status = 'success' OR (status = 'running' AND expires_at > usage._usage_now())) AS used
          FROM usage.usage_runs GROUP BY user_id) AS r
 CROSS JOIN LATERAL usage.check_usage_limit(r.user_id, 'runs_ever') AS c
 WHERE r.used <> c.used;

CREATE VIEW runs.unusable AS
SELECT r.user_id, r.succeeded, c.allowed
  FROM (SELECT user_id, count(*) FILTER (WHERE status = 'success') AS succeeded FROM usage.usage_runs GROUP BY user_id) AS r
 CROSS JOIN LATERAL usage.check_usage_limit(r.user_id, 'run') AS c
 WHERE c.allowed <> (r.succeeded = 0);
