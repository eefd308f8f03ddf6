/* recipe_tiered_limits_moving: doc/recipes/tiered-limits.sql takes over tables of
 * the shape of that design, with their data, or leaves all as it was.
 */
\set ON_ERROR_STOP off
\set SHOW_CONTEXT never
\getenv dir PG_ABS_SRCDIR
\set recipe :dir '/../doc/recipes/tiered-limits.sql'
\set olddb :DBNAME
CREATE DATABASE regress_ut_moving;
\c regress_ut_moving
CREATE SCHEMA meter;
CREATE EXTENSION usage_tracking SCHEMA meter;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET client_min_messages = warning;
SET usage_tracking.clock = '2026-03-10 12:00+00';
\setenv UT_DATABASE :DBNAME
\setenv UT_RECIPE :recipe
\setenv PGOPTIONS '-c usage_tracking.clock=2026-03-10T12:00Z'
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
\set project '11112222333344445555666677778888'

-- The tables as they were printed, with rows that contradict one another
CREATE SCHEMA old;
SET search_path = old;
CREATE TABLE users (id VARCHAR(255) PRIMARY KEY);
CREATE TABLE projects (id UUID PRIMARY KEY);
-- Configuration table for all limit types
CREATE TABLE usage_limits_config (
  id SERIAL PRIMARY KEY,
  limit_type VARCHAR(50) NOT NULL UNIQUE, -- 'prompts_daily', 'exports_daily', 'projects_total', etc.
  free_tier_limit INTEGER NOT NULL DEFAULT 0,
  pro_tier_limit INTEGER NOT NULL DEFAULT -1, -- -1 means unlimited
  team_tier_limit INTEGER NOT NULL DEFAULT -1,
  description TEXT,
  is_active BOOLEAN DEFAULT true,
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

-- Master usage tracking table
CREATE TABLE user_usage (
  id SERIAL PRIMARY KEY,
  user_id VARCHAR(255) NOT NULL REFERENCES users(id),
  usage_type VARCHAR(50) NOT NULL, -- 'prompt', 'export', 'project_create', etc.
  usage_date DATE NOT NULL DEFAULT CURRENT_DATE,
  count INTEGER NOT NULL DEFAULT 1,
  metadata JSONB, -- Store additional context (model used, export format, etc.)
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  UNIQUE(user_id, usage_type, usage_date)
);

-- Detailed action log for analytics
CREATE TABLE usage_events (
  id SERIAL PRIMARY KEY,
  user_id VARCHAR(255) NOT NULL REFERENCES users(id),
  event_type VARCHAR(50) NOT NULL,
  event_subtype VARCHAR(50), -- 'gpt-4', 'mp4-export', etc.
  project_id UUID REFERENCES projects(id),
  scene_id UUID,
  tokens_used INTEGER,
  credits_used INTEGER,
  duration_ms INTEGER, -- How long the operation took
  status VARCHAR(20) DEFAULT 'success', -- 'success', 'failed', 'cancelled'
  error_message TEXT,
  metadata JSONB,
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

-- User subscription tiers
CREATE TABLE user_subscriptions (
  id SERIAL PRIMARY KEY,
  user_id VARCHAR(255) NOT NULL REFERENCES users(id) UNIQUE,
  tier VARCHAR(20) NOT NULL DEFAULT 'free', -- 'free', 'pro', 'team', 'enterprise'
  stripe_customer_id VARCHAR(255),
  stripe_subscription_id VARCHAR(255),
  status VARCHAR(20) DEFAULT 'active',
  started_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  expires_at TIMESTAMP,
  metadata JSONB,
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

-- Credits system for future flexibility
CREATE TABLE user_credits (
  id SERIAL PRIMARY KEY,
  user_id VARCHAR(255) NOT NULL REFERENCES users(id),
  balance INTEGER NOT NULL DEFAULT 0,
  lifetime_earned INTEGER NOT NULL DEFAULT 0,
  lifetime_spent INTEGER NOT NULL DEFAULT 0,
  last_refill_at TIMESTAMP,
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

-- Credit transactions log
CREATE TABLE credit_transactions (
  id SERIAL PRIMARY KEY,
  user_id VARCHAR(255) NOT NULL REFERENCES users(id),
  amount INTEGER NOT NULL, -- positive for credits, negative for debits
  balance_after INTEGER NOT NULL,
  transaction_type VARCHAR(50) NOT NULL, -- 'purchase', 'daily_refill', 'usage', 'refund'
  description TEXT,
  reference_id VARCHAR(255), -- stripe payment id, usage event id, etc.
  metadata JSONB,
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

-- Indexes for performance
CREATE INDEX idx_user_usage_lookup ON user_usage(user_id, usage_type, usage_date);
CREATE INDEX idx_usage_events_user_date ON usage_events(user_id, created_at);
CREATE INDEX idx_usage_events_type ON usage_events(event_type, event_subtype);
CREATE INDEX idx_credit_transactions_user ON credit_transactions(user_id, created_at);
\set eve '00000000-0000-0000-0000-00000000000e'
\set fay '00000000-0000-0000-0000-00000000000f'
INSERT INTO users VALUES (:'eve'), (:'fay');
INSERT INTO projects VALUES (:'project');
INSERT INTO usage_limits_config (limit_type, free_tier_limit, pro_tier_limit, team_tier_limit, description, is_active) VALUES
  ('prompts_daily', 8, 80, 200, 'Prompts', true), ('exports_monthly', 6, -1, -1, 'Exports', NULL), ('storage_mb', 250, 5000, 9000, 'MB', true);
INSERT INTO user_subscriptions (user_id, tier, stripe_customer_id, status, started_at, expires_at, metadata) VALUES
  (:'eve', 'pro', 'cus_e', 'active', '2025-11-01 10:00', NULL, '{"source": "fair"}'),
  (:'fay', 'team', NULL, 'cancelled', '2025-12-01', '2026-04-01', NULL);
INSERT INTO usage_events (user_id, event_type, event_subtype, project_id, tokens_used, duration_ms, status, error_message, metadata, created_at) VALUES
  (:'eve', 'prompt', 'gpt-4o', :'project', 100, 900, 'success', NULL, '{"hasImage": true}', '2026-01-05 10:00'),
  (:'eve', 'prompt', 'gpt-4o', :'project', 0, 100, 'failed', 'timeout', NULL, '2026-01-05 10:01'),
  (:'eve', 'prompt', 'gpt-4o', NULL, 150, 900, NULL, NULL, NULL, '2026-01-05 10:02'),
  (:'eve', 'prompt', NULL, NULL, NULL, NULL, 'success', NULL, NULL, '2026-03-10 08:00'),
  (:'eve', 'prompt', NULL, NULL, NULL, NULL, 'success', NULL, NULL, '2026-03-10 09:00'),
  (:'fay', 'export', 'mp4', NULL, NULL, 5000, 'success', NULL, NULL, '2026-03-09 09:00');
-- As many as there are events; fewer, because they were set back by hand; more (D2-1), and of a day without any
INSERT INTO user_usage (user_id, usage_type, usage_date, count) VALUES
  (:'eve', 'prompt', '2026-01-05', 2), (:'eve', 'prompt', '2026-03-10', 1), (:'fay', 'export', '2026-03-09', 4), (:'fay', 'web_search', '2026-02-01', 3);
-- D2-13: several rows a user, and one payment twice
INSERT INTO user_credits (user_id, balance, created_at) VALUES (:'eve', 120, '2026-01-01'), (:'eve', 0, '2026-01-02'), (:'fay', 50, '2026-01-03');
INSERT INTO credit_transactions (user_id, amount, balance_after, transaction_type, description, reference_id, metadata, created_at) VALUES
  (:'eve', 100, 100, 'purchase', 'A hundred', 'pi_9', '{"by": "card"}', '2026-01-01 12:00'), (:'eve', 50, 150, 'purchase', NULL, 'pi_9', NULL, '2026-01-01 12:05'),
  (:'eve', -30, 120, 'usage', NULL, NULL, NULL, '2026-01-02 12:00');
-- The same reference of another amount is an error of the ledger; a difference is one of the recipe: all is as before
\! psql -X -q -d "$UT_DATABASE" -v schema=old -v from=old -f "$UT_RECIPE" 2>&1 | sed -n 's/^psql:.*: ERROR/ERROR/p'
UPDATE credit_transactions SET amount = 100, balance_after = balance_after + 50 WHERE id = 2;
UPDATE credit_transactions SET balance_after = balance_after + 50 WHERE id = 3;
\! psql -X -q -d "$UT_DATABASE" -v schema=old -v from=old -f "$UT_RECIPE" 2>&1 | sed -n 's/^psql:.*: ERROR/ERROR/p'
SELECT relname, relkind FROM pg_class WHERE relnamespace = 'old'::regnamespace AND relname ~ '^u' AND relkind = ANY ('{r,v}') ORDER BY 1;
SELECT count(*) FROM meter.usage_events;
SELECT count(*) FROM meter.usage_limits;
UPDATE credit_transactions SET reference_id = 'pi_10' WHERE id = 2;
UPDATE user_credits SET balance = 170 WHERE id = 1;
\set schema old
\set from old
\set ECHO none
\i :recipe
\set ECHO all
\set ON_ERROR_STOP off
SELECT relname, relkind FROM pg_class WHERE relnamespace = 'old'::regnamespace AND relname ~ '^u' AND relkind = ANY ('{r,v}') ORDER BY 1;
SELECT limit_type, free_tier_limit, pro_tier_limit, team_tier_limit, description, is_active, usage_type FROM usage_limits_config ORDER BY 1;
SELECT right(user_id::text, 1), tier, stripe_customer_id, status, started_at, expires_at, metadata FROM user_subscriptions ORDER BY 1;
SELECT right(user_id::text, 1), event_type, event_subtype, project_id = :'project', tokens_used, duration_ms, status, error_message, metadata, created_at, quantity
  FROM usage_events ORDER BY id;
SELECT right(user_id::text, 1), usage_type, usage_date, count FROM user_usage ORDER BY 1, 2, 3;
SELECT right(user_id::text, 1), amount, balance_after, transaction_type, description, reference_id, metadata, created_at FROM credit_transactions
 ORDER BY user_id, id;
SELECT right(user_id::text, 1), balance FROM user_credits ORDER BY 1;
SHOW usage_tracking.clock;
SELECT check_action_allowed(:'eve', 'generate_scene') -> 'current', check_action_allowed(:'fay', 'exports_monthly') -> 'current';
SELECT * FROM meter.reconcile_usage();

\c :olddb
DROP DATABASE regress_ut_moving;
