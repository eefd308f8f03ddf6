/*
 * Every door passes gauges by: no use is counted, held, refused or marked because of
 * them, and nothing is corrected.  A gauge is shown with its level.  Once it becomes
 * a kind that is counted, all usage is there.
 */
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT * FROM no_plan();
SET LOCAL usage_tracking.clock = '2026-03-10 12:00Z';

\set ada '\'0ada0000-0000-0000-0000-000000000000\''
SELECT usage.install_default_plans() \g /dev/null
SELECT usage.define_usage_limit('call_level', 'call', 2, 'gauge') \g /dev/null
SELECT usage.define_usage_limit('calls_held', 'call', 2, 'gauge', enforcement => 'soft') \g /dev/null
SELECT usage.define_usage_limit('a_day', 'call', 1000) \g /dev/null

CREATE TEMP TABLE doors (n int, door text);
INSERT INTO doors VALUES
    (1, 'SELECT (d).allowed, (d).reason, (d).limit_type, (d).used FROM usage.check_usage_limit(%1$L, ''call'', 100) AS d'),
    (2, 'SELECT (d).allowed, (d).reason, (d).limit_type, (d).used FROM usage.consume_usage(%1$L, ''call'', 100) AS d'),
    (3, 'SELECT (d).allowed, (d).reason, (d).limit_type, (d).used FROM usage.require_usage(%1$L, ''call'', 100) AS d'),
    (4, 'SELECT (d).allowed, (d).reason, (d).limit_type, (d).used FROM usage.reserve_usage(%1$L, ''call'', 100) AS d'),
    (5, 'SELECT (d).allowed, (d).reason, (d).limit_type, (d).used FROM usage.commit_usage(%1$L, 1, 150) AS d');
SELECT results_eq(format(door, :ada), format('VALUES (true, ''ok'', ''a_day'', %s::numeric)', (ARRAY[0, 100, 200, 300, 350])[n]),
                  'only the counted limit decides: ' || door)
  FROM doors ORDER BY n;
SELECT usage.track_usage(:ada, 'call', 100) AS id \gset
SELECT results_eq(format('SELECT * FROM usage.track_usage_batch(%L)',
                         json_build_array(json_build_object('user_id', :ada, 'usage_type', 'call', 'quantity', 100))),
                  $$VALUES (1::bigint, 0::bigint, '[]'::jsonb)$$, 'in a batch too');
SELECT usage.reverse_usage(:ada, :id);
SELECT results_eq('SELECT limit_type, used FROM usage._counted_usage() JOIN usage.usage_limits USING (limit_id)',
                  $$VALUES ('a_day' COLLATE "C", 450::numeric)$$, 'there is no counter of theirs');
SELECT is_empty('SELECT overage FROM usage.usage_events WHERE overage IS NOT NULL', 'and no overage, which a soft one would mark');

SELECT results_eq(format('SELECT * FROM usage.check_usage_limit(%L, ''call_level'', %s)', :ada, quantity),
                  format('VALUES (%L::boolean, %L, NULL::bigint, ''call_level'', 0::numeric, 2::numeric, 2::numeric,'
                         ' NULL::timestamptz, NULL::integer)', quantity <= 2, CASE WHEN quantity <= 2 THEN 'ok' ELSE 'limit_reached' END),
                  format('asked for by name, a gauge answers for its level alone (%s)', quantity))
  FROM unnest(ARRAY[0, 2, 3]) AS quantity;
SELECT results_eq(format('SELECT limit_type, used, held, max_usage, remaining, percent, window_start, reset_at, is_enforced FROM usage.user_usage WHERE user_id = %L ORDER BY limit_type', :ada),
                  $$VALUES ('a_day', 450::numeric, 0::numeric, 1000::numeric, 550::numeric, 45.0::numeric, '2026-03-10Z'::timestamptz, '2026-03-11Z'::timestamptz, true),
                           ('call_level', 0, 0, 2, 2, 0.0, NULL, NULL, true), ('calls_held', 0, 0, 2, 2, 0.0, NULL, NULL, true)$$,
                  'user_usage shows them: levels that nothing changed');
SELECT throws_ok(format(call, :ada, name), '22023', format('usage limit "%s" is of a kind that is not counted', name), format(call, 'ada', name))
  FROM unnest('{call_level,calls_held}'::text[]) AS name,
       unnest(ARRAY['SELECT usage.adjust_usage(%L, %L, 3)', 'SELECT usage.reset_user_usage(%L, %L)']) AS call;

/* Their maxima are kept like any other's. */
SELECT usage.set_plan_limit('pro', 'call_level', 20), usage.set_temporary_limit('calls_held', 30, '2026-03-01Z', '2026-04-01Z'),
       usage.set_user_plan(:ada, 'pro') \g /dev/null
SELECT is((usage.check_usage_limit(:ada, name)).max_usage, max_usage, name || ' has its maximum')
  FROM (VALUES ('call_level', 20::numeric), ('calls_held', 30)) AS m (name, max_usage);

SELECT usage.define_usage_limit('call_level', 'call', 2, 'lifetime'), usage.define_usage_limit('calls_held', 'call', 2, 'sliding', '1 hour') \g /dev/null
SELECT results_eq(format('SELECT limit_type, used, is_enforced FROM usage.user_usage WHERE user_id = %L ORDER BY limit_type', :ada),
                  $$VALUES ('a_day', 450::numeric, true), ('call_level', 450, true), ('calls_held', 450, true)$$,
                  'as another kind they count what was used before');
SELECT is((usage.consume_usage(:ada, 'call')).allowed, false, 'and refuse');
SELECT usage.set_temporary_limit('calls_held', NULL, '2026-03-01Z', NULL),
       usage.define_usage_limit('calls_held', 'call', 500, 'sliding', '1 hour'), usage.define_usage_limit('call_level', 'call', 2, 'gauge') \g /dev/null
SELECT is((usage.consume_usage(:ada, 'call')).used, 451::numeric, 'until they are gauges again');
SELECT is_empty('SELECT * FROM usage.reconcile_usage()', 'counters and events agree');

SELECT * FROM finish();
ROLLBACK;
