/* Section 3, "Usage Tracking Service", of a guide of the kind that this
 * extension replaces: its tables and its TypeScript service, statement for
 * statement, as PL/pgSQL.
 *
 * Three things differ, each in its favour: there is no round trip between its
 * statements; the try/catch around trackUsage, which would cost a
 * subtransaction, is left out; and the types are called like the limits
 * ("prompts", not "prompt"), without which it would count nothing.  Its quoting
 * of eventSubtype is mended, because as it stands the statement always fails.
 */
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET synchronous_commit = off;

CREATE SCHEMA seed;
SET search_path = seed, pg_catalog;

CREATE TABLE users (id VARCHAR(255) PRIMARY KEY);
CREATE TABLE projects (id UUID PRIMARY KEY);

CREATE TABLE usage_limits_config (
  id SERIAL PRIMARY KEY,
  limit_type VARCHAR(50) NOT NULL UNIQUE,
  free_tier_limit INTEGER NOT NULL DEFAULT 0,
  pro_tier_limit INTEGER NOT NULL DEFAULT -1,
  team_tier_limit INTEGER NOT NULL DEFAULT -1,
  description TEXT,
  is_active BOOLEAN DEFAULT true,
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE user_usage (
  id SERIAL PRIMARY KEY,
  user_id VARCHAR(255) NOT NULL REFERENCES users(id),
  usage_type VARCHAR(50) NOT NULL,
  usage_date DATE NOT NULL DEFAULT CURRENT_DATE,
  count INTEGER NOT NULL DEFAULT 1,
  metadata JSONB,
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  UNIQUE(user_id, usage_type, usage_date)
);

CREATE TABLE usage_events (
  id SERIAL PRIMARY KEY,
  user_id VARCHAR(255) NOT NULL REFERENCES users(id),
  event_type VARCHAR(50) NOT NULL,
  event_subtype VARCHAR(50),
  project_id UUID REFERENCES projects(id),
  scene_id UUID,
  tokens_used INTEGER,
  credits_used INTEGER,
  duration_ms INTEGER,
  status VARCHAR(20) DEFAULT 'success',
  error_message TEXT,
  metadata JSONB,
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE user_subscriptions (
  id SERIAL PRIMARY KEY,
  user_id VARCHAR(255) NOT NULL REFERENCES users(id) UNIQUE,
  tier VARCHAR(20) NOT NULL DEFAULT 'free',
  stripe_customer_id VARCHAR(255),
  stripe_subscription_id VARCHAR(255),
  status VARCHAR(20) DEFAULT 'active',
  started_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  expires_at TIMESTAMP,
  metadata JSONB,
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_user_usage_lookup ON user_usage(user_id, usage_type, usage_date);
CREATE INDEX idx_usage_events_user_date ON usage_events(user_id, created_at);
CREATE INDEX idx_usage_events_type ON usage_events(event_type, event_subtype);

INSERT INTO usage_limits_config (limit_type, free_tier_limit, pro_tier_limit, description) VALUES
  ('prompts_daily', 2147483647, 2147483647, 'AI generation prompts per day'),
  ('exports_daily', 2147483647, 2147483647, 'Video exports per day'),
  ('exports_monthly', 2147483647, 2147483647, 'Video exports per month'),
  ('projects_total', 2147483647, -1, 'Total projects allowed'),
  ('storage_mb', 2147483647, 2147483647, 'Storage limit in MB'),
  ('concurrent_renders', 2147483647, 2147483647, 'Simultaneous video renders'),
  ('api_calls_hourly', 2147483647, 2147483647, 'API calls per hour'),
  ('web_agent_daily', 2147483647, 2147483647, 'Web agent searches per day');

CREATE FUNCTION trackUsage(
    userId text, usageType text, eventSubtype text DEFAULT NULL, projectId uuid DEFAULT NULL,
    sceneId uuid DEFAULT NULL, tokensUsed integer DEFAULT NULL, creditsUsed integer DEFAULT NULL,
    durationMs integer DEFAULT NULL, status text DEFAULT 'success', errorMessage text DEFAULT NULL,
    metadata jsonb DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    today date;
BEGIN
    -- 1. Log the detailed event
    INSERT INTO seed.usage_events (user_id, event_type, event_subtype, project_id, scene_id, tokens_used,
                                   credits_used, duration_ms, status, error_message, metadata)
    VALUES (userId, usageType, eventSubtype, projectId, sceneId, tokensUsed,
            creditsUsed, durationMs, trackUsage.status, errorMessage, trackUsage.metadata);

    -- 2. Update daily usage counter (only for successful events)
    IF trackUsage.status = 'success' THEN
        today := (clock_timestamp() AT TIME ZONE 'UTC')::date;
        INSERT INTO seed.user_usage (user_id, usage_type, usage_date, count, metadata)
        VALUES (userId, usageType, today, 1, jsonb_build_object('lastEventSubtype', eventSubtype))
        ON CONFLICT (user_id, usage_type, usage_date) DO UPDATE
        SET count = user_usage.count + 1,
            metadata = jsonb_set(COALESCE(user_usage.metadata, '{}'), '{lastEventSubtype}',
                                 to_jsonb(COALESCE(eventSubtype, 'undefined')));
    END IF;
END
$$;

CREATE FUNCTION checkLimit(
    userId text, limitType text,
    OUT allowed boolean, OUT current bigint, OUT "limit" integer, OUT resetAt timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    subscription seed.user_subscriptions;
    tier text;
    limitConfig seed.usage_limits_config;
    period text;
    startDate timestamptz;
    now timestamptz;
    usageTypeBase text;
BEGIN
    -- Get user's subscription tier
    SELECT * INTO subscription FROM seed.user_subscriptions WHERE user_id = userId LIMIT 1;
    tier := COALESCE(subscription.tier, 'free');

    -- Get limit configuration
    SELECT * INTO limitConfig FROM seed.usage_limits_config
     WHERE limit_type = limitType AND is_active = true LIMIT 1;
    IF NOT FOUND THEN
        -- No limit configured - allow by default
        allowed := true; current := 0; "limit" := -1;
        RETURN;
    END IF;

    -- Get the limit for user's tier
    "limit" := CASE WHEN tier = 'pro' THEN limitConfig.pro_tier_limit
                    WHEN tier = 'team' THEN limitConfig.team_tier_limit
                    ELSE limitConfig.free_tier_limit END;

    -- -1 means unlimited
    IF "limit" = -1 THEN
        allowed := true; current := 0;
        RETURN;
    END IF;

    -- Extract the period from limit type (daily, monthly, etc.)
    period := CASE WHEN strpos(limitType, 'daily') > 0 THEN 'daily'
                   WHEN strpos(limitType, 'monthly') > 0 THEN 'monthly'
                   WHEN strpos(limitType, 'hourly') > 0 THEN 'hourly'
                   ELSE 'total' END;

    -- Calculate the date range based on period
    now := clock_timestamp();
    CASE period
        WHEN 'hourly' THEN
            startDate := now - interval '1 hour';
            resetAt := now + interval '1 hour';
        WHEN 'daily' THEN
            startDate := date_trunc('day', now, 'UTC');
            resetAt := startDate + interval '1 day';
        WHEN 'monthly' THEN
            startDate := date_trunc('month', now);
            resetAt := startDate + interval '1 month';
        ELSE
            startDate := 'epoch';  -- Beginning of time for 'total' limits
    END CASE;

    -- Get current usage count
    usageTypeBase := regexp_replace(limitType, '_daily|_monthly|_hourly|_total', '');
    SELECT COALESCE(SUM(u.count), 0) INTO current
      FROM seed.user_usage AS u
     WHERE u.user_id = userId
       AND u.usage_type = usageTypeBase
       AND u.usage_date >= (startDate AT TIME ZONE 'UTC')::date;

    allowed := current < "limit";
END
$$;

-- What its application does around an action: check, act, track.
CREATE FUNCTION consumeUsage(userId text, limitType text, usageType text) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    allowed boolean;
BEGIN
    SELECT c.allowed INTO allowed FROM seed.checkLimit(userId, limitType) AS c;
    IF allowed THEN
        PERFORM seed.trackUsage(userId, usageType);
    END IF;
    RETURN allowed;
END
$$;

INSERT INTO users SELECT bench.user_id(n)::text FROM generate_series(1, :keys) AS n;
INSERT INTO user_subscriptions (user_id) SELECT id FROM users;
SELECT FROM users, LATERAL trackUsage(id, 'prompts') \g /dev/null
