/* users: who is it?
 *
 * Identity comes from settings, rights from privileges and from user_roles;
 * nothing a token claims makes anybody an admin or a server.
 */
CREATE FUNCTION @extschema@.current_user_id() RETURNS @user_id@
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_current_user_id';
COMMENT ON FUNCTION @extschema@.current_user_id() IS
'The user on whose behalf the session acts, or NULL for nobody';

CREATE FUNCTION @extschema@.act_for_any_user() RETURNS void
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_act_for_any_user';
COMMENT ON FUNCTION @extschema@.act_for_any_user() IS
'Does nothing; a role that may execute it is a server role and acts for every user';

CREATE TABLE @extschema@.user_roles (
    user_id    @user_id@ NOT NULL,
    role       text COLLATE "C" NOT NULL
               CHECK (role ~ '^[a-z][a-z0-9_-]*$' AND octet_length(role) <= 63),
    granted_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    granted_by @user_id@,
    PRIMARY KEY (user_id, role)
);
COMMENT ON TABLE @extschema@.user_roles IS
'Which users have which role in the application; role admin may change limits';
ALTER TABLE @extschema@.user_roles ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.user_roles', '');

CREATE FUNCTION @extschema@.has_role(user_id @user_id@, role text) RETURNS boolean
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED COST 50
AS 'MODULE_PATHNAME', 'ut_has_role';
COMMENT ON FUNCTION @extschema@.has_role(@user_id@, text) IS
'Whether the user has this role';

CREATE FUNCTION @extschema@.is_admin(user_id @user_id@ DEFAULT @extschema@.current_user_id()) RETURNS boolean
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED COST 50
AS 'MODULE_PATHNAME', 'ut_is_admin';
COMMENT ON FUNCTION @extschema@.is_admin(@user_id@) IS
'Whether the user, by default the current one, has role admin';

CREATE FUNCTION @extschema@._sees_all_users() RETURNS boolean
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED COST 50
AS 'MODULE_PATHNAME', 'ut_sees_all_users';
COMMENT ON FUNCTION @extschema@._sees_all_users() IS
'Internal: whether the caller is a server role or acts for an admin; used by views and policies';

CREATE FUNCTION @extschema@.grant_role(user_id @user_id@, role text) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_grant_role';
COMMENT ON FUNCTION @extschema@.grant_role(@user_id@, text) IS
'Gives the user a role; the first admin is made by the owner of the database';

CREATE FUNCTION @extschema@.revoke_role(user_id @user_id@, role text) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_revoke_role';
COMMENT ON FUNCTION @extschema@.revoke_role(@user_id@, text) IS
'Takes a role from the user; the last admin keeps his';

/* What every room uses to undo default privileges, on tables made later too. */
CREATE FUNCTION @extschema@._revoke_all_on(relation regclass) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grantee oid;
BEGIN
    FOR grantee IN
        SELECT DISTINCT a.grantee FROM pg_class AS c, aclexplode(c.relacl) AS a
         WHERE c.oid = relation AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON TABLE %s FROM %s', relation,
                       CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END);
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._revoke_all_on(regclass) IS
'Internal: takes back whatever default privileges gave away on a new relation';
