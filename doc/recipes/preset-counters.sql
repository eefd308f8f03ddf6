/* preset-counters: how often was each preset used?
 *
 *   psql -v schema=app -f preset-counters.sql
 *
 *   -v role=web      a role of end users that is to use it
 *   -v from=public   a schema with tables presets and preset_usage to take over
 *
 * All or nothing; see preset-counters.md. */
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT x.extnamespace::regnamespace AS usage, format_type(a.atttypid, NULL) AS user_id
  FROM pg_extension AS x
  JOIN pg_class AS c ON c.relnamespace = x.extnamespace AND c.relname = 'usage_events'
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'user_id'
 WHERE x.extname ~ '^usage_tracking' \gset
CREATE SCHEMA IF NOT EXISTS :"schema";
SET LOCAL search_path = :"schema";

/* ---- tables: the application's own, here or taken over ---- */

\if :{?from}
    LOCK TABLE :"from".presets, :"from".preset_usage IN ACCESS EXCLUSIVE MODE;
    DROP TRIGGER IF EXISTS trigger_auto_increment_preset_usage_count ON :"from".preset_usage;
    DROP FUNCTION IF EXISTS :"from".auto_increment_preset_usage_count();
    DROP FUNCTION IF EXISTS :"from".track_preset_usage;
    DROP FUNCTION IF EXISTS :"from".increment_preset_usage;  -- D3-2: counted, too
    DROP INDEX IF EXISTS :"from".idx_preset_usage_daily_unique;
    ALTER TABLE :"from".presets SET SCHEMA :"schema";
    ALTER TABLE :"from".preset_usage SET SCHEMA :"schema";
    CREATE TEMPORARY TABLE old_presets ON COMMIT DROP AS
    SELECT to_jsonb(p) - '{usage_count,last_used_at}'::text[] AS preset FROM presets AS p;
\else
    CREATE TABLE presets (
        id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        name         text NOT NULL,
        usage_count  bigint NOT NULL DEFAULT 0,
        last_used_at timestamptz,
        created_at   timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE presets IS 'Presets, and how often each was used';
    CREATE TABLE preset_usage (
        id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        preset_id  uuid NOT NULL REFERENCES presets ON DELETE CASCADE,
        user_id    :user_id NOT NULL,
        usage_type text NOT NULL,
        usage_data jsonb NOT NULL DEFAULT '{}',
        created_at timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE preset_usage IS 'Every use of a preset';
    ALTER TABLE preset_usage ENABLE ROW LEVEL SECURITY;
    CREATE POLICY preset_usage_select_policy ON preset_usage FOR SELECT
        USING (user_id = (SELECT :usage.current_user_id()) OR (SELECT :usage._sees_all_users()));
    CREATE POLICY preset_usage_insert_policy ON preset_usage FOR INSERT
        WITH CHECK (user_id = (SELECT :usage.current_user_id()) OR (SELECT :usage._sees_all_users()));
\endif
ALTER TABLE preset_usage ADD COLUMN idempotency_key text,
    ADD CONSTRAINT usage_type_is_a_name CHECK (usage_type::text ~ '^[a-z][a-z0-9_.:-]{0,62}$') NOT VALID,
    ADD CONSTRAINT usage_data_is_an_object
        CHECK (jsonb_typeof(usage_data) = 'object' AND octet_length(usage_data::text) <= 8192) NOT VALID,
    ADD CONSTRAINT idempotency_key_is_short CHECK (char_length(idempotency_key) BETWEEN 1 AND 255) NOT VALID;
CREATE UNIQUE INDEX preset_usage_idempotency_key ON preset_usage (user_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX preset_usage_latest ON preset_usage (preset_id, created_at);  -- what is the latest use, when others go?
SELECT format_type(a.atttypid, NULL) AS preset_id FROM pg_attribute AS a
 WHERE a.attrelid = 'presets'::regclass AND a.attname = 'id' \gset
SELECT format_type(a.atttypid, NULL) AS use_id, format_type(b.atttypid, NULL) AS user_id FROM pg_attribute AS a, pg_attribute AS b
 WHERE a.attrelid = 'preset_usage'::regclass AND a.attname = 'id' AND b.attrelid = a.attrelid AND b.attname = 'user_id' \gset

/* ---- counting ---- */

CREATE FUNCTION auto_increment_preset_usage_count() RETURNS bigint
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, :usage, :"schema", pg_temp AS $$
DECLARE
    wrong bigint := attach_usage_tally('presets', 'id', 'usage_count', 'preset_usage', 'preset_id',
        last_used_column => 'last_used_at', used_at_column => 'created_at', user_column => 'user_id');
    made  name := (SELECT max(t.tgname) FROM pg_trigger AS t WHERE t.tgrelid = 'preset_usage'::regclass
                      AND t.tgfoid = '_count_tally'::regproc AND t.tgname ~ '^usage_tally_insert_');
BEGIN
    IF made IS NOT NULL THEN
        EXECUTE format('ALTER TRIGGER %I ON preset_usage RENAME TO trigger_auto_increment_preset_usage_count', made);
    END IF;
    RETURN wrong;
END $$;
COMMENT ON FUNCTION auto_increment_preset_usage_count() IS
'Makes trigger_auto_increment_preset_usage_count, which keeps presets.usage_count; returns how many counts were wrong';
SELECT auto_increment_preset_usage_count() AS corrected;

CREATE FUNCTION keep_usage_count() RETURNS trigger
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_has_role((SELECT c.relowner FROM pg_class AS c WHERE c.oid = TG_RELID), 'USAGE') THEN
        NEW.usage_count := CASE WHEN TG_OP = 'UPDATE' THEN OLD.usage_count ELSE 0 END;
        NEW.last_used_at := CASE WHEN TG_OP = 'UPDATE' THEN OLD.last_used_at END;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION keep_usage_count() IS 'Trigger of presets: nobody but its owner writes what is counted';
CREATE TRIGGER keep_usage_count BEFORE INSERT OR UPDATE OF usage_count, last_used_at ON presets
    FOR EACH ROW EXECUTE FUNCTION keep_usage_count();

CREATE FUNCTION track_preset_usage(
    preset_id :preset_id, usage_type text, usage_data jsonb DEFAULT '{}',
    user_id :user_id DEFAULT :usage.current_user_id()::text:: :user_id, idempotency_key text DEFAULT NULL) RETURNS :use_id
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, :usage, :"schema", pg_temp AS $$
#variable_conflict use_column
DECLARE
    use preset_usage;
BEGIN
    IF ($4::text = current_user_id()::text) IS NOT TRUE AND NOT _sees_all_users() THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = 'permission denied to act for this user';
    END IF;
    INSERT INTO preset_usage (preset_id, user_id, usage_type, usage_data, idempotency_key) VALUES ($1, $4, $2, $3, $5)
        ON CONFLICT (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING RETURNING * INTO use;
    IF NOT FOUND THEN
        SELECT u.* INTO STRICT use FROM preset_usage AS u WHERE u.user_id = $4 AND u.idempotency_key = $5;
        IF (use.preset_id, use.usage_type::text) <> ($1, $2) THEN
            RAISE EXCEPTION USING ERRCODE = 'UT005', MESSAGE = 'idempotency key was used for something else';
        END IF;
    END IF;
    RETURN use.id;
END $$;
COMMENT ON FUNCTION track_preset_usage(:preset_id, text, jsonb, :user_id, text) IS
'Records a use of a preset, once for each idempotency key of a user; returns its id';

CREATE FUNCTION increment_preset_usage(preset_id :preset_id) RETURNS bigint
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE SET search_path = pg_catalog, :"schema", pg_temp AS $$
BEGIN
    RETURN (SELECT p.usage_count FROM presets AS p WHERE p.id = $1);
END $$;
COMMENT ON FUNCTION increment_preset_usage(:preset_id) IS 'How often a preset was used; counts nothing, the trigger has counted';
REVOKE ALL ON FUNCTION auto_increment_preset_usage_count(), keep_usage_count(), increment_preset_usage(:preset_id),
    track_preset_usage(:preset_id, text, jsonb, :user_id, text) FROM PUBLIC;
\if :{?role}
    SELECT :usage.grant_usage_access(:'role');
    GRANT USAGE ON SCHEMA :"schema" TO :"role";
    GRANT SELECT ON presets, preset_usage TO :"role";
    GRANT INSERT (preset_id, user_id, usage_type, usage_data, idempotency_key) ON preset_usage TO :"role";
    SELECT format('GRANT USAGE ON SEQUENCE %s TO %I', i.ids, :'role') FROM pg_get_serial_sequence('preset_usage', 'id') AS i (ids)
     WHERE i.ids IS NOT NULL \gexec
    GRANT EXECUTE ON FUNCTION increment_preset_usage(:preset_id), track_preset_usage(:preset_id, text, jsonb, :user_id, text)
        TO :"role";
\endif

/* ---- moving in: presets are the same but for their counts, and those are the uses there are ---- */

\if :{?from}
    SELECT :usage.prove_same_rows('TABLE old_presets', format('SELECT to_jsonb(p) - $${usage_count,last_used_at}$$::text[] AS preset'
                                  ' FROM %I.presets AS p', :'schema'), 'presets') AS presets,
           :usage.prove_same_rows(format('SELECT preset_id, count(*) AS uses FROM %I.preset_usage GROUP BY preset_id', :'schema'),
                                  format('SELECT id AS preset_id, usage_count AS uses FROM %I.presets WHERE usage_count <> 0',
                                         :'schema'), 'uses of presets') AS used_presets;
\endif
COMMIT;
