/* counters: how much so far?
 *
 * A row always equals the sum of the user's events in its window before counted_to;
 * later ones are added by whoever reads it, and no row means all of them.  src/locks.c
 * has the locking protocol.  Of a sliding limit the row of an empty window before all
 * time is what a use locks (src/counters_sliding.c).
 */
CREATE TABLE @extschema@.usage_counters (
    user_id      @user_id_column@ NOT NULL,
    limit_id     bigint NOT NULL,
    window_start timestamptz NOT NULL,
    stripe       integer NOT NULL DEFAULT 0,
    window_end   timestamptz NOT NULL,
    used         numeric NOT NULL,
    holds        bigint NOT NULL DEFAULT 0,
    counted_to   timestamptz NOT NULL DEFAULT 'infinity',
    PRIMARY KEY (user_id, limit_id, window_start, stripe, window_end)
) WITH (fillfactor = 70);
COMMENT ON TABLE @extschema@.usage_counters IS
'How much of a limit a user has used in a window; written by the door only';
COMMENT ON COLUMN @extschema@.usage_counters.used IS
'Without what is reserved';
COMMENT ON COLUMN @extschema@.usage_counters.holds IS
'How often reservations in this window changed, as far as shared memory did not know of them';
COMMENT ON COLUMN @extschema@.usage_counters.counted_to IS
'used is of events before this instant; later ones count by being there';
ALTER TABLE @extschema@.usage_counters ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_counters', '');

/* Of every window that was used: its row, and the events that it does not count yet. */
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

/* A reservation counts as used in the window of its own instant, until it is
 * settled or expires: whoever reads looks at expires_at, so no job is needed. */
CREATE SEQUENCE @extschema@.usage_reservations_id_seq;
COMMENT ON SEQUENCE @extschema@.usage_reservations_id_seq IS 'Ids of reservations';
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_reservations_id_seq', '');

CREATE TABLE @extschema@.usage_reservations (
    user_id     @user_id_column@ NOT NULL,
    id          bigint NOT NULL,
    usage_type  text COLLATE "C" NOT NULL,
    quantity    numeric NOT NULL,
    tokens      bigint NOT NULL,
    cost        numeric NOT NULL,
    state       text NOT NULL DEFAULT 'held',
    occurred_at timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    settled_at  timestamptz,
    event_id    bigint,
    limit_type  text COLLATE "C",
    used        numeric,
    max_usage   numeric,
    reset_at    timestamptz,
    reason      text,
    credits     numeric,
    events      bigint NOT NULL DEFAULT 1,
    is_run      boolean NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, id)
);
COMMENT ON TABLE @extschema@.usage_reservations IS
'What is reserved: state held until it is committed or released; it counts until expires_at';
COMMENT ON COLUMN @extschema@.usage_reservations.event_id IS
'The event of a committed reservation; with what follows, the answer that a second commit gets';
COMMENT ON COLUMN @extschema@.usage_reservations.credits IS
'What is held of the user''s credits, NULL if it costs none';
COMMENT ON COLUMN @extschema@.usage_reservations.events IS
'How many events it counts for under limits on events: 0 is a test, see usage_runs';
COMMENT ON COLUMN @extschema@.usage_reservations.is_run IS
'Whether a run has the same id, and settles it';
CREATE INDEX usage_reservations_held ON @extschema@.usage_reservations (user_id, expires_at) WHERE state = 'held';
COMMENT ON INDEX @extschema@.usage_reservations_held IS 'The live ones of a user';
ALTER TABLE @extschema@.usage_reservations ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_reservations', '');

/* Sessions keep what is reserved for as long as nobody changes it, also by
 * replication, hence ENABLE ALWAYS. */
CREATE FUNCTION @extschema@._holds_changed() RETURNS trigger
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_holds_changed';
COMMENT ON FUNCTION @extschema@._holds_changed() IS
'Internal: tells sessions that what is reserved by a user changed';
CREATE TRIGGER holds_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.usage_reservations
    FOR EACH ROW EXECUTE FUNCTION @extschema@._holds_changed();
ALTER TABLE @extschema@.usage_reservations ENABLE ALWAYS TRIGGER holds_changed;

/* What is counted changes: wait for uses in flight, so that their events are
 * summed under the new number; also when replication applies the change, hence
 * ENABLE ALWAYS. */
CREATE FUNCTION @extschema@._counting_changed() RETURNS trigger
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_counting_changed';
COMMENT ON FUNCTION @extschema@._counting_changed() IS
'Internal: waits for uses in flight when a limit counts something else';
CREATE TRIGGER counting_begins AFTER INSERT ON @extschema@.usage_limits
    FOR EACH ROW EXECUTE FUNCTION @extschema@._counting_changed();
ALTER TABLE @extschema@.usage_limits ENABLE ALWAYS TRIGGER counting_begins;
CREATE TRIGGER counting_changed AFTER UPDATE ON @extschema@.usage_limits
    FOR EACH ROW WHEN (OLD.limit_id <> NEW.limit_id)
    EXECUTE FUNCTION @extschema@._counting_changed();
ALTER TABLE @extschema@.usage_limits ENABLE ALWAYS TRIGGER counting_changed;

CREATE FUNCTION @extschema@._clock_changed() RETURNS trigger
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_clock_changed';
COMMENT ON FUNCTION @extschema@._clock_changed() IS
'Internal: waits for a user''s uses in flight when his clock changes';
CREATE TRIGGER clock_begins AFTER INSERT ON @extschema@.user_subscriptions
    FOR EACH ROW WHEN (NEW.time_zone IS NOT NULL OR NEW.billing_period_start IS NOT NULL)
    EXECUTE FUNCTION @extschema@._clock_changed();
ALTER TABLE @extschema@.user_subscriptions ENABLE ALWAYS TRIGGER clock_begins;
CREATE TRIGGER clock_changed AFTER UPDATE ON @extschema@.user_subscriptions
    FOR EACH ROW WHEN (OLD.time_zone IS DISTINCT FROM NEW.time_zone OR OLD.anchor <> NEW.anchor
                       OR OLD.billing_period_start IS DISTINCT FROM NEW.billing_period_start
                       OR OLD.billing_period_end IS DISTINCT FROM NEW.billing_period_end)
    EXECUTE FUNCTION @extschema@._clock_changed();
ALTER TABLE @extschema@.user_subscriptions ENABLE ALWAYS TRIGGER clock_changed;
CREATE TRIGGER clock_ends AFTER DELETE ON @extschema@.user_subscriptions
    FOR EACH ROW EXECUTE FUNCTION @extschema@._clock_changed();
ALTER TABLE @extschema@.user_subscriptions ENABLE ALWAYS TRIGGER clock_ends;

/* Of a gauge a level is used, and a unit for each live lease.  The row of a level
 * is the lock under which everything about that gauge of that user is decided; no
 * row is a level of 0.  A level is of the limit's name: it stays while the limit is
 * of another kind, and goes with it. */
CREATE TABLE @extschema@.usage_levels (
    user_id    @user_id_column@ NOT NULL,
    limit_type text COLLATE "C" NOT NULL
               REFERENCES @extschema@.usage_limits ON UPDATE CASCADE ON DELETE CASCADE,
    level      numeric NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, limit_type)
) WITH (fillfactor = 70);
COMMENT ON TABLE @extschema@.usage_levels IS
'How much of a gauge a user takes up at present, leases aside';
CREATE INDEX usage_levels_limit_type ON @extschema@.usage_levels (limit_type);
COMMENT ON INDEX @extschema@.usage_levels_limit_type IS 'For the foreign key';
ALTER TABLE @extschema@.usage_levels ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_levels', '');

/* A lease is live until expires_at, which a release sets to its instant.  One that
 * ends with its session has no such instant and names the session (src/liveness.c). */
CREATE TABLE @extschema@.usage_leases (
    user_id         @user_id_column@ NOT NULL,
    id              bigint GENERATED BY DEFAULT AS IDENTITY,
    limit_type      text COLLATE "C" NOT NULL,
    acquired_at     timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    released_at     timestamptz,
    session_segment bigint,
    session_token   bigint,
    PRIMARY KEY (user_id, id),
    FOREIGN KEY (user_id, limit_type)
        REFERENCES @extschema@.usage_levels ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE @extschema@.usage_leases IS
'Places of gauges that somebody holds or held';
COMMENT ON COLUMN @extschema@.usage_leases.expires_at IS
'infinity: as long as the session that is named';
COMMENT ON COLUMN @extschema@.usage_leases.released_at IS
'When it was given back, or found without its session';
CREATE INDEX usage_leases_live ON @extschema@.usage_leases (user_id, limit_type, expires_at);
COMMENT ON INDEX @extschema@.usage_leases_live IS 'The live ones of a gauge';
ALTER TABLE @extschema@.usage_leases ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_leases', '');
SELECT pg_catalog.pg_extension_config_dump('@extschema@.usage_leases_id_seq', '');
COMMENT ON SEQUENCE @extschema@.usage_leases_id_seq IS 'Ids of leases';

CREATE FUNCTION @extschema@._session_lives(segment bigint, token bigint) RETURNS boolean
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_session_lives';
COMMENT ON FUNCTION @extschema@._session_lives(bigint, bigint) IS
'Internal: whether the session that a lease names is still connected';

CREATE FUNCTION @extschema@._forget_counters() RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_forget_counters';
COMMENT ON FUNCTION @extschema@._forget_counters() IS
'Internal: makes shared memory forget all counters; for whoever keeps uses out';
