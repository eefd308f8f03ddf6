/* Attacks on who I am: 46-50 of the suite, in the three identity modes.
 *
 * usage_tracking.identity lists the sources that count: user_id (SUSET), jwt
 * and setting.  Whatever a source holds, current_user_id() is the right id or
 * NULL and never an error; a token makes nobody an admin or a server.  Where end
 * users can send SQL the mode is "user_id" alone, and no token counts.  What
 * needs a login of its own is in test/t/010_attacks.pl, what is an id of which
 * type in user_ids.sql; 256 characters are an id of none. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
\ir lib/attackers.sql
SELECT no_plan();

/* What current_user_id() says to "authenticated" who has set these claims. */
CREATE FUNCTION attack.identity_of(claims text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id text;
BEGIN
    PERFORM set_config('role', 'authenticated', true);
    PERFORM set_config('request.jwt.claims', claims, true);
    id := COALESCE(usage.current_user_id()::text, 'nobody');
    PERFORM set_config('role', 'none', true);
    RETURN id;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;

/* 48: claims, and who they may say one is (others than these: a failure) */
CREATE TABLE attack.claims (claims text, expected text[], story text);
INSERT INTO attack.claims VALUES
    (format('{"sub": "%s", "role": "authenticated"}', :a), ARRAY[:a], 'a token'),
    (format('{"sub": "%s", "sub": "%s"}', :b, :a), ARRAY[:a], 'sub twice: the last counts, as in jsonb'),
    (format('{"sub": "%s", "sub": null}', :b), '{nobody}', 'sub twice, the last null'),
    (format('{"sub": "%s", "sub": {"sub": "%1$s"}}', :b), '{nobody}', 'sub twice, the last an object'),
    (format('{"\u0073ub": "%s"}', :a), ARRAY[:a, 'nobody'], 'an escaped name'),
    (format('{"sub": "%s", "name": "\u0000"}', :a), ARRAY[:a, 'nobody'], 'a NUL beside it'),
    (format('{"name": "[[[[{{{{\"", "sub": "%s"}', :a), ARRAY[:a], 'brackets in a text'),
    (format('  {"sub" : "%s" }  ', :a), ARRAY[:a], 'blanks'),
    ('', '{nobody}', 'empty, as PostgREST leaves it'), (' ', '{nobody}', 'a blank'), ('null', '{nobody}', 'null'),
    ('"' || :a || '"', '{nobody}', 'a text'), (:a, '{nobody}', 'a bare id'), ('42', '{nobody}', 'a number'),
    ('not json', '{nobody}', 'not JSON'), ('{"sub": ', '{nobody}', 'JSON cut off'), ('{}', '{nobody}', 'no sub'),
    (format('{"sub": "%s"} {}', :b), '{nobody}', 'more behind it'), (format('{"sub": "%s",}', :b), '{nobody}', 'a comma too many'),
    (format('{"SUB": "%s", "sub ": "%1$s", "Sub": "%1$s"}', :b), '{nobody}', 'names that are not sub'),
    (format('{"user": {"sub": "%s"}, "x": [{"sub": "%1$s"}]}', :b), '{nobody}', 'a sub further down'),
    (format('[{"sub": "%s"}]', :b), '{nobody}', 'an array around it'),
    ('{"sub": null}', '{nobody}', 'sub null'), ('{"sub": ""}', '{nobody}', 'sub empty'), ('{"sub": 7}', '{nobody}', 'sub a number'),
    ('{"sub": true}', '{nobody}', 'sub a boolean'), (format('{"sub": ["%s"]}', :b), '{nobody}', 'sub an array'),
    (format('{"sub": {"id": "%s"}}', :b), '{nobody}', 'sub an object'), (format('{"sub": "%s\u0000"}', :b), '{nobody}', 'sub with a NUL'),
    (format('{"sub": "%s"}', repeat('x', 256)), '{nobody}', 'sub malformed'), ('{"sub": "\ud800"}', '{nobody}', 'half a surrogate'),
    (format('{"x": "%s", "sub": "%s"}', repeat('x', 1000000), :a), ARRAY[:a, 'nobody'], '1 MB'),
    (format('{"sub": "%s"}', repeat(:b, 30000)), '{nobody}', 'sub of 1 MB'),
    (format('{"sub": "%s", "x": {"sub": "%s"}}', :a, :b), ARRAY[:a], 'another sub further down'),
    (repeat('[', 60000), '{nobody}', '60000 brackets'), (repeat('{"sub":', 8000), '{nobody}', '8000 objects'),
    (repeat('[', 100000), '{nobody}', '100000 brackets'), (repeat('{"sub":', 100000), '{nobody}', '100000 objects'),
    (format('{"sub": "%s", "x": %s1%s}', :a, repeat('[', 5000), repeat(']', 5000)), ARRAY[:a, 'nobody'], 'deep beside it');
SELECT ok(attack.identity_of(claims) = ANY (expected), format('48 %s: %s', story, array_to_string(expected, ' or ')))
  FROM attack.claims;

/* 46, 49, 50: what a token says beside its sub gives no rights. */
CREATE TABLE attack.boasts (boast text);
INSERT INTO attack.boasts VALUES
    ('"role": "service_role"'), ('"role": "postgres", "is_superuser": true'), ('"user_metadata": {"role": "admin"}'),
    ('"app_metadata": {"role": "admin", "roles": ["admin"]}'), ('"is_anonymous": true'), ('"admin": true, "is_admin": true');
UPDATE attack.attackers SET claims = replace(claims, '}', ', ' || (SELECT string_agg(boast, ', ') FROM attack.boasts WHERE boast !~ '^"role"') || '}')
 WHERE role = 'authenticated';
SELECT attack.by_all('49, 50 boasting in the token', array_agg(attack.call(function, quote_literal(:a))))
  FROM attack.functions()
 WHERE name NOT IN ('current_user_id', '_sees_all_users', 'is_admin', 'has_role', 'check_usage_limit', 'consume_usage', 'require_usage', '_usage_of_user', '_calls_of_user',
                    'credit_balance', '_credits_of_user', '_credit_transactions_of_user',
                    'get_usage_alerts', 'acknowledge_usage_alert')
   AND name !~ '^(visible_users|get_(user_|campaigns|run)|list_runs|run_usage|check_monthly_usage_limit|_monthly_runs|user_dashboard|user_page|usage_report|dashboard_page|_page|_(html|page|text)_)' AND name !~ '^(calculate_.*_cost|usage_from_.*|describe_decision|rate_limit_headers|_decision_headers|pre_request|_usage_object|_token_count|_check_token_count|_usage_now|_check_max_rows|_zone_or_default|_usage_tally|_tally_uses|popular_resources|trending_resources|get_top_resource_users|get_usage_heatmap)$';
SELECT attack.by_all('49, 50 is not believed', ARRAY['SELECT true WHERE usage.is_admin() OR usage._sees_all_users()',
                                                     'SELECT * FROM usage.user_usage', 'SELECT * FROM usage.api_usage'], '00000', '00000 42501');
SELECT attack.by_all('49, 50 nor does it open a table', ARRAY['SELECT * FROM usage.campaigns', 'SELECT id, user_id, ip FROM usage.usage_events', 'SELECT id, user_id, used FROM usage.usage_alerts']);
SELECT attack.by_all('46 claiming to be ' || claimed, ARRAY[
    format('SELECT set_config(''request.jwt.claims'', ''{"role": "%s", "sub": "%s"}'', true), usage.track_usage(%2$L, ''call'')', claimed, :a),
    format('SELECT set_config(''request.jwt.claims'', ''{"role": "%s", "sub": "%s"}'', true), usage.consume_usage(%L, ''call'')', claimed, :a, :b),
    format('SELECT set_config(''request.jwt.claims'', ''{"role": "%s"}'', true), usage.set_user_plan(%L, ''pro'')', claimed, :a)])
  FROM unnest('{service_role,admin,postgres}'::text[]) AS claimed;

/* 47: settings of the application's own count only where that is chosen. */
SELECT attack.by_all('47 a setting of the application', ARRAY[
    format('SET LOCAL app.user_id = %L; SELECT true FROM usage.consume_usage(%1$L, ''call'')', :b),
    format('SET LOCAL request.jwt.claim.sub = %L; SELECT true FROM usage.consume_usage(%1$L, ''call'')', :b),
    format('SET LOCAL usage_tracking_user_id.x = %L; SELECT true FROM usage.consume_usage(%1$L, ''call'')', :b)]);
SET LOCAL usage_tracking.identity = 'setting';
SELECT is(attack.identity_of(format('{"sub": "%s"}', :a)), 'nobody', '47 setting alone: a token does not count');
SET LOCAL usage_tracking.user_id_setting = 'app.user_id';
SET LOCAL app.user_id = :a;
SELECT is(attack.identity_of(format('{"sub": "%s"}', :b)), :a, '47 setting alone: the one that is named counts');
SELECT set_config('app.user_id', repeat('x', 256), true) \g /dev/null
SELECT is(attack.identity_of(''), 'nobody', '47 setting alone: malformed is nobody');
SET LOCAL usage_tracking.user_id_setting = 'data_directory';
SELECT is(attack.identity_of(''), 'nobody', '47 setting alone: a setting the user may not read says nothing');
SET LOCAL usage_tracking.user_id_setting = 'no such setting"''';
SELECT is(attack.identity_of(''), 'nobody', '47 setting alone: a setting there is not');

/* The strong mode: only usage_tracking.user_id, which the gateway sets. */
SET LOCAL usage_tracking.identity = 'user_id';
SELECT is(attack.identity_of(claims), 'nobody', '46 user_id alone: ' || story || ' counts for nothing')
  FROM attack.claims WHERE claims LIKE '%sub%' AND length(claims) < 1000;
SELECT is(state || rows, expected, '46 user_id alone: nobody sees nothing, with a token for A: ' || source)
  FROM (VALUES ('user_usage', '00000'), ('api_usage', '00000'), ('campaigns', '42501'), ('usage_events', '42501'), ('usage_alerts', '42501'), (format('_calls_of_user(%L)', :a), '42501'), (format('get_usage_alerts(%L)', :a), '42501'))
       AS v (source, expected), attack.run('authenticated', 'SELECT * FROM usage.' || source);
SELECT is(state, '42501', '46 user_id alone: nobody consumes nothing, with a token for A')
  FROM attack.run('authenticated', format('SELECT usage.consume_usage(%L, ''call'')', :a));
SELECT is(rows, '(t)' || E'\n', '46 user_id alone: whom the gateway named does')
  FROM attack.run('regress_ut_app', format('SELECT allowed FROM usage.consume_usage(%L, ''call'')', :a));
SET LOCAL usage_tracking.user_id = :a;
SELECT is(attack.identity_of(format('{"sub": "%s"}', :b)), :a, '46 user_id alone: forged claims do not replace it');
SET LOCAL usage_tracking.identity = 'user_id,jwt';
SELECT is(attack.identity_of(format('{"sub": "%s"}', :b)), :a, '46 user_id first: forged claims do not replace it');
SET LOCAL usage_tracking.identity = 'jwt,user_id';
SELECT is(attack.identity_of(''), :a, 'the order is that of the list: no token, the next source');
SELECT is(attack.identity_of(format('{"sub": "%s"}', repeat('x', 256))), 'nobody', 'the order is that of the list: a bad token is nobody, not the next source');

/* Malformed settings close, they do not open. */
SET LOCAL usage_tracking.identity = 'user_id,jwt';
SELECT is(attack.identity_of(format('{"sub": "%s"}', :b)), 'nobody', format('usage_tracking.user_id of %L is nobody', left(bad, 20)))
  FROM (VALUES (repeat('x', 256)), (repeat('🎬', 256)), (repeat('a', 1000000))) AS v (bad),
       LATERAL set_config('usage_tracking.user_id', bad, true) AS done WHERE done IS NOT NULL;
SET LOCAL usage_tracking.user_id = :a;
SELECT throws_ok(format('SET LOCAL usage_tracking.identity = %L', bad), '22023', NULL, format('usage_tracking.identity of %L is refused', bad))
  FROM (VALUES ('nonsense'), ('user'), ('user_id jwt'), ('"'), (',')) AS v (bad);
SET LOCAL usage_tracking.identity = '';
SELECT is(attack.identity_of(format('{"sub": "%s"}', :b)), 'nobody', 'without a source everybody is nobody');
SELECT * FROM finish();
ROLLBACK;
