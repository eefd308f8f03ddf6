/* limits: the last so long.
 *
 * Decisions under sliding limits to the letter.  A decision reads
 *   allowed | reason | limit | used | maximum | remaining | reset | retry after
 */
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET usage_tracking.clock = '2026-03-10 12:00:30+00';
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
\set decision 'allowed, reason, limit_type, used, max_usage, remaining, reset_at, retry_after'
\set shown 'limit_type, used, held, max_usage, remaining, percent, window_start, reset_at, is_enforced FROM user_usage WHERE user_id ='
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set cat '00000000-0000-0000-0000-00000000000c'
BEGIN;
SELECT install_default_plans() >= 0 AS plans;

-- ---- buckets ----

-- A 60th, in whole seconds, from the epoch; a month is 30 days, a year 365 and 6 hours
SELECT p, w.window_end - w.window_start - p AS more, w.*
  FROM unnest('{1 second,59.5 seconds,1 minute,61 seconds,1 hour,90 minutes,1 day,7 days,1 month}'::interval[]) AS p,
       _usage_window('sliding', p, 'Asia/Kathmandu', '2020-02-02Z', '2026-03-10 12:00:30+00') AS w;
SELECT p, w.window_start, w.window_end
  FROM unnest('{11 months,1 year,13 months,100 years}'::interval[]) AS p,
       _usage_window('sliding', p, 'UTC', '2020-02-02Z', '2026-03-10 12:00:30+00') AS w;
SELECT * FROM _usage_window('sliding', '1 hour', 'UTC', '2026-03-10Z', '2026-03-10 12:00:00+00');
SELECT * FROM _usage_window('sliding', '1 hour', 'UTC', '2026-03-10Z', '2026-03-10 11:59:59.999999+00');
SELECT * FROM _usage_window('sliding', '1 hour', 'UTC', '2026-03-10Z', '1969-12-31 23:59:59.999999+00');
SELECT * FROM _usage_window('sliding', '100 years', 'UTC', '2026-03-10Z', '4700-01-01 BC');
SELECT * FROM _usage_window('sliding', '1 hour', 'UTC', '2026-03-10Z', '294276-12-31 23:59:59.999999+00');

-- ---- uses ----

SELECT define_usage_limit('lately', 'call', 5, 'sliding', '1 hour');
SELECT :decision FROM check_usage_limit(:'ann', 'lately', 0);
SELECT :shown :'ann';
SELECT :decision FROM consume_usage(:'ann', 'call', 3);
SET usage_tracking.clock = '2026-03-10 12:10:30+00';
SELECT :decision FROM consume_usage(:'ann', 'call', 2);
-- When it fits depends on how much it is
SELECT :decision FROM unnest('{0,1,3,4,5,6}'::int[]) AS n, check_usage_limit(:'ann', 'call', n);
SELECT :decision FROM consume_usage(:'ann', 'call', 4);
SELECT :decision FROM require_usage(:'ann', 'call', 4);
SELECT :shown :'ann';
-- Bucket by bucket it comes back
SET usage_tracking.clock = '2026-03-10 13:00:59.999999+00';
SELECT :decision FROM consume_usage(:'ann', 'call', 1);
SET usage_tracking.clock = '2026-03-10 13:01+00';
SELECT :decision FROM consume_usage(:'ann', 'call', 4);
SELECT :decision FROM consume_usage(:'ann', 'call', 3);
SET usage_tracking.clock = '2026-03-10 14:02+00';
SELECT :decision FROM check_usage_limit(:'ann', 'call', 5);
-- Back in time the events are there
SET usage_tracking.clock = '2026-03-10 12:10:31+00';
SELECT :decision FROM check_usage_limit(:'ann', 'call', 1);
SET usage_tracking.clock = '2026-03-10 13:01+00';

-- Facts: marked beyond the limit, by the window at their own instant
SELECT track_usage(:'ann', 'call', 2) > 0;
SELECT track_usage(:'ann', 'call', 9, occurred_at => '2026-03-10 11:59+00') > 0;
SELECT track_usage(:'ann', 'call', 3, occurred_at => '2026-03-10 12:58+00') > 0;
SELECT track_usage(:'ann', 'call', 4, status => 'failed') > 0;
SELECT track_usage(:'ann', 'call', 1, occurred_at => '2026-03-10 13:04+00') > 0;
SELECT occurred_at, quantity, status, overage FROM usage_events ORDER BY id;
SELECT :decision FROM check_usage_limit(:'ann', 'call', 1);
-- In a batch too; elements count for each other
SELECT recorded, errors FROM track_usage_batch(json_build_array(
    json_build_object('user_id', :'bob', 'usage_type', 'call', 'quantity', 3, 'occurred_at', '2026-03-10 12:30Z'),
    json_build_object('user_id', :'bob', 'usage_type', 'call', 'quantity', 3),
    json_build_object('user_id', :'bob', 'usage_type', 'call', 'quantity', 4, 'occurred_at', '2026-03-10 11:40Z'),
    json_build_object('user_id', :'bob', 'usage_type', 'call', 'quantity', 2, 'occurred_at', '2026-03-10 12:35Z'))::jsonb);
SELECT occurred_at, quantity, overage FROM usage_events WHERE user_id = :'bob' ORDER BY id;
SELECT :decision FROM check_usage_limit(:'bob', 'call', 1);

-- ---- holds ----

SET usage_tracking.clock = '2026-03-11 12:00+00';
SELECT :decision FROM reserve_usage(:'ann', 'call', 4, expires_in => '2 hours');
SELECT :decision FROM consume_usage(:'ann', 'call', 2);
SELECT :shown :'ann';
-- A hold leaves like a use, and is recorded at its instant
SET usage_tracking.clock = '2026-03-11 13:01+00';
SELECT :decision FROM consume_usage(:'ann', 'call', 5);
SELECT max(id) AS hold FROM usage_reservations WHERE user_id = :'ann' \gset
SELECT :decision FROM commit_usage(:'ann', :hold, 3);
SELECT occurred_at, quantity, overage FROM usage_events WHERE occurred_at >= '2026-03-11' ORDER BY id;
SELECT :decision FROM reserve_usage(:'ann', 'call', 1);
SET usage_tracking.clock = '2026-03-11 14:02+00';
SELECT id AS hold FROM reserve_usage(:'ann', 'call', 5) \gset
SELECT :decision FROM consume_usage(:'ann', 'call', 1);
SELECT release_usage(:'ann', :hold);
SELECT :decision FROM consume_usage(:'ann', 'call', 1, idempotency_key => 'once');
SELECT :decision FROM consume_usage(:'ann', 'call', 1, idempotency_key => 'once');

-- ---- corrections ----

SET usage_tracking.clock = '2026-03-12 12:00+00';
SELECT id FROM consume_usage(:'ann', 'call', 4) \gset
SET usage_tracking.clock = '2026-03-12 12:30+00';
SELECT reverse_usage(:'ann', :id, 1);
SELECT :decision FROM consume_usage(:'ann', 'call', 2);
-- Each part is taken back where it was used, the latest first, so no room is left over when it leaves
SELECT adjust_usage(:'ann', 'lately', 2);
SELECT occurred_at, quantity, corrected_limit IS NOT NULL FROM usage_events WHERE occurred_at >= '2026-03-12' ORDER BY id;
SELECT :shown :'ann';
SELECT reset_user_usage(:'ann', 'lately');
SELECT :shown :'ann';
SELECT adjust_usage(:'ann', 'lately', 3, reason => 'more');
SELECT :decision FROM check_usage_limit(:'ann', 'lately', 2);
SET usage_tracking.clock = '2026-03-12 13:05+00';
SELECT :decision FROM check_usage_limit(:'ann', 'lately', 3);
SELECT adjust_usage(:'ann', 'lately', 7, '2026-03-12 12:15+00');
SELECT :decision FROM check_usage_limit(:'ann', 'lately', 3);

-- ---- whose maximum ----

SET usage_tracking.clock = '2026-03-13 12:00+00';
SELECT set_user_limit(:'ann', 'lately', 2), set_plan_limit('pro', 'lately', 8), set_user_plan(:'bob', 'pro');
SELECT :decision FROM consume_usage(:'ann', 'call', 3);
SELECT :decision FROM consume_usage(:'bob', 'call', 8);
SELECT set_user_limit(:'ann', 'lately', -1);
SELECT :decision FROM consume_usage(:'ann', 'call', 100);
SELECT set_user_limit(:'ann', 'lately', 0);
SELECT :decision FROM check_usage_limit(:'ann', 'call', 1);
SELECT set_user_limit(:'ann', 'lately', NULL);
SELECT :decision FROM check_usage_limit(:'ann', 'call', 1);
SET usage_tracking.enforce_limits = off;
SELECT :decision FROM consume_usage(:'ann', 'call', 1);
RESET usage_tracking.enforce_limits;
SELECT define_usage_limit('lately', 'call', 5, 'sliding', '1 hour', enforcement => 'soft');
SELECT :decision FROM consume_usage(:'ann', 'call', 1);
SELECT define_usage_limit('lately', 'call', 5, 'sliding', '1 hour', is_active => false);
SELECT :decision FROM consume_usage(:'ann', 'call', 1);
SELECT occurred_at, quantity, overage FROM usage_events WHERE user_id = :'ann' AND occurred_at >= '2026-03-13' ORDER BY id;

-- ---- what is counted ----

-- A limit made or changed now counts what was used; of two that deny the one that has room last answers
SELECT define_usage_limit('lately', 'call', 5, 'sliding', '2 days'), define_usage_limit('ever', NULL, 130, 'sliding', '1 month', measure => 'events');
SELECT :shown :'bob';
SELECT define_usage_limit('ever', NULL, 3, 'sliding', '1 month', measure => 'events'), define_usage_limit('tokens', NULL, 1000, 'sliding', '1 day', measure => 'tokens'),
       define_usage_limit('spent', NULL, 1, 'sliding', '1 day', measure => 'cost', statuses => '{success,failed}'),
       define_usage_limit('a_day', 'call', 500), define_usage_type('image');
SELECT :decision FROM consume_usage(:'bob', 'call', 1);
SELECT :decision FROM consume_usage(:'cat', 'image', 1, tokens => 600);
SELECT :decision FROM consume_usage(:'cat', 'image', 1, tokens => 600);
SELECT :decision FROM consume_usage(:'cat', 'image', 1, tokens => 400);
SELECT :decision FROM check_usage_limit(:'cat', 'image', 0);
SELECT track_usage(:'cat', 'image', 1, cost => 1, status => 'failed') > 0;
SELECT :decision FROM consume_usage(:'cat', 'image', 1);
SELECT :decision FROM consume_usage(:'cat', 'image', 1, cost => 0.5);
SELECT :shown :'cat' ORDER BY limit_type;

-- A run is a reservation
DELETE FROM usage_limits WHERE limit_type = ANY ('{ever,spent}');
SELECT define_usage_limit('runs', 'run', 2, 'sliding', '1 day');
SELECT (start_run(:'cat')).id AS run \gset
SELECT :decision FROM start_run(:'cat');
SELECT :decision FROM start_run(:'cat');
SELECT :decision FROM start_run(:'cat', counts => false);
SELECT status FROM succeed_run(:'cat', :run);
SELECT limit_type, used, held FROM user_usage WHERE user_id = :'cat' AND limit_type = 'runs';

-- ---- alerts: once a period ----

SELECT define_usage_limit('seen', 'sight', 10, 'sliding', '1 day');
SELECT allowed FROM consume_usage(:'cat', 'sight', 9);
SELECT allowed FROM consume_usage(:'cat', 'sight', 1);
COMMIT;
SELECT limit_type, window_start, window_end, threshold, used FROM usage_alerts WHERE limit_type = 'seen' ORDER BY threshold;

-- ---- nothing is left over ----

SELECT count(*) FROM reconcile_usage();
SELECT count(*) FROM usage_counters AS c JOIN usage_limits AS l USING (limit_id)
 WHERE l.window_kind = 'sliding' AND (used, holds, window_start, window_end) IS DISTINCT FROM (0, 0, '-infinity', '-infinity');
SELECT limit_type, used, max_usage, percent_used, reset_at FROM get_users_near_limit(90, 10) WHERE user_id = :'cat' AND limit_type = 'seen';

DROP EXTENSION usage_tracking CASCADE;
CREATE EXTENSION usage_tracking;
