/* events: what happened?
 *
 * One row a fact, never changed.  Partitioned by month of occurred_at, with a
 * DEFAULT partition, so that no event is ever refused for want of a month.
 * The parent carries no index and no key and references nothing: a restore
 * attaches partitions that bring their own.  It has no CHECK either: PostgreSQL
 * parses each of them anew for every INSERT, and the door has checked.
 */
CREATE SEQUENCE @extschema@.usage_events_id_seq;
COMMENT ON SEQUENCE @extschema@.usage_events_id_seq IS 'Ids of events';
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_events_id_seq', '');

CREATE TABLE @extschema@.usage_events (
    id                 bigint NOT NULL,
    user_id            @user_id@ NOT NULL,
    usage_type         text COLLATE "C" NOT NULL,
    event_subtype      text,
    status             text NOT NULL,
    quantity           numeric NOT NULL,
    tokens             bigint NOT NULL,
    cost               numeric NOT NULL,
    overage            jsonb,
    corrects           bigint,
    corrected_status   text,
    corrected_events   bigint,
    corrected_limit    bigint,
    reason             text,
    duration_ms        bigint,
    error_message      text,
    resource_type      text,
    resource_id        text,
    parent_resource_id text,
    metadata           jsonb,
    occurred_at        timestamptz NOT NULL,
    recorded_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    xact_id            xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id()
) PARTITION BY RANGE (occurred_at);
COMMENT ON TABLE @extschema@.usage_events IS
'Every use and every fact recorded, one row each, in the transaction it belongs to';
COMMENT ON COLUMN @extschema@.usage_events.overage IS
'What of it exceeded which limit: {limit_type: amount}; NULL if nothing';
COMMENT ON COLUMN @extschema@.usage_events.corrects IS
'The event that a correcting event takes back, NULL if it adjusts a limit';
COMMENT ON COLUMN @extschema@.usage_events.corrected_status IS
'The status of that event: limits that count it count the correction';
COMMENT ON COLUMN @extschema@.usage_events.corrected_events IS
'How many events it counts for under limits on events: -1 takes one back; NULL is 1';
COMMENT ON COLUMN @extschema@.usage_events.corrected_limit IS
'limit_id of the limit it adjusts; no other limit counts it';
COMMENT ON COLUMN @extschema@.usage_events.xact_id IS
'The transaction that recorded it, in the cluster that recorded it';
ALTER TABLE @extschema@.usage_events ENABLE ROW LEVEL SECURITY;

CREATE FUNCTION @extschema@._history_is_kept() RETURNS trigger
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_history_is_kept';
COMMENT ON FUNCTION @extschema@._history_is_kept() IS
'Internal: refuses to change or remove history';

CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE ON @extschema@.usage_events
    FOR EACH ROW EXECUTE FUNCTION @extschema@._history_is_kept();
CREATE TRIGGER history_is_not_truncated BEFORE TRUNCATE ON @extschema@.usage_events
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._history_is_kept();

/* The one place that makes a partition what it must be. */
CREATE FUNCTION @extschema@._furnish_partition(partition regclass) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ADD PRIMARY KEY (user_id, occurred_at, id)', partition);
    EXECUTE format('CREATE INDEX ON %s USING brin (id, recorded_at) WITH (autosummarize)', partition);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', partition);
    EXECUTE format('CREATE TRIGGER history_is_not_truncated BEFORE TRUNCATE ON %s'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION %s._history_is_kept()', partition, '@extschema@');
    PERFORM @extschema@._revoke_all_on(partition);
END
$$;
COMMENT ON FUNCTION @extschema@._furnish_partition(regclass) IS
'Internal: gives a new partition of usage_events its key, index, trigger, row security and rights';

CREATE TABLE @extschema@.usage_events_default PARTITION OF @extschema@.usage_events DEFAULT;
COMMENT ON TABLE @extschema@.usage_events_default IS
'Events of months that have no partition of their own';
SELECT @extschema@._furnish_partition('@extschema@.usage_events_default'::pg_catalog.regclass);
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_events_default', '');

CREATE FUNCTION @extschema@.create_usage_partition(month date) RETURNS boolean
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bound     text := 'YYYY-MM-DD HH24:MI:SS"+00"';  -- reads the same under every DateStyle and TimeZone
    first_day timestamp;
    partition text;
BEGIN
    IF month IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'argument "month" must not be null';
    ELSIF NOT isfinite(month) OR month < '0001-01-01' OR month > '9999-12-31' THEN
        RAISE EXCEPTION USING ERRCODE = 'datetime_field_overflow',
            MESSAGE = 'argument "month" is out of range';
    END IF;
    first_day := date_trunc('month', month::timestamp);
    partition := format('%s.usage_events_%s', '@extschema@', to_char(first_day, 'YYYY_MM'));
    LOCK TABLE @extschema@.usage_events IN SHARE UPDATE EXCLUSIVE MODE;  -- one partition is made at a time
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %s PARTITION OF %s.usage_events FOR VALUES FROM (%L) TO (%L)',
                   partition, '@extschema@', to_char(first_day, bound), to_char(first_day + '1 month'::interval, bound));
    PERFORM @extschema@._furnish_partition(partition::regclass);
    RETURN true;
EXCEPTION WHEN check_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'check_violation',
        MESSAGE = format('the DEFAULT partition holds events of %s', to_char(first_day, 'YYYY-MM')),
        HINT = 'Make partitions ahead of time, with usage_maintenance().';
END
$$;
COMMENT ON FUNCTION @extschema@.create_usage_partition(date) IS
'Makes the partition of usage_events for the month of that day, in UTC; false if it is there';

CREATE FUNCTION @extschema@._usage_now() RETURNS timestamptz
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_usage_now';
COMMENT ON FUNCTION @extschema@._usage_now() IS
'Internal: the instant at which a use would happen now';

CREATE FUNCTION @extschema@._prepare_partitions(
    months integer, stop_at timestamptz, OUT done bigint, OUT "left" bigint) RETURNS record
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_month timestamp := date_trunc('month', @extschema@._usage_now() AT TIME ZONE 'UTC');
BEGIN
    done := 0;
    "left" := 0;
    FOR ahead IN 0 .. months - 1 LOOP
        IF clock_timestamp() > stop_at THEN
            "left" := "left" + 1;
            CONTINUE;
        END IF;
        BEGIN
            done := done + @extschema@.create_usage_partition(
                               (this_month + make_interval(months => ahead))::date)::integer;
        EXCEPTION WHEN lock_not_available OR check_violation THEN
            "left" := "left" + 1;  -- in use, or its events are in the DEFAULT partition
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._prepare_partitions(integer, timestamptz) IS
'Internal: makes the partitions of this month and the next ones; what is in use is left';

/* A dump says nothing of a table whose rights are its owner's alone, so where
 * default privileges give rights away, a restored partition has them. */
CREATE FUNCTION @extschema@._close_partitions(OUT done bigint, OUT "left" bigint) RETURNS record
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partition regclass;
BEGIN
    done := 0;
    "left" := 0;
    FOR partition IN
        SELECT c.oid FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
         WHERE i.inhparent = '@extschema@.usage_events'::regclass
           AND EXISTS (SELECT FROM aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner)
    LOOP
        BEGIN
            PERFORM @extschema@._revoke_all_on(partition);
            done := done + 1;
        EXCEPTION WHEN lock_not_available THEN
            "left" := "left" + 1;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._close_partitions() IS
'Internal: takes back rights on partitions that default privileges gave away at a restore';

CREATE TABLE @extschema@.usage_keys (
    user_id         @user_id@ NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    recorded_at     timestamptz NOT NULL,
    function        text NOT NULL,
    usage_type      text COLLATE "C" NOT NULL,
    quantity        numeric NOT NULL,
    tokens          bigint NOT NULL,
    occurred_at     timestamptz,
    event_id        bigint NOT NULL,
    limit_type      text COLLATE "C",
    used            numeric,
    max_usage       numeric NOT NULL,
    reset_at        timestamptz,
    PRIMARY KEY (user_id, idempotency_key)
);
COMMENT ON TABLE @extschema@.usage_keys IS
'Idempotency keys of recorded uses, with what was asked and what was answered';
COMMENT ON COLUMN @extschema@.usage_keys.occurred_at IS
'The time the caller gave, NULL if none';
ALTER TABLE @extschema@.usage_keys ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_keys', '');

/* What is left of the months that retention dropped.  An adjustment of a limit
 * keeps its limit_id; everything else has 0. */
CREATE TABLE @extschema@.usage_carried (
    user_id    @user_id@ NOT NULL,
    usage_type text COLLATE "C" NOT NULL,
    status     text NOT NULL,
    limit_id   bigint NOT NULL DEFAULT 0,
    month      timestamptz NOT NULL,
    events     numeric NOT NULL,
    quantity   numeric NOT NULL,
    tokens     numeric NOT NULL,
    cost       numeric NOT NULL,
    PRIMARY KEY (user_id, month, usage_type, status, limit_id)
);
COMMENT ON TABLE @extschema@.usage_carried IS
'Sums of the events of dropped months, per user, usage type and status; a correction is in the sum of what it corrects';
COMMENT ON COLUMN @extschema@.usage_carried.month IS
'The first instant of the month, in UTC; windows that hold it count the sum';
ALTER TABLE @extschema@.usage_carried ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_carried', '');
