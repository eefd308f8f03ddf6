/* rates: the state of shared memory. */
CREATE FUNCTION @extschema@._memory_areas(
    OUT name text, OUT is_there boolean, OUT slots bigint, OUT in_use bigint, OUT evicted bigint,
    OUT forced bigint, OUT bytes bigint) RETURNS SETOF record
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10000 ROWS 2
AS 'MODULE_PATHNAME', 'ut_memory_areas';
COMMENT ON FUNCTION @extschema@._memory_areas() IS
'Internal: for the view usage_memory';

CREATE VIEW @extschema@.usage_memory WITH (security_invoker = true, security_barrier = true) AS
SELECT a.name, a.is_there, a.slots, a.in_use, a.evicted, a.forced, a.bytes
  FROM @extschema@._memory_areas() AS a
 WHERE (SELECT @extschema@._sees_all_users());
COMMENT ON VIEW @extschema@.usage_memory IS
'The areas of memory that all sessions share, for admins and server roles';
