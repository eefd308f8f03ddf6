/*
 * Sliding windows against brute force: random uses, facts, late facts, batches,
 * reservations, corrections and moments, and after each of them what is shown and
 * decided is what plain SQL makes of events and reservations.
 *
 * The oracle numbers buckets by whole seconds since the epoch, in integers; the
 * extension does it with instants.  To repeat a run: pg_prove --set seed=N
 */
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT * FROM no_plan();

\if :{?seed}
\else
SELECT round(random()::numeric, 9) AS seed \gset
\endif
SELECT setseed(:seed) \gset
SELECT diag('seed ' || :'seed');

-- by default plan; the lengths are in seconds as the documentation has them
CREATE TEMP TABLE kinds (limit_type text, usage_type text, measure text, statuses text[], max_usage numeric, period interval, seconds numeric);
INSERT INTO kinds VALUES
    ('calls_hour',  'call', 'quantity', '{success}',        40,  '1 hour',     3600),
    ('calls_odd',   'call', 'events',   '{success,failed}', 12,  '61.5 seconds', 61.5),
    ('calls_day',   'call', 'tokens',   '{success}',        900, '1 day',      86400),
    ('any_month',   NULL,   'quantity', '{success}',        400, '1 month',    2592000),
    ('any_year',    NULL,   'cost',     '{success}',        9,   '1 year',     31557600);
SELECT usage.define_usage_type('image') \g /dev/null
SELECT usage.define_usage_limit(limit_type, usage_type, max_usage, 'sliding', period, measure, statuses => statuses) FROM kinds \g /dev/null
SELECT usage.define_usage_limit('calls_ever', 'call', 100000, 'lifetime') \g /dev/null

CREATE FUNCTION pg_temp.bucket(at timestamptz, seconds numeric) RETURNS numeric LANGUAGE sql AS
$$ SELECT floor(extract(epoch FROM at) / ceil(seconds / 60)) $$;

-- What is used of a limit at a moment, by what is there.
CREATE FUNCTION pg_temp.used(who uuid, k kinds, at timestamptz) RETURNS numeric LANGUAGE sql AS $$
    SELECT coalesce(sum(CASE k.measure WHEN 'events' THEN f.events WHEN 'quantity' THEN f.quantity WHEN 'tokens' THEN f.tokens ELSE f.cost END), 0)
      FROM (SELECT e.occurred_at, coalesce(e.corrected_events, 1) AS events, e.quantity, e.tokens, e.cost
              FROM usage.usage_events AS e
             WHERE e.user_id = who
               AND CASE WHEN coalesce(e.corrected_limit, 0) <> 0
                        THEN e.corrected_limit = (SELECT l.limit_id FROM usage.usage_limits AS l WHERE l.limit_type = k.limit_type)
                        ELSE coalesce(e.corrected_status, e.status) = ANY (k.statuses) AND (k.usage_type IS NULL OR e.usage_type = k.usage_type) END
             UNION ALL
            SELECT r.occurred_at, r.events, r.quantity, r.tokens, r.cost
              FROM usage.usage_reservations AS r
             WHERE r.user_id = who AND r.state = 'held' AND r.expires_at > at AND 'success' = ANY (k.statuses)
               AND (k.usage_type IS NULL OR r.usage_type = k.usage_type)) AS f
     WHERE pg_temp.bucket(f.occurred_at, k.seconds) >= pg_temp.bucket(at - make_interval(secs => k.seconds), k.seconds)
$$;

CREATE TEMP TABLE log (step int, what text, wrong text);
CREATE FUNCTION pg_temp.one_of(VARIADIC things text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT things[1 + floor(random() * cardinality(things))::int] $$;

CREATE FUNCTION pg_temp.act(who uuid, now timestamptz, what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n numeric := 1 + floor(random() * 9);
    late timestamptz := now - random() * random() * '5 days'::interval;
    answer usage.usage_decision;
    target bigint;
    fits boolean;
BEGIN
    fits := NOT EXISTS (SELECT FROM kinds AS k
                         WHERE (k.usage_type IS NULL OR k.usage_type = 'call')
                           AND pg_temp.used(who, k, now) + CASE k.measure WHEN 'events' THEN 1 WHEN 'quantity' THEN n WHEN 'tokens' THEN 10 * n ELSE n / 100 END > k.max_usage);
    CASE what
    WHEN 'consume' THEN
        answer := usage.consume_usage(who, 'call', n, (10 * n)::bigint, n / 100);
        IF answer.allowed <> fits THEN RETURN format('consume %s at %s: %s', n, now, answer); END IF;
    WHEN 'reserve' THEN
        answer := usage.reserve_usage(who, 'call', n, (10 * n)::bigint, n / 100, expires_in => pg_temp.one_of('30 seconds', '1 hour', '2 days')::interval);
        IF answer.allowed <> fits THEN RETURN format('reserve %s at %s: %s', n, now, answer); END IF;
    WHEN 'track' THEN
        PERFORM usage.track_usage(who, pg_temp.one_of('call', 'image'), n, (10 * n)::bigint, n / 100, status => pg_temp.one_of('success', 'success', 'failed'));
    WHEN 'late' THEN
        PERFORM usage.track_usage(who, pg_temp.one_of('call', 'image'), n, occurred_at => late);
    WHEN 'batch' THEN
        PERFORM usage.track_usage_batch(jsonb_build_array(
            jsonb_build_object('user_id', who, 'usage_type', 'call', 'quantity', n, 'occurred_at', late),
            jsonb_build_object('user_id', who, 'usage_type', 'image', 'quantity', n, 'tokens', 5)));
    WHEN 'commit', 'release' THEN
        target := (SELECT id FROM usage.usage_reservations WHERE user_id = who AND state = 'held' ORDER BY random() LIMIT 1);
        IF target IS NOT NULL AND what = 'commit' THEN PERFORM usage.commit_usage(who, target, n); END IF;
        IF target IS NOT NULL AND what = 'release' THEN PERFORM usage.release_usage(who, target); END IF;
    WHEN 'reverse' THEN
        target := (SELECT id FROM usage.usage_events WHERE user_id = who AND status <> 'correction' ORDER BY random() LIMIT 1);
        IF target IS NOT NULL THEN PERFORM usage.reverse_usage(who, target); END IF;
    WHEN 'adjust' THEN
        PERFORM usage.adjust_usage(who, (SELECT limit_type FROM kinds ORDER BY random() LIMIT 1), floor(random() * 10)::numeric);
    ELSE
        NULL;
    END CASE;
    RETURN NULL;
END $$;

-- Of each limit: what is shown, and when it says that a use fits, it fits and did not before.
CREATE FUNCTION pg_temp.compare(who uuid, now timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    k kinds;
    shown record;
    answer usage.usage_decision;
    used numeric;
    n numeric := 1 + floor(random() * 9);
    later timestamptz;
BEGIN
    FOR k IN SELECT * FROM kinds LOOP
        used := pg_temp.used(who, k, now);
        SELECT u.used, u.window_start, u.reset_at INTO shown FROM usage.user_usage AS u WHERE u.user_id = who AND u.limit_type = k.limit_type;
        IF shown.used <> used THEN RETURN format('%s of %s at %s, and %s is shown', used, k.limit_type, now, shown.used); END IF;
        IF pg_temp.bucket(shown.window_start, k.seconds) <> pg_temp.bucket(now - make_interval(secs => k.seconds), k.seconds) THEN
            RETURN format('%s of %s at %s', shown, k.limit_type, now);
        END IF;
        answer := CASE k.measure WHEN 'tokens' THEN usage.check_usage_limit(who, k.limit_type, 0, n::bigint)
                                 WHEN 'cost' THEN usage.check_usage_limit(who, k.limit_type, 0, 0, n)
                                 ELSE usage.check_usage_limit(who, k.limit_type, n) END;
        IF k.measure = 'events' THEN n := 1; END IF;
        IF answer.allowed <> (used + n <= k.max_usage) THEN RETURN format('%s of %s at %s: %s', used, k.limit_type, now, answer); END IF;
        IF NOT answer.allowed AND n <= k.max_usage THEN
            later := answer.reset_at;
            IF later IS NULL OR later <= now THEN RETURN format('%s at %s: %s', k.limit_type, now, answer); END IF;
            -- what is held might have expired by then: that is not foretold
            IF pg_temp.used(who, k, later) + n > k.max_usage THEN RETURN format('%s at %s does not fit by then: %s', k.limit_type, now, answer); END IF;
            IF NOT EXISTS (SELECT FROM usage.usage_reservations AS r WHERE r.user_id = who AND r.state = 'held' AND r.expires_at BETWEEN now AND later)
               AND pg_temp.used(who, k, later - '1 microsecond'::interval) + n <= k.max_usage THEN
                RETURN format('%s at %s fits before: %s', k.limit_type, now, answer);
            END IF;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

DO $$
DECLARE
    now timestamptz := '2026-03-10 12:00Z';
    who uuid[] := '{aaaaaaaa-0000-0000-0000-000000000000,bbbbbbbb-0000-0000-0000-000000000000}';
    one uuid;
    what text;
    wrong text;
BEGIN
    FOR step IN 1 .. 600 LOOP
        now := now + CASE floor(random() * 6) WHEN 0 THEN random() * '3 seconds'::interval WHEN 1 THEN random() * '2 minutes'::interval
                                              WHEN 2 THEN random() * '2 hours'::interval WHEN 3 THEN random() * random() * '3 days'::interval
                                              ELSE '0' END;
        IF random() < 0.01 THEN now := now + random() * '300 days'::interval; END IF;
        PERFORM set_config('usage_tracking.clock', now::text, true);
        one := who[1 + floor(random() * 2)::int];
        what := pg_temp.one_of('consume', 'consume', 'consume', 'reserve', 'track', 'late', 'batch', 'commit', 'release', 'reverse', 'adjust');
        wrong := coalesce(pg_temp.act(one, now, what), pg_temp.compare(one, now));
        IF wrong IS NOT NULL THEN INSERT INTO log VALUES (step, what, wrong); EXIT; END IF;
    END LOOP;
END $$;
SELECT is_empty('SELECT * FROM log', 'what is shown and decided is what brute force finds');
SELECT cmp_ok((SELECT count(*) FROM usage.usage_events), '>', 200::bigint, 'many events');
SELECT cmp_ok((SELECT count(*) FROM usage.usage_events WHERE corrected_limit <> 0), '>', 0::bigint, 'some adjusted');
SELECT cmp_ok((SELECT count(*) FROM usage.usage_reservations WHERE state = 'committed'), '>', 0::bigint, 'some reserved and committed');
SELECT is_empty('SELECT * FROM usage.reconcile_usage()', 'counters and events agree');

-- In no span as long as the period more than the maximum is ever admitted.
DELETE FROM usage.usage_limits WHERE limit_type <> 'calls_hour';
DO $$
DECLARE
    now timestamptz := '2030-01-01Z';
BEGIN
    FOR step IN 1 .. 400 LOOP
        now := now + random() * random() * '10 minutes'::interval;
        PERFORM set_config('usage_tracking.clock', now::text, true);
        PERFORM usage.consume_usage('cccccccc-0000-0000-0000-000000000000', 'call', 1 + floor(random() * 9)::numeric);
    END LOOP;
END $$;
SELECT is_empty($$
    SELECT * FROM (SELECT occurred_at, sum(quantity) OVER (ORDER BY occurred_at RANGE BETWEEN CURRENT ROW AND '1 hour' FOLLOWING) AS within
                     FROM usage.usage_events WHERE user_id = 'cccccccc-0000-0000-0000-000000000000') AS s WHERE within > 40$$,
    'never more than 40 in an hour');
SELECT cmp_ok((SELECT sum(quantity) FROM usage.usage_events WHERE user_id = 'cccccccc-0000-0000-0000-000000000000'), '>', 200::numeric, 'but much in all');

SELECT * FROM finish();
ROLLBACK;
