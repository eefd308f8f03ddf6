/* recipes: ai-gateway, the system of seed 001 (S1), in a database of its own
 */
\set home :DBNAME
\getenv dir PG_ABS_SRCDIR
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set cy '00000000-0000-0000-0000-00000000000c'
\set dee '00000000-0000-0000-0000-00000000000d'
\set eve '00000000-0000-0000-0000-00000000000e'
\set recipe :dir /../doc/recipes/ai-gateway.sql
\setenv RECIPE :recipe
\setenv PGOPTIONS '-c usage_tracking.clock=2026-03-10T12:00+00'
CREATE DATABASE regress_ai_gateway;
\c regress_ai_gateway
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET usage_tracking.clock = '2026-03-10 12:00+00';
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
CREATE ROLE regress_gateway_user;
CREATE ROLE regress_gateway_server;
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid PRIMARY KEY, email text);
INSERT INTO auth.users VALUES (:'ann', 'ann@example.com'), (:'bob', 'bob@example.com');

-- ---- moving in ----

CREATE SCHEMA app;
SET search_path = app;
CREATE TABLE user_subscriptions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id uuid REFERENCES auth.users(id), plan_type text, plan_name text,
  content_generations_limit integer, image_generations_limit integer, video_generations_limit integer, chat_messages_limit integer,
  content_generations_used integer DEFAULT 0, billing_period_start timestamptz, billing_period_end timestamptz, stripe_customer_id text);
CREATE TABLE api_usage (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id uuid REFERENCES auth.users(id), service_type text, provider text, model text,
  endpoint text, request_id text, input_tokens integer, output_tokens integer, input_cost numeric, output_cost numeric, total_cost numeric,
  latency_ms integer, status text, ip_address inet, user_agent text, created_at timestamptz);
INSERT INTO user_subscriptions (user_id, plan_type, plan_name, content_generations_limit, image_generations_limit, video_generations_limit,
                                chat_messages_limit, content_generations_used, billing_period_start, billing_period_end, stripe_customer_id)
VALUES (:'ann', 'demo', 'Demo Plan - Unlimited Access', 999999, 999999, 999999, 999999, 40, '2025-11-01', '2026-11-01', NULL),
       (:'bob', 'demo', 'Demo Plan - Unlimited Access', 999999, 20, 999999, 999999, 0, '2025-11-01', '2026-11-01', 'cus_1');
INSERT INTO api_usage (user_id, service_type, provider, model, endpoint, request_id, input_tokens, output_tokens, input_cost, output_cost,
                       total_cost, latency_ms, status, ip_address, user_agent, created_at)
SELECT :'ann', 'content', 'openai', 'gpt-5', '/v1/generate', 'r' || n, 1000, 100, 0.0025, 0.001, 0.0035, 900 + n,
       CASE n % 10 WHEN 0 THEN 'error' WHEN 5 THEN 'rate_limited' ELSE 'success' END, '192.0.2.1', 'curl', '2026-01-15 08:00+00'::timestamptz + n * '1 day'::interval
  FROM generate_series(1, 50) AS n;
INSERT INTO api_usage (user_id, service_type, provider, model, input_tokens, output_tokens, input_cost, output_cost, total_cost, latency_ms, status, created_at)
VALUES (:'bob', 'chat', 'openai', 'gpt-4o', 100, 100, 0.0001, 0.0001, 0.0002, 5, 'success', '2026-03-01 08:00+00');

-- a cost that the prices of that time do not give: nothing is moved, all is as before
\! psql -X -q -d regress_ai_gateway -v schema=app -v from=app -f "$RECIPE" 2>&1 | grep -o 'ERROR: .*'
SELECT relkind FROM pg_class WHERE oid IN ('user_subscriptions'::regclass, 'api_usage'::regclass);
SELECT (SELECT count(*) FROM usage.usage_events), (SELECT count(*) FROM usage.usage_limits), (SELECT count(*) FROM usage.user_subscriptions);
UPDATE api_usage SET input_cost = 0.000025, total_cost = 0.000125 WHERE model = 'gpt-4o';
-- nor where the old trigger of sign-ups would still write
CREATE FUNCTION subscribe() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO app.user_subscriptions (user_id, plan_type) VALUES (NEW.id, 'demo');
    RETURN NEW;
END
$$;
CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION subscribe();
\! psql -X -q -d regress_ai_gateway -v schema=app -v from=app -f "$RECIPE" 2>&1 | grep -o 'ERROR: .*'
DROP TRIGGER on_auth_user_created ON auth.users;
-- nor where users of one plan have it under two names
UPDATE user_subscriptions SET plan_name = 'Demo' WHERE user_id = :'bob';
\! psql -X -q -d regress_ai_gateway -v schema=app -v from=app -f "$RECIPE" 2>&1 | grep -o 'ERROR: .*'
UPDATE user_subscriptions SET plan_name = 'Demo Plan - Unlimited Access' WHERE user_id = :'bob';
\! psql -X -q -d regress_ai_gateway -v schema=app -v from=app -v role=regress_gateway_user -v server=regress_gateway_server -f "$RECIPE" 2>&1
SELECT relname, relkind FROM pg_class WHERE relnamespace = 'app'::regnamespace AND relkind IN ('r', 'v') ORDER BY 1;
SELECT count(*), bool_and(to_jsonb(n) @> (to_jsonb(b) - 'id')) FROM api_usage_before AS b FULL JOIN api_usage AS n USING (user_id, created_at);
SELECT user_id, plan_type, plan_name, status, content_generations_limit, content_generations_used, image_generations_limit, image_generations_used,
       video_generations_limit, video_generations_used, chat_messages_limit, chat_messages_used, billing_period_start, billing_period_end,
       stripe_customer_id, created_at IS NOT NULL AS created FROM user_subscriptions ORDER BY user_id \gx
SELECT user_id, limit_type, max_usage FROM usage.user_limits ORDER BY 1, 2;
SELECT * FROM usage.reconcile_usage();
SELECT * FROM usage.usage_security_check();
-- a second time
\! psql -X -q -d regress_ai_gateway -v schema=app -f "$RECIPE" 2>&1 | grep -o 'ERROR: .*'

-- ---- Step 4 (S1:168-173): sign up, use, look ----

INSERT INTO auth.users VALUES (:'cy', 'cy@example.com');
SELECT plan_type, plan_name, content_generations_limit, content_generations_used, billing_period_start, billing_period_end
  FROM user_subscriptions WHERE user_id = :'cy';
-- D1-4: no magic number, but no limit
SELECT allowed, reason, max_usage, remaining FROM usage.check_usage_limit(:'cy', 'content', 1000000);
-- trackAPIUsage (S1:145-159); D1-5 and D1-6: costs come from dated prices; D1-7: with the application's own work
BEGIN;
CREATE TABLE generations (id text);
INSERT INTO generations VALUES ('run-1');
SELECT input_cost, output_cost, total_cost, priced FROM usage.track_api_usage(:'cy', 'content', 'openai', 'gpt-5', '/v1/generate', 'run-1',
    input_tokens => 1200, output_tokens => 900, duration_ms => 2150, status => 'success', ip => '192.0.2.7', user_agent => 'Mozilla/5.0',
    metadata => '{"request": {"headers": {"Authorization": "Bearer sk-1"}}, "response": "..."}', idempotency_key => 'run-1');
COMMIT;
-- D1-8: a retry counts once, and not only what succeeded is recorded
SELECT total_cost FROM usage.track_api_usage(:'cy', 'content', 'openai', 'gpt-5', '/v1/generate', 'run-1',
    input_tokens => 1200, output_tokens => 900, idempotency_key => 'run-1');
SELECT priced FROM usage.track_api_usage(:'cy', 'chat', 'openai', 'gpt-5', status => 'error', error_message => 'overloaded');
SELECT priced FROM usage.track_api_usage(:'cy', 'image', 'openai', 'dall-e-3', status => 'rate_limited');
SELECT service_type, provider, model, endpoint, request_id, input_tokens, output_tokens, input_cost, output_cost, total_cost, latency_ms, status,
       error_message, ip_address, user_agent FROM api_usage WHERE user_id = :'cy' ORDER BY id;
SELECT metadata FROM usage.usage_events WHERE request_id = 'run-1';
-- calculateOpenAICost, calculateImageCost, calculateVideoCost (S1:36-38, 46-51)
SELECT total_cost FROM usage.calculate_openai_cost(1000000, 1000000, 'gpt-5');
SELECT total_cost FROM usage.calculate_openai_cost(1000000, 1000000, 'gpt-4o');
SELECT s.total_cost, h.total_cost FROM usage.calculate_image_cost('openai', 'dall-e-3') AS s, usage.calculate_image_cost('openai', 'dall-e-3', quality => 'hd') AS h;
SELECT s.total_cost, h.total_cost FROM usage.calculate_image_cost(NULL, 'flux') AS s, usage.calculate_image_cost(NULL, 'flux', quality => 'hd') AS h;
SELECT r.total_cost, l.total_cost FROM usage.calculate_video_cost('runwayml', 'runway', 10) AS r, usage.calculate_video_cost('luma', 'luma', 10) AS l;
-- D1-5: what OpenAI really takes for gpt-4o is another price from another day on; past costs are corrected, not rewritten
SELECT model, action FROM usage.import_model_prices('{"gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 0.0000025, "output_cost_per_token": 0.00001}}', '2026-03-01');
SELECT corrected, difference FROM usage.recost_usage('2026-03-01', '2026-04-01');
SELECT total_cost FROM api_usage WHERE user_id = :'bob';
-- getUserUsage, getUserUsageHistory, getUserAggregations (S1:40-42)
SELECT usage_type, events, cost FROM usage.get_user_usage(:'cy');
SELECT usage_type, provider, model, cost FROM usage.get_user_usage_history(:'cy', max_rows => 10);
SELECT period_type, period_start, service_type, model, status, total_requests, total_tokens, total_cost FROM usage_aggregations
 WHERE user_id = :'cy' AND period_type <> 'daily' ORDER BY period_type, service_type;
-- the panel (S1:228-252)
SELECT plan_name, content_generations_used, image_generations_used, video_generations_used, chat_messages_used FROM user_subscriptions WHERE user_id = :'cy';
SELECT this_month, lifetime FROM usage.get_user_costs(:'ann');
SELECT description FROM usage.plans WHERE plan = 'demo';
-- campaigns; alerts, of which the demo has none; limits of an hour or less
SELECT usage.define_campaign(:'cy', 'spring', 'Spring', 10);
SELECT total_cost FROM usage.track_api_usage(:'cy', 'content', 'openai', 'gpt-5', input_tokens => 1000, campaign_id => 'spring');
SELECT id, name, budget, total_requests, total_cost FROM campaigns;
SELECT usage.define_usage_limit('content_hourly', 'content', 2, 'calendar', '1 hour', measure => 'events');
SELECT user_id, limit_type, service_type, max_requests, request_count, window_start, window_end FROM api_rate_limits ORDER BY user_id;
SELECT usage.define_usage_limit('content_hourly', 'content', 2, 'calendar', '1 hour', measure => 'events', is_active => false);
SELECT count(*) FROM usage_alerts WHERE limit_type <> 'content_hourly';

-- nobody puts others on the demo, or himself
GRANT CREATE ON SCHEMA public TO regress_gateway_user;
GRANT EXECUTE ON FUNCTION _keep_demo TO regress_gateway_user;
UPDATE usage.user_subscriptions SET plan = NULL WHERE user_id = :'cy';
SET ROLE regress_gateway_user;
CREATE TABLE public.mine (id uuid);
CREATE TRIGGER mine AFTER INSERT ON public.mine FOR EACH ROW EXECUTE FUNCTION _keep_demo('id');
INSERT INTO public.mine VALUES (:'cy');
RESET ROLE;
DROP TABLE public.mine;
REVOKE EXECUTE ON FUNCTION _keep_demo FROM regress_gateway_user;
SET ROLE regress_gateway_user;
CREATE TABLE public.mine (id uuid);
CREATE TRIGGER mine AFTER INSERT ON public.mine FOR EACH ROW EXECUTE FUNCTION _keep_demo('id');
RESET ROLE;
SELECT plan_type FROM user_subscriptions WHERE user_id = :'cy';
SELECT usage.set_user_plan(:'cy', 'demo');
-- one of them leaves the demo; those who sign up then are still on it
UPDATE user_subscriptions SET plan_type = 'free' WHERE user_id = :'bob' RETURNING plan_type, content_generations_limit, image_generations_limit;
INSERT INTO auth.users VALUES ('00000000-0000-0000-0000-00000000000f', 'fay@example.com');
SELECT plan_type FROM user_subscriptions WHERE user_id = '00000000-0000-0000-0000-00000000000f';

-- ---- paid tiers (S1:183-191) ----

UPDATE user_subscriptions
SET 
  plan_type = 'free',
  plan_name = 'Free Plan',
  content_generations_limit = 50,
  image_generations_limit = 100,
  video_generations_limit = 10,
  chat_messages_limit = 100
WHERE plan_type = 'demo';
-- D1-2: whoever signs up later is on it too
INSERT INTO auth.users VALUES (:'dee', 'dee@example.com');
-- D1-3: a month, not a year
SELECT user_id, plan_type, plan_name, content_generations_limit, image_generations_limit, video_generations_limit, chat_messages_limit,
       billing_period_start, billing_period_end FROM user_subscriptions ORDER BY user_id;
SELECT user_id, limit_type, max_usage FROM usage.user_limits ORDER BY 1, 2;
SELECT count(*) FROM usage.plan_limits WHERE plan = 'demo';

-- ---- enforcement (S1:196-203) ----

-- D1-1 and D1-10: asked and taken in one statement, and allowed is true where one may
SELECT count(*) FILTER (WHERE allowed), count(*) FROM generate_series(1, 60) AS n, LATERAL usage.start_run(:'dee', 'content', progress => to_jsonb(n));
-- the body of the 429, or null
SELECT CASE WHEN NOT d.allowed THEN jsonb_build_object('error', 'usage_limit_exceeded',
       'message', 'You have reached your monthly limit. Upgrade your plan to continue.') END AS body, d.retry_after
  FROM usage.check_usage_limit(:'dee', 'content') AS d;
SELECT usage.describe_decision(d) || '{"error": "usage_limit_exceeded", "message": "You have reached your monthly limit. Upgrade your plan to continue."}' AS body
  FROM usage.check_usage_limit(:'dee', 'content') AS d WHERE NOT d.allowed;
SELECT CASE WHEN NOT d.allowed THEN 'no' END FROM usage.check_usage_limit(:'cy', 'content') AS d;
-- and the call with its costs
SELECT status, cost FROM usage.succeed_run(:'dee', (SELECT max(id) FROM usage.list_runs(:'dee')), 'openai', 'gpt-5', 1000, 500);
SELECT service_type, model, total_cost FROM api_usage WHERE user_id = :'dee';
SET usage_tracking.clock = '2026-04-01 00:00+00';
SELECT content_generations_used, content_generations_limit, billing_period_end FROM user_subscriptions WHERE user_id = :'ann';
SET usage_tracking.clock = '2026-03-10 12:00+00';

-- ---- Stripe (S1:206-210) ----

SELECT usage.set_stripe_price('price_pro', 'pro'), usage.set_plan_limit('pro', 'content_generations', -1);
SELECT usage.apply_stripe_event(jsonb_build_object('id', 'evt_1', 'type', 'customer.subscription.created', 'created', 1773100000, 'data', jsonb_build_object('object',
    jsonb_build_object('id', 'sub_1', 'customer', 'cus_9', 'status', 'active', 'metadata', jsonb_build_object('user_id', :'cy'),
                       'items', '{"data": [{"price": {"id": "price_pro"}, "current_period_start": 1773100000, "current_period_end": 1775778400}]}'::jsonb))));
SELECT plan_type, plan_name, content_generations_limit, image_generations_limit, stripe_customer_id FROM user_subscriptions WHERE user_id = :'cy';
UPDATE user_subscriptions SET stripe_customer_id = 'cus_2' WHERE user_id = :'ann' RETURNING stripe_customer_id;

-- ---- one user ----

UPDATE user_subscriptions SET content_generations_limit = 75, content_generations_used = 3 WHERE user_id = :'ann' RETURNING content_generations_limit, content_generations_used;
UPDATE user_subscriptions SET plan_type = 'demo' WHERE user_id = :'dee' RETURNING plan_type, image_generations_limit;
UPDATE user_subscriptions SET plan_type = 'gold' WHERE user_id = :'dee';
UPDATE user_subscriptions SET billing_period_end = '2027-01-01' WHERE user_id = :'dee';
UPDATE user_subscriptions SET user_id = :'eve' WHERE user_id = :'dee';
SELECT usage.set_user_plan(:'dee', 'free');

-- ---- who may ----

-- D1-9: the user is who the session says, not who the call says; D1-11: nobody changes what was
SET usage_tracking.user_id = :'ann';
SET ROLE regress_gateway_user;
SELECT DISTINCT user_id FROM api_usage;
SELECT user_id, plan_name, stripe_customer_id FROM user_subscriptions;
SELECT count(*) FROM _customers;
SELECT DISTINCT user_id FROM usage_aggregations;
SELECT count(*) FROM campaigns;
SELECT count(*) FROM usage_alerts;
SELECT count(*) FROM api_rate_limits;
SELECT priced FROM usage.track_api_usage(:'ann', 'content', 'openai', 'gpt-5');
SELECT allowed FROM usage.check_usage_limit(:'bob', 'content');
UPDATE user_subscriptions SET content_generations_limit = 999999;
RESET ROLE;
-- who may read the column reads his own
GRANT SELECT (stripe_customer_id) ON usage.user_subscriptions TO regress_gateway_user;
SET ROLE regress_gateway_user;
SELECT user_id FROM _customers;
RESET ROLE;
REVOKE SELECT (stripe_customer_id) ON usage.user_subscriptions FROM regress_gateway_user;
GRANT ALL ON ALL TABLES IN SCHEMA app TO regress_gateway_user;
SET ROLE regress_gateway_user;
UPDATE user_subscriptions SET content_generations_limit = 999999;
UPDATE user_subscriptions SET content_generations_used = 0;
UPDATE user_subscriptions SET plan_type = 'demo';
UPDATE user_subscriptions SET plan_name = 'mine';
UPDATE user_subscriptions SET stripe_customer_id = 'mine';
UPDATE api_usage SET total_cost = 0;
DELETE FROM api_usage;
RESET ROLE;
RESET usage_tracking.user_id;
SET ROLE regress_gateway_server;
SELECT count(DISTINCT user_id) FROM api_usage;
UPDATE user_subscriptions SET plan_type = 'pro' WHERE user_id = :'dee' RETURNING plan_type, content_generations_limit;
DELETE FROM api_usage;
RESET ROLE;
DELETE FROM usage.usage_events;
SELECT relname FROM pg_class WHERE relnamespace = 'app'::regnamespace AND relkind = 'v' AND NOT reloptions @> '{security_invoker=true,security_barrier=true}' ORDER BY 1;
-- D1-12: sums are always those of the events
SELECT * FROM usage.reconcile_usage();

-- ---- a sign-up does not fail because of us ----

ALTER TABLE usage.plan_limits RENAME TO plan_limits_away;
SET client_min_messages = error;
INSERT INTO auth.users VALUES (:'eve', 'eve@example.com');
RESET client_min_messages;
ALTER TABLE usage.plan_limits_away RENAME TO plan_limits;
SELECT plan_type FROM user_subscriptions WHERE user_id = :'eve';

-- ---- a type of whoever owns the users table does nothing with other rights than his ----

CREATE ROLE regress_gateway_owner;
SELECT usage.set_plan_limit('demo', 'content_generations', -1);
ALTER TABLE auth.users DROP CONSTRAINT users_pkey CASCADE;
GRANT ALL ON SCHEMA auth TO regress_gateway_owner;
ALTER TABLE auth.users OWNER TO regress_gateway_owner;
SET client_min_messages = error;
SET ROLE regress_gateway_owner;
CREATE TABLE auth.cast_as (role name);
CREATE TYPE auth.wrapped AS (id uuid);
CREATE FUNCTION auth.unwrap(auth.wrapped) RETURNS uuid LANGUAGE sql VOLATILE AS
$$INSERT INTO auth.cast_as VALUES (current_user); SELECT ($1).id$$;
CREATE CAST (auth.wrapped AS uuid) WITH FUNCTION auth.unwrap(auth.wrapped) AS IMPLICIT;
ALTER TABLE auth.users ALTER COLUMN id TYPE auth.wrapped USING row(id)::auth.wrapped;
INSERT INTO auth.users VALUES (row('00000000-0000-0000-0000-00000000000f')::auth.wrapped, 'fay@example.com') RETURNING email;
RESET ROLE;
SELECT count(*) FROM auth.cast_as;
RESET client_min_messages;

-- ---- the users table is the attached one, whatever its key is called ----

\c :home
DROP DATABASE regress_ai_gateway;
CREATE DATABASE regress_ai_gateway;
\c regress_ai_gateway
CREATE EXTENSION usage_tracking;
CREATE TABLE members (member uuid PRIMARY KEY, mail text);
SELECT attach_users('members', 'member', 'mail');
\! psql -Xqt -d regress_ai_gateway -v schema=app -f "$RECIPE" 2>&1 | grep .
INSERT INTO members VALUES (:'ann', 'ann@example.com');
SELECT user_id, plan FROM user_subscriptions;

\c :home
DROP DATABASE regress_ai_gateway;
DROP ROLE regress_gateway_owner;
DROP ROLE regress_gateway_user;
DROP ROLE regress_gateway_server;
