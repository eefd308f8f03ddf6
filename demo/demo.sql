-- The story that `make demo` tells: an application that has users gets limits.
\set QUIET on
\pset footer off
SET TimeZone = 'UTC';
SET client_min_messages = warning;

-- The application as it was before.
CREATE TABLE app_users (
    id    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email text UNIQUE NOT NULL
);
INSERT INTO app_users (email) VALUES ('ann@example.com'), ('bob@example.com'), ('ops@example.com');
CREATE ROLE demo_app;

\echo '== An application with three users. Install, and attach its table of users:'
\echo '   CREATE SCHEMA usage; CREATE EXTENSION usage_tracking SCHEMA usage;'
\echo '   SELECT usage.attach_users(\'app_users\');'
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.attach_users('app_users') AS users_backfilled;

\echo '== Five videos in 30 days, counted from each user\'s own start:'
\echo '   SELECT usage.define_usage_limit(\'videos_monthly\', \'video\', max_usage => 5,'
\echo '                                   window_kind => \'anchored\', period => \'30 days\');'
\echo '   Eve signs up and makes five: SELECT * FROM usage.consume_usage(eve, \'video\');'
SELECT usage.define_usage_limit('videos_monthly', 'video', max_usage => 5,
                                window_kind => 'anchored', period => '30 days')
\g /dev/null
SELECT usage.grant_usage_access('demo_app')
\g /dev/null
INSERT INTO app_users (email) VALUES ('eve@example.com');

SELECT id AS eve FROM app_users WHERE email = 'eve@example.com' \gset
SELECT id AS ops FROM app_users WHERE email = 'ops@example.com' \gset
SET usage_tracking.user_id = :'eve';
SET ROLE demo_app;
SELECT * FROM (
    SELECT n AS video, d.allowed, d.reason, d.used, d.max_usage, d.remaining
    FROM generate_series(1, 5) AS n,
         LATERAL usage.consume_usage(:'eve', 'video', resource_id => 'video-' || n) AS d OFFSET 0) AS made
WHERE video IN (1, 5);

\echo '== The sixth is refused: an answer, not an error, with the time when there is room again:'
SELECT allowed, reason, limit_type, used, reset_at::timestamptz(0)
FROM usage.consume_usage(:'eve', 'video');

\echo '== Eve cannot raise her own limit:'
\set ON_ERROR_STOP off
SELECT usage.set_user_limit(:'eve', 'videos_monthly', 100);
SELECT set_config('demo.refusal', :'SQLSTATE', false)
\g /dev/null
\set ON_ERROR_STOP on

\echo
\echo '== Ops is made an admin and can. Eve goes on:'
\echo '   SELECT usage.make_admin_by_email(\'ops@example.com\');'
\echo '   SELECT usage.set_user_limit(eve, \'videos_monthly\', 7, reason => \'asked nicely\');'
RESET ROLE;
SELECT usage.make_admin_by_email('ops@example.com')
\g /dev/null
SET usage_tracking.user_id = :'ops';
SET ROLE demo_app;
SELECT usage.set_user_limit(:'eve', 'videos_monthly', 7, reason => 'asked nicely')
\g /dev/null
RESET ROLE;
SET usage_tracking.user_id = :'eve';
SET ROLE demo_app;
SELECT allowed, reason, used, max_usage, remaining FROM usage.consume_usage(:'eve', 'video');

\echo '== 31 days later a new period has begun. No job ran:'
RESET ROLE;
SELECT set_config('usage_tracking.clock', (now() + interval '31 days')::text, false)
\g /dev/null
SET ROLE demo_app;
SELECT allowed, reason, used, max_usage, remaining FROM usage.consume_usage(:'eve', 'video');

\echo '== What to show: Eve sees her own, the owner sees all. SELECT * FROM usage.user_usage;'
SELECT set_config('demo.seen', (SELECT string_agg(user_id::text, ' ') FROM usage.user_usage), false)
\g /dev/null
RESET ROLE;
SELECT u.email, v.used, v.max_usage, v.remaining, v.percent, v.reset_at::timestamptz(0)
FROM usage.user_usage AS v JOIN app_users AS u ON u.id = v.user_id
ORDER BY u.email;

-- What it costs.
RESET usage_tracking.clock;
\echo '== What did it cost? Prices have dates; a call costs what its model cost at that instant:'
\echo '   SELECT usage.install_seed_prices();'
\echo '   SELECT * FROM usage.track_api_usage(eve, \'chat\', \'openai\', \'gpt-5\', input_tokens => 1200, output_tokens => 300);'
SELECT usage.install_seed_prices()
\g /dev/null
SELECT usage.define_usage_limit('chat_budget', 'chat', max_usage => 0.05, period => '1 month', measure => 'cost')
\g /dev/null
SELECT * FROM usage.track_api_usage(:'eve', 'chat', 'openai', 'gpt-5', input_tokens => 1200, output_tokens => 300);
SELECT count(*) FROM (SELECT id, row_number() OVER (ORDER BY email) AS place FROM app_users) AS u,
       generate_series(1, 20) AS n,
       LATERAL usage.track_api_usage(u.id, 'chat', 'openai', CASE WHEN n % 3 = 0 THEN 'gpt-5' ELSE 'gpt-4o-mini' END,
                                     input_tokens => 100 * n * u.place, output_tokens => 20 * n) AS c
\g /dev/null
\echo '== Cost per user and model. Everybody has 5 cents a month, and who has used them up is asked to wait:'
\echo '   SELECT usage.define_usage_limit(\'chat_budget\', \'chat\', 0.05, period => \'1 month\', measure => \'cost\');'
SELECT u.email, sum(a.total_cost) FILTER (WHERE a.model = 'gpt-4o-mini') AS "gpt-4o-mini",
       sum(a.total_cost) FILTER (WHERE a.model = 'gpt-5') AS "gpt-5", d.used AS usd, d.max_usage, d.allowed, d.reason
FROM app_users AS u JOIN usage.api_usage AS a ON a.user_id = u.id,
     LATERAL usage.check_usage_limit(u.id, 'chat') AS d
GROUP BY u.email, d.used, d.max_usage, d.allowed, d.reason ORDER BY u.email;

-- A demo that went wrong must not look right.
DO $$
BEGIN
    ASSERT (SELECT count(*) FROM usage.usage_events WHERE usage_type = 'video') = 7, 'seven videos were made';
    ASSERT (SELECT array_agg(used ORDER BY used) FROM usage.user_usage WHERE limit_type = 'videos_monthly') = '{0,0,0,6}', 'six of them now';
    ASSERT (SELECT sum(cost) = sum(used) FROM (SELECT sum(cost) AS cost FROM usage.usage_events) AS e,
            (SELECT sum(used) AS used FROM usage.user_usage WHERE limit_type = 'chat_budget') AS u), 'what it cost is what was counted';
    ASSERT current_setting('demo.seen') = current_setting('usage_tracking.user_id'), 'Eve sees her own';
    ASSERT current_setting('demo.refusal') = '42501', 'a user cannot change a limit';
END;
$$;
