/* meters: what can be counted?
 *
 * A usage of a type that is not registered here is an error, never "allowed".
 */
CREATE TABLE @extschema@.usage_types (
    usage_type  text COLLATE "C" PRIMARY KEY
                CHECK (usage_type ~ '^[a-z][a-z0-9_.:-]*$' AND octet_length(usage_type) <= 63),
    description text
);
COMMENT ON TABLE @extschema@.usage_types IS
'What can be counted';
ALTER TABLE @extschema@.usage_types ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_types', '');
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.usage_types
    FOR EACH ROW EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.usage_types ENABLE ALWAYS TRIGGER config_changed;
CREATE TRIGGER config_emptied AFTER TRUNCATE ON @extschema@.usage_types
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.usage_types ENABLE ALWAYS TRIGGER config_emptied;
