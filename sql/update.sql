\echo Use "ALTER EXTENSION @extension@ UPDATE" to load this file. \quit

/* What every update script begins with; doc/architecture.md says how to write
 * one. */
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION @extschema@._version() RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$SELECT '@version@'$$;

