/* fingerprint.sql prints what the extension made, one fact a line, in the order
 * of the text: psql -XAtq -f fingerprint.sql. Two installations with the same
 * lines are the same, however they came to be.
 *
 * Of members of the extension, of partitions of its tables, and of what hangs on
 * these: definitions, owners, rights, comments, what a dump takes along and what
 * depends on what. Nothing depends on oids, on the order of creation or on the
 * session; rows and values of sequences are not looked at. */
SET search_path = pg_catalog, pg_temp;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET jit = off;

/* Rights as lines; none given is what PostgreSQL gives by default. */
CREATE FUNCTION pg_temp.rights(acl aclitem[], kind "char", owner oid) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s may %s%s', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END, a.privilege_type,
                  CASE WHEN a.is_grantable THEN ' and grant it' END)
      FROM aclexplode(COALESCE(acl, acldefault(kind, owner))) AS a
$$;

WITH extension AS MATERIALIZED (
    SELECT x.* FROM pg_extension AS x WHERE x.extname IN ('usage_tracking', 'usage_tracking_text', 'usage_tracking_bigint')
), member AS MATERIALIZED (
    /* pg_upgrade makes members of row types and of types of arrays too */
    SELECT d.classid, d.objid FROM pg_depend AS d JOIN extension AS x ON x.oid = d.refobjid
     WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
       AND NOT (d.classid = 'pg_type'::regclass AND EXISTS (
                SELECT FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = t.typrelid
                 WHERE t.oid = d.objid AND (c.relkind <> 'c' OR t.typcategory = 'A')))
), relation AS MATERIALIZED (
    SELECT c.*, c.oid::regclass::text AS name FROM pg_class AS c
     WHERE c.oid IN (SELECT objid FROM member WHERE classid = 'pg_class'::regclass
                      UNION SELECT p.relid FROM member, pg_partition_tree(objid) AS p WHERE classid = 'pg_class'::regclass
                      UNION SELECT t.typrelid FROM member JOIN pg_type AS t ON t.oid = objid WHERE classid = 'pg_type'::regclass)
), routine AS MATERIALIZED (
    SELECT p.*, p.oid::regprocedure::text AS name FROM pg_proc AS p JOIN member ON classid = 'pg_proc'::regclass AND objid = p.oid
), index AS MATERIALIZED (
    SELECT i.*, r.name AS of, i.indexrelid::regclass::text AS name FROM pg_index AS i JOIN relation AS r ON r.oid = i.indrelid
), "constraint" AS MATERIALIZED (
    SELECT k.*, r.name AS of FROM pg_constraint AS k JOIN relation AS r ON r.oid = k.conrelid
), trigger AS MATERIALIZED (
    SELECT t.*, t.tgrelid::regclass::text AS of FROM pg_trigger AS t
     WHERE (NOT t.tgisinternal OR t.tgparentid <> 0)
       AND (t.tgrelid IN (SELECT oid FROM relation) OR t.tgfoid IN (SELECT oid FROM routine))  -- those on the users table too
), policy AS MATERIALIZED (
    SELECT p.*, r.name AS of FROM pg_policy AS p JOIN relation AS r ON r.oid = p.polrelid
), rule AS MATERIALIZED (
    SELECT w.*, r.name AS of FROM pg_rewrite AS w JOIN relation AS r ON r.oid = w.ev_class
), "default" AS MATERIALIZED (
    SELECT a.* FROM pg_attrdef AS a JOIN relation AS r ON r.oid = a.adrelid
), object AS MATERIALIZED (
    SELECT classid, objid FROM member
     UNION SELECT 'pg_extension'::regclass, oid FROM extension
     UNION SELECT 'pg_class'::regclass, oid FROM relation
     UNION SELECT 'pg_class'::regclass, indexrelid FROM index
     UNION SELECT 'pg_constraint'::regclass, oid FROM "constraint"
     UNION SELECT 'pg_trigger'::regclass, oid FROM trigger
     UNION SELECT 'pg_policy'::regclass, oid FROM policy
     UNION SELECT 'pg_rewrite'::regclass, oid FROM rule
     UNION SELECT 'pg_attrdef'::regclass, oid FROM "default"
), fact (fact) AS (
    SELECT format('extension %s: %s', x.extname, f) FROM extension AS x,
           unnest(ARRAY['version ' || x.extversion, 'owner ' || x.extowner::regrole, 'schema ' || x.extnamespace::regnamespace,
                        'relocatable ' || x.extrelocatable]) AS f
     UNION ALL
    SELECT format('extension %s: a dump has %s where %L', x.extname, d.relation::regclass, d.condition)
      FROM extension AS x, ROWS FROM (unnest(x.extconfig), unnest(x.extcondition)) AS d (relation, condition)
     UNION ALL
    SELECT format('extension %s: member %s', x.extname, pg_describe_object(classid, objid, 0)) FROM extension AS x, member
     UNION ALL

    /* relations */
    SELECT format('relation %s: %s', r.name, f) FROM relation AS r LEFT JOIN pg_am AS m ON m.oid = r.relam,
           unnest(ARRAY['kind ' || r.relkind::text, 'owner ' || r.relowner::regrole, 'persistence ' || r.relpersistence::text,
                        'row security ' || r.relrowsecurity, 'forced ' || r.relforcerowsecurity, 'replica identity ' || r.relreplident::text,
                        'options ' || (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(r.reloptions) AS o), 'method ' || m.amname,
                        'partition ' || pg_get_expr(r.relpartbound, r.oid), 'partitioned by ' || pg_get_partkeydef(r.oid),
                        'tablespace ' || r.reltablespace, 'view ' || to_json(pg_get_viewdef(r.oid))]) AS f WHERE f IS NOT NULL
     UNION ALL
    SELECT format('relation %s: child of %s', r.name, i.inhparent::regclass) FROM relation AS r JOIN pg_inherits AS i ON i.inhrelid = r.oid
     UNION ALL
    /* columns count among those there are; PostgreSQL keeps a version of its own in pg_attver */
    SELECT format('column %s.%I: %s', c.name, c.attname, f)
      FROM (SELECT r.name, a.*, row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS place, pg_get_expr(d.adbin, d.adrelid) AS expression
              FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
              LEFT JOIN "default" AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum) AS c,
           unnest(ARRAY['place ' || c.place, 'type ' || format_type(c.atttypid, c.atttypmod), 'not null ' || c.attnotnull,
                        'default ' || c.expression, 'identity ' || NULLIF(c.attidentity::text, ''), 'generated ' || NULLIF(c.attgenerated::text, ''),
                        'collation ' || c.attcollation::regcollation, 'storage ' || c.attstorage::text, 'compression ' || NULLIF(c.attcompression::text, ''),
                        'inherited ' || c.attinhcount || ' local ' || c.attislocal, 'options ' || (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.attoptions) AS o
                                       WHERE o NOT LIKE 'pg\_attver=%')]) AS f WHERE f IS NOT NULL
     UNION ALL
    SELECT format('constraint %s.%I: %s', k.of, k.conname, f) FROM "constraint" AS k,
           unnest(ARRAY[pg_get_constraintdef(k.oid), 'validated ' || k.convalidated, 'inherited ' || k.coninhcount || ' local ' || k.conislocal,
                        'its triggers ' || (SELECT string_agg(t.tgenabled::text || ' ' || t.tgfoid::regproc, ', ' ORDER BY t.tgenabled, t.tgfoid::regproc::text)
                                              FROM pg_trigger AS t WHERE t.tgconstraint = k.oid AND t.tgisinternal)]) AS f WHERE f IS NOT NULL
     UNION ALL
    SELECT format('index %s: %s', i.name, f) FROM index AS i,
           unnest(ARRAY[pg_get_indexdef(i.indexrelid), 'primary ' || i.indisprimary, 'valid ' || i.indisvalid, 'ready ' || i.indisready,
                        'clustered ' || i.indisclustered, 'replica identity ' || i.indisreplident, 'immediate ' || i.indimmediate]) AS f
     UNION ALL
    SELECT format('trigger %s.%I: %s', t.of, t.tgname, f) FROM trigger AS t,
           unnest(ARRAY[pg_get_triggerdef(t.oid), 'enabled ' || t.tgenabled::text, 'cloned ' || (t.tgparentid <> 0)]) AS f
     UNION ALL
    SELECT format('policy %s.%I: %s', p.of, p.polname, f) FROM policy AS p,
           unnest(ARRAY['command ' || p.polcmd::text, 'permissive ' || p.polpermissive, 'using ' || pg_get_expr(p.polqual, p.polrelid),
                        'check ' || pg_get_expr(p.polwithcheck, p.polrelid),
                        'to ' || (SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE o::regrole::text END, ', ' ORDER BY o::regrole::text)
                                    FROM unnest(p.polroles) AS o)]) AS f WHERE f IS NOT NULL
     UNION ALL
    SELECT format('rule %s.%I: enabled %s %s', w.of, w.rulename, w.ev_enabled, to_json(pg_get_ruledef(w.oid))) FROM rule AS w
     UNION ALL
    SELECT format('statistics of %s: %s', r.name, pg_get_statisticsobjdef(s.oid)) FROM pg_statistic_ext AS s JOIN relation AS r ON r.oid = s.stxrelid
     UNION ALL
    SELECT format('sequence %s: %s', r.name, f) FROM relation AS r JOIN pg_sequence AS s ON s.seqrelid = r.oid,
           unnest(ARRAY['type ' || s.seqtypid::regtype, 'from ' || s.seqstart, 'by ' || s.seqincrement, 'up to ' || s.seqmax,
                        'down to ' || s.seqmin, 'cache ' || s.seqcache, 'cycle ' || s.seqcycle]) AS f
     UNION ALL
    SELECT format('type %s: %s', t.oid::regtype, f) FROM member JOIN pg_type AS t ON classid = 'pg_type'::regclass AND objid = t.oid,
           unnest(ARRAY['kind ' || t.typtype::text, 'owner ' || t.typowner::regrole, 'not null ' || t.typnotnull, 'default ' || t.typdefault,
                        'labels ' || (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = t.oid)]) AS f
     WHERE f IS NOT NULL
     UNION ALL

    SELECT format('function %s: %s', p.name, f) FROM routine AS p JOIN pg_language AS l ON l.oid = p.prolang,
           unnest(ARRAY['arguments ' || pg_get_function_arguments(p.oid), 'result ' || pg_get_function_result(p.oid), 'kind ' || p.prokind::text,
                        'owner ' || p.proowner::regrole, 'language ' || l.lanname, 'library ' || p.probin,
                        'body ' || to_json(p.prosrc), 'parsed body ' || to_json(pg_get_function_sqlbody(p.oid)),
                        'volatility ' || p.provolatile::text, 'strict ' || p.proisstrict, 'parallel ' || p.proparallel::text,
                        'security definer ' || p.prosecdef, 'leakproof ' || p.proleakproof, 'cost ' || p.procost, 'rows ' || p.prorows,
                        'support ' || p.prosupport, 'settings ' || (SELECT string_agg(s, '; ' ORDER BY s) FROM unnest(p.proconfig) AS s)]) AS f
     WHERE f IS NOT NULL
     UNION ALL

    /* rights, and those with which a dump compares them */
    SELECT format('rights on %s: %s', r.name, a)
      FROM relation AS r, pg_temp.rights(r.relacl, CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", r.relowner) AS a WHERE r.relkind <> 'c'
     UNION ALL
    SELECT format('rights on %s.%I: %s', r.name, a.attname, g)
      FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attacl IS NOT NULL, pg_temp.rights(a.attacl, 'c', r.relowner) AS g
     UNION ALL
    SELECT format('rights on %s: %s', p.name, a) FROM routine AS p, pg_temp.rights(p.proacl, 'f', p.proowner) AS a
     UNION ALL
    SELECT format('rights on type %s: %s', t.oid::regtype, a)
      FROM member JOIN pg_type AS t ON classid = 'pg_type'::regclass AND objid = t.oid, pg_temp.rights(t.typacl, 'T', t.typowner) AS a
     UNION ALL
    SELECT format('first rights on %s: %s', pg_describe_object(i.classoid, i.objoid, i.objsubid), a)
      FROM object JOIN pg_init_privs AS i ON i.classoid = classid AND i.objoid = objid, pg_temp.rights(i.initprivs, 'c', 10) AS a
     UNION ALL

    SELECT format('comment on %s: %s', pg_describe_object(classid, objid, d.objsubid), to_json(d.description))
      FROM object JOIN pg_description AS d ON d.classoid = classid AND d.objoid = objid
     UNION ALL
    SELECT format('%s depends on %s: %s', one, other, deptype)
      FROM (SELECT d.deptype, pg_describe_object(d.classid, d.objid, d.objsubid) AS one, pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) AS other
              FROM object AS o JOIN pg_depend AS d ON d.classid = o.classid AND d.objid = o.objid) AS d
     WHERE other NOT LIKE '%RI\_ConstraintTrigger%'
)
SELECT fact FROM fact ORDER BY fact COLLATE "C";
