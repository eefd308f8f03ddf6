/* runs: long work
 *
 * A run is a reservation that says what it is for: both have the same id.  What
 * it used stands in the event that it ends with; whoever reads runs looks there,
 * so that corrections and prices found later show.
 */
CREATE TABLE @extschema@.usage_runs (
    user_id                @user_id_column@ NOT NULL,
    id                     bigint NOT NULL,
    usage_type             text COLLATE "C" NOT NULL,
    status                 text NOT NULL DEFAULT 'running',
    counts                 boolean NOT NULL,
    started_at             timestamptz NOT NULL,
    expires_at             timestamptz NOT NULL,
    completed_at           timestamptz,
    updated_at             timestamptz NOT NULL,
    resource_type          text,
    resource_id            text,
    configuration_id       text,
    configuration_snapshot jsonb,
    progress               jsonb,
    event_id               bigint,
    output                 text,
    output_format          text,
    error_code             text,
    error_message          text,
    delivered              boolean NOT NULL DEFAULT false,
    delivery_attempts      integer NOT NULL DEFAULT 0,
    last_delivery_at       timestamptz,
    last_delivery_status   integer,
    PRIMARY KEY (user_id, id),
    CHECK (status = ANY (ARRAY['running', 'success', 'failed', 'cancelled']))
);
COMMENT ON TABLE @extschema@.usage_runs IS
'Long work: running until it succeeds, fails or is cancelled; of what it used, see its event';
COMMENT ON COLUMN @extschema@.usage_runs.id IS
'That of its reservation too';
COMMENT ON COLUMN @extschema@.usage_runs.counts IS
'False: a test, which takes nothing of limits on events and quantities';
COMMENT ON COLUMN @extschema@.usage_runs.started_at IS
'Its event has this instant';
COMMENT ON COLUMN @extschema@.usage_runs.expires_at IS
'From then on, if it still runs, it is shown as expired and holds nothing any more';
COMMENT ON COLUMN @extschema@.usage_runs.event_id IS
'The event that it ended with, NULL while it runs';
CREATE INDEX usage_runs_started ON @extschema@.usage_runs (user_id, started_at);
COMMENT ON INDEX @extschema@.usage_runs_started IS 'The runs of a user in a month';
ALTER TABLE @extschema@.usage_runs ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_runs', '');

CREATE TABLE @extschema@.usage_run_deliveries (
    user_id         @user_id_column@ NOT NULL,
    run_id          bigint NOT NULL,
    attempt         integer NOT NULL,
    attempted_at    timestamptz NOT NULL,
    delivered       boolean NOT NULL,
    response_status integer,
    error           text,
    delivery_id     text,
    PRIMARY KEY (user_id, run_id, attempt)
);
COMMENT ON TABLE @extschema@.usage_run_deliveries IS
'Every attempt to deliver what a run came to, one row each';
COMMENT ON COLUMN @extschema@.usage_run_deliveries.delivery_id IS
'The application''s own: the same again is the same attempt';
CREATE UNIQUE INDEX usage_run_deliveries_delivery_id ON @extschema@.usage_run_deliveries (user_id, run_id, delivery_id)
 WHERE delivery_id IS NOT NULL;
COMMENT ON INDEX @extschema@.usage_run_deliveries_delivery_id IS 'An attempt is recorded once';
ALTER TABLE @extschema@.usage_run_deliveries ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_run_deliveries', '');

CREATE TYPE @extschema@.usage_run AS (
    user_id                 @user_id@,
    id                      bigint,
    usage_type              text,
    status                  text,
    counts                  boolean,
    started_at              timestamptz,
    expires_at              timestamptz,
    completed_at            timestamptz,
    updated_at              timestamptz,
    resource_type           text,
    resource_id             text,
    configuration_id        text,
    configuration_snapshot  jsonb,
    progress                jsonb,
    provider                text,
    model                   text,
    service_tier            text,
    tokens                  bigint,
    input_tokens            bigint,
    output_tokens           bigint,
    cache_read_tokens       bigint,
    cache_write_tokens      bigint,
    cache_write_1h_tokens   bigint,
    reasoning_tokens        bigint,
    audio_input_tokens      bigint,
    audio_cache_read_tokens bigint,
    audio_output_tokens     bigint,
    image_input_tokens      bigint,
    image_output_tokens     bigint,
    cost                    numeric,
    output                  text,
    output_format           text,
    error_code              text,
    error_message           text,
    delivered               boolean,
    delivery_attempts       integer,
    last_delivery_at        timestamptz,
    last_delivery_status    integer,
    event_id                bigint
);
COMMENT ON TYPE @extschema@.usage_run IS
'A run as it stands at this moment, with what it used';

/* ---- while it runs: for servers ---- */

CREATE FUNCTION @extschema@.start_run(
    user_id @user_id@, usage_type text DEFAULT 'run', expires_in interval DEFAULT '1 hour',
    counts boolean DEFAULT true, resource_type text DEFAULT NULL, resource_id text DEFAULT NULL,
    configuration_id text DEFAULT NULL, configuration_snapshot jsonb DEFAULT NULL, progress jsonb DEFAULT NULL,
    tokens bigint DEFAULT 0, cost numeric DEFAULT 0, idempotency_key text DEFAULT NULL) RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_start_run';
COMMENT ON FUNCTION @extschema@.start_run(@user_id@, text, interval, boolean, text, text, text, jsonb, jsonb, bigint, numeric, text) IS
'Begins long work if every limit has room for it, and holds that room until it ends or expires; or answers why not';

CREATE FUNCTION @extschema@.update_run(
    user_id @user_id@, run_id bigint, progress jsonb DEFAULT NULL, expires_in interval DEFAULT NULL) RETURNS @extschema@.usage_run
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_update_run';
COMMENT ON FUNCTION @extschema@.update_run(@user_id@, bigint, jsonb, interval) IS
'Says how far a run has come, or when it expires from now on';

CREATE FUNCTION @extschema@.succeed_run(
    user_id @user_id@, run_id bigint, provider text DEFAULT NULL, model text DEFAULT NULL,
    input_tokens bigint DEFAULT 0, output_tokens bigint DEFAULT 0,
    cache_read_tokens bigint DEFAULT 0, cache_write_tokens bigint DEFAULT 0, cost numeric DEFAULT NULL,
    output text DEFAULT NULL, output_format text DEFAULT NULL, progress jsonb DEFAULT NULL, metadata jsonb DEFAULT NULL,
    service_tier text DEFAULT 'standard', cache_write_1h_tokens bigint DEFAULT 0,
    reasoning_tokens bigint DEFAULT 0, audio_input_tokens bigint DEFAULT 0, audio_cache_read_tokens bigint DEFAULT 0,
    audio_output_tokens bigint DEFAULT 0, image_input_tokens bigint DEFAULT 0, image_output_tokens bigint DEFAULT 0)
RETURNS @extschema@.usage_run
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_succeed_run';
COMMENT ON FUNCTION @extschema@.succeed_run(@user_id@, bigint, text, text, bigint, bigint, bigint, bigint, numeric, text, text, jsonb, jsonb, text, bigint, bigint, bigint, bigint, bigint, bigint, bigint) IS
'Ends a run well and records what it used, at the instant of its start; never refused by a limit';

CREATE FUNCTION @extschema@.fail_run(
    user_id @user_id@, run_id bigint, error_message text DEFAULT NULL, error_code text DEFAULT NULL,
    provider text DEFAULT NULL, model text DEFAULT NULL, input_tokens bigint DEFAULT 0, output_tokens bigint DEFAULT 0,
    cache_read_tokens bigint DEFAULT 0, cache_write_tokens bigint DEFAULT 0, cost numeric DEFAULT NULL,
    progress jsonb DEFAULT NULL, metadata jsonb DEFAULT NULL,
    service_tier text DEFAULT 'standard', cache_write_1h_tokens bigint DEFAULT 0,
    reasoning_tokens bigint DEFAULT 0, audio_input_tokens bigint DEFAULT 0, audio_cache_read_tokens bigint DEFAULT 0,
    audio_output_tokens bigint DEFAULT 0, image_input_tokens bigint DEFAULT 0, image_output_tokens bigint DEFAULT 0)
RETURNS @extschema@.usage_run
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_fail_run';
COMMENT ON FUNCTION @extschema@.fail_run(@user_id@, bigint, text, text, text, text, bigint, bigint, bigint, bigint, numeric, jsonb, jsonb, text, bigint, bigint, bigint, bigint, bigint, bigint, bigint) IS
'Ends a run that failed: gives its room back, and records what it used with status failed';

CREATE FUNCTION @extschema@.cancel_run(
    user_id @user_id@, run_id bigint, provider text DEFAULT NULL, model text DEFAULT NULL,
    input_tokens bigint DEFAULT 0, output_tokens bigint DEFAULT 0,
    cache_read_tokens bigint DEFAULT 0, cache_write_tokens bigint DEFAULT 0, cost numeric DEFAULT NULL,
    progress jsonb DEFAULT NULL, metadata jsonb DEFAULT NULL,
    service_tier text DEFAULT 'standard', cache_write_1h_tokens bigint DEFAULT 0,
    reasoning_tokens bigint DEFAULT 0, audio_input_tokens bigint DEFAULT 0, audio_cache_read_tokens bigint DEFAULT 0,
    audio_output_tokens bigint DEFAULT 0, image_input_tokens bigint DEFAULT 0, image_output_tokens bigint DEFAULT 0)
RETURNS @extschema@.usage_run
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_cancel_run';
COMMENT ON FUNCTION @extschema@.cancel_run(@user_id@, bigint, text, text, bigint, bigint, bigint, bigint, numeric, jsonb, jsonb, text, bigint, bigint, bigint, bigint, bigint, bigint, bigint) IS
'Ends a run that nobody wants any more: gives its room back, and records what it used with status cancelled';

CREATE FUNCTION @extschema@.record_delivery(
    user_id @user_id@, run_id bigint, delivered boolean, response_status integer DEFAULT NULL,
    error text DEFAULT NULL, delivery_id text DEFAULT NULL) RETURNS @extschema@.usage_run
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_record_delivery';
COMMENT ON FUNCTION @extschema@.record_delivery(@user_id@, bigint, boolean, integer, text, text) IS
'Records an attempt to deliver what a run came to; the same delivery_id again is the same attempt';

/* ---- what there is: each user his own ----
 *
 * As in room reports: one function for those who ask, in C, which decides
 * whether they may, and one with the answer, for the owner.  "at" is the present
 * instant.  The latest first, by id: runs get theirs when they start. */

CREATE FUNCTION @extschema@._runs_of_user(
    user_id @user_id@, first_id bigint, last_id bigint, skip_rows integer, max_rows integer, at timestamptz)
RETURNS SETOF @extschema@.usage_run
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT r.user_id, r.id, r.usage_type,
           CASE WHEN r.status = 'running' AND r.expires_at <= $6 THEN 'expired' ELSE r.status END,
           r.counts, r.started_at, r.expires_at, r.completed_at, r.updated_at, r.resource_type, r.resource_id,
           r.configuration_id, r.configuration_snapshot, r.progress, e.provider, e.model,
           COALESCE(e.service_tier, CASE WHEN e.model IS NOT NULL THEN 'standard' END), e.tokens,
           COALESCE(e.input_tokens, e.none), COALESCE(e.output_tokens, e.none), COALESCE(e.cache_read_tokens, e.none),
           COALESCE(e.cache_write_tokens, e.none), COALESCE(e.cache_write_1h_tokens, e.none),
           COALESCE(e.reasoning_tokens, e.none), COALESCE(e.audio_input_tokens, e.none),
           COALESCE(e.audio_cache_read_tokens, e.none), COALESCE(e.audio_output_tokens, e.none),
           COALESCE(e.image_input_tokens, e.none), COALESCE(e.image_output_tokens, e.none), e.cost_left,
           r.output, r.output_format, r.error_code, r.error_message,
           r.delivered, r.delivery_attempts, r.last_delivery_at, r.last_delivery_status, r.event_id
      FROM (SELECT s.user_id, s.id, s.usage_type, s.status, s.counts, s.started_at, s.expires_at, s.completed_at, s.updated_at,
                   s.resource_type, s.resource_id, s.configuration_id, s.configuration_snapshot, s.progress, s.event_id,
                   s.output, s.output_format, s.error_code, s.error_message,
                   s.delivered, s.delivery_attempts, s.last_delivery_at, s.last_delivery_status
              FROM @extschema@.usage_runs AS s
             WHERE s.user_id = $1 AND s.id >= $2 AND s.id <= $3
             ORDER BY s.id DESC OFFSET $4 LIMIT $5) AS r
      LEFT JOIN LATERAL (
           SELECT v.provider, v.model, v.service_tier, v.tokens, v.input_tokens, v.output_tokens, v.cache_read_tokens,
                  v.cache_write_tokens, v.cache_write_1h_tokens, v.reasoning_tokens, v.audio_input_tokens,
                  v.audio_cache_read_tokens, v.audio_output_tokens, v.image_input_tokens, v.image_output_tokens,
                  0::bigint AS none,
                  (SELECT CASE WHEN pg_catalog.count(c.cost) FILTER (WHERE c.corrects IS NULL OR c.price_id IS NOT NULL) > 0
                               THEN pg_catalog.trim_scale(pg_catalog.sum(c.cost)) END
                     FROM @extschema@.usage_events AS c
                    WHERE c.user_id = r.user_id AND c.occurred_at = r.started_at
                      AND (c.id = r.event_id OR c.corrects = r.event_id)) AS cost_left
             FROM @extschema@.usage_events AS v
            WHERE v.user_id = r.user_id AND v.occurred_at = r.started_at AND v.id = r.event_id) AS e ON true
     ORDER BY r.id DESC;
END;
COMMENT ON FUNCTION @extschema@._runs_of_user(@user_id@, bigint, bigint, integer, integer, timestamptz) IS
'Internal: the answer of get_run() and list_runs(), and of what changes a run';

CREATE FUNCTION @extschema@.get_run(user_id @user_id@, run_id bigint) RETURNS @extschema@.usage_run
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_get_run';
COMMENT ON FUNCTION @extschema@.get_run(@user_id@, bigint) IS
'A run as it stands, with what it used; NULL if the user has none of that id';

CREATE FUNCTION @extschema@.list_runs(
    user_id @user_id@, max_rows integer DEFAULT 50, skip_rows integer DEFAULT 0, before_id bigint DEFAULT NULL)
RETURNS SETOF @extschema@.usage_run
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 50
AS 'MODULE_PATHNAME', 'ut_list_runs';
COMMENT ON FUNCTION @extschema@.list_runs(@user_id@, integer, integer, bigint) IS
'A user''s runs, the latest first; the id of the last row asks for the next page';

CREATE FUNCTION @extschema@._deliveries_of_run(
    user_id @user_id@, run_id bigint,
    OUT attempt integer, OUT attempted_at timestamptz, OUT delivered boolean, OUT response_status integer,
    OUT error text, OUT delivery_id text) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT d.attempt, d.attempted_at, d.delivered, d.response_status, d.error, d.delivery_id
      FROM @extschema@.usage_run_deliveries AS d WHERE d.user_id = $1 AND d.run_id = $2 ORDER BY d.attempt;
END;
COMMENT ON FUNCTION @extschema@._deliveries_of_run(@user_id@, bigint) IS
'Internal: the answer of get_run_deliveries()';

CREATE FUNCTION @extschema@.get_run_deliveries(
    user_id @user_id@, run_id bigint,
    OUT attempt integer, OUT attempted_at timestamptz, OUT delivered boolean, OUT response_status integer,
    OUT error text, OUT delivery_id text) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 5
AS 'MODULE_PATHNAME', 'ut_get_run_deliveries';
COMMENT ON FUNCTION @extschema@.get_run_deliveries(@user_id@, bigint) IS
'Every attempt to deliver what a run came to, the first one first';

CREATE FUNCTION @extschema@.check_monthly_usage_limit(user_id @user_id@, max_runs integer DEFAULT 50) RETURNS boolean
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_check_monthly_usage_limit';
COMMENT ON FUNCTION @extschema@.check_monthly_usage_limit(@user_id@, integer) IS
'Whether fewer than that many of the user''s runs of this month, in his own zone, have succeeded or still run';

/* Runs that do not count are in no number of runs, but were paid for. */
CREATE FUNCTION @extschema@._months_of_runs(
    user_id @user_id@, zone text, first_instant timestamptz, end_instant timestamptz,
    OUT month timestamptz, OUT total_runs bigint, OUT successful_runs bigint, OUT failed_runs bigint,
    OUT total_tokens numeric, OUT total_cost_usd numeric, OUT last_run_at timestamptz, OUT unpriced_runs bigint)
RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT pg_catalog.date_trunc('month', r.started_at AT TIME ZONE $2) AT TIME ZONE $2,
           pg_catalog.count(*) FILTER (WHERE r.counts),
           pg_catalog.count(*) FILTER (WHERE r.counts AND r.status = 'success'),
           pg_catalog.count(*) FILTER (WHERE r.counts AND r.status = 'failed'),
           COALESCE(pg_catalog.sum(e.tokens), 0), pg_catalog.trim_scale(COALESCE(pg_catalog.sum(e.cost), 0)),
           pg_catalog.max(r.started_at), pg_catalog.count(*) FILTER (WHERE e.priced = 0)
      FROM @extschema@.usage_runs AS r
     CROSS JOIN LATERAL (
           SELECT pg_catalog.sum(c.tokens) AS tokens, pg_catalog.sum(c.cost) AS cost,
                  CASE WHEN pg_catalog.count(*) > 0
                       THEN pg_catalog.count(c.cost) FILTER (WHERE c.corrects IS NULL OR c.price_id IS NOT NULL) END AS priced
             FROM @extschema@.usage_events AS c
            WHERE c.user_id = r.user_id AND c.occurred_at = r.started_at
              AND (c.id = r.event_id OR c.corrects = r.event_id)) AS e
     WHERE r.user_id = $1 AND r.started_at >= $3 AND r.started_at < $4
     GROUP BY 1 ORDER BY 1;
END;
COMMENT ON FUNCTION @extschema@._months_of_runs(@user_id@, text, timestamptz, timestamptz) IS
'Internal: a user''s runs by month of a zone';

CREATE FUNCTION @extschema@._monthly_runs(
    user_id @user_id@,
    OUT month timestamptz, OUT total_runs bigint, OUT successful_runs bigint, OUT failed_runs bigint,
    OUT total_tokens numeric, OUT total_cost_usd numeric, OUT last_run_at timestamptz, OUT unpriced_runs bigint)
RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 1
AS 'MODULE_PATHNAME', 'ut_monthly_runs';
COMMENT ON FUNCTION @extschema@._monthly_runs(@user_id@) IS
'Internal: a user''s runs by month, in his own zone; read view user_monthly_usage instead';

/* Two branches, as view user_usage. */
CREATE VIEW @extschema@.user_monthly_usage WITH (security_invoker = true, security_barrier = true) AS
    SELECT u.user_id, m.month, m.total_runs, m.successful_runs, m.failed_runs, m.total_tokens, m.total_cost_usd,
           m.last_run_at, m.unpriced_runs
      FROM (SELECT me.user_id
              FROM (SELECT @extschema@.current_user_id() AS user_id) AS me
             WHERE me.user_id IS NOT NULL AND NOT (SELECT @extschema@._sees_all_users())
             UNION ALL
            SELECT s.user_id
              FROM @extschema@.user_subscriptions AS s
             WHERE (SELECT @extschema@._sees_all_users())) AS u
     CROSS JOIN LATERAL @extschema@._monthly_runs(u.user_id) AS m;
COMMENT ON VIEW @extschema@.user_monthly_usage IS
'The runs of every user you may see, by month in the zone of each';
COMMENT ON COLUMN @extschema@.user_monthly_usage.month IS 'The instant at which it began';
COMMENT ON COLUMN @extschema@.user_monthly_usage.total_runs IS
'Of whatever status; this and the next two without runs that do not count';
COMMENT ON COLUMN @extschema@.user_monthly_usage.total_cost_usd IS
'In the currency of the prices; of all runs of which it is known';
COMMENT ON COLUMN @extschema@.user_monthly_usage.unpriced_runs IS 'How many ended at a cost that nobody knows';

CREATE FUNCTION @extschema@._run_usage(
    user_id @user_id@, zone text, first_instant timestamptz, end_instant timestamptz,
    allowed boolean, used numeric, max_usage numeric) RETURNS jsonb
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT pg_catalog.jsonb_build_object(
        'monthlyUsage', pg_catalog.jsonb_build_object(
            'user_id', $1::text, 'month', pg_catalog.to_char($3 AT TIME ZONE 'UTC', f.iso),
            'total_runs', COALESCE(m.total_runs, 0), 'successful_runs', COALESCE(m.successful_runs, 0),
            'failed_runs', COALESCE(m.failed_runs, 0), 'total_tokens', COALESCE(m.total_tokens, 0),
            'total_cost_usd', COALESCE(m.total_cost_usd, 0),
            'last_run_at', pg_catalog.to_char(m.last_run_at AT TIME ZONE 'UTC', f.iso),
            'unpriced_runs', COALESCE(m.unpriced_runs, 0)),
        'canRunMore', $5, 'monthlyLimit', $7, 'usagePercent', p.percent,
        'usageWarning', CASE WHEN p.percent >= 100 THEN 'reached' WHEN p.percent >= 80 THEN 'approaching' END)
      FROM (VALUES ('YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) AS f (iso)
     CROSS JOIN (SELECT CASE WHEN $7 > 0 THEN pg_catalog.round(100 * $6 / $7, 1) WHEN $7 = 0 THEN 100 END) AS p (percent)
      LEFT JOIN @extschema@._months_of_runs($1, $2, $3, $4) AS m ON true;
END;
COMMENT ON FUNCTION @extschema@._run_usage(@user_id@, text, timestamptz, timestamptz, boolean, numeric, numeric) IS
'Internal: the answer of run_usage()';

CREATE FUNCTION @extschema@.run_usage(user_id @user_id@, usage_type text DEFAULT 'run') RETURNS jsonb
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 200
AS 'MODULE_PATHNAME', 'ut_run_usage';
COMMENT ON FUNCTION @extschema@.run_usage(@user_id@, text) IS
'A user''s runs of this month, whether he may run more, and how near he is to his limit, for a dashboard';
