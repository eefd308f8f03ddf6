/* upkeep: what happens with time?
 *
 * Nothing here is needed for an exact answer; it keeps tables small and fast.
 */
CREATE FUNCTION @extschema@._usage_now() RETURNS timestamptz
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_usage_now';
COMMENT ON FUNCTION @extschema@._usage_now() IS
'Internal: the instant at which a use would happen now';

/* DDL waits for nobody: what is locked is left for the next call. */
CREATE FUNCTION @extschema@.usage_maintenance(
    max_seconds integer DEFAULT 10, OUT task text, OUT done bigint, OUT "left" bigint) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
AS $$
DECLARE
    stop_at    timestamptz;
    this_month timestamp := date_trunc('month', @extschema@._usage_now() AT TIME ZONE 'UTC');
BEGIN
    IF max_seconds IS NULL OR max_seconds <= 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'argument "max_seconds" must be greater than zero';
    END IF;
    stop_at := clock_timestamp() + make_interval(secs => max_seconds);
    task := 'partitions';
    done := 0;
    "left" := 0;
    FOR ahead IN 0 .. 2 LOOP
        IF clock_timestamp() > stop_at THEN
            "left" := "left" + 1;
            CONTINUE;
        END IF;
        BEGIN
            done := done + @extschema@.create_usage_partition((this_month + make_interval(months => ahead))::date)::integer;
        EXCEPTION WHEN lock_not_available OR check_violation THEN
            "left" := "left" + 1;  -- in use, or its events are in the DEFAULT partition
        END;
    END LOOP;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION @extschema@.usage_maintenance(integer) IS
'Does the most urgent upkeep in bounded steps: partitions for this month and the next two; call it again until nothing is left';
