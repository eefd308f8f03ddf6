/* rollups: how was it over time?
 *
 * Sums of events by day and by month; that they, and counters, agree with events is
 * proved in sql/rollups_proof.sql.
 *
 * How far the sums go is told by transaction ids, not by time: an event is
 * counted once its transaction, and every older one, was over when somebody
 * looked.  So an event that is committed late is never passed over, whatever
 * clocks say; as long as an old transaction is open, more is read from events.
 * Answers are sums plus the events that are not in them, in one snapshot.
 */
CREATE FUNCTION @extschema@._system_identifier() RETURNS bigint
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_system_identifier';
COMMENT ON FUNCTION @extschema@._system_identifier() IS
'Internal: which cluster this is; another one has other transaction ids';

/* By the library, which may not be loaded yet. */
CREATE FUNCTION @extschema@._default_time_zone() RETURNS text
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_default_time_zone';
COMMENT ON FUNCTION @extschema@._default_time_zone() IS
'Internal: usage_tracking.time_zone';

/* A snapshot does not tell: what it has for the highest id may be one that is taken. */
CREATE FUNCTION @extschema@._next_xact_id() RETURNS xid8
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_next_xact_id';
COMMENT ON FUNCTION @extschema@._next_xact_id() IS
'Internal: the id of the next transaction that asks for one';

/* Rows of events that are there can be made again from them at any time. */
CREATE TABLE @extschema@.usage_aggregations (
    user_id         @user_id_column@ NOT NULL,
    day             date NOT NULL,
    usage_type      text COLLATE "C" NOT NULL,
    provider        text COLLATE "C" NOT NULL,
    model           text COLLATE "C" NOT NULL,
    campaign_id     text COLLATE "C" NOT NULL,
    status          text COLLATE "C" NOT NULL,
    is_final        boolean NOT NULL,
    events          bigint NOT NULL,
    quantity        numeric NOT NULL,
    tokens          numeric NOT NULL,
    input_tokens    numeric NOT NULL,
    output_tokens   numeric NOT NULL,
    cost            numeric NOT NULL,
    unpriced        bigint NOT NULL,
    duration_ms_sum numeric NOT NULL,
    duration_count  bigint NOT NULL,
    duration_ms_max bigint,
    PRIMARY KEY (user_id, day, usage_type, provider, model, campaign_id, status, is_final)
);
COMMENT ON TABLE @extschema@.usage_aggregations IS
'Sums of events per user, day, usage type, provider, model, campaign and status; a correction is in the sum of what it corrects';
COMMENT ON COLUMN @extschema@.usage_aggregations.day IS
'In usage_tracking.time_zone as it was when counting began';
COMMENT ON COLUMN @extschema@.usage_aggregations.provider IS
'As model and campaign_id, '''' if the events have none';
COMMENT ON COLUMN @extschema@.usage_aggregations.is_final IS
'True for events that retention has dropped';
COMMENT ON COLUMN @extschema@.usage_aggregations.unpriced IS
'How many of the events have no cost';
CREATE INDEX usage_aggregations_day ON @extschema@.usage_aggregations USING brin (day) WITH (autosummarize = on, pages_per_range = 32);
COMMENT ON INDEX @extschema@.usage_aggregations_day IS 'All users on some days';
ALTER TABLE @extschema@.usage_aggregations ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_aggregations', '');

CREATE TABLE @extschema@.usage_daily_totals (
    day             date NOT NULL,
    usage_type      text COLLATE "C" NOT NULL,
    provider        text COLLATE "C" NOT NULL,
    model           text COLLATE "C" NOT NULL,
    status          text COLLATE "C" NOT NULL,
    is_final        boolean NOT NULL,
    events          bigint NOT NULL,
    quantity        numeric NOT NULL,
    tokens          numeric NOT NULL,
    input_tokens    numeric NOT NULL,
    output_tokens   numeric NOT NULL,
    cost            numeric NOT NULL,
    unpriced        bigint NOT NULL,
    duration_ms_sum numeric NOT NULL,
    duration_count  bigint NOT NULL,
    duration_ms_max bigint,
    PRIMARY KEY (day, usage_type, provider, model, status, is_final)
);
COMMENT ON TABLE @extschema@.usage_daily_totals IS
'usage_aggregations summed over users and campaigns, which are of users';
ALTER TABLE @extschema@.usage_daily_totals ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_daily_totals', '');

/* Of days there are as many rows as a user has models; who asks about all users
 * reads a row a month of each.  They are made of usage_aggregations alone. */
CREATE TABLE @extschema@.usage_user_months (
    user_id      @user_id_column@ NOT NULL,
    usage_type   text COLLATE "C" NOT NULL,
    month        date NOT NULL,
    uses         bigint NOT NULL,
    failed       bigint NOT NULL,
    quantity     numeric NOT NULL,
    tokens       numeric NOT NULL,
    cost         numeric NOT NULL,
    unpriced     bigint NOT NULL,
    active_days  integer NOT NULL,
    success_days integer NOT NULL,
    PRIMARY KEY (user_id, usage_type, month)
) WITH (fillfactor = 80);
COMMENT ON TABLE @extschema@.usage_user_months IS
'usage_aggregations summed over days, providers, models, campaigns and statuses';
COMMENT ON COLUMN @extschema@.usage_user_months.uses IS
'Events with status success; failed are the others';
COMMENT ON COLUMN @extschema@.usage_user_months.active_days IS
'Days of the month with events: bit 0 is the first; success_days those with a success';
CREATE INDEX usage_user_months_month ON @extschema@.usage_user_months (month);
COMMENT ON INDEX @extschema@.usage_user_months_month IS 'All users of a month';
ALTER TABLE @extschema@.usage_user_months ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_user_months', '');

/* ---- what is counted ---- */

/* One row.  Counting goes in passes over the ids above floor_id up to end_id.
 * Before a pass, events up to base_id are counted, and later ones of
 * transactions before "through"; after it, those before next_through.  What was
 * recorded up to base_id is counted by its id alone: it may be of another cluster. */
CREATE TABLE @extschema@.usage_rollup_state (
    only_row          boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    system_identifier bigint NOT NULL DEFAULT 0,
    events_oid        oid NOT NULL DEFAULT 0,
    time_zone         text NOT NULL DEFAULT 'UTC',
    base_id           bigint NOT NULL DEFAULT 0,
    through           xid8 NOT NULL DEFAULT '0',
    next_through      xid8 NOT NULL DEFAULT '0',
    floor_id          bigint NOT NULL DEFAULT 0,
    next_floor_id     bigint NOT NULL DEFAULT 0,
    done_id           bigint NOT NULL DEFAULT 0,
    end_id            bigint NOT NULL DEFAULT 0,
    mark_xid          xid8 NOT NULL DEFAULT '0',
    mark_id           bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE @extschema@.usage_rollup_state IS
'Which events usage_aggregations and usage_daily_totals have counted';
COMMENT ON COLUMN @extschema@.usage_rollup_state.system_identifier IS
'The cluster whose transaction ids these are; in another one counting begins again';
COMMENT ON COLUMN @extschema@.usage_rollup_state.events_oid IS
'The table that was counted; a restore makes another one, and may bring events of another cluster';
COMMENT ON COLUMN @extschema@.usage_rollup_state.floor_id IS
'Every event up to this id is counted';
COMMENT ON COLUMN @extschema@.usage_rollup_state.done_id IS
'How far the present pass has come';
COMMENT ON COLUMN @extschema@.usage_rollup_state.mark_id IS
'Transactions from mark_xid on record events above this id only';
ALTER TABLE @extschema@.usage_rollup_state ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_rollup_state', '');

/* Events that replication brings have the transaction ids of their publisher. */
CREATE FUNCTION @extschema@._events_are_replicated() RETURNS boolean
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS r
                    WHERE r.srrelid = '@extschema@.usage_events'::regclass
                       OR r.srrelid IN (SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i
                                         WHERE i.inhparent = '@extschema@.usage_events'::regclass));
END;
COMMENT ON FUNCTION @extschema@._events_are_replicated() IS
'Internal: whether events come from a publisher; then they are not counted here';

/* Always one row.  Where the state is of another cluster nothing is counted: all
 * is to be read from events, but for what is final.  LIMIT says to the planner
 * that it is one row. */
CREATE FUNCTION @extschema@._rollup_progress(
    OUT is_current boolean, OUT zone text, OUT by_id boolean, OUT floor_id bigint, OUT base_id bigint, OUT through xid8,
    OUT done_id bigint, OUT next_through xid8) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT v.ok,
           CASE WHEN v.ok THEN s.time_zone ELSE @extschema@._default_time_zone() END,
           v.ok AND q.last_value - s.floor_id <= 20000,
           CASE WHEN v.ok THEN s.floor_id ELSE -9223372036854775808 END,
           CASE WHEN v.ok THEN s.base_id ELSE 9223372036854775807 END,
           s.through,
           CASE WHEN v.ok THEN s.done_id ELSE -9223372036854775808 END,
           s.next_through
      FROM @extschema@.usage_events_id_seq AS q
      LEFT JOIN @extschema@.usage_rollup_state AS s ON true
     CROSS JOIN LATERAL (
           SELECT COALESCE(s.system_identifier = @extschema@._system_identifier()
                           AND s.events_oid = '@extschema@.usage_events'::regclass::oid
                           AND NOT @extschema@._events_are_replicated()
                           AND s.next_through <= pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()), false)) AS v (ok)
     LIMIT 1;
END;
COMMENT ON FUNCTION @extschema@._rollup_progress() IS
'Internal: which events are counted, in which zone; by_id: those that are not are found faster by id than by user';

CREATE FUNCTION @extschema@._is_uncounted(
    id bigint, xact_id xid8, floor_id bigint, base_id bigint, through xid8, done_id bigint, next_through xid8) RETURNS boolean
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT id > floor_id
       AND NOT (id > base_id AND xact_id < through)
       AND NOT (id <= done_id AND (id <= base_id OR xact_id < next_through));
END;
COMMENT ON FUNCTION @extschema@._is_uncounted(bigint, xid8, bigint, bigint, xid8, bigint, xid8) IS
'Internal: whether an event is still to be counted';

/* Every event as it counts.  An adjustment is of one limit, and no use.  A call
 * without a cost is unpriced until the first correction that gives it one or takes
 * it back; corrections have the instant of what they correct, and come one by one. */
CREATE FUNCTION @extschema@._event_amounts(
    zone text,
    OUT id bigint, OUT xact_id xid8, OUT user_id @user_id@, OUT occurred_at timestamptz, OUT day date, OUT usage_type text,
    OUT provider text, OUT model text, OUT campaign_id text, OUT status text, OUT events bigint, OUT quantity numeric,
    OUT tokens numeric, OUT input_tokens numeric, OUT output_tokens numeric, OUT cost numeric, OUT unpriced bigint,
    OUT duration_ms bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT e.id, e.xact_id, e.user_id, e.occurred_at, (e.occurred_at AT TIME ZONE $1)::date, e.usage_type,
           COALESCE(e.provider, ''), COALESCE(e.model, ''), COALESCE(e.campaign_id, ''),
           COALESCE(e.corrected_status, e.status), COALESCE(e.corrected_events, 1), e.quantity,
           e.tokens::numeric, COALESCE(e.input_tokens, 0)::numeric, COALESCE(e.output_tokens, 0)::numeric,
           COALESCE(e.cost, 0),
           CASE WHEN e.corrects IS NULL THEN CASE WHEN e.cost IS NULL THEN 1 ELSE 0 END
                WHEN (e.price_id IS NOT NULL OR e.corrected_events < 0)
                     AND EXISTS (SELECT FROM @extschema@.usage_events AS c
                                  WHERE c.user_id = e.user_id AND c.occurred_at = e.occurred_at AND c.id = e.corrects
                                    AND c.cost IS NULL)
                     AND NOT EXISTS (SELECT FROM @extschema@.usage_events AS c
                                      WHERE c.user_id = e.user_id AND c.occurred_at = e.occurred_at AND c.id < e.id
                                        AND c.corrects = e.corrects AND (c.price_id IS NOT NULL OR c.corrected_events < 0))
                THEN -1 ELSE 0 END,
           e.duration_ms
      FROM @extschema@.usage_events AS e
     WHERE e.corrected_limit IS NULL;
END;
COMMENT ON FUNCTION @extschema@._event_amounts(text) IS
'Internal: what each event adds to the sums of its day in a zone';

/* One who writes at a time.  At REPEATABLE READ a state that is newer than the
 * snapshot is an error. */
CREATE FUNCTION @extschema@._lock_rollups() RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE @extschema@.usage_rollup_state IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO @extschema@.usage_rollup_state DEFAULT VALUES ON CONFLICT DO NOTHING;
    PERFORM FROM @extschema@.usage_rollup_state FOR UPDATE;
END
$$;
COMMENT ON FUNCTION @extschema@._lock_rollups() IS
'Internal: keeps everybody else from counting until the transaction ends';

CREATE FUNCTION @extschema@._day_bit(day date) RETURNS integer
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1 << (EXTRACT(day FROM day)::integer - 1);
END;
COMMENT ON FUNCTION @extschema@._day_bit(date) IS
'Internal: the bit of a day in usage_user_months';

/* Adds events (e; what is counted: p) to the rows of their days.  What is final is
 * in the sum of its month already: see _sum_months(). */
CREATE FUNCTION @extschema@._add_to_days(which text, is_final boolean, for_totals boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_indexscan = off SET jit = off
AS $$
DECLARE
    added bigint;
BEGIN
    EXECUTE format($sql$
        WITH fresh AS MATERIALIZED (
            SELECT e.user_id, e.day, e.usage_type, e.provider, e.model, e.campaign_id, e.status, sum(e.events)::bigint AS events,
                   sum(e.quantity) AS quantity, sum(e.tokens) AS tokens, sum(e.input_tokens) AS input_tokens,
                   sum(e.output_tokens) AS output_tokens, sum(e.cost) AS cost, sum(e.unpriced)::bigint AS unpriced,
                   COALESCE(sum(e.duration_ms), 0) AS duration_ms_sum, count(e.duration_ms) AS duration_count,
                   max(e.duration_ms) AS duration_ms_max, count(*) AS added
              FROM %1$s._rollup_progress() AS p CROSS JOIN LATERAL %1$s._event_amounts(p.zone) AS e
             WHERE %2$s
             GROUP BY e.user_id, e.day, e.usage_type, e.provider, e.model, e.campaign_id, e.status
        ), of_users AS (
            INSERT INTO %1$s.usage_aggregations AS a
            SELECT f.user_id, f.day, f.usage_type, f.provider, f.model, f.campaign_id, f.status, $1, f.events, f.quantity,
                   f.tokens, f.input_tokens, f.output_tokens, f.cost, f.unpriced, f.duration_ms_sum, f.duration_count,
                   f.duration_ms_max
              FROM fresh AS f
                ON CONFLICT (user_id, day, usage_type, provider, model, campaign_id, status, is_final) DO UPDATE SET
                   events = a.events + EXCLUDED.events, quantity = a.quantity + EXCLUDED.quantity,
                   tokens = a.tokens + EXCLUDED.tokens, input_tokens = a.input_tokens + EXCLUDED.input_tokens,
                   output_tokens = a.output_tokens + EXCLUDED.output_tokens, cost = a.cost + EXCLUDED.cost,
                   unpriced = a.unpriced + EXCLUDED.unpriced,
                   duration_ms_sum = a.duration_ms_sum + EXCLUDED.duration_ms_sum,
                   duration_count = a.duration_count + EXCLUDED.duration_count,
                   duration_ms_max = greatest(a.duration_ms_max, EXCLUDED.duration_ms_max)
        ), of_all AS (
            INSERT INTO %1$s.usage_daily_totals AS a
            SELECT f.day, f.usage_type, f.provider, f.model, f.status, $1, sum(f.events)::bigint, sum(f.quantity),
                   sum(f.tokens), sum(f.input_tokens), sum(f.output_tokens), sum(f.cost), sum(f.unpriced)::bigint,
                   sum(f.duration_ms_sum), sum(f.duration_count)::bigint, max(f.duration_ms_max)
              FROM fresh AS f
             WHERE $2
             GROUP BY f.day, f.usage_type, f.provider, f.model, f.status
                ON CONFLICT (day, usage_type, provider, model, status, is_final) DO UPDATE SET
                   events = a.events + EXCLUDED.events, quantity = a.quantity + EXCLUDED.quantity,
                   tokens = a.tokens + EXCLUDED.tokens, input_tokens = a.input_tokens + EXCLUDED.input_tokens,
                   output_tokens = a.output_tokens + EXCLUDED.output_tokens, cost = a.cost + EXCLUDED.cost,
                   unpriced = a.unpriced + EXCLUDED.unpriced,
                   duration_ms_sum = a.duration_ms_sum + EXCLUDED.duration_ms_sum,
                   duration_count = a.duration_count + EXCLUDED.duration_count,
                   duration_ms_max = greatest(a.duration_ms_max, EXCLUDED.duration_ms_max)
        ), of_months AS (
            INSERT INTO %1$s.usage_user_months AS m
            SELECT f.user_id, f.usage_type, date_trunc('month', f.day::timestamp)::date,
                   COALESCE(sum(f.events) FILTER (WHERE f.status = 'success'), 0),
                   COALESCE(sum(f.events) FILTER (WHERE f.status <> 'success'), 0), sum(f.quantity), sum(f.tokens), sum(f.cost),
                   sum(f.unpriced), bit_or(%1$s._day_bit(f.day)),
                   COALESCE(bit_or(%1$s._day_bit(f.day)) FILTER (WHERE f.status = 'success'), 0)
              FROM fresh AS f
             WHERE $2 AND NOT $1
             GROUP BY f.user_id, f.usage_type, date_trunc('month', f.day::timestamp)
                ON CONFLICT (user_id, usage_type, month) DO UPDATE SET
                   uses = m.uses + EXCLUDED.uses, failed = m.failed + EXCLUDED.failed, quantity = m.quantity + EXCLUDED.quantity,
                   tokens = m.tokens + EXCLUDED.tokens, cost = m.cost + EXCLUDED.cost, unpriced = m.unpriced + EXCLUDED.unpriced,
                   active_days = m.active_days | EXCLUDED.active_days, success_days = m.success_days | EXCLUDED.success_days
        )
        SELECT COALESCE(sum(f.added), 0) FROM fresh AS f $sql$, '@extschema@', which)
       INTO added USING is_final, for_totals;
    RETURN added;
END
$$;
COMMENT ON FUNCTION @extschema@._add_to_days(text, boolean, boolean) IS
'Internal: adds the events for which a condition holds to usage_aggregations and, for totals, the sums over it';

/* Months are summed anew where days were not only added to; of one user, or of all. */
CREATE FUNCTION @extschema@._sum_months(of_user @user_id@, first_day date, last_day date) RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
    first_month date := date_trunc('month', first_day::timestamp);
    next_month  date := date_trunc('month', last_day::timestamp) + '1 month'::interval;
BEGIN
    DELETE FROM @extschema@.usage_user_months AS m
     WHERE m.month >= first_month AND m.month < next_month AND (of_user IS NULL OR m.user_id = of_user);
    INSERT INTO @extschema@.usage_user_months
    SELECT a.user_id, a.usage_type, date_trunc('month', a.day::timestamp)::date,
           COALESCE(sum(a.events) FILTER (WHERE a.status = 'success'), 0),
           COALESCE(sum(a.events) FILTER (WHERE a.status <> 'success'), 0), sum(a.quantity), sum(a.tokens), sum(a.cost),
           sum(a.unpriced), bit_or(@extschema@._day_bit(a.day)),
           COALESCE(bit_or(@extschema@._day_bit(a.day)) FILTER (WHERE a.status = 'success'), 0)
      FROM @extschema@.usage_aggregations AS a
     WHERE a.day >= first_month AND a.day < next_month AND (of_user IS NULL OR a.user_id = of_user)
     GROUP BY a.user_id, a.usage_type, date_trunc('month', a.day::timestamp);
END
$$;
COMMENT ON FUNCTION @extschema@._sum_months(@user_id@, date, date) IS
'Internal: makes usage_user_months anew from usage_aggregations, for the months of some days';

/* ---- counting ---- */

/* All there is is counted anew, up to an id below which nothing is in flight;
 * the first pass after it counts what came meanwhile, whatever its transaction. */
CREATE FUNCTION @extschema@._begin_rollups() RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    settled bigint := @extschema@._settled_event_id();
BEGIN
    DELETE FROM @extschema@.usage_aggregations AS a WHERE NOT a.is_final;
    DELETE FROM @extschema@.usage_daily_totals AS d WHERE NOT d.is_final;
    PERFORM @extschema@._sum_months(NULL, '0001-01-01', '9999-12-31');
    UPDATE @extschema@.usage_rollup_state SET
           system_identifier = @extschema@._system_identifier(), events_oid = '@extschema@.usage_events'::regclass,
           time_zone = @extschema@._default_time_zone(),
           base_id = settled, through = '0', next_through = '0', floor_id = 0, next_floor_id = settled,
           done_id = 0, end_id = settled, mark_xid = '0', mark_id = settled;
END
$$;
COMMENT ON FUNCTION @extschema@._begin_rollups() IS
'Internal: begins counting, or begins again: in another cluster, or another time zone';

/* A transaction without an id gets it before it takes numbers for its events
 * (src/events.c): whose id is to come has numbers above the one read before.
 * What was over by the snapshot has none above the one read after it. */
CREATE FUNCTION @extschema@._begin_pass() RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before bigint;
    after  bigint;
    oldest xid8;
    next   xid8;
BEGIN
    SELECT CASE WHEN q.is_called THEN q.last_value ELSE 0 END INTO before FROM @extschema@.usage_events_id_seq AS q;
    next := @extschema@._next_xact_id();
    SELECT pg_snapshot_xmin(s.now) INTO oldest FROM pg_current_snapshot() AS s (now);
    SELECT CASE WHEN q.is_called THEN q.last_value ELSE 0 END INTO after FROM @extschema@.usage_events_id_seq AS q;
    UPDATE @extschema@.usage_rollup_state AS s SET
           next_through = greatest(s.through, oldest), done_id = s.floor_id, end_id = greatest(s.floor_id, after),
           next_floor_id = CASE WHEN s.mark_xid <= oldest THEN s.mark_id ELSE s.floor_id END,
           mark_id = CASE WHEN s.mark_xid <= oldest THEN before ELSE s.mark_id END,
           mark_xid = CASE WHEN s.mark_xid <= oldest THEN next ELSE s.mark_xid END;
END
$$;
COMMENT ON FUNCTION @extschema@._begin_pass() IS
'Internal: begins a pass over events of transactions that are over by now';

CREATE FUNCTION @extschema@._continue_pass(
    width bigint, OUT low bigint, OUT high bigint, OUT done bigint, OUT "left" bigint) RETURNS record
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s @extschema@.usage_rollup_state;
BEGIN
    SELECT t.* INTO STRICT s FROM @extschema@.usage_rollup_state AS t;
    low := s.done_id;
    high := low + least(width, s.end_id - low);
    "left" := s.end_id - high;
    done := 0;
    IF high > low THEN
        done := @extschema@._add_to_days(format(
                    'e.id > %s AND e.id <= %s AND NOT (e.id > p.base_id AND e.xact_id < p.through)'
                    ' AND (e.id <= p.base_id OR e.xact_id < p.next_through)', low, high), false, true);
    END IF;
    UPDATE @extschema@.usage_rollup_state AS t SET done_id = high,
           through = CASE "left" WHEN 0 THEN t.next_through ELSE t.through END,
           floor_id = CASE "left" WHEN 0 THEN t.next_floor_id ELSE t.floor_id END;
END
$$;
COMMENT ON FUNCTION @extschema@._continue_pass(bigint) IS
'Internal: counts the events of the next ids; "left": ids after them';

CREATE FUNCTION @extschema@._refresh_step(
    width bigint, OUT low bigint, OUT high bigint, OUT done bigint, OUT "left" bigint) RETURNS record
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._lock_rollups();
    IF @extschema@._events_are_replicated() THEN
        DELETE FROM @extschema@.usage_rollup_state;  -- whoever takes over begins
        low := 0;
        high := 0;
        done := 0;
        "left" := 0;
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM @extschema@._rollup_progress() AS p
                    WHERE p.is_current AND p.zone = @extschema@._default_time_zone()) THEN
        PERFORM @extschema@._begin_rollups();
    ELSIF NOT EXISTS (SELECT FROM @extschema@.usage_rollup_state AS s WHERE s.done_id < s.end_id) THEN
        PERFORM @extschema@._begin_pass();
    END IF;
    SELECT s.* INTO low, high, done, "left" FROM @extschema@._continue_pass(width) AS s;
END
$$;
COMMENT ON FUNCTION @extschema@._refresh_step(bigint) IS
'Internal: the next step of counting: of a pass, or of a new one if the last is complete';

CREATE FUNCTION @extschema@.refresh_usage_aggregations(
    max_events bigint DEFAULT 1000000, OUT done bigint, OUT "left" bigint) RETURNS record
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s'
AS $$
BEGIN
    IF max_events IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = 'argument "max_events" must not be null';
    ELSIF max_events <= 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'argument "max_events" must be greater than zero';
    ELSIF current_setting('transaction_isolation') = ANY ('{repeatable read,serializable}') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_state',
            MESSAGE = 'refresh_usage_aggregations() must be called at isolation level READ COMMITTED';
    END IF;
    SELECT s.done, s."left" INTO done, "left" FROM @extschema@._refresh_step(max_events) AS s;
END
$$;
COMMENT ON FUNCTION @extschema@.refresh_usage_aggregations(bigint) IS
'Counts new events in usage_aggregations and usage_daily_totals; usage_maintenance() does it as well';

/* What upkeep does of it, until it is complete or the time is over; over empty
 * ranges of ids it takes wide steps. */
CREATE FUNCTION @extschema@._refresh_aggregations(stop_at timestamptz, OUT done bigint, OUT "left" bigint) RETURNS record
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    narrow constant bigint := 50000;
    width  bigint := narrow;
    step   record;
BEGIN
    done := 0;
    "left" := 1;
    WHILE "left" > 0 AND clock_timestamp() <= stop_at LOOP
        step := @extschema@._refresh_step(width);
        PERFORM @extschema@._report_unusual_use(step.low, step.high);
        width := CASE step.done WHEN 0 THEN width * 2 ELSE narrow END;
        done := done + step.done;
        "left" := step."left";
    END LOOP;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    done := 0;
    "left" := greatest("left", 1);
END
$$;
COMMENT ON FUNCTION @extschema@._refresh_aggregations(timestamptz) IS
'Internal: counts new events in steps, and looks for unusual use among them';

/* ---- what happens to events besides ---- */

/* Before retention drops the events between two instants, which are all in one
 * partition that nobody writes to.  A day that begins or ends in another month
 * is made anew from what stays. */
CREATE FUNCTION @extschema@._finish_days(first_instant timestamptz, end_instant timestamptz, finished tstzmultirange) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD'
AS $$
DECLARE
    p         record;
    first_day date;
    last_day  date;
    gone      text := format('e.occurred_at >= %L AND e.occurred_at < %L', first_instant, end_instant);
BEGIN
    PERFORM @extschema@._lock_rollups();
    SELECT r.* INTO STRICT p FROM @extschema@._rollup_progress() AS r;
    PERFORM @extschema@._add_to_days(gone, true, true);
    IF NOT p.is_current THEN
        RETURN;
    END IF;
    first_day := (first_instant AT TIME ZONE p.zone)::date;
    last_day := ((end_instant - '1 us'::interval) AT TIME ZONE p.zone)::date;
    DELETE FROM @extschema@.usage_aggregations AS a WHERE a.day >= first_day AND a.day <= last_day AND NOT a.is_final;
    DELETE FROM @extschema@.usage_daily_totals AS d WHERE d.day >= first_day AND d.day <= last_day AND NOT d.is_final;
    IF first_day::timestamp AT TIME ZONE p.zone < first_instant OR (last_day + 1)::timestamp AT TIME ZONE p.zone > end_instant THEN
        PERFORM @extschema@._add_to_days(format(
            'e.day >= %L AND e.day <= %L AND NOT (%s) AND NOT e.occurred_at <@ %L::tstzmultirange'
            ' AND e.occurred_at >= %L AND e.occurred_at < %L'
            ' AND NOT @extschema@._is_uncounted(e.id, e.xact_id, p.floor_id, p.base_id, p.through, p.done_id, p.next_through)',
            first_day, last_day, gone, finished, first_instant - '2 days'::interval, end_instant + '2 days'::interval), false, true);
    END IF;
    PERFORM @extschema@._sum_months(NULL, first_day, last_day);
END
$$;
COMMENT ON FUNCTION @extschema@._finish_days(timestamptz, timestamptz, tstzmultirange) IS
'Internal: makes the sums of events final that are about to be dropped';

/* A user's events have a fresh id now, and perhaps less in them: so have his
 * days.  Totals are nobody's, and stay. */
CREATE FUNCTION @extschema@._forget_days(user_id @user_id@, fresh @user_id@, erase boolean) RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH gone AS (DELETE FROM @extschema@.usage_aggregations AS a WHERE a.user_id = $1 AND a.is_final RETURNING a.*)
    INSERT INTO @extschema@.usage_aggregations
    SELECT $2, g.day, g.usage_type, g.provider, g.model, '', g.status, true, sum(g.events), sum(g.quantity), sum(g.tokens),
           sum(g.input_tokens), sum(g.output_tokens), sum(g.cost), sum(g.unpriced),
           CASE WHEN erase THEN 0 ELSE sum(g.duration_ms_sum) END, CASE WHEN erase THEN 0 ELSE sum(g.duration_count) END,
           CASE WHEN erase THEN NULL ELSE max(g.duration_ms_max) END
      FROM gone AS g GROUP BY g.day, g.usage_type, g.provider, g.model, g.status;
    DELETE FROM @extschema@.usage_aggregations AS a WHERE a.user_id = $1;
    IF EXISTS (SELECT FROM @extschema@._rollup_progress() AS p WHERE p.is_current) THEN
        PERFORM @extschema@._add_to_days(format(
            'e.user_id = %L AND NOT @extschema@._is_uncounted(e.id, e.xact_id, p.floor_id, p.base_id, p.through, p.done_id, p.next_through)',
            fresh), false, false);
    END IF;
    PERFORM @extschema@._sum_months($1, '0001-01-01', '9999-12-31'), @extschema@._sum_months($2, '0001-01-01', '9999-12-31');
END
$$;
COMMENT ON FUNCTION @extschema@._forget_days(@user_id@, @user_id@, boolean) IS
'Internal: gives the days of a forgotten user to the fresh id that has his events';

/* ---- answers ---- */

/* Of one user.  Those of his events that are not counted are found by their ids,
 * which are the last ones, or among all of his days: OFFSET 0 keeps the planner
 * from mixing the two. */
CREATE FUNCTION @extschema@._days_of_user(
    user_id @user_id@, first_day date, last_day date,
    OUT day date, OUT usage_type text, OUT provider text, OUT model text, OUT campaign_id text, OUT status text,
    OUT is_final boolean, OUT events bigint, OUT quantity numeric, OUT tokens numeric, OUT input_tokens numeric,
    OUT output_tokens numeric, OUT cost numeric, OUT unpriced bigint, OUT duration_ms_sum numeric,
    OUT duration_count bigint, OUT duration_ms_max bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT d.*
      FROM @extschema@._rollup_progress() AS p
     CROSS JOIN LATERAL (
           SELECT a.day, a.usage_type, a.provider, a.model, a.campaign_id, a.status, a.is_final, a.events, a.quantity, a.tokens,
                  a.input_tokens, a.output_tokens, a.cost, a.unpriced, a.duration_ms_sum, a.duration_count, a.duration_ms_max
             FROM @extschema@.usage_aggregations AS a
            WHERE a.user_id = $1 AND a.day >= $2 AND a.day <= $3 AND (a.is_final OR p.is_current)
            UNION ALL
           SELECT e.day, e.usage_type, e.provider, e.model, e.campaign_id, e.status, false, e.events, e.quantity, e.tokens,
                  e.input_tokens, e.output_tokens, e.cost, e.unpriced, COALESCE(e.duration_ms, 0),
                  CASE WHEN e.duration_ms IS NULL THEN 0 ELSE 1 END, e.duration_ms
             FROM (SELECT v.* FROM @extschema@._event_amounts(p.zone) AS v
                    WHERE @extschema@._is_uncounted(v.id, v.xact_id, p.floor_id, p.base_id, p.through, p.done_id, p.next_through)
                   OFFSET 0) AS e
            WHERE p.by_id AND e.user_id = $1 AND e.day >= $2 AND e.day <= $3
            UNION ALL
           SELECT e.day, e.usage_type, e.provider, e.model, e.campaign_id, e.status, false, e.events, e.quantity, e.tokens,
                  e.input_tokens, e.output_tokens, e.cost, e.unpriced, COALESCE(e.duration_ms, 0),
                  CASE WHEN e.duration_ms IS NULL THEN 0 ELSE 1 END, e.duration_ms
             FROM (SELECT v.* FROM @extschema@._event_amounts(p.zone) AS v
                    WHERE v.user_id = $1
                      AND v.occurred_at >= ($2 + '00:00'::time) AT TIME ZONE p.zone - '1 day'::interval
                      AND v.occurred_at < ($3 + '00:00'::time) AT TIME ZONE p.zone + '2 days'::interval
                   OFFSET 0) AS e
            WHERE NOT p.by_id AND e.day >= $2 AND e.day <= $3
              AND @extschema@._is_uncounted(e.id, e.xact_id, p.floor_id, p.base_id, p.through, p.done_id, p.next_through)) AS d;
END;
COMMENT ON FUNCTION @extschema@._days_of_user(@user_id@, date, date) IS
'Internal: a user''s sums by day, and his events that are not in them, for adding up';

/* Of all users.  In PL/pgSQL, so that it is planned once a session: a statement that
 * asks for it here and there would be planned for all partitions as often. */
CREATE FUNCTION @extschema@._uncounted_events(
    first_day date, last_day date,
    OUT user_id @user_id@, OUT day date, OUT usage_type text, OUT provider text, OUT model text, OUT campaign_id text,
    OUT status text, OUT events bigint, OUT quantity numeric, OUT tokens numeric, OUT input_tokens numeric,
    OUT output_tokens numeric, OUT cost numeric, OUT unpriced bigint, OUT duration_ms bigint) RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE ROWS 1000
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
BEGIN
    RETURN QUERY
        SELECT e.user_id, e.day, e.usage_type, e.provider, e.model, e.campaign_id, e.status, e.events, e.quantity, e.tokens,
               e.input_tokens, e.output_tokens, e.cost, e.unpriced, e.duration_ms
          FROM @extschema@._rollup_progress() AS p
         CROSS JOIN LATERAL @extschema@._event_amounts(p.zone) AS e
         WHERE @extschema@._is_uncounted(e.id, e.xact_id, p.floor_id, p.base_id, p.through, p.done_id, p.next_through)
           AND e.day >= $1 AND e.day <= $2;
END
$$;
COMMENT ON FUNCTION @extschema@._uncounted_events(date, date) IS
'Internal: what the events of some days add that are not in the sums by day yet';

CREATE FUNCTION @extschema@._days_of_all(
    first_day date, last_day date,
    OUT day date, OUT usage_type text, OUT provider text, OUT model text, OUT status text,
    OUT events bigint, OUT quantity numeric, OUT tokens numeric, OUT input_tokens numeric,
    OUT output_tokens numeric, OUT cost numeric, OUT unpriced bigint, OUT duration_ms_sum numeric,
    OUT duration_count bigint, OUT duration_ms_max bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT d.day, d.usage_type, d.provider, d.model, d.status, d.events, d.quantity, d.tokens,
           d.input_tokens, d.output_tokens, d.cost, d.unpriced, d.duration_ms_sum, d.duration_count, d.duration_ms_max
      FROM @extschema@._rollup_progress() AS p
     CROSS JOIN @extschema@.usage_daily_totals AS d
     WHERE d.day >= $1 AND d.day <= $2 AND (d.is_final OR p.is_current)
     UNION ALL
    SELECT e.day, e.usage_type, e.provider, e.model, e.status, e.events, e.quantity, e.tokens,
           e.input_tokens, e.output_tokens, e.cost, e.unpriced, COALESCE(e.duration_ms, 0),
           CASE WHEN e.duration_ms IS NULL THEN 0 ELSE 1 END, e.duration_ms
      FROM @extschema@._uncounted_events($1, $2) AS e;
END;
COMMENT ON FUNCTION @extschema@._days_of_all(date, date) IS
'Internal: sums of all users by day, and the events that are not in them, for adding up';

/* ---- unusual use ---- */

/* A day is unusual if it is above the mean of the 28 days before it and three
 * times their standard deviation: n x - S > 3 sqrt(n Q - S S), S being
 * the sum and Q that of squares, compared as squares.
 * Who was seen on fewer than 7 of them has no habits yet. */
CREATE FUNCTION @extschema@._find_unusual_use(
    low bigint, high bigint, at timestamptz, floor numeric,
    OUT user_id @user_id@, OUT usage_type text, OUT day date, OUT used numeric, OUT expected numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT n.user_id, n.usage_type, n.day, t.used, pg_catalog.round(h.total / 28, 9)
      FROM (SELECT DISTINCT e.user_id, e.usage_type, e.day
              FROM @extschema@._rollup_progress() AS p CROSS JOIN LATERAL @extschema@._event_amounts(p.zone) AS e
             WHERE e.id > $1 AND e.id <= $2 AND e.day >= (at AT TIME ZONE p.zone)::date - 1) AS n
     CROSS JOIN LATERAL (
           SELECT pg_catalog.sum(a.quantity) AS used FROM @extschema@.usage_aggregations AS a
            WHERE a.user_id = n.user_id AND a.usage_type = n.usage_type AND a.day = n.day) AS t
     CROSS JOIN LATERAL (
           SELECT pg_catalog.count(*) AS days, pg_catalog.sum(d.used) AS total, pg_catalog.sum(d.used * d.used) AS squares
             FROM (SELECT a.day, pg_catalog.sum(a.quantity) AS used FROM @extschema@.usage_aggregations AS a
                    WHERE a.user_id = n.user_id AND a.usage_type = n.usage_type AND a.day >= n.day - 28 AND a.day < n.day
                    GROUP BY a.day) AS d) AS h
     WHERE t.used > $4 AND h.days >= 7 AND 28 * t.used > h.total
       AND (28 * t.used - h.total) * (28 * t.used - h.total) > 9 * (28 * h.squares - h.total * h.total);
END;
COMMENT ON FUNCTION @extschema@._find_unusual_use(bigint, bigint, timestamptz, numeric) IS
'Internal: of users with events between two ids, those who use far more on that day than on the days before';

CREATE FUNCTION @extschema@._report_unusual_use(low bigint, high bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    floor numeric := current_setting('usage_tracking.unusual_use_floor');
    found bigint := 0;
BEGIN
    IF floor >= 0 AND high > low THEN
        SELECT count(@extschema@._raise_unusual_use(u.user_id, u.usage_type, u.day, u.used, u.expected)) INTO found
          FROM @extschema@._find_unusual_use(low, high, @extschema@._usage_now(), floor) AS u;
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION @extschema@._report_unusual_use(bigint, bigint) IS
'Internal: has an alert raised about each unusual use among the events between two ids';
