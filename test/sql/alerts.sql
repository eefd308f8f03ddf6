/* alerts: who should know?
 *
 * Which uses raise which alerts, who sees and acknowledges them.  What many
 * sessions do at once is told in test/specs/alert_at_once.spec and
 * test/stress/alerts.c.
 */
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET usage_tracking.clock = '2026-03-10 12:00+00';
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set cat '00000000-0000-0000-0000-00000000000c'
\set root '00000000-0000-0000-0000-00000000000d'
CREATE VIEW raised AS
SELECT right(user_id::text, 1) AS who, limit_type, to_char(window_start, 'MM-DD') AS since, threshold, used, max_usage, event_id IS NOT NULL AS by_one_use
  FROM usage_alerts WHERE kind = 'threshold';
CREATE FUNCTION news(OUT news text) RETURNS SETOF text LANGUAGE sql AS $$
    WITH seen AS (UPDATE usage_alerts SET acknowledged_at = 'infinity' WHERE acknowledged_at IS NULL RETURNING *)
    SELECT format('%s: %s%% of %s with %s', right(user_id::text, 1), threshold, limit_type, used) FROM seen ORDER BY id
$$;
SELECT define_usage_limit('videos_daily', 'video', 10);

-- By default at 80 and at 100 percent, once each, by the use that ends there
SELECT track_usage(:'ann', 'video', 7.999999999) IS NULL;
SELECT * FROM raised;
SELECT track_usage(:'ann', 'video', 0.000000001) IS NULL;
SELECT * FROM raised;
SELECT a.event_id = e.id AS its_use, a.raised_at, a.window_start, a.window_end, a.limit_id = l.limit_id AS its_limit, a.id > 0 AS has_id
  FROM usage_alerts AS a JOIN usage_limits AS l USING (limit_type) JOIN usage_events AS e ON e.quantity = 0.000000001;
SELECT track_usage(:'ann', 'video'), track_usage(:'ann', 'video') \g /dev/null
SELECT track_usage(:'ann', 'video') \g /dev/null
SELECT * FROM raised ORDER BY threshold;
SELECT * FROM news();
-- One use may do both
SELECT allowed FROM consume_usage(:'bob', 'video', 10);
SELECT * FROM news();
-- What is refused, reserved, looked at or replayed raises nothing; a commit does
SELECT allowed, reason FROM consume_usage(:'cat', 'video', 11);
SELECT allowed FROM reserve_usage(:'cat', 'video', 9);
SELECT allowed FROM check_usage_limit(:'cat', 'video', 9);
SELECT * FROM news();
SELECT used FROM commit_usage(:'cat', (SELECT max(id) FROM usage_reservations));
SELECT * FROM news();

-- In the next window again, and in an earlier one as well
SET usage_tracking.clock = '2026-03-11 12:00+00';
SELECT allowed FROM consume_usage(:'ann', 'video', 9);
SELECT track_usage(:'ann', 'video', 9, occurred_at => '2026-03-08') \g /dev/null
SELECT * FROM raised WHERE who = 'a' ORDER BY since, threshold;
SELECT * FROM news();

-- With its transaction or not at all
SET usage_tracking.clock = '2026-03-12 12:00+00';
BEGIN;
SELECT allowed FROM consume_usage(:'ann', 'video', 9);
ROLLBACK;
SELECT * FROM news();
BEGIN;
SELECT allowed FROM consume_usage(:'ann', 'video', 9);
SELECT * FROM news();
COMMIT;
SELECT * FROM news();
-- With its subtransaction
BEGIN;
SELECT allowed FROM consume_usage(:'bob', 'video', 8);
SAVEPOINT one;
SELECT allowed FROM consume_usage(:'bob', 'video', 2);
SAVEPOINT two;
SELECT allowed FROM consume_usage(:'cat', 'video', 8);
RELEASE two;
ROLLBACK TO one;
SAVEPOINT three;
SELECT allowed FROM consume_usage(:'root', 'video', 8);
SAVEPOINT four;
RELEASE three;
COMMIT;
SELECT * FROM news();
-- What was undone is no reason not to raise it later in the transaction
BEGIN;
SAVEPOINT one;
SELECT allowed FROM consume_usage(:'cat', 'video', 9);
ROLLBACK TO one;
SELECT allowed FROM consume_usage(:'cat', 'video', 8.5);
COMMIT;
SELECT * FROM news();
-- In a procedure that commits, in a batch, at other isolation levels, made read only afterwards
SET usage_tracking.clock = '2026-03-13 12:00+00';
CREATE PROCEDURE use_and_commit() LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..4 LOOP
        PERFORM consume_usage('00000000-0000-0000-0000-00000000000a', 'video', 2.5);
        IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
    END LOOP;
    PERFORM consume_usage('00000000-0000-0000-0000-00000000000a', 'video', 3);
    COMMIT;
    PERFORM consume_usage('00000000-0000-0000-0000-00000000000b', 'video', 8);
    ROLLBACK;
END $$;
CALL use_and_commit();
SELECT * FROM news();
SELECT * FROM track_usage_batch(jsonb_build_array(
    jsonb_build_object('user_id', :'bob', 'usage_type', 'video', 'quantity', 5),
    jsonb_build_object('user_id', :'cat', 'usage_type', 'video', 'quantity', 8, 'idempotency_key', 'k'),
    jsonb_build_object('user_id', :'bob', 'usage_type', 'video', 'quantity', 4),
    jsonb_build_object('user_id', :'bob', 'usage_type', 'video', 'quantity', 7, 'occurred_at', '2026-03-09'),
    jsonb_build_object('user_id', :'bob', 'usage_type', 'video', 'quantity', 3, 'occurred_at', '2026-03-09 23:00')));
SELECT * FROM raised WHERE NOT by_one_use ORDER BY who, since, threshold;
SELECT * FROM news();
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT allowed FROM consume_usage(:'root', 'video', 8);
SET TRANSACTION READ ONLY;
COMMIT;
SELECT * FROM news();

-- A commit that fails at the last moment tells nobody, and is not taken for having told
SET usage_tracking.clock = '2026-03-14 00:00+00';
BEGIN;
SELECT allowed FROM consume_usage(:'bob', 'video', 9);
CREATE TEMP TABLE goes (id integer PRIMARY KEY) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE stays (id integer REFERENCES goes);
COMMIT;
SELECT * FROM news();
SELECT allowed FROM consume_usage(:'bob', 'video', 8);
SELECT * FROM news();

-- Corrections raise by adding; what they take back does not un-raise
SET usage_tracking.clock = '2026-03-14 12:00+00';
SELECT adjust_usage(:'ann', 'videos_daily', 9);
SELECT adjust_usage(:'ann', 'videos_daily', 1);
SELECT consume_usage(:'ann', 'video', 8) \g /dev/null
SELECT * FROM news();
SELECT reverse_usage(:'ann', (SELECT max(id) FROM usage_events WHERE quantity = 8));
SELECT adjust_usage(:'ann', 'videos_daily', 10);
SELECT * FROM news();

-- What is counted decides: no alert of an inactive or unlimited limit; of nothing, any use is more than all
SET usage_tracking.clock = '2026-03-15 12:00+00';
SELECT define_usage_limit('videos_daily', 'video', 10, is_active => false);
SELECT track_usage(:'ann', 'video', 10) \g /dev/null
SELECT * FROM news();
SELECT define_usage_limit('videos_daily', 'video', 10);
SELECT set_user_limit(:'ann', 'videos_daily', -1);
SELECT track_usage(:'ann', 'video', 10) \g /dev/null
SELECT * FROM news();
SELECT set_user_limit(:'ann', 'videos_daily', 0);
SELECT track_usage(:'bob', 'video', 0), track_usage(:'ann', 'video', 0) \g /dev/null
SELECT track_usage(:'ann', 'video', 7, status => 'failed') \g /dev/null
SELECT * FROM news();
SELECT track_usage(:'ann', 'video', 0.1) \g /dev/null
SELECT * FROM news();
-- A maximum that changes: the same window, the same alert; whoever is above already is told at his next use
SELECT set_user_limit(:'ann', 'videos_daily', 1000);
SELECT track_usage(:'ann', 'video', 900) \g /dev/null
SELECT * FROM news();
SELECT consume_usage(:'cat', 'video', 5), set_user_limit(:'cat', 'videos_daily', 4) \g /dev/null
SELECT * FROM news();
SELECT track_usage(:'cat', 'video', 1) \g /dev/null
SELECT * FROM news();
-- A soft limit, one that nothing is refused by, a lifetime
SET usage_tracking.enforce_limits = off;
SELECT define_usage_limit('tokens_ever', 'chat', 100, 'lifetime', measure => 'tokens', enforcement => 'soft');
SELECT consume_usage(:'ann', 'chat', tokens => 250) \g /dev/null
RESET usage_tracking.enforce_limits;
SELECT * FROM news();
SELECT window_start, window_end FROM usage_alerts WHERE limit_type = 'tokens_ever' AND threshold = 80;
SET usage_tracking.enabled = off;
SELECT track_usage(:'bob', 'video', 99) IS NULL;
RESET usage_tracking.enabled;
SELECT * FROM news();

-- The setting
SET usage_tracking.clock = '2026-03-16 12:00+00';
SET usage_tracking.alert_thresholds = '';
SELECT track_usage(:'ann', 'video', 10), track_usage(:'bob', 'video', 10) \g /dev/null
SELECT * FROM news();
SET usage_tracking.alert_thresholds = ' 150 , 50.5,100.0';
SELECT track_usage(:'bob', 'video', 5) \g /dev/null
SELECT * FROM news();
SET usage_tracking.alert_thresholds = '80,';
SET usage_tracking.alert_thresholds = ',80';
SET usage_tracking.alert_thresholds = '0';
SET usage_tracking.alert_thresholds = '80 100';
SET usage_tracking.alert_thresholds = '-80';
SET usage_tracking.alert_thresholds = '8e1';
SET usage_tracking.alert_thresholds = '80.';
SET usage_tracking.alert_thresholds = '80%';
SET usage_tracking.alert_thresholds = '1234567890';
SHOW usage_tracking.alert_thresholds;
RESET usage_tracking.alert_thresholds;

-- Rules: for every limit without rules of its own, for one; an inactive one raises nothing
SET usage_tracking.clock = '2026-03-17 12:00+00';
SELECT define_usage_limit('songs_daily', 'song', 10);
SELECT define_usage_alert('videos_daily', 50, description => 'half');
SELECT xmin AS before FROM usage_alert_rules \gset
SELECT define_usage_alert('videos_daily', 50.0, description => 'half');
SELECT xmin = :before AS untouched FROM usage_alert_rules;
SELECT track_usage(:'bob', 'video', 9), track_usage(:'bob', 'song', 9) \g /dev/null
SELECT * FROM news();
SELECT define_usage_alert(NULL, 30), define_usage_alert(NULL, 90);
SELECT define_usage_alert('videos_daily', 50, '1 hour', false);
SELECT limit_type, threshold, throttle, is_active, description FROM usage_alert_rules ORDER BY limit_type, threshold;
SELECT track_usage(:'cat', 'video', 9), track_usage(:'cat', 'song', 9) \g /dev/null
SELECT * FROM news();
-- A new rule is for those who are above already, at their next use
SELECT define_usage_alert('songs_daily', 95.5);
SELECT track_usage(:'cat', 'song', 0.55) \g /dev/null
SELECT * FROM news();
-- In a transaction that makes it; taken back with it
BEGIN;
SELECT define_usage_alert('songs_daily', 10);
SELECT track_usage(:'ann', 'song', 1) \g /dev/null
ROLLBACK;
SELECT track_usage(:'ann', 'song', 1) \g /dev/null
SELECT * FROM news();
SELECT table_name, action, new ->> 'limit_type' AS limit_type, new ->> 'threshold' AS threshold, old ->> 'is_active' AS was, new ->> 'is_active' AS is
  FROM usage_changes WHERE table_name = 'usage_alert_rules' ORDER BY id;
DELETE FROM usage_alert_rules;
-- Rules that are none
SELECT define_usage_alert('songs', 80);
SELECT define_usage_alert('songs_daily', 0);
SELECT define_usage_alert('songs_daily', -80);
SELECT define_usage_alert('songs_daily', NULL);
SELECT define_usage_alert('songs_daily', 80, '0');
SELECT define_usage_alert('songs_daily', 80, '1 month -30 days');
SELECT define_usage_alert('songs_daily', 80, '101 years');
SELECT define_usage_alert('songs_daily', 80, is_active => NULL);
INSERT INTO usage_alert_rules VALUES ('songs_daily', 0);
INSERT INTO usage_alert_rules VALUES ('songs_daily', 'NaN');
INSERT INTO usage_alert_rules VALUES ('songs_daily', 80, '-1 hour');
INSERT INTO usage_alert_rules VALUES ('songs', 80);
INSERT INTO usage_alert_rules VALUES (NULL, 80), (NULL, 80.00);

-- Throttled: not within so long of the last one, of the same user, limit and threshold
SELECT define_usage_limit('songs_hourly', 'song', 10, 'calendar', '1 hour');
SELECT define_usage_alert('songs_hourly', 80, '90 minutes'), define_usage_alert('songs_hourly', 100), define_usage_alert('songs_daily', 100000);
SET usage_tracking.clock = '2026-03-18 10:30+00';
SELECT track_usage(:'ann', 'song', 10) \g /dev/null
SET usage_tracking.clock = '2026-03-18 11:00+00';
SELECT track_usage(:'ann', 'song', 10), track_usage(:'bob', 'song', 9) \g /dev/null
SELECT * FROM news();
SET usage_tracking.clock = '2026-03-18 11:59:59.999999+00';
SELECT track_usage(:'ann', 'song', 1) \g /dev/null
SELECT * FROM news();
-- The first use after that raises what is due
SET usage_tracking.clock = '2026-03-18 12:00+00';
SELECT track_usage(:'ann', 'song', 1, occurred_at => '2026-03-18 11:30') \g /dev/null
SELECT track_usage(:'ann', 'song', 9), track_usage(:'bob', 'song', 9) \g /dev/null
SELECT * FROM news();
SELECT to_char(window_start, 'HH24') AS hour, threshold, to_char(raised_at, 'HH24:MI') AS raised FROM usage_alerts
 WHERE limit_type = 'songs_hourly' AND user_id = :'ann' ORDER BY raised_at, 1, threshold;

-- A throttle that is lifted keeps nothing back any more
SET usage_tracking.clock = '2026-03-18 13:00+00';
SELECT track_usage(:'ann', 'song', 9) \g /dev/null
SELECT * FROM news();
SELECT define_usage_alert('songs_hourly', 80);
SELECT track_usage(:'ann', 'song', 0.5) \g /dev/null
SELECT * FROM news();
SELECT define_usage_alert('songs_hourly', 80, '90 minutes');
SET usage_tracking.clock = '2026-03-18 12:00+00';

-- An alert that is removed is raised again; one of somebody who was erased is not
DELETE FROM usage_alerts WHERE user_id = :'bob';
SELECT track_usage(:'bob', 'song', 1) \g /dev/null
SELECT * FROM news();
BEGIN;
SELECT track_usage(:'root', 'song', 10) \g /dev/null
SELECT erase_user(:'root');
COMMIT;
SELECT count(*) FROM usage_alerts WHERE user_id = :'root' OR limit_type = 'songs_hourly' AND user_id NOT IN (:'ann', :'bob', :'cat');
-- A session that knows an alert knows when it goes with its user, who may come back
SELECT track_usage(:'bob', 'song', 1) \g /dev/null
SELECT erase_user(:'bob');
SELECT track_usage(:'bob', 'song', 8) \g /dev/null
SELECT * FROM news();
-- In a transaction that drops the extension there is nothing to raise
BEGIN;
SELECT track_usage(:'cat', 'song', 10) \g /dev/null
DROP VIEW raised;
DROP FUNCTION news;
DROP EXTENSION usage_tracking;
SAVEPOINT one;
CREATE EXTENSION usage_tracking;
ROLLBACK TO one;
CREATE EXTENSION usage_tracking;
COMMIT;
SELECT count(*) FROM usage_alerts;

-- Unusual use, once a day (what is announced: test/specs/alert_at_once.spec)
SELECT define_usage_limit('videos_daily', 'video', 10);
SELECT track_usage(:'ann', 'video', 9) \g /dev/null
SELECT _raise_unusual_use(:'ann', 'video', '2026-03-18', 9, 2.5);
SELECT _raise_unusual_use(:'ann', 'video', '2026-03-18', 10, 2.5);
SELECT _raise_unusual_use(:'ann', 'video', '2026-03-19', 9, 2.5), _raise_unusual_use(:'bob', 'video', '2026-03-18', 9, 2.5);
SET usage_tracking.alert_channel = 'a name that is longer than any channel may be, which is 63 bytes';
SELECT id, kind, usage_type, day, used, expected FROM usage_alerts ORDER BY id;

-- Pages, the newest first
SELECT id, kind, limit_type, window_start, window_end, threshold, usage_type, day, used, max_usage, expected, event_id, raised_at, acknowledged_at
  FROM get_usage_alerts(:'ann');
SELECT id FROM get_usage_alerts(:'ann', max_rows => 2);
SELECT id FROM get_usage_alerts(:'ann', before_id => 2, max_rows => 2);
SELECT define_usage_limit('videos_ever', 'video', 1, 'lifetime', NULL);
SELECT track_usage(:'cat', 'video') \g /dev/null
SELECT id, limit_type, window_start, window_end FROM get_usage_alerts(:'cat') ORDER BY id;
SELECT get_usage_alerts(:'ann', max_rows => 0);
SELECT get_usage_alerts(:'ann', max_rows => 1001);
SELECT get_usage_alerts(:'ann', NULL);

-- Acknowledged by the user himself, an admin or a server; the first one counts
CREATE ROLE regress_ut_alerts;
SELECT grant_usage_access('regress_ut_alerts'), grant_role(:'root', 'admin');
SET usage_tracking.user_id = :'ann';
SET ROLE regress_ut_alerts;
SELECT id FROM get_usage_alerts(:'ann', open_only => true);
SELECT acknowledge_usage_alert(:'ann', 1);
SELECT id FROM get_usage_alerts(:'ann', open_only => true);
SELECT acknowledge_usage_alert(:'ann', 4);
SELECT acknowledge_usage_alert(:'ann', 99);
SELECT acknowledge_usage_alert(:'ann', NULL);
SELECT acknowledge_usage_alert(:'bob', 4);
SELECT acknowledge_usage_alert('00000000-0000-0000-0000-0000000000ff', 99);
SELECT get_usage_alerts(:'bob');
SELECT define_usage_alert('videos_daily', 50);
SELECT id, user_id = :'ann' AS own FROM usage_alerts ORDER BY id;
SELECT acknowledged_by FROM usage_alerts;
INSERT INTO usage_alerts (user_id) VALUES (:'ann');
UPDATE usage_alerts SET acknowledged_at = NULL;
DELETE FROM usage_alerts;
SELECT FROM usage_alert_rules;
RESET ROLE;
SET usage_tracking.user_id = :'root';
SET usage_tracking.clock = '2026-03-18 13:00+00';
SET ROLE regress_ut_alerts;
SELECT count(*) FROM usage_alerts;
SELECT acknowledge_usage_alert(:'ann', 1), acknowledge_usage_alert(:'bob', 5);
SELECT id FROM get_usage_alerts(:'bob');
SELECT define_usage_alert('videos_daily', 50);
RESET ROLE;
RESET usage_tracking.user_id;
SELECT acknowledge_usage_alert(:'ann', 2);
SELECT id, acknowledged_at, acknowledged_by FROM usage_alerts WHERE acknowledged_at IS NOT NULL ORDER BY id;

-- Exported without who acknowledged it; of who goes, nothing is left
SELECT a - 'raised_at' FROM jsonb_array_elements(export_user_data(:'bob') -> 'usage_alerts') AS a;
SELECT erase_user(:'root');
SELECT id, acknowledged_at, acknowledged_by FROM usage_alerts WHERE acknowledged_at IS NOT NULL ORDER BY id;
SELECT erase_user(:'ann');
SELECT user_id, count(*) FROM usage_alerts GROUP BY 1 ORDER BY 1;

-- Kept for so long; not removed while its window can still be used
SELECT set_config('usage_tracking.clock', '2027-04-22 12:00+00', false);
SELECT done FROM usage_maintenance(600) WHERE task = 'alerts';
SET usage_tracking.clock = '2027-04-23 12:00+00';
SET usage_tracking.alert_retention = 0;
SELECT done FROM usage_maintenance(600) WHERE task = 'alerts';
RESET usage_tracking.alert_retention;
SHOW usage_tracking.alert_retention;
SELECT done FROM usage_maintenance(600) WHERE task = 'alerts';
SELECT limit_type, threshold FROM usage_alerts ORDER BY id;
DELETE FROM usage_limits WHERE limit_type = 'videos_ever';
SELECT done FROM usage_maintenance(600) WHERE task = 'alerts';
SELECT count(*) FROM usage_alerts;

-- Rows that are no alerts
\set VERBOSITY terse
INSERT INTO usage_alerts (user_id, kind, used, raised_at) VALUES (:'ann', 'threshold', 1, now());
INSERT INTO usage_alerts (user_id, kind, used, raised_at, usage_type, day) VALUES (:'ann', 'unusual', 1, now(), 'video', now());
INSERT INTO usage_alerts (user_id, kind, used, raised_at, usage_type, day, expected) VALUES (:'ann', 'rumour', 1, now(), 'video', now(), 1);

DROP EXTENSION usage_tracking CASCADE;
CREATE EXTENSION usage_tracking;
DROP OWNED BY regress_ut_alerts;
DROP ROLE regress_ut_alerts;
DROP PROCEDURE use_and_commit;
