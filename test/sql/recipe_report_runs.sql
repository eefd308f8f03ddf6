/* recipes: report-runs, the system of seed 004 (S4), in a database of its own
 *
 * Ids of runs are made by md5() and not shown: they stay of type UUID where user
 * ids are of another type.
 */
\set home :DBNAME
\getenv dir PG_ABS_SRCDIR
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set cy '00000000-0000-0000-0000-00000000000c'
\set recipe :dir /../doc/recipes/report-runs.sql
\setenv RECIPE :recipe
\setenv PGOPTIONS '-c usage_tracking.clock=2026-03-10T12:00+00'
CREATE DATABASE regress_report_runs;
\c regress_report_runs
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET usage_tracking.clock = '2026-03-10 12:00+00';
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
CREATE ROLE regress_report_user;
CREATE ROLE regress_report_server;
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid PRIMARY KEY, email text);
INSERT INTO auth.users VALUES (:'ann', 'ann@example.com'), (:'bob', 'bob@example.com'), (:'cy', 'cy@example.com');

-- ---- moving in: the table as S4:21-61 prints it, with runs in it ----

CREATE SCHEMA app;
SET search_path = app;
CREATE TABLE repositories (id UUID PRIMARY KEY);
CREATE TABLE report_configurations (id UUID PRIMARY KEY);
CREATE TABLE report_runs (
  id UUID PRIMARY KEY,
  user_id uuid REFERENCES auth.users(id),
  repository_id UUID REFERENCES repositories(id),
  report_configuration_id UUID REFERENCES report_configurations(id),

  -- Run metadata
  started_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
  completed_at TIMESTAMP WITH TIME ZONE,
  status TEXT CHECK (status IN ('running', 'success', 'failed', 'cancelled')),

  -- Configuration snapshot (for historical tracking)
  configuration_snapshot JSONB,

  -- AI/LLM usage tracking
  tokens_used INTEGER DEFAULT 0,
  model_used TEXT,
  cost_usd DECIMAL(10, 6) DEFAULT 0,

  -- Git data
  commits_processed INTEGER DEFAULT 0,
  commit_range_from TEXT,
  commit_range_to TEXT,

  -- Output
  report_content TEXT,
  report_format TEXT DEFAULT 'markdown',

  -- Error tracking
  error_message TEXT,
  error_code TEXT,

  -- Delivery tracking
  webhook_delivered BOOLEAN DEFAULT FALSE,
  webhook_delivery_attempts INTEGER DEFAULT 0,
  webhook_last_attempt_at TIMESTAMP WITH TIME ZONE,
  webhook_response_status INTEGER,

  created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
  updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);
-- its view and its function, as their descriptions say (S4:64-80)
CREATE VIEW user_monthly_usage AS
SELECT user_id, date_trunc('month', created_at) AS month, count(*) AS total_runs,
       count(*) FILTER (WHERE status = 'success') AS successful_runs, count(*) FILTER (WHERE status = 'failed') AS failed_runs,
       sum(tokens_used) AS total_tokens, sum(cost_usd) AS total_cost_usd, max(created_at) AS last_run_at
  FROM report_runs GROUP BY 1, 2;
CREATE FUNCTION check_monthly_usage_limit(p_user_id uuid, p_limit integer DEFAULT 50) RETURNS boolean LANGUAGE sql AS
$$ SELECT count(*) < p_limit FROM report_runs WHERE user_id = p_user_id AND status = 'success' $$;
SELECT md5('repository') AS repository, md5('configuration') AS configuration \gset
INSERT INTO repositories VALUES (:'repository');
INSERT INTO report_configurations VALUES (:'configuration');
INSERT INTO report_runs (id, user_id, repository_id, started_at, completed_at, status, configuration_snapshot, tokens_used, model_used,
                         cost_usd, commits_processed, commit_range_from, commit_range_to, report_content, error_message, error_code,
                         webhook_delivered, webhook_delivery_attempts, webhook_last_attempt_at, webhook_response_status, created_at, updated_at)
SELECT md5('old ' || n)::UUID, CASE n % 2 WHEN 0 THEN '00000000-0000-0000-0000-00000000000a' ELSE '00000000-0000-0000-0000-00000000000b' END::uuid,
       :'repository'::UUID, t, CASE WHEN s <> 'running' THEN t + '90.5 s'::interval END, s, '{"format": "markdown", "secret": "s"}',
       CASE WHEN s = 'running' AND n > 3 THEN 0 ELSE 100 * n END, 'gpt-4o-mini', CASE WHEN s = 'running' THEN 0 ELSE 0.001 * n END,
       n, 'a' || n, 'b' || n, CASE s WHEN 'success' THEN '# Report ' || n END,
       CASE s WHEN 'failed' THEN repeat('e', 1200) END, CASE s WHEN 'failed' THEN 'E' || n END, n % 5 = 0, n % 4, t, 200 + n,
       t - n % 2 * '1 ms'::interval, t + '2 min'::interval
  FROM generate_series(1, 12) AS n,
       LATERAL (SELECT timestamptz '2025-12-30 12:00+00' + n * '5 days'::interval AS t,
                       (ARRAY['success', 'success', 'running', 'failed', 'cancelled'])[1 + n % 5] AS s) AS x;
CREATE TABLE public.was AS TABLE report_runs;

-- a run that used tokens before its end is none of ours: nothing is moved, all is as before
SELECT id IS NOT NULL, status, tokens_used FROM report_runs WHERE status = 'running' AND tokens_used > 0;
\! psql -X -q -d regress_report_runs -v schema=app -v from=app -f "$RECIPE" 2>&1 | grep -o 'ERROR: .*'
SELECT relkind FROM pg_class WHERE oid = 'report_runs'::regclass;
SELECT count(*) FROM usage.usage_runs;
SELECT count(*) FROM usage.usage_limits;
UPDATE report_runs SET tokens_used = 0 WHERE status = 'running';
UPDATE public.was SET tokens_used = 0 WHERE status = 'running';
CREATE TABLE public.monthly AS TABLE user_monthly_usage;
\! psql -X -q -d regress_report_runs -v schema=app -v from=app -v role=regress_report_user -v server=regress_report_server -f "$RECIPE" 2>&1
SELECT relkind FROM pg_class WHERE oid = 'report_runs'::regclass;
SELECT count(*), bool_and(to_jsonb(w) = to_jsonb(b)) FROM public.was AS w JOIN report_runs_before AS b USING (id);
SELECT count(*), bool_and(to_jsonb(r) @> (to_jsonb(w) - 'status')), count(*) FILTER (WHERE r.status = w.status),
       count(*) FILTER (WHERE r.status = 'expired' AND w.status = 'running')
  FROM public.was AS w FULL JOIN report_runs AS r USING (id);
SELECT * FROM user_monthly_usage ORDER BY user_id, month;
SELECT count(*), bool_and((n.total_runs, n.successful_runs, n.failed_runs, n.total_tokens, n.total_cost_usd)
                        = (m.total_runs, m.successful_runs, m.failed_runs, m.total_tokens, m.total_cost_usd))
  FROM public.monthly AS m FULL JOIN user_monthly_usage AS n USING (user_id, month);
SELECT * FROM usage.reconcile_usage();
SELECT * FROM usage.usage_security_check();
-- a second time
\! psql -X -q -d regress_report_runs -v schema=app -f "$RECIPE" 2>&1 | grep -o 'ERROR: .*'

-- ---- every column the seed prints (S4:22-60) ----

SELECT count(*) FROM information_schema.columns AS o LEFT JOIN information_schema.columns AS n
    ON n.table_schema = 'app' AND n.table_name = 'report_runs' AND n.column_name = o.column_name AND n.ordinal_position <= 24
 WHERE o.table_schema = 'app' AND o.table_name = 'report_runs_before' AND n.column_name IS NULL;

-- ---- ReportRunsService (S4:89-141) ----

SELECT md5('run 1') AS run1, md5('run 2') AS run2, md5('run 3') AS run3 \gset
SET ROLE regress_report_server;
-- checkUsageLimit
SELECT check_monthly_usage_limit(:'ann'), check_monthly_usage_limit(:'ann', 0);
-- getMonthlyUsage: null before the first run of the month
SELECT * FROM user_monthly_usage WHERE user_id = :'ann' AND month = '2026-03-01';
-- createReportRun; a repeated one is the same run
INSERT INTO report_runs (id, user_id, repository_id, report_configuration_id, status, configuration_snapshot, started_at)
VALUES (:'run1', :'ann', :'repository', :'configuration', 'running', '{"format": "markdown", "webhook_secret": "s"}', now())
RETURNING id = :'run1', repository_id = :'repository', report_configuration_id = :'configuration', started_at, status,
          configuration_snapshot, tokens_used, cost_usd, commits_processed, report_format, webhook_delivered, created_at = started_at;
INSERT INTO report_runs (id, user_id) VALUES (:'run1', :'ann') RETURNING commits_processed;
SELECT count(*) FROM report_runs WHERE user_id = :'ann' AND started_at > '2026-03-01';
-- updateReportRun
RESET ROLE;
SET usage_tracking.clock = '2026-03-10 12:10+00';
SET ROLE regress_report_server;
UPDATE report_runs SET commits_processed = 12, commit_range_from = 'a1b2', commit_range_to = 'c3d4' WHERE id = :'run1' AND user_id = :'ann'
RETURNING commits_processed, commit_range_from, commit_range_to, updated_at, expires_at;
UPDATE report_runs SET expires_at = '2026-03-10 14:00+00' WHERE id = :'run1' AND user_id = :'ann' RETURNING commits_processed, expires_at;
-- markRunAsSuccess
RESET ROLE;
SET usage_tracking.clock = '2026-03-10 12:20+00';
SET ROLE regress_report_server;
UPDATE report_runs SET status = 'success', completed_at = now(), tokens_used = 3, model_used = 'gpt-4o-mini', report_content = '# Report'
 WHERE id = :'run1' AND user_id = :'ann'
RETURNING status, completed_at, tokens_used, model_used, cost_usd, commits_processed, report_content, report_format;
UPDATE report_runs SET status = 'success', tokens_used = 3 WHERE id = :'run1' AND user_id = :'ann' RETURNING cost_usd;
-- markRunAsFailed, however long the message
INSERT INTO report_runs (id, user_id, report_format) VALUES (:'run2', :'ann', 'html') RETURNING report_format;
UPDATE report_runs SET status = 'failed', error_message = repeat('e', 5000), error_code = 'E_TIMEOUT', input_tokens = 1000, output_tokens = 100,
       model_used = 'gpt-4o-mini' WHERE id = :'run2' AND user_id = :'ann'
RETURNING status, length(error_message), error_code, tokens_used, input_tokens, output_tokens, cost_usd;
-- cancelled; without an id a run gets one
INSERT INTO report_runs (user_id) VALUES (:'ann') RETURNING id IS NOT NULL, status;
UPDATE report_runs SET status = 'cancelled' WHERE user_id = :'ann' AND status = 'running' RETURNING status, cost_usd;
-- updateWebhookDelivery; D4-11: every attempt is kept
UPDATE report_runs SET webhook_delivered = false, webhook_delivery_attempts = webhook_delivery_attempts + 1, webhook_last_attempt_at = now(),
       webhook_response_status = 503 WHERE id = :'run1' AND user_id = :'ann' RETURNING webhook_delivered, webhook_delivery_attempts;
RESET ROLE;
SET usage_tracking.clock = '2026-03-10 12:30+00';
SET ROLE regress_report_server;
UPDATE report_runs SET webhook_delivered = true, webhook_delivery_attempts = webhook_delivery_attempts + 1, webhook_response_status = 200
 WHERE id = :'run1' AND user_id = :'ann' RETURNING webhook_delivered, webhook_delivery_attempts, webhook_last_attempt_at, webhook_response_status;
SELECT d.* FROM report_runs AS r, LATERAL usage.get_run_deliveries(r.user_id, r.run_id) AS d WHERE r.id = :'run1' AND r.user_id = :'ann';
-- getReportRunsByUserId
SELECT status, tokens_used, cost_usd FROM report_runs WHERE user_id = :'ann' ORDER BY created_at DESC, run_id DESC LIMIT 2 OFFSET 1;
-- D4-11: a page has an end
SELECT count(*) FROM usage.list_runs(:'ann', 100000);
-- getReportRunById; somebody else's is none
SELECT status FROM report_runs WHERE id = :'run1' AND user_id = :'ann';
SELECT status FROM report_runs WHERE id = :'run1' AND user_id = :'bob';

-- ---- REST: GET /report-runs, /report-runs/usage, /report-runs/:id, as the user ----

RESET ROLE;
SET usage_tracking.user_id = :'ann';
SET ROLE regress_report_user;
SELECT status FROM report_runs ORDER BY created_at DESC, run_id DESC LIMIT 50 OFFSET 0;
SELECT jsonb_pretty((usage.run_usage(usage.current_user_id()) #- '{monthlyUsage,unpriced_runs}') - '{usagePercent,usageWarning}'::text[]);
SELECT status FROM report_runs WHERE id = :'run1';
RESET ROLE;
-- the keys are those of S4:220-235
SELECT array_agg(k ORDER BY k) = '{canRunMore,monthlyLimit,monthlyUsage}' FROM jsonb_object_keys(usage.run_usage(:'ann') - '{usagePercent,usageWarning}'::text[]) AS k;

-- ---- the scheduler, at 49 of 50: a place for one ----

-- D4-4 and D4-6: 500 starts at 49 of 50
SELECT 'start' FROM usage.track_usage(:'cy', 'run', 49) AS event;
CREATE FUNCTION try_to_start(n integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    reached text;
BEGIN
    INSERT INTO app.report_runs (user_id) VALUES ('00000000-0000-0000-0000-00000000000c');
    RETURN 'started';
EXCEPTION WHEN SQLSTATE 'UT001' THEN
    GET STACKED DIAGNOSTICS reached = CONSTRAINT_NAME;
    RETURN reached;
END
$$;
SELECT try_to_start(n), count(*) FROM generate_series(1, 500) AS n GROUP BY 1 ORDER BY 1;
INSERT INTO report_runs (user_id) VALUES (:'cy');
-- ... and one that crashed holds its place for an hour, not for ever
SET usage_tracking.clock = '2026-03-10 13:30+00';
SELECT status FROM report_runs WHERE user_id = :'cy';
SELECT usage.run_usage(:'cy') -> 'canRunMore';
-- what a crashed run used can still be told
UPDATE report_runs SET status = 'failed', tokens_used = 500, model_used = 'gpt-4o-mini' WHERE user_id = :'cy' RETURNING status, cost_usd;
-- D4-12: the warning at 80 %, in the answer and as an alert
SELECT usage.run_usage(:'cy') ->> 'usageWarning';
SELECT threshold FROM usage.get_usage_alerts(:'cy');

-- ---- what must not be possible ----

-- D4-1: the user cannot make room for himself
SET usage_tracking.user_id = :'cy';
SET ROLE regress_report_user;
UPDATE report_runs SET status = 'failed';
DELETE FROM report_runs;
INSERT INTO report_runs (user_id) VALUES (:'cy');
-- not even if the application grants too much, as default privileges do
RESET ROLE;
GRANT ALL ON report_runs TO regress_report_user;
INSERT INTO report_runs (id, user_id) VALUES (:'run3', :'ann') RETURNING status;
SET usage_tracking.user_id = :'ann';
SET ROLE regress_report_user;
UPDATE report_runs SET status = 'failed' WHERE id = :'run3';
DELETE FROM report_runs;
INSERT INTO report_runs (user_id) VALUES (:'ann');
-- D4-2: each sees his own
SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'app'::regnamespace AND relkind = 'v' AND relname !~ 'before' ORDER BY 1;
SELECT DISTINCT user_id FROM user_monthly_usage;
SELECT DISTINCT user_id FROM report_runs;
-- D4-3: no questions about others; and a limit of one's own is a question only
SELECT check_monthly_usage_limit(:'bob');
SELECT check_monthly_usage_limit(:'ann', 1000000);
RESET ROLE;
RESET usage_tracking.user_id;
SELECT usage.set_user_limit(:'ann', 'runs_monthly', 0);
SELECT check_monthly_usage_limit(:'ann', 1000000), usage.run_usage(:'ann') -> 'canRunMore';
SELECT usage.set_user_limit(:'ann', 'runs_monthly', 50);
-- D4-9: a status and a user there must be
INSERT INTO report_runs (user_id, status) VALUES (:'bob', NULL) RETURNING status;
UPDATE report_runs SET status = NULL WHERE id = :'run3' AND user_id = :'ann';
INSERT INTO report_runs (status) VALUES ('running');
-- D4-10: success does not become failed, nor a run something else than it is
UPDATE report_runs SET status = 'failed' WHERE id = :'run1' AND user_id = :'ann';
UPDATE report_runs SET status = 'running' WHERE id = :'run1' AND user_id = :'ann';
UPDATE report_runs SET tokens_used = 0, cost_usd = 0 WHERE id = :'run1' AND user_id = :'ann';
UPDATE report_runs SET user_id = :'bob' WHERE id = :'run1' AND user_id = :'ann';
UPDATE report_runs SET id = md5('x')::UUID, commits_processed = 3 WHERE id = :'run3' AND user_id = :'ann';
UPDATE report_runs SET started_at = now() WHERE id = :'run1' AND user_id = :'ann';
UPDATE report_runs SET commits_processed = 99 WHERE id = :'run1' AND user_id = :'ann';
UPDATE report_runs SET status = 'done' WHERE id = :'run3' AND user_id = :'ann';
INSERT INTO report_runs (user_id, status, tokens_used) VALUES (:'ann', 'success', 5);
INSERT INTO report_runs (id, user_id) VALUES (:'run1', :'ann');
UPDATE report_runs SET commit_range_from = repeat(md5('x'), 1000) WHERE id = :'run3' AND user_id = :'ann';

-- ---- money ----

-- D4-7: three tokens cost what they cost (above), and with the classes kept they can be priced anew
SELECT i.total_cost, o.total_cost FROM usage.calculate_llm_cost(NULL, 'gpt-4o-mini', 1000, 0) AS i, usage.calculate_llm_cost(NULL, 'gpt-4o-mini', 0, 1000) AS o;
-- D4-6: what nobody knows is not 0
UPDATE report_runs SET status = 'success', tokens_used = 100, model_used = 'unheard-of' WHERE id = :'run3' AND user_id = :'ann' RETURNING tokens_used, cost_usd;
-- D4-5: a test takes no place but costs; a budget ends it, as it ends failing
SELECT usage.define_usage_limit('runs_budget', 'run', 0.01, 'calendar', '1 month', measure => 'cost', statuses => '{success,failed,cancelled}');
INSERT INTO report_runs (user_id, counts) VALUES (:'cy', false) RETURNING counts;
UPDATE report_runs SET status = 'success', tokens_used = 15420, cost_usd = 0.0234 WHERE user_id = :'cy' AND status = 'running' RETURNING tokens_used, cost_usd, counts;
SELECT total_runs, total_tokens, total_cost_usd FROM user_monthly_usage WHERE user_id = :'cy';
INSERT INTO report_runs (user_id, counts) VALUES (:'cy', false);
-- D4-8: months are those of the user, whatever the session's zone
SELECT usage.set_user_clock(:'bob', 'America/Los_Angeles');
SET usage_tracking.clock = '2026-04-01 02:00+00';
INSERT INTO report_runs (user_id) VALUES (:'bob') RETURNING started_at;
SELECT month, total_runs FROM user_monthly_usage WHERE user_id = :'bob' AND month > '2026-02-15';
SET TimeZone = 'Asia/Tokyo';
SELECT extract(epoch FROM month), total_runs FROM user_monthly_usage WHERE user_id = :'bob' AND month > '2026-02-15';
SET TimeZone = 'UTC';
SELECT * FROM usage.reconcile_usage();

-- ---- more runs than one page ----

SET usage_tracking.enforce_limits = off;
INSERT INTO report_runs (user_id, counts) SELECT :'bob', false FROM generate_series(1, 1100);
SELECT count(*) > 1100, count(*) = count(DISTINCT run_id) FROM report_runs WHERE user_id = :'bob';
-- switched off, nothing is recorded and the application goes on
SET usage_tracking.enabled = off;
INSERT INTO report_runs (user_id) VALUES (:'bob') RETURNING user_id, run_id;
SELECT max(run_id) AS last FROM report_runs WHERE user_id = :'bob' \gset
UPDATE report_runs SET status = 'success', tokens_used = 5 WHERE user_id = :'bob' AND run_id = :last RETURNING status, tokens_used;

\c :home
DROP DATABASE regress_report_runs;
DROP ROLE regress_report_user;
DROP ROLE regress_report_server;
