/* Promise 10: changes of limits, plans and roles are kept, and their history
 * cannot be changed or removed.
 *
 * Each change leaves one row with who, when, before and after, whether it came
 * through a function or by plain SQL; what changes nothing, and what a sign-up or
 * a first use makes, leaves none.  That a restore doubles nothing is tested in
 * test/t/030_restore.pl. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SELECT no_plan();
\set ann '''00000000-0000-0000-0000-00000000000a'''
\set bob '''00000000-0000-0000-0000-00000000000b'''
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SET search_path = usage, public;
SET usage_tracking.clock = '2026-03-10 12:00+00';
/* how times are shown must make no difference */
SET TimeZone = 'Asia/Kathmandu';
SET IntervalStyle = 'sql_standard';
SET DateStyle = 'SQL, DMY';
CREATE ROLE regress_ut_web;
CREATE ROLE regress_ut_gateway;
GRANT regress_ut_web TO regress_ut_gateway;
CREATE ROLE regress_ut_clerk BYPASSRLS;
SELECT grant_usage_access('regress_ut_web') \g /dev/null
CREATE TABLE public.people (id uuid PRIMARY KEY, email text);
INSERT INTO public.people VALUES (:ann, 'ann@example.com');

/* What was added since the last look, oldest first. */
CREATE TEMP TABLE seen (up_to bigint);
INSERT INTO seen VALUES (0);
CREATE FUNCTION pg_temp.news() RETURNS TABLE (what text, about text, was jsonb, becomes jsonb) LANGUAGE sql AS $$
    WITH fresh AS (SELECT c.* FROM usage_changes AS c, seen WHERE c.id > seen.up_to ORDER BY c.id),
         noted AS (UPDATE seen SET up_to = GREATEST(up_to, (SELECT max(id) FROM fresh)))
    SELECT action || ' ' || table_name, right(user_id::text, 1), old, new FROM fresh
$$;
CREATE FUNCTION pg_temp.made(statement text, expected text, title text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN is((SELECT string_agg(concat_ws(' ', what, about), ', ') FROM pg_temp.news()), NULLIF(expected, ''), title);
END
$$;

-- ---- what makes a row, and what none ----

SELECT pg_temp.made($$SELECT attach_users('people')$$, 'INSERT plans, INSERT plans, INSERT plans, INSERT plans, INSERT plans',
                    'attach_users(): the plans, and nothing of the users it adds');
SELECT pg_temp.made('SELECT install_default_plans()', '', 'plans that are there');
SELECT pg_temp.made($$INSERT INTO people VALUES ('00000000-0000-0000-0000-00000000000c', 'c@example.com')$$, '', 'a sign-up');
SELECT pg_temp.made($$SELECT define_usage_type('photo')$$, '', 'a usage type is no limit');
SELECT pg_temp.made($$SELECT define_usage_limit('photos', 'photo', 3, 'anchored', '36 hours')$$, 'INSERT usage_limits', 'a new limit');
SELECT pg_temp.made($$SELECT define_usage_limit('photos', 'photo', 3, 'anchored', '36 hours')$$, '', 'the same again');
SELECT pg_temp.made($$SELECT consume_usage('00000000-0000-0000-0000-00000000000d', 'photo')$$, '', 'a first use');
SELECT pg_temp.made($$SELECT set_credit_cost('photo', 2), set_credit_refill('pro', 100)$$, 'INSERT credit_costs, INSERT credit_refills', 'what it costs in credits, and what a plan gives');
SELECT pg_temp.made($$SELECT set_credit_cost('photo', 2), set_credit_refill('pro', 100)$$, '', 'the same again');
SELECT pg_temp.made($$SELECT set_credit_cost('photo', NULL), set_credit_refill('pro', NULL)$$, 'DELETE credit_costs, DELETE credit_refills', 'taken back');
SELECT pg_temp.made($$SELECT set_stripe_price('price_1', 'pro')$$, 'INSERT stripe_prices', 'what a price at Stripe pays for');
SELECT pg_temp.made($$SELECT define_rate_limit('api', 10, '1 minute'), define_rate_limit('api', 20, '1 minute', plan => 'pro')$$, 'INSERT api_rate_limits, INSERT api_rate_limits', 'a rate, and a plan''s');
SELECT pg_temp.made($$SELECT define_rate_limit('api', 10, '60 seconds'), define_rate_limit('api', 20, '1 minute', 20, 'pro')$$, 'UPDATE api_rate_limits', 'the same again, and a burst');
SELECT pg_temp.made($$DELETE FROM api_rate_limits$$, 'DELETE api_rate_limits, DELETE api_rate_limits', 'and their end');
SELECT pg_temp.made($$SELECT set_plan_limit('pro', 'photos', 7)$$, 'INSERT plan_limits', 'a plan''s word');
SELECT pg_temp.made($$SELECT set_plan_limit('pro', 'photos', 7)$$, '', 'the same again');
SELECT pg_temp.made($$SELECT set_plan_limit('pro', 'photos', 8)$$, 'UPDATE plan_limits', 'another');
SELECT pg_temp.made($$SELECT set_plan_limit('pro', 'photos', NULL)$$, 'DELETE plan_limits', 'taken back');
SELECT pg_temp.made($$SELECT set_plan_limit('pro', 'photos', NULL)$$, '', 'taken back again');
SELECT pg_temp.made(format($$SELECT set_user_limit(%L, 'photos', 5)$$, :ann), 'INSERT user_limits a', 'a user''s own limit');
SELECT pg_temp.made(format($$SELECT set_user_limit(%L, 'photos', 5)$$, :ann), '', 'the same again');
SELECT pg_temp.made(format($$SELECT set_user_limit(%L, 'photos', 5, reason => 'asked')$$, :ann), 'UPDATE user_limits a', 'a reason for it');
SELECT pg_temp.made(format($$UPDATE user_usage SET max_usage = 6 WHERE user_id = %L$$, :ann), 'UPDATE user_limits a', 'through the view');
SELECT pg_temp.made(format($$SELECT set_user_plan(%L, 'pro')$$, :ann), 'UPDATE user_subscriptions a', 'a plan');
SELECT pg_temp.made(format($$SELECT set_user_plan(%L, 'pro')$$, :ann), '', 'the same again');
SELECT pg_temp.made(format($$SELECT set_user_plan(%L, 'team')$$, :bob), 'UPDATE user_subscriptions b', 'a plan for an id never seen');
SELECT pg_temp.made(format($$SELECT set_user_clock(%L, 'Asia/Tokyo')$$, :bob), 'UPDATE user_subscriptions b', 'a clock');
SELECT pg_temp.made(format($$SELECT set_user_clock(%L, anchor => '2026-01-31')$$, :bob), 'UPDATE user_subscriptions b', 'an anchor');
SELECT pg_temp.made(format($$SELECT set_user_clock(%L, 'Asia/Tokyo', '2026-01-31')$$, :bob), '', 'the same again');
SELECT pg_temp.made(format($$SELECT grant_role(%L, 'admin')$$, :ann), 'INSERT user_roles a', 'a role');
SELECT pg_temp.made(format($$SELECT grant_role(%L, 'admin')$$, :ann), '', 'the same again');
SELECT pg_temp.made(format($$SELECT grant_role(%L, 'admin'), revoke_role(%1$L, 'admin')$$, :bob), 'INSERT user_roles b, DELETE user_roles b', 'a role given and taken');
SELECT pg_temp.made($$SELECT grant_role('00000000-0000-0000-0000-00000000000c', 'support')$$, 'INSERT user_roles c', 'a role of another');
SELECT pg_temp.made($$DELETE FROM people WHERE email = 'c@example.com'$$, 'DELETE user_roles c', 'who is deleted loses it');

-- by plain SQL
SELECT pg_temp.made($$UPDATE plans SET name = name$$, '', 'an update that changes nothing');
SELECT pg_temp.made($$UPDATE plans SET plan = 'gold' WHERE plan = 'team'$$, 'UPDATE plans, UPDATE user_subscriptions b', 'a plan renamed, and who is on it');
SELECT pg_temp.made(format($$UPDATE user_subscriptions SET metadata = '{"a": 1}' WHERE user_id = %L$$, :bob), 'UPDATE user_subscriptions b', 'metadata');
SELECT pg_temp.made(format($$UPDATE user_subscriptions SET metadata = '{"a": 1.0}' WHERE user_id = %L$$, :bob), '', 'the same number');
SELECT pg_temp.made($$INSERT INTO user_subscriptions (user_id, plan) VALUES ('00000000-0000-0000-0000-00000000000e', 'free')$$,
                    'INSERT user_subscriptions e', 'a subscription with a plan');
SELECT pg_temp.made($$DELETE FROM user_subscriptions WHERE plan = 'free'$$, 'DELETE user_subscriptions e', 'and none');
SELECT pg_temp.made($$UPDATE usage_limits SET measure = 'events'$$, 'UPDATE usage_limits', 'a limit counts something else');
SELECT pg_temp.made($$SELECT set_plan_limit('pro', 'photos', 7)$$, 'INSERT plan_limits', 'a plan''s word again');
SELECT pg_temp.made($$DELETE FROM usage_limits$$, 'DELETE usage_limits, DELETE plan_limits, DELETE user_limits a', 'a limit takes along what hangs on it');
SELECT pg_temp.made($$TRUNCATE user_roles$$, 'DELETE user_roles a', 'TRUNCATE removes rows too');
SELECT pg_temp.made($$TRUNCATE plan_limits, user_limits$$, '', 'TRUNCATE of nothing');

-- whatever a subscription says beyond what a first use writes
SELECT pg_temp.made(format('INSERT INTO user_subscriptions (user_id, started_at, anchor%s) VALUES (%L, %L, %3$L%s)',
                           columns, '00000000-0000-0000-0000-00000000000f', '2026-03-01 00:00+00', "values"),
                    CASE columns WHEN '' THEN '' ELSE 'INSERT user_subscriptions f' END, 'a subscription that says' || columns)
       || E'\n' || pg_temp.made($$DELETE FROM user_subscriptions WHERE user_id = '00000000-0000-0000-0000-00000000000f'$$, 'DELETE user_subscriptions f', 'and its end')
  FROM (VALUES ('', ''), (', plan', ', ''pro'''), (', status', ', ''paused'''), (', expires_at', ', ''2026-04-01'''),
               (', billing_period_start, billing_period_end', ', ''2026-03-01'', ''2026-04-01'''), (', stripe_customer_id', ', ''cus_1'''),
               (', stripe_subscription_id', ', ''sub_1'''), (', time_zone', ', ''Asia/Tokyo'''), (', metadata', ', ''[]''')) AS v (columns, "values");
SELECT is((SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'user_subscriptions'::regclass AND attnum > 0),
          'user_id plan status billing_period_start billing_period_end started_at expires_at stripe_customer_id stripe_subscription_id time_zone anchor metadata',
          'which are all its columns');
SELECT pg_temp.made($$INSERT INTO user_subscriptions (user_id, started_at, anchor) VALUES ('00000000-0000-0000-0000-00000000000f', '2026-03-01', '2026-02-01')$$,
                    'INSERT user_subscriptions f', 'a subscription with an anchor of its own');

-- ---- who and when ----

SET LOCAL usage_tracking.user_id = '00000000-0000-0000-0000-00000000000b';
SET SESSION AUTHORIZATION regress_ut_gateway;
SET ROLE regress_ut_web;
SELECT throws_ok('SELECT usage.define_usage_limit(''clips'', ''clip'', 1)', '42501', NULL, 'who may not changes nothing');
RESET SESSION AUTHORIZATION;
SELECT is_empty('SELECT * FROM pg_temp.news()', 'and leaves nothing');
SELECT grant_role(:bob, 'admin') \g /dev/null
SELECT results_eq('SELECT changed_by, changed_role = session_user FROM usage_changes ORDER BY id DESC LIMIT 1',
                  format('VALUES (%L::uuid, true)', :bob), 'the superuser, acting for Bob, as himself');
SET SESSION AUTHORIZATION regress_ut_gateway;
SET ROLE regress_ut_web;
SELECT usage.define_usage_limit('clips', 'clip', 1) \g /dev/null
RESET SESSION AUTHORIZATION;
SET LOCAL usage_tracking.user_id = '';
SELECT results_eq('SELECT changed_by, changed_role, user_id, action, table_name FROM usage_changes ORDER BY id DESC LIMIT 1',
                  format('VALUES (%L::uuid, ''regress_ut_gateway'', NULL::uuid, ''INSERT'', ''usage_limits'')', :bob),
                  'an admin: himself, and the role that logged in');
GRANT SELECT, UPDATE ON plans TO regress_ut_clerk;
GRANT USAGE ON SCHEMA usage TO regress_ut_clerk;
SET SESSION AUTHORIZATION regress_ut_clerk;
UPDATE usage.plans SET name = 'Pro plus' WHERE plan = 'pro';
SELECT throws_ok('SELECT * FROM usage.usage_changes', '42501', NULL, 'a clerk reads no history');
SELECT throws_ok('INSERT INTO usage.usage_changes (table_name, action) VALUES (''plans'', ''UPDATE'')', '42501', NULL, 'nor writes it himself');
RESET SESSION AUTHORIZATION;
SELECT results_eq('SELECT changed_by, changed_role, old, new FROM usage_changes ORDER BY id DESC LIMIT 1',
                  $$VALUES (NULL::uuid, 'regress_ut_clerk', '{"plan": "pro", "name": "Pro", "description": null}'::jsonb,
                            '{"plan": "pro", "name": "Pro plus", "description": null}'::jsonb)$$, 'a clerk by plain SQL, for nobody');
SELECT current_setting('usage_tracking.clock') AS clock \gset
SET LOCAL usage_tracking.clock = '';
SELECT clock_timestamp() AS before \gset
SELECT set_user_plan(:ann, 'demo', '2026-12-31 00:00+00', '2026-03-01 00:00+00', '2026-04-01 00:00+00') \g /dev/null
SELECT ok(changed_at BETWEEN :'before' AND clock_timestamp() AND changed_at > now(), 'the instant of the change, by the server''s clock')
  FROM usage_changes ORDER BY id DESC LIMIT 1;
SET LOCAL usage_tracking.clock = '2026-03-11 12:00+00';
SELECT set_user_plan(:ann, 'pro'), set_user_plan(:ann, 'demo', '2026-12-31 00:00+00', '2026-03-01 00:00+00', '2026-04-01 00:00+00') \g /dev/null
SELECT is(changed_at, '2026-03-11 12:00+00', 'or by that of uses, if it is stopped') FROM usage_changes ORDER BY id DESC LIMIT 1;
SELECT set_config('usage_tracking.clock', :'clock', true) \g /dev/null

-- ---- before and after, exactly ----

SELECT is(c.new - '{anchor,started_at,user_id}'::text[], '{"plan": "demo", "status": "active",
    "billing_period_start": "2026-03-01T00:00:00+00:00", "billing_period_end": "2026-04-01T00:00:00+00:00", "expires_at": "2026-12-31T00:00:00+00:00",
    "stripe_customer_id": null, "stripe_subscription_id": null, "time_zone": null, "metadata": {}}'::jsonb, 'times are in UTC, under ' || (c.new ->> 'user_id'))
  FROM usage_changes AS c ORDER BY id DESC LIMIT 1;
SELECT is((c.new ->> 'anchor')::timestamptz, s.anchor, 'and exact') FROM usage_changes AS c, user_subscriptions AS s
 WHERE s.user_id = :ann ORDER BY c.id DESC LIMIT 1;
SELECT is((new ->> 'period')::text, '36:00:00', 'periods are spelled as PostgreSQL does')
  FROM usage_changes WHERE table_name = 'usage_limits' ORDER BY id LIMIT 1;
INSERT INTO user_limits VALUES (:ann, 'clips', 99999999999999999999999999999.999999999, 'infinity', E'\n"''\\ é');
SELECT is(c.new, to_jsonb(l), 'numbers and texts as they are') FROM usage_changes AS c, user_limits AS l ORDER BY c.id DESC LIMIT 1;
UPDATE user_limits SET max_usage = 0;
SELECT is(n.old, o.new, 'the row before is the row after of the change before')
  FROM usage_changes AS n JOIN usage_changes AS o ON o.id = n.id - 1 ORDER BY n.id DESC LIMIT 1;
/* played back, the history gives the tables as they are */
SELECT is_empty(format($$
    SELECT row FROM (SELECT to_jsonb(t) AS row FROM %1$I AS t EXCEPT SELECT last.new FROM
        (SELECT DISTINCT ON (key) c.action, c.new FROM usage_changes AS c,
                LATERAL (SELECT COALESCE(new, old) - '{max_usage,expires_at,reason,name,description}'::text[]) AS k (key)
          WHERE c.table_name = %1$L ORDER BY key, c.id DESC) AS last) AS missing$$, name), name || ': history has the latest of each row')
  FROM unnest('{plans,user_limits,plan_limits}'::text[]) AS name;

-- ---- what cannot be hidden, and what can be rolled back ----

SELECT count(*) FROM pg_temp.news() \g /dev/null
SET LOCAL check_function_bodies = off;
SELECT pg_temp.made(format($$SELECT set_user_limit(%L, 'clips', 77)$$, :ann), 'UPDATE user_limits a', 'a function records whatever the session set');
SELECT pg_temp.made(format($$SELECT grant_role(%L, 'support')$$, :ann), 'INSERT user_roles a', 'a role too');
SELECT pg_temp.made($$DELETE FROM people$$, 'DELETE user_roles a', 'and the role of who is deleted');
SELECT throws_ok(format($$SELECT set_user_limit(%L, 'nothing', 77)$$, :ann), 'UT004', NULL, 'a function that fails');
SELECT is(current_setting('check_function_bodies'), 'off', 'leaves the setting as it was');
SELECT pg_temp.made($$UPDATE plans SET description = 'as a restore would'$$, '', 'plain SQL of a restore is not recorded');
SET LOCAL check_function_bodies = on;
DO $$
BEGIN
    UPDATE plans SET description = 'never';
    RAISE 'undo';
EXCEPTION WHEN raise_exception THEN
    NULL;
END
$$;
SELECT is_empty('SELECT * FROM pg_temp.news()', 'what is rolled back was never there');

-- ---- kept ----

SELECT throws_ok(statement, '23001', 'rows of table "usage_changes" cannot be changed or removed', statement)
  FROM unnest('{UPDATE usage_changes SET changed_by = NULL,DELETE FROM usage_changes,TRUNCATE usage_changes,
               MERGE INTO usage_changes AS c USING plans ON true WHEN MATCHED THEN DELETE,
               INSERT INTO usage_changes (id\, table_name\, action) VALUES (1\, ''x''\, ''INSERT'') ON CONFLICT (id) DO UPDATE SET new = NULL}'::text[]) AS statement;

-- ---- but for erasure ----

RESET usage_tracking.user_id;
CREATE TEMP TABLE leaving (id uuid, what text);
INSERT INTO leaving VALUES ('1eaf0aaa-0000-0000-0000-0000000000aa', 'anonymize'), ('1eaf0eee-0000-0000-0000-0000000000ee', 'erase');
SELECT grant_role(id, 'admin'), set_user_plan(id, 'pro', '2026-12-31'), set_user_limit(id, 'clips', 5, reason => 'a secret'),
       set_user_clock(id, 'Asia/Tokyo') FROM leaving \g /dev/null
UPDATE user_subscriptions SET stripe_customer_id = 'a secret' WHERE user_id IN (SELECT id FROM leaving);
/* each of them makes somebody else an admin, and changes a plan */
SELECT set_config('usage_tracking.user_id', id::text, true), grant_role(:bob, what), set_plan_limit('pro', 'clips', 10 + length(what)) FROM leaving \g /dev/null
UPDATE user_roles SET granted_at = now() WHERE user_id = :bob;
SET LOCAL usage_tracking.user_id = '';
SELECT is(count(*), 2::bigint, 'who leaves made changes') FROM usage_changes WHERE changed_by IN (SELECT id FROM leaving) AND table_name = 'plan_limits';
SELECT erase_user(id) FROM leaving WHERE what = 'erase' \g /dev/null
INSERT INTO deleted_users SELECT id, what FROM leaving WHERE what = 'anonymize';
DELETE FROM public.people;
SELECT usage_maintenance() \g /dev/null
SELECT is_empty('SELECT * FROM deleted_users', 'the one who was deleted is anonymized');
SELECT is_empty('SELECT c FROM usage_changes AS c, leaving AS l WHERE strpos(c::text, l.id::text) > 0', 'history does not name who left, anywhere');
SELECT is_empty('SELECT c FROM usage_changes AS c WHERE strpos(c::text, ''a secret'') > 0', 'nor tells what was noted about him');
SELECT bag_eq($$SELECT table_name, action, COALESCE(new, old) FROM usage_changes AS c
                 WHERE user_id IN (SELECT user_id FROM usage_changes GROUP BY user_id HAVING bool_or(new = '{"limit_type": "clips", "max_usage": 5}'))$$,
              $$VALUES ('user_roles', 'INSERT', '{"role": "admin"}'::jsonb), ('user_roles', 'DELETE', '{"role": "admin"}'),
                       ('user_subscriptions', 'UPDATE', '{"plan": "pro", "status": "active"}'), ('user_subscriptions', 'UPDATE', '{"plan": "pro", "status": "active"}'),
                       ('user_subscriptions', 'UPDATE', '{"plan": "pro", "status": "active"}'), ('user_subscriptions', 'DELETE', '{"plan": "pro", "status": "active"}'),
                       ('user_limits', 'INSERT', '{"limit_type": "clips", "max_usage": 5}'), ('user_limits', 'DELETE', '{"limit_type": "clips", "max_usage": 5}')$$,
              'of who was anonymized it says what he was allowed, under a fresh id');
SELECT is(count(*), 2::bigint, 'what they changed is still changed, by nobody') FROM usage_changes
 WHERE table_name = 'plan_limits' AND changed_by IS NULL AND (new ->> 'max_usage')::numeric IN (19, 15);
SELECT is_empty('SELECT c FROM usage_changes AS c WHERE old = new AND table_name = ''user_roles''', 'and no change is left that is none');
SELECT is_empty('SELECT * FROM usage_security_check() WHERE problem !~ ''regress_ut_clerk''', 'history is closed again');
SELECT throws_ok('DELETE FROM usage_changes', '23001', NULL, 'to everybody');
SELECT ok(NOT strpos(export_user_data(:bob)::text, 'changed_by') > 0 AND NOT strpos(export_user_data(:bob)::text, 'granted_by') > 0,
          'what is exported of a user does not name who changed it');

/* Every table of that kind: a new one has to be watched as well. */
SELECT bag_eq($$SELECT c.relname::text FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
                 WHERE t.tgfoid = 'usage._record_change'::regproc GROUP BY 1 HAVING bit_or(t.tgtype::int) = 63 AND bool_and(t.tgenabled = 'O')$$,
              $$SELECT relname::text FROM pg_class WHERE relnamespace = 'usage'::regnamespace AND relkind = 'r'
                  AND relname IN ('usage_limits', 'plan_limits', 'user_limits', 'plans', 'user_roles', 'user_subscriptions', 'temporary_limits', 'model_prices', 'model_aliases', 'usage_alert_rules', 'credit_costs', 'credit_refills', 'stripe_prices', 'api_rate_limits')$$,
              'every table of limits, prices, plans and roles is watched: INSERT, UPDATE, DELETE and TRUNCATE');
SELECT is_empty('SELECT * FROM usage_security_check() WHERE problem !~ ''regress_ut_clerk''', 'and usage_security_check() agrees');
SELECT * FROM finish();
ROLLBACK;
