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

-- What is refused
SELECT set_user_plan(:'ann', 'gold');
\echo :LAST_ERROR_SQLSTATE
SELECT set_user_plan(:'ann', 'pro', billing_period_start => '2026-03-01 00:00+00');
\echo :LAST_ERROR_SQLSTATE
SELECT set_user_plan(:'ann', 'pro', NULL, '2026-03-01 00:00+00', '2026-03-01 00:00+00');
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
UPDATE user_subscriptions SET anchor = '-infinity';
INSERT INTO user_subscriptions (user_id) VALUES (:'ann');
INSERT INTO plans (plan, name) VALUES ('Gold', 'Gold');
DELETE FROM plans WHERE plan = 'team';
\set VERBOSITY default

-- A plan renamed keeps its users
UPDATE plans SET plan = 'crew' WHERE plan = 'team';
SELECT plan FROM user_subscriptions WHERE user_id = :'ann';
ROLLBACK;
