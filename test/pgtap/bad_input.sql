/* bad_input: every argument of every function × every nasty value of its kind.
 *
 * A value is either legal or refused with its stated SQLSTATE, and a call that
 * failed or was rolled back leaves all tables, rights and answers as they were.
 * The functions come from the catalog: one without a line in
 * lib/arguments.sql fails the test.  What lies just inside a bound is stored
 * exactly.
 */
BEGIN;
SELECT no_plan();
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SET search_path = usage, public;
SET TimeZone = 'UTC';
SET client_min_messages = warning;
SET usage_tracking.clock = '2026-03-10 12:00+00';
\set ann '00000000-0000-0000-0000-00000000000a'

-- Something of everything, so that every table has rows to lose
\o /dev/null
CREATE TABLE public.bad_input_users (id uuid, email text, born date);
INSERT INTO public.bad_input_users VALUES (:'ann', 'ann@example.com', '1984-01-01');
CREATE TABLE public.bad_input_more (LIKE public.bad_input_users);
CREATE VIEW public.bad_input_view AS TABLE public.bad_input_users;
SELECT install_default_plans();
SELECT create_usage_partition('2026-03-01');
SELECT define_usage_limit('videos_daily', 'video', 1000000);
SELECT define_usage_limit('tokens_total', NULL, -1, 'lifetime', measure => 'tokens');
SELECT define_usage_limit('units_monthly', 'image', -1, 'anchored', '1 month', time_zone => 'Asia/Tokyo');
SELECT set_plan_limit('pro', 'videos_daily', 2000000);
SELECT set_user_limit(:'ann', 'videos_daily', 3000000, '2027-01-01', 'why not');
SELECT set_temporary_limit('videos_daily', 4000000, '2026-03-01', '2026-04-01', 'pro', 'spring');
SELECT set_user_plan(:'ann', 'pro');
SELECT consume_usage(:'ann', 'video', 2.5, 7, 0.01, 'a key');
SELECT track_usage(:'ann', 'image', occurred_at => '2026-02-10 12:00+00');
SELECT reserve_usage(:'ann', 'video', 3), adjust_usage(:'ann', 'videos_daily', 2, reason => 'why');
SELECT _raise_unusual_use(:'ann', 'video', '2026-03-09', 3, 1), define_usage_alert('videos_daily', 99);
INSERT INTO usage_carried VALUES (:'ann', 'image', 'success', 0, '2025-01-01 00:00+00', 1, 1, 0, 0);
SELECT install_seed_prices();
SELECT set_stripe_price('price_1', 'pro'), apply_stripe_event(jsonb_build_object('id', 'evt_1', 'type', 'customer.subscription.created', 'created', 1772323200, 'data', jsonb_build_object('object',
    jsonb_build_object('id', 'sub_1', 'customer', 'cus_1', 'status', 'active', 'metadata', jsonb_build_object('user_id', :'ann'), 'items', '{"data": [{"price": "price_1"}]}'::jsonb))));
SELECT define_campaign(:'ann', 'spring', 'Spring', 100);
SELECT track_api_usage(:'ann', 'image', 'openai', 'gpt-4o', input_tokens => 1000, campaign_id => 'spring', ip => '192.0.2.1', metadata => '{"token": "x"}');
SELECT track_api_usage(:'ann', 'image', 'openai', 'unpriced', input_tokens => 7);
SELECT grant_role(:'ann', 'admin'), grant_role(:'ann', 'support'), grant_role('00000000-0000-0000-0000-00000000000b', 'admin');
SELECT define_usage_limit('places', NULL, -1, 'gauge'), define_usage_limit('rows_there', NULL, -1, 'gauge');
SELECT set_usage_level(:'ann', 'places', 7), acquire_lease(:'ann', 'places');
CREATE TABLE public.bad_input_rows (LIKE public.bad_input_users);
SELECT attach_usage_gauge('public.bad_input_rows', 'rows_there', 'id');
INSERT INTO public.bad_input_rows TABLE public.bad_input_users;
INSERT INTO deleted_users VALUES ('00000000-0000-0000-0000-00000000000c', 'erase', '2026-03-01');
CREATE TABLE public.bad_input_presets (id integer PRIMARY KEY, uses bigint, more bigint, at timestamptz, born date);
CREATE TABLE public.bad_input_uses (id integer, uses bigint, at timestamptz, born date);
INSERT INTO public.bad_input_presets VALUES (1);
INSERT INTO public.bad_input_uses VALUES (1, 1, '2026-03-01');
SELECT attach_usage_tally('public.bad_input_presets', 'id', 'uses', 'public.bad_input_uses', 'id', NULL, 'at', 'uses');
SELECT define_usage_type('report');
SELECT record_delivery(:'ann', id, false, 500, 'busy', 'd-1') FROM start_run(:'ann', 'report', configuration_snapshot => '{"a": 1}');
SELECT set_credit_cost('video', 2), set_credit_refill('pro', 100), set_credit_overdraft(:'ann', 5);
SELECT define_rate_limit('team_only', 10, '1 minute', plan => 'team');  -- binds nobody here: memory need not be there
SELECT grant_credits(:'ann', 10, reference_id => 'a reference', expires_at => '2026-05-01');
SELECT spend_credits(:'ann', 2.5);
CREATE ROLE regress_ut_bad_input;
\o

\ir lib/arguments.sql
\ir lib/nasty_values.sql

-- ---- the one way to call ----

/* Everything the extension keeps, grants and answers, in one number. */
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    relation regclass;
    sum text;
    sums text := '';
BEGIN
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'usage'::regnamespace AND relkind = 'r' ORDER BY oid LOOP
        EXECUTE format('SELECT md5(string_agg(t::text, '' '' ORDER BY t::text COLLATE "C")) FROM %s AS t', relation) INTO sum;
        sums := sums || relation::oid || coalesce(sum, '-');
    END LOOP;
    RETURN md5(concat(sums,
        (SELECT string_agg(w::text, ' ' ORDER BY user_id, limit_type) FROM user_usage AS w),
        (SELECT string_agg(t.usage_type || check_usage_limit('00000000-0000-0000-0000-00000000000a', t.usage_type), ' ' ORDER BY 1) FROM usage_types AS t),
        (SELECT string_agg(p.oid || p.proacl::text, ' ' ORDER BY p.oid) FROM pg_proc AS p WHERE p.pronamespace = 'usage'::regnamespace),
        (SELECT string_agg(c.oid || c.relacl::text, ' ' ORDER BY c.oid) FROM pg_class AS c WHERE c.relnamespace = 'usage'::regnamespace),
        (SELECT string_agg(t.oid::text, ' ' ORDER BY t.oid) FROM pg_trigger AS t)));
END $$;
CREATE TEMP TABLE before AS SELECT pg_temp.state();

/* What a call ends with; whatever it did is undone, and must be. */
CREATE FUNCTION pg_temp.outcome(call text, OUT code text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE call;
        RAISE EXCEPTION USING ERRCODE = 'ZZ000';
    EXCEPTION WHEN OTHERS THEN
        code := replace(SQLSTATE, 'ZZ000', '00000');
        message := SQLERRM;
    END;
    IF pg_temp.state() <> (SELECT state FROM before) THEN
        code := code || ' and left a trace';
    END IF;
END $$;

CREATE FUNCTION pg_temp.call(called name, changed name, value text) RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT %s(%s)', called, string_agg(format('%I => %s', a.argument, CASE a.argument WHEN changed THEN value ELSE a.good END), ', '))
      FROM argument AS a WHERE a.function = called
$$;

-- ---- all of it ----

/* Not for SQL callers: names with an underscore in front, and trigger functions. */
CREATE TEMP VIEW in_catalog AS
SELECT p.proname AS function, n AS argument
  FROM pg_depend AS d JOIN pg_extension AS x ON x.oid = d.refobjid AND x.extname = 'usage_tracking'
  JOIN pg_proc AS p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass,
       unnest(p.proargnames[1:p.pronargs]) AS n
 WHERE d.refclassid = 'pg_extension'::regclass AND p.proname NOT LIKE '\_%' AND p.prorettype <> 'trigger'::regtype;
SELECT cmp_ok((SELECT count(*) FROM in_catalog), '>', 80::bigint, 'the catalog has arguments');
SELECT is_empty('SELECT function, argument FROM in_catalog EXCEPT SELECT function, argument FROM argument', 'every argument has a line in this test');
SELECT is_empty('SELECT function, argument FROM argument EXCEPT SELECT function, argument FROM in_catalog', 'every line in this test is an argument');
SELECT is_empty('SELECT kind FROM argument EXCEPT SELECT kind FROM nasty', 'every kind has nasty values');

-- attach_users() comes first: the functions after it want an attached table
SELECT attach_users('public.bad_input_users', on_delete => 'erase') \g /dev/null
UPDATE before SET state = pg_temp.state();

SELECT is(code, '00000', format('%s() takes its good values', function))
  FROM (SELECT DISTINCT function FROM argument) AS f, pg_temp.outcome(pg_temp.call(function, '', ''))
 ORDER BY function;

SELECT is(string_agg(format('%s gives %s (%s), not %s', left(n.value, 60), o.code, left(o.message, 80), n.sqlstate), E'\n' ORDER BY n.value)
              FILTER (WHERE o.code <> n.sqlstate),
          NULL, format('%s(%s): %s nasty values', a.function, a.argument, count(*)))
  FROM argument AS a JOIN nasty AS n USING (kind) CROSS JOIN LATERAL pg_temp.outcome(pg_temp.call(a.function, a.argument, n.value)) AS o
 WHERE NOT (a.function = 'attach_users' AND n.sqlstate = '00000')
 GROUP BY a.function, a.argument ORDER BY a.function, a.argument;

SELECT is(string_agg(format('%s(%s): %s', a.function, a.argument, o.message), E'\n' ORDER BY a.function, a.argument)
              FILTER (WHERE o.message <> format('argument "%s" must not be null', a.argument)),
          NULL, 'a NULL refused is told by the name of its argument')
  FROM argument AS a JOIN nasty AS n USING (kind) CROSS JOIN LATERAL pg_temp.outcome(pg_temp.call(a.function, a.argument, n.value)) AS o
 WHERE n.value = 'NULL' AND n.sqlstate = '22004';

-- Settings are input as well
SELECT is(o.code, s.sqlstate, format('usage_tracking.%s = %L', s.name, left(s.value, 30)))
  FROM (VALUES ('clock', 'soon', '22023'), ('clock', 'infinity', '22023'), ('clock', '2026-02-30', '22023'), ('clock', repeat('1', 300), '22023'),
               ('clock', '', '00000'), ('clock', '2026-03-10 12:00+00', '00000'),
               ('time_zone', '', '22023'), ('time_zone', '%s', '22023'), ('time_zone', 'Mars/Olympus_Mons', '22023'), ('time_zone', 'Asia/Tokyo', '00000'),
               ('idempotency_retention', '-1', '22023'), ('max_event_age', '1000000d', '22023'), ('max_event_lead', 'NaN', '22023'),
               ('max_event_age', '24855d', '00000'), ('error_style', 'html', '22023'), ('enabled', 'perhaps', '22023'),
               ('limit_overrides', '', '00000'), ('limit_overrides', E' \t\n', '00000'), ('limit_overrides', 'unknown.plan=0', '00000'),
               ('limit_overrides', 'a.free=20,a.b.free=-1, a.pro = 0.5 ,' || repeat('a', 63) || '.' || repeat('b', 63) || '=' || repeat('9', 29) || '.999999999', '00000'),
               ('limit_overrides', 'free=20', '22023'), ('limit_overrides', '.free=20', '22023'), ('limit_overrides', 'a.=20', '22023'), ('limit_overrides', 'a.free', '22023'),
               ('limit_overrides', 'a.free=', '22023'), ('limit_overrides', '=', '22023'), ('limit_overrides', ',', '22023'), ('limit_overrides', 'a.free=1,', '22023'),
               ('limit_overrides', 'a.free=1,,b.free=1', '22023'), ('limit_overrides', 'a.free=1;b.free=1', '22023'), ('limit_overrides', 'a.free=1 b.free=1', '22023'),
               ('limit_overrides', 'a.free=1=2', '22023'), ('limit_overrides', 'a.free=-2', '22023'), ('limit_overrides', 'a.free=-1.0', '22023'), ('limit_overrides', 'a.free=+1', '22023'),
               ('limit_overrides', 'a.free=1e3', '22023'), ('limit_overrides', 'a.free=0x10', '22023'), ('limit_overrides', 'a.free=NaN', '22023'), ('limit_overrides', 'a.free=Infinity', '22023'),
               ('limit_overrides', 'a.free=.5', '22023'), ('limit_overrides', 'a.free=5.', '22023'), ('limit_overrides', 'a.free=1.0000000001', '22023'),
               ('limit_overrides', 'a.free=' || repeat('9', 30), '22023'), ('limit_overrides', 'A.free=1', '22023'), ('limit_overrides', 'a.b:c=1', '22023'), ('limit_overrides', 'a . free=1', '22023'),
               ('limit_overrides', repeat('a', 64) || '.free=1', '22023'), ('limit_overrides', 'a.' || repeat('b', 64) || '=1', '22023'), ('limit_overrides', 'a.free=1,b.free=1,a.free=1', '22023'),
               ('limit_overrides', repeat('x', 1000000), '22023'), ('limit_overrides', repeat(',', 100000), '22023'), ('limit_overrides', 'a.free=%s%n', '22023'), ('limit_overrides', 'a.🎬=1', '22023'),
               ('credit_refills', '', '00000'), ('credit_refills', E' \t\n', '00000'), ('credit_refills', 'unknown=0', '00000'), ('credit_refills', 'free=20, pro = 0.5 ,' || repeat('b', 63) || '=' || repeat('9', 29) || '.999999999', '00000'),
               ('credit_refills', 'free', '22023'), ('credit_refills', 'free=', '22023'), ('credit_refills', '=20', '22023'), ('credit_refills', 'free=-1', '22023'), ('credit_refills', 'free=1,free=2', '22023'), ('credit_refills', 'free=1,', '22023'),
               ('credit_refills', 'a.free=1', '22023'), ('credit_refills', 'free=1e3', '22023'), ('credit_refills', 'free=NaN', '22023'), ('credit_refills', 'free=1.0000000001', '22023'), ('credit_refills', 'Free=1', '22023'),
               ('credit_refills', repeat('b', 64) || '=1', '22023'), ('credit_refills', repeat(',', 100000), '22023'), ('credits_enabled', 'perhaps', '22023'),
               ('nothing', 'x', '42602')) AS s (name, value, sqlstate),
       pg_temp.outcome(format('SELECT set_config(%L, %L, true)', 'usage_tracking.' || s.name, s.value)) AS o;

-- ---- just inside the bounds: stored exactly ----

SELECT track_usage(:'ann', 'image', 99999999999999999999999999999.999999999, 9223372036854775807, 0.000000001, 'success', repeat('🎬', 255), 9223372036854775807,
                   repeat('é', 1000), repeat('é', 255), E'a\r\n\x01', '''); DROP', jsonb_build_object('x', repeat('y', 8175)), '2026-02-03 12:00+00', repeat('é', 255)) AS id \gset
SELECT results_eq(
    format('SELECT quantity, tokens, cost, event_subtype, duration_ms, error_message, resource_type, resource_id, parent_resource_id, length(metadata->>''x''), occurred_at
              FROM usage_events WHERE id = %s', :id),
    $$VALUES (99999999999999999999999999999.999999999, 9223372036854775807, 0.000000001, repeat('🎬', 255), 9223372036854775807, repeat('é', 1000), repeat('é', 255),
              E'a\r\n\x01', '''); DROP', 8175, timestamptz '2026-02-03 12:00+00')$$, 'an event is stored as it was told');
SELECT is(track_usage(:'ann', 'image', 99999999999999999999999999999.999999999, 9223372036854775807, occurred_at => '2026-02-03 12:00+00', idempotency_key => repeat('é', 255)), :id::bigint,
          'a key of 255 characters is found again');
SELECT track_usage(:'ann', 'image', metadata => jsonb_build_object('x', repeat('y', 8176))) AS id \gset
SELECT is(left(metadata::text, 60), '{"cut_from_bytes": 8193}', 'metadata of more than 8 kB is marked as cut') FROM usage_events WHERE id = :id;
/* a call of an API: what it costs may have more digits than may be given as a cost */
INSERT INTO model_prices (provider, model, prices, valid_from) VALUES ('dear', 'max', '{"input": 999999999.999999999999999999999999, "request": 999999999, "output_image": 999999999}', '2020-01-01');
SELECT event_id AS id, input_cost, output_cost, total_cost, priced
  FROM track_api_usage(:'ann', 'image', 'dear', 'max', repeat('é', 1001), repeat('🎬', 1001), 9223372036854775807, 0, quantity => 99999999999999999999999999999.999999999, status => 'failed',
                       duration_ms => 9223372036854775807, error_message => repeat('x', 1001), campaign_id => repeat('🎬', 255), ip => 'fe80::1/10', user_agent => E'a\r\n\x01' || repeat('x', 1001),
                       error_code => repeat('é', 255), service_tier => 'priority') \gset
SELECT results_eq(
    format($$SELECT e.cost, e.input_cost, e.output_cost, %L::numeric, %L::numeric, %L::numeric, e.price_id = p.id,
                    (SELECT array_agg(length(t) < 1040 AND t ~ '\(cut from 100\d characters\)$') FROM unnest(ARRAY[e.endpoint, e.request_id, e.user_agent, e.error_message]) AS t), e.error_code, e.campaign_id, e.ip, e.model,
                    e.service_tier, e.duration_ms, e.quantity
               FROM usage_events AS e JOIN model_prices AS p USING (model) WHERE e.id = %s$$, :'total_cost', :'input_cost', :'output_cost', :id),
    $$SELECT c, c, 0::numeric, c, c, 0::numeric, true, '{t,t,t,t}'::boolean[], repeat('é', 255), repeat('🎬', 255), inet 'fe80::1/10', 'max',
             'priority', 9223372036854775807, 99999999999999999999999999999.999999999
        FROM (SELECT 9223372036854775807 * 999999999.999999999999999999999999) AS v (c)$$, 'a call is stored as it was told, and its cost is exact');
SELECT is(total_cost, 99999999999999999999999999999.999999999 * 999999999, 'the greatest quantity of the dearest image')
  FROM track_api_usage(:'ann', 'image', 'dear', 'max', quantity => 99999999999999999999999999999.999999999);
SELECT track_api_usage(:'ann', 'image', NULL, NULL) IS NULL AS ignored, track_api_usage(:'ann', 'image', 'dear', NULL, input_tokens => 7) \g /dev/null
SELECT is_empty($$SELECT * FROM usage_events WHERE cost < 0 OR cost = 'NaN' OR input_cost < 0 OR output_cost < 0 OR (tokens > 0 AND cost <> input_cost + output_cost)$$, 'no cost is negative, not a number, or not the sum of its parts');
SELECT throws_ok(format('SELECT track_api_usage(%L, ''image'', ''dear'', ''max'', input_tokens => %s, %s => %s)', :'ann', n, argument, 9223372036854775807 - n + 1), '22003', 'tokens are too many', '22003 for more tokens than there are: ' || argument)
  FROM unnest('{1,9223372036854775807,4611686018427387904}'::bigint[]) AS n, unnest('{output_tokens,image_output_tokens}'::text[]) AS argument;

/* prices are input too, of who may write them: none is negative, or no number */
SELECT throws_ok(format('INSERT INTO model_prices (provider, model, prices, valid_from) VALUES (''acme'', ''bad'', %L, ''2020-01-01'')', '{"input": ' || price || '}'), code, NULL, 'no price of ' || price)
  FROM (VALUES ('-1', '23514'), ('-0.000000000000000000000001', '23514'), ('"NaN"', '23514'), ('1e9', '23514'), ('1e400', '23514'), ('null', '23514'), ('1e-25', '23514'), ('NaN', '22P02'), ('Infinity', '22P02')) AS v (price, code);

SELECT consume_usage(:'ann', 'image', 0.000000001, 9223372036854775807), consume_usage(:'ann', 'image', 1e28, 9223372036854775807) \g /dev/null
SELECT is((check_usage_limit(:'ann', 'tokens_total', 0)).used, 3 * 9223372036854775807.0 + 7 + 1007 + 7, 'tokens add up beyond bigint');
SELECT is((check_usage_limit(:'ann', 'units_monthly', 0)).used, sum(quantity), 'quantities add up exactly') FROM usage_events
 WHERE usage_type = 'image' AND status = 'success' AND occurred_at > '2026-02-10 12:00+00';
SELECT is_empty('SELECT * FROM reconcile_usage()', 'counters agree with events');

SELECT define_usage_limit('a' || repeat('z', 62), 'b' || repeat('z', 62), 99999999999999999999999999999.999999999, description => E'é\n🎬');
SELECT results_eq(format('SELECT max_usage, description FROM usage_limits WHERE limit_type = %L AND usage_type = %L', 'a' || repeat('z', 62), 'b' || repeat('z', 62)),
                  $$VALUES (99999999999999999999999999999.999999999, E'é\n🎬')$$, 'names of 63 bytes and the largest maximum');
SELECT set_user_limit(:'ann', 'videos_daily', 0.000000001, '294276-12-31 23:59:59.999999+00', repeat('🎬', 255));
SELECT results_eq($$SELECT max_usage, expires_at, reason FROM user_limits$$,
                  $$VALUES (0.000000001, timestamptz '294276-12-31 23:59:59.999999+00', repeat('🎬', 255))$$, 'the smallest maximum');
SELECT create_usage_partition('0001-01-01'), create_usage_partition('9999-12-31') \g /dev/null
SELECT is(array_agg(relname ORDER BY relname), '{usage_events_0001_01,usage_events_2026_03,usage_events_2026_04,usage_events_9999_12}', 'partitions of the first and the last month')
  FROM pg_class WHERE relname ~ '^usage_events_\d+_\d+$';

-- What those calls did shows, so that nothing left behind by a refused one could hide
SELECT isnt(pg_temp.state(), (SELECT state FROM before), 'the state tells a difference');

-- An extreme clock is legal, so every window must still be found
SELECT define_usage_limit(format('w%s', n), 'clip', 5, 'anchored', p::interval)
  FROM unnest('{1 second,1 hour,36600 days,1 day,1 month,1200 months,878400 hours}'::text[]) WITH ORDINALITY AS u (p, n);
UPDATE before SET state = pg_temp.state();
SELECT is(o.code, '00000', format('a use with anchor %s in %s', a, z))
  FROM unnest('{0001-01-01 00:00:00+00,0004-02-29 00:00:00+00,9999-12-31 23:59:59.999999+00}'::timestamptz[]) AS a,
       unnest('{Etc/GMT-14,Etc/GMT+12,America/Los_Angeles}'::text[]) AS z,
       pg_temp.outcome(format('SELECT set_user_clock(%1$L, %2$L, %3$L), consume_usage(%1$L, ''clip''), (SELECT count(used) FROM user_usage)',
                              '00000000-0000-0000-0000-00000000000a', z, a)) AS o;
SELECT define_usage_limit('wb', 'clip', 5, 'billing');
UPDATE before SET state = pg_temp.state();
SELECT is(o.code, '00000', format('a use with a billing period %s long from %s in %s', p, a, z))
  FROM unnest('{0001-01-01 00:00:00+00,0004-02-29 00:00:00+00,9899-12-31 00:00:00+00}'::timestamptz[]) AS a,
       unnest('{Etc/GMT-14,Etc/GMT+12,America/Los_Angeles}'::text[]) AS z,
       unnest('{1 second,1 month,99 years,36500 days}'::interval[]) AS p,
       pg_temp.outcome(format('SELECT set_user_clock(%1$L, %2$L), set_user_plan(%1$L, ''pro'', NULL, %3$L, %4$L), consume_usage(%1$L, ''clip''), (SELECT count(used) FROM user_usage)',
                              '00000000-0000-0000-0000-00000000000a', z, a, a + p)) AS o;

SELECT * FROM finish();
ROLLBACK;
