/* signups: how do people come and go?
 *
 * Our triggers on the application's users table are all there is: which table
 * is attached, by which columns, is read from them.
 */
CREATE TABLE @extschema@.deleted_users (
    user_id    @user_id_column@ PRIMARY KEY,
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
SET search_path = pg_catalog, pg_temp SET check_function_bodies = on  -- see _record_change()
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

/* ---- leaving ----
 *
 * Totals stay: what a user used goes on to count under a fresh id that is
 * nobody's, in the same windows.  Which id it is is written down nowhere. */

CREATE FUNCTION @extschema@._fresh_user_id() RETURNS @user_id@
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    digits text := replace(gen_random_uuid()::text, '-', '');
BEGIN
    RETURN (CASE '@user_id@'
                WHEN 'uuid' THEN digits
                WHEN 'text' THEN 'anonymous:' || digits
                ELSE (-1 - ('x' || right(digits, 15))::bit(60)::bigint)::text  -- negative: no sequence gives it
            END)::@user_id@;
END
$$;
COMMENT ON FUNCTION @extschema@._fresh_user_id() IS
'Internal: a random user id that is nobody''s';

CREATE FUNCTION @extschema@._lock_out_user(user_id @user_id@) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_lock_out_user';
COMMENT ON FUNCTION @extschema@._lock_out_user(@user_id@) IS
'Internal: waits for a user''s uses in flight and keeps new ones out until the transaction ends';

CREATE FUNCTION @extschema@._user_lives(user_id @user_id@) RETURNS boolean
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_user_lives';
COMMENT ON FUNCTION @extschema@._user_lives(@user_id@) IS
'Internal: whether the user is in the attached table; NULL if none is attached';

CREATE FUNCTION @extschema@._forget_events(user_id @user_id@, erase boolean) RETURNS @user_id@
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_forget_events';
COMMENT ON FUNCTION @extschema@._forget_events(@user_id@, boolean) IS
'Internal: gives a user''s events to a fresh id, without what describes them; returns that id';

CREATE FUNCTION @extschema@._forget_credits(user_id @user_id@, fresh @user_id@) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_forget_credits';
COMMENT ON FUNCTION @extschema@._forget_credits(@user_id@, @user_id@) IS
'Internal: gives a user''s credits and their ledger to a fresh id, without what describes them';

CREATE FUNCTION @extschema@._forget_changes(user_id @user_id@, erase boolean) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_forget_changes';
COMMENT ON FUNCTION @extschema@._forget_changes(@user_id@, boolean) IS
'Internal: takes a user out of the history of changes; what was allowed him stays under a fresh id of its own, unless it is erased';

/* Every table that names users has its line here; test/pgtap/privacy.sql looks
 * whether one is missing. */
CREATE FUNCTION @extschema@._forget_user(user_id @user_id@, erase boolean) RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone  @user_id@ := $1;
    fresh @user_id@;
BEGIN
    LOCK TABLE ONLY @extschema@.stripe_events IN SHARE ROW EXCLUSIVE MODE;  -- none is on its way, which might wait for him
    DELETE FROM @extschema@.usage_imports AS i WHERE i.user_id = gone;  -- before uses are kept out, as an import does
    PERFORM @extschema@._lock_rollups();  -- before he is locked out: a long count may be under way
    LOCK TABLE ONLY @extschema@.usage_events_moving IN ROW EXCLUSIVE MODE;  -- nobody makes copies
    PERFORM @extschema@._lock_out_user(gone);  -- before his rows, like who ends a run or commits
    DELETE FROM @extschema@.usage_runs AS r WHERE r.user_id = gone;
    DELETE FROM @extschema@.usage_reservations AS r WHERE r.user_id = gone;
    DELETE FROM @extschema@.usage_run_deliveries AS d WHERE d.user_id = gone;
    DELETE FROM @extschema@.usage_levels AS l WHERE l.user_id = gone;  -- and his leases
    fresh := @extschema@._forget_events(gone, erase);
    UPDATE @extschema@.usage_counters AS c SET user_id = fresh WHERE c.user_id = gone;
    UPDATE @extschema@.usage_carried AS c SET user_id = fresh WHERE c.user_id = gone;
    PERFORM @extschema@._forget_days(gone, fresh, erase);
    PERFORM @extschema@._forget_credits(gone, fresh);
    DELETE FROM @extschema@.usage_keys AS k WHERE k.user_id = gone;
    DELETE FROM @extschema@.campaigns AS c WHERE c.user_id = gone;
    DELETE FROM @extschema@.usage_alerts AS a WHERE a.user_id = gone;
    UPDATE @extschema@.usage_alerts AS a SET acknowledged_by = NULL
     WHERE a.acknowledged_by = gone AND a.acknowledged_by <> a.user_id;
    DELETE FROM @extschema@.user_limits AS l WHERE l.user_id = gone;
    DELETE FROM @extschema@.user_roles AS r WHERE r.user_id = gone;
    UPDATE @extschema@.user_roles AS r SET granted_by = NULL WHERE r.granted_by = gone;
    PERFORM @extschema@._forget_stripe(gone);
    DELETE FROM @extschema@.user_subscriptions AS s WHERE s.user_id = gone;
    DELETE FROM @extschema@.deleted_users AS d WHERE d.user_id = gone;
    PERFORM @extschema@._forget_changes(gone, erase);  -- the last: it has what was just deleted
END
$$;
COMMENT ON FUNCTION @extschema@._forget_user(@user_id@, boolean) IS
'Internal: takes a user''s id and what describes his usage out of every table; sums stay';

/* A user who came back with his old id is forgiven his mark. */
CREATE FUNCTION @extschema@._forget_if_deleted(user_id @user_id@) RETURNS boolean
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone  @user_id@ := $1;
    what  text;
    lives boolean;
BEGIN
    LOCK TABLE ONLY @extschema@.stripe_events IN SHARE ROW EXCLUSIVE MODE;
    PERFORM @extschema@._lock_out_user(gone);
    SELECT d.on_delete INTO what FROM @extschema@.deleted_users AS d WHERE d.user_id = gone FOR UPDATE;
    IF NOT FOUND THEN
        RETURN true;  -- he signed up again
    END IF;
    lives := @extschema@._user_lives(gone);
    IF lives THEN
        DELETE FROM @extschema@.deleted_users AS d WHERE d.user_id = gone;
    ELSIF NOT lives THEN
        PERFORM @extschema@._forget_user(gone, what = 'erase');
    END IF;
    RETURN lives IS NOT NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._forget_if_deleted(@user_id@) IS
'Internal: anonymizes or erases a marked user who is gone; false if nobody can tell';

CREATE FUNCTION @extschema@._forget_deleted_users(stop_at timestamptz, OUT done bigint, OUT "left" bigint) RETURNS record
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone @user_id@;
BEGIN
    done := 0;
    "left" := 1;
    FOR gone IN SELECT d.user_id FROM @extschema@.deleted_users AS d ORDER BY d.deleted_at, d.user_id LOOP
        EXIT WHEN clock_timestamp() > stop_at;
        BEGIN
            done := done + @extschema@._forget_if_deleted(gone)::integer;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                NULL;  -- in use
            WHEN OTHERS THEN  -- of the application's table, perhaps; others must not wait for it
                RAISE WARNING 'usage of a deleted user could not be removed: %', SQLERRM USING ERRCODE = SQLSTATE;
        END;
    END LOOP;
    SELECT count(*) INTO "left" FROM @extschema@.deleted_users;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    done := 0;
END
$$;
COMMENT ON FUNCTION @extschema@._forget_deleted_users(timestamptz) IS
'Internal: anonymizes or erases the usage of users who were deleted from the attached table';

CREATE FUNCTION @extschema@.erase_user(user_id @user_id@) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_erase_user';
COMMENT ON FUNCTION @extschema@.erase_user(@user_id@) IS
'Takes everything that tells about a user out of every table, at once; sums of usage stay';

/* Whatever table has a column user_id, of rooms to come as well. */
CREATE FUNCTION @extschema@._export_user(user_id @user_id@) RETURNS jsonb
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result   jsonb := jsonb_build_object('user_id', $1);
    relation regclass;
    name     name;
    found    jsonb;
BEGIN
    FOR relation, name IN
        SELECT c.oid, c.relname
          FROM pg_depend AS us
          JOIN pg_depend AS d ON d.refclassid = us.refclassid AND d.refobjid = us.refobjid AND d.deptype = 'e'
           AND d.classid = us.classid
          JOIN pg_class AS c ON c.oid = d.objid AND c.relkind = ANY ('{r,p}') AND NOT c.relispartition
          JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'user_id'
         WHERE us.classid = 'pg_class'::regclass AND us.objid = '@extschema@.usage_events'::regclass AND us.deptype = 'e'
           AND us.refclassid = 'pg_extension'::regclass AND c.oid <> '@extschema@.usage_events_moving'::regclass
         ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT jsonb_agg((to_jsonb(t) - ''{user_id,granted_by,changed_by,changed_role,acknowledged_by}''::text[])'
                       ' #- ''{old,granted_by}'' #- ''{new,granted_by}'') FROM %s AS t WHERE t.user_id = $1', relation)
           INTO found USING $1;
        result := result || jsonb_build_object(name, COALESCE(found, '[]'));
    END LOOP;
    PERFORM @extschema@._events_are_in_place();
    RETURN result;
END
$$;
COMMENT ON FUNCTION @extschema@._export_user(@user_id@) IS
'Internal: every row of a user, by table';

CREATE FUNCTION @extschema@.export_user_data(user_id @user_id@) RETURNS jsonb
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_export_user_data';
COMMENT ON FUNCTION @extschema@.export_user_data(@user_id@) IS
'Everything that is stored about a user: for each table his rows';
