/* What the owner may add to our tables holds for every use.
 *
 * Uses write counters and events without a statement where the table is plain;
 * triggers, constraints, rules and most indexes are kept by statements only.  So
 * whatever makes a table less plain must lead to one, from the next use on.
 * Each command below is undone again. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SELECT no_plan();
SET usage_tracking.clock = '2031-01-15 12:00+00';
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
CREATE TABLE known_types (usage_type text PRIMARY KEY);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'UTTRG', MESSAGE = TG_OP;
END
$$;

/* One use each: Ann's counter stands at 1, Bob's at 2. */
SELECT usage.create_usage_partition('2031-01-01'), usage.define_usage_limit('photos', 'photo', 9, 'lifetime', NULL) \g /dev/null
INSERT INTO usage.usage_counters (user_id, limit_id, window_start, window_end, used)
SELECT u.user_id, l.limit_id, '-infinity', 'infinity', 0
  FROM (VALUES ('aaaaaaaa-0000-0000-0000-000000000000'::uuid), ('bbbbbbbb-0000-0000-0000-000000000000')) AS u (user_id),
       usage.usage_limits AS l;
SELECT usage.consume_usage(u::uuid, 'photo')
  FROM unnest('{aaaaaaaa-0000-0000-0000-000000000000, bbbbbbbb-0000-0000-0000-000000000000, bbbbbbbb-0000-0000-0000-000000000000}'::text[]) AS u \g /dev/null
SELECT results_eq('SELECT used FROM usage.usage_counters ORDER BY user_id', '{1, 2}'::numeric[], 'counters that were there are taken from');
SELECT is_empty('SELECT * FROM usage.reconcile_usage()', 'and agree with the events');
/* With shared memory rows say to which instant they count, and statements keep them. */
SELECT bool_and(counted_to = 'infinity') AS in_rows FROM usage.usage_counters \gset

/* Which statements this session has prepared so far. */
CREATE FUNCTION pg_temp.has_statement(beginning text) RETURNS boolean LANGUAGE sql
RETURN EXISTS (SELECT FROM pg_backend_memory_contexts WHERE name = 'CachedPlanSource' AND starts_with(ident, beginning));

SELECT ok(NOT pg_temp.has_statement('INSERT INTO usage.usage_counters'), 'plain counters take no statement');
SELECT ok(NOT pg_temp.has_statement('INSERT INTO usage.usage_events'), 'plain partitions take no statement');

/* What Ann's next use meets while a command is in force: an SQLSTATE, or the
 * value of an expression over her counter and her last event. */
CREATE FUNCTION pg_temp.outcome(command text, expression text DEFAULT '''done''') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    EXECUTE command;
    PERFORM usage.consume_usage('aaaaaaaa-0000-0000-0000-000000000000', 'photo');
    EXECUTE format('SELECT %s FROM usage.usage_counters AS c JOIN usage.usage_events AS e USING (user_id)'
                   ' WHERE user_id = %L ORDER BY id DESC LIMIT 1', expression, 'aaaaaaaa-0000-0000-0000-000000000000') INTO found;
    RAISE EXCEPTION USING MESSAGE = found, ERRCODE = 'UTEST';
EXCEPTION
    WHEN SQLSTATE 'UTEST' THEN
        RETURN SQLERRM;
    WHEN OTHERS THEN
        RETURN SQLSTATE;
END
$$;

SELECT is(pg_temp.outcome(command, COALESCE(expression, '''done''')), expected, command)
  FROM (VALUES
    /* other storage: what it does on writing, only its own functions know */
    ('CREATE ACCESS METHOD other_heap TYPE TABLE HANDLER heap_tableam_handler;'
     ' ALTER TABLE usage.usage_counters SET ACCESS METHOD other_heap',
     $$pg_temp.has_statement('INSERT INTO usage.usage_counters') OR pg_temp.has_statement('UPDATE usage.usage_counters')$$, 'true'),
    ('CREATE ACCESS METHOD other_heap TYPE TABLE HANDLER heap_tableam_handler;'
     ' ALTER TABLE usage.usage_events_2031_01 SET ACCESS METHOD other_heap',
     $$pg_temp.has_statement('INSERT INTO usage.usage_events')$$, 'true'),
    /* triggers and rules */
    ('CREATE TRIGGER t BEFORE UPDATE ON usage.usage_counters FOR EACH ROW EXECUTE FUNCTION refuse()', NULL, 'UTTRG'),
    ('CREATE TRIGGER t AFTER UPDATE ON usage.usage_counters FOR EACH ROW EXECUTE FUNCTION refuse()', NULL, 'UTTRG'),
    ('CREATE TRIGGER t BEFORE UPDATE ON usage.usage_counters EXECUTE FUNCTION refuse()', NULL, 'UTTRG'),
    ('CREATE TRIGGER t AFTER UPDATE ON usage.usage_counters EXECUTE FUNCTION refuse()', NULL, 'UTTRG'),
    ('CREATE RULE r AS ON UPDATE TO usage.usage_counters DO ALSO INSERT INTO known_types VALUES (''counted'')',
     '(SELECT count(*) FROM known_types)', CASE WHEN :'in_rows' THEN '0A000' ELSE '1' END),
    ('CREATE TRIGGER t BEFORE INSERT ON usage.usage_events FOR EACH ROW EXECUTE FUNCTION refuse()', NULL, 'UTTRG'),
    ('CREATE TRIGGER t AFTER INSERT ON usage.usage_events FOR EACH ROW EXECUTE FUNCTION refuse()', NULL, 'UTTRG'),
    ('CREATE TRIGGER t BEFORE INSERT ON usage.usage_events EXECUTE FUNCTION refuse()', NULL, 'UTTRG'),
    ('CREATE TRIGGER t AFTER INSERT ON usage.usage_events EXECUTE FUNCTION refuse()', NULL, 'UTTRG'),
    ('CREATE TRIGGER t BEFORE INSERT ON usage.usage_events_2031_01 FOR EACH ROW EXECUTE FUNCTION refuse()', NULL, 'UTTRG'),
    ('CREATE TRIGGER t AFTER INSERT ON usage.usage_events_2031_01 FOR EACH ROW EXECUTE FUNCTION refuse()', NULL, 'UTTRG'),
    ('CREATE RULE r AS ON INSERT TO usage.usage_events DO ALSO INSERT INTO known_types VALUES (NEW.usage_type)',
     '(SELECT count(*) FROM known_types)', '1'),
    /* constraints */
    ('ALTER TABLE usage.usage_counters ADD CHECK (used < 2) NOT VALID', NULL, '23514'),
    ('ALTER TABLE usage.usage_events ADD CHECK (event_subtype IS NOT NULL) NOT VALID', NULL, '23514'),
    ('ALTER TABLE usage.usage_events_2031_01 ADD CHECK (event_subtype IS NOT NULL) NOT VALID', NULL, '23514'),
    ('ALTER TABLE usage.usage_events_2031_01 ADD FOREIGN KEY (usage_type) REFERENCES known_types NOT VALID', NULL, '23503'),
    ('SELECT usage.create_usage_partition(''2031-02-01''); SET usage_tracking.clock = ''2031-02-15 12:00+00'';'
     ' ALTER TABLE usage.usage_events_2031_02 ALTER duration_ms SET NOT NULL', NULL, '23502'),
    /* columns */
    ('ALTER TABLE usage.usage_events ADD region text DEFAULT ''eu''', 'region', 'eu'),
    ('ALTER TABLE usage.usage_events ADD region text NOT NULL DEFAULT ''eu''', 'region', 'eu'),
    ('ALTER TABLE usage.usage_events ADD half numeric GENERATED ALWAYS AS (quantity / 2) STORED', 'half = 0.5', 'true'),
    ('ALTER TABLE usage.usage_events ADD region text; ALTER TABLE usage.usage_events DROP region;'
     ' ALTER TABLE usage.usage_events ADD region text', 'region IS NULL AND quantity = 1', 'true'),
    ('ALTER TABLE usage.usage_counters ADD twice numeric GENERATED ALWAYS AS (used * 2) STORED', 'twice = 4', 'true'),
    ('ALTER TABLE usage.usage_counters ADD region text DEFAULT ''eu''', 'c.used || region', '2eu'),
    ('ALTER TABLE usage.usage_counters ADD moved bigint DEFAULT 7; UPDATE usage.usage_counters SET moved = holds;'
     ' ALTER TABLE usage.usage_counters DROP holds; ALTER TABLE usage.usage_counters RENAME moved TO holds', 'c.used || '' '' || c.holds', '2 0'),
    ('ALTER TABLE usage.usage_counters RENAME TO renamed; CREATE VIEW usage.usage_counters AS TABLE usage.renamed', NULL, '55000'),
    ('ALTER TABLE usage.user_limits RENAME TO renamed', NULL, '55000'),
    /* indexes */
    ('CREATE UNIQUE INDEX ON usage.usage_counters (used)', NULL, '23505'),
    ('CREATE UNIQUE INDEX ON usage.usage_counters ((used + 1))', NULL, '23505'),
    ('CREATE UNIQUE INDEX ON usage.usage_counters (used) WHERE used > 1', NULL, '23505'),
    ('CREATE UNIQUE INDEX ON usage.usage_counters (used) WHERE used > 5', NULL, 'done'),
    ('ALTER TABLE usage.usage_counters ADD EXCLUDE USING btree (used WITH =)', NULL, '23P01'),
    ('ALTER TABLE usage.usage_counters ADD UNIQUE (used) DEFERRABLE INITIALLY DEFERRED', NULL, 'done'),
    ('CREATE UNIQUE INDEX ON usage.usage_events_2031_01 ((cost + 1)) WHERE id > 3', NULL, 'done'),
    ('CREATE UNIQUE INDEX ON usage.usage_events_2031_01 ((cost + 1)) WHERE id > 3;'
     ' SELECT usage.consume_usage(''bbbbbbbb-0000-0000-0000-000000000000'', ''photo'')', NULL, '23505'),
    ('CREATE INDEX ON usage.usage_events USING hash (usage_type); CREATE INDEX ON usage.usage_events USING gin (metadata)',
     'c.used', '2'),
    /* what is published must be known on the other side */
    ('ALTER TABLE usage.usage_counters REPLICA IDENTITY NOTHING', NULL, 'done'),
    ('ALTER TABLE usage.usage_counters REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR TABLE usage.usage_counters', NULL, '55000'),
    ('CREATE PUBLICATION p FOR TABLE usage.usage_counters WHERE (used > 0)', NULL, '42P10'),
    /* and without any of it */
    ('SELECT', 'c.used', '2')
  ) AS c (command, expression, expected);

SELECT is_empty('SELECT * FROM usage.reconcile_usage()', 'counters agree with events after all that');

/* What is live is found by index, and without it as well: one place, one film. */
SELECT usage.define_usage_limit('renders', 'render', 1, 'gauge', NULL), usage.define_usage_limit('films', 'film', 1, 'lifetime', NULL) \g /dev/null
SELECT id AS lease FROM usage.acquire_lease('aaaaaaaa-0000-0000-0000-000000000000', 'renders') \gset
SELECT id AS hold FROM usage.reserve_usage('aaaaaaaa-0000-0000-0000-000000000000', 'film') \gset
CREATE FUNCTION pg_temp.allowed() RETURNS boolean[] LANGUAGE sql
RETURN ARRAY[(usage.acquire_lease('aaaaaaaa-0000-0000-0000-000000000000', 'renders')).allowed,
             (usage.consume_usage('aaaaaaaa-0000-0000-0000-000000000000', 'film')).allowed];
SELECT is(pg_temp.allowed(), '{f,f}', 'what is leased and what is reserved is taken');
DROP INDEX usage.usage_leases_live, usage.usage_reservations_held;
SELECT is(pg_temp.allowed(), '{f,f}', 'also where the owner dropped the indexes of both');
SELECT usage.release_lease('aaaaaaaa-0000-0000-0000-000000000000', :lease), usage.release_usage('aaaaaaaa-0000-0000-0000-000000000000', :hold) \g /dev/null
SELECT is(pg_temp.allowed(), '{t,t}', 'until it is given back');
SELECT * FROM finish();
ROLLBACK;
