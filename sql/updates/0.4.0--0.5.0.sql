/* 0.5.0: counting in shared memory, rate limits */

/* Rows that count every event: their first use in shared memory makes that an instant. */
ALTER TABLE @extschema@.usage_counters ADD COLUMN counted_to timestamptz NOT NULL DEFAULT 'infinity';
COMMENT ON COLUMN @extschema@.usage_counters.counted_to IS
'used is of events before this instant; later ones count by being there';
COMMENT ON COLUMN @extschema@.usage_counters.holds IS
'How often reservations in this window changed, as far as shared memory did not know of them';

CREATE FUNCTION @extschema@._terms_changed() RETURNS trigger
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_terms_changed';
COMMENT ON FUNCTION @extschema@._terms_changed() IS
'Internal: tells sessions that what is particular to a user changed';

CREATE TRIGGER terms_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.user_subscriptions
    FOR EACH ROW EXECUTE FUNCTION @extschema@._terms_changed();
ALTER TABLE @extschema@.user_subscriptions ENABLE ALWAYS TRIGGER terms_changed;
CREATE TRIGGER terms_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.user_limits
    FOR EACH ROW EXECUTE FUNCTION @extschema@._terms_changed();
ALTER TABLE @extschema@.user_limits ENABLE ALWAYS TRIGGER terms_changed;

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
CREATE OR REPLACE FUNCTION @extschema@._furnish_partition(partition regclass) RETURNS void
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
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN
        SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i
         WHERE i.inhparent IN ('@extschema@.usage_events'::regclass, '@extschema@.usage_events_moving'::regclass)
    LOOP
        EXECUTE pg_catalog.format('CREATE TRIGGER events_come BEFORE INSERT ON %s'
                                  ' FOR EACH STATEMENT EXECUTE FUNCTION %s._events_come()', partition, '@extschema@');
        EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER events_come', partition);
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@._holds_changed() RETURNS trigger
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_holds_changed';
COMMENT ON FUNCTION @extschema@._holds_changed() IS
'Internal: tells sessions that what is reserved by a user changed';

CREATE TRIGGER holds_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.usage_reservations
    FOR EACH ROW EXECUTE FUNCTION @extschema@._holds_changed();
ALTER TABLE @extschema@.usage_reservations ENABLE ALWAYS TRIGGER holds_changed;
CREATE FUNCTION @extschema@._forget_counters() RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_forget_counters';
COMMENT ON FUNCTION @extschema@._forget_counters() IS
'Internal: makes shared memory forget all counters; for whoever keeps uses out';

CREATE FUNCTION @extschema@._counted_usage(
    OUT user_id @user_id@, OUT limit_id bigint, OUT window_start timestamptz, OUT window_end timestamptz,
    OUT used numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT c.user_id, c.limit_id, c.window_start, c.window_end, c.used + e.used
      FROM @extschema@.usage_counters AS c
     CROSS JOIN LATERAL (
           SELECT COALESCE(pg_catalog.sum(CASE l.measure WHEN 'events' THEN COALESCE(v.corrected_events, 1) WHEN 'quantity' THEN v.quantity
                                                         WHEN 'tokens' THEN v.tokens ELSE v.cost END), 0) AS used
             FROM @extschema@.usage_limits AS l
             JOIN @extschema@.usage_events AS v
               ON v.user_id = c.user_id AND v.occurred_at >= GREATEST(c.counted_to, c.window_start) AND v.occurred_at < c.window_end
            WHERE l.limit_id = c.limit_id
              AND (v.corrected_limit = l.limit_id
                   OR COALESCE(v.corrected_limit, 0) = 0 AND COALESCE(v.corrected_status, v.status) = ANY (l.statuses)
                      AND (l.usage_type IS NULL OR v.usage_type = l.usage_type))) AS e;
END;
COMMENT ON FUNCTION @extschema@._counted_usage() IS
'Internal: what counters stand at, without what is reserved';

CREATE OR REPLACE FUNCTION @extschema@._drop_months(months text[], zones text[], longest interval) RETURNS void
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

CREATE OR REPLACE FUNCTION @extschema@._sweep_closed_windows(
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

CREATE OR REPLACE FUNCTION @extschema@._earliest_window(at timestamptz, zones text[], longest interval) RETURNS timestamptz
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

CREATE OR REPLACE FUNCTION @extschema@._used_at_most(
    at timestamptz, today date, OUT user_id @user_id@, OUT limit_id bigint, OUT used numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    WITH counted AS MATERIALIZED (
        SELECT c.user_id, c.limit_id, pg_catalog.sum(c.used) AS used
          FROM @extschema@._counted_usage() AS c
         WHERE c.window_start <= at AND c.window_end > at
         GROUP BY c.user_id, c.limit_id
    ), limits AS MATERIALIZED (
        SELECT l.limit_id, l.usage_type, l.measure, l.period IS NOT NULL AND l.period <= '1 day'::interval AS is_short, l.period IS NULL AS is_long,
               CASE WHEN l.period IS NULL THEN '0001-01-01'
                    WHEN l.period <= '1 day'::interval THEN $2 - 2
                    WHEN l.window_kind = 'sliding'
                    THEN pg_catalog.date_trunc('month', ($2 - 2 + '00:00'::time) - EXTRACT(epoch FROM l.period) * '1.02 seconds'::interval)::date
                    ELSE pg_catalog.date_trunc('month', ($2 - 2 + '00:00'::time) - l.period)::date END AS since
          FROM @extschema@.usage_limits AS l
         WHERE l.window_kind = ANY (ARRAY['calendar', 'anchored', 'billing', 'lifetime', 'sliding'])
    ), used AS (
        SELECT l.limit_id, l.measure, m.user_id, m.uses + m.failed AS events, m.quantity, m.tokens, m.cost
          FROM limits AS l
          JOIN @extschema@.usage_user_months AS m ON m.month >= l.since AND (l.usage_type IS NULL OR m.usage_type = l.usage_type)
         WHERE NOT l.is_short
         UNION ALL
        SELECT l.limit_id, l.measure, a.user_id, a.events, a.quantity, a.tokens, a.cost
          FROM limits AS l
          JOIN @extschema@.usage_aggregations AS a ON a.day >= l.since AND (l.usage_type IS NULL OR a.usage_type = l.usage_type)
         WHERE l.is_short
         UNION ALL
        SELECT l.limit_id, l.measure, e.user_id, e.events, e.quantity, e.tokens, e.cost
          FROM limits AS l
          JOIN @extschema@._uncounted_events('0001-01-01', '9999-12-31') AS e
            ON e.day >= l.since AND (l.usage_type IS NULL OR e.usage_type = l.usage_type)
         UNION ALL
        SELECT l.limit_id, l.measure, c.user_id, c.events, c.quantity, c.tokens, c.cost
          FROM limits AS l
          JOIN @extschema@.usage_carried AS c ON c.limit_id = 0 AND (l.usage_type IS NULL OR c.usage_type = l.usage_type)
         WHERE l.is_long
    )
    SELECT c.user_id, c.limit_id, c.used
      FROM counted AS c
     UNION ALL
    SELECT u.user_id, u.limit_id, pg_catalog.sum(CASE u.measure WHEN 'events' THEN u.events WHEN 'quantity' THEN u.quantity
                                                                WHEN 'tokens' THEN u.tokens ELSE u.cost END)
      FROM used AS u
     WHERE NOT EXISTS (SELECT FROM counted AS c WHERE c.user_id = u.user_id AND c.limit_id = u.limit_id)
     GROUP BY u.user_id, u.limit_id;
END;

CREATE OR REPLACE FUNCTION @extschema@.reconcile_usage(
    OUT user_id @user_id@, OUT limit_type text, OUT window_start timestamptz, OUT window_end timestamptz,
    OUT counted numeric, OUT recorded numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000000
BEGIN ATOMIC
    SELECT c.user_id, l.limit_type, c.window_start, c.window_end, c.used, e.used
      FROM @extschema@.usage_counters AS c
      JOIN @extschema@.usage_limits AS l ON l.limit_id = c.limit_id
     CROSS JOIN LATERAL (
           SELECT COALESCE(pg_catalog.sum(CASE l.measure WHEN 'events' THEN p.events
                                               WHEN 'quantity' THEN p.quantity
                                               WHEN 'tokens' THEN p.tokens
                                               ELSE p.cost END), 0) AS used
             FROM (SELECT COALESCE(v.corrected_limit, 0) AS limit_id, v.usage_type,
                          COALESCE(v.corrected_status, v.status) AS status,
                          COALESCE(v.corrected_events, 1)::numeric AS events, v.quantity, v.tokens::numeric AS tokens, v.cost
                     FROM @extschema@.usage_events AS v
                    WHERE v.user_id = c.user_id
                      AND v.occurred_at >= c.window_start AND v.occurred_at < LEAST(c.window_end, c.counted_to)
                    UNION ALL
                   SELECT k.limit_id, k.usage_type, k.status, k.events, k.quantity, k.tokens, k.cost
                     FROM @extschema@.usage_carried AS k
                    WHERE k.user_id = c.user_id
                      AND k.month >= c.window_start AND k.month < LEAST(c.window_end, c.counted_to)) AS p
            WHERE p.limit_id = l.limit_id
               OR (p.limit_id = 0 AND p.status = ANY (l.statuses)
                   AND (l.usage_type IS NULL OR p.usage_type = l.usage_type))) AS e
     WHERE c.used <> e.used AND @extschema@._events_are_in_place()
     UNION ALL
    SELECT d.user_id, NULL, (d.day + '00:00'::time) AT TIME ZONE d.zone, (d.day + 1 + '00:00'::time) AT TIME ZONE d.zone, d.counted, d.recorded
      FROM @extschema@._reconcile_days() AS d
     WHERE @extschema@._events_are_in_place()
     UNION ALL
    SELECT c.user_id, NULL, NULL, NULL, c.counted, c.recorded
      FROM @extschema@._reconcile_credits() AS c;
END;


/* rates: how fast, and the state of shared memory */
/* rates: how fast?
 *
 * What was taken of a rate is in shared memory, outside transactions and tables.
 */
CREATE TABLE @extschema@.api_rate_limits (
    name         text COLLATE "C" NOT NULL
                 CHECK (name ~ '^[a-z][a-z0-9_.:-]*$' AND octet_length(name) <= 63),
    plan         text COLLATE "C" REFERENCES @extschema@.plans ON UPDATE CASCADE ON DELETE CASCADE,
    max_requests bigint NOT NULL CHECK (max_requests > 0 AND max_requests <= 1000000000000000),
    per          interval NOT NULL CHECK (per > '0' AND per <= '366 days'),
    burst        bigint,
    description  text,
    id           bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,  -- the real key has a NULL
    CONSTRAINT api_rate_limits_key UNIQUE NULLS NOT DISTINCT (name, plan),
    CONSTRAINT burst_comes_back CHECK (burst > 0 AND burst <= 1000 * max_requests::numeric)
);
COMMENT ON TABLE @extschema@.api_rate_limits IS
'The rate limits: so many requests in so long, for each user or key';
COMMENT ON COLUMN @extschema@.api_rate_limits.plan IS
'NULL: every plan that has no row of its own';
COMMENT ON COLUMN @extschema@.api_rate_limits.per IS
'A day has 24 hours here, a month 30 days';
COMMENT ON COLUMN @extschema@.api_rate_limits.burst IS
'How many may come at once; NULL is max_requests';
CREATE INDEX api_rate_limits_plan ON @extschema@.api_rate_limits (plan) WHERE plan IS NOT NULL;
COMMENT ON INDEX @extschema@.api_rate_limits_plan IS 'For the foreign key';
ALTER TABLE @extschema@.api_rate_limits ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.api_rate_limits', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.api_rate_limits_id_seq', '');
COMMENT ON SEQUENCE @extschema@.api_rate_limits_id_seq IS
'Numbers of rate limits';
CREATE TRIGGER change_recorded AFTER INSERT OR UPDATE OR DELETE ON @extschema@.api_rate_limits
    FOR EACH ROW EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER truncation_recorded BEFORE TRUNCATE ON @extschema@.api_rate_limits
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.api_rate_limits
    FOR EACH ROW EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.api_rate_limits ENABLE ALWAYS TRIGGER config_changed;
CREATE TRIGGER config_emptied AFTER TRUNCATE ON @extschema@.api_rate_limits
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.api_rate_limits ENABLE ALWAYS TRIGGER config_emptied;

CREATE FUNCTION @extschema@.define_rate_limit(
    name text, max_requests bigint, per interval, burst bigint DEFAULT NULL,
    plan text DEFAULT NULL, description text DEFAULT NULL) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_define_rate_limit';
COMMENT ON FUNCTION @extschema@.define_rate_limit(text, bigint, interval, bigint, text, text) IS
'Defines or changes a rate limit, for a plan or for all that have none of their own';

CREATE FUNCTION @extschema@.check_rate_limit(
    user_id @user_id@, name text, requests bigint DEFAULT 1, key text DEFAULT NULL) RETURNS @extschema@.usage_decision
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10
AS 'MODULE_PATHNAME', 'ut_check_rate_limit';
COMMENT ON FUNCTION @extschema@.check_rate_limit(@user_id@, text, bigint, text) IS
'Whether so many requests would be allowed now; takes nothing';

CREATE FUNCTION @extschema@.consume_rate_limit(
    user_id @user_id@, name text, requests bigint DEFAULT 1, key text DEFAULT NULL) RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10
AS 'MODULE_PATHNAME', 'ut_consume_rate_limit';
COMMENT ON FUNCTION @extschema@.consume_rate_limit(@user_id@, text, bigint, text) IS
'Takes so many requests of a rate, whatever becomes of the transaction, or answers why not';

CREATE FUNCTION @extschema@.require_rate_limit(
    user_id @user_id@, name text, requests bigint DEFAULT 1, key text DEFAULT NULL) RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10
AS 'MODULE_PATHNAME', 'ut_require_rate_limit';
COMMENT ON FUNCTION @extschema@.require_rate_limit(@user_id@, text, bigint, text) IS
'Like consume_rate_limit, but a refusal is an error (UT002)';

CREATE FUNCTION @extschema@._decision_headers(
    allowed boolean, limit_type text, used numeric, max_usage numeric, reset_at timestamptz,
    retry_after integer) RETURNS jsonb
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10
AS 'MODULE_PATHNAME', 'ut_decision_headers';
COMMENT ON FUNCTION @extschema@._decision_headers(boolean, text, numeric, numeric, timestamptz, integer) IS
'Internal: headers for the fields of a decision';

CREATE FUNCTION @extschema@.rate_limit_headers(decision @extschema@.usage_decision) RETURNS jsonb
LANGUAGE sql STABLE STRICT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT @extschema@._decision_headers(($1).allowed, ($1).limit_type, ($1).used, ($1).max_usage, ($1).reset_at, ($1).retry_after);
END;
COMMENT ON FUNCTION @extschema@.rate_limit_headers(@extschema@.usage_decision) IS
'A decision as headers of an HTTP answer: RateLimit-Policy, RateLimit and, if it denies, Retry-After';

/* db-pre-request of PostgREST. */
CREATE FUNCTION @extschema@.pre_request() RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10
AS 'MODULE_PATHNAME', 'ut_pre_request';
COMMENT ON FUNCTION @extschema@.pre_request() IS
'Takes a request of the rate that settings name, of the user or of the client''s address, and adds headers to the answer, or refuses (UT002)';

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


/* usage: history of another system */
/* usage, history: what another system has counted so far.
 *
 * COPY fills usage_imports, import_usage() moves what is there into usage_events.
 * Nothing is counted twice: rows are moved, not copied, and one call goes at a time.
 */

/* Without checks, which would stop a COPY half-way, and without row security, which
 * refuses COPY: grant_usage_access() lets server roles in and nobody else, and they
 * act for every user. */
CREATE TABLE @extschema@.usage_imports (
    id                 bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    user_id            @user_id_column@,
    usage_type         text COLLATE "C",
    quantity           numeric DEFAULT 1,
    tokens             bigint DEFAULT 0,
    cost               numeric DEFAULT 0,
    status             text DEFAULT 'success',
    event_subtype      text,
    duration_ms        bigint,
    error_message      text,
    resource_type      text,
    resource_id        text,
    parent_resource_id text,
    metadata           jsonb,
    occurred_at        timestamptz NOT NULL,
    refused            text
);
COMMENT ON TABLE @extschema@.usage_imports IS
'History on its way in: what import_usage() is going to record, and what it refused';
COMMENT ON COLUMN @extschema@.usage_imports.cost IS
'NULL if nobody knows what it cost';
COMMENT ON COLUMN @extschema@.usage_imports.refused IS
'Why import_usage() left it here, SQLSTATE and text; NULL if it has not looked yet';
COMMENT ON SEQUENCE @extschema@.usage_imports_id_seq IS 'Ids of rows of usage_imports';
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_imports', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_imports_id_seq', '');

CREATE FUNCTION @extschema@._import_refusal(
    user_id @user_id@, usage_type text, quantity numeric, tokens bigint, cost numeric, status text,
    event_subtype text, duration_ms bigint, resource_type text, resource_id text, parent_resource_id text,
    occurred_at timestamptz) RETURNS text
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10
AS 'MODULE_PATHNAME', 'ut_import_refusal';
COMMENT ON FUNCTION @extschema@._import_refusal(@user_id@, text, numeric, bigint, numeric, text, text, bigint, text, text, text, timestamptz) IS
'Internal: why track_usage() would refuse it, but for its age and whether the usage type is registered; NULL if it would not';

CREATE FUNCTION @extschema@._tidy_metadata(metadata jsonb) RETURNS jsonb
LANGUAGE C STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_tidy_metadata';
COMMENT ON FUNCTION @extschema@._tidy_metadata(jsonb) IS
'Internal: metadata as an event keeps it, without secrets, and cut if it is long';

CREATE FUNCTION @extschema@._cut_text(value text) RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_cut_text';
COMMENT ON FUNCTION @extschema@._cut_text(text) IS
'Internal: an error message as an event keeps it, cut if it is long';

CREATE FUNCTION @extschema@._keep_out_uses() RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_keep_out_uses';
COMMENT ON FUNCTION @extschema@._keep_out_uses() IS
'Internal: waits for all uses in flight and keeps new ones out until the transaction ends';

/* A month of which the DEFAULT partition has events gets the others there too. */
CREATE FUNCTION @extschema@._make_months_of_imports(taken tid[]) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    month timestamp;
BEGIN
    FOR month IN
        SELECT DISTINCT date_trunc('month', i.occurred_at AT TIME ZONE 'UTC')
          FROM @extschema@.usage_imports AS i WHERE i.ctid = ANY (taken)
    LOOP
        BEGIN
            PERFORM @extschema@.create_usage_partition(month::date);
        EXCEPTION WHEN check_violation THEN
            NULL;  -- the DEFAULT partition has some of it already
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@._make_months_of_imports(tid[]) IS
'Internal: makes the partitions that rows of usage_imports need';

/* Counters that what is imported changes: without a row, all events are the answer.
 * Who is new is known since his first event. */
CREATE FUNCTION @extschema@._prepare_users_of_imports(taken tid[]) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO @extschema@.user_subscriptions (user_id, started_at, anchor)
    SELECT i.user_id, min(i.occurred_at), min(i.occurred_at)
      FROM @extschema@.usage_imports AS i WHERE i.ctid = ANY (taken)
     GROUP BY i.user_id ORDER BY i.user_id
        ON CONFLICT ON CONSTRAINT user_subscriptions_pkey DO NOTHING;
    DELETE FROM @extschema@.usage_counters AS c
     USING (SELECT i.user_id, min(i.occurred_at) AS first, max(i.occurred_at) AS last
              FROM @extschema@.usage_imports AS i WHERE i.ctid = ANY (taken) GROUP BY i.user_id) AS u
     WHERE c.user_id = u.user_id AND c.window_start <= u.last AND c.window_end > u.first;
END
$$;
COMMENT ON FUNCTION @extschema@._prepare_users_of_imports(tid[]) IS
'Internal: makes users of usage_imports known and removes their counters of windows that history changes';

CREATE FUNCTION @extschema@._judge_imports(taken tid[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refusals bigint;
BEGIN
    WITH judged AS MATERIALIZED (
        SELECT i.ctid AS place,
               COALESCE(@extschema@._import_refusal(i.user_id, i.usage_type, i.quantity, i.tokens, i.cost, i.status,
                                                    i.event_subtype, i.duration_ms, i.resource_type, i.resource_id,
                                                    i.parent_resource_id, i.occurred_at),
                        CASE WHEN i.occurred_at < '0001-01-01 00:00+00' THEN '22008: argument "occurred_at" is out of range'
                             WHEN t.usage_type IS NULL
                             THEN format('UT004: usage type "%s" is not registered', i.usage_type) END) AS refusal
          FROM @extschema@.usage_imports AS i
          LEFT JOIN @extschema@.usage_types AS t ON t.usage_type = i.usage_type
         WHERE i.ctid = ANY (taken)
    )
    UPDATE @extschema@.usage_imports AS i SET refused = j.refusal
      FROM judged AS j WHERE i.ctid = j.place AND j.refusal IS NOT NULL;
    GET DIAGNOSTICS refusals = ROW_COUNT;
    RETURN refusals;
END
$$;
COMMENT ON FUNCTION @extschema@._judge_imports(tid[]) IS
'Internal: marks rows of usage_imports that are no events, and returns how many';

/* A row that is marked has moved, so that its old place is nobody's any more. */
CREATE FUNCTION @extschema@._import_usage(max_rows bigint, OUT recorded bigint, OUT refused bigint) RETURNS record
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken tid[];
BEGIN
    LOCK TABLE ONLY @extschema@.usage_imports IN SHARE UPDATE EXCLUSIVE MODE;  -- one goes at a time; COPY goes on
    taken := ARRAY(SELECT i.ctid FROM @extschema@.usage_imports AS i WHERE i.refused IS NULL
                    ORDER BY i.occurred_at, i.id LIMIT max_rows FOR UPDATE SKIP LOCKED);
    refused := @extschema@._judge_imports(taken);
    recorded := 0;
    IF refused = cardinality(taken) THEN
        RETURN;
    END IF;
    PERFORM @extschema@._keep_out_uses();
    PERFORM @extschema@._make_months_of_imports(taken);
    PERFORM @extschema@._prepare_users_of_imports(taken);
    WITH moved AS (
        DELETE FROM @extschema@.usage_imports AS i WHERE i.ctid = ANY (taken) RETURNING i.*
    )
    INSERT INTO @extschema@.usage_events (id, user_id, usage_type, quantity, tokens, cost, status, event_subtype, duration_ms,
                                          error_message, resource_type, resource_id, parent_resource_id, metadata, occurred_at)
    SELECT nextval('@extschema@.usage_events_id_seq'::regclass), m.user_id, m.usage_type, trim_scale(m.quantity), m.tokens,
           trim_scale(m.cost), CASE m.status WHEN 'error' THEN 'failed' ELSE m.status END, m.event_subtype, m.duration_ms,
           @extschema@._cut_text(m.error_message), m.resource_type, m.resource_id, m.parent_resource_id,
           @extschema@._tidy_metadata(m.metadata), m.occurred_at
      FROM moved AS m ORDER BY m.user_id, m.occurred_at, m.id;  -- as their key does
    GET DIAGNOSTICS recorded = ROW_COUNT;
END
$$;
COMMENT ON FUNCTION @extschema@._import_usage(bigint) IS
'Internal: the work of import_usage()';

CREATE FUNCTION @extschema@.import_usage(
    max_rows bigint DEFAULT NULL, OUT recorded bigint, OUT refused bigint) RETURNS record
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100000
AS 'MODULE_PATHNAME', 'ut_import_usage';
COMMENT ON FUNCTION @extschema@.import_usage(bigint) IS
'Moves rows of usage_imports, the oldest first, into history, and marks those that are no events';

CREATE OR REPLACE FUNCTION @extschema@._forget_user(user_id @user_id@, erase boolean) RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone  @user_id@ := $1;
    fresh @user_id@;
BEGIN
    LOCK TABLE ONLY @extschema@.stripe_events IN SHARE ROW EXCLUSIVE MODE;  -- none is on its way, which might wait for him
    DELETE FROM @extschema@.usage_imports AS i WHERE i.user_id = gone;  -- before uses are kept out, as an import does
    PERFORM @extschema@._lock_rollups();  -- before he is locked out: a long count may be under way
    LOCK TABLE ONLY @extschema@.usage_events_moving IN ROW EXCLUSIVE MODE;  -- nobody makes copies
    PERFORM @extschema@._lock_out_user(gone);  -- before his rows, like who ends a run or commits
    DELETE FROM @extschema@.usage_runs AS r WHERE r.user_id = gone;
    DELETE FROM @extschema@.usage_reservations AS r WHERE r.user_id = gone;
    DELETE FROM @extschema@.usage_run_deliveries AS d WHERE d.user_id = gone;
    DELETE FROM @extschema@.usage_levels AS l WHERE l.user_id = gone;  -- and his leases
    fresh := @extschema@._forget_events(gone, erase);
    UPDATE @extschema@.usage_counters AS c SET user_id = fresh WHERE c.user_id = gone;
    UPDATE @extschema@.usage_carried AS c SET user_id = fresh WHERE c.user_id = gone;
    PERFORM @extschema@._forget_days(gone, fresh, erase);
    PERFORM @extschema@._forget_credits(gone, fresh);
    DELETE FROM @extschema@.usage_keys AS k WHERE k.user_id = gone;
    DELETE FROM @extschema@.campaigns AS c WHERE c.user_id = gone;
    DELETE FROM @extschema@.usage_alerts AS a WHERE a.user_id = gone;
    UPDATE @extschema@.usage_alerts AS a SET acknowledged_by = NULL
     WHERE a.acknowledged_by = gone AND a.acknowledged_by <> a.user_id;
    DELETE FROM @extschema@.user_limits AS l WHERE l.user_id = gone;
    DELETE FROM @extschema@.user_roles AS r WHERE r.user_id = gone;
    UPDATE @extschema@.user_roles AS r SET granted_by = NULL WHERE r.granted_by = gone;
    PERFORM @extschema@._forget_stripe(gone);
    DELETE FROM @extschema@.user_subscriptions AS s WHERE s.user_id = gone;
    DELETE FROM @extschema@.deleted_users AS d WHERE d.user_id = gone;
    PERFORM @extschema@._forget_changes(gone, erase);  -- the last: it has what was just deleted
END
$$;


/* access: who may call and read what is new */
CREATE OR REPLACE FUNCTION @extschema@._audience(OUT function regprocedure, OUT audience text) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.oid::regprocedure,
           CASE WHEN p.proname = ANY (ARRAY[
                    'current_user_id', 'is_admin', 'has_role', 'get_user_roles', '_sees_all_users', '_usage_of_user', '_calls_of_user',
                    'check_usage_limit', 'consume_usage', 'require_usage', 'describe_decision',
                    'grant_role', 'revoke_role', 'make_admin_by_email', 'set_user_plan', 'set_user_clock',
                    'define_usage_type', 'define_usage_limit', 'set_plan_limit', 'set_temporary_limit', 'set_user_limit',
                    'define_usage_alert', 'get_usage_alerts', 'acknowledge_usage_alert',
                    'reverse_usage', 'adjust_usage', 'reset_user_usage', 'recost_usage', 'set_usage_level', 'add_usage_level', 'define_campaign', 'erase_user', 'export_user_data',
                    'calculate_openai_cost', 'calculate_llm_cost', 'calculate_image_cost', 'calculate_video_cost',
                    'usage_from_openai', 'usage_from_anthropic', 'usage_from_opentelemetry',
                    '_usage_object', '_token_count', '_check_token_count',
                    'get_user_usage', 'get_campaigns', 'get_user_costs', 'get_user_usage_history', 'get_user_aggregations', 'get_user_stats',
                    'get_usage_totals', 'get_top_users', 'get_usage_trends', 'get_conversion_funnel', 'get_error_rates',
                    'get_cost_breakdown', 'get_unit_costs', 'get_cost_forecast', 'get_users_near_limit',
                    'user_dashboard', 'admin_dashboard', 'visible_users', 'dashboard_page', 'user_page', 'admin_page', 'usage_report',
                    'set_credit_cost', 'set_credit_refill', 'set_credit_overdraft', 'grant_credits', 'spend_credits', 'refund_credits',
                    'credit_balance', '_credits_of_user', '_credit_transactions_of_user',
                    'set_stripe_price', 'stripe_meter_events',
                    'popular_resources', 'trending_resources', 'get_top_resource_users', 'get_usage_heatmap',
                    '_usage_tally', '_tally_uses', '_check_max_rows', '_zone_or_default', '_usage_now',
                    'define_rate_limit', 'check_rate_limit', 'consume_rate_limit', 'require_rate_limit',
                    'rate_limit_headers', '_decision_headers', 'pre_request', '_memory_areas',
                    'get_run', 'list_runs', 'get_run_deliveries', 'run_usage', 'check_monthly_usage_limit', '_monthly_runs'])
                  OR p.proname ~ '^_(html|page|text)_' OR p.proname = '_page'
                THEN 'user'
                WHEN p.proname = ANY (ARRAY['act_for_any_user', 'track_usage', 'track_api_usage', 'track_usage_batch',
                                                'reserve_usage', 'commit_usage', 'release_usage',
                                                'acquire_lease', 'renew_lease', 'release_lease', 'apply_stripe_event',
                                                'import_usage', 'start_run', 'update_run', 'succeed_run', 'fail_run', 'cancel_run', 'record_delivery'])
                THEN 'server'
                ELSE 'owner' END
      FROM pg_catalog.pg_depend AS us
      JOIN pg_catalog.pg_depend AS d
        ON d.refclassid = us.refclassid AND d.refobjid = us.refobjid
       AND d.classid = 'pg_catalog.pg_proc'::regclass AND d.deptype = 'e'
      JOIN pg_catalog.pg_proc AS p ON p.oid = d.objid
     WHERE us.classid = 'pg_catalog.pg_class'::regclass AND us.objid = '@extschema@.usage_events'::regclass
       AND us.deptype = 'e';
END;

CREATE OR REPLACE FUNCTION @extschema@._readable(OUT relation regclass, OUT columns text[]) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    VALUES ('@extschema@.user_usage'::regclass, NULL::text[]),
           ('@extschema@.api_usage'::regclass, NULL),
           ('@extschema@.user_credits'::regclass, NULL),
           ('@extschema@.credit_transactions'::regclass, NULL),
           ('@extschema@.user_monthly_usage'::regclass, NULL),
           ('@extschema@.usage_memory'::regclass, NULL),
           ('@extschema@.user_subscriptions'::regclass, ARRAY[
            'user_id', 'plan', 'status', 'billing_period_start', 'billing_period_end', 'started_at',
            'expires_at', 'time_zone', 'anchor']);
END;

CREATE OR REPLACE FUNCTION @extschema@.grant_usage_access(role name, server boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    callable regprocedure;
    readable record;
BEGIN
    IF role IS NULL OR server IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('argument "%s" must not be null', CASE WHEN role IS NULL THEN 'role' ELSE 'server' END);
    END IF;
    IF role = 'public' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'access cannot be granted to everybody',
            HINT = 'Name a role; on Supabase, authenticated.';
    ELSIF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('role "%s" does not exist', role);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', '@extschema@', role);
    FOR callable IN
        SELECT a.function FROM @extschema@._audience() AS a
         WHERE a.audience = 'user' OR (a.audience = 'server' AND server)
         ORDER BY a.function::text
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', callable, role);
    END LOOP;
    FOR readable IN
        SELECT r.relation, (SELECT '(' || string_agg(quote_ident(c), ', ') || ')' FROM unnest(r.columns) AS c) AS columns
          FROM @extschema@._readable() AS r
         ORDER BY r.relation::text
    LOOP
        EXECUTE format('GRANT SELECT %s ON %s TO %I', readable.columns, readable.relation, role);
    END LOOP;
    EXECUTE format('GRANT UPDATE ON %s.user_usage TO %I', '@extschema@', role);
    IF server THEN
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON %s.usage_imports TO %I', '@extschema@', role);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION @extschema@.usage_security_check(OUT object text, OUT problem text) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    WITH home AS MATERIALIZED (
        SELECT x.oid, x.extowner, x.extnamespace
          FROM pg_catalog.pg_extension AS x
          JOIN pg_catalog.pg_depend AS us ON us.refobjid = x.oid AND us.deptype = 'e'
         WHERE us.refclassid = 'pg_catalog.pg_extension'::regclass
           AND us.classid = 'pg_catalog.pg_class'::regclass AND us.objid = '@extschema@.usage_events'::regclass
    ), audience AS MATERIALIZED (
        SELECT f.function, f.audience FROM @extschema@._audience() AS f
    ), relations AS MATERIALIZED (
        SELECT c.* FROM pg_catalog.pg_class AS c, home
         WHERE c.oid IN (SELECT d.objid FROM pg_catalog.pg_depend AS d
                          WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = home.oid
                            AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'e')
            OR c.oid IN (SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i
                          WHERE i.inhparent = ANY (ARRAY['@extschema@.usage_events'::regclass,
                                                         '@extschema@.usage_events_moving'::regclass]))
    ), grants AS MATERIALIZED (
        SELECT r.oid, a.grantee, a.privilege_type, ''::text AS of_column
          FROM relations AS r, LATERAL pg_catalog.aclexplode(r.relacl) AS a
         WHERE a.grantee <> r.relowner
         UNION ALL
        SELECT r.oid, a.grantee, a.privilege_type, t.attname::text
          FROM relations AS r
          JOIN pg_catalog.pg_attribute AS t ON t.attrelid = r.oid AND t.attacl IS NOT NULL,
               LATERAL pg_catalog.aclexplode(t.attacl) AS a
         WHERE a.grantee <> r.relowner
    ), policies AS MATERIALIZED (
        SELECT p.polrelid, p.polname, p.polcmd, p.polpermissive, p.polwithcheck IS NULL OR c.expression = 'false' AS writes_nothing,
               COALESCE(pg_catalog.replace(q.expression, '"', ''), 'false') AS qual,
               NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                            WHERE d.classid = 'pg_catalog.pg_policy'::regclass AND d.objid = p.oid
                              AND d.refclassid = 'pg_catalog.pg_proc'::regclass
                              AND NOT EXISTS (SELECT FROM audience AS f WHERE f.function = d.refobjid)) AS calls_only_ours,
               EXISTS (SELECT FROM @extschema@._readable() AS k WHERE k.relation = p.polrelid) AS is_readable
          FROM pg_catalog.pg_policy AS p,
               LATERAL pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS q (expression),
               LATERAL pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) AS c (expression)
    ), calls AS MATERIALIZED (
        SELECT f.function, f.audience, a.grantee, p.proowner
          FROM audience AS f
          JOIN pg_catalog.pg_proc AS p ON p.oid = f.function,
               LATERAL pg_catalog.aclexplode(COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS a
         WHERE a.grantee <> p.proowner
    )
    SELECT g.oid::regclass::text,
           pg_catalog.format('%s may %s%s', CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END,
                             g.privilege_type, CASE WHEN g.of_column = '' THEN '' ELSE ' column ' || g.of_column END)
      FROM grants AS g
     WHERE (g.grantee = 0
            OR (g.privilege_type <> 'SELECT'
                AND NOT (g.privilege_type = 'UPDATE' AND g.oid = '@extschema@.user_usage'::regclass))
            OR NOT EXISTS (SELECT FROM @extschema@._readable() AS r
                            WHERE r.relation = g.oid AND (r.columns IS NULL OR g.of_column = ANY (r.columns))))
       -- servers bring history
       AND NOT (g.oid = '@extschema@.usage_imports'::regclass AND g.grantee <> 0
                AND g.privilege_type = ANY (ARRAY['SELECT', 'INSERT', 'DELETE'])
                AND pg_catalog.has_function_privilege(g.grantee, '@extschema@.act_for_any_user()', 'EXECUTE'))
     UNION ALL
    SELECT c.function::text,
           pg_catalog.format('%s may call it', CASE WHEN c.grantee = 0 THEN 'PUBLIC' ELSE c.grantee::regrole::text END)
      FROM calls AS c
     WHERE c.grantee = 0
        OR c.audience = 'owner'
        OR (c.audience = 'server'
            AND NOT pg_catalog.has_function_privilege(c.grantee, '@extschema@.act_for_any_user()', 'EXECUTE'))
     UNION ALL
    SELECT r.oid::regclass::text, 'row security is off'
      FROM relations AS r
     WHERE r.relkind = ANY (ARRAY['r'::"char", 'p'::"char"]) AND NOT r.relrowsecurity
       AND r.oid <> '@extschema@.usage_imports'::regclass
     UNION ALL
    SELECT r.oid::regclass::text, 'view does not run with the rights of its reader, or shows rows to his functions too early'
      FROM relations AS r
     WHERE r.relkind = 'v'::"char"
       AND NOT COALESCE(r.reloptions, '{}'::text[]) @> ARRAY['security_invoker=true', 'security_barrier=true']
     UNION ALL
    SELECT r.oid::regclass::text, 'its owner is not the owner of the extension'
      FROM relations AS r, home WHERE r.relowner <> home.extowner
     UNION ALL
    SELECT r.oid::regclass::text, pg_catalog.format('policy %s is not ours', p.polname)
      FROM relations AS r JOIN policies AS p ON p.polrelid = r.oid
     WHERE NOT (p.polname = 'own_or_all' AND p.is_readable)
       -- one that lets nobody do what own_or_all does not
       AND NOT (p.polpermissive AND p.writes_nothing AND p.calls_only_ours
                AND (p.qual = 'false'
                     OR (p.is_readable AND p.polcmd = 'r'::"char"
                         AND p.qual ~ '^([(]user_id = [(] SELECT ([^()]+[.])?current_user_id[(][)] AS current_user_id[)][)]|[(] SELECT ([^()]+[.])?_sees_all_users[(][)] AS _sees_all_users[)])$')))
     UNION ALL
    SELECT r.oid::regclass::text, 'policy own_or_all is missing or changed'
      FROM relations AS r
     WHERE r.relkind <> 'v'::"char" AND EXISTS (SELECT FROM @extschema@._readable() AS k WHERE k.relation = r.oid)
       AND NOT EXISTS (SELECT FROM policies AS p
                        WHERE p.polrelid = r.oid AND p.polname = 'own_or_all'
                          AND p.polpermissive AND p.polcmd = 'r'::"char" AND p.calls_only_ours
                          AND p.qual ~ '^[(][(]user_id = [(] SELECT ([^()]+[.])?current_user_id[(][)] AS current_user_id[)][)] OR [(] SELECT ([^()]+[.])?_sees_all_users[(][)] AS _sees_all_users[)][)]$')
     UNION ALL
    SELECT f.function::text, 'its owner is not the owner of the extension'
      FROM audience AS f JOIN pg_catalog.pg_proc AS p ON p.oid = f.function, home
     WHERE p.proowner <> home.extowner
     UNION ALL
    SELECT f.function::text, 'it runs with the rights of its owner'
      FROM audience AS f JOIN pg_catalog.pg_proc AS p ON p.oid = f.function
     WHERE p.prosecdef
       AND NOT p.proname = ANY (ARRAY['handle_new_user', 'handle_deleted_user', 'create_usage_partition', 'usage_maintenance',
                                  '_record_change'])
     UNION ALL
    SELECT f.function::text, 'its search_path is open'
      FROM audience AS f JOIN pg_catalog.pg_proc AS p ON p.oid = f.function
      JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
     WHERE (p.prosecdef OR l.lanname = 'plpgsql')
       AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) AS setting
                        WHERE pg_catalog.replace(setting, '"', '') = 'search_path=pg_catalog, pg_temp')
     UNION ALL
    SELECT r.oid::regclass::text, pg_catalog.format('trigger %s is disabled', t.tgname)
      FROM relations AS r JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = r.oid AND NOT t.tgisinternal
     WHERE NOT t.tgenabled = ANY (ARRAY['O'::"char", 'A'::"char"])
       AND NOT (t.tgname = 'event_comes' AND t.tgenabled = 'R')
     UNION ALL
    SELECT p.parname, pg_catalog.format('%s may %s', CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
                                        a.privilege_type)
      FROM pg_catalog.pg_parameter_acl AS p, home, LATERAL pg_catalog.aclexplode(p.paracl) AS a
     WHERE pg_catalog.starts_with(p.parname, 'usage_tracking.') AND p.parname <> 'usage_tracking.error_style'
       AND a.grantee <> 10 AND a.grantee <> home.extowner  -- 10 is the superuser of initdb
       AND (a.grantee = 0 OR p.parname <> 'usage_tracking.user_id' OR a.privilege_type <> 'SET')
     UNION ALL
    SELECT n.nspname::text, 'the schema was renamed: functions in PL/pgSQL still look for the old name'
      FROM home JOIN pg_catalog.pg_namespace AS n ON n.oid = home.extnamespace
     WHERE n.nspname <> pg_catalog.btrim('@extschema@', '"')
     UNION ALL
    SELECT n.nspname::text, pg_catalog.format('%s owns the schema, but not the extension', n.nspowner::regrole)
      FROM home JOIN pg_catalog.pg_namespace AS n ON n.oid = home.extnamespace
      JOIN pg_catalog.pg_roles AS o ON o.oid = n.nspowner
     WHERE n.nspowner <> home.extowner AND NOT o.rolsuper AND o.rolname <> 'pg_database_owner'
     UNION ALL
    SELECT r.oid::regclass::text, pg_catalog.format('trigger %s is not ours', t.tgname)
      FROM relations AS r
      JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = r.oid AND NOT t.tgisinternal
      JOIN pg_catalog.pg_proc AS f ON f.oid = t.tgfoid
     WHERE NOT EXISTS (SELECT FROM audience AS a WHERE a.function = f.oid)
     UNION ALL
    SELECT r.oid::regclass::text, 'history can be changed: trigger history_is_kept or history_is_not_truncated is missing'
      FROM relations AS r
     WHERE (r.relkind = 'p'::"char" OR r.relispartition OR r.oid = '@extschema@.usage_changes'::regclass OR r.oid = '@extschema@.credit_ledger'::regclass) AND r.relkind <> 'i'::"char"
       AND (SELECT pg_catalog.count(*) FROM pg_catalog.pg_trigger AS t
             WHERE t.tgrelid = r.oid AND t.tgname = ANY (ARRAY['history_is_kept', 'history_is_not_truncated'])
) < 2
     UNION ALL
    SELECT r.oid::regclass::text, 'its changes are not recorded: trigger change_recorded, new_plan_recorded or truncation_recorded is missing'
      FROM relations AS r
     WHERE r.oid = ANY (ARRAY['@extschema@.usage_limits'::regclass, '@extschema@.plan_limits'::regclass,
                              '@extschema@.temporary_limits'::regclass, '@extschema@.user_limits'::regclass,
                              '@extschema@.plans'::regclass, '@extschema@.stripe_prices'::regclass, '@extschema@.model_prices'::regclass, '@extschema@.model_aliases'::regclass,
                              '@extschema@.usage_alert_rules'::regclass, '@extschema@.credit_costs'::regclass, '@extschema@.credit_refills'::regclass,
                              '@extschema@.api_rate_limits'::regclass,
                              '@extschema@.user_roles'::regclass, '@extschema@.user_subscriptions'::regclass])
       AND (SELECT pg_catalog.bit_or(t.tgtype::integer) FROM pg_catalog.pg_trigger AS t
             WHERE t.tgrelid = r.oid AND t.tgfoid = '@extschema@._record_change()'::regprocedure)
           IS DISTINCT FROM 63  -- for each row and before; INSERT, DELETE, UPDATE, TRUNCATE
     UNION ALL
    SELECT n.nspname::text,
           pg_catalog.format('%s may create objects beside ours',
                             CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
      FROM home JOIN pg_catalog.pg_namespace AS n ON n.oid = home.extnamespace,
           LATERAL pg_catalog.aclexplode(n.nspacl) AS a
     WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner AND a.grantee <> home.extowner;
END;

