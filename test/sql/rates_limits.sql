/* rates: how fast?
 *
 * Decisions about rate limits to the letter.  The clock stands at noon.  A decision
 * reads
 *   allowed | reason | rate | used | burst | remaining | full again | retry after
 *
 * On a server without shared memory for rates only the first part is run.
 */
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET usage_tracking.clock = '2026-03-10 12:00+00';
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
\set decision 'allowed, reason, limit_type, used, max_usage, remaining, reset_at, retry_after'
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set cat '00000000-0000-0000-0000-00000000000c'
BEGIN;
SELECT install_default_plans() >= 0 AS plans;
CREATE SCHEMA rates;

-- ---- which there are ----

SELECT define_rate_limit('api', 10, '1 minute', description => 'Calls of the API');
SELECT define_rate_limit('api', 100, '1 minute', 20, 'pro');
SELECT define_rate_limit('pro_only', 5, '1 hour', plan => 'pro');
\set rates 'name, plan, max_requests, per, burst, description FROM api_rate_limits ORDER BY name, plan NULLS FIRST'
SELECT :rates;

-- The same again changes nothing; something else does, and is recorded
SELECT count(*) FROM usage_changes WHERE table_name = 'api_rate_limits';
SELECT define_rate_limit('api', 10, '60 seconds', description => 'Calls of the API');
SELECT count(*) FROM usage_changes WHERE table_name = 'api_rate_limits';
SELECT define_rate_limit('pro_only', 6, '1 hour', 3, 'pro', 'Six');
SELECT define_rate_limit('pro_only', 5, '1 hour', plan => 'pro');
SELECT :rates;
SELECT action, old ->> 'max_requests', new ->> 'max_requests', new ->> 'burst' FROM usage_changes
 WHERE table_name = 'api_rate_limits' ORDER BY id;

-- A usage type or a limit may have the name too
SELECT define_usage_limit('api', 'call', 10);

-- What a rate cannot be
SELECT define_rate_limit('Api', 10, '1 minute');
SELECT define_rate_limit(NULL, 10, '1 minute');
SELECT define_rate_limit('none', NULL, '1 minute');
SELECT define_rate_limit('none', 0, '1 minute');
SELECT define_rate_limit('none', 1000000000000001, '1 minute');
SELECT define_rate_limit('none', 10, NULL);
SELECT define_rate_limit('none', 10, '0');
SELECT define_rate_limit('none', 10, '-1 second');
SELECT define_rate_limit('none', 10, '12 months 6 days 00:00:00.000001');
SELECT define_rate_limit('none', 10, '366 days 00:00:00.000001');
SELECT define_rate_limit('none', 10, '1 minute', 0);
SELECT define_rate_limit('none', 10, '1 minute', 10001);
SELECT define_rate_limit('none', 10, '1 minute', plan => 'platinum');
SELECT define_rate_limit('none', 10, '1 minute', plan => '');
INSERT INTO api_rate_limits (name, max_requests, per) VALUES ('Api', 10, '1 minute');
INSERT INTO api_rate_limits (name, max_requests, per) VALUES ('none', 0, '1 minute');
INSERT INTO api_rate_limits (name, max_requests, per) VALUES ('none', 10, '0');
INSERT INTO api_rate_limits (name, max_requests, per) VALUES ('none', 10, '367 days');
INSERT INTO api_rate_limits (name, max_requests, per, burst) VALUES ('none', 10, '1 day', 10001);
INSERT INTO api_rate_limits (name, max_requests, per) VALUES ('api', 10, '1 minute');
INSERT INTO api_rate_limits (name, max_requests, per, plan) VALUES ('none', 10, '1 minute', 'platinum');

-- Names that are not there, and rates that do not bind
SELECT :decision FROM consume_rate_limit(:'ann', 'nothing');
SELECT :decision FROM check_rate_limit(:'ann', 'nothing');
SELECT :decision FROM consume_rate_limit(:'ann', 'pro_only', 1000000);
SELECT :decision FROM require_rate_limit(NULL, 'pro_only', 1, '192.0.2.1');
SELECT :decision FROM check_rate_limit(NULL, 'api');
SELECT :decision FROM check_rate_limit(:'ann', NULL);
SELECT :decision FROM check_rate_limit(:'ann', 'API');
SELECT :decision FROM check_rate_limit(:'ann', 'api', NULL);
SELECT :decision FROM check_rate_limit(:'ann', 'api', -1);
SELECT :decision FROM check_rate_limit(:'ann', 'api', 1, '');
SELECT :decision FROM check_rate_limit(:'ann', 'api', 1, repeat('x', 256));

-- While nothing is recorded, nothing is decided; but a name must be right
SET usage_tracking.enabled = off;
SELECT :decision FROM consume_rate_limit(:'ann', 'api', 1000000);
SELECT :decision FROM consume_rate_limit(:'ann', 'nothing');
RESET usage_tracking.enabled;

-- Headers: of any decision
SELECT rate_limit_headers(ROW(true, 'ok', NULL, 'api', 3, 10, 7, '2026-03-10 12:00:17.5+00', NULL)::usage_decision);
SELECT rate_limit_headers(ROW(false, 'rate_limited', NULL, 'api', 10, 10, 0, '2026-03-10 12:01+00', 6)::usage_decision);
SELECT rate_limit_headers(ROW(false, 'rate_limited', NULL, 'api', 20, 20, 0, '2026-03-10 12:00:12+00', 1)::usage_decision);
SELECT rate_limit_headers(ROW(false, 'rate_limited', NULL, 'api', 0, 10, 10, NULL, NULL)::usage_decision);
SELECT rate_limit_headers(ROW(false, 'limit_reached', NULL, 'prompts_daily', 10.75, 10.5, 0, '2026-03-11+00', 43200)::usage_decision);
SELECT rate_limit_headers(ROW(true, 'unlimited', NULL, NULL, NULL, -1, NULL, NULL, NULL)::usage_decision);
SELECT rate_limit_headers(ROW(true, 'ok', NULL, 'a"; x="', 1, 2, 1, 'infinity', NULL)::usage_decision);
SELECT rate_limit_headers(NULL);
-- two plans with one burst in different time: how long is not known
SELECT define_rate_limit('twice', 10, '1 minute', plan => 'free');
SELECT define_rate_limit('twice', 20, '1 minute', 10, 'pro');
SELECT rate_limit_headers(ROW(true, 'ok', NULL, 'twice', 3, 10, 7, '2026-03-10 12:00:17.5+00', NULL)::usage_decision);

SELECT NOT is_there AS no_memory FROM usage_memory WHERE name = 'usage_tracking rates' \gset
\if :no_memory
SELECT * FROM usage_memory WHERE name = 'usage_tracking rates';
SELECT :decision FROM consume_rate_limit(:'ann', 'api');
SELECT :decision FROM check_rate_limit(:'ann', 'api');
SELECT :decision FROM require_rate_limit(NULL, 'api', 1, '192.0.2.1');
ROLLBACK;
\quit
\endif

-- ---- taking ----

-- Who took nothing has a whole burst; one request comes back in 6 s
SELECT :decision FROM check_rate_limit(:'ann', 'api', 10);
SELECT :decision FROM consume_rate_limit(:'ann', 'api');
SELECT :decision FROM consume_rate_limit(:'ann', 'api', 8);
SELECT :decision FROM consume_rate_limit(:'ann', 'api', 2);
SELECT :decision FROM consume_rate_limit(:'ann', 'api', 0);
SELECT :decision FROM consume_rate_limit(:'ann', 'api');
SELECT :decision FROM consume_rate_limit(:'ann', 'api');
SELECT :decision FROM check_rate_limit(:'ann', 'api', 0);

-- More than a burst never fits
SELECT :decision FROM consume_rate_limit(:'bob', 'api', 11);
SELECT :decision FROM consume_rate_limit(:'bob', 'api', 9223372036854775807);
SELECT :decision FROM check_rate_limit(:'bob', 'api', 11);
SELECT :decision FROM check_rate_limit(:'bob', 'api', 10);

-- Each user, key, and user with a key for itself
SELECT :decision FROM consume_rate_limit(:'ann', 'api', 4, '192.0.2.1');
SELECT :decision FROM consume_rate_limit(NULL, 'api', 3, '192.0.2.1');
SELECT :decision FROM consume_rate_limit(NULL, 'api', 2, '192.0.2.2');
SELECT :decision FROM check_rate_limit(:'ann', 'api', 1, '192.0.2.1');
SELECT :decision FROM check_rate_limit(NULL, 'api', 1, '192.0.2.1');
SELECT :decision FROM check_rate_limit(:'bob', 'api', 1);
SELECT :decision FROM consume_rate_limit(NULL, 'api', 1, repeat('x', 255));
SELECT :decision FROM check_rate_limit(NULL, 'api', 1, repeat('x', 254));

-- A look takes nothing, and errors nothing either
SELECT require_rate_limit(:'ann', 'api');
SELECT require_rate_limit(:'ann', 'api', 11);
SELECT rate_limit_headers(d), describe_decision(d) ->> 'message' FROM check_rate_limit(:'ann', 'api') AS d;

-- It comes back with time, to the microsecond
SET usage_tracking.clock = '2026-03-10 12:00:05.999999+00';
SELECT :decision FROM check_rate_limit(:'ann', 'api');
SET usage_tracking.clock = '2026-03-10 12:00:06+00';
SELECT :decision FROM consume_rate_limit(:'ann', 'api');
SELECT :decision FROM check_rate_limit(:'ann', 'api');
SET usage_tracking.clock = '2026-03-10 12:01:06+00';
SELECT :decision FROM check_rate_limit(:'ann', 'api');

-- A clock that is put back: nobody is further ahead than a full burst
SET usage_tracking.clock = '2026-03-10 13:00+00';
SELECT :decision FROM consume_rate_limit(:'ann', 'api', 10);
SET usage_tracking.clock = '2026-03-10 12:30+00';
SELECT :decision FROM check_rate_limit(:'ann', 'api');
SELECT :decision FROM consume_rate_limit(:'ann', 'api');
SET usage_tracking.clock = '2026-03-10 12:30:06+00';
SELECT :decision FROM consume_rate_limit(:'ann', 'api');
SELECT :decision FROM consume_rate_limit(:'ann', 'api');

-- What was taken stays taken, whatever becomes of the transaction
SET usage_tracking.clock = '2026-03-10 14:00+00';
SAVEPOINT before;
SELECT :decision FROM consume_rate_limit(:'ann', 'api', 7);
ROLLBACK TO before;
SELECT :decision FROM check_rate_limit(:'ann', 'api');
SELECT remaining, 1 / (remaining - 1) FROM consume_rate_limit(:'ann', 'api', 2);
SELECT :decision FROM check_rate_limit(:'ann', 'api');

-- ---- plans ----

SELECT set_user_plan(:'bob', 'pro'), set_user_plan(:'cat', 'team');
SELECT :decision FROM consume_rate_limit(:'bob', 'api', 15);
SELECT :decision FROM consume_rate_limit(:'bob', 'pro_only');
SELECT :decision FROM consume_rate_limit(:'cat', 'api', 15);
SELECT :decision FROM consume_rate_limit(:'cat', 'pro_only', 15);
SELECT :decision FROM consume_rate_limit(NULL, 'api', 15, 'a key');
-- he leaves the plan: what he took is 9 s ahead, of which 6 s are one request now
SELECT set_user_plan(:'bob', 'free');
SELECT :decision FROM check_rate_limit(:'bob', 'api');
SET usage_tracking.default_plan = 'pro';
SELECT :decision FROM check_rate_limit(:'ann', 'pro_only');
RESET usage_tracking.default_plan;

-- ---- changes of a rate hold at once ----

SELECT define_rate_limit('changing', 10, '10 seconds');
SELECT :decision FROM consume_rate_limit(:'ann', 'changing', 10);
SELECT define_rate_limit('changing', 5, '1 second');
SELECT :decision FROM check_rate_limit(:'ann', 'changing');
UPDATE api_rate_limits SET max_requests = 10, per = '10 seconds', burst = 12 WHERE name = 'changing';
SELECT :decision FROM check_rate_limit(:'ann', 'changing');
SAVEPOINT before;
DELETE FROM api_rate_limits WHERE name = 'changing';
SELECT :decision FROM check_rate_limit(:'ann', 'changing');
ROLLBACK TO before;
SELECT :decision FROM check_rate_limit(:'ann', 'changing');
SAVEPOINT before;
TRUNCATE api_rate_limits;
SELECT :decision FROM check_rate_limit(:'ann', 'changing');
ROLLBACK TO before;
SELECT :decision FROM check_rate_limit(:'ann', 'changing');
-- thirds of a microsecond are kept, and rounded up for another rate
SELECT define_rate_limit('thirds', 3, '00:00:00.000001', 3000);
SELECT :decision FROM consume_rate_limit(:'ann', 'thirds');
SELECT :decision FROM consume_rate_limit(:'ann', 'thirds');
SELECT :decision FROM consume_rate_limit(:'ann', 'thirds');
SELECT :decision FROM consume_rate_limit(:'ann', 'thirds');
SELECT define_rate_limit('thirds', 7, '00:00:00.000001', 3000);
SELECT :decision FROM check_rate_limit(:'ann', 'thirds');

-- ---- not enforced: what does not fit is allowed, and takes nothing ----

SET usage_tracking.enforce_limits = off;
SELECT :decision FROM consume_rate_limit(:'cat', 'api', 8);
SELECT :decision FROM consume_rate_limit(:'cat', 'api', 8);
SELECT :decision FROM require_rate_limit(:'cat', 'api', 80);
RESET usage_tracking.enforce_limits;
SELECT :decision FROM check_rate_limit(:'cat', 'api', 2);

-- ---- large and small ----

SELECT define_rate_limit('most', 1000000000000000, '366 days', 1000000000000000000);
SELECT :decision FROM consume_rate_limit(:'ann', 'most', 1000000000000000000);
SELECT rate_limit_headers(d) FROM consume_rate_limit(:'ann', 'most') AS d;
SELECT define_rate_limit('least', 1, '366 days', 1000);
SELECT :decision FROM consume_rate_limit(:'ann', 'least', 1000);
SELECT :decision FROM consume_rate_limit(:'ann', 'least');
SELECT define_rate_limit('month', 1, '1 month 1 day 01:00');
SELECT :decision FROM consume_rate_limit(:'ann', 'month');
SET usage_tracking.clock = '294276-12-31 23:59:59+00';
SELECT :decision FROM consume_rate_limit(:'bob', 'least', 1000);
SELECT :decision FROM consume_rate_limit(:'bob', 'least', 1);
SET usage_tracking.clock = '2026-03-10 12:00+00';
SELECT :decision FROM consume_rate_limit(:'bob', 'least', 1);

-- ---- exactly: for requests at random instants ----

/* A request is allowed if and only if, with it, no span that ends here has more than
 * burst + span * max_requests / per. */
CREATE TABLE rates.requests (rate text, n integer, at timestamptz, us bigint, allowed boolean, taken bigint);
CREATE TABLE rates.paces (rate text, max_requests bigint, per interval, burst bigint, apart integer);
INSERT INTO rates.paces VALUES
    ('r1', 7, '1 second', 7, 150000), ('r2', 13, '17 seconds', 5, 900000), ('r3', 999983, '1 day', 3, 90000),
    ('r4', 3, '00:00:00.000010', 4, 4), ('r5', 1, '00:00:00.000007', 1, 6), ('r6', 1000003, '1 second', 2, 2),
    ('r7', 11, '1 month', 11, 2147483647);
SELECT setseed(0.7);
DO $$
DECLARE
    pace rates.paces;
    us bigint;
    taken bigint := 0;
    answer boolean;
BEGIN
    FOR pace IN SELECT * FROM rates.paces ORDER BY rate LOOP
        PERFORM define_rate_limit(pace.rate, pace.max_requests, pace.per, pace.burst);
        us := 0;
        taken := 0;
        FOR n IN 1..300 LOOP
            us := us + CASE WHEN random() < 0.2 THEN 0 ELSE floor(random() * pace.apart * 2)::bigint END;
            PERFORM set_config('usage_tracking.clock', ('2026-03-10 12:00+00'::timestamptz + us * '1 us'::interval)::text, true);
            answer := (consume_rate_limit('00000000-0000-0000-0000-00000000000d', pace.rate)).allowed;
            taken := taken + answer::integer;
            INSERT INTO rates.requests VALUES (pace.rate, n, '2026-03-10 12:00+00', us, answer, taken);
        END LOOP;
    END LOOP;
END
$$;
WITH length AS (
    SELECT p.*, (EXTRACT(day FROM p.per) + EXTRACT(month FROM p.per) * 30) * 86400000000
                + EXTRACT(hour FROM p.per) * 3600000000 + EXTRACT(microseconds FROM p.per) AS us FROM rates.paces AS p
), spans AS (
    SELECT b.rate, b.n, b.allowed,
           -- with this request, and all from an earlier one on
           bool_or((b.taken - b.allowed::integer - a.taken + 1 + 1 - p.burst) * p.us > (b.us - a.us)::numeric * p.max_requests) AS too_many
      FROM rates.requests AS b JOIN length AS p USING (rate)
      LEFT JOIN rates.requests AS a ON a.rate = b.rate AND a.n < b.n AND a.allowed
     GROUP BY b.rate, b.n, b.allowed
)
SELECT rate, count(*) FILTER (WHERE allowed) AS allowed, count(*) FILTER (WHERE allowed = COALESCE(too_many, false)) AS wrong
  FROM spans GROUP BY rate ORDER BY rate;
SET usage_tracking.clock = '2026-03-10 12:00+00';

-- ---- before a request of PostgREST ----

SELECT define_rate_limit('signed_in', 3, '1 minute'), define_rate_limit('anonymous', 2, '1 minute');
\set headers 'current_setting(''response.headers'', true)'
SELECT pre_request();
SELECT coalesce(:headers, 'none');
SET usage_tracking.pre_request_rate = 'signed_in';
SET usage_tracking.pre_request_anonymous_rate = 'anonymous';
SET request.method = 'GET';
SET usage_tracking.user_id = '00000000-0000-0000-0000-00000000000a';
SAVEPOINT request;
SET TRANSACTION READ ONLY;
SELECT pre_request(), :headers;
SELECT pre_request();
SELECT set_config('response.headers', '[ ]', true), pre_request();
SELECT :headers;
SELECT set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
SELECT pre_request();
SELECT :headers;
ROLLBACK TO request;
SAVEPOINT request;
SET TRANSACTION READ ONLY;
SELECT set_config('response.headers', '[{"Cache-Control": "no-store"}]', true);
SET usage_tracking.user_id = '00000000-0000-0000-0000-00000000000b';
SELECT pre_request();
SELECT :headers;
ROLLBACK TO request;
-- nobody: by the address that the proxy added, of IPv6 the network
SET usage_tracking.user_id = '';
\set asked 'SELECT used FROM check_rate_limit(NULL, ''anonymous'', 1, '
SET request.headers = '{"x-forwarded-for": "203.0.113.7, 192.0.2.1 "}';
SELECT pre_request();
:asked '192.0.2.1');
:asked '203.0.113.7');
SELECT pre_request();
SELECT pre_request();
SET request.headers = '{"x-forwarded-for": "2001:DB8:0:0:1::1"}';
SELECT pre_request();
:asked '2001:db8::/64');
SET request.headers = '{"x-forwarded-for": "2001:db8::1:0:0:2"}';
SELECT pre_request();
:asked '2001:db8::/64');
SET request.headers = '{"x-forwarded-for": "::ffff:192.0.2.33"}';
SELECT pre_request();
:asked '192.0.2.33');
-- the port that a proxy adds is another one for each connection
SET request.headers = '{"x-forwarded-for": "192.0.2.34:50001"}';
SELECT pre_request();
SET request.headers = '{"x-forwarded-for": "192.0.2.34:50002"}';
SELECT pre_request();
:asked '192.0.2.34');
SET request.headers = '{"x-forwarded-for": "203.0.113.7, [2001:db8:1::1]:443"}';
SELECT pre_request();
SET request.headers = '{"x-forwarded-for": "[2001:db8:1::2]"}';
SELECT pre_request();
:asked '2001:db8:1::/64');
SET usage_tracking.trusted_proxies = 2;
SET request.headers = '{"x-forwarded-for": "203.0.113.9,198.51.100.4, 192.0.2.1"}';
SELECT pre_request();
:asked '198.51.100.4');
SET request.headers = '{"x-forwarded-for": "198.51.100.5"}';
SELECT pre_request();
:asked '198.51.100.5');
SET usage_tracking.client_address_header = 'cf-connecting-ip';
SET request.headers = '{"x-forwarded-for": "198.51.100.5", "cf-connecting-ip": "198.51.100.6"}';
SELECT pre_request();
:asked '198.51.100.6');
-- no address, an empty one, one too long, and what is no JSON: one place for all
SET request.headers = '{"x-forwarded-for": "198.51.100.5"}';
SELECT pre_request();
SET request.headers = '{"cf-connecting-ip": " , "}';
SELECT pre_request();
SELECT set_config('request.headers', format('{"cf-connecting-ip": "%s"}', repeat('1', 300)), false) <> '' AS long;
SELECT pre_request();
SET request.headers = '{"cf-connecting-ip": ';
SELECT pre_request();
:asked 'unknown');
SET usage_tracking.pre_request_rate = 'Signed in';
SET usage_tracking.client_address_header = 'X-Forwarded-For';
SET usage_tracking.pre_request_anonymous_rate = 'nothing';
SELECT pre_request();

-- ---- the memory ----

SELECT name, is_there, slots > 0 AS slots, in_use > 0 AS in_use, forced, bytes > slots FROM usage_memory WHERE name = 'usage_tracking rates';
ROLLBACK;
