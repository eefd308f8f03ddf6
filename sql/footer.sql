/* Default privileges may have given away what was just made, and PUBLIC may
 * execute any new function: take everything back.  grant_usage_access() is the
 * one that gives. */
DO $$
DECLARE
    relation regclass;
    callable regprocedure;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
          JOIN pg_catalog.pg_depend AS d ON d.objid OPERATOR(pg_catalog.=) c.oid
          JOIN pg_catalog.pg_depend AS us ON us.refobjid OPERATOR(pg_catalog.=) d.refobjid
         WHERE us.objid OPERATOR(pg_catalog.=) '@extschema@.usage_events'::pg_catalog.regclass
           AND us.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
           AND us.deptype OPERATOR(pg_catalog.=) 'e' AND d.deptype OPERATOR(pg_catalog.=) 'e'
           AND d.classid OPERATOR(pg_catalog.=) us.classid
           AND d.refclassid OPERATOR(pg_catalog.=) us.refclassid
           AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,S}')
    LOOP
        PERFORM @extschema@._revoke_all_on(relation);
    END LOOP;
    FOR callable IN SELECT f.function FROM @extschema@._audience() AS f LOOP
        PERFORM @extschema@._revoke_all_on_function(callable);
    END LOOP;
END
$$;
