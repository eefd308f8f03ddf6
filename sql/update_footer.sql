
/* As footer.sql, for what was not there before: what somebody was granted stays. */
DO $$
DECLARE
    relation regclass;
    callable regprocedure;
BEGIN
    FOR relation, callable IN
        SELECT c.oid, p.oid
          FROM pg_catalog.pg_depend AS d
          JOIN pg_catalog.pg_extension AS x ON x.oid OPERATOR(pg_catalog.=) d.refobjid
          LEFT JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) d.objid
           AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
          LEFT JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) d.objid
           AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
         WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
           AND d.deptype OPERATOR(pg_catalog.=) 'e' AND x.extname OPERATOR(pg_catalog.=) '@extension@'
           AND d.objid OPERATOR(pg_catalog.<>) ALL (pg_catalog.current_setting('usage_tracking_update.members')::oid[])
    LOOP
        IF relation IS NOT NULL THEN
            PERFORM @extschema@._revoke_all_on(relation);
        ELSIF callable IS NOT NULL THEN
            PERFORM @extschema@._revoke_all_on_function(callable);
        END IF;
    END LOOP;
END
$$;
