\echo Use "ALTER EXTENSION @extension@ UPDATE" to load this file. \quit

/* What every update script begins with; doc/architecture.md says how to write
 * one. */
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION @extschema@._version() RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$SELECT '@version@'$$;

/* What is new at the end has rights to be taken back, see update_footer.sql. */
SELECT pg_catalog.set_config('usage_tracking_update.members', pg_catalog.array_agg(d.objid)::text, true)
  FROM pg_catalog.pg_depend AS d
  JOIN pg_catalog.pg_extension AS x ON x.oid OPERATOR(pg_catalog.=) d.refobjid
 WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
   AND d.deptype OPERATOR(pg_catalog.=) 'e' AND x.extname OPERATOR(pg_catalog.=) '@extension@';
