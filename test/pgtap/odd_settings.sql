/* A session may set what any user may set, and asks the same questions: it gets
 * the same answers, and what it makes is the same.  Otherwise an end user could
 * move his windows, and an owner's psqlrc the months of partitions.
 *
 * One story is told with plain settings, then again with each odd one; told
 * means: every value in a form that no setting changes. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SELECT no_plan();
CREATE ROLE regress_ut_odd;
CREATE SCHEMA usage;
CREATE SCHEMA test;
GRANT USAGE ON SCHEMA test TO regress_ut_odd;

CREATE FUNCTION test.tell(VARIADIC told text[]) RETURNS text LANGUAGE sql AS $$ SELECT array_to_string(told, ' ', 'null') || E'\n' $$;
CREATE FUNCTION test.seconds(at timestamptz) RETURNS text LANGUAGE sql AS $$ SELECT extract(epoch FROM at)::text $$;

/* The bounds of partitions as the planner uses them: where an event goes. */
CREATE FUNCTION test.month_of(at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    place oid;
BEGIN
    INSERT INTO usage.usage_events (id, user_id, usage_type, status, quantity, tokens, cost, occurred_at)
    VALUES (nextval('usage.usage_events_id_seq'), md5('nobody')::uuid, 'call', 'success', 0, 0, 0, at) RETURNING tableoid INTO place;
    RETURN (SELECT relname FROM pg_class WHERE oid = place);
END
$$;

CREATE FUNCTION test.story(name text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    me    uuid := md5('me')::uuid;
    story text := '';
    one   record;
    call  text;
BEGIN
    PERFORM set_config(name, value, true);
    CREATE EXTENSION usage_tracking SCHEMA usage;
    PERFORM set_config('usage_tracking.clock', '2026-03-31 23:30:00.123456+00', true);
    PERFORM usage.grant_usage_access('regress_ut_odd');
    PERFORM usage.create_usage_partition('2026-03-15'), usage.create_usage_partition('2026-11-01'), usage.usage_maintenance();
    FOR one IN SELECT * FROM unnest('{2026-02-28 23:59:59.999999Z,2026-03-01 00:00:00Z,2026-03-31 23:59:59.999999Z,2026-10-31 23:59:59.999999Z,
                                      2026-11-01 00:00:00Z,2026-11-30 23:59:59.999999Z,2026-12-01 00:00:00Z}'::timestamptz[]) AS at LOOP
        story := story || test.tell(test.seconds(one.at), test.month_of(one.at));
    END LOOP;
    PERFORM usage.define_usage_limit('daily', 'call', 10.5), usage.define_usage_limit('berlin', 'call', 1e6, time_zone => 'europe/berlin'),
            usage.define_usage_limit('monthly', 'call', 100, period => '1 month', statuses => '{success,failed}'),
            usage.define_usage_limit('moving', 'call', 100, window_kind => 'anchored', period => '1 month', description => E'a \\ b');
    PERFORM usage.define_usage_limit('moving', 'call', 100, window_kind => 'anchored', period => '1 month', description => E'a \\ b');
    PERFORM usage.set_user_clock(me, 'Asia/Kolkata', '2026-01-31 05:00+00');
    FOR one IN SELECT * FROM usage.usage_limits ORDER BY limit_type LOOP
        story := story || test.tell(one.limit_type, one.limit_id::text, extract(epoch FROM one.period)::text, one.time_zone, array_to_string(one.statuses, ','),
                                    replace(one.description, chr(92), 'backslash'));
    END LOOP;
    PERFORM set_config('usage_tracking.user_id', me::text, true), set_config('role', 'regress_ut_odd', true);
    FOREACH call IN ARRAY ARRAY['consume_usage(%L, ''call'', 3.25, idempotency_key => ''once'', metadata => ''{"a": null}'')',
                                'consume_usage(%L, ''call'', 3.25, idempotency_key => ''once'')', 'consume_usage(%L, ''call'', 0.000000001)',
                                'check_usage_limit(%L, ''call'', 8)'] LOOP
        EXECUTE format('SELECT * FROM usage.' || call, me) INTO one;
        story := story || test.tell(one.allowed::text, one.reason, one.limit_type, one.used::text, one.remaining::text, test.seconds(one.reset_at), one.retry_after::text);
    END LOOP;
    FOR one IN SELECT * FROM usage.user_usage ORDER BY limit_type COLLATE "C" LOOP
        story := story || test.tell(one.limit_type, one.used::text, one.percent::text, test.seconds(one.window_start), test.seconds(one.reset_at), one.plan);
    END LOOP;
    PERFORM set_config('role', 'none', true);
    story := story || (SELECT count(*) FROM usage.reconcile_usage())::text || ' ' || (SELECT count(*) FROM usage.usage_security_check())::text;
    RAISE EXCEPTION USING MESSAGE = story, ERRCODE = 'UTEST';
EXCEPTION WHEN SQLSTATE 'UTEST' THEN
    RETURN SQLERRM;    -- and everything is as it was before
END
$$;

SELECT test.story('application_name', 'plain') AS plain \gset
SELECT alike(:'plain'::text, '%usage_events_2026_11%replayed%limit_reached daily%0 0', 'the story is told');
SELECT is(test.story(name, value), :'plain'::text, format('%s = %s', name, value))
  FROM (VALUES ('timezone', 'Asia/Kolkata'), ('timezone', 'America/St_Johns'), ('timezone', '<x>-23:59:59'), ('datestyle', 'SQL, DMY'), ('datestyle', 'German'),
               ('datestyle', 'Postgres, MDY'), ('intervalstyle', 'sql_standard'), ('intervalstyle', 'iso_8601'),
               ('standard_conforming_strings', 'off'), ('backslash_quote', 'off'), ('quote_all_identifiers', 'on'), ('array_nulls', 'off'),
               ('transform_null_equals', 'on'), ('bytea_output', 'escape'), ('extra_float_digits', '-15'), ('search_path', 'pg_temp'),
               ('check_function_bodies', 'off'), ('plan_cache_mode', 'force_custom_plan'),
               ('enable_indexscan', 'off'), ('enable_partition_pruning', 'off'), ('work_mem', '64kB'), ('jit_above_cost', '0'),
               ('force_parallel_mode', 'regress'), ('debug_parallel_query', 'regress'), ('constraint_exclusion', 'on'), ('timezone_abbreviations', 'India'),
               ('xmloption', 'document'), ('escape_string_warning', 'on')) AS v (name, value)
 WHERE name IN (SELECT s.name FROM pg_settings s UNION SELECT 'search_path');
/* Two at once, with a zone whose abbreviation means another one. */
SET LOCAL datestyle = 'SQL, MDY';
SELECT is(test.story('timezone', zone), :'plain', 'dates with zone abbreviations, in ' || zone)
  FROM unnest('{Asia/Kolkata,Asia/Shanghai,Europe/Dublin,Australia/Sydney}'::text[]) AS zone;
SELECT * FROM finish();
ROLLBACK;
