/* Attacks on becoming an admin, 51-56 of the suite, and 38: losing it.
 *
 * Admin rights come from user_roles only.  The first admin is made by the owner
 * of the database; nobody else, no server role either, wins by being first.
 * Callers at once are in test/t/010_attacks.pl. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
\ir lib/attackers.sql
SELECT no_plan();
\set admin_functions '''grant_role'',''revoke_role'',''make_admin_by_email'',''set_user_plan'',''set_user_clock'',''set_stripe_price'',''stripe_meter_events'',''define_usage_type'',''define_usage_limit'',''define_rate_limit'',''define_usage_alert'',''set_plan_limit'',''set_temporary_limit'',''set_user_limit'',''reverse_usage'',''adjust_usage'',''reset_user_usage'',''set_usage_level'',''add_usage_level'',''erase_user'',''export_user_data'',''define_campaign'',''recost_usage'',''set_credit_cost'',''set_credit_refill'',''set_credit_overdraft'',''grant_credits'',''spend_credits'',''refund_credits'''

/* One more attacker for this file: a server role that acts for user A. */
INSERT INTO attack.attackers VALUES ('service_role', true, '{"sub": "aaaaaaaa-0000-4000-8000-00000000000a"}', '');

/* 51; whether an address exists is not told either */
SELECT attack.by_all('51 make_admin_by_email', array_agg(format('SELECT usage.make_admin_by_email(%L)', email)))
  FROM unnest('{a@example.com,secret.b@example.com,nobody@example.com,%,"",NULL}'::text[]) AS email;
SELECT is((SELECT count(DISTINCT (state, told)) FROM unnest('{secret.b@example.com,nobody@example.com}'::text[]) AS email,
                  attack.run('authenticated', format('SELECT usage.make_admin_by_email(%L)', email)))::int, 1,
          '51 the refusal is the same for an address there is and one there is not');
SELECT attack.by_all('51, 54 grant_role and revoke_role', ARRAY[
    format('SELECT usage.grant_role(%L, ''admin'')', :a), format('SELECT usage.grant_role(%L, ''support'')', :a),
    format('SELECT usage.revoke_role(%L, ''admin'')', :b), format('SELECT usage.revoke_role(%L, ''admin'')', :a),
    'SELECT usage.grant_role(NULL, NULL)', format('SELECT usage.grant_role(%L, ''not a name'')', :a)]);
SELECT attack.by_all('54 rows in user_roles', ARRAY[
    format('INSERT INTO usage.user_roles VALUES (%L, ''admin'')', :a), format('UPDATE usage.user_roles SET user_id = %L', :a),
    'DELETE FROM usage.user_roles', 'TRUNCATE usage.user_roles', format('COPY usage.user_roles FROM PROGRAM %L', 'echo ' || :a || ',admin')]);

SELECT is((SELECT array_agg(proname ORDER BY proname) FROM usage._audience() AS f JOIN pg_proc AS p ON p.oid = f.function
            WHERE audience = 'user' AND proname NOT IN (:admin_functions)
              AND proname !~ '^(calculate_.*_cost|usage_from_.*|describe_decision|rate_limit_headers|_decision_headers|pre_request|_usage_object|_token_count|_check_token_count|_usage_now|_check_max_rows|_zone_or_default|_usage_tally|_tally_uses|popular_resources|trending_resources|get_top_resource_users|get_usage_heatmap|dashboard_page|_page|_(html|page|text)_.*)$'),
          '{_calls_of_user,_credit_transactions_of_user,_credits_of_user,_memory_areas,_monthly_runs,_sees_all_users,_usage_of_user,acknowledge_usage_alert,admin_dashboard,admin_page,check_monthly_usage_limit,check_rate_limit,check_usage_limit,consume_rate_limit,consume_usage,credit_balance,current_user_id,get_campaigns,get_conversion_funnel,get_cost_breakdown,get_cost_forecast,get_error_rates,get_run,get_run_deliveries,get_top_users,get_unit_costs,get_usage_alerts,get_usage_totals,get_usage_trends,get_user_aggregations,get_user_costs,get_user_roles,get_user_stats,get_user_usage,get_user_usage_history,get_users_near_limit,has_role,is_admin,list_runs,require_rate_limit,require_usage,run_usage,usage_report,user_dashboard,user_page,visible_users}',
          'all that users may call, but for these, is for admins and attacked below');

/* 52: no admin yet */
DELETE FROM usage.user_roles;
SELECT attack.by_all('52 the first caller does not win', ARRAY[
    'SELECT usage.make_admin_by_email(''a@example.com'')', format('SELECT usage.grant_role(%L, ''admin'')', :a)]);
CREATE ROLE regress_ut_dbowner;
SELECT usage.grant_usage_access('regress_ut_dbowner') AS ignored \gset
INSERT INTO attack.attackers VALUES ('regress_ut_dbowner', false, '', '');
SELECT is(state, '42501', '52 nor does who is going to own the database')
  FROM attack.run('regress_ut_dbowner', 'SELECT usage.make_admin_by_email(''a@example.com'')');
SELECT format('ALTER DATABASE %I OWNER TO regress_ut_dbowner', current_database()) \gexec
SELECT is(state, '00000', '52 the owner of the database makes the first admin: ' || told)
  FROM attack.run('regress_ut_dbowner', 'SELECT usage.make_admin_by_email(''A@Example.COM'')');
SELECT results_eq('SELECT user_id, role, granted_by FROM usage.user_roles', format('VALUES (%L::uuid, ''admin'' COLLATE "C", NULL::uuid)', :a),
                  '52 it is the user with that address, in whatever case');
DELETE FROM attack.attackers WHERE role = 'regress_ut_dbowner';

/* 53: which user an address means; nothing is granted in doubt */
INSERT INTO app.users VALUES (gen_random_uuid(), 'twice@example.com'), (gen_random_uuid(), 'Twice@Example.com'),
                             (gen_random_uuid(), 'i.dots@example.com'), (gen_random_uuid(), NULL), (gen_random_uuid(), '');
SELECT attack.fingerprint() AS before \gset
SELECT throws_ok(format('SELECT usage.make_admin_by_email(%L)', email), state, message, '53 ' || story)
  FROM (VALUES ('twice@example.com', '21000', 'more than one user has this email address', 'two users differing in case'),
               ('nobody@example.com', 'P0002', 'no user has this email address', 'no such user'),
               ('%', 'P0002', 'no user has this email address', 'a pattern'), ('_@example.com', 'P0002', 'no user has this email address', 'a pattern of one'),
               ('idots@example.com', 'P0002', 'no user has this email address', 'dots count'),
               (' a@example.com', 'P0002', 'no user has this email address', 'blanks count'),
               ('a@example.com' || E'\n', 'P0002', 'no user has this email address', 'a line feed counts'),
               (U&'\0430@example.com', 'P0002', 'no user has this email address', 'a letter that looks alike'),
               ('a@example.com'' OR true --', 'P0002', 'no user has this email address', 'SQL is text'),
               (NULL, '22004', 'argument "email" must not be null', 'NULL'),
               (repeat('a', 100000) || '@example.com', '22023', 'argument "email" is too long', 'a very long one')) AS v (email, state, message, story);
SELECT is(attack.fingerprint(), :'before', '53 nothing changed');
ALTER TABLE app.users ADD COLUMN email_confirmed_at timestamptz;
SELECT throws_ok('SELECT usage.make_admin_by_email(''i.dots@example.com'')', '55000', 'this email address is not confirmed', '53 an unconfirmed address');
SELECT is(attack.fingerprint(), :'before', '53 an unconfirmed address changed nothing');
UPDATE app.users SET email_confirmed_at = now() WHERE email = 'i.dots@example.com';
SELECT lives_ok('SELECT usage.make_admin_by_email(''I.DOTS@EXAMPLE.COM'')', '53 a confirmed address, in capitals');
SELECT is((SELECT count(*) FROM usage.user_roles JOIN app.users ON id = user_id WHERE email = 'i.dots@example.com' AND role = 'admin')::int, 1,
          '53 and it is that user');

/* 56: from support to admin; other names that look like it */
DELETE FROM usage.user_roles;
SELECT usage.grant_role(:b, 'admin'), usage.grant_role(:a, 'support') \g /dev/null
SELECT is(rows, '(t,f)' || E'\n', '56 A is in support, as ' || role || ' too')
  FROM attack.attackers, attack.run(role, format('SELECT usage.has_role(%L, ''support''), usage.is_admin()', :a)) WHERE is_user;
DELETE FROM attack.attackers WHERE role = 'service_role';    -- which may do some of these for everybody
SELECT attack.by_all('56 support is not admin', array_agg(attack.call(function, quote_literal(:a))))
  FROM attack.functions() WHERE name IN (:admin_functions);
SELECT attack.by_all('56 support changes no usage', ARRAY[
    'UPDATE usage.user_usage SET used = 0', 'UPDATE usage.user_usage SET max_usage = -1', format('UPDATE usage.user_usage SET used = 0 WHERE user_id = %L', :b)]);
SELECT throws_ok(format('SELECT usage.grant_role(%L, %L)', :a, role), '22023', NULL, format('56 there is no role %L', role))
  FROM unnest(ARRAY['Admin', 'ADMIN', ' admin', 'admin ', 'adm' || chr(305) || 'n', '']) AS role;

/* 55: the last admin */
SELECT throws_ok(format('SELECT usage.revoke_role(%L, ''admin'')', :b), '55000', NULL, '55 the owner cannot revoke the last admin');
SELECT usage.grant_role(:a, 'admin') \g /dev/null
SELECT is(state, '00000', '55 one of two admins revokes the other') FROM attack.run('authenticated', format('SELECT usage.revoke_role(%L, ''admin'')', :b));
SELECT is(state, '55000', '55 the last one cannot revoke himself') FROM attack.run('authenticated', format('SELECT usage.revoke_role(%L, ''admin'')', :a));
SELECT is(state, '00000', '55 and can give up other roles') FROM attack.run('authenticated', format('SELECT usage.revoke_role(%L, ''support'')', :a));
SELECT results_eq('SELECT user_id, role FROM usage.user_roles', format('VALUES (%L::uuid, ''admin'' COLLATE "C")', :a), '55 an admin is left');

/* An admin may, in an end user's role, what the rules say; 38: and no more once
 * it is taken from him, prepared statements and kept plans included. */
SELECT is(state, '00000', 'an admin may: ' || statement || told)
  FROM unnest(ARRAY['SELECT usage.define_usage_type(''mail'')', 'SELECT usage.define_usage_limit(''mails_daily'', ''mail'', 3)',
                    'SELECT usage.define_usage_alert(''mails_daily'', 50)', format('SELECT * FROM usage.get_usage_alerts(%L)', :b),
                    format('SELECT usage.acknowledge_usage_alert(%L, %s)', :b, (SELECT id FROM usage.usage_alerts WHERE user_id = :b)),
                    'SELECT usage.set_plan_limit(''pro'', ''mails_daily'', 9)', 'SELECT usage.set_temporary_limit(''mails_daily'', 9, now(), now() + ''1 day'')', format('SELECT usage.set_user_limit(%L, ''mails_daily'', 8)', :b),
                    format('SELECT usage.set_user_plan(%L, ''team'')', :b), format('SELECT usage.set_user_clock(%L, ''Europe/Berlin'')', :b),
                    format('SELECT usage.grant_role(%L, ''support'')', :b), 'SELECT usage.make_admin_by_email(''i.dots@example.com'')',
                    format('SELECT usage.is_admin(%L)', :b), format('SELECT usage.export_user_data(%L)', :b),
                    format('SELECT usage.adjust_usage(%L, ''calls_daily'', 4, reason => ''told so'')', :b),
                    format('SELECT usage.reset_user_usage(%L, ''calls_daily'')', :b),
                    'SELECT usage.define_usage_limit(''mails_kept'', ''mail'', 9, ''gauge'')',
                    format('SELECT usage.set_usage_level(%L, ''mails_kept'', 3)', :b), format('SELECT usage.add_usage_level(%L, ''mails_kept'', -1)', :b),
                    format('SELECT usage.reverse_usage(%L, %s)', :b, (SELECT min(id) FROM usage.usage_events WHERE user_id = :b AND usage_type = 'film' AND corrects IS NULL)),
                    format('UPDATE usage.user_usage SET used = 2, max_usage = 9 WHERE user_id = %L AND limit_type = ''calls_daily''', :b),
                    'SELECT usage.set_stripe_price(''price_1'', ''team'')', 'SELECT * FROM usage.stripe_meter_events(''2020-01-01'')',
                    'SELECT usage.recost_usage(now() - interval ''1 day'', now())', format('SELECT usage.define_campaign(%L, ''autumn'')', :b),
                    format('SELECT id, user_id, total_cost FROM usage.api_usage WHERE user_id = %L', :b), format('SELECT * FROM usage._calls_of_user(%L)', :b),
                    format('SELECT id FROM usage.list_runs(%L)', :b), format('SELECT * FROM usage.user_monthly_usage WHERE user_id = %L', :b),
                    'SELECT usage.erase_user(''cccccccc-0000-4000-8000-00000000000c'')']) AS statement, attack.run('authenticated', statement);
SELECT is(state, '42501', 'an admin may not: ' || statement)
  FROM unnest(ARRAY[format('SELECT usage.track_usage(%L, ''call'')', :b), format('SELECT usage.consume_usage(%L, ''call'')', :b),
                    'SELECT usage.grant_usage_access(''anon'', true)', 'SELECT * FROM usage.usage_events', 'SELECT usage.create_usage_partition(now()::date)',
                    format('SELECT usage.reserve_usage(%L, ''call'')', :b), format('SELECT usage.commit_usage(%L, 1)', :b), format('SELECT usage.release_usage(%L, 1)', :b),
                    format('SELECT usage.acquire_lease(%L, ''calls_daily'')', :b), format('SELECT usage.renew_lease(%L, 1)', :b), format('SELECT usage.release_lease(%L, 1)', :b),
                    'SELECT * FROM usage.usage_levels', 'SELECT * FROM usage.usage_leases', 'SELECT usage.verify_usage_gauge(''calls_daily'')',
                    'SELECT usage.apply_stripe_event(''{"id": "evt_1", "type": "nothing"}'')', 'SELECT * FROM usage.stripe_events', 'SELECT * FROM usage.stripe_prices',
                    format('SELECT usage.start_run(%L, ''report'')', :b), format('SELECT usage.cancel_run(%L, %s)', :b, (SELECT max(id) FROM usage.usage_runs WHERE user_id = :b)), 'SELECT * FROM usage.usage_runs',
                    'SELECT usage.track_usage_batch(''[]'')', format('SELECT usage.track_api_usage(%L, ''api.content'', ''acme'', ''m1'')', :b),
                    format('SELECT id, user_id, cost FROM usage.usage_events WHERE user_id = %L', :b), 'SELECT name FROM usage.campaigns', 'SELECT used FROM usage.usage_alerts', 'SELECT metadata FROM usage.usage_events', 'SELECT reason FROM usage.usage_events', 'SELECT * FROM usage.usage_events_default', 'SELECT * FROM usage.model_prices',
                    'DELETE FROM usage.campaigns', 'SELECT usage.usage_maintenance()', 'SELECT * FROM usage.usage_changes',
                    'DELETE FROM usage.usage_changes', 'SELECT * FROM usage.usage_carried', 'SELECT * FROM usage.usage_reservations',
                    'SELECT usage.detach_users()', 'SET usage_tracking.enabled = off']) AS statement, attack.run('authenticated', statement);
SET LOCAL plan_cache_mode = force_generic_plan;
PREPARE set_plan AS SELECT usage.set_user_plan('aaaaaaaa-0000-4000-8000-00000000000a', 'pro');
PREPARE all_users AS SELECT count(DISTINCT user_id) FROM usage.user_usage;
PREPARE subscriptions AS SELECT count(*) > 1 FROM usage.user_subscriptions;
SELECT is(state, '00000', '38 a prepared call works for the admin') FROM attack.run('authenticated', 'EXECUTE set_plan');
CREATE FUNCTION attack.counts() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    users bigint;
    seen  text;
BEGIN
    PERFORM set_config('request.jwt.claims', '{"sub": "aaaaaaaa-0000-4000-8000-00000000000a"}', true), set_config('role', 'authenticated', true);
    EXECUTE 'EXECUTE all_users' INTO users;
    EXECUTE 'EXECUTE subscriptions' INTO seen;
    PERFORM set_config('role', 'none', true);
    RETURN CASE WHEN users > 1 THEN 'all' ELSE 'own' END || '/' || CASE WHEN seen::boolean THEN 'all' ELSE 'own' END;
END
$$;
SELECT is(attack.counts(), 'all/all', '38 prepared queries show all users to the admin');
SELECT usage.revoke_role(:a, 'admin') \g /dev/null
SELECT is(attack.counts(), 'own/own', '38 the same prepared queries show a revoked admin his own rows');
SELECT is(state, '42501', '38 a prepared call is refused at once') FROM attack.run('authenticated', 'EXECUTE set_plan');
SELECT attack.by_all('38 a revoked admin', array_agg(attack.call(function, quote_literal(:a))))
  FROM attack.functions() WHERE name IN (:admin_functions);

/* Who is gone is no admin, though his token has not expired. */
SELECT usage.grant_role(:a, 'admin') \g /dev/null
DELETE FROM usage.user_roles WHERE user_id <> :a;
SELECT usage.grant_role(id, 'admin') FROM app.users WHERE email = 'i.dots@example.com' \g /dev/null
DELETE FROM app.users WHERE email = 'i.dots@example.com' OR id = :a;
SELECT is(state, '42501', 'a deleted user is no admin any more') FROM attack.run('authenticated', 'SELECT usage.define_usage_type(''late'')');
SELECT * FROM finish();
ROLLBACK;
