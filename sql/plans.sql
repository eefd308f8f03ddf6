/* plans: what did they sign up for?
 *
 * A user has at most one row in user_subscriptions; it carries his clock too:
 * time zone, anchor and billing period.
 * An id never seen, and a row without a plan, are on usage_tracking.default_plan.
 */
/* Its triggers fire for each row: where replication applies a change, those of
 * statements do not. */
CREATE FUNCTION @extschema@._config_changed() RETURNS trigger
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_config_changed';
COMMENT ON FUNCTION @extschema@._config_changed() IS
'Internal: tells every session that a configuration table changed';

CREATE TABLE @extschema@.plans (
    plan        text COLLATE "C" PRIMARY KEY
                CHECK (plan ~ '^[a-z][a-z0-9_-]*$' AND octet_length(plan) <= 63),
    name        text NOT NULL,
    description text
);
COMMENT ON TABLE @extschema@.plans IS
'The plans users can be on';
ALTER TABLE @extschema@.plans ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.plans', '');
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.plans
    FOR EACH ROW EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.plans ENABLE ALWAYS TRIGGER config_changed;
CREATE TRIGGER config_emptied AFTER TRUNCATE ON @extschema@.plans
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.plans ENABLE ALWAYS TRIGGER config_emptied;
CREATE TRIGGER change_recorded AFTER INSERT OR UPDATE OR DELETE ON @extschema@.plans
    FOR EACH ROW EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER truncation_recorded BEFORE TRUNCATE ON @extschema@.plans
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._record_change();

CREATE FUNCTION @extschema@.install_default_plans() RETURNS bigint
LANGUAGE sql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    WITH added AS (
        INSERT INTO @extschema@.plans (plan, name, description)
        VALUES ('demo',       'Demo',       'To try it out'),
               ('free',       'Free',       'What users without a plan of their own have'),
               ('pro',        'Pro',        NULL),
               ('team',       'Team',       NULL),
               ('enterprise', 'Enterprise', NULL)
        ON CONFLICT (plan) DO NOTHING
        RETURNING plan
    )
    SELECT pg_catalog.count(*) FROM added;
END;
COMMENT ON FUNCTION @extschema@.install_default_plans() IS
'Adds the plans demo, free, pro, team and enterprise where missing; returns how many were';

CREATE TABLE @extschema@.user_subscriptions (
    user_id                @user_id_column@ PRIMARY KEY,
    plan                   text COLLATE "C" REFERENCES @extschema@.plans ON UPDATE CASCADE,
    status                 text NOT NULL DEFAULT 'active'
                           CHECK (status = ANY (ARRAY['active', 'trialing', 'past_due', 'cancelled',
                                                      'unpaid', 'paused', 'expired'])),
    billing_period_start   timestamptz CHECK (billing_period_start >= '0001-01-01 00:00+00'
                                              AND billing_period_start < '10000-01-01 00:00+00'),
    billing_period_end     timestamptz CHECK (billing_period_end >= '0001-01-01 00:00+00'
                                              AND billing_period_end < '10000-01-01 00:00+00'),
    started_at             timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    expires_at             timestamptz,
    stripe_customer_id     text,
    stripe_subscription_id text,
    time_zone              text,
    anchor                 timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
                           CHECK (anchor >= '0001-01-01 00:00+00' AND anchor < '10000-01-01 00:00+00'),
    metadata               jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT cancelled_is_paid_until CHECK (status <> 'cancelled' OR expires_at IS NOT NULL),
    CONSTRAINT billing_period_has_both_ends
        CHECK ((billing_period_start IS NULL) = (billing_period_end IS NULL)),
    CONSTRAINT billing_period_ends_later CHECK (billing_period_start < billing_period_end),
    -- Hours are the same in every zone, and a sum of infinity no error in 15.
    CONSTRAINT billing_period_is_no_instant_and_no_age
        CHECK (billing_period_end >= billing_period_start + '1 second'::interval
               AND billing_period_end <= billing_period_start + '878400 hours'::interval)
);
CREATE INDEX user_subscriptions_plan ON @extschema@.user_subscriptions (plan) WHERE plan IS NOT NULL;
COMMENT ON INDEX @extschema@.user_subscriptions_plan IS 'For the foreign key';
COMMENT ON TABLE @extschema@.user_subscriptions IS
'The one current subscription of each user, and his clock: time zone, anchor and billing period of his windows';
COMMENT ON COLUMN @extschema@.user_subscriptions.plan IS
'NULL means usage_tracking.default_plan at the moment of reading';
COMMENT ON COLUMN @extschema@.user_subscriptions.billing_period_start IS
'Windows of kind billing are this period, and others like it before and after';
COMMENT ON COLUMN @extschema@.user_subscriptions.anchor IS
'Where anchored windows count from: sign-up or first use, unless set_user_clock() set it';
SELECT pg_catalog.pg_extension_config_dump('@extschema@.user_subscriptions', '');
ALTER TABLE @extschema@.user_subscriptions ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_or_all ON @extschema@.user_subscriptions FOR SELECT
    USING (user_id = (SELECT @extschema@.current_user_id()) OR (SELECT @extschema@._sees_all_users()));
/* A sign-up and a first use make a row that says nothing yet: no change. */
CREATE TRIGGER new_plan_recorded AFTER INSERT ON @extschema@.user_subscriptions
    FOR EACH ROW WHEN (NEW.plan IS NOT NULL OR NEW.status <> 'active' OR NEW.billing_period_start IS NOT NULL
                       OR NEW.expires_at IS NOT NULL OR NEW.stripe_customer_id IS NOT NULL
                       OR NEW.stripe_subscription_id IS NOT NULL OR NEW.time_zone IS NOT NULL
                       OR NEW.anchor <> NEW.started_at OR NEW.metadata <> '{}')
    EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER change_recorded AFTER UPDATE OR DELETE ON @extschema@.user_subscriptions
    FOR EACH ROW EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER truncation_recorded BEFORE TRUNCATE ON @extschema@.user_subscriptions
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._record_change();

CREATE FUNCTION @extschema@._canonical_zone() RETURNS trigger
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_canonical_zone';
COMMENT ON FUNCTION @extschema@._canonical_zone() IS
'Internal: checks a time zone and spells it as the time zone library does';
CREATE TRIGGER canonical_zone BEFORE INSERT OR UPDATE ON @extschema@.user_subscriptions
    FOR EACH ROW WHEN (NEW.time_zone IS NOT NULL)
    EXECUTE FUNCTION @extschema@._canonical_zone();

CREATE FUNCTION @extschema@.set_user_plan(
    user_id @user_id@, plan text, expires_at timestamptz DEFAULT NULL,
    billing_period_start timestamptz DEFAULT NULL, billing_period_end timestamptz DEFAULT NULL) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_set_user_plan';
COMMENT ON FUNCTION @extschema@.set_user_plan(@user_id@, text, timestamptz, timestamptz, timestamptz) IS
'Puts the user on a plan, from now until it expires';

CREATE FUNCTION @extschema@.set_user_clock(
    user_id @user_id@, time_zone text DEFAULT NULL, anchor timestamptz DEFAULT NULL) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_set_user_clock';
COMMENT ON FUNCTION @extschema@.set_user_clock(@user_id@, text, timestamptz) IS
'Sets the time zone and the anchor of the user''s windows; NULL keeps what is';
