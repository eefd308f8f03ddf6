/* What reviewers found and nothing else tests: each failed before it was mended. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SELECT no_plan();
CREATE SCHEMA usage;

/* A literal without a type would choose these, and they would run as the owner. */
CREATE FUNCTION usage._furnish_partition(text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
CREATE FUNCTION usage._prepare_partitions(a integer, b text, OUT done bigint, OUT "left" bigint) LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
SELECT lives_ok('CREATE EXTENSION usage_tracking SCHEMA usage', 'a planted overload is not called at installation');
CREATE TABLE app_users (id uuid PRIMARY KEY, email text);
SELECT lives_ok('SELECT usage.attach_users(''app_users'')', 'nor by attach_users()');
SELECT ok(relrowsecurity, 'the DEFAULT partition is furnished by ours') FROM pg_class WHERE oid = 'usage.usage_events_default'::regclass;

/* Trigger functions where they do not belong. */
SELECT throws_ok(format('SELECT usage.%I()', f), CASE WHEN p.prolang = 13 THEN '39P01' ELSE '0A000' END, NULL, f || ' called as a function')
  FROM pg_proc AS p, LATERAL (SELECT p.proname AS f) AS n
 WHERE p.pronamespace = 'usage'::regnamespace AND p.prorettype = 'trigger'::regtype;
CREATE TABLE other (a integer);
CREATE FUNCTION pg_temp.attached(f name, level text, moment text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER x %s INSERT ON other FOR EACH %s EXECUTE FUNCTION usage.%I()', moment, level, f);
    INSERT INTO other VALUES (1);
    RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
SELECT is(pg_temp.attached(f, level, moment), '39P01', format('%s attached to another table %s %s', f, moment, level))
  FROM unnest('{_canonical_zone,_limit_changes,_clock_changed}'::name[]) AS f,
       unnest('{ROW,STATEMENT}'::text[]) AS level, unnest('{BEFORE,AFTER}'::text[]) AS moment;

/* Who lives has no mark of deletion. */
INSERT INTO app_users VALUES ('00000000-0000-0000-0000-00000000000d', 'd@example.com');
DELETE FROM app_users;
SELECT is(count(*), 1::bigint, 'a deletion leaves its mark') FROM usage.deleted_users;
SELECT usage.detach_users() \g /dev/null
INSERT INTO app_users VALUES ('00000000-0000-0000-0000-00000000000d', 'd@example.com');
SELECT usage.attach_users('app_users') \g /dev/null
SELECT is_empty('SELECT * FROM usage.deleted_users', 'attach_users() takes back the mark of a user who is there');

/* A trigger of ours that was renamed is still ours. */
ALTER TRIGGER usage_tracking_signup ON app_users RENAME TO renamed;
SELECT is(usage.attach_users('app_users'), 0::bigint, 'a renamed trigger: attached all the same');
SELECT lives_ok('SELECT usage.detach_users()', 'a renamed trigger: detached');
SELECT is_empty('SELECT tgname FROM pg_trigger WHERE tgrelid = ''app_users''::regclass', 'and none is left');

/* An inactive soft limit marks nothing, and does not say it did. */
SELECT usage.define_usage_limit('soft', 'call', 1, enforcement => 'soft', is_active => false) \g /dev/null
SELECT is(reason, 'not_enforced', 'an inactive soft limit that is exceeded') FROM usage.consume_usage('00000000-0000-0000-0000-00000000000d', 'call', 2);
SELECT is(overage, NULL, 'leaves no overage') FROM usage.usage_events;
SELECT * FROM finish();
ROLLBACK;
