\echo Use "CREATE EXTENSION @extension@" to load this file. \quit

DO $$
BEGIN
    IF (SELECT pg_catalog.count(*) FROM pg_catalog.pg_extension AS x
         WHERE x.extname OPERATOR(pg_catalog.=) ANY ('{usage_tracking,usage_tracking_text,usage_tracking_bigint}'))
       OPERATOR(pg_catalog.>) 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
            MESSAGE = 'another extension of usage_tracking is installed in this database',
            HINT = 'They differ in the type of user ids; a database has one of them.';
    END IF;
END
$$;

/* Rooms follow in the order of their dependencies; see doc/architecture.md. */

/* Every name below says its schema; whoever may create in ours gets no say in
 * what an operator means. */
SET LOCAL search_path = pg_catalog, pg_temp;

/* The library works with the script of its own version only (src/version.c). */
CREATE FUNCTION @extschema@._version() RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$SELECT '@version@'$$;
COMMENT ON FUNCTION @extschema@._version() IS
'Internal: the version of the script';
