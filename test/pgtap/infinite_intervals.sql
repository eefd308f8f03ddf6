/* infinite_intervals: PostgreSQL 17 has them, 15 cannot read them; neither is a
 * length of ours.
 */
\set ada '''aaaaaaaa-0000-4000-8000-000000000000'''
BEGIN;
CREATE EXTENSION usage_tracking;
SELECT plan(12);

CREATE FUNCTION refused(statement text, code text) RETURNS text LANGUAGE sql AS $$
    SELECT throws_ok(statement, CASE WHEN current_setting('server_version_num')::int >= 170000 THEN code ELSE '22007' END, NULL, statement)
$$;

SELECT refused(format('SELECT define_usage_limit(''forever'', ''photo'', 1, %L, %L)', kind, period), '22023')
  FROM unnest('{calendar,anchored}'::text[]) AS kind, unnest('{infinity,-infinity}'::text[]) AS period;
SELECT define_usage_limit('photos', 'photo', 1, 'anchored', '1 day');
SELECT refused(format('UPDATE usage_limits SET period = %L', period), '22023') FROM unnest('{infinity,-infinity}'::text[]) AS period;
SELECT refused(format('SELECT reserve_usage(%L, ''photo'', expires_in => %L)', :ada, period), '22023')
  FROM unnest('{infinity,-infinity}'::text[]) AS period;
SELECT refused(format('SELECT _usage_window(%L, %L, ''UTC'', ''2026-01-01Z'', ''2026-02-01Z'')', kind, period), '22023')
  FROM unnest('{calendar,anchored}'::text[]) AS kind, unnest('{infinity,-infinity}'::text[]) AS period;
SELECT finish();
ROLLBACK;
