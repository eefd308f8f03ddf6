-- Limits with a column a tier, daily counts, events, subscriptions and credits, over usage_tracking: see tiered-limits.md.
--   psql -v schema=app [-v users=public.users] [-v role=authenticated] [-v server=backend]
--        [-v from=public [-v zone=UTC]] -f tiered-limits.sql
-- Moving in, with from, is tiered-limits-moving.sql, which this includes.
\set ON_ERROR_STOP on
\if :{?users} \else \set users public.users \endif
BEGIN;
SELECT x.extnamespace::regnamespace AS usage, format_type(a.atttypid, NULL) AS user_id
  FROM pg_extension AS x JOIN pg_class AS c ON c.relnamespace = x.extnamespace AND c.relname = 'usage_events'
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'user_id' WHERE x.extname ~ '^usage_tracking' \gset
CREATE SCHEMA IF NOT EXISTS :"schema"; SELECT :usage.install_default_plans() \g /dev/null
\if :{?from}
SELECT format('ALTER TABLE %I.%I RENAME TO %I', :'from', t, t || '_before') FROM unnest('{usage_limits_config,user_usage,
    usage_events,user_subscriptions,user_credits,credit_transactions}'::text[]) AS t \gexec
\endif

-- A tier of which nobody said anything has the limit's own maximum, that of the free one.
CREATE VIEW :"schema".usage_limits_config WITH (security_invoker = true, security_barrier = true) AS
    SELECT l.limit_id AS id, l.limit_type, COALESCE((p.tiers ->> 'free')::numeric, l.max_usage) AS free_tier_limit,
           COALESCE((p.tiers ->> 'pro')::numeric, l.max_usage) AS pro_tier_limit,
           COALESCE((p.tiers ->> 'team')::numeric, l.max_usage) AS team_tier_limit, l.description, l.is_active, c.created_at,
           c.updated_at, COALESCE((p.tiers ->> 'enterprise')::numeric, l.max_usage) AS enterprise_tier_limit, l.usage_type
      FROM :usage.usage_limits AS l
      LEFT JOIN (SELECT limit_type, jsonb_object_agg(plan, max_usage) AS tiers FROM :usage.plan_limits GROUP BY 1) AS p
     USING (limit_type)
      LEFT JOIN (SELECT new ->> 'limit_type' AS limit_type, min(changed_at) AS created_at, max(changed_at) AS updated_at
                   FROM :usage.usage_changes WHERE table_name IN ('usage_limits', 'plan_limits') GROUP BY 1) AS c
     USING (limit_type);
COMMENT ON VIEW :"schema".usage_limits_config IS 'Every limit with what each tier allows; -1 is unlimited';
CREATE VIEW :"schema".user_usage WITH (security_invoker = true, security_barrier = true) AS
    SELECT hashtextextended(concat_ws('/', u.user_id, d.usage_type, d.period), 0) AS id, u.user_id, d.usage_type,
           d.period AS usage_date, sum(d.quantity) FILTER (WHERE d.status = 'success') AS count, jsonb_build_object(
               'tokens', sum(d.tokens), 'failed', sum(CASE d.status WHEN 'failed' THEN d.events ELSE 0 END)) AS metadata,
           d.period::timestamp AT TIME ZONE COALESCE(current_setting('usage_tracking.time_zone', true), 'UTC') AS created_at
      FROM :usage.visible_users() AS u (user_id),
           LATERAL :usage.get_user_aggregations(u.user_id, 'day', '0001-01-01', '9999-12-31') AS d
     GROUP BY u.user_id, d.usage_type, d.period HAVING sum(d.quantity) FILTER (WHERE d.status = 'success') > 0;
COMMENT ON VIEW :"schema".user_usage IS 'How often each user you may see used each type on each day, with success';
CREATE VIEW :"schema".usage_events WITH (security_invoker = true, security_barrier = true) AS
    SELECT e.id, e.user_id, e.usage_type AS event_type, e.event_subtype,
           CASE WHEN e.parent_resource_id ~ u.pattern THEN e.parent_resource_id::uuid END AS project_id,
           CASE WHEN e.resource_id ~ u.pattern THEN e.resource_id::uuid END AS scene_id,
           e.tokens AS tokens_used, e.credits_used, e.duration_ms, e.status, e.error_message, e.metadata,
           e.occurred_at AS created_at, e.quantity, NULL::bigint AS reservation_id
      FROM :usage.usage_events AS e, (VALUES ('^[0-9a-f]{8}(-[0-9a-f]{4}){4}[0-9a-f]{8}$')) AS u (pattern)
     WHERE e.status <> 'correction';
COMMENT ON VIEW :"schema".usage_events IS 'Every use and failure; an INSERT records one, and settles the reservation it names';
CREATE VIEW :"schema".user_subscriptions WITH (security_invoker = true, security_barrier = true) AS
    SELECT hashtextextended(s.user_id::text, 0) AS id, s.user_id,
           COALESCE(s.plan, current_setting('usage_tracking.default_plan', true), 'free') AS tier, s.stripe_customer_id,
           s.stripe_subscription_id, s.status, s.started_at, s.expires_at, s.metadata, s.started_at AS created_at,
           (SELECT max(c.changed_at) FROM :usage.usage_changes AS c
             WHERE c.user_id = s.user_id AND c.table_name = 'user_subscriptions') AS updated_at
      FROM :usage.user_subscriptions AS s;
COMMENT ON VIEW :"schema".user_subscriptions IS 'The one subscription of each user; an INSERT takes the place of what there was';
CREATE VIEW :"schema".user_credits WITH (security_invoker = true, security_barrier = true) AS
    SELECT hashtextextended(c.user_id::text, 0) AS id, c.* FROM :usage.user_credits AS c;
COMMENT ON VIEW :"schema".user_credits IS 'The credits of each user you may see, one row each';
CREATE VIEW :"schema".credit_transactions WITH (security_invoker = true, security_barrier = true) AS
    SELECT t.* FROM :usage.credit_transactions AS t;
COMMENT ON VIEW :"schema".credit_transactions IS 'Whatever changed the credits of each user you may see';

-- Of a limit that is there, an INSERT changes only what it names. The name of a new one tells its window and its type.
CREATE FUNCTION :"schema"._write() RETURNS trigger LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, :usage, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'usage_events' THEN
        PERFORM release_usage(NEW.user_id, NEW.reservation_id) WHERE NEW.reservation_id IS NOT NULL;
        NEW.id := track_usage(NEW.user_id, NEW.event_type, COALESCE(NEW.quantity, 1), COALESCE(NEW.tokens_used, 0),
            status => COALESCE(NEW.status, 'success'), event_subtype => NEW.event_subtype, duration_ms => NEW.duration_ms,
            error_message => NEW.error_message, resource_id => NEW.scene_id::text, parent_resource_id => NEW.project_id::text,
            metadata => NEW.metadata, occurred_at => NEW.created_at, idempotency_key => 'reservation ' || NEW.reservation_id);
        RETURN NEW;
    ELSIF TG_TABLE_NAME = 'user_subscriptions' THEN
        NEW.started_at := COALESCE(NEW.started_at, NEW.created_at, _usage_now());
        INSERT INTO user_subscriptions AS s (user_id, plan, status, started_at, anchor, expires_at, stripe_customer_id,
                                             stripe_subscription_id, metadata)
        VALUES (NEW.user_id, COALESCE(NEW.tier, 'free'), COALESCE(NEW.status, 'active'), NEW.started_at, NEW.started_at,
                NEW.expires_at, NEW.stripe_customer_id, NEW.stripe_subscription_id, COALESCE(NEW.metadata, '{}'))
        ON CONFLICT (user_id) DO UPDATE
           SET plan = CASE WHEN NEW.tier IS DISTINCT FROM OLD.tier THEN EXCLUDED.plan ELSE s.plan END, status = EXCLUDED.status,
               started_at = EXCLUDED.started_at, expires_at = EXCLUDED.expires_at, metadata = EXCLUDED.metadata,
               stripe_customer_id = EXCLUDED.stripe_customer_id, stripe_subscription_id = EXCLUDED.stripe_subscription_id;
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' THEN
        DELETE FROM usage_limits AS l WHERE l.limit_type = OLD.limit_type;
        RETURN OLD;
    END IF;
    UPDATE usage_limits AS l SET limit_type = NEW.limit_type
     WHERE l.limit_type = OLD.limit_type AND NEW.limit_type <> OLD.limit_type;
    PERFORM define_usage_limit(NEW.limit_type, COALESCE(NEW.usage_type,
                (SELECT t.usage_type FROM usage_types AS t WHERE t.usage_type = n.base),
                CASE NEW.limit_type WHEN 'projects_total' THEN 'project_create' WHEN 'concurrent_renders' THEN 'render'
                     ELSE regexp_replace(n.base, 's$', '') END), COALESCE(NEW.free_tier_limit, 0),
            CASE WHEN NEW.limit_type ~ '^concurrent_|_(total|mb)$' THEN 'gauge' ELSE 'calendar' END,
            ('{"hourly": "1 hour", "daily": "1 day", "weekly": "7 days", "monthly": "1 month", "yearly": "1 year"}'::jsonb
             ->> substring(NEW.limit_type FROM '_([a-z]+)$'))::interval)
       FROM regexp_replace(NEW.limit_type, '_(hourly|daily|weekly|monthly|yearly|total|mb)$', '') AS n (base)
      WHERE NOT EXISTS (SELECT FROM usage_limits AS l WHERE l.limit_type = NEW.limit_type);
    UPDATE usage_limits AS l
       SET max_usage = COALESCE(NEW.free_tier_limit, l.max_usage), description = COALESCE(NEW.description, l.description),
           is_active = COALESCE(NEW.is_active, l.is_active), usage_type = COALESCE(NEW.usage_type, l.usage_type)
     WHERE l.limit_type = NEW.limit_type;
    PERFORM set_plan_limit(split_part(n.key, '_', 1), NEW.limit_type, n.value::numeric) FROM jsonb_each_text(to_jsonb(NEW)) AS n
      WHERE n.key LIKE '%\_tier\_limit' AND n.value IS DISTINCT FROM to_jsonb(OLD) ->> n.key;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION :"schema"._write() IS 'Trigger: does by functions of the extension what a write to a view means';
CREATE TRIGGER write INSTEAD OF INSERT OR UPDATE OR DELETE ON :"schema".usage_limits_config
    FOR EACH ROW EXECUTE FUNCTION :"schema"._write();
CREATE TRIGGER write INSTEAD OF INSERT OR UPDATE ON :"schema".user_subscriptions FOR EACH ROW EXECUTE FUNCTION :"schema"._write();
CREATE TRIGGER write INSTEAD OF INSERT ON :"schema".usage_events FOR EACH ROW EXECUTE FUNCTION :"schema"._write();

CREATE VIEW :"schema".usage_actions WITH (security_invoker = true) AS SELECT a.action, a.checks, a.shown_as FROM (VALUES
    ('generate_scene', 'prompt', 'prompts'), ('export_video', 'export', 'exports'), ('web_search', 'web_agent', 'webAgent'),
    ('create_project', 'projects_total', 'projects'), ('upload_file', 'storage_mb', 'storage'),
    ('render_video', 'concurrent_renders', 'renders'), ('api_call', 'api_call', 'apiCalls')) AS a (action, checks, shown_as);
COMMENT ON VIEW :"schema".usage_actions IS 'Which limit, or all limits of which type, an action must fit';
CREATE FUNCTION :"schema".check_action_allowed(user_id :user_id, action text) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE BEGIN ATOMIC
    SELECT c.cause || jsonb_build_object('allowed', d.told -> 'allowed', 'percent', d.told -> 'percent', 'resetsIn',
               to_char(make_interval(secs => (d.told ->> 'reset_in')::double precision), 'FMHH24"h "FMMI"m"'))
           || CASE WHEN (d.told -> 'allowed')::boolean THEN '{}' ELSE jsonb_build_object(
                  'code', 'TOO_MANY_REQUESTS', 'message', d.told -> 'message', 'cause', c.cause) END
      FROM :usage.describe_decision(:usage.check_usage_limit($1, COALESCE(
               (SELECT a.checks FROM :"schema".usage_actions AS a WHERE a.action = $2), $2))) AS d (told),
           LATERAL (SELECT jsonb_build_object('limitType', d.told -> 'limit_type', 'current', COALESCE(d.told -> 'used', '0'),
               'limit', d.told -> 'max_usage', 'resetAt', d.told -> 'reset_at')) AS c (cause);
END;
COMMENT ON FUNCTION :"schema".check_action_allowed(:user_id, text) IS 'How a user stands with an action, and what to tell him';
CREATE FUNCTION :"schema".get_user_limits(user_id :user_id) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE BEGIN ATOMIC
    SELECT jsonb_build_object('tier', min(m.plan)) || COALESCE((
               SELECT jsonb_object_agg(a.shown_as, :"schema".check_action_allowed($1, a.action)) FROM :"schema".usage_actions AS a
                WHERE a.checks = ANY (array_agg(m.limit_type) || array_agg(m.usage_type))), '{}')
      FROM :usage._usage_of_user($1) AS m;
END;
COMMENT ON FUNCTION :"schema".get_user_limits(:user_id) IS 'A user''s tier, and how he stands under the limits of usage_actions';
CREATE FUNCTION :"schema".use_usage_limits(user_id :user_id, days integer DEFAULT 30) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE BEGIN ATOMIC
    SELECT jsonb_build_object('limits', l, 'stats', :usage.get_user_stats($1, $2), 'isFreeTier', l ->> 'tier' = 'free',
                              'canExport', COALESCE((l #>> '{exports,allowed}')::boolean, false),
                              'canGenerate', COALESCE((l #>> '{prompts,allowed}')::boolean, false))
      FROM :"schema".get_user_limits($1) AS l;
END;
COMMENT ON FUNCTION :"schema".use_usage_limits(:user_id, integer) IS 'What the hook of that name returns';

SELECT :usage.attach_users(u.name::regclass) FROM (VALUES (:'users')) AS u (name)
 WHERE u.name <> 'public.users' OR to_regclass(u.name) IS NOT NULL \g /dev/null
-- For end users (role, here web) and the application's server (server, here api).
\if :{?role} \set web :role \else \set web '' \endif
\if :{?server} \set api :server \else \set api '' \endif
SELECT :usage.grant_usage_access(r::name, r = :'api') FROM unnest(ARRAY[:'web', :'api']) AS r WHERE r <> '' \g /dev/null
SELECT format('GRANT USAGE ON SCHEMA %1$I TO %2$I;
    GRANT SELECT ON %1$I.user_usage, %1$I.user_credits, %1$I.credit_transactions, %1$I.usage_actions TO %2$I', :'schema', r.role)
  FROM unnest(ARRAY[:'web', :'api']) AS r (role) WHERE r.role <> '' \gexec
SELECT format('GRANT SELECT, INSERT ON %I.usage_events TO %I', :'schema', :'api') WHERE :'api' <> '' \gexec
\if :{?from}
\ir tiered-limits-moving.sql
\endif
COMMIT;
