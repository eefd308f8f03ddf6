/* signups: how do people come and go?
 *
 * Our triggers on the application's users table are all there is: which table
 * is attached, by which columns, is read from them.
 */
CREATE TABLE @extschema@.deleted_users (
    user_id    @user_id@ PRIMARY KEY,
    on_delete  text NOT NULL CHECK (on_delete = ANY (ARRAY['anonymize', 'erase'])),
    deleted_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE @extschema@.deleted_users IS
'Users deleted from the attached table whose usage is still to be anonymized or erased';
ALTER TABLE @extschema@.deleted_users ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.deleted_users', '');

CREATE FUNCTION @extschema@._record_signup(user_id @user_id@) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_record_signup';
COMMENT ON FUNCTION @extschema@._record_signup(@user_id@) IS
'Internal: gives a new user his subscription row';

/* Before a trigger of ours, running as the extension's owner, reads a column:
 * of another type it could only be had by a cast, and the owner of that type
 * may have written the cast. */
CREATE FUNCTION @extschema@._check_id_column(relation oid, id_column text) RETURNS void
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    type oid;
    base oid;
BEGIN
    SELECT a.atttypid INTO type
      FROM pg_attribute AS a WHERE a.attrelid = relation AND a.attname = id_column AND a.attnum > 0;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_column',
            MESSAGE = format('column "%s" no longer exists', id_column);
    END IF;
    LOOP
        SELECT t.typbasetype INTO base FROM pg_type AS t WHERE t.oid = type AND t.typtype = 'd';
        EXIT WHEN NOT FOUND;
        type := base;
    END LOOP;
    IF NOT ('@user_id@'::regtype = type
            OR ('@user_id@'::regtype = 'text'::regtype AND type = 'varchar'::regtype)
            OR ('@user_id@'::regtype = 'bigint'::regtype AND type = ANY ('{smallint,integer}'::regtype[]))) THEN
        RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch',
            MESSAGE = format('column "%s" no longer has type %s', id_column, '@user_id@');
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._check_id_column(oid, text) IS
'Internal: refuses to read a users table whose id column changed its type';

/* Both triggers find where our functions are from themselves: a name written
 * down could be somebody else's, if our schema was renamed.
 *
 * A sign-up must not fail because of us: whatever goes wrong in here is a
 * warning, and nothing depends on the row.  lock_timeout is the function's own,
 * so that a locked table of ours costs a sign-up no more than that. */
CREATE FUNCTION @extschema@.handle_new_user() RETURNS trigger
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
AS $$
DECLARE
    id   @user_id@;
    home name := (SELECT n.nspname FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
                   JOIN pg_namespace AS n ON n.oid = p.pronamespace
                  WHERE t.tgrelid = TG_RELID AND t.tgname = TG_NAME);
BEGIN
    EXECUTE format('SELECT %I._check_id_column($1, $2)', home) USING TG_RELID, TG_ARGV[0];
    EXECUTE format('SELECT ($1).%I::@user_id@', TG_ARGV[0]) INTO id USING NEW;
    EXECUTE format('SELECT %I._record_signup($1)', home) USING id;
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'sign-up was not recorded for usage tracking: %', SQLERRM
        USING ERRCODE = SQLSTATE, HINT = 'attach_users() adds the missing row.';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.handle_new_user() IS
'Trigger on the attached users table: a new user gets a subscription; never fails';

/* A deletion does fail if its mark cannot be written: a mark lost without a word
 * would leave personal data behind.  TRUNCATE and a changed id are not seen. */
CREATE FUNCTION @extschema@.handle_deleted_user() RETURNS trigger
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id   @user_id@;
    home name := (SELECT n.nspname FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
                   JOIN pg_namespace AS n ON n.oid = p.pronamespace
                  WHERE t.tgrelid = TG_RELID AND t.tgname = TG_NAME);
BEGIN
    EXECUTE format('SELECT %I._check_id_column($1, $2)', home) USING TG_RELID, TG_ARGV[0];
    EXECUTE format('SELECT ($1).%I::@user_id@', TG_ARGV[0]) INTO id USING OLD;
    IF TG_ARGV[1] <> 'keep' THEN
        EXECUTE format('INSERT INTO %I.deleted_users (user_id, on_delete)'
                       ' SELECT $1, $2 WHERE char_length($1::text) BETWEEN 1 AND 255'  -- else nobody can have been he
                       ' ON CONFLICT (user_id) DO NOTHING', home) USING id, TG_ARGV[1];
    END IF;
    EXECUTE format('DELETE FROM %I.user_roles AS r WHERE r.user_id = $1', home) USING id;  -- his token may outlive him
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.handle_deleted_user() IS
'Trigger on the attached users table: takes the roles of a deleted user and marks his usage to be anonymized or erased';

CREATE FUNCTION @extschema@.attach_users(
    users regclass, id_column name DEFAULT 'id', email_column name DEFAULT 'email',
    on_delete text DEFAULT 'anonymize') RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_attach_users';
COMMENT ON FUNCTION @extschema@.attach_users(regclass, name, name, text) IS
'Names the application''s users table: sign-ups get a subscription, users there are backfilled; returns how many were';

CREATE FUNCTION @extschema@.detach_users() RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_detach_users';
COMMENT ON FUNCTION @extschema@.detach_users() IS
'Takes our triggers off the attached users table; usage stays';

CREATE FUNCTION @extschema@.make_admin_by_email(email text) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_make_admin_by_email';
COMMENT ON FUNCTION @extschema@.make_admin_by_email(text) IS
'Gives role admin to the one user of the attached table with this email address, in whatever case';
