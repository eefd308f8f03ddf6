-- The table report_runs, the view user_monthly_usage and the function check_monthly_usage_limit()
-- of a report generator, over usage_tracking: see report-runs.md.
--   psql -v schema=app [-v role=authenticated] [-v server=backend] [-v from=public] -f report-runs.sql
\set ON_ERROR_STOP on
BEGIN; SET LOCAL client_min_messages = warning;
SELECT x.extnamespace::regnamespace AS usage, format_type(a.atttypid, NULL) AS user_id
  FROM pg_extension AS x JOIN pg_class AS c ON c.relnamespace = x.extnamespace AND c.relname = 'usage_runs'
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'user_id' WHERE x.extname ~ '^usage_tracking' \gset
CREATE SCHEMA IF NOT EXISTS :"schema";

SELECT :usage.install_seed_prices() \g /dev/null
SELECT :usage.define_usage_limit('runs_monthly', 'run', 50, 'calendar', '1 month')
 WHERE NOT EXISTS (SELECT FROM :usage.usage_limits AS l WHERE l.limit_type = 'runs_monthly') \g /dev/null

-- A run under the names of the table. What our runs have no column for is in their progress.
CREATE FUNCTION :"schema"._report_uuid(value text) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN value ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN value::uuid END;
COMMENT ON FUNCTION :"schema"._report_uuid(text) IS 'Internal: an id of the application, NULL if it is none';
CREATE FUNCTION :"schema"._report_run(
    run :usage.usage_run, OUT id uuid, OUT user_id :user_id, OUT repository_id uuid, OUT report_configuration_id uuid,
    OUT started_at timestamptz, OUT completed_at timestamptz, OUT status text, OUT configuration_snapshot jsonb,
    OUT tokens_used bigint, OUT model_used text, OUT cost_usd numeric, OUT commits_processed integer,
    OUT commit_range_from text, OUT commit_range_to text, OUT report_content text, OUT report_format text,
    OUT error_message text, OUT error_code text, OUT webhook_delivered boolean, OUT webhook_delivery_attempts integer,
    OUT webhook_last_attempt_at timestamptz, OUT webhook_response_status integer, OUT created_at timestamptz,
    OUT updated_at timestamptz, OUT run_id bigint, OUT counts boolean, OUT expires_at timestamptz,
    OUT input_tokens bigint, OUT output_tokens bigint) RETURNS SETOF record LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE(:"schema"._report_uuid(p ->> 'id'), lpad(to_hex(r.id), 32, '0')::uuid), r.user_id,
           :"schema"._report_uuid(r.resource_id), :"schema"._report_uuid(r.configuration_id),
           r.started_at, r.completed_at, r.status, r.configuration_snapshot, COALESCE(r.tokens, 0),
           COALESCE(r.model, p ->> 'model_used'), CASE WHEN r.event_id IS NULL THEN 0 ELSE r.cost END,
           CASE WHEN p ->> 'commits_processed' ~ '^[0-9]{1,9}$' THEN (p ->> 'commits_processed')::integer ELSE 0 END,
           p ->> 'commit_range_from', p ->> 'commit_range_to', r.output,
           COALESCE(r.output_format, p ->> 'report_format', 'markdown'), r.error_message, r.error_code,
           r.delivered, r.delivery_attempts, r.last_delivery_at, r.last_delivery_status,
           CASE WHEN p ->> 'created_at' ~ '^\d{4}-\d\d-\d\dT[\d:.]+[+-][\d:]+$' THEN (p ->> 'created_at')::timestamptz
                ELSE r.started_at END, r.updated_at, r.id, r.counts, r.expires_at, r.input_tokens, r.output_tokens
      FROM (SELECT (run).*) AS r, LATERAL (SELECT r.progress) AS q (p);
END;
COMMENT ON FUNCTION :"schema"._report_run(:usage.usage_run) IS 'Internal: a run as a row of report_runs';

-- list_runs() decides who may see them, and gives a thousand at a time.
CREATE VIEW :"schema".report_runs_now WITH (security_invoker = true, security_barrier = true) AS
    SELECT r.* FROM :usage.visible_users() AS u (user_id),
           LATERAL (WITH RECURSIVE page AS (
                SELECT l AS run, l.id, row_number() OVER (ORDER BY l.id DESC) AS n FROM :usage.list_runs(u.user_id, 1000) AS l
                 UNION ALL
                SELECT x.* FROM page, LATERAL (SELECT l, l.id, row_number() OVER (ORDER BY l.id DESC)
                                                 FROM :usage.list_runs(u.user_id, 1000, 0, page.id) AS l) AS x
                 WHERE page.n = 1000) SELECT page.run FROM page) AS p,
           LATERAL :"schema"._report_run(p.run) AS r
     WHERE (p.run).usage_type = 'run' AND r.user_id = u.user_id;
COMMENT ON VIEW :"schema".report_runs_now IS 'The report runs of every user you may see; an INSERT starts one';

-- INSERT starts a run, UPDATE ends it, says how far it is or records a delivery; what then is not as told is an error.
CREATE FUNCTION :"schema"._write_report_run() RETURNS trigger LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, :usage, :"schema", pg_temp AS $$
DECLARE
    free  CONSTANT text[] := '{completed_at,updated_at,expires_at,webhook_last_attempt_at,webhook_delivery_attempts}';
    told  jsonb;  -- by the statement
    begun usage_decision; other text;
    cost  numeric := NULLIF(NEW.cost_usd, OLD.cost_usd);  -- else by the price of the model
    done  jsonb := jsonb_strip_nulls(jsonb_build_object('id', COALESCE(OLD.id, NEW.id), 'model_used', NEW.model_used,
        'commits_processed', NEW.commits_processed, 'commit_range_from', NEW.commit_range_from,
        'commit_range_to', NEW.commit_range_to, 'report_format', NEW.report_format,
        'created_at', CASE WHEN OLD.created_at <> OLD.started_at THEN OLD.created_at END));
BEGIN
    IF TG_OP = 'INSERT' THEN
        begun := start_run(NEW.user_id, 'run', COALESCE(NEW.expires_at - _usage_now(), '1 hour'), COALESCE(NEW.counts, true),
            CASE WHEN NEW.repository_id IS NOT NULL THEN 'repository' END, NEW.repository_id::text,
            NEW.report_configuration_id::text, NEW.configuration_snapshot, done, idempotency_key => 'report_runs:' || NEW.id);
        IF NOT begun.allowed THEN
            RAISE EXCEPTION USING CONSTRAINT = COALESCE(begun.limit_type, ''),
                ERRCODE = CASE begun.reason WHEN 'expired' THEN '23505' WHEN 'insufficient_credits' THEN 'UT003' ELSE 'UT001' END,
                MESSAGE = CASE begun.reason WHEN 'expired' THEN 'report run is over' ELSE 'no report run: ' || begun.reason END,
                DETAIL = format('Used %s of %s, resets at %s.', begun.used, begun.max_usage, begun.reset_at);
        END IF;
        IF begun.id IS NULL THEN RETURN NEW; END IF;  -- usage_tracking.enabled is off
        told := jsonb_strip_nulls(to_jsonb(NEW) - '{started_at,created_at,configuration_snapshot}'::text[]);
    ELSE
        begun.id := OLD.run_id; NEW.error_message := left(NEW.error_message, 1000);
        told := (SELECT jsonb_object_agg(n.key, n.value) FROM jsonb_each(to_jsonb(NEW)) AS n
                  WHERE n.value IS DISTINCT FROM to_jsonb(OLD) -> n.key);
        NEW.input_tokens := COALESCE(NEW.input_tokens, NEW.tokens_used); NEW.output_tokens := COALESCE(NEW.output_tokens, 0);
        IF told ->> 'status' = 'success' THEN
            PERFORM succeed_run(OLD.user_id, OLD.run_id, NULL, NEW.model_used, NEW.input_tokens, NEW.output_tokens, 0, 0, cost,
                                NEW.report_content, NEW.report_format, done);
        ELSIF told ->> 'status' = 'failed' THEN
            PERFORM fail_run(OLD.user_id, OLD.run_id, NEW.error_message, NEW.error_code, NULL, NEW.model_used,
                             NEW.input_tokens, NEW.output_tokens, 0, 0, cost, done);
        ELSIF told ->> 'status' = 'cancelled' THEN
            PERFORM cancel_run(OLD.user_id, begun.id, NULL, NEW.model_used, NEW.input_tokens, NEW.output_tokens, 0, 0, cost, done);
        ELSIF told ?| '{commits_processed,commit_range_from,commit_range_to,report_format,model_used,expires_at}' THEN
            PERFORM update_run(OLD.user_id, begun.id, done, CASE WHEN told ? 'expires_at' THEN NEW.expires_at - _usage_now() END);
        END IF;
        IF told ?| '{webhook_delivered,webhook_delivery_attempts,webhook_last_attempt_at,webhook_response_status}' THEN
            PERFORM record_delivery(OLD.user_id, OLD.run_id, NEW.webhook_delivered, NEW.webhook_response_status);
        END IF;
    END IF;
    SELECT r.* INTO NEW FROM _report_run(get_run(COALESCE(OLD.user_id, NEW.user_id), begun.id)) AS r;
    SELECT string_agg(key, ', ') INTO other FROM jsonb_each(told - free) WHERE value IS DISTINCT FROM to_jsonb(NEW) -> key;
    IF other IS NOT NULL AND current_setting('usage_tracking.enabled')::boolean THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('a report run that is %s does not take this: %s', COALESCE(OLD.status, 'new'), other);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION :"schema"._write_report_run() IS 'Internal: writes report_runs';
CREATE TRIGGER write_report_run INSTEAD OF INSERT OR UPDATE ON :"schema".report_runs_now
    FOR EACH ROW EXECUTE FUNCTION :"schema"._write_report_run();

\if :{?from}
-- Moving in: all runs with the events they ended with; and nothing, unless what is there then is what was.
LOCK TABLE :"from".report_runs IN ACCESS EXCLUSIVE MODE;
SET LOCAL usage_tracking.max_event_age = '20000d'; SET LOCAL usage_tracking.alert_thresholds = '';
INSERT INTO :usage.usage_runs
SELECT w.user_id, nextval(:'usage' || '.usage_reservations_id_seq'), 'run', w.status, true, w.started_at,
       w.started_at + '1 hour', w.completed_at, w.updated_at, CASE WHEN w.repository_id IS NOT NULL THEN 'repository' END,
       w.repository_id, w.report_configuration_id, w.configuration_snapshot, jsonb_strip_nulls(jsonb_build_object('id', w.id,
           'commits_processed', w.commits_processed, 'commit_range_from', w.commit_range_from,
           'commit_range_to', w.commit_range_to, 'report_format', w.report_format, 'model_used', w.model_used,
           'created_at', NULLIF(w.created_at, w.started_at))),
       CASE WHEN w.status <> 'running' THEN :usage.track_usage(w.user_id, 'run', 1, w.tokens_used, w.cost_usd, w.status,
           duration_ms => (EXTRACT(epoch FROM w.completed_at - w.started_at) * 1000)::bigint, occurred_at => w.started_at) END,
       w.report_content, w.report_format, w.error_code, w.error_message, w.webhook_delivered, w.webhook_delivery_attempts,
       w.webhook_last_attempt_at, w.webhook_response_status
  FROM (SELECT * FROM :"from".report_runs ORDER BY started_at, id) AS w;
SELECT :usage.prove_same_rows(format('SELECT to_jsonb(w) AS run FROM %I.report_runs AS w', :'from'), format($$
           SELECT to_jsonb(r) - '{run_id,counts,expires_at,input_tokens,output_tokens}'::text[]
                  || CASE r.status WHEN 'expired' THEN '{"status": "running"}' ELSE '{}' END::jsonb AS run
             FROM %I.report_runs_now AS r$$, :'schema'), 'report runs') \g /dev/null
ALTER TABLE :"from".report_runs RENAME TO report_runs_before;
ALTER VIEW IF EXISTS :"from".user_monthly_usage RENAME TO user_monthly_usage_before;
DROP FUNCTION IF EXISTS :"from".check_monthly_usage_limit(:user_id, integer);
\endif
ALTER VIEW :"schema".report_runs_now RENAME TO report_runs;

CREATE VIEW :"schema".user_monthly_usage WITH (security_invoker = true, security_barrier = true) AS
    SELECT m.user_id, m.month, m.total_runs, m.successful_runs, m.failed_runs, m.total_tokens, m.total_cost_usd, m.last_run_at
      FROM :usage.user_monthly_usage AS m;
COMMENT ON VIEW :"schema".user_monthly_usage IS 'The runs of every user you may see, by month';
CREATE FUNCTION :"schema".check_monthly_usage_limit(user_id :user_id, run_limit integer DEFAULT 50) RETURNS boolean
LANGUAGE sql STABLE PARALLEL UNSAFE RETURN :usage.check_monthly_usage_limit($1, $2);
COMMENT ON FUNCTION :"schema".check_monthly_usage_limit(:user_id, integer) IS 'Whether the user can run more this month';

-- For end users (role) and the application's server.
\if :{?role}
SELECT :usage.grant_usage_access(:'role') \g /dev/null
GRANT USAGE ON SCHEMA :"schema" TO :"role"; GRANT SELECT ON :"schema".report_runs, :"schema".user_monthly_usage TO :"role";
\endif
\if :{?server}
SELECT :usage.grant_usage_access(:'server', server => true) \g /dev/null
GRANT USAGE ON SCHEMA :"schema" TO :"server"; GRANT INSERT, UPDATE ON :"schema".report_runs TO :"server";
GRANT SELECT ON :"schema".report_runs, :"schema".user_monthly_usage TO :"server";
\endif
COMMIT;
