/* upkeep: what happens with time?
 *
 * Nothing here is needed for an exact answer; it keeps tables small and fast.
 */
/* DDL waits for nobody: what is locked is left for the next call. */
CREATE FUNCTION @extschema@.usage_maintenance(
    max_seconds integer DEFAULT 10, OUT task text, OUT done bigint, OUT "left" bigint) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
AS $$
BEGIN
    IF max_seconds IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'argument "max_seconds" must not be null';
    ELSIF max_seconds <= 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'argument "max_seconds" must be greater than zero';
    END IF;
    task := 'partitions';
    SELECT p.done, p."left" INTO done, "left"
      FROM @extschema@._prepare_partitions(3, clock_timestamp() + make_interval(secs => max_seconds)) AS p;
    RETURN NEXT;
    task := 'rights';
    SELECT p.done, p."left" INTO done, "left" FROM @extschema@._close_partitions() AS p;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION @extschema@.usage_maintenance(integer) IS
'Does the most urgent upkeep in bounded steps: partitions for this month and the next two, and rights that a restore gave away; what is in use is left for a later call';
