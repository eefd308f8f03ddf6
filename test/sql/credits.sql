/* credits: who pays?
 *
 * What is granted, refilled, spent, owed and given back, to the letter, by one
 * session.  Random operations against a plain model are in test/t/120_credits.pl,
 * what many sessions do at once in test/specs/credits_*.spec and
 * test/stress/credits.c.
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
\set bob '00000000-0000-0000-0000-00000000000b'
\set cat '00000000-0000-0000-0000-00000000000c'
\set dan '00000000-0000-0000-0000-00000000000d'
\set eve '00000000-0000-0000-0000-00000000000e'
\set fay '00000000-0000-0000-0000-00000000000f'
\set decision 'allowed, reason, limit_type, used, max_usage, remaining, reset_at, retry_after, id IS NOT NULL AS recorded'
CREATE VIEW ledger AS
SELECT right(user_id::text, 1) AS who, action, amount, balance_after, transaction_type, reference_id,
       to_char(effective_at, 'MM-DD HH24:MI') AS since, amounts
  FROM credit_ledger;
CREATE VIEW grants AS
SELECT right(user_id::text, 1) AS who, id, is_refill, amount, remaining, priority, to_char(effective_at, 'MM-DD HH24:MI') AS begins,
       to_char(expires_at, 'MM-DD HH24:MI') AS ends, is_open
  FROM credit_grants;

-- Grants are spent by priority, then what ends first, then the older; what has not begun is not spent
SELECT grant_credits(:'ann', 5, 'bonus', expires_at => '2026-03-20') > 0,
       grant_credits(:'ann', 7) > 0,
       grant_credits(:'ann', 3, 'gift', expires_at => '2026-03-11') > 0,
       grant_credits(:'ann', 2, priority => -1) > 0,
       grant_credits(:'ann', 100, effective_at => '2026-03-12') > 0,
       grant_credits(:'ann', 7.000000001) > 0;
SELECT credit_balance(:'ann');
SELECT :decision FROM spend_credits(:'ann', 1);
SELECT :decision FROM spend_credits(:'ann', 5);
SELECT :decision FROM spend_credits(:'ann', 10.5);
SELECT amount, transaction_type, grants, amounts FROM credit_ledger WHERE user_id = :'ann' AND action = 'spend' ORDER BY id;
SELECT * FROM grants WHERE who = 'a' ORDER BY id;
-- Not enough: nothing is written, never is when it is there again
SELECT :decision FROM spend_credits(:'ann', 7.500000002);
SELECT :decision FROM spend_credits(:'bob', 1);
SELECT count(*) FROM credit_accounts;
SELECT user_id = :'ann' FROM user_subscriptions;
SELECT count(*) FROM credit_ledger WHERE action = 'spend';
-- To the last digit
SELECT :decision FROM spend_credits(:'ann', 7.500000001, description => 'all', metadata => '{"invoice": 7}');
SELECT credit_balance(:'ann');
SELECT id, amount, balance_after, transaction_type, description, reference_id, metadata, created_at
  FROM credit_transactions WHERE user_id = :'ann' ORDER BY id;
-- What has begun and what has ended needs nobody
SET usage_tracking.clock = '2026-03-12 00:00+00';
SELECT credit_balance(:'ann'), credit_balance(:'ann', '2026-03-11 23:59:59.999999'), count(*) FROM credit_ledger WHERE user_id = :'ann';

-- A grant ends; what may roll over of it stays until rollover_until, after what ends first
SELECT grant_credits(:'bob', 10, expires_at => '2026-03-13', max_rollover => 4, rollover_until => '2026-03-15') > 0,
       grant_credits(:'bob', 10, expires_at => '2026-03-14') > 0;
SELECT allowed, remaining FROM spend_credits(:'bob', 3);
SET usage_tracking.clock = '2026-03-12 23:59:59.999999+00';
SELECT credit_balance(:'bob');
SET usage_tracking.clock = '2026-03-13 00:00+00';
SELECT credit_balance(:'bob'), lifetime_earned, lifetime_spent FROM user_credits WHERE user_id = :'bob';
SELECT * FROM ledger WHERE who = 'b' AND action = 'expiry';
SELECT allowed, remaining FROM spend_credits(:'bob', 11);
SELECT * FROM ledger WHERE who = 'b' ORDER BY since, action;
SET usage_tracking.clock = '2026-03-15 00:00+00';
SELECT credit_balance(:'bob'), count(*) FROM reconcile_usage();
-- It is written down by the next change, as of when it was so
SELECT grant_credits(:'bob', 1) > 0;
SELECT * FROM ledger WHERE who = 'b' ORDER BY since, balance_after DESC;
SELECT * FROM grants WHERE who = 'b' ORDER BY id;

-- Once for each reference, of a user and an action
SELECT grant_credits(:'cat', 50, reference_id => 'pay_1') AS first \gset
SELECT grant_credits(:'cat', 50.0, reference_id => 'pay_1') = :first, credit_balance(:'cat');
SELECT grant_credits(:'cat', 51, reference_id => 'pay_1');
SELECT grant_credits(:'cat', 50, 'bonus', reference_id => 'pay_1');
SELECT :decision FROM spend_credits(:'cat', 20, 'pay_1');
SELECT :decision FROM spend_credits(:'cat', 20, 'pay_1');
SELECT :decision FROM spend_credits(:'cat', 21, 'pay_1');
SELECT :decision FROM spend_credits(:'cat', 20, 'pay_1', transaction_type => 'fee');
SELECT grant_credits(:'dan', 50, reference_id => 'pay_1') <> :first;
-- Repeated, though there is not enough for it again; a refusal keeps no reference
SELECT :decision FROM spend_credits(:'cat', 31, 'big');
SELECT :decision FROM spend_credits(:'cat', 30, 'big');
SELECT :decision FROM spend_credits(:'cat', 20, 'pay_1');
SELECT credit_balance(:'cat');

-- Refunds: to the very grants, the last taken first; all that is left, or a part
SELECT grant_credits(:'eve', 10, expires_at => '2026-03-16') AS ends, grant_credits(:'eve', 10) AS stays \gset
SELECT id AS spent FROM spend_credits(:'eve', 14) \gset
SELECT refund_credits(:'eve', :spent, 5, 'r1', 'a part', '{"why": "late"}') AS refund \gset
SELECT refund_credits(:'eve', :spent, 5, 'r1') = :refund, credit_balance(:'eve');
SELECT amount, balance_after, transaction_type, reference_id, refunds = :spent AS of_it, (SELECT array_agg(l.grants[1] ORDER BY l.id DESC) FROM credit_ledger AS l WHERE l.id IN (:ends, :stays)) = grants AS the_same, amounts FROM credit_ledger WHERE id = :refund;
SELECT refund_credits(:'eve', :spent, 4, 'r1');
SELECT refund_credits(:'eve', :spent, 10);
-- What comes back to a grant that has ended ends at once
SET usage_tracking.clock = '2026-03-16 00:00+00';
SELECT credit_balance(:'eve');
SELECT refund_credits(:'eve', :spent) > 0;
SELECT credit_balance(:'eve');
SELECT refund_credits(:'eve', :spent);
SELECT refund_credits(:'eve', :refund);
SELECT refund_credits(:'ann', :spent);
SELECT refund_credits(:'eve', -1);
SELECT * FROM ledger WHERE who = 'e' ORDER BY since, action DESC, balance_after DESC;
SELECT lifetime_earned, lifetime_spent, balance FROM user_credits WHERE user_id = :'eve';
-- A reference of one refund is not that of another
SELECT id AS again FROM spend_credits(:'eve', 5) \gset
SELECT refund_credits(:'eve', :again, 5, 'r1');

-- Overdraft: as far as it goes, and paid by what comes next
SELECT set_credit_overdraft(:'dan', 30);
SELECT :decision FROM spend_credits(:'dan', 81);
SELECT :decision FROM spend_credits(:'dan', 60);
SELECT balance, overdraft, lifetime_earned, lifetime_spent FROM user_credits WHERE user_id = :'dan';
SELECT amounts FROM credit_ledger WHERE user_id = :'dan' AND action = 'spend';
SELECT set_credit_overdraft(:'dan', 0);
SELECT :decision FROM spend_credits(:'dan', 0.1);
SELECT grant_credits(:'dan', 4) > 0;
SELECT credit_balance(:'dan');
SELECT grant_credits(:'dan', 100, effective_at => '2026-04-01') > 0;
SELECT credit_balance(:'dan');
SELECT grant_credits(:'dan', 16) > 0;
SELECT credit_balance(:'dan');
-- What was spent on credit is given back from what is owed first
SELECT refund_credits(:'dan', (SELECT id FROM credit_ledger WHERE user_id = :'dan' AND action = 'spend'), 15) > 0;
SELECT credit_balance(:'dan');
SELECT amount, grants[1] = 0 AS owed_first, amounts FROM credit_ledger WHERE user_id = :'dan' AND action = 'refund';
SELECT owed FROM credit_accounts WHERE user_id = :'dan';
SELECT * FROM reconcile_usage();

-- Refills of a plan: each day of the user, made by nobody
SELECT install_default_plans();
SELECT set_credit_refill('free', 100), set_credit_refill('pro', 1000, max_rollover => 250), set_credit_refill('team', 5, '1 hour');
SELECT credit_balance(:'fay');
SELECT count(*) FROM user_credits WHERE user_id = :'fay';
SELECT set_user_clock(:'fay', 'America/New_York', '2026-03-01 00:00+00');
SELECT balance, lifetime_earned, lifetime_spent, last_refill_at, created_at, updated_at, held, overdraft, next_refill_at FROM user_credits WHERE user_id = :'fay';
SELECT :decision FROM spend_credits(:'fay', 101);
SELECT :decision FROM spend_credits(:'fay', 30);
SELECT * FROM ledger WHERE who = 'f';
SELECT balance, lifetime_earned, lifetime_spent, last_refill_at, created_at, updated_at, next_refill_at FROM user_credits WHERE user_id = :'fay';
SET usage_tracking.clock = '2026-03-16 03:59:59.999999+00';
SELECT credit_balance(:'fay');
SET usage_tracking.clock = '2026-03-16 04:00+00';
SELECT credit_balance(:'fay');
-- Before what was bought
SELECT grant_credits(:'fay', 40) > 0;
SELECT credit_balance(:'fay');
SELECT allowed, remaining FROM spend_credits(:'fay', 110);
SET usage_tracking.clock = '2026-03-17 12:00+00';
SELECT credit_balance(:'fay');
-- A larger plan in the middle of the day brings the difference, once; a smaller one takes nothing
SELECT allowed, remaining FROM spend_credits(:'fay', 60);
SELECT set_user_plan(:'fay', 'pro');
SELECT credit_balance(:'fay');
SELECT allowed, remaining FROM spend_credits(:'fay', 1);
SELECT set_user_plan(:'fay', 'free');
SELECT credit_balance(:'fay');
SELECT set_user_plan(:'fay', 'pro');
SELECT credit_balance(:'fay');
SELECT * FROM ledger WHERE who = 'f' AND action = 'refill' ORDER BY since, amount;
-- What rolls over is spent first, and on the second day it is gone
SET usage_tracking.clock = '2026-03-18 12:00+00';
SELECT credit_balance(:'fay');
SELECT allowed, remaining FROM spend_credits(:'fay', 50);
SET usage_tracking.clock = '2026-03-19 12:00+00';
SELECT credit_balance(:'fay');
SELECT set_credit_refill('pro', 1000, max_rollover => 0);
SELECT credit_balance(:'fay');
-- Setting first, then the table; a plan of the setting alone has it each day
SET usage_tracking.credit_refills = 'free=7.5, enterprise=9';
SELECT credit_balance(:'eve'), credit_balance(:'fay');
SELECT set_user_plan(:'fay', 'enterprise'), set_user_clock(:'eve', 'UTC', '2026-03-01 00:00+00');
SET usage_tracking.clock = '2026-03-20 12:00+00';
SELECT balance, next_refill_at FROM user_credits WHERE user_id IN (:'eve', :'fay') ORDER BY user_id;
SELECT amount, remaining, max_rollover, rollover_until FROM credit_grants WHERE user_id = :'fay' AND is_refill AND is_open ORDER BY id;
SET usage_tracking.credit_refills = 'free=';
SET usage_tracking.credit_refills = 'free=-1';
SET usage_tracking.credit_refills = 'free=1, free=2';
SET usage_tracking.credit_refills = 'prompts.free=1,';
SET usage_tracking.credit_refills = '=1';
SHOW usage_tracking.credit_refills;
RESET usage_tracking.credit_refills;
-- Each hour; named otherwise, because it is not daily; a month, a week
SELECT set_user_plan(:'fay', 'team');
SET usage_tracking.clock = '2026-03-20 13:30+00';
SELECT allowed, remaining, reset_at FROM spend_credits(:'fay', 0.5);
SET usage_tracking.clock = '2026-03-20 14:00+00';
SELECT :decision FROM spend_credits(:'fay', 30);
SELECT transaction_type, count(*) FROM credit_ledger WHERE user_id = :'fay' AND action = 'refill' GROUP BY 1 ORDER BY 1;
SELECT set_credit_refill('team', 5, '1 week'), set_credit_refill('free', 50, '1 month', 10);
SET usage_tracking.clock = '2026-03-23 00:00+00';
SELECT balance, next_refill_at FROM user_credits WHERE user_id IN (:'eve', :'fay') ORDER BY user_id;
SELECT * FROM credit_refills ORDER BY plan;
SELECT set_credit_refill(plan, NULL) FROM credit_refills;
SELECT set_credit_refill('team', NULL);
SELECT balance, next_refill_at FROM user_credits WHERE user_id IN (:'eve', :'fay') ORDER BY user_id;
SELECT * FROM reconcile_usage();

-- At any instant of the past
SELECT credit_balance(:'bob', t) FROM unnest('{2026-03-11 23:59, 2026-03-12 00:00, 2026-03-12 23:59:59.999999, 2026-03-13, 2026-03-15}'::timestamptz[]) AS t;
SELECT bool_and(balance_after = credit_balance(user_id, created_at)), count(*) > 5
  FROM credit_transactions AS t WHERE NOT EXISTS (SELECT FROM credit_ledger AS l WHERE l.user_id = t.user_id AND
       (l.effective_at = t.created_at AND l.id <> t.id OR l.id = t.id AND l.effective_at > l.recorded_at));
SELECT credit_balance(:'ann', '2026-03-23 00:00:00.000001');
SELECT credit_balance(:'ann', '2020-01-01'), credit_balance('00000000-0000-0000-0000-0000000000ff', '2026-03-20'), credit_balance('00000000-0000-0000-0000-0000000000ff');
-- A better plan of today changes nothing of a day that was written down
BEGIN;
SELECT set_credit_refill('free', 100), set_credit_refill('pro', 1000);
SELECT allowed FROM spend_credits('00000000-0000-0000-0000-0000000000ee', 10);
SET usage_tracking.clock = '2026-03-25 12:00+00';
SELECT set_user_plan('00000000-0000-0000-0000-0000000000ee', 'pro');
SELECT credit_balance('00000000-0000-0000-0000-0000000000ee', '2026-03-23 12:00'), credit_balance('00000000-0000-0000-0000-0000000000ee');
ROLLBACK;
-- Nor of one on which nothing was written; and a plan rolls nothing over from a time before
BEGIN;
SELECT set_credit_refill('free', 500), set_credit_refill('pro', 1000, '1 day', 500);
SELECT set_user_plan('00000000-0000-0000-0000-0000000000ee', 'free'), set_user_plan('00000000-0000-0000-0000-0000000000ed', 'free');
SET usage_tracking.clock = '2026-03-25 12:00+00';
SELECT set_user_plan('00000000-0000-0000-0000-0000000000ee', 'pro');
SELECT t, credit_balance('00000000-0000-0000-0000-0000000000ee', t) FROM unnest('{2026-03-24 12:00,2026-03-25 11:00,2026-03-25 12:00}'::timestamptz[]) AS t;
SET usage_tracking.clock = '2026-03-25 13:00+00';
SELECT allowed, remaining FROM spend_credits('00000000-0000-0000-0000-0000000000ee', 1001);
SELECT allowed, remaining FROM spend_credits('00000000-0000-0000-0000-0000000000ee', 100);
SELECT amount, effective_at FROM credit_ledger WHERE user_id = '00000000-0000-0000-0000-0000000000ee' ORDER BY id;
SELECT t, credit_balance('00000000-0000-0000-0000-0000000000ee', t) FROM unnest('{2026-03-24 12:00,2026-03-25 11:00,2026-03-25 12:00}'::timestamptz[]) AS t;
-- a refill that is new brings nothing of before either
SELECT set_credit_refill('free', 600, '1 day', 600);
SELECT credit_balance('00000000-0000-0000-0000-0000000000ed'), credit_balance('00000000-0000-0000-0000-0000000000ed', '2026-03-25 12:59');
SET usage_tracking.clock = '2026-03-26 13:00+00';
SELECT credit_balance('00000000-0000-0000-0000-0000000000ed'), credit_balance('00000000-0000-0000-0000-0000000000ee');
ROLLBACK;
-- S2's columns
SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'credit_transactions'::regclass AND attnum > 0;
SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'user_credits'::regclass AND attnum > 0;

-- ---- what uses cost ----

SELECT define_usage_type(t) FROM unnest('{prompt,export,clip,idea}'::text[]) AS t \g /dev/null
SELECT set_credit_cost('prompt', 10), set_credit_cost('export', 50), set_credit_cost('clip', 2.5);
\set gus '00000000-0000-0000-0000-000000000010'
\set hal '00000000-0000-0000-0000-000000000011'
\set ida '00000000-0000-0000-0000-000000000012'
SELECT grant_credits(:'gus', 100, reference_id => 'start') > 0;
-- Only if credits are on
SHOW usage_tracking.credits_enabled;
SELECT :decision FROM consume_usage(:'gus', 'prompt');
SELECT credit_balance(:'gus');
SET usage_tracking.credits_enabled = on;
SELECT :decision FROM consume_usage(:'gus', 'prompt', 2);
SELECT :decision FROM consume_usage(:'gus', 'idea', 1000);
SELECT :decision FROM check_usage_limit(:'gus', 'export', 2);
SELECT :decision FROM check_usage_limit(:'gus', 'export', 1.6);
SELECT :decision FROM consume_usage(:'gus', 'clip', 0.1);
SELECT :decision FROM require_usage(:'gus', 'export');
SELECT :decision FROM consume_usage(:'gus', 'export');
SELECT :decision FROM require_usage(:'gus', 'export');
SET usage_tracking.error_style = 'postgrest';
SELECT :decision FROM require_usage(:'gus', 'export');
RESET usage_tracking.error_style;
SELECT usage_type, quantity, credits_used, credits_owed FROM usage_events ORDER BY id;
SELECT l.action, l.amount, l.balance_after, l.transaction_type, t.reference_id = e.id::text AS of_it, e.usage_type
  FROM credit_ledger AS l JOIN usage_events AS e ON e.id = l.event_id
  JOIN credit_transactions AS t ON t.id = l.id ORDER BY l.id;
-- A key answers again and takes nothing again
SELECT :decision FROM consume_usage(:'gus', 'prompt', idempotency_key => 'k');
SELECT :decision FROM consume_usage(:'gus', 'prompt', idempotency_key => 'k');
SELECT credit_balance(:'gus');
-- What failed costs none
SELECT track_usage(:'gus', 'prompt', status => 'failed') > 0, credit_balance(:'gus');
-- A fact is never refused: it takes what there is, and owes the rest
SELECT track_usage(:'gus', 'export', resource_id => 'fact') AS fact \gset
SELECT credits_used, credits_owed, credit_balance(:'gus') FROM usage_events WHERE id = :fact;
SELECT track_usage(:'gus', 'prompt', resource_id => 'all owed') > 0;
SELECT credits_used, credits_owed, credit_balance(:'gus') FROM usage_events WHERE resource_id = 'all owed';
SELECT count(*) FROM credit_ledger AS l JOIN usage_events AS e ON e.id = l.event_id WHERE resource_id = 'all owed';
SELECT grant_credits(:'gus', 5) > 0;
SELECT credit_balance(:'gus');
-- In a batch one by one
SELECT * FROM track_usage_batch(jsonb_build_array(
    jsonb_build_object('user_id', :'gus', 'usage_type', 'clip', 'resource_id', 'b1'),
    jsonb_build_object('user_id', :'gus', 'usage_type', 'prompt', 'resource_id', 'b2'),
    jsonb_build_object('user_id', :'hal', 'usage_type', 'prompt', 'resource_id', 'b3'),
    jsonb_build_object('user_id', :'gus', 'usage_type', 'idea', 'resource_id', 'b4')));
SELECT resource_id, credits_used, credits_owed FROM usage_events WHERE resource_id ~ '^b' ORDER BY 1;
SELECT credit_balance(:'gus'), credit_balance(:'hal');
-- Not enforced: nothing is refused, what is missing is owed by the event
SET usage_tracking.enforce_limits = off;
SELECT :decision FROM check_usage_limit(:'hal', 'prompt');
SELECT :decision FROM check_usage_limit(:'gus', 'clip');
SELECT :decision FROM consume_usage(:'hal', 'prompt', resource_id => 'free ride');
SELECT credits_used, credits_owed FROM usage_events WHERE resource_id = 'free ride';
SELECT :decision FROM spend_credits(:'hal', 1);
RESET usage_tracking.enforce_limits;
SET usage_tracking.enabled = off;
SELECT :decision FROM consume_usage(:'hal', 'prompt');
SELECT :decision FROM spend_credits(:'hal', 1);
SELECT reverse_usage(:'gus', :fact);
SELECT grant_credits(:'hal', 1) > 0;
SELECT credit_balance(:'hal');
RESET usage_tracking.enabled;
-- An overdraft serves uses as well
SELECT set_credit_overdraft(:'hal', 19);
SELECT :decision FROM consume_usage(:'hal', 'prompt', 2.1);
SELECT :decision FROM consume_usage(:'hal', 'prompt', 2);
SELECT credit_balance(:'hal'), credits_used, credits_owed FROM usage_events WHERE user_id = :'hal' ORDER BY id DESC LIMIT 1;

-- Limits and credits, all or none; of two that deny, whichever is there again last binds
SELECT define_usage_limit('prompts_daily', 'prompt', 3), grant_credits(:'ida', 35) > 0;
SELECT :decision FROM check_usage_limit(:'ida', 'prompt');
SELECT :decision FROM consume_usage(:'ida', 'prompt', 3);
SELECT :decision FROM consume_usage(:'ida', 'prompt', 0.5);
SELECT :decision FROM consume_usage(:'ida', 'prompt', 0.6);
SELECT :decision FROM check_usage_limit(:'ida', 'prompts_daily', 1);
SELECT set_credit_refill('free', 2);
SELECT :decision FROM consume_usage(:'ida', 'prompt', 1);
SELECT set_credit_refill('free', 2, '1 hour');
SELECT :decision FROM consume_usage(:'ida', 'prompt', 1);
SELECT set_credit_refill('free', 2, '1 month');
SELECT :decision FROM consume_usage(:'ida', 'prompt', 1);
SELECT :decision FROM require_usage(:'ida', 'prompt', 1);
SELECT set_credit_refill('free', NULL);
SELECT used FROM _counted_usage() WHERE user_id = :'ida';
SELECT credit_balance(:'ida'), count(*) FROM credit_ledger WHERE user_id = :'ida' GROUP BY 1;
DELETE FROM usage_limits;

-- Reserved credits cannot be spent, and are not spent yet
\set joe '00000000-0000-0000-0000-000000000013'
SELECT grant_credits(:'joe', 100) > 0;
SELECT id AS hold FROM reserve_usage(:'joe', 'export', idempotency_key => 'h') \gset
SELECT balance, held FROM user_credits WHERE user_id = :'joe';
SELECT :decision FROM spend_credits(:'joe', 50.1);
SELECT :decision FROM reserve_usage(:'joe', 'export', 1.1);
SELECT :decision FROM spend_credits(:'joe', 45);
SELECT :decision FROM reserve_usage(:'joe', 'export', idempotency_key => 'h');
-- Committed, perhaps at another quantity: what is beyond all there is, is owed
SELECT :decision FROM commit_usage(:'joe', :hold, 1.5);
SELECT credits_used, credits_owed FROM usage_events WHERE user_id = :'joe';
SELECT balance, held FROM user_credits WHERE user_id = :'joe';
SELECT :decision FROM commit_usage(:'joe', :hold, 1.5);
SELECT grant_credits(:'joe', 60) > 0;
SELECT id AS hold FROM reserve_usage(:'joe', 'prompt', 5) \gset
SELECT release_usage(:'joe', :hold);
SELECT balance, held FROM user_credits WHERE user_id = :'joe';
SELECT id AS hold FROM reserve_usage(:'joe', 'prompt', 5, expires_in => '1 hour') \gset
SET usage_tracking.clock = '2026-03-23 00:59:59.999999+00';
SELECT balance, held FROM user_credits WHERE user_id = :'joe';
SET usage_tracking.clock = '2026-03-23 01:00+00';
SELECT balance, held FROM user_credits WHERE user_id = :'joe';
SELECT :decision FROM commit_usage(:'joe', :hold);
SELECT grant_credits(:'joe', 50) > 0;
SELECT id AS hold FROM reserve_usage(:'joe', 'prompt', 5) \gset
SELECT :decision FROM commit_usage(:'joe', :hold, 2);
SELECT balance, held FROM user_credits WHERE user_id = :'joe';
SELECT count(*), sum(amount) FROM credit_ledger WHERE user_id = :'joe' AND action = 'use';

-- What is taken back is refunded: what it owes first, then what it took
\set kim '00000000-0000-0000-0000-000000000014'
SELECT grant_credits(:'kim', 25, expires_at => '2026-03-24') > 0, grant_credits(:'kim', 10) > 0;
SELECT track_usage(:'kim', 'prompt', 4, resource_id => 'kim') AS use \gset
SELECT credits_used, credits_owed FROM usage_events WHERE id = :use;
SELECT reverse_usage(:'kim', :use, 1), reverse_usage(:'kim', :use, 1);
SELECT quantity, credits_used, credits_owed FROM usage_events WHERE user_id = :'kim' ORDER BY id;
SELECT credit_balance(:'kim');
SELECT refund_credits(:'kim', (SELECT id FROM credit_ledger WHERE event_id = :use), 7) > 0;
SELECT credit_balance(:'kim');
SELECT reverse_usage(:'kim', :use);
SELECT reverse_usage(:'kim', :use);
SELECT quantity, credits_used, credits_owed FROM usage_events WHERE user_id = :'kim' ORDER BY id;
SELECT * FROM ledger WHERE who = '4' AND action = 'refund' ORDER BY since, balance_after;
SELECT credit_balance(:'kim'), sum(credits_used), sum(credits_owed) FROM usage_events WHERE user_id = :'kim';
-- Not of a type that has lost its price, nor with credits off: what it cost is what is given back
SELECT id AS use FROM consume_usage(:'kim', 'prompt') \gset
SELECT set_credit_cost('prompt', NULL);
SET usage_tracking.credits_enabled = off;
SELECT reverse_usage(:'kim', :use);
SELECT credit_balance(:'kim');
SET usage_tracking.credits_enabled = on;
SELECT :decision FROM consume_usage(:'kim', 'prompt');
SELECT * FROM credit_costs ORDER BY 1;
SELECT set_credit_cost('prompt', NULL);
SELECT set_credit_cost('prompt', 0);
SELECT :decision FROM consume_usage(:'kim', 'prompt');
SELECT table_name, action, new FROM usage_changes WHERE table_name ~ '^credit' ORDER BY id LIMIT 4;

-- With its transaction or not at all
BEGIN;
SELECT allowed FROM consume_usage(:'kim', 'clip');
SAVEPOINT one;
SELECT allowed FROM spend_credits(:'kim', 5, 'undone');
ROLLBACK TO one;
SELECT credit_balance(:'kim');
ROLLBACK;
SELECT credit_balance(:'kim');
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT allowed FROM consume_usage(:'kim', 'clip');
SELECT allowed, remaining FROM spend_credits(:'kim', 5);
COMMIT;
SELECT credit_balance(:'kim');
SELECT * FROM reconcile_usage();

-- ---- what was tampered with is found; history cannot be ----

UPDATE credit_ledger SET amount = 1;
DELETE FROM credit_ledger;
TRUNCATE credit_ledger;
BEGIN;
UPDATE credit_grants SET remaining = remaining + 1 WHERE user_id = :'kim' AND remaining > 0;
UPDATE credit_accounts SET spent = spent + 2 WHERE user_id = :'joe';
UPDATE credit_accounts SET owed = owed - 3, earned = 0 WHERE user_id = :'hal';
DELETE FROM credit_grants WHERE user_id = :'ida';
SELECT right(user_id::text, 1) AS who, limit_type, window_start, counted, recorded FROM reconcile_usage() ORDER BY 1, 4, 5;
ROLLBACK;
BEGIN;
ALTER TABLE credit_ledger DISABLE TRIGGER history_is_kept;
UPDATE credit_ledger SET amount = amount + 1 WHERE user_id = :'dan' AND action = 'spend';
SELECT right(user_id::text, 1) AS who, counted, recorded FROM reconcile_usage() ORDER BY 2, 3;
SELECT object::text, problem FROM usage_security_check() WHERE object::text ~ 'credit';
ROLLBACK;

-- ---- bad values ----

SELECT grant_credits(NULL, 1);
SELECT grant_credits(:'ann', NULL);
SELECT grant_credits(:'ann', 0);
SELECT grant_credits(:'ann', -1);
SELECT grant_credits(:'ann', 'NaN');
SELECT grant_credits(:'ann', 1e29);
SELECT grant_credits(:'ann', 0.0000000001);
SELECT grant_credits(:'ann', 1, NULL);
SELECT grant_credits(:'ann', 1, '');
SELECT grant_credits(:'ann', 1, reference_id => '');
SELECT grant_credits(:'ann', 1, expires_at => '2026-03-23 01:00+00');
SELECT grant_credits(:'ann', 1, expires_at => 'infinity');
SELECT grant_credits(:'ann', 1, effective_at => '2026-03-23 00:59+00');
SELECT grant_credits(:'ann', 1, effective_at => '2026-03-25', expires_at => '2026-03-25');
SELECT grant_credits(:'ann', 1, priority => NULL);
SELECT grant_credits(:'ann', 1, max_rollover => 1);
SELECT grant_credits(:'ann', 1, max_rollover => 1, expires_at => '2026-03-25', rollover_until => '2026-03-25');
SELECT grant_credits(:'ann', 1, max_rollover => -1);
SELECT grant_credits(:'ann', 1, metadata => '[]');
SELECT spend_credits(:'ann', 0);
SELECT spend_credits(NULL, 1);
SELECT refund_credits(:'ann', NULL);
SELECT refund_credits(:'ann', 1, 0);
SELECT set_credit_overdraft(:'ann', -1);
SELECT set_credit_overdraft(:'ann', NULL);
SELECT set_credit_cost('nothing', 1);
SELECT set_credit_cost('clip', -1);
SELECT set_credit_cost(NULL, 1);
SELECT set_credit_refill('nothing', 1);
SELECT set_credit_refill('free', 1, '2 days');
SELECT set_credit_refill('free', 1, NULL);
SELECT set_credit_refill('free', 1, max_rollover => NULL);
SELECT set_credit_refill('free', -1);
SELECT credit_balance(NULL);
SELECT credit_balance(:'ann', 'infinity');
SELECT credit_balance(:'ann', '-infinity');
\set VERBOSITY terse
INSERT INTO credit_costs VALUES ('clip', 1);
INSERT INTO credit_costs VALUES ('idea', -1);
INSERT INTO credit_costs VALUES ('idea', 'NaN');
INSERT INTO credit_costs VALUES ('nothing', 1);
INSERT INTO credit_refills VALUES ('free', 1, '2 days');
INSERT INTO credit_refills VALUES ('free', 1, '24 hours');
INSERT INTO credit_refills VALUES ('free', 1, '1 day', -1);
INSERT INTO credit_refills VALUES ('nothing', 1);

-- A refill does not reach back into what was: not in another zone, whose day began before, nor with a plan that is new
\set ian '00000000-0000-0000-0000-0000000000aa'
\set jon '00000000-0000-0000-0000-0000000000ab'
SET usage_tracking.clock = '2026-04-10 12:00+00';
SELECT set_credit_refill('free', 100);
SELECT set_user_clock(:'ian', 'Pacific/Auckland', '2026-04-01 00:00+00');
SELECT allowed FROM spend_credits(:'ian', 60);
SELECT set_user_clock(:'ian', 'Pacific/Honolulu');
SET usage_tracking.clock = '2026-04-11 12:30+00';
SELECT credit_balance(:'ian'), credit_balance(:'ian', '2026-04-11 11:59+00'), credit_balance(:'ian', '2026-04-11 12:00+00');
SELECT allowed FROM spend_credits(:'ian', 1);
SELECT credit_balance(:'ian', '2026-04-11 11:59+00'), credit_balance(:'ian', '2026-04-11 12:00+00');
SELECT action, amount, balance_after, effective_at FROM credit_ledger WHERE user_id = :'ian' ORDER BY id;
SELECT set_user_plan(:'jon', 'team'), grant_credits(:'jon', 7) > 0;
SELECT set_credit_refill('team', 50, '1 month');
SET usage_tracking.clock = '2026-04-11 14:00+00';
SELECT credit_balance(:'jon'), credit_balance(:'jon', '2026-04-11 12:29+00'), allowed FROM spend_credits(:'jon', 1);
SELECT action, amount, balance_after, effective_at FROM credit_ledger WHERE user_id = :'jon' ORDER BY id;
SELECT set_credit_refill('team', NULL), set_credit_refill('free', NULL);

-- Who goes, goes from here too
SELECT erase_user(:'kim');
SELECT count(*) FROM credit_ledger WHERE user_id = :'kim';
SELECT count(*) FROM credit_accounts WHERE user_id = :'kim';
SELECT * FROM reconcile_usage();

DROP EXTENSION usage_tracking CASCADE;
CREATE EXTENSION usage_tracking;
