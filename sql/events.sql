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
    user_id            @user_id_column@ NOT NULL,
    usage_type         text COLLATE "C" NOT NULL,
    event_subtype      text,
    status             text NOT NULL,
    quantity           numeric NOT NULL,
    tokens             bigint NOT NULL,
    cost               numeric,
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
    xact_id            xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
    /* calls of an API */
    provider           text,
    model              text,
    endpoint           text,
    request_id         text,
    service_tier       text,
    input_tokens       bigint,
    output_tokens      bigint,
    cache_read_tokens  bigint,
    cache_write_tokens bigint,
    cache_write_1h_tokens bigint,
    reasoning_tokens   bigint,
    audio_input_tokens bigint,
    audio_cache_read_tokens bigint,
    audio_output_tokens bigint,
    image_input_tokens bigint,
    image_output_tokens bigint,
    input_cost         numeric,
    output_cost        numeric,
    price_id           bigint,
    error_code         text,
    campaign_id        text,
    ip                 inet,
    user_agent         text,
    run_id             bigint,
    credits_used       numeric,
    credits_owed       numeric
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
'How many events it counts for under limits on events: -1 takes one back, 0 is a test; NULL is 1';
COMMENT ON COLUMN @extschema@.usage_events.corrected_limit IS
'limit_id of the limit it adjusts; no other limit counts it';
COMMENT ON COLUMN @extschema@.usage_events.credits_used IS
'What was taken from the user''s credits for it, NULL if it costs none';
COMMENT ON COLUMN @extschema@.usage_events.credits_owed IS
'What it costs in credits beyond those there were: a fact is never refused';
COMMENT ON COLUMN @extschema@.usage_events.cost IS
'NULL if nobody knows what it cost; then limits on cost do not count it';
COMMENT ON COLUMN @extschema@.usage_events.xact_id IS
'The transaction that recorded it, in the cluster that recorded it';
COMMENT ON COLUMN @extschema@.usage_events.input_tokens IS
'Each token of a call is in one class only; NULL is none, and tokens is their sum';
COMMENT ON COLUMN @extschema@.usage_events.price_id IS
'The row of model_prices that its cost comes from, NULL if it has several or none';
ALTER TABLE @extschema@.usage_events ENABLE ROW LEVEL SECURITY;

CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE ON @extschema@.usage_events
    FOR EACH ROW EXECUTE FUNCTION @extschema@._history_is_kept();
CREATE TRIGGER history_is_not_truncated BEFORE TRUNCATE ON @extschema@.usage_events
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._history_is_kept();

/* Events that come by other ways than ours: by COPY or INSERT, or by replication, which
 * fires no triggers of statements.  Rows of a partition come without its parent's. */
CREATE FUNCTION @extschema@._events_come() RETURNS trigger
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_events_come';
COMMENT ON FUNCTION @extschema@._events_come() IS
'Internal: makes shared memory forget the counters of users who get events from elsewhere, and keeps their uses out';
CREATE TRIGGER events_come BEFORE INSERT ON @extschema@.usage_events
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._events_come();
ALTER TABLE @extschema@.usage_events ENABLE ALWAYS TRIGGER events_come;
CREATE TRIGGER event_comes AFTER INSERT ON @extschema@.usage_events
    FOR EACH ROW EXECUTE FUNCTION @extschema@._events_come();
ALTER TABLE @extschema@.usage_events ENABLE REPLICA TRIGGER event_comes;

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
    EXECUTE format('CREATE TRIGGER events_come BEFORE INSERT ON %s'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION %s._events_come()', partition, '@extschema@');
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER events_come', partition);
    PERFORM @extschema@._revoke_all_on(partition);
END
$$;
COMMENT ON FUNCTION @extschema@._furnish_partition(regclass) IS
'Internal: gives a new partition of usage_events its key, index, triggers, row security and rights';

CREATE TABLE @extschema@.usage_events_default PARTITION OF @extschema@.usage_events DEFAULT;
COMMENT ON TABLE @extschema@.usage_events_default IS
'Events of months that have no partition of their own';
SELECT @extschema@._furnish_partition('@extschema@.usage_events_default'::pg_catalog.regclass);
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_events_default', '');

/* Months whose events lie in the DEFAULT partition are copied here, in steps,
 * before they change places; nobody counts what is here. */
CREATE TABLE @extschema@.usage_events_moving (LIKE @extschema@.usage_events INCLUDING DEFAULTS)
    PARTITION BY RANGE (occurred_at);
COMMENT ON TABLE @extschema@.usage_events_moving IS
'Copies of events in the DEFAULT partition, until their months become partitions of usage_events';
ALTER TABLE @extschema@.usage_events_moving ENABLE ROW LEVEL SECURITY;
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE ON @extschema@.usage_events_moving
    FOR EACH ROW EXECUTE FUNCTION @extschema@._history_is_kept();
CREATE TRIGGER history_is_not_truncated BEFORE TRUNCATE ON @extschema@.usage_events_moving
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._history_is_kept();

/* A snapshot that is older than a row here finds events where they no longer
 * are: src/events_amend.c notices by the number of rows. */
CREATE TABLE @extschema@.usage_partition_log (
    partition text COLLATE "C" NOT NULL,
    action    text NOT NULL,
    events    bigint NOT NULL,
    logged_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (logged_at, partition)
);
COMMENT ON TABLE @extschema@.usage_partition_log IS
'Which partitions of usage_events were dropped by retention, or filled from the DEFAULT partition';
COMMENT ON COLUMN @extschema@.usage_partition_log.action IS 'dropped or moved';
ALTER TABLE @extschema@.usage_partition_log ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_partition_log', '');

CREATE FUNCTION @extschema@._log_partition(partition regclass, action text) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('INSERT INTO %s.usage_partition_log (partition, action, events)'
                   ' SELECT c.relname, $2, (SELECT count(*) FROM %s) FROM pg_class AS c WHERE c.oid = $1',
                   '@extschema@', partition) USING partition, action;
END
$$;
COMMENT ON FUNCTION @extschema@._log_partition(regclass, text) IS
'Internal: notes what is done with a partition, and how many events it has';

CREATE FUNCTION @extschema@._events_are_in_place() RETURNS boolean
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_events_are_in_place';
COMMENT ON FUNCTION @extschema@._events_are_in_place() IS
'Internal: true, or an error where the snapshot is older than a move of events';

/* The one place that makes a month; of usage_events or of usage_events_moving. */
CREATE FUNCTION @extschema@._make_month(parent regclass, partition text, bounds text) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('CREATE TABLE %s PARTITION OF %s %s', partition, parent, bounds);
    PERFORM @extschema@._furnish_partition(partition::regclass);
END
$$;
COMMENT ON FUNCTION @extschema@._make_month(regclass, text, text) IS
'Internal: makes a partition for a month and furnishes it';

/* What a month is called, and which instants it holds: in UTC, and written so
 * that they read the same under every DateStyle and TimeZone. */
CREATE FUNCTION @extschema@._name_month(
    day date, OUT partition text, OUT bounds text) RETURNS record
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bound     text := 'YYYY-MM-DD HH24:MI:SS"+00"';
    first_day timestamp := date_trunc('month', day::timestamp);
BEGIN
    partition := format('%s.usage_events_%s', '@extschema@', to_char(first_day, 'YYYY_MM'));
    bounds := format('FOR VALUES FROM (%L) TO (%L)', to_char(first_day, bound),
                     to_char(first_day + '1 month'::interval, bound));
END
$$;
COMMENT ON FUNCTION @extschema@._name_month(date) IS
'Internal: the name of a month''s partition and its bounds';

CREATE FUNCTION @extschema@.create_usage_partition(month date) RETURNS boolean
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    named record;
BEGIN
    IF month IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'argument "month" must not be null';
    ELSIF NOT isfinite(month) OR month < '0001-01-01' OR month > '9999-12-31' THEN
        RAISE EXCEPTION USING ERRCODE = 'datetime_field_overflow',
            MESSAGE = 'argument "month" is out of range';
    END IF;
    named := @extschema@._name_month(month);
    LOCK TABLE @extschema@.usage_events IN SHARE UPDATE EXCLUSIVE MODE;  -- one partition is made at a time
    IF EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = to_regclass(named.partition)
                  AND i.inhparent = '@extschema@.usage_events_moving'::regclass) THEN
        RAISE check_violation;
    ELSIF to_regclass(named.partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM @extschema@._make_month('@extschema@.usage_events', named.partition, named.bounds);
    RETURN true;
EXCEPTION WHEN check_violation THEN
    RAISE EXCEPTION USING ERRCODE = 'check_violation',
        MESSAGE = format('the DEFAULT partition holds events of %s', to_char(month, 'YYYY-MM')),
        HINT = 'usage_maintenance() moves them to a partition of their own.';
END
$$;
COMMENT ON FUNCTION @extschema@.create_usage_partition(date) IS
'Makes the partition of usage_events for the month of that day, in UTC; false if it is there';

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
        EXCEPTION
            WHEN check_violation THEN
                "left" := "left" + 1;  -- its events are in the DEFAULT partition
            WHEN lock_not_available OR deadlock_detected THEN
                "left" := "left" + months - ahead;  -- the others would keep uses waiting as well
                EXIT;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._prepare_partitions(integer, timestamptz) IS
'Internal: makes the partitions of this month and the next ones; what is in use is left';

/* ---- out of the DEFAULT partition ----
 *
 * Copying keeps nobody waiting (but for the moment in which it asks how far it
 * may go) and may take many calls; then, in one short step
 * under ACCESS EXCLUSIVE on usage_events, what came meanwhile is copied too, the
 * DEFAULT partition is emptied, and the months are attached.  The lock on
 * usage_events_moving keeps erasure out while there are two of each row. */

/* The highest id below which no event is still to come: whoever records one
 * takes its number after his lock on usage_events.  The lock is given up again. */
CREATE FUNCTION @extschema@._settled_event_id() RETURNS bigint
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    settled bigint;
BEGIN
    LOCK TABLE ONLY @extschema@.usage_events IN SHARE MODE;
    SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO settled FROM @extschema@.usage_events_id_seq AS s;
    RAISE EXCEPTION 'done';
EXCEPTION WHEN raise_exception THEN
    RETURN settled;
END
$$;
COMMENT ON FUNCTION @extschema@._settled_event_id() IS
'Internal: events up to this id are committed or will never be';

/* Makes the months of events with these ids in usage_events_moving; false where
 * there is none: a month before the year 1 or after 9999. */
CREATE FUNCTION @extschema@._make_moving_months(low bigint, high bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_indexscan = off
AS $$
DECLARE
    month timestamp;
    named record;
BEGIN
    FOR month IN
        SELECT DISTINCT date_trunc('month', d.occurred_at AT TIME ZONE 'UTC')
          FROM @extschema@.usage_events_default AS d WHERE d.id > low AND d.id <= high
    LOOP
        IF month < '0001-01-01' OR month > '9999-12-31' THEN
            RETURN false;
        END IF;
        named := @extschema@._name_month(month::date);
        IF to_regclass(named.partition) IS NULL THEN
            PERFORM @extschema@._make_month('@extschema@.usage_events_moving', named.partition, named.bounds);
        END IF;
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@._make_moving_months(bigint, bigint) IS
'Internal: makes places for copies of the events with these ids in the DEFAULT partition';

/* Copies in the order of ids, so that all up to the highest copied one are there,
 * and a later call goes on from it.  Over wide gaps it takes wide steps. */
CREATE FUNCTION @extschema@._copy_default_rows(
    stop_at timestamptz, OUT settled bigint, OUT complete boolean) RETURNS record
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_indexscan = off
AS $$
DECLARE
    narrow constant bigint := 20000;
    width  bigint := narrow;
    low    bigint;
    high   bigint;
    rows   bigint;
BEGIN
    complete := false;
    LOCK TABLE ONLY @extschema@.usage_events_moving IN SHARE ROW EXCLUSIVE MODE;
    settled := @extschema@._settled_event_id();
    PERFORM brin_summarize_new_values(i.indexrelid)
       FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_am AS a ON a.oid = c.relam
      WHERE i.indrelid = '@extschema@.usage_events_default'::regclass AND a.amname = 'brin';
    SELECT COALESCE(max(m.id), 0) INTO low FROM @extschema@.usage_events_moving AS m;
    WHILE low < settled LOOP
        IF clock_timestamp() > stop_at THEN
            RETURN;
        END IF;
        high := least(low + width, settled);
        IF width > narrow
           AND EXISTS (SELECT FROM @extschema@.usage_events_default AS d WHERE d.id > low AND d.id <= high) THEN
            width := greatest(width / 2, narrow);
            CONTINUE;
        ELSIF NOT @extschema@._make_moving_months(low, high) THEN
            RETURN;
        END IF;
        INSERT INTO @extschema@.usage_events_moving
        SELECT d.* FROM @extschema@.usage_events_default AS d WHERE d.id > low AND d.id <= high
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS rows = ROW_COUNT;
        width := CASE rows WHEN 0 THEN width * 2 ELSE narrow END;
        low := high;
    END LOOP;
    complete := true;
END
$$;
COMMENT ON FUNCTION @extschema@._copy_default_rows(timestamptz) IS
'Internal: copies rows of the DEFAULT partition to usage_events_moving, in steps';

CREATE FUNCTION @extschema@._empty_default_partition() RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_empty_default_partition';
COMMENT ON FUNCTION @extschema@._empty_default_partition() IS
'Internal: empties usage_events_default, whose rows have all been copied';

CREATE FUNCTION @extschema@._attach_moved_months() RETURNS bigint
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD'
AS $$
DECLARE
    partition regclass;
    bounds    text;
    moved     bigint := 0;
BEGIN
    FOR partition, bounds IN
        SELECT c.oid, pg_get_expr(c.relpartbound, c.oid)
          FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
         WHERE i.inhparent = '@extschema@.usage_events_moving'::regclass ORDER BY c.relname
    LOOP
        PERFORM @extschema@._log_partition(partition, 'moved');
        EXECUTE format('ALTER TABLE %s.usage_events_moving DETACH PARTITION %s', '@extschema@', partition);
        EXECUTE format('ALTER TABLE %s.usage_events ATTACH PARTITION %s %s', '@extschema@', partition, bounds);
        moved := moved + 1;
    END LOOP;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION @extschema@._attach_moved_months() IS
'Internal: makes the months of usage_events_moving partitions of usage_events';

/* Everything up to that id has been copied.  Where the copies are not what is
 * in the DEFAULT partition after all, they go, and copying begins anew. */
CREATE FUNCTION @extschema@._move_default_rows(settled bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET enable_indexscan = off
AS $$
DECLARE
    partition regclass;
BEGIN
    LOCK TABLE ONLY @extschema@.usage_events IN ACCESS EXCLUSIVE MODE;
    LOCK TABLE @extschema@.usage_events_default IN ACCESS EXCLUSIVE MODE;
    INSERT INTO @extschema@.usage_events_moving
    SELECT d.* FROM @extschema@.usage_events_default AS d WHERE d.id > settled
        ON CONFLICT DO NOTHING;
    IF (SELECT count(*) FROM @extschema@.usage_events_moving) = (SELECT count(*) FROM @extschema@.usage_events_default) THEN
        PERFORM @extschema@._empty_default_partition();
        RETURN @extschema@._attach_moved_months();
    END IF;
    FOR partition IN
        SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = '@extschema@.usage_events_moving'::regclass
    LOOP
        EXECUTE format('DROP TABLE %s', partition);
    END LOOP;
    RETURN 0;
END
$$;
COMMENT ON FUNCTION @extschema@._move_default_rows(bigint) IS
'Internal: puts the copied months in the place of the rows of the DEFAULT partition; returns how many';

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
         WHERE i.inhparent = ANY (ARRAY['@extschema@.usage_events'::regclass, '@extschema@.usage_events_moving'::regclass])
           AND EXISTS (SELECT FROM aclexplode(c.relacl) AS a WHERE a.grantee <> c.relowner)
    LOOP
        BEGIN
            PERFORM @extschema@._revoke_all_on(partition);
            done := done + 1;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            "left" := "left" + 1;
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._close_partitions() IS
'Internal: takes back rights on partitions that default privileges gave away at a restore';

CREATE TABLE @extschema@.usage_keys (
    user_id         @user_id_column@ NOT NULL,
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
    user_id    @user_id_column@ NOT NULL,
    usage_type text COLLATE "C" NOT NULL,
    status     text COLLATE "C" NOT NULL,
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

/* What calls are for.  An event may name a campaign that is not here: a fact is
 * not refused for it. */
CREATE TABLE @extschema@.campaigns (
    user_id     @user_id_column@ NOT NULL,
    campaign_id text COLLATE "C" NOT NULL CHECK (campaign_id <> '' AND pg_catalog.length(campaign_id) <= 255),
    name        text,
    budget      numeric CHECK (budget >= 0 AND budget < 1e29),
    description text,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (user_id, campaign_id)
);
COMMENT ON TABLE @extschema@.campaigns IS
'Campaigns that calls of an API may belong to, of each user';
COMMENT ON COLUMN @extschema@.campaigns.budget IS
'What it is to cost at most, in the currency of the prices; shown, not enforced';
ALTER TABLE @extschema@.campaigns ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.campaigns', '');

CREATE FUNCTION @extschema@.define_campaign(
    user_id @user_id@, campaign_id text, name text DEFAULT NULL, budget numeric DEFAULT NULL,
    description text DEFAULT NULL) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_define_campaign';
COMMENT ON FUNCTION @extschema@.define_campaign(@user_id@, text, text, numeric, text) IS
'Creates or changes a campaign of the user';
