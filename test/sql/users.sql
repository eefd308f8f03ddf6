/* users: who is it?
 *
 * Identity comes from settings, in the order usage_tracking.identity lists them;
 * what is not an id is nobody.  Roles come from user_roles and nowhere else.
 */
SET TimeZone = 'UTC';
\set ON_ERROR_ROLLBACK on
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' | '
\pset null -
\set ann '00000000-0000-0000-0000-00000000000a'
\set bob '00000000-0000-0000-0000-00000000000b'
\set cat '00000000-0000-0000-0000-00000000000c'
BEGIN;
CREATE ROLE regress_ut_user;
GRANT USAGE ON SCHEMA public TO regress_ut_user;
GRANT EXECUTE ON FUNCTION current_user_id(), is_admin(uuid), has_role(uuid, text), get_user_roles(uuid),
                          grant_role(uuid, text), revoke_role(uuid, text) TO regress_ut_user;
CREATE FUNCTION pg_temp.who(claims text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('request.jwt.claims', claims, true);
    RETURN coalesce('...' || right(current_user_id()::text, 1), 'nobody');
END $$;

-- Nobody, unless a setting says who
SELECT current_user_id();
SET usage_tracking.user_id = '00000000-0000-0000-0000-00000000000A';
SELECT current_user_id();
RESET usage_tracking.user_id;

-- A token says who by its outermost "sub", once; whatever is wrong with it, it is nobody and no error
SELECT claims, pg_temp.who(claims) FROM (VALUES
    ('{"sub": "00000000-0000-0000-0000-00000000000a"}'),
    ('{"role": "authenticated", "sub": "00000000-0000-0000-0000-00000000000a", "aud": ["x"]}'),
    ('{"sub": "00000000-0000-0000-0000-00000000000A"}'),
    (''), ('{}'), ('[]'), ('null'), ('"00000000-0000-0000-0000-00000000000a"'), ('not json'), ('{"sub": "00000000'),
    ('{"sub": null}'), ('{"sub": 10}'), ('{"sub": ""}'), ('{"sub": {"sub": "00000000-0000-0000-0000-00000000000a"}}'),
    ('{"sub": ["00000000-0000-0000-0000-00000000000a"]}'), ('[{"sub": "00000000-0000-0000-0000-00000000000a"}]'),
    ('{"user_metadata": {"sub": "00000000-0000-0000-0000-00000000000a"}}'),
    ('{"sub": "00000000-0000-0000-0000-00000000000a"'), ('{"sub": "00000000-0000-0000-0000-00000000000a"} {}')
    ) AS v (claims);
SELECT 'huge', pg_temp.who(format('{"x": "%s", "sub": "%s"}', repeat('x', 1000000), :'ann'));
SELECT 'deep', pg_temp.who(format('{"x": %s%s, "sub": "%s"}', repeat('[', 100000), repeat(']', 100000), :'ann'));

-- The first source that is set decides, even if it holds no id
SET request.jwt.claims = '{"sub": "00000000-0000-0000-0000-00000000000a"}';
SET usage_tracking.user_id = '00000000-0000-0000-0000-00000000000b';
SELECT current_user_id();
SELECT set_config('usage_tracking.user_id', repeat('x', 256), false) <> '' AS set;
SELECT current_user_id();
SET usage_tracking.identity = 'jwt';
SELECT current_user_id();
SET usage_tracking.identity = 'setting, jwt';
SET usage_tracking.user_id_setting = 'app.user_id';
SELECT current_user_id();
SET app.user_id = '00000000-0000-0000-0000-00000000000c';
SELECT current_user_id();
SET usage_tracking.identity = '';
SELECT current_user_id();
RESET usage_tracking.identity;
RESET usage_tracking.user_id;
RESET request.jwt.claims;

-- Only whom it is granted to may set it: what an end user sets is nothing
SET LOCAL ROLE regress_ut_user;
SET usage_tracking.user_id = '00000000-0000-0000-0000-00000000000a';
SET usage_tracking.identity = 'setting';
RESET ROLE;

-- Roles: given once, by whom, taken again
SELECT grant_role(:'ann', 'admin');
SELECT grant_role(:'ann', 'admin');
SET usage_tracking.user_id = :'ann';
SELECT grant_role(:'bob', 'support');
SELECT right(user_id::text, 1), role, right(granted_by::text, 1) FROM user_roles ORDER BY user_id, role;
SELECT has_role(:'bob', 'support'), has_role(:'bob', 'admin'), has_role(:'cat', 'support'), has_role(NULL, 'admin');
SELECT is_admin(), is_admin(:'ann'), is_admin(:'bob'), is_admin(NULL);
SELECT grant_role(:'bob', 'editor');
SELECT role, granted_at <= clock_timestamp() FROM get_user_roles(:'bob');
SELECT revoke_role(:'bob', 'editor');
SELECT get_user_roles(:'cat');
SELECT get_user_roles(NULL);
SELECT revoke_role(:'bob', 'support');
SELECT revoke_role(:'bob', 'support');
SELECT has_role(:'bob', 'support');

-- There is always an admin left
SELECT revoke_role(:'ann', 'admin');
\echo :LAST_ERROR_SQLSTATE
SELECT grant_role(:'bob', 'admin');
SELECT revoke_role(:'ann', 'admin');
SELECT is_admin(), is_admin(:'bob');

-- In a role of end users: about oneself, or as an admin about all
SET LOCAL ROLE regress_ut_user;
SELECT current_user_id(), is_admin(), has_role(:'ann', 'support');
SELECT role FROM get_user_roles(:'ann');
SELECT get_user_roles(:'bob');
\echo :LAST_ERROR_SQLSTATE
SELECT is_admin(:'bob');
\echo :LAST_ERROR_SQLSTATE
SELECT has_role(:'cat', 'support');
\echo :LAST_ERROR_SQLSTATE
SELECT grant_role(:'ann', 'admin');
\echo :LAST_ERROR_SQLSTATE
SELECT revoke_role(:'bob', 'admin');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM user_roles;
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SET usage_tracking.user_id = :'bob';
SET LOCAL ROLE regress_ut_user;
SELECT is_admin(), is_admin(:'ann'), has_role(:'cat', 'support');
SELECT grant_role(:'cat', 'support');
SELECT has_role(:'cat', 'support');

-- What a token says about roles counts for nothing, and nobody is no admin
RESET ROLE;
SET usage_tracking.user_id = '';
SET request.jwt.claims = '{"sub": "00000000-0000-0000-0000-00000000000a", "role": "service_role", "app_metadata": {"role": "admin"}}';
SET LOCAL ROLE regress_ut_user;
SELECT is_admin();
SELECT grant_role(:'ann', 'admin');
\echo :LAST_ERROR_SQLSTATE
RESET request.jwt.claims;
SELECT is_admin();
SELECT grant_role(:'ann', 'admin');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- Names of roles are plain
\set VERBOSITY terse
SELECT grant_role(:'ann', 'Super User');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
