/* events: what happened?
 *
 * One row a fact, in the partition of its month or in the DEFAULT partition,
 * exactly as it was told, and never changed again.
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
BEGIN;
SELECT define_usage_type('video');

-- A month's partition is made once, whatever the day and the session's time zone
SELECT create_usage_partition('2026-03-17');
SELECT create_usage_partition('2026-03-01');
SET TimeZone = 'Pacific/Auckland';
SET DateStyle = 'German';
SELECT create_usage_partition('2026-02-01');
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SELECT inhrelid::regclass, pg_get_expr(relpartbound, oid)
  FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'usage_events'::regclass ORDER BY inhrelid::regclass::text COLLATE "C";

-- All partitions are alike: key, index, row security, triggers, no rights for anybody
SELECT relname, relrowsecurity, relacl IS NULL OR NOT EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee <> relowner) AS closed,
       (SELECT string_agg(regexp_replace(indexdef, '^.* USING ', ''), '; ' ORDER BY indexdef) FROM pg_indexes WHERE tablename = relname),
       (SELECT string_agg(tgname, ' ' ORDER BY tgname COLLATE "C") FROM pg_trigger WHERE tgrelid = c.oid)
  FROM pg_class AS c JOIN pg_inherits ON oid = inhrelid WHERE inhparent = 'usage_events'::regclass ORDER BY relname COLLATE "C";
SELECT count(*) AS of_parent FROM pg_index WHERE indrelid = 'usage_events'::regclass;
SELECT count(*) AS foreign_keys FROM pg_constraint WHERE conrelid = 'usage_events'::regclass AND contype = 'f';

-- A fact is kept as told; what was not told is NULL
SELECT track_usage(:'ann', 'video', 1.123456789, 42, 0.000000045, 'error', 'hd', 1500, 'it "failed" '' \ ✗',
                   'film', 'f/1', 'F', '{"b": 1, "a": null}', '2026-02-28 23:59:59.999999+00', 'key-1') AS id \gset
SELECT user_id, usage_type, quantity, tokens, cost, status, event_subtype, duration_ms, error_message,
       resource_type, resource_id, parent_resource_id, metadata, occurred_at, overage FROM usage_events WHERE id = :id;
SELECT recorded_at > '2026-03-10 12:00+00' AS by_the_real_clock, xact_id IS NOT NULL FROM usage_events WHERE id = :id;
SELECT track_usage(:'ann', 'video') - :id AS later_ids_are_higher;
SELECT quantity, tokens, cost, status, event_subtype, duration_ms, error_message, resource_type, resource_id,
       parent_resource_id, metadata, occurred_at FROM usage_events WHERE id > :id;
SELECT recorded_at, function, usage_type, quantity, tokens, occurred_at, event_id = :id FROM usage_keys;

-- No event is refused for want of a month: DEFAULT takes it, and then that month stays there
SET usage_tracking.max_event_age = '400d';
SELECT track_usage(:'ann', 'video', occurred_at => m::timestamptz) > 0
  FROM unnest('{2025-12-31 23:59:59.999999+00,2026-02-01 00:00+00,2026-03-01 00:00+00}'::text[]) AS m;
SELECT tableoid::regclass, occurred_at FROM usage_events ORDER BY occurred_at;
\set VERBOSITY sqlstate
SELECT create_usage_partition('2025-12-01');
\set VERBOSITY default
SELECT create_usage_partition('2025-11-01');

-- Nobody changes or removes history: not the owner, not by way of a partition or of ON CONFLICT
UPDATE usage_events SET quantity = 0;
\echo :LAST_ERROR_SQLSTATE
DELETE FROM usage_events WHERE id = :id;
\echo :LAST_ERROR_SQLSTATE
TRUNCATE usage_events;
\echo :LAST_ERROR_SQLSTATE
UPDATE usage_events_2026_03 SET status = 'failed';
DELETE FROM usage_events_default;
TRUNCATE usage_events_2026_02;
TRUNCATE usage_events_default;
INSERT INTO usage_events_2026_03 SELECT * FROM usage_events_2026_03 LIMIT 1
    ON CONFLICT (user_id, occurred_at, id) DO UPDATE SET quantity = 7;
SELECT count(*), sum(quantity) FROM usage_events;

-- Usage and the application's rows are one commit
CREATE TABLE films (title text);
SAVEPOINT s;
INSERT INTO films VALUES ('lost');
SELECT allowed FROM consume_usage(:'ann', 'video', idempotency_key => 'lost');
ROLLBACK TO s;
INSERT INTO films VALUES ('kept');
SELECT allowed FROM consume_usage(:'ann', 'video', 1, idempotency_key => 'kept');
SELECT (SELECT string_agg(title, ' ') FROM films), count(*) FROM usage_events WHERE occurred_at = '2026-03-10 12:00+00';
SELECT idempotency_key FROM usage_keys ORDER BY idempotency_key;
ROLLBACK;
