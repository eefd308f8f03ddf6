/* plans: what did they sign up for?
 *
 * One row a user at most, and it carries his clock.  Which subscriptions give
 * their plan is told in usage.
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
\set ann '00000000-0000-0000-0000-00000000000a'
\set subscription 'plan, status, billing_period_start, billing_period_end, expires_at, time_zone, anchor'
BEGIN;

-- The script leaves the plans to a function, which skips what is there
INSERT INTO plans (plan, name) VALUES ('pro', 'Professional');
SELECT install_default_plans();
SELECT install_default_plans();
SELECT plan, name FROM plans ORDER BY plan;

-- A plan is given from now on, with its dates, in place of the last one
SELECT set_user_plan(:'ann', 'pro', '2027-01-01 00:00+00', '2026-03-01 00:00+00', '2026-04-01 00:00+00');
SELECT :subscription FROM user_subscriptions;
UPDATE user_subscriptions SET status = 'unpaid', stripe_customer_id = 'cus_1', metadata = '{"a": 1}';
SET usage_tracking.clock = '2026-03-11 12:00+00';
SELECT set_user_plan(:'ann', 'team');
SELECT :subscription, stripe_customer_id, metadata FROM user_subscriptions;

-- A clock is set by its parts, NULL keeps; the zone is kept as its library spells it
SELECT set_user_clock(:'ann', 'europe/berlin');
SELECT set_user_clock(:'ann', anchor => '2026-01-31 10:00+00');
SELECT set_user_clock(:'ann');
SELECT :subscription FROM user_subscriptions;
SELECT set_user_clock('00000000-0000-0000-0000-00000000000b', 'America/New_York');
SELECT :subscription FROM user_subscriptions WHERE user_id <> :'ann';

-- A billing period is where the windows of kind billing lie; a plan without one takes it away
SELECT define_usage_limit('films_billed', 'film', 5, window_kind => 'billing');
SELECT set_user_plan(:'ann', 'pro', NULL, '2026-01-31 00:00+00', '2026-02-28 00:00+00');
SELECT used, window_start, reset_at FROM user_usage WHERE user_id = :'ann';
SELECT set_user_plan(:'ann', 'team');
SELECT used, window_start, reset_at FROM user_usage WHERE user_id = :'ann';

-- What is refused
SELECT set_user_plan(:'ann', 'gold');
\echo :LAST_ERROR_SQLSTATE
SELECT set_user_plan(:'ann', 'pro', billing_period_start => '2026-03-01 00:00+00');
\echo :LAST_ERROR_SQLSTATE
SELECT set_user_plan(:'ann', 'pro', NULL, '2026-03-01 00:00+00', '2026-03-01 00:00+00');
\echo :LAST_ERROR_SQLSTATE
SELECT set_user_plan(:'ann', 'pro', NULL, '2026-03-01 00:00+00', '2026-03-01 00:00:00.999999+00');
SELECT set_user_plan(:'ann', 'pro', NULL, '2026-03-01 00:00+00', '9999-12-31 00:00+00');
\echo :LAST_ERROR_SQLSTATE
SELECT set_user_plan(:'ann', 'pro', NULL, '2026-03-01 00:00+00', '10000-01-01 00:00+00');
\echo :LAST_ERROR_SQLSTATE
SELECT set_user_clock(:'ann', 'Mars/Olympus_Mons');
\echo :LAST_ERROR_SQLSTATE
SELECT set_user_clock(:'ann', anchor => 'infinity');
\echo :LAST_ERROR_SQLSTATE

-- The table holds the rules for whoever writes it by hand
\set VERBOSITY sqlstate
UPDATE user_subscriptions SET status = 'cancelled';
UPDATE user_subscriptions SET status = 'canceled';
UPDATE user_subscriptions SET plan = 'gold';
UPDATE user_subscriptions SET billing_period_end = '2026-04-01';
UPDATE user_subscriptions SET billing_period_start = '2026-04-01', billing_period_end = '2026-03-01';
UPDATE user_subscriptions SET billing_period_start = '2026-04-01', billing_period_end = '2026-04-01 00:00:00.5';
UPDATE user_subscriptions SET billing_period_start = '1900-04-01', billing_period_end = '2026-04-01';
UPDATE user_subscriptions SET billing_period_start = '0001-04-01 BC', billing_period_end = '0001-05-01 BC';
UPDATE user_subscriptions SET billing_period_start = '2026-04-01', billing_period_end = 'infinity';
UPDATE user_subscriptions SET anchor = '-infinity';
INSERT INTO user_subscriptions (user_id) VALUES (:'ann');
INSERT INTO plans (plan, name) VALUES ('Gold', 'Gold');
DELETE FROM plans WHERE plan = 'team';
\set VERBOSITY default

-- A plan renamed keeps its users
UPDATE plans SET plan = 'crew' WHERE plan = 'team';
SELECT plan FROM user_subscriptions WHERE user_id = :'ann';
ROLLBACK;

-- Zone, anchor and billing period are his clock: a change shuts his uses out, anything else does not
BEGIN;
SELECT install_default_plans();
SELECT set_user_plan(:'ann', 'pro');
CREATE FUNCTION pg_temp.shuts_out(change text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    answer boolean;
BEGIN
    EXECUTE replace(replace(replace(change, 'ANN', quote_literal('00000000-0000-0000-0000-00000000000a')),
                            'BOB', quote_literal('00000000-0000-0000-0000-00000000000b')), 'APRIL', '''2026-04-01 00:00+00'', ''2026-05-01 00:00+00''');
    SELECT count(*) > 0 INTO answer FROM pg_locks
     WHERE pid = pg_backend_pid() AND locktype = 'object' AND classid = 'usage_events'::regclass AND mode = 'ShareRowExclusiveLock';
    RAISE EXCEPTION USING ERRCODE = 'UTEST', MESSAGE = answer;
EXCEPTION WHEN SQLSTATE 'UTEST' THEN
    RETURN SQLERRM;
END $$;
CREATE VIEW changes (change) AS VALUES
    ('SELECT set_user_plan(ANN, ''team'')'),
    ('SELECT set_user_plan(ANN, ''pro'', NULL, APRIL)'),
    ('SELECT set_user_plan(BOB, ''pro'')'),
    ('SELECT set_user_plan(BOB, ''pro'', NULL, APRIL)'),
    ('UPDATE user_subscriptions SET (billing_period_start, billing_period_end) = ROW(APRIL)'),
    ('UPDATE user_subscriptions SET billing_period_end = billing_period_end + ''1 day'''),
    ('UPDATE user_subscriptions SET plan = NULL, status = ''paused'''),
    ('INSERT INTO user_subscriptions (user_id) VALUES (BOB)'),
    ('INSERT INTO user_subscriptions (user_id, billing_period_start, billing_period_end) VALUES (BOB, APRIL)'),
    ('DELETE FROM user_subscriptions');
SELECT pg_temp.shuts_out(change), change FROM changes;
\echo With a billing period:
UPDATE user_subscriptions SET billing_period_start = '2026-04-01 00:00+00', billing_period_end = '2026-05-01 00:00+00';
COMMIT;
BEGIN;
SELECT pg_temp.shuts_out(change), change FROM changes WHERE change !~ 'BOB';
ROLLBACK;
DROP VIEW changes;
DELETE FROM user_subscriptions;
DELETE FROM plans;
