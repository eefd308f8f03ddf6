/* redacted_metadata: what must not be kept of metadata is not, in no function, at
 * no depth, in no spelling; and what is deep, wide and long does no harm.
 */
BEGIN;
SELECT no_plan();
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SET search_path = usage, public;
SET client_min_messages = warning;
SET usage_tracking.clock = '2026-03-10 12:00+00';
SELECT define_usage_type('image') \g /dev/null

CREATE FUNCTION pg_temp.kept(metadata jsonb, how text DEFAULT 'track_api_usage(%L, ''image'', NULL, ''m'', metadata => %L)') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    EXECUTE format('SELECT ' || how, '00000000-0000-0000-0000-00000000000a', metadata);
    SELECT e.metadata::text INTO found FROM usage_events AS e ORDER BY id DESC LIMIT 1;
    RETURN found;
END $$;
SELECT is(pg_temp.kept(metadata::jsonb), kept, 'of ' || metadata)
  FROM (VALUES ('{"authorization": "x"}', '{"authorization": "[redacted]"}'), ('{"Authorization": "x", "AUTHORIZATION": 7}', '{"AUTHORIZATION": "[redacted]", "Authorization": "[redacted]"}'),
               ('{"x-api-key": "x", "X_Api-Key": "x", "api-key": null}', '{"api-key": "[redacted]", "X_Api-Key": "[redacted]", "x-api-key": "[redacted]"}'),
               ('{"secret": 1, "secret": {"a": 2}}', '{"secret": "[redacted]"}'), ('{"\u0073ecret": 1}', '{"secret": "[redacted]"}'),
               ('{"secret": {"a": [1, {"b": 2}]}, "z": 1}', '{"z": 1, "secret": "[redacted]"}'), ('{"secret": [[1], [2]], "z": [1]}', '{"z": [1], "secret": "[redacted]"}'),
               ('{"secret": {}, "cvv": []}', '{"cvv": "[redacted]", "secret": "[redacted]"}'), ('{"secret": {"secret": {"secret": 1}}}', '{"secret": "[redacted]"}'),
               ('[{"ssn": 1}, [{"ssn": {"a": 1}}, 2], "ssn"]', '[{"ssn": "[redacted]"}, [{"ssn": "[redacted]"}, 2], "ssn"]'),
               ('{"a": {"b": {"c": {"password": "p", "d": 1}}}, "e": null}', '{"a": {"b": {"c": {"d": 1, "password": "[redacted]"}}}, "e": null}'),
               ('{"password": "p", "Password": "q", "PASSWORD": {"r": 1}}', '{"PASSWORD": "[redacted]", "Password": "[redacted]", "password": "[redacted]"}'),
               ('"authorization"', '"authorization"'), ('"secret=7"', '"secret=7"'), ('7', '7'), ('null', 'null'), ('true', 'true'), ('[]', '[]'), ('{}', '{}'), ('["password", "p"]', '["password", "p"]'),
               ('{"": 1}', '{"": 1}'), ('{",": 1}', '{",": 1}'), ('{"secret, cvv": 1}', '{"secret, cvv": 1}'), ('{"passwords": 1}', '{"passwords": 1}'), ('{"passwor": 1}', '{"passwor": 1}'), ('{" password": 1}', '{" password": 1}'),
               ('{"password ": 1}', '{"password ": 1}'), ('{"coo\u212Aie": 1}', '{"coo' || U&'\212A' || 'ie": 1}'), ('{"pass\u00ADword": 1}', '{"pass' || U&'\00AD' || 'word": 1}')) AS v (metadata, kept);
SELECT is(pg_temp.kept('{"Password": "p"}', how), '{"Password": "[redacted]"}', 'by ' || how)
  FROM unnest(ARRAY['consume_usage(%L, ''image'', metadata => %L)', 'require_usage(%L, ''image'', metadata => %L)', 'track_usage(%L, ''image'', metadata => %L)',
                    'track_usage_batch(jsonb_build_array(jsonb_build_object(''user_id'', %L::text, ''usage_type'', ''image'', ''metadata'', %L::jsonb)))',
                    'commit_usage(%1$L, (reserve_usage(%1$L, ''image'')).id, metadata => %2$L)', 'fail_run(%1$L, (start_run(%1$L, ''image'')).id, metadata => %2$L)']) AS how;
/* deep, wide and long: what is kept is short and has no secret, or it is an error that PostgreSQL has for what is too deep */
CREATE FUNCTION pg_temp.kept_or_refused(metadata text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN octet_length(k) > 8300 THEN 'too long' WHEN k ~ 'my own' THEN 'a secret' ELSE 'fine' END FROM pg_temp.kept(metadata::jsonb) AS k;
EXCEPTION WHEN statement_too_complex THEN
    RETURN 'fine';
END $$;
SELECT is(pg_temp.kept_or_refused(metadata), 'fine', format('%s of %s bytes', left(metadata, 20), length(metadata)))
  FROM (VALUES (repeat('{"a":', 10000) || '{"secret": "my own"}' || repeat('}', 10000)), (repeat('[', 10000) || '{"secret": "my own"}' || repeat(']', 10000)),
               (repeat('{"secret":', 10000) || '"my own"' || repeat('}', 10000)), (repeat('{"a":[', 3000) || '{"secret": "my own"}' || repeat(']}', 3000)),
               (repeat('[', 1000) || '{"secret": "my own"}' || repeat(']', 1000)), (repeat('{"a":', 500) || '{"secret": "my own"}' || repeat('}', 500)),
               (repeat('[', 100000)), ('{"secret": "' || repeat('my own', 1000000) || '"}'), ('{"' || repeat('k', 1000000) || '": {"secret": "my own"}}'),
               ((SELECT jsonb_object_agg('key' || n, jsonb_build_object('secret', 'my own')) FROM generate_series(1, 20000) AS n)::text),
               ((SELECT jsonb_agg(jsonb_build_object('secret', 'my own')) FROM generate_series(1, 300) AS n)::text)) AS v (metadata);
SET usage_tracking.redacted_keys = '';
SELECT is(pg_temp.kept('{"password": "p", "": 1}'), '{"": 1, "password": "p"}', 'no keys to redact');
SET usage_tracking.redacted_keys = ' , ,a ,, B,-,';
SELECT is(pg_temp.kept('{"A": 1, "b": 2, "_": 3, "": 4, ",": 5, "c": {"a": 6}}'), '{"": 4, ",": 5, "A": "[redacted]", "_": "[redacted]", "b": "[redacted]", "c": {"a": "[redacted]"}}', 'an untidy list of keys');
RESET usage_tracking.redacted_keys;

SELECT * FROM finish();
ROLLBACK;
