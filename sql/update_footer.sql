
/* What is new belongs to who updates, a superuser, though the extension may have been given to
 * another since: its functions would run the owner's triggers with more rights than his.  So
 * nothing of the extension stays with who updates. */
DO $$
DECLARE
    change text;
BEGIN
    FOR change IN
        SELECT pg_catalog.format('ALTER %s %s OWNER TO %s', o.type, o.identity, x.extowner::pg_catalog.regrole)
          FROM pg_catalog.pg_depend AS d
          JOIN pg_catalog.pg_extension AS x ON x.oid OPERATOR(pg_catalog.=) d.refobjid
          JOIN pg_catalog.pg_roles AS r ON r.rolname OPERATOR(pg_catalog.=) current_user
          LEFT JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) d.objid
           AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass
          LEFT JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) d.objid
           AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass
          LEFT JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) d.objid
           AND d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass
         CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS o
         WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
           AND d.deptype OPERATOR(pg_catalog.=) 'e' AND x.extname OPERATOR(pg_catalog.=) '@extension@'
           AND COALESCE(c.relowner, p.proowner, t.typowner) OPERATOR(pg_catalog.=) r.oid AND x.extowner OPERATOR(pg_catalog.<>) r.oid
           -- a sequence of a column follows its table, as a row's type does, and an array its elements
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS s
                            WHERE s.classid OPERATOR(pg_catalog.=) d.classid AND s.objid OPERATOR(pg_catalog.=) d.objid
                              AND (s.deptype OPERATOR(pg_catalog.=) 'i' OR
                                   s.deptype OPERATOR(pg_catalog.=) 'a' AND s.refobjsubid OPERATOR(pg_catalog.>) 0))
    LOOP
        EXECUTE change;
    END LOOP;
END
$$;

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
