/* upkeep: what happens with time?
 *
 * Nothing here is needed for an exact answer; it keeps tables small and fast,
 * and keeps promises about deletion.
 *
 * One call is one transaction.  First comes what keeps nobody waiting, then,
 * shortly before the end, what keeps uses out: the locks it takes are held to
 * the end.  What is in use is left for the next call.
 */
CREATE FUNCTION @extschema@._usage_horizons(
    OUT now timestamptz, OUT late timestamptz, OUT keys timestamptz, OUT events timestamptz) RETURNS record
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_usage_horizons';
COMMENT ON FUNCTION @extschema@._usage_horizons() IS
'Internal: the present instant, and the oldest for late events, for idempotency keys, and for events to be kept';

/* ---- rows that nothing asks for any more ---- */

/* Deletes the doomed rows of a table, some pages at a time, from a random page
 * on, so that calls that are too short for all of it reach all of it together.
 * "left" is what was not looked at, in such steps. */
CREATE FUNCTION @extschema@._sweep(
    relation regclass, doomed text, horizon timestamptz, stop_at timestamptz,
    OUT done bigint, OUT "left" bigint) RETURNS record
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pages constant bigint := 512;
    steps bigint;
    step  bigint;
    rows  bigint;
BEGIN
    done := 0;
    "left" := 1;
    steps := ceil(pg_relation_size(relation) / (pages * current_setting('block_size')::numeric));
    step := floor(random() * steps);
    "left" := steps;
    WHILE "left" > 0 AND clock_timestamp() <= stop_at LOOP
        EXECUTE format('DELETE FROM %1$s AS t WHERE t.ctid = ANY (ARRAY('
                       'SELECT s.ctid FROM %1$s AS s WHERE s.ctid >= $1 AND s.ctid < $2 AND (%2$s)'
                       ' FOR UPDATE SKIP LOCKED))', relation, doomed)
          USING format('(%s,0)', step * pages)::tid, format('(%s,0)', (step + 1) * pages)::tid, horizon;
        GET DIAGNOSTICS rows = ROW_COUNT;
        done := done + rows;
        "left" := "left" - 1;
        step := (step + 1) % steps;
    END LOOP;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    done := 0;
    "left" := greatest("left", 1);
END
$$;
COMMENT ON FUNCTION @extschema@._sweep(regclass, text, timestamptz, timestamptz) IS
'Internal: deletes rows of a table for which a condition holds, in steps';

/* Counters of windows that late events reach no more, while all their events
 * are there to be summed again.  A use in flight may rely on a counter it has
 * read, so the last thing is to wait until none is; this keeps uses out until
 * the transaction ends. */
CREATE FUNCTION @extschema@._sweep_closed_windows(
    late timestamptz, stop_at timestamptz, OUT done bigint, OUT "left" bigint) RETURNS record
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT s.done, s."left" INTO done, "left"
      FROM @extschema@._sweep('@extschema@.usage_counters',
               format('s.window_end <= $3 AND s.window_start >= %L AND s.window_end > ''-infinity''',
                      COALESCE((SELECT max(c.month AT TIME ZONE 'UTC' + '1 month'::interval) AT TIME ZONE 'UTC'
                                  FROM @extschema@.usage_carried AS c), '-infinity')),
               late, stop_at) AS s;
    IF done > 0 THEN
        LOCK TABLE ONLY @extschema@.usage_events IN SHARE MODE;
    END IF;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    "left" := COALESCE("left", 0) + 1;
    done := 0;
END
$$;
COMMENT ON FUNCTION @extschema@._sweep_closed_windows(timestamptz, timestamptz) IS
'Internal: deletes counters of windows that are over for good';

/* Old alerts, but for those whose window can still be used: they would be raised
 * again. */
CREATE FUNCTION @extschema@._sweep_old_alerts(
    late timestamptz, stop_at timestamptz, OUT done bigint, OUT "left" bigint) RETURNS record
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    retention interval := current_setting('usage_tracking.alert_retention')::interval;
BEGIN
    done := 0;
    "left" := 0;
    IF retention > '0'::interval THEN
        SELECT s.done, s."left" INTO done, "left"
          FROM @extschema@._sweep('@extschema@.usage_alerts',
                   format('s.raised_at < $3 AND (s.window_end IS NULL OR s.window_end <= %L OR NOT EXISTS ('
                          'SELECT FROM %s.usage_limits AS l WHERE l.limit_id = s.limit_id))', late, '@extschema@'),
                   @extschema@._usage_now() - retention, stop_at) AS s;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._sweep_old_alerts(timestamptz, timestamptz) IS
'Internal: deletes alerts that are older than usage_tracking.alert_retention';

/* Old runs, with what they came to, and old attempts to deliver it. */
CREATE FUNCTION @extschema@._sweep_old_runs(
    horizon timestamptz, stop_at timestamptz, OUT done bigint, OUT "left" bigint) RETURNS record
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    done := 0;
    "left" := 0;
    IF horizon > '-infinity' THEN
        SELECT r.done + d.done, r."left" + d."left" INTO done, "left"
          FROM @extschema@._sweep('@extschema@.usage_runs', 'COALESCE(s.completed_at, s.expires_at) < $3', horizon, stop_at) AS r,
               @extschema@._sweep('@extschema@.usage_run_deliveries', 's.attempted_at < $3', horizon, stop_at) AS d;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._sweep_old_runs(timestamptz, timestamptz) IS
'Internal: deletes runs that are older than usage_tracking.event_retention';

/* ---- retention ---- */

/* The months of usage_events. */
CREATE FUNCTION @extschema@._months(
    OUT partition regclass, OUT first_instant timestamptz, OUT end_instant timestamptz) RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD'
AS $$
BEGIN
    RETURN QUERY
    SELECT c.oid::regclass, b.bounds[1]::timestamptz, b.bounds[2]::timestamptz
      FROM pg_inherits AS i
      JOIN pg_class AS c ON c.oid = i.inhrelid,
           LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM [(]''(.+)''[)] TO [(]''(.+)''[)]') AS b (bounds)
     WHERE i.inhparent = '@extschema@.usage_events'::regclass AND b.bounds IS NOT NULL
     ORDER BY 2;
END
$$;
COMMENT ON FUNCTION @extschema@._months() IS
'Internal: the partitions of usage_events that hold a month, with their bounds';

/* What windows depend on beside configuration: the zones of users, and of those
 * who have none; the longest billing period, or the month of those without. */
CREATE FUNCTION @extschema@._clocks_in_use(OUT zones text[], OUT longest interval) RETURNS record
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.array_agg(DISTINCT COALESCE(s.time_zone, pg_catalog.current_setting('usage_tracking.time_zone'))),
           GREATEST('31 days'::interval, pg_catalog.max(s.billing_period_end - s.billing_period_start))
      FROM (SELECT NULL) AS nobody LEFT JOIN @extschema@.user_subscriptions AS s ON true;
END;
COMMENT ON FUNCTION @extschema@._clocks_in_use() IS
'Internal: the time zones in use, and the longest billing period';

/* The earliest beginning of a window that an event could still fall into, by
 * configuration.  Where that depends on the user's anchor, a whole period is
 * allowed for, and 4 days for the ends of months and the jumps of zones. */
CREATE FUNCTION @extschema@._earliest_window(at timestamptz, zones text[], longest interval) RETURNS timestamptz
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE(pg_catalog.min(CASE
               WHEN l.window_kind = ANY (ARRAY['lifetime', 'gauge']) THEN 'infinity'::timestamptz
               WHEN l.window_kind = 'calendar'
               THEN (@extschema@._usage_window(l.window_kind, l.period, z.zone, at, at)).window_start
               WHEN l.window_kind = 'sliding'  -- with its 60th, see src/window_sliding.c
               THEN at - EXTRACT(epoch FROM l.period) * '1.02 seconds'::interval - '2 seconds'::interval
               WHEN l.window_kind = ANY (ARRAY['anchored', 'billing'])
               THEN (at AT TIME ZONE 'UTC' - COALESCE(l.period, longest) - '4 days'::interval) AT TIME ZONE 'UTC'
               ELSE '-infinity'::timestamptz  -- a kind that nobody has thought of here
           END), 'infinity'::timestamptz)
      FROM @extschema@.usage_limits AS l,
           LATERAL pg_catalog.unnest(CASE WHEN l.time_zone IS NULL THEN zones ELSE ARRAY[l.time_zone] END) AS z (zone);
END;
COMMENT ON FUNCTION @extschema@._earliest_window(timestamptz, text[], interval) IS
'Internal: where the first window begins that an event at this instant or later counts in';

/* Events before this instant serve as sums only: no window that begins before
 * it, but for lifetime windows, can change or be shown any more. */
CREATE FUNCTION @extschema@._retention_bound(zones text[], longest interval) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    horizon record := @extschema@._usage_horizons();
    bound   timestamptz := least(horizon.events, horizon.late, @extschema@._earliest_window(horizon.late, zones, longest));
BEGIN
    RETURN least(bound,
        (SELECT min(c.window_start) FROM @extschema@.usage_counters AS c
           JOIN @extschema@.usage_limits AS l ON l.limit_id = c.limit_id
          WHERE c.window_start > '-infinity' AND c.window_start < bound AND c.window_end > horizon.late),
        (SELECT min(r.occurred_at) FROM @extschema@.usage_reservations AS r
          WHERE r.state = 'held' AND r.expires_at > horizon.now));
END
$$;
COMMENT ON FUNCTION @extschema@._retention_bound(text[], interval) IS
'Internal: the instant before which single events are of no use';

/* Nobody writes to the partition, and nobody does until the transaction ends. */
CREATE FUNCTION @extschema@._carry_month(partition regclass) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', partition);
    EXECUTE format(
        'INSERT INTO %s.usage_carried AS c (user_id, usage_type, status, limit_id, month, events, quantity, tokens, cost)'
        ' SELECT e.user_id, e.usage_type, COALESCE(e.corrected_status, e.status), COALESCE(e.corrected_limit, 0),'
        ' date_trunc(''month'', e.occurred_at AT TIME ZONE ''UTC'') AT TIME ZONE ''UTC'','
        ' sum(COALESCE(e.corrected_events, 1)), sum(e.quantity), sum(e.tokens), COALESCE(sum(e.cost), 0)'
        ' FROM %s AS e GROUP BY 1, 2, 3, 4, 5'
        ' ON CONFLICT (user_id, month, usage_type, status, limit_id) DO UPDATE'
        ' SET events = c.events + EXCLUDED.events, quantity = c.quantity + EXCLUDED.quantity,'
        ' tokens = c.tokens + EXCLUDED.tokens, cost = c.cost + EXCLUDED.cost', '@extschema@', partition);
END
$$;
COMMENT ON FUNCTION @extschema@._carry_month(regclass) IS
'Internal: adds up the events of a partition in usage_carried';

/* The months are carried.  Whether they may go is asked once more, now that
 * nobody is at work; then there is no counter left that they alone explain. */
CREATE FUNCTION @extschema@._drop_months(months text[], zones text[], longest interval) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    month    text;
    last_end timestamptz;
BEGIN
    LOCK TABLE ONLY @extschema@.usage_events IN ACCESS EXCLUSIVE MODE;
    SELECT max(m.end_instant) INTO last_end FROM @extschema@._months() AS m WHERE m.partition::text = ANY (months);
    IF last_end > @extschema@._retention_bound(zones, longest) THEN
        RAISE lock_not_available;
    END IF;
    DELETE FROM @extschema@.usage_counters AS c WHERE c.window_start > '-infinity' AND c.window_start < last_end;
    -- Counters of windows without end: their rows count what goes.
    UPDATE @extschema@.usage_counters AS c
       SET used = c.used + e.used, counted_to = last_end
      FROM @extschema@.usage_counters AS u
      JOIN @extschema@.usage_limits AS l ON l.limit_id = u.limit_id
     CROSS JOIN LATERAL (
           SELECT COALESCE(sum(CASE l.measure WHEN 'events' THEN COALESCE(v.corrected_events, 1) WHEN 'quantity' THEN v.quantity
                                              WHEN 'tokens' THEN v.tokens ELSE v.cost END), 0) AS used
             FROM @extschema@.usage_events AS v
            WHERE v.user_id = u.user_id AND v.occurred_at >= u.counted_to AND v.occurred_at < last_end
              AND (v.corrected_limit = l.limit_id
                   OR COALESCE(v.corrected_limit, 0) = 0 AND COALESCE(v.corrected_status, v.status) = ANY (l.statuses)
                      AND (l.usage_type IS NULL OR v.usage_type = l.usage_type))) AS e
     WHERE u.counted_to < last_end AND u.window_start = '-infinity'
       AND c.user_id = u.user_id AND c.limit_id = u.limit_id AND c.window_start = u.window_start
       AND c.stripe = u.stripe AND c.window_end = u.window_end;
    PERFORM @extschema@._forget_counters();
    FOREACH month IN ARRAY months LOOP
        PERFORM @extschema@._log_partition(month::regclass, 'dropped');
        EXECUTE format('DROP TABLE %s', month);
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._drop_months(text[], text[], interval) IS
'Internal: drops months whose events are carried';

/* The clocks are read once for all: none is asked for while no month is old. */
CREATE FUNCTION @extschema@._due_months(OUT months text[], OUT zones text[], OUT longest interval) RETURNS record
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    horizon record := @extschema@._usage_horizons();
    bound   timestamptz;
BEGIN
    months := '{}';
    IF EXISTS (SELECT FROM @extschema@._months() AS m WHERE m.end_instant <= horizon.events) THEN
        SELECT c.zones, c.longest INTO zones, longest FROM @extschema@._clocks_in_use() AS c;
        bound := @extschema@._retention_bound(zones, longest);
        months := ARRAY(SELECT m.partition::text FROM @extschema@._months() AS m
                         WHERE m.end_instant <= bound ORDER BY m.first_instant);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._due_months() IS
'Internal: the months that retention is to drop, and the clocks that say so';

CREATE FUNCTION @extschema@._retire_months(stop_at timestamptz, OUT done bigint, OUT "left" bigint) RETURNS record
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    due      record;
    month    text;
    bounds   record;
    carried  text[] := '{}';
    finished tstzmultirange := '{}';
BEGIN
    done := 0;
    "left" := 1;
    due := @extschema@._due_months();
    "left" := cardinality(due.months);
    FOREACH month IN ARRAY due.months LOOP
        EXIT WHEN clock_timestamp() > stop_at;
        BEGIN
            PERFORM @extschema@._carry_month(month::regclass);
            SELECT m.first_instant, m.end_instant INTO STRICT bounds FROM @extschema@._months() AS m WHERE m.partition::text = month;
            PERFORM @extschema@._finish_days(bounds.first_instant, bounds.end_instant, finished);
            carried := carried || month;
            finished := finished + tstzmultirange(tstzrange(bounds.first_instant, bounds.end_instant));
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            NULL;  -- a late event is being written
        END;
    END LOOP;
    IF carried <> '{}' THEN
        PERFORM @extschema@._drop_months(carried, due.zones, due.longest);
    END IF;
    done := cardinality(carried);
    "left" := "left" - done;
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        NULL;  -- uses are in flight: nothing was carried
    WHEN dependent_objects_still_exist THEN
        RAISE WARNING 'a month could not be dropped: %', SQLERRM USING ERRCODE = SQLSTATE;
END
$$;
COMMENT ON FUNCTION @extschema@._retire_months(timestamptz) IS
'Internal: drops the months that are older than usage_tracking.event_retention, and keeps their sums';

/* ---- the one call ---- */

/* Months in the DEFAULT partition: how many were moved, and how many remain. */
CREATE FUNCTION @extschema@._fill_months(
    settled bigint, stop_at timestamptz, OUT done bigint, OUT "left" bigint) RETURNS record
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    done := 0;
    "left" := 1;
    IF settled IS NOT NULL AND clock_timestamp() <= stop_at THEN
        done := @extschema@._move_default_rows(settled);
    END IF;
    SELECT CASE WHEN NOT EXISTS (SELECT FROM @extschema@.usage_events_default) THEN 0 ELSE greatest(1, count(*)) END
      INTO "left" FROM pg_inherits AS i WHERE i.inhparent = '@extschema@.usage_events_moving'::regclass;
EXCEPTION WHEN lock_not_available OR deadlock_detected OR check_violation THEN
    done := 0;  -- in use, or a month began meanwhile
END
$$;
COMMENT ON FUNCTION @extschema@._fill_months(bigint, timestamptz) IS
'Internal: makes partitions of the months whose rows of the DEFAULT partition have all been copied';

CREATE FUNCTION @extschema@._check_maintenance(max_seconds integer) RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF max_seconds IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'argument "max_seconds" must not be null';
    ELSIF max_seconds <= 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'argument "max_seconds" must be greater than zero';
    ELSIF current_setting('transaction_isolation') = ANY ('{repeatable read,serializable}') THEN
        -- an old snapshot would not show what was written before the locks were granted
        RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_state',
            MESSAGE = 'usage_maintenance() must be called at isolation level READ COMMITTED';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._check_maintenance(integer) IS
'Internal: checks how usage_maintenance() is called';

/* Of the time, keys, counters, reservations with runs, alerts, sums and copying have an eighth
 * each at most, so that the rest is never without. */
CREATE FUNCTION @extschema@.usage_maintenance(
    max_seconds integer DEFAULT 10, OUT task text, OUT done bigint, OUT "left" bigint) RETURNS SETOF record
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD'
AS $$
DECLARE
    tasks   text[] := '{deleted_users,keys,counters,reservations,runs,alerts,aggregations,default_rows,retention,partitions,rights}';
    began   timestamptz := clock_timestamp();
    share   interval;
    stop_at timestamptz;
    slice   timestamptz;
    settled bigint;
    horizon record;
    keys    record;
    dead    record;
    holds   record;
    leases  record;
    runs    record;
    alerts  record;
    sums    record;
    retired record;
    closed  record;
    users   record;
    moved   record;
    made    record;
    rights  record;
BEGIN
    PERFORM @extschema@._check_maintenance(max_seconds);
    BEGIN
        LOCK TABLE @extschema@.usage_partition_log IN SHARE UPDATE EXCLUSIVE MODE;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN  -- another call is at work
        RETURN QUERY SELECT t, 0::bigint, 1::bigint FROM unnest(tasks) AS t;
        RETURN;
    END;
    share := make_interval(secs => max_seconds) / 8;
    stop_at := began + make_interval(secs => max_seconds);
    horizon := @extschema@._usage_horizons();

    keys := @extschema@._sweep('@extschema@.usage_keys', 's.recorded_at < $3', horizon.keys, began + share);
    dead := @extschema@._sweep('@extschema@.usage_counters',
                's.window_start < $3 AND NOT EXISTS (SELECT FROM @extschema@.usage_limits AS l WHERE l.limit_id = s.limit_id)',
                'infinity', began + 2 * share);
    holds := @extschema@._sweep('@extschema@.usage_reservations', 'COALESCE(s.settled_at, s.expires_at) < $3',
                horizon.keys, began + 2.5 * share);
    leases := @extschema@._sweep('@extschema@.usage_leases',
                format('s.expires_at < $3 OR (s.expires_at = ''infinity'' AND s.acquired_at < $3'
                       ' AND NOT %s._session_lives(s.session_segment, s.session_token))', '@extschema@'),
                horizon.keys, began + 3 * share);
    runs := @extschema@._sweep_old_runs(horizon.events, began + 3 * share);
    alerts := @extschema@._sweep_old_alerts(horizon.late, began + 4 * share);
    sums := @extschema@._refresh_aggregations(began + 5 * share);
    BEGIN
        IF EXISTS (SELECT FROM @extschema@.usage_events_default) THEN
            SELECT c.settled INTO settled FROM @extschema@._copy_default_rows(began + 6 * share) AS c WHERE c.complete;
        END IF;
    EXCEPTION WHEN lock_not_available OR deadlock_detected OR check_violation THEN
        settled := NULL;  -- in use, or a month began meanwhile
    END;

    /* from here on locks are taken that keep uses out: soon to the end */
    retired := @extschema@._retire_months(stop_at);
    slice := clock_timestamp() + CASE WHEN retired.done > 0 THEN '0.5 s' ELSE share END;
    closed := @extschema@._sweep_closed_windows(horizon.late, least(stop_at, slice));
    slice := clock_timestamp() + CASE WHEN retired.done > 0 OR closed.done > 0 THEN '0.5 s'::interval ELSE '2 s' END;
    users := @extschema@._forget_deleted_users(least(stop_at, slice));
    moved := @extschema@._fill_months(settled, stop_at);
    IF moved.done > 0 THEN  -- perhaps old ones
        retired."left" := (SELECT cardinality(d.months) FROM @extschema@._due_months() AS d);
    END IF;
    made := @extschema@._prepare_partitions(3, stop_at);
    rights := @extschema@._close_partitions();

    RETURN QUERY VALUES ('deleted_users', users.done, users."left"), ('keys', keys.done, keys."left"),
        ('counters', dead.done + closed.done, dead."left" + closed."left"), ('reservations', holds.done + leases.done, holds."left" + leases."left"),
        ('runs', runs.done, runs."left"), ('alerts', alerts.done, alerts."left"), ('aggregations', sums.done, sums."left"), ('default_rows', moved.done, moved."left"), ('retention', retired.done, retired."left"),
        ('partitions', made.done, made."left"), ('rights', rights.done, rights."left");
END
$$;
COMMENT ON FUNCTION @extschema@.usage_maintenance(integer) IS
'Does the most urgent upkeep in bounded steps, and says what it did and what is left: deleted users, rows that nobody asks for any more, sums by day, retention, partitions, rights; what is in use is left for a later call';

/* ---- moving in ---- */

/* Both as the caller: it is no more than he could ask himself. */
CREATE FUNCTION @extschema@.prove_same_rows(was text, now text, what text DEFAULT 'rows') RETURNS bigint
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    compared  bigint;
    different jsonb;
    side      text;
BEGIN
    IF was IS NULL OR now IS NULL OR what IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('argument "%s" must not be null', CASE WHEN was IS NULL THEN 'was' WHEN now IS NULL THEN 'now' ELSE 'what' END);
    END IF;
    EXECUTE format($sql$
        WITH old AS MATERIALIZED (SELECT to_jsonb(o) AS row FROM (%s) AS o),
             new AS MATERIALIZED (SELECT to_jsonb(n) AS row FROM (%s) AS n),
             difference AS ((SELECT 'no longer' AS side, d.row FROM (TABLE old EXCEPT ALL TABLE new) AS d LIMIT 1)
                             UNION ALL (SELECT 'only now', d.row FROM (TABLE new EXCEPT ALL TABLE old) AS d LIMIT 1))
        SELECT (SELECT count(*) FROM old), d.side, d.row FROM (VALUES (1)) AS one (row) LEFT JOIN difference AS d ON true LIMIT 1 $sql$, was, now)
       INTO compared, side, different;
    IF side IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'data_exception',
            MESSAGE = format('%s would not be what they were', what),
            DETAIL = format('This one is there %s: %s', side, different);
    END IF;
    RETURN compared;
END
$$;
COMMENT ON FUNCTION @extschema@.prove_same_rows(text, text, text) IS
'Compares what two queries return, in whatever order; a difference is an error, which undoes what was moved';
