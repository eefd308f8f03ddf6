/* 0.4.0: analytics, dashboards, and pages to look at */

CREATE FUNCTION @extschema@._email_of(user_id @user_id@) RETURNS text
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_email_of';
COMMENT ON FUNCTION @extschema@._email_of(@user_id@) IS
'Internal: the email address of a user in the attached table, NULL if it has none of him';

CREATE FUNCTION @extschema@._registered_users() RETURNS bigint
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100000
AS 'MODULE_PATHNAME', 'ut_registered_users';
COMMENT ON FUNCTION @extschema@._registered_users() IS
'Internal: how many users the attached table has, NULL if none is attached';

CREATE FUNCTION @extschema@.get_user_roles(
    user_id @user_id@, OUT role text, OUT granted_at timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 50 ROWS 1
AS 'MODULE_PATHNAME', 'ut_get_user_roles';
COMMENT ON FUNCTION @extschema@.get_user_roles(@user_id@) IS
'The roles of a user, and since when he has each';

CREATE INDEX usage_changes_clocks ON @extschema@.usage_changes (changed_at) WHERE table_name = 'user_subscriptions' AND action <> 'INSERT'
    AND (old -> 'time_zone' IS DISTINCT FROM new -> 'time_zone' OR old -> 'anchor' IS DISTINCT FROM new -> 'anchor'
         OR (old -> 'billing_period_start' IS DISTINCT FROM new -> 'billing_period_start'
             AND old -> 'billing_period_end' IS DISTINCT FROM new -> 'billing_period_start'));
COMMENT ON INDEX @extschema@.usage_changes_clocks IS 'Whose windows were moved, and when; a billing period that follows another moves none';

/* rollups: a row a month of each user, for questions about all of them */
CREATE INDEX usage_aggregations_day ON @extschema@.usage_aggregations USING brin (day) WITH (autosummarize = on, pages_per_range = 32);
COMMENT ON INDEX @extschema@.usage_aggregations_day IS 'All users on some days';
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


CREATE FUNCTION @extschema@._day_bit(day date) RETURNS integer
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT 1 << (EXTRACT(day FROM day)::integer - 1);
END;
COMMENT ON FUNCTION @extschema@._day_bit(date) IS
'Internal: the bit of a day in usage_user_months';

CREATE OR REPLACE FUNCTION @extschema@._add_to_days(which text, is_final boolean, for_totals boolean) RETURNS bigint
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

CREATE OR REPLACE FUNCTION @extschema@._begin_rollups() RETURNS void
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

CREATE OR REPLACE FUNCTION @extschema@._finish_days(first_instant timestamptz, end_instant timestamptz, finished tstzmultirange) RETURNS void
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

CREATE OR REPLACE FUNCTION @extschema@._forget_days(user_id @user_id@, fresh @user_id@, erase boolean) RETURNS void
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

CREATE OR REPLACE FUNCTION @extschema@._days_of_all(
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

CREATE OR REPLACE FUNCTION @extschema@._reconcile_days(
    OUT user_id @user_id@, OUT day date, OUT zone text, OUT counted numeric, OUT recorded numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000000
BEGIN ATOMIC
    WITH recorded AS MATERIALIZED (
        SELECT e.user_id, e.day, e.usage_type, e.provider, e.model, e.campaign_id, e.status, pg_catalog.sum(e.events) AS events,
               pg_catalog.sum(e.quantity) AS quantity, pg_catalog.sum(e.tokens) AS tokens,
               pg_catalog.sum(e.input_tokens) AS input_tokens, pg_catalog.sum(e.output_tokens) AS output_tokens,
               pg_catalog.sum(e.cost) AS cost, pg_catalog.sum(e.unpriced) AS unpriced,
               COALESCE(pg_catalog.sum(e.duration_ms), 0) AS duration_ms_sum, pg_catalog.count(e.duration_ms) AS duration_count,
               pg_catalog.max(e.duration_ms) AS duration_ms_max
          FROM @extschema@._rollup_progress() AS p CROSS JOIN LATERAL @extschema@._event_amounts(p.zone) AS e
         WHERE p.is_current
           AND NOT @extschema@._is_uncounted(e.id, e.xact_id, p.floor_id, p.base_id, p.through, p.done_id, p.next_through)
         GROUP BY e.user_id, e.day, e.usage_type, e.provider, e.model, e.campaign_id, e.status
    ), all_recorded AS (
        SELECT r.day, r.usage_type, r.provider, r.model, r.status, pg_catalog.sum(r.events) AS events,
               pg_catalog.sum(r.quantity) AS quantity, pg_catalog.sum(r.tokens) AS tokens,
               pg_catalog.sum(r.input_tokens) AS input_tokens, pg_catalog.sum(r.output_tokens) AS output_tokens,
               pg_catalog.sum(r.cost) AS cost, pg_catalog.sum(r.unpriced) AS unpriced
          FROM recorded AS r
         GROUP BY r.day, r.usage_type, r.provider, r.model, r.status
    )
    SELECT v.user_id, v.day, p.zone, v.counted, v.recorded
      FROM @extschema@._rollup_progress() AS p
     CROSS JOIN LATERAL (
           SELECT COALESCE(a.user_id, r.user_id) AS user_id, COALESCE(a.day, r.day) AS day, d.counted, d.recorded
             FROM (SELECT c.* FROM @extschema@.usage_aggregations AS c WHERE NOT c.is_final) AS a
             FULL JOIN recorded AS r
               ON a.user_id = r.user_id AND a.day = r.day AND a.usage_type = r.usage_type AND a.provider = r.provider
              AND a.model = r.model AND a.campaign_id = r.campaign_id AND a.status = r.status
            CROSS JOIN LATERAL @extschema@._first_difference(
                  a.events, r.events, a.quantity, r.quantity, a.tokens, r.tokens, a.input_tokens, r.input_tokens,
                  a.output_tokens, r.output_tokens, a.cost, r.cost, a.unpriced, r.unpriced, a.duration_ms_sum, r.duration_ms_sum,
                  a.duration_count, r.duration_count, a.duration_ms_max, r.duration_ms_max) AS d
            UNION ALL
           SELECT NULL, COALESCE(a.day, r.day), d.counted, d.recorded
             FROM (SELECT c.* FROM @extschema@.usage_daily_totals AS c WHERE NOT c.is_final) AS a
             FULL JOIN all_recorded AS r
               ON a.day = r.day AND a.usage_type = r.usage_type AND a.provider = r.provider
              AND a.model = r.model AND a.status = r.status
            CROSS JOIN LATERAL @extschema@._first_difference(
                  a.events, r.events, a.quantity, r.quantity, a.tokens, r.tokens, a.input_tokens, r.input_tokens,
                  a.output_tokens, r.output_tokens, a.cost, r.cost, a.unpriced, r.unpriced) AS d
            UNION ALL
           SELECT COALESCE(m.user_id, a.user_id), COALESCE(m.month, a.month), d.counted, d.recorded
             FROM @extschema@.usage_user_months AS m
             FULL JOIN (SELECT c.user_id, c.usage_type, pg_catalog.date_trunc('month', (c.day + '00:00'::time))::date AS month,
                               pg_catalog.sum(c.events) FILTER (WHERE c.status = 'success') AS uses,
                               pg_catalog.sum(c.events) FILTER (WHERE c.status <> 'success') AS failed,
                               pg_catalog.sum(c.quantity) AS quantity, pg_catalog.sum(c.tokens) AS tokens, pg_catalog.sum(c.cost) AS cost,
                               pg_catalog.sum(c.unpriced) AS unpriced, pg_catalog.bit_or(@extschema@._day_bit(c.day)) AS active_days,
                               pg_catalog.bit_or(@extschema@._day_bit(c.day)) FILTER (WHERE c.status = 'success') AS success_days
                          FROM @extschema@.usage_aggregations AS c
                         GROUP BY c.user_id, c.usage_type, pg_catalog.date_trunc('month', (c.day + '00:00'::time))) AS a
               ON a.user_id = m.user_id AND a.usage_type = m.usage_type AND a.month = m.month
            CROSS JOIN LATERAL @extschema@._first_difference(
                  m.uses, COALESCE(a.uses, 0), m.failed, COALESCE(a.failed, 0), m.quantity, a.quantity, m.tokens, a.tokens,
                  m.cost, a.cost, m.unpriced, a.unpriced, m.active_days, a.active_days,
                  m.success_days, COALESCE(a.success_days, 0)) AS d) AS v
     WHERE p.is_current;
END;

COMMENT ON FUNCTION @extschema@._reconcile_days() IS
'Internal: a row for each row of usage_aggregations, usage_daily_totals or usage_user_months that is not the sum of its events';
SELECT @extschema@._lock_rollups();
SELECT @extschema@._sum_months(NULL, '0001-01-01', '9999-12-31');

CREATE FUNCTION @extschema@.describe_decision(decision @extschema@.usage_decision) RETURNS jsonb
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.to_jsonb($1) || pg_catalog.jsonb_build_object(
        'percent', CASE WHEN ($1).max_usage > 0 THEN pg_catalog.round(($1).used * 100 / ($1).max_usage, 1) END,
        'reset_in', CASE WHEN pg_catalog.isfinite(($1).reset_at)
                         THEN GREATEST(pg_catalog.ceil(EXTRACT(epoch FROM ($1).reset_at - n.now)), 0)::bigint END,
        'message', CASE WHEN NOT ($1).allowed THEN
                CASE WHEN ($1).reason = 'expired' THEN 'This is over: it has expired or was settled.'
                     WHEN ($1).limit_type IS NULL THEN pg_catalog.format('You don''t have enough credits (%s left).', ($1).remaining)
                     ELSE pg_catalog.format(CASE WHEN ($1).remaining > 0 THEN 'This is more than your %s limit leaves (%s/%s).'
                                                 ELSE 'You''ve reached your %s limit (%s/%s).' END,
                                            ($1).limit_type, ($1).used, ($1).max_usage) END
                || COALESCE(' Resets at ' || ($1).reset_at || '.', '') END)
      FROM @extschema@._usage_now() AS n (now);
END;
COMMENT ON FUNCTION @extschema@.describe_decision(@extschema@.usage_decision) IS
'A decision as a JSON object for a page or the body of a 429: its fields, the percentage used, seconds to the reset, and what to tell the user';

CREATE FUNCTION @extschema@.visible_users() RETURNS SETOF @user_id@
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED ROWS 1000
BEGIN ATOMIC
    SELECT me.user_id
      FROM (SELECT @extschema@.current_user_id() AS user_id) AS me
     WHERE me.user_id IS NOT NULL AND NOT (SELECT @extschema@._sees_all_users())
     UNION ALL
    SELECT s.user_id
      FROM @extschema@.user_subscriptions AS s
     WHERE (SELECT @extschema@._sees_all_users());
END;
COMMENT ON FUNCTION @extschema@.visible_users() IS
'The users whose usage the caller may see: himself, or for admins and servers everybody; to build views on';

/* reports, what administrators ask: who uses most, what comes of it, what it costs.
 *
 * Asked for the last days up to one of them, by default today, in the zone of the
 * sums by day; answered from those sums and the events that are not in them yet.
 * As in sql/reports.sql, each question has a function in C that decides who may ask
 * (src/reports_analytics.c) and one with the answer, for the owner.
 */

/* ---- what the answers are made of ---- */

CREATE FUNCTION @extschema@._last_days(
    days integer, until date, at timestamptz, OUT zone text, OUT first_day date, OUT last_day date) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT p.zone, l.day - (days - 1), l.day
      FROM @extschema@._rollup_progress() AS p
     CROSS JOIN LATERAL (SELECT COALESCE($2, (at AT TIME ZONE p.zone)::date)) AS l (day);
END;
COMMENT ON FUNCTION @extschema@._last_days(integer, date, timestamptz) IS
'Internal: the zone of the sums by day, the first and the last of so many days';

/* The days of a window in a month, as bits: 0 is the first of the month. */
CREATE FUNCTION @extschema@._days_of_month(month date, first_day date, last_day date) RETURNS integer
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT (((1::bigint << LEAST(GREATEST(last_day + 1 - month, 0), 31)) - 1)
            & ~((1::bigint << LEAST(GREATEST(first_day - month, 0), 31)) - 1))::integer;
END;
COMMENT ON FUNCTION @extschema@._days_of_month(date, date, date) IS
'Internal: which days of a month are in a window';

/* Where the sums are of another cluster, only what is final is taken from them. */
CREATE FUNCTION @extschema@._active_days(
    first_day date, last_day date,
    OUT user_id @user_id@, OUT usage_type text, OUT month date, OUT active_days integer, OUT success_days integer) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT u.user_id, u.usage_type, u.month, pg_catalog.bit_or(u.active_days) & w.days, pg_catalog.bit_or(u.success_days) & w.days
      FROM (SELECT s.month::date, @extschema@._days_of_month(s.month::date, $1, $2)
              FROM pg_catalog.generate_series(pg_catalog.date_trunc('month', ($1 + '00:00'::time)), $2 + '00:00'::time,
                                              '1 month'::interval) AS s (month)) AS w (month, days)
      JOIN (SELECT m.user_id, m.usage_type, m.month, m.active_days, m.success_days
              FROM @extschema@.usage_user_months AS m
             WHERE m.month >= pg_catalog.date_trunc('month', ($1 + '00:00'::time))::date AND m.month <= $2
               AND (SELECT p.is_current FROM @extschema@._rollup_progress() AS p)
             UNION ALL
            SELECT a.user_id, a.usage_type, pg_catalog.date_trunc('month', (a.day + '00:00'::time))::date,
                   @extschema@._day_bit(a.day), CASE a.status WHEN 'success' THEN @extschema@._day_bit(a.day) ELSE 0 END
              FROM @extschema@.usage_aggregations AS a
             WHERE a.day >= $1 AND a.day <= $2 AND a.is_final AND NOT (SELECT p.is_current FROM @extschema@._rollup_progress() AS p)
             UNION ALL
            SELECT e.user_id, e.usage_type, pg_catalog.date_trunc('month', (e.day + '00:00'::time))::date,
                   @extschema@._day_bit(e.day), CASE e.status WHEN 'success' THEN @extschema@._day_bit(e.day) ELSE 0 END
              FROM @extschema@._uncounted_events($1, $2) AS e) AS u ON u.month = w.month
     GROUP BY u.user_id, u.usage_type, u.month, w.days
    HAVING pg_catalog.bit_or(u.active_days) & w.days <> 0;
END;
COMMENT ON FUNCTION @extschema@._active_days(date, date) IS
'Internal: on which days of a window who used what, a row for each month';

/* Of a month that is in the window for the most part, the sum is taken and the days
 * outside are taken off it; of another one, the days inside are added. */
CREATE FUNCTION @extschema@._whole_months(
    first_day date, last_day date, today date, OUT begins date, OUT ends date) RETURNS SETOF record
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT f.month, l.month
      FROM (SELECT (pg_catalog.date_trunc('month', ($1 + '00:00'::time))
                    + CASE WHEN EXTRACT(day FROM $1) > 16 THEN '1 month'::interval ELSE '0'::interval END)::date) AS f (month)
     CROSS JOIN (SELECT (pg_catalog.date_trunc('month', ($2 + '00:00'::time))
                         + CASE WHEN EXTRACT(day FROM $2) > 15 OR $2 >= $3 THEN '1 month'::interval ELSE '0'::interval END)::date) AS l (month)
     WHERE f.month < l.month
     UNION ALL
    SELECT $1, $1 LIMIT 1;
END;
COMMENT ON FUNCTION @extschema@._whole_months(date, date, date) IS
'Internal: from which month up to which other one, without it, sums by month are taken for a window; the same day if none';

CREATE FUNCTION @extschema@._sums_of_users(
    first_day date, last_day date, today date,
    OUT user_id @user_id@, OUT usage_type text, OUT uses numeric, OUT failed numeric, OUT quantity numeric, OUT tokens numeric,
    OUT cost numeric, OUT unpriced numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT m.user_id, m.usage_type, m.uses, m.failed, m.quantity, m.tokens, m.cost, m.unpriced
      FROM @extschema@._whole_months($1, $2, $3) AS w
      JOIN @extschema@.usage_user_months AS m ON m.month >= w.begins AND m.month < w.ends
     WHERE (SELECT p.is_current FROM @extschema@._rollup_progress() AS p)
     UNION ALL
    SELECT a.user_id, a.usage_type, CASE a.status WHEN 'success' THEN d.sign * a.events ELSE 0 END,
           CASE a.status WHEN 'success' THEN 0 ELSE d.sign * a.events END, d.sign * a.quantity, d.sign * a.tokens,
           d.sign * a.cost, d.sign * a.unpriced
      FROM @extschema@._whole_months($1, $2, $3) AS w
     CROSS JOIN LATERAL (VALUES (1, $1, LEAST($2, w.begins - 1)), (1, GREATEST($1, w.ends), $2),
                                (-1, w.begins, $1 - 1), (-1, $2 + 1, w.ends - 1)) AS d (sign, first_day, last_day)
      JOIN @extschema@.usage_aggregations AS a ON a.day >= d.first_day AND a.day <= d.last_day
     WHERE (SELECT p.is_current FROM @extschema@._rollup_progress() AS p)
     UNION ALL
    SELECT a.user_id, a.usage_type, CASE a.status WHEN 'success' THEN a.events ELSE 0 END,
           CASE a.status WHEN 'success' THEN 0 ELSE a.events END, a.quantity, a.tokens, a.cost, a.unpriced
      FROM @extschema@.usage_aggregations AS a
     WHERE a.day >= $1 AND a.day <= $2 AND a.is_final AND NOT (SELECT p.is_current FROM @extschema@._rollup_progress() AS p)
     UNION ALL
    SELECT e.user_id, e.usage_type, CASE e.status WHEN 'success' THEN e.events ELSE 0 END,
           CASE e.status WHEN 'success' THEN 0 ELSE e.events END, e.quantity, e.tokens, e.cost, e.unpriced
      FROM @extschema@._uncounted_events($1, $2) AS e;
END;
COMMENT ON FUNCTION @extschema@._sums_of_users(date, date, date) IS
'Internal: what every user used of each type in a window, for adding up';

CREATE FUNCTION @extschema@._ratio(amount numeric, of numeric, decimals integer) RETURNS numeric
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN of > 0 THEN pg_catalog.round(amount / of, decimals) END;
END;
COMMENT ON FUNCTION @extschema@._ratio(numeric, numeric, integer) IS
'Internal: one number divided by another and rounded, NULL if there is nothing to divide by';

/* ---- who uses most ---- */

/* Of a resource there are no sums: its events are read. */
CREATE FUNCTION @extschema@._uses_of_users(
    usage_type text, first_day date, last_day date, zone text, today date, resource_type text, resource_id text,
    OUT user_id @user_id@, OUT uses numeric, OUT failed numeric, OUT quantity numeric, OUT tokens numeric,
    OUT cost numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT d.user_id, d.uses, d.failed, d.quantity, d.tokens, d.cost
      FROM @extschema@._sums_of_users($2, $3, today) AS d
     WHERE $6 IS NULL AND $7 IS NULL AND ($1 IS NULL OR d.usage_type = $1)
     UNION ALL
    SELECT e.user_id, CASE WHEN COALESCE(e.corrected_status, e.status) = 'success' THEN COALESCE(e.corrected_events, 1) ELSE 0 END,
           CASE WHEN COALESCE(e.corrected_status, e.status) = 'success' THEN 0 ELSE COALESCE(e.corrected_events, 1) END,
           e.quantity, e.tokens::numeric, COALESCE(e.cost, 0)
      FROM @extschema@.usage_events AS e
      LEFT JOIN @extschema@.usage_events AS c  -- a correction does not name the resource
        ON c.user_id = e.user_id AND c.occurred_at = e.occurred_at AND c.id = e.corrects
     WHERE ($6 IS NOT NULL OR $7 IS NOT NULL) AND ($1 IS NULL OR e.usage_type = $1)
       AND ($6 IS NULL OR COALESCE(c.resource_type, e.resource_type) = $6)
       AND ($7 IS NULL OR COALESCE(c.resource_id, e.resource_id) = $7)
       AND e.corrected_limit IS NULL
       AND e.occurred_at >= ($2 + '00:00'::time) AT TIME ZONE zone AND e.occurred_at < ($3 + 1 + '00:00'::time) AT TIME ZONE zone;
END;
COMMENT ON FUNCTION @extschema@._uses_of_users(text, date, date, text, date, text, text) IS
'Internal: what users used on some days, of a type or a resource if one is named, for adding up';

/* The last use is looked for among events: NULL once retention has dropped it. */
CREATE FUNCTION @extschema@._get_top_users(
    usage_type text, days integer, measure text, max_rows integer, last_day date, resource_type text, resource_id text,
    at timestamptz,
    OUT user_id @user_id@, OUT uses bigint, OUT failed bigint, OUT quantity numeric, OUT tokens numeric, OUT cost numeric,
    OUT last_used timestamptz) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT t.user_id, t.uses::bigint, t.failed::bigint, pg_catalog.trim_scale(t.quantity), t.tokens, pg_catalog.trim_scale(t.cost), l.used
      FROM @extschema@._last_days($2, $5, at) AS r
     CROSS JOIN LATERAL (
           SELECT u.*, CASE $3 WHEN 'uses' THEN u.uses WHEN 'quantity' THEN u.quantity WHEN 'tokens' THEN u.tokens ELSE u.cost END AS rank
             FROM (SELECT d.user_id, pg_catalog.sum(d.uses) AS uses, pg_catalog.sum(d.failed) AS failed,
                          pg_catalog.sum(d.quantity) AS quantity, pg_catalog.sum(d.tokens) AS tokens, pg_catalog.sum(d.cost) AS cost
                     FROM @extschema@._uses_of_users($1, r.first_day, r.last_day, r.zone, (at AT TIME ZONE r.zone)::date, $6, $7) AS d
                    GROUP BY d.user_id) AS u
            WHERE u.uses <> 0 OR u.failed <> 0 OR u.quantity <> 0 OR u.tokens <> 0 OR u.cost <> 0
            ORDER BY rank DESC, u.user_id
            LIMIT $4) AS t
      LEFT JOIN LATERAL (
           SELECT e.occurred_at AS used
             FROM @extschema@.usage_events AS e
            WHERE e.user_id = t.user_id AND e.status = 'success' AND ($1 IS NULL OR e.usage_type = $1)
              AND ($6 IS NULL OR e.resource_type = $6) AND ($7 IS NULL OR e.resource_id = $7)
              AND e.occurred_at >= (r.first_day + '00:00'::time) AT TIME ZONE r.zone
              AND e.occurred_at < (r.last_day + 1 + '00:00'::time) AT TIME ZONE r.zone
            ORDER BY e.occurred_at DESC LIMIT 1) AS l ON true
     ORDER BY t.rank DESC, t.user_id;
END;
COMMENT ON FUNCTION @extschema@._get_top_users(text, integer, text, integer, date, text, text, timestamptz) IS
'Internal: the answer of get_top_users()';

CREATE FUNCTION @extschema@.get_top_users(
    usage_type text DEFAULT NULL, days integer DEFAULT 30, measure text DEFAULT 'uses', max_rows integer DEFAULT 100,
    last_day date DEFAULT NULL, resource_type text DEFAULT NULL, resource_id text DEFAULT NULL,
    OUT user_id @user_id@, OUT uses bigint, OUT failed bigint, OUT quantity numeric, OUT tokens numeric, OUT cost numeric,
    OUT last_used timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 100
AS 'MODULE_PATHNAME', 'ut_get_top_users';
COMMENT ON FUNCTION @extschema@.get_top_users(text, integer, text, integer, date, text, text) IS
'Who used most of a type in the last days, with the time of the last use; for admins and servers';

/* ---- how it went over time ---- */

CREATE FUNCTION @extschema@._count_days(active_days integer[]) RETURNS bigint[]
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_count_days';
COMMENT ON FUNCTION @extschema@._count_days(integer[]) IS
'Internal: in how many of these sets of days of a month each of its 31 days is';

CREATE FUNCTION @extschema@._get_usage_trends(
    days integer, last_day date, at timestamptz,
    OUT day date, OUT usage_type text, OUT events bigint, OUT failed bigint, OUT quantity numeric, OUT tokens numeric,
    OUT cost numeric, OUT unique_users bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH used AS (
        SELECT d.day, d.usage_type, pg_catalog.sum(d.events)::bigint AS events,
               COALESCE(pg_catalog.sum(d.events) FILTER (WHERE d.status <> 'success'), 0)::bigint AS failed,
               pg_catalog.sum(d.quantity) AS quantity, pg_catalog.sum(d.tokens) AS tokens, pg_catalog.sum(d.cost) AS cost
          FROM @extschema@._last_days($1, $2, at) AS r
         CROSS JOIN LATERAL @extschema@._days_of_all(r.first_day, r.last_day) AS d
         GROUP BY d.day, d.usage_type
    ), users AS (
        SELECT m.month + n.day::integer - 1 AS day, m.usage_type, n.users
          FROM (SELECT d.month, d.usage_type, @extschema@._count_days(pg_catalog.array_agg(d.active_days)) AS users
                  FROM @extschema@._last_days($1, $2, at) AS r
                 CROSS JOIN LATERAL @extschema@._active_days(r.first_day, r.last_day) AS d
                 GROUP BY d.month, d.usage_type) AS m
         CROSS JOIN LATERAL pg_catalog.unnest(m.users) WITH ORDINALITY AS n (users, day)
         WHERE n.users > 0
    )
    SELECT u.day, u.usage_type, u.events, u.failed, u.quantity, u.tokens, pg_catalog.trim_scale(u.cost), COALESCE(n.users, 0)
      FROM used AS u LEFT JOIN users AS n ON n.day = u.day AND n.usage_type = u.usage_type
     ORDER BY u.day, u.usage_type;
END;
COMMENT ON FUNCTION @extschema@._get_usage_trends(integer, date, timestamptz) IS
'Internal: the answer of get_usage_trends()';

CREATE FUNCTION @extschema@.get_usage_trends(
    days integer DEFAULT 30, last_day date DEFAULT NULL,
    OUT day date, OUT usage_type text, OUT events bigint, OUT failed bigint, OUT quantity numeric, OUT tokens numeric,
    OUT cost numeric, OUT unique_users bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 100
AS 'MODULE_PATHNAME', 'ut_get_usage_trends';
COMMENT ON FUNCTION @extschema@.get_usage_trends(integer, date) IS
'What was used of each type on each of the last days, and by how many users; for admins and servers';

CREATE FUNCTION @extschema@._funnel_depth(steps integer[], months date[], success_days integer[]) RETURNS integer
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'ut_funnel_depth';
COMMENT ON FUNCTION @extschema@._funnel_depth(integer[], date[], integer[]) IS
'Internal: how many steps a user took in their order, whose days of each step and month are given as bits';

/* A user takes a step on the first day on which he did so with success and which is
 * not before the step above it. */
CREATE FUNCTION @extschema@._get_conversion_funnel(
    steps text[], days integer, last_day date, at timestamptz,
    OUT step integer, OUT name text, OUT users bigint, OUT percent numeric, OUT percent_of_previous numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH reached AS MATERIALIZED (
        SELECT u.depth, pg_catalog.count(*) AS users
          FROM (SELECT @extschema@._funnel_depth(pg_catalog.array_agg(s.step::integer), pg_catalog.array_agg(d.month),
                                                 pg_catalog.array_agg(d.success_days)) AS depth
                  FROM @extschema@._last_days($2, $3, at) AS r
                 CROSS JOIN LATERAL @extschema@._active_days(r.first_day, r.last_day) AS d
                  JOIN pg_catalog.unnest($1) WITH ORDINALITY AS s (usage_type, step) ON s.usage_type = d.usage_type
                 WHERE d.success_days <> 0
                 GROUP BY d.user_id) AS u
         GROUP BY u.depth
    ), counted AS (
        SELECT 0::bigint AS step, 'registered' AS name,
               COALESCE(@extschema@._registered_users(), (SELECT pg_catalog.count(*) FROM @extschema@.user_subscriptions AS s)) AS users
         UNION ALL
        SELECT s.step, s.usage_type, (SELECT COALESCE(pg_catalog.sum(b.users), 0)::bigint FROM reached AS b WHERE b.depth >= s.step)
          FROM pg_catalog.unnest($1) WITH ORDINALITY AS s (usage_type, step)
    )
    SELECT c.step::integer, c.name, c.users,
           @extschema@._ratio(c.users * 100::numeric, pg_catalog.first_value(c.users) OVER (ORDER BY c.step), 2),
           @extschema@._ratio(c.users * 100::numeric, pg_catalog.lag(c.users) OVER (ORDER BY c.step), 2)
      FROM counted AS c
     ORDER BY c.step;
END;
COMMENT ON FUNCTION @extschema@._get_conversion_funnel(text[], integer, date, timestamptz) IS
'Internal: the answer of get_conversion_funnel()';

CREATE FUNCTION @extschema@.get_conversion_funnel(
    steps text[] DEFAULT NULL, days integer DEFAULT 30, last_day date DEFAULT NULL,
    OUT step integer, OUT name text, OUT users bigint, OUT percent numeric, OUT percent_of_previous numeric) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 5
AS 'MODULE_PATHNAME', 'ut_get_conversion_funnel';
COMMENT ON FUNCTION @extschema@.get_conversion_funnel(text[], integer, date) IS
'How many users registered, and how many of them took these steps in this order in the last days; for admins and servers';

/* Sums know no subtype: for those, events are read. */
CREATE FUNCTION @extschema@._get_error_rates(
    days integer, detail text, last_day date, at timestamptz,
    OUT usage_type text, OUT provider text, OUT model text, OUT event_subtype text, OUT events bigint, OUT failed bigint,
    OUT cancelled bigint, OUT rate_limited bigint, OUT error_rate numeric, OUT is_small_sample boolean,
    OUT duration_ms_mean numeric, OUT duration_ms_max bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT g.usage_type, NULLIF(g.provider, ''), NULLIF(g.model, ''), g.event_subtype, g.events, g.failed, g.cancelled,
           g.rate_limited, @extschema@._ratio(g.failed * 100::numeric, g.events, 2), g.events <= 10,
           @extschema@._ratio(g.duration_ms_sum, g.duration_count, 3), g.duration_ms_max
      FROM (SELECT d.usage_type, d.provider, d.model, d.event_subtype, pg_catalog.sum(d.events)::bigint AS events,
                   COALESCE(pg_catalog.sum(d.events) FILTER (WHERE d.status = 'failed'), 0)::bigint AS failed,
                   COALESCE(pg_catalog.sum(d.events) FILTER (WHERE d.status = 'cancelled'), 0)::bigint AS cancelled,
                   COALESCE(pg_catalog.sum(d.events) FILTER (WHERE d.status = 'rate_limited'), 0)::bigint AS rate_limited,
                   pg_catalog.sum(d.duration_ms_sum) AS duration_ms_sum, pg_catalog.sum(d.duration_count) AS duration_count,
                   pg_catalog.max(d.duration_ms_max) AS duration_ms_max
              FROM (SELECT s.usage_type, CASE detail WHEN 'model' THEN s.provider ELSE '' END AS provider,
                           CASE detail WHEN 'model' THEN s.model ELSE '' END AS model, NULL::text AS event_subtype, s.status, s.events,
                           s.duration_ms_sum, s.duration_count, s.duration_ms_max
                      FROM @extschema@._last_days($1, $3, at) AS r
                     CROSS JOIN LATERAL @extschema@._days_of_all(r.first_day, r.last_day) AS s
                     WHERE detail <> 'subtype'
                     UNION ALL
                    SELECT e.usage_type, '', '', COALESCE(c.event_subtype, e.event_subtype), COALESCE(e.corrected_status, e.status),
                           COALESCE(e.corrected_events, 1), COALESCE(e.duration_ms, 0),
                           CASE WHEN e.duration_ms IS NULL THEN 0 ELSE 1 END, e.duration_ms
                      FROM @extschema@._last_days($1, $3, at) AS r
                     CROSS JOIN @extschema@.usage_events AS e
                      LEFT JOIN @extschema@.usage_events AS c
                        ON c.user_id = e.user_id AND c.occurred_at = e.occurred_at AND c.id = e.corrects
                     WHERE detail = 'subtype' AND e.corrected_limit IS NULL
                       AND e.occurred_at >= (r.first_day + '00:00'::time) AT TIME ZONE r.zone
                       AND e.occurred_at < (r.last_day + 1 + '00:00'::time) AT TIME ZONE r.zone) AS d
             GROUP BY d.usage_type, d.provider, d.model, d.event_subtype) AS g
     ORDER BY g.events DESC, g.usage_type, g.provider, g.model, g.event_subtype;
END;
COMMENT ON FUNCTION @extschema@._get_error_rates(integer, text, date, timestamptz) IS
'Internal: the answer of get_error_rates()';

CREATE FUNCTION @extschema@.get_error_rates(
    days integer DEFAULT 7, detail text DEFAULT 'model', last_day date DEFAULT NULL,
    OUT usage_type text, OUT provider text, OUT model text, OUT event_subtype text, OUT events bigint, OUT failed bigint,
    OUT cancelled bigint, OUT rate_limited bigint, OUT error_rate numeric, OUT is_small_sample boolean,
    OUT duration_ms_mean numeric, OUT duration_ms_max bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 20
AS 'MODULE_PATHNAME', 'ut_get_error_rates';
COMMENT ON FUNCTION @extschema@.get_error_rates(integer, text, date) IS
'How much of each operation failed in the last days, and how long it took; for admins and servers';

/* ---- what it costs ---- */

CREATE FUNCTION @extschema@._get_cost_breakdown(
    dimension text, days integer, last_day date, max_rows integer, at timestamptz,
    OUT usage_type text, OUT provider text, OUT model text, OUT user_id @user_id@, OUT campaign_id text, OUT events bigint,
    OUT tokens numeric, OUT cost numeric, OUT percent numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT g.usage_type, NULLIF(g.provider, ''), NULLIF(g.model, ''), g.user_id, g.campaign_id, g.events, g.tokens,
           pg_catalog.trim_scale(g.cost),
           @extschema@._ratio(g.cost * 100, pg_catalog.sum(g.cost) OVER (), 1), g.unpriced
      FROM (SELECT d.usage_type, d.provider, d.model, d.user_id, d.campaign_id, pg_catalog.sum(d.events)::bigint AS events,
                   pg_catalog.sum(d.tokens) AS tokens, pg_catalog.sum(d.cost) AS cost, pg_catalog.sum(d.unpriced)::bigint AS unpriced
              FROM (SELECT CASE dimension WHEN 'type' THEN s.usage_type END AS usage_type,
                           CASE WHEN dimension = 'model' OR dimension = 'provider' THEN s.provider END AS provider,
                           CASE dimension WHEN 'model' THEN s.model END AS model,
                           NULL::@user_id_column@ AS user_id, NULL AS campaign_id, s.events, s.tokens, s.cost, s.unpriced
                      FROM @extschema@._last_days($2, $3, at) AS r
                     CROSS JOIN LATERAL @extschema@._days_of_all(r.first_day, r.last_day) AS s
                     WHERE dimension <> 'campaign'
                     UNION ALL
                    SELECT NULL, NULL, NULL, a.user_id, a.campaign_id, a.events, a.tokens, a.cost, a.unpriced
                      FROM @extschema@._last_days($2, $3, at) AS r
                      JOIN @extschema@.usage_aggregations AS a ON a.day >= r.first_day AND a.day <= r.last_day
                     WHERE dimension = 'campaign' AND a.campaign_id <> ''
                       AND (a.is_final OR (SELECT p.is_current FROM @extschema@._rollup_progress() AS p))
                     UNION ALL
                    SELECT NULL, NULL, NULL, e.user_id, e.campaign_id, e.events, e.tokens, e.cost, e.unpriced
                      FROM @extschema@._last_days($2, $3, at) AS r
                     CROSS JOIN LATERAL @extschema@._uncounted_events(r.first_day, r.last_day) AS e
                     WHERE dimension = 'campaign' AND e.campaign_id <> '') AS d
             GROUP BY d.usage_type, d.provider, d.model, d.user_id, d.campaign_id) AS g
     ORDER BY g.cost DESC, g.events DESC, g.usage_type, g.provider, g.model, g.user_id, g.campaign_id
     LIMIT $4;
END;
COMMENT ON FUNCTION @extschema@._get_cost_breakdown(text, integer, date, integer, timestamptz) IS
'Internal: the answer of get_cost_breakdown()';

CREATE FUNCTION @extschema@.get_cost_breakdown(
    dimension text DEFAULT 'model', days integer DEFAULT 30, last_day date DEFAULT NULL, max_rows integer DEFAULT 100,
    OUT usage_type text, OUT provider text, OUT model text, OUT user_id @user_id@, OUT campaign_id text, OUT events bigint,
    OUT tokens numeric, OUT cost numeric, OUT percent numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 20
AS 'MODULE_PATHNAME', 'ut_get_cost_breakdown';
COMMENT ON FUNCTION @extschema@.get_cost_breakdown(text, integer, date, integer) IS
'What was spent in the last days by model, provider, type or campaign, the dearest first; for admins and servers';

/* The row without a type is of all types. */
CREATE FUNCTION @extschema@._get_unit_costs(
    days integer, last_day date, at timestamptz,
    OUT usage_type text, OUT users bigint, OUT events bigint, OUT quantity numeric, OUT cost numeric,
    OUT cost_per_user numeric, OUT cost_per_event numeric, OUT cost_per_unit numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH used AS (
        SELECT d.usage_type, pg_catalog.sum(d.events)::bigint AS events, pg_catalog.sum(d.quantity) AS quantity,
               pg_catalog.sum(d.cost) AS cost, pg_catalog.sum(d.unpriced)::bigint AS unpriced
          FROM @extschema@._last_days($1, $2, at) AS r
         CROSS JOIN LATERAL @extschema@._days_of_all(r.first_day, r.last_day) AS d
         GROUP BY GROUPING SETS ((d.usage_type), ())
    ), users AS (
        SELECT d.usage_type, pg_catalog.count(DISTINCT d.user_id) AS users
          FROM @extschema@._last_days($1, $2, at) AS r
         CROSS JOIN LATERAL @extschema@._active_days(r.first_day, r.last_day) AS d
         GROUP BY GROUPING SETS ((d.usage_type), ())
    )
    SELECT n.usage_type, n.users, u.events, u.quantity, pg_catalog.trim_scale(u.cost),
           pg_catalog.trim_scale(@extschema@._ratio(u.cost, n.users, 12)),
           pg_catalog.trim_scale(@extschema@._ratio(u.cost, u.events, 12)),
           pg_catalog.trim_scale(@extschema@._ratio(u.cost, u.quantity, 12)), u.unpriced
      FROM users AS n JOIN used AS u ON COALESCE(u.usage_type, '') = COALESCE(n.usage_type, '')
     WHERE n.users > 0
     ORDER BY n.usage_type NULLS FIRST;
END;
COMMENT ON FUNCTION @extschema@._get_unit_costs(integer, date, timestamptz) IS
'Internal: the answer of get_unit_costs()';

CREATE FUNCTION @extschema@.get_unit_costs(
    days integer DEFAULT 30, last_day date DEFAULT NULL,
    OUT usage_type text, OUT users bigint, OUT events bigint, OUT quantity numeric, OUT cost numeric,
    OUT cost_per_user numeric, OUT cost_per_event numeric, OUT cost_per_unit numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 10
AS 'MODULE_PATHNAME', 'ut_get_unit_costs';
COMMENT ON FUNCTION @extschema@.get_unit_costs(integer, date) IS
'What a user, an event and a unit cost on average in the last days, of all types and of each; for admins and servers';

CREATE FUNCTION @extschema@._get_cost_forecast(
    at timestamptz,
    OUT month date, OUT month_to_date numeric, OUT elapsed_share numeric, OUT forecast numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT m.first_day, pg_catalog.trim_scale(u.cost), pg_catalog.round(e.elapsed / e.whole, 6),
           pg_catalog.trim_scale(@extschema@._ratio(u.cost * e.whole, e.elapsed, 6)), u.unpriced
      FROM @extschema@._rollup_progress() AS p
     CROSS JOIN LATERAL (SELECT pg_catalog.date_trunc('month', at AT TIME ZONE p.zone)) AS b (began)
     CROSS JOIN LATERAL (SELECT b.began::date AS first_day, b.began AT TIME ZONE p.zone AS start_instant,
                                (b.began + '1 month'::interval) AT TIME ZONE p.zone AS end_instant) AS m
     CROSS JOIN LATERAL (SELECT EXTRACT(epoch FROM at - m.start_instant) AS elapsed,
                                EXTRACT(epoch FROM m.end_instant - m.start_instant) AS whole) AS e
     CROSS JOIN LATERAL (SELECT COALESCE(pg_catalog.sum(d.cost), 0) AS cost, COALESCE(pg_catalog.sum(d.unpriced), 0)::bigint AS unpriced
                           FROM @extschema@._days_of_all(m.first_day, (at AT TIME ZONE p.zone)::date) AS d) AS u;
END;
COMMENT ON FUNCTION @extschema@._get_cost_forecast(timestamptz) IS
'Internal: the answer of get_cost_forecast()';

CREATE FUNCTION @extschema@.get_cost_forecast(
    OUT month date, OUT month_to_date numeric, OUT elapsed_share numeric, OUT forecast numeric, OUT unpriced bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 1
AS 'MODULE_PATHNAME', 'ut_get_cost_forecast';
COMMENT ON FUNCTION @extschema@.get_cost_forecast() IS
'What this month will have cost if it goes on like this: what it cost so far, divided by the share of it that is over; for admins and servers';

/* ---- who is near a limit ---- */

/* No less than what a user used in his present window of a limit.  A counter tells,
 * if there is one for that window; else it is all he used since a day on which the
 * window cannot have begun yet. */
CREATE FUNCTION @extschema@._used_at_most(
    at timestamptz, today date, OUT user_id @user_id@, OUT limit_id bigint, OUT used numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    WITH counted AS MATERIALIZED (
        SELECT c.user_id, c.limit_id, pg_catalog.sum(c.used) AS used
          FROM @extschema@.usage_counters AS c
         WHERE c.window_start <= at AND c.window_end > at
         GROUP BY c.user_id, c.limit_id
    ), limits AS MATERIALIZED (
        SELECT l.limit_id, l.usage_type, l.measure, l.period IS NOT NULL AND l.period <= '1 day'::interval AS is_short, l.period IS NULL AS is_long,
               CASE WHEN l.period IS NULL THEN '0001-01-01'
                    WHEN l.period <= '1 day'::interval THEN $2 - 2
                    ELSE pg_catalog.date_trunc('month', ($2 - 2 + '00:00'::time) - l.period)::date END AS since
          FROM @extschema@.usage_limits AS l
         WHERE l.window_kind = ANY (ARRAY['calendar', 'anchored', 'billing', 'lifetime'])
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
COMMENT ON FUNCTION @extschema@._used_at_most(timestamptz, date) IS
'Internal: a bound of what each user used of each limit that is counted';

/* No maximum that may be in force for a user is below the least of those that are
 * named here: first of all that there are of a limit, which leaves few users.  What is
 * shown is rounded to a tenth. */
CREATE FUNCTION @extschema@._percent_at_most(
    percent numeric, at timestamptz, OUT user_id @user_id@, OUT percent_at_most numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    WITH limits AS MATERIALIZED (
        SELECT l.limit_id, l.limit_type, l.max_usage, t.max_usage AS temporary,
               pg_catalog.strpos(pg_catalog.current_setting('usage_tracking.limit_overrides'), l.limit_type) > 0 AS is_overridden,
               LEAST(NULLIF(l.max_usage, -1), t.max_usage,
                     (SELECT pg_catalog.min(p.max_usage) FROM @extschema@.plan_limits AS p
                       WHERE p.limit_type = l.limit_type AND p.max_usage >= 0)) AS least
          FROM @extschema@.usage_limits AS l
          LEFT JOIN (SELECT t.limit_type, pg_catalog.min(t.max_usage) AS max_usage
                       FROM @extschema@.temporary_limits AS t WHERE t.max_usage >= 0 GROUP BY t.limit_type) AS t
            ON t.limit_type = l.limit_type
    )
    SELECT m.user_id, pg_catalog.max(CASE WHEN m.max_usage = 0 THEN 'Infinity'::numeric ELSE m.used * 100 / m.max_usage END)
      FROM (SELECT u.user_id, u.used,
                   CASE WHEN l.is_overridden THEN 0
                        ELSE LEAST(NULLIF(o.max_usage, -1), NULLIF(COALESCE(p.max_usage, l.max_usage), -1),
                                   NULLIF(COALESCE(d.max_usage, l.max_usage), -1), l.temporary) END AS max_usage
              FROM (SELECT b.user_id, b.limit_id, b.used
                      FROM @extschema@._rollup_progress() AS r
                     CROSS JOIN LATERAL @extschema@._used_at_most(at, (at AT TIME ZONE r.zone)::date) AS b
                     UNION ALL
                    SELECT v.user_id, l.limit_id, v.level
                      FROM @extschema@.usage_levels AS v JOIN limits AS l ON l.limit_type = v.limit_type) AS u
              JOIN limits AS l ON l.limit_id = u.limit_id
              LEFT JOIN @extschema@.user_limits AS o ON o.user_id = u.user_id AND o.limit_type = l.limit_type
              LEFT JOIN @extschema@.user_subscriptions AS s ON s.user_id = u.user_id
              LEFT JOIN @extschema@.plan_limits AS p ON p.plan = s.plan AND p.limit_type = l.limit_type
              LEFT JOIN @extschema@.plan_limits AS d
                ON d.plan = pg_catalog.current_setting('usage_tracking.default_plan') AND d.limit_type = l.limit_type
             WHERE u.used > 0 AND (l.is_overridden OR u.used * 100 >= ($1 - 0.05) * LEAST(l.least, NULLIF(o.max_usage, -1)))
             UNION ALL  -- how much is reserved or leased, is not asked here
            SELECT h.user_id, 1, 0 FROM @extschema@.usage_reservations AS h WHERE h.state = 'held' AND h.expires_at > at
             UNION ALL
            SELECT h.user_id, 1, 0 FROM @extschema@.usage_leases AS h WHERE h.released_at IS NULL
             UNION ALL  -- his windows were moved: a counter may be one of before, and the sums know no adjustments
            SELECT h.user_id, 1, 0
              FROM @extschema@.usage_changes AS h
             WHERE h.changed_at >= (SELECT at - '1 day'::interval - pg_catalog.max(CASE l.window_kind WHEN 'billing' THEN '1 year' ELSE l.period END)
                                      FROM @extschema@.usage_limits AS l
                                     WHERE l.window_kind = ANY (ARRAY['calendar', 'anchored', 'billing']))
               AND h.user_id IS NOT NULL AND h.table_name = 'user_subscriptions' AND h.action <> 'INSERT'
               AND (h.old -> 'time_zone' IS DISTINCT FROM h.new -> 'time_zone' OR h.old -> 'anchor' IS DISTINCT FROM h.new -> 'anchor'
                    OR (h.old -> 'billing_period_start' IS DISTINCT FROM h.new -> 'billing_period_start'
                        AND h.old -> 'billing_period_end' IS DISTINCT FROM h.new -> 'billing_period_start'))) AS m
     GROUP BY m.user_id;
END;
COMMENT ON FUNCTION @extschema@._percent_at_most(numeric, timestamptz) IS
'Internal: a bound of how near users are to any of their limits, of all who may be as near as that';

/* To compute the limits of all users would take long: those who may be nearest come
 * first, until nobody who is left can be among the nearest. */
CREATE FUNCTION @extschema@._get_users_near_limit(
    percent numeric, max_rows integer, at timestamptz,
    OUT user_id @user_id@, OUT plan text, OUT limit_type text, OUT measure text, OUT used numeric, OUT max_usage numeric,
    OUT percent_used numeric, OUT reset_at timestamptz) RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    next record;
    near jsonb := '[]';
BEGIN
    FOR next IN
        SELECT array_agg(o.user_id) AS users, max(o.percent) AS at_most
          FROM (SELECT b.user_id, b.percent_at_most AS percent,
                       (row_number() OVER (ORDER BY b.percent_at_most DESC, b.user_id) - 1) / 100 AS batch
                  FROM @extschema@._percent_at_most($1, $3) AS b WHERE round(b.percent_at_most, 1) >= $1) AS o
         GROUP BY o.batch ORDER BY o.batch
    LOOP
        EXIT WHEN (SELECT count(*) FROM jsonb_to_recordset(near) AS n (percent numeric) WHERE n.percent > round(next.at_most, 1)) >= $2;
        near := (SELECT COALESCE(jsonb_agg(n.row), '[]')
                   FROM (SELECT r.row FROM (SELECT e.row FROM jsonb_array_elements(near) AS e (row)
                                             UNION ALL
                                            SELECT to_jsonb(w) || jsonb_build_object('user_id', u.id)
                                              FROM unnest(next.users) AS u (id) CROSS JOIN LATERAL @extschema@._usage_of_user(u.id) AS w
                                             WHERE w.percent >= $1 AND w.used > 0) AS r
                          ORDER BY (r.row ->> 'percent')::numeric DESC, (r.row ->> 'user_id')::@user_id@, r.row ->> 'limit_type'
                          LIMIT $2) AS n);
    END LOOP;
    RETURN QUERY
        SELECT n.user_id, n.plan, n.limit_type, n.measure, n.used, n.max_usage, n.percent, n.reset_at
          FROM jsonb_to_recordset(near) AS n (user_id @user_id@, plan text, limit_type text, measure text, used numeric,
                                              max_usage numeric, percent numeric, reset_at timestamptz)
         ORDER BY n.percent DESC, n.user_id, n.limit_type;
END
$$;
COMMENT ON FUNCTION @extschema@._get_users_near_limit(numeric, integer, timestamptz) IS
'Internal: the answer of get_users_near_limit()';

CREATE FUNCTION @extschema@.get_users_near_limit(
    percent numeric DEFAULT 80, max_rows integer DEFAULT 100,
    OUT user_id @user_id@, OUT plan text, OUT limit_type text, OUT measure text, OUT used numeric, OUT max_usage numeric,
    OUT percent_used numeric, OUT reset_at timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000 ROWS 100
AS 'MODULE_PATHNAME', 'ut_get_users_near_limit';
COMMENT ON FUNCTION @extschema@.get_users_near_limit(numeric, integer) IS
'Who has used at least so many percent of which limit, the nearest first; for admins and servers';

/* reports, dashboards: what a page shows of a user, or of everybody, as one JSON object.
 *
 * Days, and the month of costs, are those of the sums by day; "at" is the present
 * instant.  Who may see it is decided in src/reports_dashboard.c.
 */

/* How a limit stands, in one word: for a colour that is not only a colour. */
CREATE FUNCTION @extschema@._limit_state(used numeric, max_usage numeric, percent numeric) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN used IS NULL THEN 'uncounted' WHEN max_usage = -1 THEN 'unlimited' WHEN percent >= 100 THEN 'reached'
                WHEN percent >= 80 THEN 'near' ELSE 'ok' END;
END;
COMMENT ON FUNCTION @extschema@._limit_state(numeric, numeric, numeric) IS
'Internal: ok, near (80 percent), reached, unlimited, or uncounted';

CREATE FUNCTION @extschema@._limits_to_show(user_id @user_id@, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
               'limit_type', w.limit_type, 'description', l.description, 'usage_type', w.usage_type, 'measure', w.measure,
               'used', w.used, 'held', w.held, 'max_usage', w.max_usage, 'remaining', w.remaining, 'percent', w.percent,
               'state', @extschema@._limit_state(w.used, w.max_usage, w.percent),
               'window_start', w.window_start, 'reset_at', w.reset_at,
               'reset_in', CASE WHEN w.reset_at > at THEN pg_catalog.ceil(EXTRACT(epoch FROM w.reset_at - at))::bigint END,
               'enforcement', w.enforcement, 'is_enforced', w.is_enforced) ORDER BY w.limit_type), '[]')
      FROM @extschema@._usage_of_user($1) AS w
      JOIN @extschema@.usage_limits AS l ON l.limit_type = w.limit_type;
END;
COMMENT ON FUNCTION @extschema@._limits_to_show(@user_id@, timestamptz) IS
'Internal: every limit of a user as it stands, for user_dashboard()';

CREATE FUNCTION @extschema@._days_to_show(user_id @user_id@, first_day date, last_day date) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH used AS MATERIALIZED (
        SELECT d.day, d.usage_type, NULLIF(d.provider, '') AS provider, NULLIF(d.model, '') AS model,
               d.events, d.quantity, d.tokens, d.cost, d.unpriced
          FROM @extschema@._days_of_user($1, $2, $3) AS d
    )
    SELECT pg_catalog.jsonb_build_object(
        'days', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(d) ORDER BY d.day, d.usage_type)
                            FROM (SELECT u.day, u.usage_type, pg_catalog.sum(u.events) AS events, pg_catalog.sum(u.quantity) AS quantity,
                                         pg_catalog.sum(u.tokens) AS tokens, pg_catalog.trim_scale(pg_catalog.sum(u.cost)) AS cost
                                    FROM used AS u GROUP BY u.day, u.usage_type) AS d), '[]'),
        'models', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(m) ORDER BY m.cost DESC, m.events DESC, m.provider, m.model)
                              FROM (SELECT u.provider, u.model, pg_catalog.sum(u.events) AS events, pg_catalog.sum(u.tokens) AS tokens,
                                           pg_catalog.trim_scale(pg_catalog.sum(u.cost)) AS cost,
                                           @extschema@._ratio(pg_catalog.sum(u.cost) * 100,
                                                              pg_catalog.sum(pg_catalog.sum(u.cost)) OVER (), 1) AS percent,
                                           pg_catalog.sum(u.unpriced) AS unpriced
                                      FROM used AS u WHERE u.provider IS NOT NULL OR u.model IS NOT NULL
                                     GROUP BY u.provider, u.model) AS m), '[]'));
END;
COMMENT ON FUNCTION @extschema@._days_to_show(@user_id@, date, date) IS
'Internal: what a user used by day and type, and by model, for user_dashboard()';

CREATE FUNCTION @extschema@._events_to_show(user_id @user_id@, max_rows integer) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
               'id', h.id, 'occurred_at', h.occurred_at, 'usage_type', h.usage_type, 'event_subtype', h.event_subtype,
               'status', h.status, 'provider', h.provider, 'model', h.model, 'quantity', pg_catalog.trim_scale(h.quantity),
               'tokens', h.tokens, 'cost', pg_catalog.trim_scale(h.cost), 'duration_ms', h.duration_ms,
               'error_message', h.error_message) ORDER BY h.occurred_at DESC, h.id DESC), '[]')
      FROM @extschema@._get_user_usage_history($1, 'infinity', 0, $2) AS h;
END;
COMMENT ON FUNCTION @extschema@._events_to_show(@user_id@, integer) IS
'Internal: the last events of a user, for user_dashboard()';

/* Of what was reached in the present windows and is still, the most of each limit. */
CREATE FUNCTION @extschema@._alerts_to_show(user_id @user_id@, at timestamptz, first_day date) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s) ORDER BY s.id DESC), '[]')
      FROM (SELECT DISTINCT ON (a.limit_type, a.usage_type) a.*
              FROM @extschema@.get_usage_alerts($1, true, NULL, 100) AS a
              LEFT JOIN @extschema@._usage_of_user($1) AS w ON w.limit_type = a.limit_type
             WHERE CASE a.kind WHEN 'threshold' THEN a.window_end > at AND a.threshold <= w.percent ELSE a.day >= first_day END
             ORDER BY a.limit_type, a.usage_type, a.threshold DESC, a.id DESC) AS s;
END;
COMMENT ON FUNCTION @extschema@._alerts_to_show(@user_id@, timestamptz, date) IS
'Internal: what a user should know, for user_dashboard()';

/* The emoji needs a server that can write it. */
CREATE FUNCTION @extschema@._notice_of_plan(plan text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN pg_catalog.current_setting('server_encoding') = 'UTF8' THEN pg_catalog.chr(127881) || ' ' ELSE '' END
        || 'Demo Mode: You have unlimited access to all features. Usage tracking is enabled for analytics purposes.'
     WHERE $1 = 'demo';
END;
COMMENT ON FUNCTION @extschema@._notice_of_plan(text) IS
'Internal: what users on a plan are told, NULL for nothing';

CREATE FUNCTION @extschema@._user_dashboard(user_id @user_id@, plan text, zone text, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT pg_catalog.jsonb_build_object(
        'kind', 'user', 'generated_at', at, 'time_zone', $3, 'first_day', r.first_day, 'last_day', r.last_day,
        'user', pg_catalog.jsonb_build_object('id', $1::text, 'email', @extschema@._email_of($1), 'is_admin', @extschema@.is_admin($1)),
        'plan', (SELECT pg_catalog.jsonb_build_object(
                            'plan', $2, 'name', COALESCE(p.name, $2), 'description', p.description,
                            'status', COALESCE(s.status, 'active'), 'started_at', s.started_at, 'expires_at', s.expires_at,
                            'billing_period_start', s.billing_period_start, 'billing_period_end', s.billing_period_end)
                   FROM (VALUES (1)) AS one (row)
                   LEFT JOIN @extschema@.plans AS p ON p.plan = $2
                   LEFT JOIN @extschema@.user_subscriptions AS s ON s.user_id = $1),
        'notice', @extschema@._notice_of_plan($2),
        'limits', @extschema@._limits_to_show($1, at),
        'costs', (SELECT pg_catalog.jsonb_build_object('this_month', pg_catalog.trim_scale(c.this_month),
                                                       'lifetime', pg_catalog.trim_scale(c.lifetime), 'unpriced', c.unpriced)
                    FROM @extschema@._get_user_costs($1, at) AS c),
        'credits', (SELECT pg_catalog.jsonb_build_object('balance', c.balance, 'held', c.held, 'lifetime_earned', c.lifetime_earned,
                                                         'lifetime_spent', c.lifetime_spent, 'next_refill_at', c.next_refill_at)
                      FROM @extschema@._credits_of_user($1) AS c
                     WHERE c.lifetime_earned <> 0 OR c.balance <> 0 OR c.next_refill_at IS NOT NULL),
        'runs', CASE WHEN EXISTS (SELECT FROM @extschema@.usage_runs AS n WHERE n.user_id = $1 AND n.usage_type = 'run')
                     THEN @extschema@.run_usage($1, 'run') END,
        'usage', (SELECT COALESCE(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                             'usage_type', u.usage_type, 'events', u.events, 'failed', u.failed, 'quantity', pg_catalog.trim_scale(u.quantity),
                             'tokens', u.tokens, 'cost', pg_catalog.trim_scale(u.cost), 'unpriced', u.unpriced) ORDER BY u.usage_type), '[]')
                    FROM @extschema@._get_user_usage($1, NULL, NULL, at) AS u),
        'recent', @extschema@._events_to_show($1, 10),
        'alerts', @extschema@._alerts_to_show($1, at, r.last_day - 6))
        || @extschema@._days_to_show($1, r.first_day, r.last_day)
      FROM @extschema@._last_days(30, NULL, at) AS r;
END;
COMMENT ON FUNCTION @extschema@._user_dashboard(@user_id@, text, text, timestamptz) IS
'Internal: the answer of user_dashboard()';

CREATE FUNCTION @extschema@.user_dashboard(user_id @user_id@ DEFAULT @extschema@.current_user_id()) RETURNS jsonb
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000
AS 'MODULE_PATHNAME', 'ut_user_dashboard';
COMMENT ON FUNCTION @extschema@.user_dashboard(@user_id@) IS
'What to show a user of his usage: plan, limits, costs, credits, runs, days, models, last events and alerts, as one JSON object';

CREATE FUNCTION @extschema@._admin_dashboard(days integer, steps text[], at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH trends AS MATERIALIZED (
        SELECT t.* FROM @extschema@._get_usage_trends($1, NULL, at) AS t
    ), models AS MATERIALIZED (
        SELECT m.* FROM @extschema@._get_cost_breakdown('model', $1, NULL, 20, at) AS m
    ), units AS MATERIALIZED (
        SELECT u.* FROM @extschema@._get_unit_costs($1, NULL, at) AS u
    ), funnel AS MATERIALIZED (
        SELECT f.* FROM @extschema@._get_conversion_funnel($2, $1, NULL, at) AS f
    ), everything AS (
        SELECT COALESCE(pg_catalog.sum(t.events), 0) AS events, COALESCE(pg_catalog.sum(t.failed), 0) AS failed,
               COALESCE(pg_catalog.sum(t.tokens), 0) AS tokens, pg_catalog.trim_scale(COALESCE(pg_catalog.sum(t.cost), 0)) AS cost
          FROM trends AS t
    )
    SELECT pg_catalog.jsonb_build_object(
        'kind', 'admin', 'generated_at', at, 'time_zone', r.zone, 'days', $1, 'first_day', r.first_day, 'last_day', r.last_day,
        'totals', pg_catalog.jsonb_build_object(
            'registered', (SELECT f.users FROM funnel AS f WHERE f.step = 0),
            'active_users', COALESCE((SELECT u.users FROM units AS u WHERE u.usage_type IS NULL), 0),
            'events', e.events, 'failed', e.failed, 'tokens', e.tokens, 'cost', e.cost,
            'unpriced', COALESCE((SELECT u.unpriced FROM units AS u WHERE u.usage_type IS NULL), 0)),
        'forecast', (SELECT pg_catalog.to_jsonb(f) FROM @extschema@._get_cost_forecast(at) AS f),
        'funnel', (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(f) ORDER BY f.step) FROM funnel AS f),
        'trends', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                'day', t.day, 'usage_type', t.usage_type, 'events', t.events, 'quantity', t.quantity,
                                'tokens', t.tokens, 'cost', t.cost, 'users', t.unique_users) ORDER BY t.day, t.usage_type)
                              FROM trends AS t), '[]'),
        'models', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                'provider', m.provider, 'model', m.model, 'events', m.events, 'tokens', m.tokens, 'cost', m.cost,
                                'percent', m.percent, 'unpriced', m.unpriced) ORDER BY m.cost DESC, m.events DESC, m.provider, m.model)
                              FROM models AS m WHERE m.provider IS NOT NULL OR m.model IS NOT NULL OR m.cost <> 0), '[]'),
        'error_rates', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(x) - 'event_subtype' ORDER BY x.events DESC, x.usage_type,
                                                             x.provider, x.model)
                                   FROM (SELECT w.* FROM @extschema@._get_error_rates($1, 'model', NULL, at) AS w LIMIT 20) AS x), '[]'),
        'top_users', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                'user_id', u.user_id::text, 'email', @extschema@._email_of(u.user_id), 'events', u.uses + u.failed,
                                'uses', u.uses, 'failed', u.failed, 'quantity', u.quantity, 'tokens', u.tokens, 'cost', u.cost,
                                'last_used', u.last_used) ORDER BY u.uses DESC, u.user_id)
                              FROM @extschema@._get_top_users(NULL, $1, 'uses', 10, NULL, NULL, NULL, at) AS u), '[]'),
        'near_limits', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                'user_id', n.user_id::text, 'email', @extschema@._email_of(n.user_id), 'plan', n.plan, 'limit_type', n.limit_type,
                                'description', (SELECT l.description FROM @extschema@.usage_limits AS l WHERE l.limit_type = n.limit_type),
                                'measure', n.measure, 'used', n.used, 'max_usage', n.max_usage, 'percent', n.percent_used,
                                'reset_at', n.reset_at, 'state', @extschema@._limit_state(n.used, n.max_usage, n.percent_used))
                                ORDER BY n.percent_used DESC, n.user_id, n.limit_type)
                              FROM @extschema@._get_users_near_limit(80, 20, at) AS n), '[]'),
        'unit_costs', COALESCE((SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(u) ORDER BY u.usage_type NULLS FIRST) FROM units AS u), '[]'))
      FROM @extschema@._last_days($1, NULL, at) AS r CROSS JOIN everything AS e;
END;
COMMENT ON FUNCTION @extschema@._admin_dashboard(integer, text[], timestamptz) IS
'Internal: the answer of admin_dashboard()';

CREATE FUNCTION @extschema@.admin_dashboard(days integer DEFAULT 30) RETURNS jsonb
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10000
AS 'MODULE_PATHNAME', 'ut_admin_dashboard';
COMMENT ON FUNCTION @extschema@.admin_dashboard(integer) IS
'What to show an administrator of the last days of all users, as one JSON object; for admins and servers';

/* reports, HTML: the pieces that pages are made of.
 *
 * What begins with _text_ gives text, which nobody may take for markup; what begins
 * with _html_ gives markup, in which every text is escaped.  So a text goes through
 * _html_text() or _html_escape(), once, and nothing else puts one into a page.  The
 * markup is XML too, so that a test can read it back.  Whatever is not there is
 * NULL, all the way up to the section that is left out. */
CREATE DOMAIN @extschema@."text/html" AS text;
COMMENT ON DOMAIN @extschema@."text/html" IS
'A page; PostgREST serves what returns one as HTML';

/* ---- text ---- */

/* Control characters would reach a terminal, and those for the direction of writing
 * would turn around what stands beside them.  The upper ones are letters in some
 * encodings. */
CREATE FUNCTION @extschema@._text_plain(value text, max_length integer) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.regexp_replace(
               pg_catalog.translate(pg_catalog.left(value, max_length), E'\t\n\r', '   '),
               '[\u0001-\u001f\u007f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\uffff'
               || CASE WHEN pg_catalog.getdatabaseencoding() ~ '^(UTF8|LATIN|ISO)' THEN '\u0080-\u009f' ELSE '' END || ']', '?', 'g')
           || CASE WHEN pg_catalog.length(value) > max_length THEN '...' ELSE '' END;
END;
COMMENT ON FUNCTION @extschema@._text_plain(text, integer) IS
'Internal: a text in one line, not too long, without characters that do something';

/* Two decimals, and of what is small three digits that say something: 0.0004 is not 0. */
CREATE FUNCTION @extschema@._text_number(value numeric, min_scale integer DEFAULT 0) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN n.rounded = 0 AND value <> 0 THEN '<0.000000000001'
                WHEN pg_catalog.abs(value) >= 1e24 THEN pg_catalog.btrim(pg_catalog.to_char(value, '9.999EEEE'))
                ELSE pg_catalog.regexp_replace(pg_catalog.split_part(t.digits, '.', 1), '(\d)(?=(\d\d\d)+$)', '\1,', 'g')
                     || COALESCE("substring"(t.digits, '\..*'), '') END
      FROM (SELECT pg_catalog.trim_scale(pg_catalog.round(value,
                       CASE WHEN value = 0 OR pg_catalog.abs(value) >= 0.1 THEN 2
                            ELSE LEAST(12, 2 - pg_catalog.floor(pg_catalog.log(pg_catalog.abs(value))))::integer END)) AS rounded) AS n,
           LATERAL (SELECT pg_catalog.round(n.rounded, GREATEST(min_scale, pg_catalog.scale(n.rounded)))::text AS digits) AS t;
END;
COMMENT ON FUNCTION @extschema@._text_number(numeric, integer) IS
'Internal: a number as people read it';

CREATE FUNCTION @extschema@._text_money(amount numeric, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN amount < 0 THEN '-' ELSE '' END
           || CASE COALESCE(currency, 'USD') WHEN 'USD' THEN '$' ELSE @extschema@._text_plain(currency, 3) || ' ' END
           || @extschema@._text_number(pg_catalog.abs(amount), 2);
END;
COMMENT ON FUNCTION @extschema@._text_money(numeric, text) IS
'Internal: an amount of money as people read it';

/* An amount in the measure of its limit. */
CREATE FUNCTION @extschema@._text_amount(amount numeric, measure text, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE measure WHEN 'cost' THEN @extschema@._text_money(amount, currency) ELSE @extschema@._text_number(amount) END;
END;
COMMENT ON FUNCTION @extschema@._text_amount(numeric, text, text) IS
'Internal: how much of a limit, as text';

CREATE FUNCTION @extschema@._text_percent(percent numeric) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_number(percent) || '%';
END;
COMMENT ON FUNCTION @extschema@._text_percent(numeric) IS
'Internal: a percentage as people read it';

CREATE FUNCTION @extschema@._text_time(at timestamptz, zone text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN pg_catalog.isfinite(at)
                THEN pg_catalog.to_char(at AT TIME ZONE COALESCE(zone, 'UTC'), 'FMDD Mon YYYY, HH24:MI') END;
END;
COMMENT ON FUNCTION @extschema@._text_time(timestamptz, text) IS
'Internal: an instant by the clocks of a zone';

CREATE FUNCTION @extschema@._text_day(day date) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.to_char(day, 'FMDD Mon YYYY');
END;
COMMENT ON FUNCTION @extschema@._text_day(date) IS
'Internal: a day as people read it';

CREATE FUNCTION @extschema@._text_span(seconds numeric) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN seconds < 60 THEN 'less than a minute'
                WHEN seconds < 3600 THEN pg_catalog.div(seconds, 60) || 'm'
                WHEN seconds < 86400 THEN pg_catalog.div(seconds, 3600) || 'h ' || pg_catalog.div(seconds, 60) % 60 || 'm'
                ELSE pg_catalog.div(seconds, 86400) || 'd ' || pg_catalog.div(seconds, 3600) % 24 || 'h' END;
END;
COMMENT ON FUNCTION @extschema@._text_span(numeric) IS
'Internal: how long until something, in its two largest units';

CREATE FUNCTION @extschema@._text_duration(milliseconds numeric) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN milliseconds < 1000 THEN @extschema@._text_number(milliseconds) || ' ms'
                ELSE @extschema@._text_number(milliseconds / 1000) || ' s' END;
END;
COMMENT ON FUNCTION @extschema@._text_duration(numeric) IS
'Internal: how long something took';

CREATE FUNCTION @extschema@._text_period(first_day date, last_day date) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_day(first_day) || ' to ' || @extschema@._text_day(last_day);
END;
COMMENT ON FUNCTION @extschema@._text_period(date, date) IS
'Internal: days from one to another';

/* The two bounds are the colours' too; what does not say its state has that of its
 * percentage. */
CREATE FUNCTION @extschema@._text_state(state text, percent numeric) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN state = ANY ('{ok,near,reached,unlimited,uncounted}'::text[]) THEN state
                WHEN percent >= 100 THEN 'reached'
                WHEN percent >= 80 THEN 'near'
                WHEN percent IS NULL THEN 'unlimited'
                ELSE 'ok' END;
END;
COMMENT ON FUNCTION @extschema@._text_state(text, numeric) IS
'Internal: how full a limit is, as one of five words';

CREATE FUNCTION @extschema@._text_state_label(state text) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE state WHEN 'near' THEN 'Near the limit'
                      WHEN 'reached' THEN 'Limit reached'
                      WHEN 'unlimited' THEN 'Unlimited'
                      WHEN 'uncounted' THEN 'Not counted'
                      ELSE 'Within the limit' END;
END;
COMMENT ON FUNCTION @extschema@._text_state_label(text) IS
'Internal: how full a limit is, in words';

/* ---- what stands in a sentence or a cell ---- */

CREATE FUNCTION @extschema@._html_escape(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT replace(replace(replace(replace(replace(
               value, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;');
END;
COMMENT ON FUNCTION @extschema@._html_escape(text) IS
'Internal: a text as it is written into markup, attributes included';

CREATE FUNCTION @extschema@._html_text(value text, max_length integer DEFAULT 100) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<bdi>' || @extschema@._html_escape(@extschema@._text_plain(value, max_length)) || '</bdi>';
END;
COMMENT ON FUNCTION @extschema@._html_text(text, integer) IS
'Internal: a text of a user in a page';

CREATE FUNCTION @extschema@._html_data(value numeric, shown text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<data value="' || value || '">' || @extschema@._html_escape(shown) || '</data>';
END;
COMMENT ON FUNCTION @extschema@._html_data(numeric, text) IS
'Internal: a figure in a page, with its exact value beside what is shown';

CREATE FUNCTION @extschema@._html_number(value numeric) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_data(value, @extschema@._text_number(value));
END;
COMMENT ON FUNCTION @extschema@._html_number(numeric) IS
'Internal: a number in a page';

CREATE FUNCTION @extschema@._html_percent(percent numeric) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_data(percent, @extschema@._text_percent(percent));
END;
COMMENT ON FUNCTION @extschema@._html_percent(numeric) IS
'Internal: a percentage in a page';

CREATE FUNCTION @extschema@._html_money(amount numeric, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_data(amount, @extschema@._text_money(amount, currency));
END;
COMMENT ON FUNCTION @extschema@._html_money(numeric, text) IS
'Internal: an amount of money in a page';

CREATE FUNCTION @extschema@._html_amount(amount numeric, measure text, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE measure WHEN 'cost' THEN @extschema@._html_money(amount, currency) ELSE @extschema@._html_number(amount) END;
END;
COMMENT ON FUNCTION @extschema@._html_amount(numeric, text, text) IS
'Internal: how much of a limit, in a page';

/* A cost of which nobody knows a part is more than it says. */
CREATE FUNCTION @extschema@._html_cost(cost numeric, unpriced numeric, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_money(cost, currency)
           || COALESCE(CASE WHEN unpriced > 0 THEN ' <small>+ ' || @extschema@._html_number(unpriced) || ' without a price</small>' END, '');
END;
COMMENT ON FUNCTION @extschema@._html_cost(numeric, numeric, text) IS
'Internal: a cost in a page, with how many uses are not in it';

CREATE FUNCTION @extschema@._html_time(at timestamptz, zone text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<time datetime="' || pg_catalog.to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '">'
           || @extschema@._text_time(at, zone) || '</time>';
END;
COMMENT ON FUNCTION @extschema@._html_time(timestamptz, text) IS
'Internal: an instant in a page';

CREATE FUNCTION @extschema@._html_badge(kind text, label text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<span class="badge ' || kind || '">' || @extschema@._html_escape(label) || '</span>';
END;
COMMENT ON FUNCTION @extschema@._html_badge(text, text) IS
'Internal: a word of ours in a frame';

/* ---- bars ---- */

/* The stripes say what the colour says.  No style attribute: a page forbids them. */
CREATE FUNCTION @extschema@._html_bar(percent numeric, state text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<svg class="bar ' || @extschema@._html_escape(state) || '" width="100%" height="10" aria-hidden="true" focusable="false">'
           '<rect class="track" width="100%" height="10" rx="5"/>'
           || CASE WHEN w.width > 0 THEN '<rect class="fill" width="' || w.width || '%" height="10" rx="5"/>'
                   '<line class="stripes" x1="5" y1="5" x2="' || w.width || '%" y2="5"/>' ELSE '' END || '</svg>'
      FROM (SELECT pg_catalog.round(GREATEST(0, LEAST(100, percent)), 2) AS width) AS w;
END;
COMMENT ON FUNCTION @extschema@._html_bar(numeric, text) IS
'Internal: a bar that shows a figure which stands beside it';

CREATE FUNCTION @extschema@._html_meter(label text, percent numeric, state text) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<div role="meter" aria-label="' || @extschema@._html_escape(@extschema@._text_plain(label, 100))
           || '" aria-valuemin="0" aria-valuemax="100" aria-valuenow="' || GREATEST(0, LEAST(100, percent))
           || '" aria-valuetext="' || @extschema@._html_escape(@extschema@._text_percent(percent)) || '">'
           || @extschema@._html_bar(percent, state) || '</div>';
END;
COMMENT ON FUNCTION @extschema@._html_meter(text, numeric, text) IS
'Internal: a bar that is a figure itself';

/* ---- tables ---- */

/* A cell is markup, or NULL.  Kinds have a letter for each column: t is text, which
 * stands on the left, d a time, n a figure, w a long text, b a bar. */
CREATE FUNCTION @extschema@._html_row(kinds text, cells jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<tr>' || pg_catalog.string_agg(
               CASE WHEN c.place = 1 THEN '<th scope="row" class="' ELSE '<td class="' END || "substring"(kinds, c.place::integer, 1) || '">'
               || COALESCE(c.cell, '&#8211;') || CASE WHEN c.place = 1 THEN '</th>' ELSE '</td>' END, '' ORDER BY c.place) || '</tr>'
      FROM pg_catalog.jsonb_array_elements_text(cells) WITH ORDINALITY AS c (cell, place);
END;
COMMENT ON FUNCTION @extschema@._html_row(text, jsonb) IS
'Internal: one row of a table in a page';

CREATE FUNCTION @extschema@._html_table(caption text, heads text[], kinds text, rows jsonb) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN rows IS NULL THEN '<p class="empty">Nothing yet.</p>' ELSE
           '<div class="scroll" role="group" tabindex="0" aria-label="' || @extschema@._html_escape(caption) || '"><table><caption>'
           || @extschema@._html_escape(caption) || '</caption><thead><tr>'
           || (SELECT pg_catalog.string_agg(CASE WHEN h.head = '' THEN '<td></td>'
                                                 ELSE '<th scope="col" class="' || "substring"(kinds, h.place::integer, 1) || '">' || h.head || '</th>' END,
                                            '' ORDER BY h.place)
                 FROM pg_catalog.unnest(heads) WITH ORDINALITY AS h (head, place))
           || '</tr></thead><tbody>'
           || (SELECT pg_catalog.string_agg(@extschema@._html_row(kinds, r.cells), '' ORDER BY r.place)
                 FROM pg_catalog.jsonb_array_elements(rows) WITH ORDINALITY AS r (cells, place))
           || '</tbody></table></div>' END;
END;
COMMENT ON FUNCTION @extschema@._html_table(text, text[], text, jsonb) IS
'Internal: a table in a page, which scrolls where it is wider than the screen';

/* ---- lists of figures, sections ---- */

CREATE FUNCTION @extschema@._html_fact(label text, value text, note text DEFAULT NULL) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE('<div><dt>' || label || '</dt><dd>' || value || COALESCE('<small>' || note || '</small>', '') || '</dd></div>', '');
END;
COMMENT ON FUNCTION @extschema@._html_fact(text, text, text) IS
'Internal: one figure with its name; nothing, if it is not there';

CREATE FUNCTION @extschema@._html_facts(kind text, facts text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN facts <> '' THEN '<dl class="' || kind || '">' || facts || '</dl>' END;
END;
COMMENT ON FUNCTION @extschema@._html_facts(text, text) IS
'Internal: figures with their names; NULL, if there is none';

CREATE FUNCTION @extschema@._html_section(id text, title text, body text) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE('<section class="' || id || '" aria-labelledby="' || id || '"><h2 id="' || id || '">' || title || '</h2>' || body || '</section>', '');
END;
COMMENT ON FUNCTION @extschema@._html_section(text, text, text) IS
'Internal: a section of a page; nothing, if it has no body';

/* The objects of one of a dashboard's lists; NULL where there is no such list. */
CREATE FUNCTION @extschema@._page_list(dashboard jsonb, key text) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE pg_catalog.jsonb_typeof(dashboard -> key) WHEN 'array' THEN dashboard -> key END;
END;
COMMENT ON FUNCTION @extschema@._page_list(jsonb, text) IS
'Internal: a list of a dashboard';

/* reports, HTML: lines over days. */

/* Days by type, without gaps.  A type has the same place in all pictures of the same
 * days: by its share of uses or of cost, whichever is larger; from the sixth on they
 * are one, if they are more.  Not more days than a dashboard can have.  The planner
 * takes this for thousands of rows, and would compile it for a tenfold of what it takes. */
CREATE FUNCTION @extschema@._page_trend(
    rows jsonb, figure text, first_day date, last_day date,
    OUT place bigint, OUT name text, OUT day date, OUT amount numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE ROWS 100
SET jit = off
BEGIN ATOMIC
    WITH used AS MATERIALIZED (
        SELECT r.day, COALESCE(r.usage_type, '') AS usage_type, COALESCE(r.events, 0) AS events, COALESCE(r.cost, 0) AS cost,
               COALESCE(CASE figure WHEN 'cost' THEN r.cost ELSE r.events END, 0) AS amount
          FROM pg_catalog.jsonb_to_recordset(rows) AS r (day date, usage_type text, events numeric, cost numeric)
         WHERE r.day IS NOT NULL),
    types AS (
        SELECT s.usage_type, s.amount, pg_catalog.row_number() OVER (ORDER BY s.share DESC NULLS LAST, s.usage_type) AS rank
          FROM (SELECT u.usage_type, pg_catalog.sum(u.amount) AS amount,
                       GREATEST(pg_catalog.sum(u.events) / NULLIF(pg_catalog.sum(pg_catalog.sum(u.events)) OVER (), 0),
                                pg_catalog.sum(u.cost) / NULLIF(pg_catalog.sum(pg_catalog.sum(u.cost)) OVER (), 0)) AS share
                  FROM used AS u GROUP BY u.usage_type) AS s),
    lines AS (
        SELECT LEAST(t.rank, 6) AS place,
               CASE WHEN pg_catalog.count(*) = 1 THEN pg_catalog.min(t.usage_type) ELSE pg_catalog.count(*) || ' others' END AS name
          FROM types AS t WHERE t.amount <> 0 GROUP BY 1),
    bounds AS (
        SELECT COALESCE(first_day, pg_catalog.min(u.day)) AS first_day, COALESCE(last_day, pg_catalog.max(u.day)) AS last_day FROM used AS u),
    days AS (
        SELECT b.last_day - n.n AS day
          FROM bounds AS b, LATERAL pg_catalog.generate_series(LEAST(b.last_day - b.first_day, 3660), 0, -1) AS n (n)),
    sums AS (
        SELECT u.day, LEAST(t.rank, 6) AS place, pg_catalog.sum(u.amount) AS amount FROM used AS u JOIN types AS t USING (usage_type) GROUP BY 1, 2)
    SELECT l.place, l.name, d.day, COALESCE(s.amount, 0)
      FROM lines AS l CROSS JOIN days AS d LEFT JOIN sums AS s ON s.place = l.place AND s.day = d.day
     ORDER BY l.place, d.day;
END;
COMMENT ON FUNCTION @extschema@._page_trend(jsonb, text, date, date) IS
'Internal: what lines over days show';

/* The end of a scale: the next digit with zeros. */
CREATE FUNCTION @extschema@._page_scale_end(value numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE(pg_catalog.min(pg_catalog.trim_scale(m * t.ten)), 1)
      FROM (SELECT 10 ^ pg_catalog.floor(pg_catalog.log(value)) AS ten WHERE value > 0) AS t, pg_catalog.unnest('{1,2,3,4,5,6,8,10}'::numeric[]) AS m
     WHERE m * t.ten >= value;
END;
COMMENT ON FUNCTION @extschema@._page_scale_end(numeric) IS
'Internal: where the scale of a picture ends';

CREATE FUNCTION @extschema@._page_trend_lines(rows jsonb, figure text, first_day date, last_day date, top numeric) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.string_agg('<path class="line s' || l.place || '" d="M' || l.points || CASE WHEN l.days = 1 THEN 'h0' ELSE '' END || '"/>',
                                 '' ORDER BY l.place DESC)
      FROM (SELECT p.place, pg_catalog.count(*) AS days, pg_catalog.string_agg(p.x || ' ' || p.y, 'L' ORDER BY p.x) AS points
              FROM (SELECT t.place, pg_catalog.round(1000.0 * (pg_catalog.row_number() OVER line - 1)
                                                     / GREATEST(pg_catalog.count(*) OVER whole_line - 1, 1), 1) AS x,
                           pg_catalog.round(100 - 100 * GREATEST(t.amount, 0) / top, 2) AS y
                      FROM @extschema@._page_trend(rows, figure, first_day, last_day) AS t
                    WINDOW line AS (PARTITION BY t.place ORDER BY t.day), whole_line AS (PARTITION BY t.place)) AS p
             GROUP BY p.place) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_trend_lines(jsonb, text, date, date, numeric) IS
'Internal: a line for each type';

/* Scales are outside the picture, so that it can be stretched and they are not. */
CREATE FUNCTION @extschema@._page_trend_svg(title text, lines text, first_day date, last_day date, top text, middle text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<div class="plot"><div class="scale" aria-hidden="true"><span>' || @extschema@._html_escape(top) || '</span><span>'
           || @extschema@._html_escape(middle) || '</span><span>0</span></div>'
           '<svg role="img" aria-label="' || @extschema@._html_escape(title) || ' by day, '
           || @extschema@._text_period(first_day, last_day) || '. The scale ends at ' || @extschema@._html_escape(top)
           || '. The figures are in the table below." viewBox="0 0 1000 100" preserveAspectRatio="none">'
           '<path class="grid" d="M0 0H1000M0 50H1000M0 100H1000"/>' || lines || '</svg>'
           '<div class="days" aria-hidden="true"><span>' || @extschema@._text_day(first_day) || '</span><span>'
           || CASE WHEN last_day > first_day THEN @extschema@._text_day(last_day) ELSE '' END || '</span></div></div>';
END;
COMMENT ON FUNCTION @extschema@._page_trend_svg(text, text, date, date, text, text) IS
'Internal: lines over days with their scales';

CREATE FUNCTION @extschema@._page_trend_legend(rows jsonb, figure text, first_day date, last_day date, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<ul class="legend">' || pg_catalog.string_agg(
               '<li><svg class="key" width="28" height="10" aria-hidden="true" focusable="false"><path class="line s' || l.place || '" d="M2 5H26"/></svg>'
               || @extschema@._html_text(l.name, 60) || ' '
               || CASE figure WHEN 'cost' THEN @extschema@._html_money(l.amount, currency) ELSE @extschema@._html_number(l.amount) END || '</li>',
               '' ORDER BY l.place) || '</ul>'
      FROM (SELECT t.place, t.name, pg_catalog.sum(t.amount) AS amount
              FROM @extschema@._page_trend(rows, figure, first_day, last_day) AS t GROUP BY t.place, t.name) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_trend_legend(jsonb, text, date, date, text) IS
'Internal: which line is whose, and its sum';

CREATE FUNCTION @extschema@._page_trend_table(rows jsonb, figure text, title text, first_day date, last_day date, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    WITH cells AS MATERIALIZED (SELECT t.* FROM @extschema@._page_trend(rows, figure, first_day, last_day) AS t)
    SELECT '<details><summary>' || title || ' by day, as a table</summary>'
           || @extschema@._html_table(title || ' by day; days without use are left out',
                  (SELECT ARRAY['Day'] || pg_catalog.array_agg(@extschema@._html_text(h.name, 60) ORDER BY h.place)
                     FROM (SELECT DISTINCT c.place, c.name FROM cells AS c) AS h),
                  't' || pg_catalog.repeat('n', (SELECT pg_catalog.count(DISTINCT c.place) FROM cells AS c)::integer),
                  (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(@extschema@._text_day(d.day)) || d.figures ORDER BY d.day DESC)
                     FROM (SELECT c.day, pg_catalog.jsonb_agg(CASE figure WHEN 'cost' THEN @extschema@._html_money(c.amount, currency)
                                                                          ELSE @extschema@._html_number(c.amount) END ORDER BY c.place) AS figures
                             FROM cells AS c GROUP BY c.day HAVING pg_catalog.bool_or(c.amount <> 0)) AS d))
           || '</details>';
END;
COMMENT ON FUNCTION @extschema@._page_trend_table(jsonb, text, text, date, date, text) IS
'Internal: what the lines show, as a table';

CREATE FUNCTION @extschema@._html_trend(dashboard jsonb, key text, figure text, title text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<figure><figcaption>' || title || '</figcaption>'
           || @extschema@._page_trend_svg(title, @extschema@._page_trend_lines(r.rows, figure, b.first_day, b.last_day, b.top), b.first_day, b.last_day,
                  CASE figure WHEN 'cost' THEN @extschema@._text_money(b.top, r.currency) ELSE @extschema@._text_number(b.top) END,
                  CASE figure WHEN 'cost' THEN @extschema@._text_money(b.top / 2, r.currency) ELSE @extschema@._text_number(b.top / 2) END)
           || @extschema@._page_trend_legend(r.rows, figure, b.first_day, b.last_day, r.currency)
           || @extschema@._page_trend_table(r.rows, figure, title, b.first_day, b.last_day, r.currency) || '</figure>'
      FROM (SELECT @extschema@._page_list(dashboard, key) AS rows, dashboard ->> 'currency' AS currency,
                   (dashboard ->> 'first_day')::date AS first_day, (dashboard ->> 'last_day')::date AS last_day) AS r,
           LATERAL (SELECT pg_catalog.min(t.day) AS first_day, pg_catalog.max(t.day) AS last_day,
                           @extschema@._page_scale_end(pg_catalog.max(t.amount)) AS top
                      FROM @extschema@._page_trend(r.rows, figure, r.first_day, r.last_day) AS t) AS b;
END;
COMMENT ON FUNCTION @extschema@._html_trend(jsonb, text, text, text) IS
'Internal: how something went over the days, as a picture and as a table; NULL, if it did not';

/* reports, HTML: how a page looks, and the sections that both kinds of pages have.
 *
 * A section is a function of the dashboard's object; it is empty where the object has
 * nothing for it. */

/* Colours are pairs of contrast 4.5 and more, marks 3 and more, in both schemes; what
 * a colour says, a word, stripes or dashes say too.  */
CREATE FUNCTION @extschema@._page_style() RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '
:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--ink:#16191d;--soft:#59616c;--rule:#e2e5ea;--track:#e6e9ee;--stripe:#fff;
--ok:#2f6fde;--near:#b45309;--reached:#c02626;--okbg:#e6effd;--nearbg:#fdf0db;--reachedbg:#fde8e8;--okink:#1d4fa8;--nearink:#8a3f06;--reachedink:#a01b1b;
--s1:#2f6fde;--s2:#0b7d69;--s3:#b45309;--s4:#8b3fc7;--s5:#c0266b;--s6:#5d6673}
@media (prefers-color-scheme:dark){:root{--page:#0e1114;--card:#171b20;--ink:#e9ecf0;--soft:#a2abb7;--rule:#2a3038;--track:#2b323b;--stripe:#171b20;
--ok:#6aa1ff;--near:#f0a63c;--reached:#ff7b7b;--okbg:#1b2c4a;--nearbg:#3b2a10;--reachedbg:#451c1f;--okink:#a9c9ff;--nearink:#fccb83;--reachedink:#ffb3b3;
--s1:#6aa1ff;--s2:#3fc7ab;--s3:#f0a63c;--s4:#c79bff;--s5:#ff86b8;--s6:#a2abb7}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
header,main,footer{max-width:76rem;margin:0 auto;padding:0 clamp(1rem,3vw,2rem)}
header{padding-top:clamp(1.5rem,4vw,3rem)}
header p{margin:0;color:var(--soft)}
h1{margin:.1rem 0 .35rem;font-size:clamp(1.5rem,1.1rem + 1.8vw,2.2rem);line-height:1.2;letter-spacing:-.015em;font-weight:650}
h2{margin:0 0 1rem;font-size:1.06rem;line-height:1.3;font-weight:650}
h3{margin:0;font-size:.95rem;line-height:1.35;font-weight:600}
bdi{display:inline-block;max-width:100%;overflow:hidden;vertical-align:bottom}
small{font-size:.82rem;color:var(--soft)}
main{display:grid;grid-template-columns:repeat(12,minmax(0,1fr));gap:1.25rem;padding-top:1.5rem;padding-bottom:1rem}
main>*{grid-column:1/-1}
section{background:var(--card);border:1px solid var(--rule);border-radius:14px;padding:clamp(1rem,2.4vw,1.6rem);min-width:0}
.notice,.alerts{margin:0;padding:.85rem 1.1rem;border-radius:12px;background:var(--okbg);color:var(--okink)}
.alerts{background:var(--nearbg);color:var(--nearink)}
.badge{display:inline-block;padding:.1rem .6rem;border-radius:99px;font-size:.8rem;line-height:1.5;font-weight:600;white-space:nowrap;background:var(--okbg);color:var(--okink);vertical-align:middle}
.badge.near{background:var(--nearbg);color:var(--nearink)}
.badge.reached{background:var(--reachedbg);color:var(--reachedink)}
.badge.quiet{background:var(--track);color:var(--ink)}
dl{margin:0}dd{margin:0}dt{color:var(--soft);font-size:.86rem}
.tiles{display:flex;flex-wrap:wrap;gap:1px;background:var(--rule);border:1px solid var(--rule);border-radius:14px;overflow:hidden}
.tiles>div{flex:1 1 9rem;min-width:0;background:var(--card);padding:1rem 1.2rem 1.1rem}
.tiles dd{font-size:clamp(1.15rem,.95rem + .9vw,1.6rem);line-height:1.25;font-weight:600;letter-spacing:-.02em;overflow-wrap:break-word}
.tiles bdi{font-size:1.1rem;line-height:1.3;letter-spacing:-.01em;margin-top:.25rem;overflow-wrap:anywhere}
.tiles small{display:block;letter-spacing:0;font-weight:400;margin-top:.2rem}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));column-gap:3rem;margin-top:1rem}
h2+.facts{margin-top:-.5rem}
.facts>div{display:flex;justify-content:space-between;gap:1rem;padding:.5rem 0;border-bottom:1px solid var(--rule)}
.facts dt{flex:0 0 auto;max-width:55%}.facts dd{text-align:right;min-width:0;font-weight:500}
.facts small{display:block;font-weight:400}
.cards{list-style:none;margin:0;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:1.75rem 2.25rem}
.cards li{min-width:0}
.head{display:flex;justify-content:space-between;align-items:flex-start;gap:.75rem;min-height:1.6rem}
.head .badge{flex:none}
.amount{margin:.15rem 0 .5rem;display:flex;justify-content:space-between;align-items:baseline;gap:.75rem;color:var(--soft)}
.amount>:last-child:not(:first-child){flex:none}
.amount h3{color:var(--ink)}
.amount strong{font-size:1.5rem;line-height:1.25;font-weight:600;letter-spacing:-.02em;color:var(--ink)}
.below{margin:.5rem 0 0;font-size:.86rem;color:var(--soft)}
.bar{display:block}
.bar .track{fill:var(--track)}.bar .fill{fill:var(--ok)}.bar.near .fill{fill:var(--near)}.bar.reached .fill{fill:var(--reached)}
.bar .stripes{display:none;stroke:var(--stripe);stroke-width:10;opacity:.55}
.bar.near .stripes{display:inline;stroke-dasharray:2 7}.bar.reached .stripes{display:inline;stroke-dasharray:2 3}
.scroll{overflow-x:auto;margin:0 -.4rem;padding:0 .4rem}
.scroll:focus-visible,summary:focus-visible{outline:3px solid var(--ok);outline-offset:2px;border-radius:6px}
table{border-collapse:collapse;width:100%;font-size:.92rem}
caption{text-align:left;color:var(--soft);font-size:.86rem;padding-bottom:.5rem}
th,td{padding:.5rem .9rem .5rem 0;text-align:left;vertical-align:top;border-top:1px solid var(--rule)}
thead th,thead td{border-top:0;border-bottom:1px solid var(--rule);color:var(--soft);font-size:.82rem;font-weight:500;white-space:nowrap;vertical-align:bottom}
tbody tr:first-child>*{border-top:0}
th:last-child,td:last-child{padding-right:0}
tbody th{font-weight:500}
.n{text-align:right;white-space:nowrap}
.t{min-width:8.5rem}.w{min-width:14rem}.d{white-space:nowrap}.b{min-width:8rem;width:9rem}.models .b{width:30%}td.b .bar{margin-top:.45rem}
td small{display:block}
figure{margin:0}figure+figure{margin-top:2rem}
figcaption{font-size:.92rem;font-weight:600;margin-bottom:.6rem}
.plot{display:grid;grid-template-columns:auto minmax(0,1fr);gap:.4rem .7rem}
.plot svg{width:100%;height:clamp(9rem,22vw,14rem);overflow:visible}
.scale{display:flex;flex-direction:column;justify-content:space-between;text-align:right;font-size:.78rem;line-height:1;color:var(--soft);margin:-.39rem 0}
.days{grid-column:2;display:flex;justify-content:space-between;font-size:.78rem;color:var(--soft)}
.grid{fill:none;stroke:var(--rule);stroke-width:1;vector-effect:non-scaling-stroke}
.line{fill:none;stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round;vector-effect:non-scaling-stroke}
.s1{stroke:var(--s1)}.s2{stroke:var(--s2);stroke-dasharray:7 5}.s3{stroke:var(--s3);stroke-dasharray:1 5}.s4{stroke:var(--s4);stroke-dasharray:10 4 1 4}.s5{stroke:var(--s5);stroke-dasharray:3 4}.s6{stroke:var(--s6);stroke-dasharray:14 6}
.legend{list-style:none;margin:.9rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.35rem 1.4rem;font-size:.88rem}
.legend li{display:flex;align-items:center;gap:.5rem;min-width:0}.legend data{color:var(--soft);flex:none;max-width:60%}.key{flex:none}
details{margin-top:.9rem}summary{cursor:pointer;color:var(--soft);font-size:.88rem;padding:.2rem 0}details .scroll{margin-top:.5rem;max-height:24rem;overflow-y:auto}
.funnel{list-style:none;margin:0;padding:0;display:grid;gap:1rem}
.empty{margin:0;color:var(--soft)}
footer{padding-bottom:2.5rem;color:var(--soft);font-size:.86rem}footer p{margin:.5rem 0}
@media (min-width:60rem){main>.runs,main>.runs+.plan{grid-column:span 6}main>.forecast{grid-column:span 5}main>.funnel-of{grid-column:span 7}}
@media print{body{background:#fff}section{break-inside:avoid}}
';
END;
COMMENT ON FUNCTION @extschema@._page_style() IS
'Internal: how pages look';

/* A page that says itself that nothing may be loaded or run: what came into it
 * unescaped, were that possible, would still do nothing. */
CREATE FUNCTION @extschema@._page(title text, header text, main text, footer text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<!DOCTYPE html>' || E'\n'
           || '<html lang="en"><head><meta charset="utf-8"/>'
           '<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''sha256-'
           || pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(s.style, 'UTF8')), 'base64')
           || '''; base-uri ''none''; form-action ''none''"/>'
           '<meta name="viewport" content="width=device-width, initial-scale=1"/><meta name="color-scheme" content="light dark"/>'
           '<meta name="referrer" content="no-referrer"/><title>' || @extschema@._html_escape(title) || '</title><style>' || s.style
           || '</style></head>' || E'\n' || '<body><header>' || header || '</header>' || E'\n' || '<main>' || main || '</main>' || E'\n'
           || '<footer>' || footer || '</footer></body></html>' || E'\n'
      FROM (SELECT @extschema@._page_style() AS style) AS s;
END;
COMMENT ON FUNCTION @extschema@._page(text, text, text, text) IS
'Internal: a whole page';

CREATE FUNCTION @extschema@._page_footer(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<p>' || COALESCE('As of ' || @extschema@._html_time((dashboard ->> 'generated_at')::timestamptz, dashboard ->> 'time_zone') || '. ', '')
           || 'Times are in the time zone ' || @extschema@._html_text(COALESCE(dashboard ->> 'time_zone', 'UTC')) || '.</p>';
END;
COMMENT ON FUNCTION @extschema@._page_footer(jsonb) IS
'Internal: when a page was made, and by which clocks';

CREATE FUNCTION @extschema@._page_days(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE('<p>' || @extschema@._text_period((dashboard ->> 'first_day')::date, (dashboard ->> 'last_day')::date) || '</p>', '');
END;
COMMENT ON FUNCTION @extschema@._page_days(jsonb) IS
'Internal: which days a page is about';

/* ---- both kinds ---- */

CREATE FUNCTION @extschema@._page_trends(dashboard jsonb, key text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('trends', 'Day by day',
        CASE WHEN @extschema@._page_list(dashboard, key) IS NOT NULL
             THEN COALESCE(@extschema@._html_trend(dashboard, key, 'events', 'Uses') || COALESCE(@extschema@._html_trend(dashboard, key, 'cost', 'Cost'), ''),
                           '<p class="empty">Nothing yet.</p>') END);
END;
COMMENT ON FUNCTION @extschema@._page_trends(jsonb, text) IS
'Internal: the section of lines over days';

CREATE FUNCTION @extschema@._page_models(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('models', 'Cost by model',
        CASE WHEN l.models IS NOT NULL THEN @extschema@._html_table('What calls of each model cost', '{Model,Provider,Cost,Share,"",Uses,Tokens}', 'ttnnbnn',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        COALESCE(@extschema@._html_text(m.model), 'no model'), @extschema@._html_text(m.provider),
                        @extschema@._html_cost(m.cost, m.unpriced, dashboard ->> 'currency'),
                        @extschema@._html_percent(m.percent), @extschema@._html_bar(m.percent, 'ok'),
                        @extschema@._html_number(m.events), @extschema@._html_number(m.tokens)) ORDER BY m.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.models) AS (
                        provider text, model text, events numeric, tokens numeric, cost numeric, percent numeric, unpriced numeric))
                    WITH ORDINALITY AS m (provider, model, events, tokens, cost, percent, unpriced, place))) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'models') AS models) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_models(jsonb) IS
'Internal: the section of costs by model';

/* reports, HTML: the administrators' page. */

CREATE FUNCTION @extschema@._page_user_cell(id text, email text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE(@extschema@._html_text(email, 60), @extschema@._html_text(id, 60));
END;
COMMENT ON FUNCTION @extschema@._page_user_cell(text, text) IS
'Internal: a user in a table';

CREATE FUNCTION @extschema@._page_admin_header(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<p>All users</p><h1>Usage and costs ' || @extschema@._html_badge('admin', 'Admin') || '</h1>' || @extschema@._page_days(dashboard);
END;
COMMENT ON FUNCTION @extschema@._page_admin_header(jsonb) IS
'Internal: what a page of everybody is about';

CREATE FUNCTION @extschema@._page_admin_tiles(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE(@extschema@._html_facts('tiles',
        @extschema@._html_fact('Registered users', @extschema@._html_number(t.registered))
        || @extschema@._html_fact('Active users', @extschema@._html_number(t.active_users))
        || @extschema@._html_fact('Uses', @extschema@._html_number(t.events), @extschema@._html_number(t.failed) || ' failed')
        || @extschema@._html_fact('Tokens', @extschema@._html_number(t.tokens))
        || @extschema@._html_fact('Cost', @extschema@._html_money(t.cost, dashboard ->> 'currency'),
               CASE WHEN t.unpriced > 0 THEN @extschema@._html_number(t.unpriced) || ' uses without a price' END)), '')
      FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'totals') WHEN 'object' THEN dashboard -> 'totals' ELSE '{}' END)
           AS t (registered numeric, active_users numeric, events numeric, failed numeric, tokens numeric, cost numeric, unpriced numeric);
END;
COMMENT ON FUNCTION @extschema@._page_admin_tiles(jsonb) IS
'Internal: sums over all users';

CREATE FUNCTION @extschema@._page_forecast(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('forecast', 'Forecast' || COALESCE(' for ' || pg_catalog.to_char(f.month, 'FMMonth YYYY'), ''),
        COALESCE('<p class="amount"><span><strong>' || @extschema@._html_money(f.forecast, dashboard ->> 'currency') || '</strong> at the end of the month</span></p>',
                 '<p class="empty">Too early to say.</p>')
        || COALESCE(@extschema@._html_meter('Elapsed share of the month', f.elapsed_share * 100, 'ok'), '')
        || @extschema@._html_facts('facts',
               @extschema@._html_fact('So far', @extschema@._html_money(f.month_to_date, dashboard ->> 'currency'))
               || @extschema@._html_fact('Elapsed share of the month', @extschema@._html_data(f.elapsed_share, @extschema@._text_percent(f.elapsed_share * 100)))))
      FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'forecast') WHEN 'object' THEN dashboard -> 'forecast' ELSE '{}' END)
           AS f (month date, month_to_date numeric, elapsed_share numeric, forecast numeric);
END;
COMMENT ON FUNCTION @extschema@._page_forecast(jsonb) IS
'Internal: the section of what the month will cost';

CREATE FUNCTION @extschema@._page_funnel(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('funnel-of', 'Conversion',
        CASE WHEN l.funnel = '[]' THEN '<p class="empty">Nothing yet.</p>'
             ELSE '<ol class="funnel">'
                  || (SELECT pg_catalog.string_agg(
                                 '<li><div class="amount"><h3>' || @extschema@._html_text(COALESCE(f.name, 'Step ' || f.step), 60) || '</h3><span><strong>'
                                 || COALESCE(@extschema@._html_number(f.users), '&#8211;') || '</strong></span></div>' || COALESCE(@extschema@._html_bar(f.percent, 'ok'), '')
                                 || COALESCE('<p class="below">' || @extschema@._html_percent(f.percent) || ' of all'
                                             || COALESCE(CASE WHEN f.place > 1 THEN ', ' || @extschema@._html_percent(f.percent_of_previous) || ' of the step before' END, '')
                                             || '</p>', '') || '</li>', '' ORDER BY f.place)
                        FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.funnel) AS (
                                 step integer, name text, users numeric, percent numeric, percent_of_previous numeric))
                             WITH ORDINALITY AS f (step, name, users, percent, percent_of_previous, place)) || '</ol>' END)
      FROM (SELECT @extschema@._page_list(dashboard, 'funnel') AS funnel) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_funnel(jsonb) IS
'Internal: the section of how many users came how far';

CREATE FUNCTION @extschema@._page_errors(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('errors', 'Error rates',
        CASE WHEN l.errors IS NOT NULL THEN @extschema@._html_table('How often calls went wrong; few calls say little',
            '{Type,Model,Uses,Failed,"Rate limited",Cancelled,"Error rate","","Mean time"}', 'ttnnnnnbn',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        @extschema@._html_text(e.usage_type, 60),
                        COALESCE(@extschema@._html_text(e.model) || COALESCE('<small>' || @extschema@._html_text(e.provider) || '</small>', ''),
                                 @extschema@._html_text(e.provider)),
                        @extschema@._html_number(e.events), @extschema@._html_number(e.failed), @extschema@._html_number(e.rate_limited),
                        @extschema@._html_number(e.cancelled),
                        @extschema@._html_percent(e.error_rate) || CASE WHEN e.is_small_sample THEN ' <small>few</small>' ELSE '' END,
                        @extschema@._html_bar(e.error_rate, 'reached'),
                        @extschema@._html_data(e.duration_ms_mean, @extschema@._text_duration(e.duration_ms_mean))) ORDER BY e.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.errors) AS (
                        usage_type text, provider text, model text, events numeric, failed numeric, cancelled numeric, rate_limited numeric,
                        error_rate numeric, is_small_sample boolean, duration_ms_mean numeric))
                    WITH ORDINALITY AS e (usage_type, provider, model, events, failed, cancelled, rate_limited,
                                          error_rate, is_small_sample, duration_ms_mean, place))) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'error_rates') AS errors) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_errors(jsonb) IS
'Internal: the section of error rates';

CREATE FUNCTION @extschema@._page_top_users(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('top', 'Top users',
        CASE WHEN l.users IS NOT NULL THEN @extschema@._html_table('Who used most', '{User,Uses,Quantity,Tokens,Cost,"Last use"}', 'wnnnnd',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        @extschema@._page_user_cell(u.user_id, u.email), @extschema@._html_number(u.events), @extschema@._html_number(u.quantity),
                        @extschema@._html_number(u.tokens), @extschema@._html_money(u.cost, dashboard ->> 'currency'),
                        CASE WHEN u.last_used ~ '^\d+-\d\d-\d\d$' THEN @extschema@._text_day(u.last_used::date)
                             ELSE @extschema@._html_time(u.last_used::timestamptz, dashboard ->> 'time_zone') END) ORDER BY u.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.users) AS (
                        user_id text, email text, events numeric, quantity numeric, tokens numeric, cost numeric, last_used text))
                    WITH ORDINALITY AS u (user_id, email, events, quantity, tokens, cost, last_used, place))) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'top_users') AS users) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_top_users(jsonb) IS
'Internal: the section of users who used most';

CREATE FUNCTION @extschema@._page_near_limits(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('near', 'Near their limits',
        CASE WHEN l.users IS NOT NULL THEN @extschema@._html_table('Who has used most of a limit',
            '{User,Limit,Plan,Used,Of,Share,"",State,Resets}', 'wttnnnbtd',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        @extschema@._page_user_cell(u.user_id, u.email), @extschema@._html_text(u.limit_type, 63), @extschema@._html_text(u.plan, 63),
                        @extschema@._html_amount(u.used, u.measure, dashboard ->> 'currency'),
                        @extschema@._html_amount(u.max_usage, u.measure, dashboard ->> 'currency'), @extschema@._html_percent(u.percent),
                        @extschema@._html_bar(u.percent, s.state), @extschema@._html_badge(s.state, @extschema@._text_state_label(s.state)),
                        COALESCE(@extschema@._html_time(u.reset_at, dashboard ->> 'time_zone'), 'never')) ORDER BY u.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.users) AS (
                        user_id text, email text, plan text, limit_type text, measure text, used numeric, max_usage numeric, percent numeric,
                        reset_at timestamptz, state text))
                    WITH ORDINALITY AS u (user_id, email, plan, limit_type, measure, used, max_usage, percent, reset_at, state, place),
                    LATERAL (SELECT @extschema@._text_state(u.state, u.percent) AS state) AS s)) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'near_limits') AS users) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_near_limits(jsonb) IS
'Internal: the section of users who have used most of a limit';

CREATE FUNCTION @extschema@._page_unit_costs(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('unit', 'Unit costs',
        CASE WHEN l.costs IS NOT NULL THEN @extschema@._html_table('What a user, a use and a unit of each type cost',
            '{Type,Users,Uses,Quantity,Cost,"Per user","Per use","Per unit"}', 'tnnnnnnn',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        COALESCE(@extschema@._html_text(u.usage_type, 60), 'all types'), @extschema@._html_number(u.users), @extschema@._html_number(u.events),
                        @extschema@._html_number(u.quantity), @extschema@._html_money(u.cost, dashboard ->> 'currency'),
                        @extschema@._html_money(u.cost_per_user, dashboard ->> 'currency'),
                        @extschema@._html_money(u.cost_per_event, dashboard ->> 'currency'),
                        @extschema@._html_money(u.cost_per_unit, dashboard ->> 'currency')) ORDER BY u.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.costs) AS (
                        usage_type text, users numeric, events numeric, quantity numeric, cost numeric, cost_per_user numeric,
                        cost_per_event numeric, cost_per_unit numeric))
                    WITH ORDINALITY AS u (usage_type, users, events, quantity, cost, cost_per_user, cost_per_event, cost_per_unit, place))) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'unit_costs') AS costs) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_unit_costs(jsonb) IS
'Internal: the section of what one costs';

CREATE FUNCTION @extschema@._page_of_admin(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._page('Usage of all users', @extschema@._page_admin_header(dashboard),
        @extschema@._page_admin_tiles(dashboard) || @extschema@._page_funnel(dashboard) || @extschema@._page_forecast(dashboard)
        || @extschema@._page_trends(dashboard, 'trends') || @extschema@._page_near_limits(dashboard) || @extschema@._page_top_users(dashboard)
        || @extschema@._page_models(dashboard) || @extschema@._page_unit_costs(dashboard) || @extschema@._page_errors(dashboard),
        @extschema@._page_footer(dashboard));
END;
COMMENT ON FUNCTION @extschema@._page_of_admin(jsonb) IS
'Internal: the page of the administrators'' dashboard';

/* reports, HTML: the page of a user. */

CREATE FUNCTION @extschema@._page_user_name(dashboard jsonb) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE(dashboard #>> '{user,email}', dashboard #>> '{user,id}', 'one user');
END;
COMMENT ON FUNCTION @extschema@._page_user_name(jsonb) IS
'Internal: what a page calls its user';

CREATE FUNCTION @extschema@._page_user_header(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<p>Usage and costs</p><h1>' || @extschema@._html_text(@extschema@._page_user_name(dashboard))
           || CASE WHEN dashboard #> '{user,is_admin}' = 'true' THEN ' ' || @extschema@._html_badge('admin', 'Admin') ELSE '' END || '</h1>'
           || @extschema@._page_days(dashboard);
END;
COMMENT ON FUNCTION @extschema@._page_user_header(jsonb) IS
'Internal: whose page this is';

CREATE FUNCTION @extschema@._page_notices(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE('<p class="notice">' || @extschema@._html_text(dashboard ->> 'notice', 500) || '</p>', '')
           || COALESCE((SELECT '<p class="alerts">' || pg_catalog.string_agg(
                                   CASE WHEN a.kind = 'unusual'
                                        THEN 'Unusually much use of ' || COALESCE(@extschema@._html_text(a.usage_type), 'something') || '.'
                                        ELSE 'Limit ' || COALESCE(@extschema@._html_text(a.limit_type), 'of usage') || ' has reached '
                                             || COALESCE(@extschema@._html_percent(a.threshold), 'a threshold') || '.' END,
                                   '<br/>' ORDER BY a.place) || '</p>'
                          FROM ROWS FROM (pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'alerts'))
                                   AS (kind text, limit_type text, threshold numeric, usage_type text))
                               WITH ORDINALITY AS a (kind, limit_type, threshold, usage_type, place)), '');
END;
COMMENT ON FUNCTION @extschema@._page_notices(jsonb) IS
'Internal: what a user should read first';

CREATE FUNCTION @extschema@._page_user_tiles(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE(@extschema@._html_facts('tiles',
        @extschema@._html_fact('Plan', @extschema@._html_text(COALESCE(dashboard #>> '{plan,name}', dashboard #>> '{plan,plan}'), 60))
        || @extschema@._html_fact('Cost this month', @extschema@._html_money(c.this_month, dashboard ->> 'currency'))
        || @extschema@._html_fact('Cost, lifetime', @extschema@._html_money(c.lifetime, dashboard ->> 'currency'),
               CASE WHEN c.unpriced > 0 THEN @extschema@._html_number(c.unpriced) || ' uses without a price' END)
        || @extschema@._html_fact('Credits', @extschema@._html_number(CASE pg_catalog.jsonb_typeof(dashboard #> '{credits,balance}')
                                                                        WHEN 'number' THEN (dashboard #>> '{credits,balance}')::numeric END))), '')
      FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'costs') WHEN 'object' THEN dashboard -> 'costs' ELSE '{}' END)
           AS c (this_month numeric, lifetime numeric, unpriced numeric);
END;
COMMENT ON FUNCTION @extschema@._page_user_tiles(jsonb) IS
'Internal: a user''s plan, costs and credits';

CREATE FUNCTION @extschema@._page_reset(seconds numeric, at timestamptz, zone text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN seconds IS NOT NULL
                THEN 'Resets in ' || @extschema@._text_span(seconds) || COALESCE(' (' || @extschema@._html_time(at, zone) || ')', '')
                ELSE 'Resets on ' || @extschema@._html_time(at, zone) END;
END;
COMMENT ON FUNCTION @extschema@._page_reset(numeric, timestamptz, text) IS
'Internal: when a limit begins anew';

/* What is to be said of a limit below its bar. */
CREATE FUNCTION @extschema@._page_limit_notes(a_limit jsonb, currency text, zone text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<p class="below">' || pg_catalog.string_agg(n.note, ' &#183; ' ORDER BY n.place) || '</p>'
      FROM pg_catalog.jsonb_to_record(a_limit)
           AS l (measure text, remaining numeric, held numeric, reset_in numeric, reset_at timestamptz, enforcement text, is_enforced boolean),
           pg_catalog.unnest(ARRAY[
               @extschema@._html_amount(l.remaining, l.measure, currency) || ' left',
               CASE WHEN l.held > 0 THEN @extschema@._html_amount(l.held, l.measure, currency) || ' reserved' END,
               @extschema@._page_reset(l.reset_in, l.reset_at, zone),
               CASE l.enforcement WHEN 'soft' THEN 'Never refuses' END,
               CASE WHEN NOT l.is_enforced THEN 'Not enforced' END]) WITH ORDINALITY AS n (note, place);
END;
COMMENT ON FUNCTION @extschema@._page_limit_notes(jsonb, text, text) IS
'Internal: what is left of a limit, and until when';

CREATE FUNCTION @extschema@._page_limit(a_limit jsonb, currency text, zone text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<li><div class="head"><h3>' || @extschema@._html_text(l.name, 80) || '</h3>'
           || CASE WHEN s.state <> 'ok' THEN @extschema@._html_badge(CASE WHEN s.state = ANY ('{near,reached}') THEN s.state ELSE 'quiet' END,
                                                                     @extschema@._text_state_label(s.state)) ELSE '' END || '</div>'
           || COALESCE('<p class="amount"><span><strong>' || @extschema@._html_amount(l.used, l.measure, currency) || '</strong>'
                       || COALESCE(' of ' || @extschema@._html_amount(CASE WHEN l.max_usage >= 0 THEN l.max_usage END, l.measure, currency), '')
                       || CASE l.measure WHEN 'tokens' THEN ' tokens' ELSE '' END || '</span>'
                       || COALESCE('<span>' || @extschema@._html_percent(l.percent) || '</span>', '') || '</p>', '')
           || COALESCE(@extschema@._html_meter('Used of ' || l.name, l.percent, s.state), '')
           || COALESCE(@extschema@._page_limit_notes(a_limit, currency, zone), '') || '</li>'
      FROM (SELECT r.*, COALESCE(r.description, r.limit_type, 'A limit') AS name
              FROM pg_catalog.jsonb_to_record(a_limit) AS r (limit_type text, description text, measure text, used numeric, max_usage numeric,
                                                             percent numeric, state text)) AS l,
           LATERAL (SELECT @extschema@._text_state(l.state, l.percent) AS state) AS s;
END;
COMMENT ON FUNCTION @extschema@._page_limit(jsonb, text, text) IS
'Internal: one limit of a user, with a bar';

CREATE FUNCTION @extschema@._page_limits(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('limits', 'Limits',
        CASE WHEN l.limits = '[]' THEN '<p class="empty">Nothing is limited.</p>'
             ELSE '<ul class="cards">'
                  || (SELECT pg_catalog.string_agg(@extschema@._page_limit(e.a_limit, dashboard ->> 'currency', dashboard ->> 'time_zone'), '' ORDER BY e.place)
                        FROM pg_catalog.jsonb_array_elements(l.limits) WITH ORDINALITY AS e (a_limit, place)) || '</ul>' END)
      FROM (SELECT @extschema@._page_list(dashboard, 'limits') AS limits) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_limits(jsonb) IS
'Internal: the section of a user''s limits';

CREATE FUNCTION @extschema@._page_plan(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('plan', 'Plan', @extschema@._html_facts('facts',
        @extschema@._html_fact('Name', @extschema@._html_text(COALESCE(p.name, p.plan)), @extschema@._html_text(p.description, 300))
        || @extschema@._html_fact('Status', @extschema@._html_text(p.status, 30))
        || @extschema@._html_fact('Expires', @extschema@._html_time(p.expires_at, dashboard ->> 'time_zone'))
        || @extschema@._html_fact('Billing period', @extschema@._html_time(p.billing_period_start, dashboard ->> 'time_zone') || ' to '
                                                    || @extschema@._html_time(p.billing_period_end, dashboard ->> 'time_zone'))))
      FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'plan') WHEN 'object' THEN dashboard -> 'plan' ELSE '{}' END)
           AS p (plan text, name text, description text, status text, expires_at timestamptz,
                 billing_period_start timestamptz, billing_period_end timestamptz);
END;
COMMENT ON FUNCTION @extschema@._page_plan(jsonb) IS
'Internal: the section of a user''s plan';

CREATE FUNCTION @extschema@._page_run_meter(used numeric, max_usage numeric, may_run boolean) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<p class="amount"><span><strong>' || @extschema@._html_number(used) || '</strong>'
           || COALESCE(' of ' || @extschema@._html_number(CASE WHEN max_usage >= 0 THEN max_usage END), '') || ' runs this month</span>'
           || CASE WHEN NOT may_run THEN @extschema@._html_badge('reached', 'No more this month')
                   WHEN s.state = 'near' THEN @extschema@._html_badge('near', 'Near the limit') ELSE '' END || '</p>'
           || COALESCE(@extschema@._html_meter('Runs this month', s.percent, s.state), '')
           || COALESCE('<p class="below">' || @extschema@._html_number(GREATEST(CASE WHEN max_usage >= 0 THEN max_usage - used END, 0)) || ' left</p>', '')
      FROM (SELECT p.percent, @extschema@._text_state(CASE WHEN NOT may_run THEN 'reached' END, p.percent) AS state
              FROM (SELECT CASE WHEN max_usage > 0 THEN pg_catalog.round(used * 100 / max_usage, 1)
                                WHEN max_usage = 0 THEN 100 END AS percent) AS p) AS s;
END;
COMMENT ON FUNCTION @extschema@._page_run_meter(numeric, numeric, boolean) IS
'Internal: how many runs of a month are used, with a bar';

CREATE FUNCTION @extschema@._page_runs(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('runs', 'Runs',
        @extschema@._page_run_meter(COALESCE(m.total_runs, 0), r."monthlyLimit", r."canRunMore")
        || @extschema@._html_facts('facts',
               @extschema@._html_fact('Successful', @extschema@._html_number(COALESCE(m.successful_runs, 0)))
               || @extschema@._html_fact('Failed', @extschema@._html_number(COALESCE(m.failed_runs, 0)))
               || @extschema@._html_fact('Tokens', @extschema@._html_number(m.total_tokens))
               || @extschema@._html_fact('Cost', @extschema@._html_cost(m.total_cost_usd, m.unpriced_runs, dashboard ->> 'currency'))
               || @extschema@._html_fact('Last run', @extschema@._html_time(m.last_run_at, dashboard ->> 'time_zone'))))
      FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'runs') WHEN 'object' THEN dashboard -> 'runs' END)
           AS r ("monthlyUsage" jsonb, "canRunMore" boolean, "monthlyLimit" numeric),
           pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(r."monthlyUsage") WHEN 'object' THEN r."monthlyUsage" ELSE '{}' END)
           AS m (total_runs numeric, successful_runs numeric, failed_runs numeric, total_tokens numeric, total_cost_usd numeric,
                 unpriced_runs numeric, last_run_at timestamptz)
     WHERE pg_catalog.jsonb_typeof(dashboard -> 'runs') = 'object';
END;
COMMENT ON FUNCTION @extschema@._page_runs(jsonb) IS
'Internal: the section of a user''s runs';

CREATE FUNCTION @extschema@._page_usage(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('usage', 'Usage',
        CASE WHEN l.usage IS NOT NULL THEN @extschema@._html_table('What was used, by type', '{Type,Uses,Failed,Quantity,Tokens,Cost}', 'tnnnnn',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        @extschema@._html_text(u.usage_type, 60), @extschema@._html_number(u.events), @extschema@._html_number(u.failed),
                        @extschema@._html_number(u.quantity), @extschema@._html_number(u.tokens),
                        @extschema@._html_cost(u.cost, u.unpriced, dashboard ->> 'currency')) ORDER BY u.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.usage) AS (
                        usage_type text, events numeric, failed numeric, quantity numeric, tokens numeric, cost numeric, unpriced numeric))
                    WITH ORDINALITY AS u (usage_type, events, failed, quantity, tokens, cost, unpriced, place))) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'usage') AS usage) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_usage(jsonb) IS
'Internal: the section of what a user used of each type';

/* Status of a use, and what went wrong. */
CREATE FUNCTION @extschema@._page_status(status text, error_message text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE status WHEN 'success' THEN 'Success'
                       WHEN 'failed' THEN @extschema@._html_badge('reached', 'Failed')
                       WHEN 'rate_limited' THEN @extschema@._html_badge('near', 'Rate limited')
                       WHEN 'cancelled' THEN @extschema@._html_badge('quiet', 'Cancelled')
                       WHEN 'correction' THEN @extschema@._html_badge('quiet', 'Correction')
                       ELSE @extschema@._html_text(status, 30) END
           || COALESCE('<small>' || @extschema@._html_text(error_message, 200) || '</small>', '');
END;
COMMENT ON FUNCTION @extschema@._page_status(text, text) IS
'Internal: how a use went';

CREATE FUNCTION @extschema@._page_recent(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('recent', 'Recent activity',
        CASE WHEN l.recent IS NOT NULL THEN @extschema@._html_table('The latest uses', '{When,What,Model,Status,Quantity,Tokens,Cost,Took}', 'dttwnnnn',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        @extschema@._html_time(e.occurred_at, dashboard ->> 'time_zone'),
                        @extschema@._html_text(e.usage_type, 60) || COALESCE('<small>' || @extschema@._html_text(e.event_subtype, 60) || '</small>', ''),
                        COALESCE(@extschema@._html_text(e.model) || COALESCE('<small>' || @extschema@._html_text(e.provider) || '</small>', ''),
                                 @extschema@._html_text(e.provider)),
                        @extschema@._page_status(e.status, e.error_message), @extschema@._html_number(e.quantity), @extschema@._html_number(e.tokens),
                        @extschema@._html_money(e.cost, dashboard ->> 'currency'),
                        @extschema@._html_data(e.duration_ms, @extschema@._text_duration(e.duration_ms))) ORDER BY e.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.recent) AS (
                        occurred_at timestamptz, usage_type text, event_subtype text, status text, provider text, model text,
                        quantity numeric, tokens numeric, cost numeric, duration_ms numeric, error_message text))
                    WITH ORDINALITY AS e (occurred_at, usage_type, event_subtype, status, provider, model,
                                          quantity, tokens, cost, duration_ms, error_message, place))) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'recent') AS recent) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_recent(jsonb) IS
'Internal: the section of a user''s latest uses';

CREATE FUNCTION @extschema@._page_of_user(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._page(@extschema@._text_plain('Usage of ' || @extschema@._page_user_name(dashboard), 100),
        @extschema@._page_user_header(dashboard),
        @extschema@._page_notices(dashboard) || @extschema@._page_user_tiles(dashboard) || @extschema@._page_limits(dashboard)
        || @extschema@._page_trends(dashboard, 'days') || @extschema@._page_usage(dashboard)
        || COALESCE(@extschema@._page_runs(dashboard), '') || @extschema@._page_plan(dashboard)
        || @extschema@._page_models(dashboard) || @extschema@._page_recent(dashboard),
        @extschema@._page_footer(dashboard));
END;
COMMENT ON FUNCTION @extschema@._page_of_user(jsonb) IS
'Internal: the page of a user''s dashboard';

/* reports, pages: a dashboard as HTML that needs nothing else.
 */
CREATE FUNCTION @extschema@._page_kind(dashboard jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF dashboard IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'argument "dashboard" must not be null';
    ELSIF COALESCE(dashboard ->> 'kind', '') NOT IN ('user', 'admin') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'this is not a dashboard',
            HINT = 'user_dashboard() and admin_dashboard() give one.';
    END IF;
    RETURN dashboard ->> 'kind';
END
$$;
COMMENT ON FUNCTION @extschema@._page_kind(jsonb) IS
'Internal: of whom a dashboard is; refuses what is none';

CREATE FUNCTION @extschema@.dashboard_page(dashboard jsonb) RETURNS @extschema@."text/html"
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE @extschema@._page_kind(dashboard) WHEN 'user' THEN @extschema@._page_of_user(dashboard)
                                                  ELSE @extschema@._page_of_admin(dashboard) END;
END;
COMMENT ON FUNCTION @extschema@.dashboard_page(jsonb) IS
'A dashboard as an HTML page';

CREATE FUNCTION @extschema@.user_page(user_id @user_id@ DEFAULT @extschema@.current_user_id()) RETURNS @extschema@."text/html"
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT @extschema@.dashboard_page(@extschema@.user_dashboard(user_id));
END;
COMMENT ON FUNCTION @extschema@.user_page(@user_id@) IS
'A user''s dashboard as an HTML page';

CREATE FUNCTION @extschema@.admin_page(days integer DEFAULT 30) RETURNS @extschema@."text/html"
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT @extschema@.dashboard_page(@extschema@.admin_dashboard(days));
END;
COMMENT ON FUNCTION @extschema@.admin_page(integer) IS
'The administrators'' dashboard as an HTML page';

/* reports, text: a dashboard as lines for a terminal.
 *
 * The pieces are those of pages (reports_html.sql); what begins with _text_ there has
 * no markup.  Lines are ASCII but for texts of users, so that any client can show
 * them, and have at most 100 characters. */
CREATE FUNCTION @extschema@._text_left(value text, width integer) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.rpad(CASE WHEN pg_catalog.length(t.plain) > width THEN pg_catalog.left(t.plain, width - 2) || '..' ELSE t.plain END, width)
      FROM (SELECT COALESCE(@extschema@._text_plain(value, 200), '-') AS plain) AS t;
END;
COMMENT ON FUNCTION @extschema@._text_left(text, integer) IS
'Internal: a text in a column';

/* A figure is rather too wide than cut. */
CREATE FUNCTION @extschema@._text_right(value text, width integer) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.lpad(COALESCE(value, '-'), GREATEST(width, pg_catalog.length(value)));
END;
COMMENT ON FUNCTION @extschema@._text_right(text, integer) IS
'Internal: a figure in a column';

CREATE FUNCTION @extschema@._text_bar(percent numeric, width integer) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN percent IS NULL THEN pg_catalog.repeat(' ', width + 2)
                ELSE '[' || pg_catalog.rpad(pg_catalog.repeat('#', b.marks), width, '.') || ']' END
      FROM (SELECT GREATEST(0, LEAST(width, CASE WHEN percent > 0 THEN GREATEST(1, pg_catalog.trunc(percent * width / 100)) ELSE 0 END))::integer AS marks) AS b;
END;
COMMENT ON FUNCTION @extschema@._text_bar(numeric, integer) IS
'Internal: a bar of characters';

/* A title and its lines; nothing, if there are none. */
CREATE FUNCTION @extschema@._text_section(title text, lines text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN lines <> '{}' THEN ARRAY['', title] || pg_catalog.array_remove(lines, NULL) ELSE '{}' END;
END;
COMMENT ON FUNCTION @extschema@._text_section(text, text[]) IS
'Internal: a section of a report';

/* ---- both kinds ---- */

CREATE FUNCTION @extschema@._text_trend(dashboard jsonb, key text) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('USES BY DAY', pg_catalog.array_agg(
               '  ' || pg_catalog.rpad(@extschema@._text_day(d.day), 13) || @extschema@._text_bar(100 * d.events / NULLIF(d.most, 0), 30)
               || @extschema@._text_right(@extschema@._text_number(d.events), 14)
               || @extschema@._text_right(@extschema@._text_money(d.cost, dashboard ->> 'currency'), 16) ORDER BY d.day))
      FROM (SELECT r.day, pg_catalog.sum(r.events) AS events, pg_catalog.sum(r.cost) AS cost, pg_catalog.max(pg_catalog.sum(r.events)) OVER () AS most
              FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, key)) AS r (day date, events numeric, cost numeric)
             GROUP BY r.day) AS d;
END;
COMMENT ON FUNCTION @extschema@._text_trend(jsonb, text) IS
'Internal: lines of a report about days';

CREATE FUNCTION @extschema@._text_models(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('COST BY MODEL', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(COALESCE(m.provider || '/', '') || COALESCE(m.model, 'no model'), 30) || ' '
               || @extschema@._text_bar(m.percent, 20) || @extschema@._text_right(@extschema@._text_percent(m.percent), 8)
               || @extschema@._text_right(@extschema@._text_money(m.cost, dashboard ->> 'currency'), 16)
               || @extschema@._text_right(@extschema@._text_number(m.events), 12) || ' uses'))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'models'))
           AS m (provider text, model text, events numeric, cost numeric, percent numeric);
END;
COMMENT ON FUNCTION @extschema@._text_models(jsonb) IS
'Internal: lines of a report about models';

/* ---- of a user ---- */

CREATE FUNCTION @extschema@._text_limits(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('LIMITS', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(l.limit_type, 24) || ' ' || @extschema@._text_bar(l.percent, 20)
               || @extschema@._text_right(@extschema@._text_percent(l.percent), 8) || '  '
               || COALESCE(@extschema@._text_amount(l.used, l.measure, dashboard ->> 'currency')
                           || COALESCE(' of ' || @extschema@._text_amount(CASE WHEN l.max_usage >= 0 THEN l.max_usage END, l.measure,
                                                                          dashboard ->> 'currency'), ''), '-')
               || CASE WHEN s.state = 'ok' THEN '' ELSE ', ' || pg_catalog.lower(@extschema@._text_state_label(s.state)) END
               || COALESCE(', resets in ' || @extschema@._text_span(l.reset_in), '')))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'limits'))
           AS l (limit_type text, measure text, used numeric, max_usage numeric, percent numeric, state text, reset_in numeric),
           LATERAL (SELECT @extschema@._text_state(l.state, l.percent) AS state) AS s;
END;
COMMENT ON FUNCTION @extschema@._text_limits(jsonb) IS
'Internal: lines of a report about a user''s limits';

CREATE FUNCTION @extschema@._text_usage(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('USAGE', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(u.usage_type, 24) || @extschema@._text_right(@extschema@._text_number(u.events), 12) || ' uses'
               || @extschema@._text_right(@extschema@._text_number(u.failed), 8) || ' failed'
               || @extschema@._text_right(@extschema@._text_number(u.tokens), 15) || ' tokens'
               || @extschema@._text_right(@extschema@._text_money(u.cost, dashboard ->> 'currency'), 14)))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'usage'))
           AS u (usage_type text, events numeric, failed numeric, tokens numeric, cost numeric);
END;
COMMENT ON FUNCTION @extschema@._text_usage(jsonb) IS
'Internal: lines of a report about what a user used of each type';

CREATE FUNCTION @extschema@._text_costs(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('COSTS', ARRAY[
               '  this month ' || @extschema@._text_money(c.this_month, dashboard ->> 'currency')
               || COALESCE(', lifetime ' || @extschema@._text_money(c.lifetime, dashboard ->> 'currency'), '')
               || CASE WHEN c.unpriced > 0 THEN ', ' || @extschema@._text_number(c.unpriced) || ' uses without a price' ELSE '' END])
      FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'costs') WHEN 'object' THEN dashboard -> 'costs' ELSE '{}' END)
           AS c (this_month numeric, lifetime numeric, unpriced numeric)
     WHERE c.this_month IS NOT NULL;
END;
COMMENT ON FUNCTION @extschema@._text_costs(jsonb) IS
'Internal: a line of a report about what a user cost';

CREATE FUNCTION @extschema@._text_runs(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('RUNS THIS MONTH', ARRAY[
               '  ' || pg_catalog.rpad('', 25) || @extschema@._text_bar(CASE WHEN r."monthlyLimit" > 0 THEN 100 * r.used / r."monthlyLimit" END, 20)
               || '  ' || @extschema@._text_number(r.used)
               || COALESCE(' of ' || @extschema@._text_number(CASE WHEN r."monthlyLimit" >= 0 THEN r."monthlyLimit" END), '')
               || CASE WHEN NOT r."canRunMore" THEN ', no more this month' ELSE '' END])
      FROM (SELECT n."monthlyLimit", n."canRunMore",
                   COALESCE(CASE pg_catalog.jsonb_typeof(n."monthlyUsage" -> 'total_runs')
                            WHEN 'number' THEN (n."monthlyUsage" ->> 'total_runs')::numeric END, 0) AS used
              FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'runs') WHEN 'object' THEN dashboard -> 'runs' ELSE '{}' END)
                   AS n ("monthlyUsage" jsonb, "canRunMore" boolean, "monthlyLimit" numeric)
             WHERE pg_catalog.jsonb_typeof(dashboard -> 'runs') = 'object') AS r;
END;
COMMENT ON FUNCTION @extschema@._text_runs(jsonb) IS
'Internal: a line of a report about a user''s runs';

CREATE FUNCTION @extschema@._text_recent(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('RECENT ACTIVITY', pg_catalog.array_agg(
               '  ' || pg_catalog.rpad(COALESCE(@extschema@._text_time(e.occurred_at, dashboard ->> 'time_zone'), '-'), 20)
               || @extschema@._text_left(e.usage_type, 18) || ' ' || @extschema@._text_left(COALESCE(e.provider || '/', '') || COALESCE(e.model, ''), 26) || ' '
               || @extschema@._text_left(e.status, 12) || @extschema@._text_right(@extschema@._text_money(e.cost, dashboard ->> 'currency'), 12)))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'recent'))
           AS e (occurred_at timestamptz, usage_type text, provider text, model text, status text, cost numeric);
END;
COMMENT ON FUNCTION @extschema@._text_recent(jsonb) IS
'Internal: lines of a report about a user''s latest uses';

CREATE FUNCTION @extschema@._text_of_user(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.array_remove(ARRAY[
               'Usage of ' || @extschema@._text_plain(@extschema@._page_user_name(dashboard), 70)
               || CASE WHEN dashboard #> '{user,is_admin}' = 'true' THEN ' (admin)' ELSE '' END,
               'Plan: ' || @extschema@._text_plain(COALESCE(dashboard #>> '{plan,name}', dashboard #>> '{plan,plan}'), 60)
               || COALESCE(', ' || @extschema@._text_plain(dashboard #>> '{plan,status}', 30), ''),
               @extschema@._text_plain(dashboard ->> 'notice', 97)], NULL)
           || @extschema@._text_limits(dashboard) || @extschema@._text_costs(dashboard) || @extschema@._text_runs(dashboard)
           || @extschema@._text_usage(dashboard) || @extschema@._text_trend(dashboard, 'days')
           || @extschema@._text_models(dashboard) || @extschema@._text_recent(dashboard);
END;
COMMENT ON FUNCTION @extschema@._text_of_user(jsonb) IS
'Internal: lines of a user''s report';

/* ---- of everybody ---- */

CREATE FUNCTION @extschema@._text_totals(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('TOTALS', ARRAY[
               '  ' || @extschema@._text_number(t.active_users) || ' active users' || COALESCE(' of ' || @extschema@._text_number(t.registered) || ' registered', ''),
               '  ' || @extschema@._text_number(t.events) || ' uses, ' || @extschema@._text_number(t.failed) || ' failed',
               '  ' || @extschema@._text_number(t.tokens) || ' tokens',
               '  cost ' || @extschema@._text_money(t.cost, dashboard ->> 'currency')
               || CASE WHEN t.unpriced > 0 THEN ', ' || @extschema@._text_number(t.unpriced) || ' uses without a price' ELSE '' END,
               (SELECT '  forecast for the month ' || @extschema@._text_money(f.forecast, dashboard ->> 'currency') || ': '
                       || @extschema@._text_money(f.month_to_date, dashboard ->> 'currency') || ' so far, with '
                       || @extschema@._text_percent(f.elapsed_share * 100) || ' of it over'
                  FROM pg_catalog.jsonb_to_record(CASE pg_catalog.jsonb_typeof(dashboard -> 'forecast') WHEN 'object' THEN dashboard -> 'forecast' ELSE '{}' END)
                       AS f (month_to_date numeric, elapsed_share numeric, forecast numeric))])
      FROM pg_catalog.jsonb_to_record(dashboard -> 'totals')
           AS t (registered numeric, active_users numeric, events numeric, failed numeric, tokens numeric, cost numeric, unpriced numeric)
     WHERE pg_catalog.jsonb_typeof(dashboard -> 'totals') = 'object';
END;
COMMENT ON FUNCTION @extschema@._text_totals(jsonb) IS
'Internal: lines of a report about sums over all users';

CREATE FUNCTION @extschema@._text_funnel(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('CONVERSION', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(COALESCE(f.name, f.step::text), 24) || ' ' || @extschema@._text_bar(f.percent, 20)
               || @extschema@._text_right(@extschema@._text_percent(f.percent), 8) || @extschema@._text_right(@extschema@._text_number(f.users), 14) || ' users'))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'funnel')) AS f (step integer, name text, users numeric, percent numeric);
END;
COMMENT ON FUNCTION @extschema@._text_funnel(jsonb) IS
'Internal: lines of a report about how many users came how far';

CREATE FUNCTION @extschema@._text_errors(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('ERROR RATES', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(e.usage_type, 16) || ' ' || @extschema@._text_left(COALESCE(e.provider || '/', '') || COALESCE(e.model, ''), 26) || ' '
               || @extschema@._text_bar(e.error_rate, 14) || @extschema@._text_right(@extschema@._text_percent(e.error_rate), 8)
               || ' of' || @extschema@._text_right(@extschema@._text_number(e.events), 11) || CASE WHEN e.is_small_sample THEN ' (few)' ELSE '' END))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'error_rates'))
           AS e (usage_type text, provider text, model text, events numeric, error_rate numeric, is_small_sample boolean);
END;
COMMENT ON FUNCTION @extschema@._text_errors(jsonb) IS
'Internal: lines of a report about error rates';

CREATE FUNCTION @extschema@._text_near_limits(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('NEAR THEIR LIMITS', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(COALESCE(u.email, u.user_id), 27) || ' ' || @extschema@._text_left(u.limit_type, 18) || ' '
               || @extschema@._text_bar(u.percent, 14) || @extschema@._text_right(@extschema@._text_percent(u.percent), 8) || '  '
               || COALESCE(@extschema@._text_amount(u.used, u.measure, dashboard ->> 'currency') || ' of '
                           || @extschema@._text_amount(u.max_usage, u.measure, dashboard ->> 'currency'), '')))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'near_limits'))
           AS u (user_id text, email text, limit_type text, measure text, used numeric, max_usage numeric, percent numeric);
END;
COMMENT ON FUNCTION @extschema@._text_near_limits(jsonb) IS
'Internal: lines of a report about users who have used most of a limit';

CREATE FUNCTION @extschema@._text_top_users(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('TOP USERS', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(COALESCE(u.email, u.user_id), 40) || @extschema@._text_right(@extschema@._text_number(u.events), 12) || ' uses'
               || @extschema@._text_right(@extschema@._text_number(u.tokens), 16) || ' tokens'
               || @extschema@._text_right(@extschema@._text_money(u.cost, dashboard ->> 'currency'), 14)))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'top_users'))
           AS u (user_id text, email text, events numeric, tokens numeric, cost numeric);
END;
COMMENT ON FUNCTION @extschema@._text_top_users(jsonb) IS
'Internal: lines of a report about users who used most';

CREATE FUNCTION @extschema@._text_unit_costs(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_section('UNIT COSTS', pg_catalog.array_agg(
               '  ' || @extschema@._text_left(u.usage_type, 24)
               || @extschema@._text_right(@extschema@._text_money(u.cost_per_user, dashboard ->> 'currency'), 14) || ' a user'
               || @extschema@._text_right(@extschema@._text_money(u.cost_per_event, dashboard ->> 'currency'), 14) || ' a use'
               || @extschema@._text_right(@extschema@._text_money(u.cost_per_unit, dashboard ->> 'currency'), 14) || ' a unit'))
      FROM pg_catalog.jsonb_to_recordset(@extschema@._page_list(dashboard, 'unit_costs'))
           AS u (usage_type text, cost_per_user numeric, cost_per_event numeric, cost_per_unit numeric);
END;
COMMENT ON FUNCTION @extschema@._text_unit_costs(jsonb) IS
'Internal: lines of a report about what one costs';

CREATE FUNCTION @extschema@._text_of_admin(dashboard jsonb) RETURNS text[]
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT ARRAY['Usage of all users'
                 || COALESCE(', ' || @extschema@._text_period((dashboard ->> 'first_day')::date, (dashboard ->> 'last_day')::date), '')]
           || COALESCE(@extschema@._text_totals(dashboard), '{}') || @extschema@._text_funnel(dashboard) || @extschema@._text_trend(dashboard, 'trends')
           || @extschema@._text_near_limits(dashboard) || @extschema@._text_top_users(dashboard) || @extschema@._text_models(dashboard)
           || @extschema@._text_unit_costs(dashboard) || @extschema@._text_errors(dashboard);
END;
COMMENT ON FUNCTION @extschema@._text_of_admin(jsonb) IS
'Internal: lines of the administrators'' report';

CREATE FUNCTION @extschema@._text_report(dashboard jsonb) RETURNS SETOF text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog."left"(r.line, 100)
      FROM pg_catalog.unnest(CASE @extschema@._page_kind(dashboard) WHEN 'user' THEN @extschema@._text_of_user(dashboard)
                                                                    ELSE @extschema@._text_of_admin(dashboard) END
                             || ARRAY['', 'As of ' || @extschema@._text_time((dashboard ->> 'generated_at')::timestamptz, dashboard ->> 'time_zone')
                                          || ', time zone ' || @extschema@._text_plain(COALESCE(dashboard ->> 'time_zone', 'UTC'), 50)])
           WITH ORDINALITY AS r (line, place)
     WHERE r.line IS NOT NULL
     ORDER BY r.place;
END;
COMMENT ON FUNCTION @extschema@._text_report(jsonb) IS
'Internal: a dashboard as lines of text';

CREATE FUNCTION @extschema@.usage_report(user_id @user_id@ DEFAULT NULL, days integer DEFAULT 30) RETURNS SETOF text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT r.line
      FROM @extschema@._text_report(CASE WHEN user_id IS NULL AND @extschema@._sees_all_users() THEN @extschema@.admin_dashboard(days)
                                         ELSE @extschema@.user_dashboard(COALESCE(user_id, @extschema@.current_user_id())) END) AS r (line);
END;
COMMENT ON FUNCTION @extschema@.usage_report(@user_id@, integer) IS
'A dashboard as lines of text, with bars';


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
                    'get_run', 'list_runs', 'get_run_deliveries', 'run_usage', 'check_monthly_usage_limit', '_monthly_runs'])
                  OR p.proname ~ '^_(html|page|text)_' OR p.proname = '_page'
                THEN 'user'
                WHEN p.proname = ANY (ARRAY['act_for_any_user', 'track_usage', 'track_api_usage', 'track_usage_batch',
                                                'reserve_usage', 'commit_usage', 'release_usage',
                                                'acquire_lease', 'renew_lease', 'release_lease', 'apply_stripe_event',
                                                'start_run', 'update_run', 'succeed_run', 'fail_run', 'cancel_run', 'record_delivery'])
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
     WHERE g.grantee = 0
        OR (g.privilege_type <> 'SELECT'
            AND NOT (g.privilege_type = 'UPDATE' AND g.oid = '@extschema@.user_usage'::regclass))
        OR NOT EXISTS (SELECT FROM @extschema@._readable() AS r
                        WHERE r.relation = g.oid AND (r.columns IS NULL OR g.of_column = ANY (r.columns)))
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

