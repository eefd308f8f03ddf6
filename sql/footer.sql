/* Default privileges may have given away what was just made, and PUBLIC may
 * execute any new function: take everything back.  grant_usage_access() is the
 * one that gives. */
DO $$
DECLARE
    relation regclass;
    callable regprocedure;
    type     regtype;
    grantee  oid;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
         WHERE c.relnamespace OPERATOR(pg_catalog.=) '@extschema@'::pg_catalog.regnamespace
           AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,S}')
           AND c.oid OPERATOR(pg_catalog.=) ANY (
               SELECT d.objid FROM pg_catalog.pg_depend AS d, pg_catalog.pg_extension AS x
                WHERE x.extname OPERATOR(pg_catalog.=) 'usage_tracking'
                  AND d.refobjid OPERATOR(pg_catalog.=) x.oid
                  AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
                  AND d.deptype OPERATOR(pg_catalog.=) 'e')
    LOOP
        PERFORM @extschema@._revoke_all_on(relation);
    END LOOP;
    FOR callable, grantee IN
        SELECT f.function, a.grantee
          FROM @extschema@._audience() AS f
          JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) f.function,
               LATERAL pg_catalog.aclexplode(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS a
         WHERE a.grantee OPERATOR(pg_catalog.<>) p.proowner
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM %s', callable,
            CASE WHEN grantee OPERATOR(pg_catalog.=) 0 THEN 'PUBLIC' ELSE grantee::pg_catalog.regrole::pg_catalog.text END);
    END LOOP;
END
$$;
