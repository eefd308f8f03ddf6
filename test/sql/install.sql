/* install: is everything there, explained, dumped and closed to the public?
 *
 * pg_regress has created the extension; this looks at its members.  The first
 * part lists what users of the extension see, the second part finds nothing.
 */
-- 17 made the types of tables and of arrays members too
CREATE TEMP VIEW member AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS name
  FROM pg_depend AS d JOIN pg_extension AS x ON x.oid = d.refobjid
 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND x.extname = 'usage_tracking'
   AND NOT EXISTS (SELECT FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = t.typrelid
                    WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid AND (t.typcategory = 'A' OR c.relkind <> 'c'));

SET IntervalStyle = 'postgres';
SELECT extrelocatable, extnamespace::regnamespace FROM pg_extension WHERE extname = 'usage_tracking';

-- Public functions: names, order and defaults of arguments, results, volatility
\pset format unaligned
\pset tuples_only on
SELECT format('%s(%s) returns %s, %s', p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
              CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END)
  FROM member JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND p.oid = objid
 WHERE p.proname NOT LIKE '\_%' ORDER BY p.proname COLLATE "C";
\pset format aligned
\pset tuples_only off

-- Relations, and which of them a dump takes along
SELECT c.relname, CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'S' THEN 'sequence'
                                 WHEN 'v' THEN 'view' WHEN 'c' THEN 'composite type' END AS kind,
       c.oid = ANY (x.extconfig) AS dumped, x.extcondition[array_position(x.extconfig, c.oid)] AS only_where
  FROM member JOIN pg_class AS c ON classid = 'pg_class'::regclass AND c.oid = objid,
       pg_extension AS x
 WHERE x.extname = 'usage_tracking' ORDER BY c.relname COLLATE "C";

-- Settings: who may set them; those of memory only with the server, once it is preloaded
LOAD 'usage_tracking';
SELECT name, replace(context, 'postmaster', 'sighup') AS context, left(current_setting(name), 30) AS value FROM pg_settings WHERE name LIKE 'usage\_tracking.%' ORDER BY name COLLATE "C";

-- Members without a comment (a composite type has it on the type)
SELECT name FROM member LEFT JOIN pg_class AS c ON classid = 'pg_class'::regclass AND c.oid = objid
 WHERE obj_description(objid, classid::regclass::name) IS NULL AND c.relkind IS DISTINCT FROM 'c' ORDER BY name;

-- Tables and sequences a dump would lose; rows of the partitioned parent are in its partitions
SELECT name FROM member JOIN pg_class AS c ON classid = 'pg_class'::regclass AND c.oid = objid
 WHERE c.relkind = ANY ('{r,S}') AND NOT EXISTS (
       SELECT FROM pg_extension AS x WHERE x.extname = 'usage_tracking' AND c.oid = ANY (x.extconfig));

-- Tables the script filled, which a restore would fill twice
SELECT name FROM member JOIN pg_class AS c ON classid = 'pg_class'::regclass AND c.oid = objid AND c.relkind = 'r'
 WHERE query_to_xml(format('SELECT 1 AS one FROM %s', c.oid::regclass), false, true, '')::text LIKE '%<one>%';

-- Functions that PUBLIC or anybody else may call
SELECT name, a.grantee::regrole FROM member JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND p.oid = objid,
       aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a WHERE a.grantee <> p.proowner;

-- Relations that anybody may touch, and tables without row security or without a primary key
SELECT name, a.grantee::regrole, a.privilege_type FROM member JOIN pg_class AS c ON classid = 'pg_class'::regclass AND c.oid = objid,
       aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner;
SELECT name FROM member JOIN pg_class AS c ON classid = 'pg_class'::regclass AND c.oid = objid
 WHERE c.relkind = ANY ('{r,p}') AND (NOT c.relrowsecurity OR c.relkind = 'r' AND NOT EXISTS (
       SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'p'));

-- Views that run with the rights of their owner
SELECT name FROM member JOIN pg_class AS c ON classid = 'pg_class'::regclass AND c.oid = objid
 WHERE c.relkind = 'v' AND NOT coalesce(c.reloptions, '{}') @> '{security_invoker=true}';

-- Functions in which names could be hijacked: not C, not parsed at creation, search_path not pinned
SELECT name FROM member JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND p.oid = objid
  JOIN pg_language AS l ON l.oid = p.prolang
 WHERE (l.lanname <> 'c' OR p.prosecdef) AND p.prosqlbody IS NULL
   AND NOT coalesce(p.proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp'];

-- SECURITY DEFINER: these and no others
SELECT name FROM member JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND p.oid = objid
 WHERE p.prosecdef ORDER BY name COLLATE "C";

-- Two functions of one name, names to be quoted, arguments no client can send
SELECT p.proname FROM member JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND p.oid = objid GROUP BY 1 HAVING count(*) > 1;
SELECT name FROM member JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND p.oid = objid WHERE p.proname !~ '^[a-z_]+$';
SELECT name FROM member JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND p.oid = objid
 WHERE p.proargtypes::oid[] && ARRAY['internal'::regtype, 'record'::regtype, 'cstring'::regtype]::oid[];

-- Times without a zone, numbers that are not exact
SELECT name, t.attname, format_type(t.atttypid, NULL) FROM member JOIN pg_attribute AS t ON classid = 'pg_class'::regclass AND t.attrelid = objid
 WHERE t.atttypid = ANY ('{timestamp,time,real,"double precision",money}'::regtype[]);

-- And the extension's own inspection agrees
SELECT * FROM usage_security_check();
