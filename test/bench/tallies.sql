/* Uses of presets, as in a guide for such a counter (its row trigger in PL/pgSQL,
 * statement for statement): bare, with that trigger, and with a tally.  The same
 * tables, keys and indexes; 100 presets, of which one is popular.
 */
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET synchronous_commit = off;

SELECT format($$
    CREATE SCHEMA %1$I;
    CREATE TABLE %1$I.presets (id uuid PRIMARY KEY, name text, usage_count integer NOT NULL DEFAULT 0, last_used_at timestamptz)
        WITH (fillfactor = 70);
    CREATE TABLE %1$I.preset_usage (id bigserial PRIMARY KEY, preset_id uuid NOT NULL REFERENCES %1$I.presets ON DELETE CASCADE,
                                    user_id uuid, created_at timestamptz NOT NULL DEFAULT now());
    CREATE INDEX ON %1$I.preset_usage (preset_id, created_at);
    INSERT INTO %1$I.presets SELECT bench.user_id(n), 'preset ' || n FROM generate_series(1, 100) AS n
$$, name) FROM unnest('{tally_bare,tally_seed,tally_ours}'::text[]) AS name \gexec

CREATE FUNCTION tally_seed.auto_increment_preset_usage_count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tally_seed.presets
       SET usage_count = usage_count + 1, last_used_at = NEW.created_at
     WHERE id = NEW.preset_id;
    RETURN NEW;
END
$$;
CREATE TRIGGER trigger_auto_increment_preset_usage_count
    AFTER INSERT ON tally_seed.preset_usage
    FOR EACH ROW
    EXECUTE FUNCTION tally_seed.auto_increment_preset_usage_count();

SELECT usage.attach_usage_tally('tally_ours.presets', 'id', 'usage_count', 'tally_ours.preset_usage', 'preset_id',
                                'last_used_at', 'created_at') \g /dev/null
