-- The tables api_usage, user_subscriptions, usage_alerts, api_rate_limits, usage_aggregations and campaigns of an AI
-- gateway with a demo plan, over usage_tracking: see ai-gateway.md.
--   psql -v schema=app [-v users=auth.users] [-v role=authenticated] [-v server=backend] [-v from=public] -f ai-gateway.sql
\set ON_ERROR_STOP on
\if :{?users} \else \set users auth.users \endif
BEGIN; SET LOCAL client_min_messages = warning;
SELECT x.extnamespace::regnamespace AS usage FROM pg_extension AS x WHERE x.extname ~ '^usage_tracking' \gset
CREATE SCHEMA IF NOT EXISTS :"schema";

-- Everybody who has no plan yet is on the demo, which has no limits.
SELECT :usage.install_demo_plan(), :usage.install_seed_prices() \g /dev/null
SELECT :usage.attach_users(:'users'::text::regclass)
 WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgfoid = (:'usage' || '.handle_new_user')::regproc) \g /dev/null
SELECT :usage.set_plan_limit('demo', limit_type, -1) FROM :usage.plan_limits WHERE (plan, max_usage) = ('demo', 999999) \g /dev/null
SELECT :usage.set_user_plan(s.user_id, 'demo') FROM :usage.user_subscriptions AS s WHERE s.plan IS NULL \g /dev/null

-- A sign-up gets the demo, as long as that has limits of its own: after our trigger, which is first by name, and never
-- failing. The demo ends when the last of those on it were put on the free plan.
CREATE FUNCTION :"schema"._keep_demo() RETURNS trigger LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, :usage, pg_temp AS $$
DECLARE who user_subscriptions.user_id%TYPE;
BEGIN
    IF TG_OP = 'INSERT' THEN
        BEGIN  -- as text: to compare may need a cast, which may be one of whoever owns the table
            EXECUTE format('SELECT format(''%%s'', ($1).%I)', TG_ARGV[0]) INTO who USING NEW;
            UPDATE user_subscriptions AS s SET plan = 'demo'
             WHERE s.user_id = who AND s.plan IS NULL AND EXISTS (SELECT FROM plan_limits AS l WHERE l.plan = 'demo')
               AND EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = TG_RELID AND t.tgfoid = 'handle_new_user'::regproc);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING USING MESSAGE = format('a new user is not on the demo: %s', SQLERRM);
        END;
    ELSIF NOT EXISTS (SELECT FROM user_subscriptions AS s WHERE s.plan = 'demo')
          AND EXISTS (SELECT FROM user_subscriptions AS s WHERE s.plan = 'free') THEN
        PERFORM set_plan_limit('demo', l.limit_type, NULL) FROM plan_limits AS l WHERE l.plan = 'demo';
    END IF;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION :"schema"._keep_demo() FROM PUBLIC;
COMMENT ON FUNCTION :"schema"._keep_demo() IS 'Internal: after a sign-up, and after an UPDATE of user_subscriptions';
SELECT tgrelid::regclass AS attached,
       convert_from(substring(tgargs FOR position('\000'::bytea IN tgargs) - 1), getdatabaseencoding()) AS id
  FROM pg_trigger WHERE tgfoid = (:'usage' || '.handle_new_user')::regproc \gset
CREATE TRIGGER user_subscribed AFTER INSERT ON :attached FOR EACH ROW EXECUTE FUNCTION :"schema"._keep_demo(:'id');

-- With the rights of their owner: names of plans, which are no secret, and Stripe's customers for who may read that column.
-- A view of two relations takes no writes, whatever default privileges give away.
CREATE VIEW :"schema"._plans WITH (security_barrier = true) AS SELECT p.plan, p.name FROM :usage.plans AS p, (VALUES (1)) AS one (n);
COMMENT ON VIEW :"schema"._plans IS 'Internal: the names of plans';
CREATE VIEW :"schema"._customers WITH (security_barrier = true) AS
    SELECT s.user_id, s.stripe_customer_id FROM :usage.user_subscriptions AS s, (VALUES (1)) AS one (row)
     WHERE has_column_privilege(:'usage' || '.user_subscriptions', 'stripe_customer_id', 'SELECT')
       AND (s.user_id = (SELECT :usage.current_user_id()) OR (SELECT :usage._sees_all_users()));
COMMENT ON VIEW :"schema"._customers IS 'Internal: who users are at Stripe';

CREATE VIEW :"schema".user_subscriptions_now WITH (security_invoker = true, security_barrier = true) AS
    SELECT u.user_id, w.plan AS plan_type, p.name AS plan_name, s.status,
           w.max[1] AS content_generations_limit, w.used[1] AS content_generations_used,
           w.max[2] AS image_generations_limit, w.used[2] AS image_generations_used,
           w.max[3] AS video_generations_limit, w.used[3] AS video_generations_used,
           w.max[4] AS chat_messages_limit, w.used[4] AS chat_messages_used,
           w.since AS billing_period_start, w.until AS billing_period_end, c.stripe_customer_id, s.started_at AS created_at
      FROM :usage.visible_users() AS u (user_id) JOIN :usage.user_subscriptions AS s ON s.user_id = u.user_id
      LEFT JOIN :"schema"._customers AS c ON c.user_id = u.user_id
     CROSS JOIN LATERAL (SELECT min(l.plan) AS plan, min(l.window_start) AS since, max(l.reset_at) AS until,
                           array_agg(CASE l.max_usage WHEN -1 THEN 999999 ELSE l.max_usage END ORDER BY n.n) AS max,
                           array_agg(l.used ORDER BY n.n) AS used
                      FROM unnest('{content_generations,image_generations,video_generations,chat_messages}'::text[])
                           WITH ORDINALITY AS n (limit_type, n)
                      LEFT JOIN :usage.user_usage AS l ON l.user_id = u.user_id AND l.limit_type = n.limit_type) AS w
      LEFT JOIN :"schema"._plans AS p ON p.plan = w.plan;
COMMENT ON VIEW :"schema".user_subscriptions_now IS 'The plan of every user you may see, what he may use a month and has used';

-- An UPDATE puts the user on a plan, sets limits of his own where they are not the plan's, or adjusts what he used.
CREATE FUNCTION :"schema"._update_subscription() RETURNS trigger LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, :usage, :"schema", pg_temp AS $$
DECLARE told jsonb := (SELECT jsonb_object_agg(n.key, n.value) FROM jsonb_each(to_jsonb(NEW)) AS n
                        WHERE n.value IS DISTINCT FROM to_jsonb(OLD) -> n.key);
        other text;
BEGIN
    IF told ? 'plan_type' THEN PERFORM set_user_plan(OLD.user_id, NEW.plan_type); END IF;
    IF told ? 'plan_name' AND NEW.plan_name <> (SELECT p.name FROM _plans AS p WHERE p.plan = NEW.plan_type) THEN
        UPDATE plans AS p SET name = NEW.plan_name WHERE p.plan = NEW.plan_type;
    END IF;
    IF told ? 'stripe_customer_id' THEN
        UPDATE user_subscriptions AS s SET stripe_customer_id = NEW.stripe_customer_id WHERE s.user_id = OLD.user_id;
    END IF;
    UPDATE user_usage AS w
       SET max_usage = CASE told ->> (w.limit_type || '_limit') WHEN '999999' THEN -1
                            ELSE COALESCE((told ->> (w.limit_type || '_limit'))::numeric, w.max_usage) END,
           used = COALESCE((told ->> (w.limit_type || '_used'))::numeric, w.used)
     WHERE w.user_id = OLD.user_id AND told ?| ARRAY[w.limit_type || '_limit', w.limit_type || '_used'];
    EXECUTE format('SELECT * FROM %I.%I WHERE user_id = $1', TG_TABLE_SCHEMA, TG_TABLE_NAME) INTO NEW USING OLD.user_id;
    SELECT string_agg(t.key, ', ') INTO other FROM jsonb_each(told) AS t WHERE t.value IS DISTINCT FROM to_jsonb(NEW) -> t.key;
    IF other IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format('a subscription does not take this: %s', other);
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION :"schema"._update_subscription() IS 'Internal: updates user_subscriptions';
CREATE TRIGGER update_subscription INSTEAD OF UPDATE ON :"schema".user_subscriptions_now
    FOR EACH ROW EXECUTE FUNCTION :"schema"._update_subscription();
CREATE TRIGGER end_demo AFTER UPDATE ON :"schema".user_subscriptions_now FOR EACH STATEMENT EXECUTE FUNCTION :"schema"._keep_demo();

CREATE VIEW :"schema".api_usage_now WITH (security_invoker = true, security_barrier = true) AS
    SELECT a.id, a.user_id, a.service_type, a.provider, a.model, a.endpoint, a.request_id, a.input_tokens, a.output_tokens,
           a.total_tokens, a.quantity, a.input_cost, a.output_cost, a.total_cost, a.latency_ms,
           CASE a.status WHEN 'failed' THEN 'error' ELSE a.status END AS status, a.error_message, a.campaign_id,
           a.ip_address, a.user_agent, a.created_at FROM :usage.api_usage AS a;
COMMENT ON VIEW :"schema".api_usage_now IS 'Every call of an API you may see, with what it cost';
CREATE VIEW :"schema".usage_alerts WITH (security_invoker = true, security_barrier = true) AS
    SELECT a.id, u.user_id, a.kind AS alert_type, a.limit_type, a.threshold AS threshold_percent, a.used AS current_usage,
           a.max_usage AS usage_limit, a.window_start, a.window_end, a.acknowledged_at, a.raised_at AS created_at
      FROM :usage.visible_users() AS u (user_id) CROSS JOIN LATERAL :usage.get_usage_alerts(u.user_id, false, NULL, 1000) AS a;
COMMENT ON VIEW :"schema".usage_alerts IS 'The latest 1000 alerts of every user you may see';
CREATE VIEW :"schema".api_rate_limits WITH (security_invoker = true, security_barrier = true) AS
    SELECT w.user_id, w.limit_type, w.usage_type AS service_type, w.max_usage AS max_requests, w.used AS request_count,
           w.window_start, w.reset_at AS window_end FROM :usage.user_usage AS w WHERE w.reset_at - w.window_start <= '1 hour';
COMMENT ON VIEW :"schema".api_rate_limits IS 'Limits of an hour or less, of every user you may see';
CREATE VIEW :"schema".usage_aggregations WITH (security_invoker = true, security_barrier = true) AS
    SELECT u.user_id, g.period_type, a.period AS period_start, a.usage_type AS service_type, a.provider, a.model, a.campaign_id,
           CASE a.status WHEN 'failed' THEN 'error' ELSE a.status END AS status, a.events AS total_requests, a.quantity,
           a.input_tokens, a.output_tokens, a.tokens AS total_tokens, a.cost AS total_cost, a.unpriced
      FROM :usage.visible_users() AS u (user_id), (VALUES ('daily', 'day'), ('weekly', 'week'), ('monthly', 'month')) AS g (period_type, by),
           LATERAL :usage.get_user_aggregations(u.user_id, g.by, '2000-01-01', '9999-12-31') AS a;
COMMENT ON VIEW :"schema".usage_aggregations IS 'What every user you may see used, by day, week and month';
CREATE VIEW :"schema".campaigns WITH (security_invoker = true, security_barrier = true) AS
    SELECT u.user_id, c.campaign_id AS id, c.name, c.description, c.budget, c.events AS total_requests, c.cost AS total_cost
      FROM :usage.visible_users() AS u (user_id) CROSS JOIN LATERAL :usage.get_campaigns(u.user_id) AS c;
COMMENT ON VIEW :"schema".campaigns IS 'The campaigns of every user you may see, with what they cost';

\if :{?from}
-- Moving in: calls at their own time, then plans and limits; and nothing, unless what is there then is what was.
LOCK TABLE :"from".user_subscriptions, :"from".api_usage IN ACCESS EXCLUSIVE MODE;
SET LOCAL usage_tracking.max_event_age = '20000d'; SET LOCAL usage_tracking.alert_thresholds = '';
SELECT :usage.track_api_usage(w.user_id, w.service_type, w.provider, w.model, w.endpoint, w.request_id, w.input_tokens,
           w.output_tokens, status => w.status, duration_ms => w.latency_ms, ip => w.ip_address, user_agent => w.user_agent,
           occurred_at => w.created_at) FROM (SELECT * FROM :"from".api_usage ORDER BY created_at) AS w \g /dev/null
UPDATE :"schema".user_subscriptions_now AS n
   SET plan_type = w.plan_type, plan_name = w.plan_name, content_generations_limit = w.content_generations_limit,
       image_generations_limit = w.image_generations_limit, video_generations_limit = w.video_generations_limit,
       chat_messages_limit = w.chat_messages_limit, stripe_customer_id = w.stripe_customer_id
  FROM :"from".user_subscriptions AS w WHERE w.user_id = n.user_id;
SELECT :usage.prove_same_rows(format('SELECT %s FROM %I.%I', c.names, :'from', t.name),
           format('SELECT %s FROM %I.%I WHERE user_id IN (SELECT user_id FROM %I.%I)', c.names, :'schema',
                  t.name || '_now', :'from', t.name), 'rows of ' || t.name)
  FROM (VALUES ('api_usage', '{id}'::name[]),
               ('user_subscriptions', '{id,created_at,updated_at,billing_period_start,billing_period_end,content_generations_used,
                 image_generations_used,video_generations_used,chat_messages_used}')) AS t (name, without),
       LATERAL (SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_attribute AS a
                 WHERE a.attrelid = format('%I.%I', :'from', t.name)::regclass AND a.attnum > 0 AND NOT a.attisdropped
                   AND a.attname <> ALL (t.without)) AS c (names) \g /dev/null
SELECT format('DO $$BEGIN RAISE EXCEPTION USING MESSAGE = %L; END$$', format('trigger %I still writes user_subscriptions', t.tgname))
  FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid WHERE t.tgrelid = :'attached'::regclass
   AND f.prosrc ~ 'user_subscriptions' AND f.proname <> '_keep_demo' LIMIT 1 \gexec
ALTER TABLE :"from".user_subscriptions RENAME TO user_subscriptions_before;
ALTER TABLE :"from".api_usage RENAME TO api_usage_before;
\endif
ALTER VIEW :"schema".user_subscriptions_now RENAME TO user_subscriptions;
ALTER VIEW :"schema".api_usage_now RENAME TO api_usage;

-- For end users (role, here web) and the application's server (server, here api).
\if :{?role} \set web :role \else \set web '' \endif
\if :{?server} \set api :server \else \set api '' \endif
SELECT :usage.grant_usage_access(r::name, r = :'api') FROM unnest(ARRAY[:'web', :'api']) AS r WHERE r <> '' \g /dev/null
SELECT format('GRANT USAGE ON SCHEMA %1$I TO %2$I; GRANT SELECT ON %1$I._plans, %1$I._customers, %1$I.api_usage,
    %1$I.user_subscriptions, %1$I.usage_alerts, %1$I.api_rate_limits, %1$I.usage_aggregations, %1$I.campaigns TO %2$I',
              :'schema', r.role) FROM unnest(ARRAY[:'web', :'api']) AS r (role) WHERE r.role <> '' \gexec
SELECT format('GRANT UPDATE ON %I.user_subscriptions TO %I', :'schema', :'api') WHERE :'api' <> '' \gexec
COMMIT;
