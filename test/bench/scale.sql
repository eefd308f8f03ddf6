/* Checks of :users users, each with ten events of the last 30 days in order of
 * time, and a database around them: sides/scale_*.sql.
 *   prompts_total  has a counter for everybody
 *   exports_daily  nobody has a counter of today's window yet
 *   exports_total  was defined after the events, so that all are summed
 * The index is made after the events, which makes loading faster and changes
 * nothing else.
 */
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET synchronous_commit = off;
SET maintenance_work_mem = '512MB';

CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
CREATE SCHEMA bench;
SELECT count(usage.create_usage_partition((date_trunc('month', now(), 'UTC') - n * interval '1 month')::date))
  FROM generate_series(0, 1) AS n \g /dev/null
SELECT usage.define_usage_limit('prompts_total', 'prompts', 2147483647, window_kind => 'lifetime') \g /dev/null
SELECT usage.define_usage_limit('exports_daily', 'exports', 2147483647) \g /dev/null

CREATE FUNCTION bench.user_id(n bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ('00000000-0000-0000-0000-' || pg_catalog.lpad(n::text, 12, '0'))::uuid;
SELECT format($$
    CREATE FUNCTION bench.some_user(n bigint) RETURNS uuid LANGUAGE sql VOLATILE
    AS 'SELECT bench.user_id(1 + floor(random() * %1$s)::bigint)';
    CREATE FUNCTION bench.some_active_user(n bigint) RETURNS uuid LANGUAGE sql VOLATILE
    AS 'SELECT bench.user_id(1 + floor(random() * %2$s)::bigint * %3$s)'
$$, :users, least(:users, 10000), greatest(:users / 10000, 1)) \gexec

CREATE TABLE bench.keys AS
    SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS removal,
           format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) AS addition
      FROM pg_constraint
     WHERE contype = 'p' AND conrelid IN (SELECT relid FROM pg_partition_tree('usage.usage_events') WHERE isleaf);
SELECT removal FROM bench.keys \gexec
INSERT INTO usage.usage_events (id, user_id, usage_type, status, quantity, tokens, cost, occurred_at)
SELECT nextval('usage.usage_events_id_seq'), bench.user_id(1 + n * 7919 % :users), CASE n / :users % 2 WHEN 0 THEN 'prompts' ELSE 'exports' END,
       'success', 1, 0, 0, now() - interval '30 days' + n * (2592000.0 / (:users * 10.0)) * interval '1 second'
  FROM generate_series(0, :users::bigint * 10 - 1) AS n;
SELECT addition FROM bench.keys \gexec

-- The first counter is the door's own, the others are like it.
SELECT allowed FROM usage.consume_usage(bench.user_id(1), 'prompts') \g /dev/null
INSERT INTO usage.usage_counters (user_id, limit_id, window_start, window_end, used)
SELECT bench.user_id(n), c.limit_id, c.window_start, c.window_end, 5
  FROM usage.usage_counters AS c, generate_series(2, :users) AS n
 WHERE c.user_id = bench.user_id(1);
VACUUM (ANALYZE, FREEZE) usage.usage_events, usage.usage_counters;
SELECT usage.define_usage_limit('exports_total', 'exports', 2147483647, window_kind => 'lifetime') \g /dev/null
SELECT 1 / (used = 5)::integer FROM usage.check_usage_limit(bench.user_id(2), 'exports_total') \g /dev/null
SELECT count(*) FROM usage.usage_counters \g /dev/null
CHECKPOINT;
SELECT format('%s users, %s events, %s', :users, :users::bigint * 10, pg_size_pretty(pg_database_size(current_database())));
