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

/* ---- Stripe ----
 *
 * Its events come in any order and more than once.  So nothing is done because
 * one came: what each says is kept, and what a user's row is to be follows from
 * all that are known, in whatever order they came. */

CREATE TABLE @extschema@.stripe_prices (
    price text COLLATE "C" PRIMARY KEY,
    plan  text COLLATE "C" NOT NULL REFERENCES @extschema@.plans ON UPDATE CASCADE
);
COMMENT ON TABLE @extschema@.stripe_prices IS
'Which plan each price at Stripe pays for';
ALTER TABLE @extschema@.stripe_prices ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.stripe_prices', '');
CREATE TRIGGER change_recorded AFTER INSERT OR UPDATE OR DELETE ON @extschema@.stripe_prices
    FOR EACH ROW EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER truncation_recorded BEFORE TRUNCATE ON @extschema@.stripe_prices
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._record_change();

CREATE TABLE @extschema@.stripe_events (
    id           text COLLATE "C" PRIMARY KEY,
    type         text COLLATE "C" NOT NULL,
    created      timestamptz NOT NULL,
    customer     text COLLATE "C" NOT NULL,
    subscription text COLLATE "C",
    user_id      @user_id_column@,
    status       text,
    prices       text[],
    began        timestamptz,
    period_start timestamptz,
    period_end   timestamptz,
    ends_at      timestamptz,
    received_at  timestamptz NOT NULL
);
CREATE INDEX stripe_events_customer ON @extschema@.stripe_events (customer);
COMMENT ON INDEX @extschema@.stripe_events_customer IS 'What is known of a customer';
CREATE INDEX stripe_events_user_id ON @extschema@.stripe_events (user_id) WHERE user_id IS NOT NULL;
COMMENT ON INDEX @extschema@.stripe_events_user_id IS 'Which customers are a user';
COMMENT ON TABLE @extschema@.stripe_events IS
'What events of Stripe say of subscriptions: so much of them as decides about plans';
COMMENT ON COLUMN @extschema@.stripe_events.user_id IS
'The user it names, NULL if it names none';
COMMENT ON COLUMN @extschema@.stripe_events.status IS
'Of the subscription, in Stripe''s words; NULL if the event does not tell';
COMMENT ON COLUMN @extschema@.stripe_events.ends_at IS
'When the subscription ends or ended, as far as the event knows';
ALTER TABLE @extschema@.stripe_events ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.stripe_events', '');

CREATE FUNCTION @extschema@._stripe_id(value jsonb, name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id jsonb := CASE WHEN jsonb_typeof(value) = 'object' THEN value -> 'id' ELSE value END;  -- an expanded object has its id
BEGIN
    IF COALESCE(jsonb_typeof(id), 'null') = 'null' THEN
        RETURN NULL;
    ELSIF jsonb_typeof(id) <> 'string' OR char_length(id #>> '{}') NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = format('"%s" of the event must be a text of 1 to 255 characters', name);
    END IF;
    RETURN id #>> '{}';
END
$$;
COMMENT ON FUNCTION @extschema@._stripe_id(jsonb, text) IS
'Internal: an id in an event of Stripe';

CREATE FUNCTION @extschema@._stripe_time(value jsonb, name text) RETURNS timestamptz
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF COALESCE(jsonb_typeof(value), 'null') = 'null' THEN
        RETURN NULL;
    ELSIF jsonb_typeof(value) = 'number' THEN
        IF (value #>> '{}')::numeric BETWEEN 0 AND 253402300799 THEN  -- 9999-12-31
            RETURN 'epoch'::timestamptz + (trunc((value #>> '{}')::numeric)::text || ' seconds')::interval;
        END IF;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
        MESSAGE = format('"%s" of the event must be a number of seconds since 1970', name);
END
$$;
COMMENT ON FUNCTION @extschema@._stripe_time(jsonb, text) IS
'Internal: a time in an event of Stripe';

/* What is no user id of ours may be that of somebody else who sells through the
 * same account: such an event names nobody. */
CREATE FUNCTION @extschema@._stripe_user(named text) RETURNS @user_id@
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN char_length(named) BETWEEN 1 AND 255 THEN named END::@user_id@;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@._stripe_user(text) IS
'Internal: a user id in an event of Stripe, NULL if it is none';

/* Before 2025-03-31 the period was the subscription's, and an invoice named its
 * subscription directly; since then it is the items', and a parent's. */
CREATE FUNCTION @extschema@._read_stripe_event(event jsonb) RETURNS SETOF @extschema@.stripe_events
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    object jsonb := event #> '{data,object}';
    items  jsonb := CASE WHEN jsonb_typeof(object #> '{items,data}') = 'array' THEN object #> '{items,data}' ELSE '[]' END;
    lines  jsonb := CASE WHEN jsonb_typeof(object #> '{lines,data}') = 'array' THEN object #> '{lines,data}' ELSE '[]' END;
    period jsonb;
    found  @extschema@.stripe_events;
BEGIN
    found.type := @extschema@._stripe_id(event -> 'type', 'type');
    found.id := @extschema@._stripe_id(event -> 'id', 'id');
    IF jsonb_typeof(event) <> 'object' OR found.type IS NULL OR found.id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'argument "event" must be an event of Stripe, with "id" and "type"';
    ELSIF found.type <> ALL (ARRAY['customer.subscription.created', 'customer.subscription.updated',
                                   'customer.subscription.deleted', 'checkout.session.completed',
                                   'invoice.paid', 'invoice.payment_failed']) THEN
        RETURN;
    END IF;
    found.created := @extschema@._stripe_time(event -> 'created', 'created');
    found.customer := @extschema@._stripe_id(object -> 'customer', 'customer');
    found.received_at := @extschema@._usage_now();
    IF starts_with(found.type, 'customer.') THEN
        found.subscription := @extschema@._stripe_id(object -> 'id', 'id');
        found.user_id := @extschema@._stripe_user(object #>> '{metadata,user_id}');
        found.status := @extschema@._stripe_id(object -> 'status', 'status');
        found.prices := ARRAY(SELECT price
                                FROM jsonb_array_elements(items) WITH ORDINALITY AS i (item, n),
                                     COALESCE(@extschema@._stripe_id(item -> 'price', 'price'),
                                              @extschema@._stripe_id(item -> 'plan', 'plan')) AS price
                               WHERE price IS NOT NULL ORDER BY n LIMIT 100);
        found.began := @extschema@._stripe_time(COALESCE(NULLIF(object -> 'start_date', 'null'), object -> 'created'), 'start_date');
        period := CASE WHEN object ? 'current_period_end' THEN object ELSE items -> 0 END;
        found.period_start := @extschema@._stripe_time(period -> 'current_period_start', 'current_period_start');
        found.period_end := @extschema@._stripe_time(period -> 'current_period_end', 'current_period_end');
        found.ends_at := CASE WHEN found.type = 'customer.subscription.deleted'
                                OR found.status = ANY (ARRAY['canceled', 'incomplete_expired'])
                              THEN COALESCE(@extschema@._stripe_time(object -> 'ended_at', 'ended_at'), found.created)
                              ELSE COALESCE(@extschema@._stripe_time(object -> 'cancel_at', 'cancel_at'),
                                            CASE WHEN object ->> 'cancel_at_period_end' = 'true' THEN found.period_end END) END;
        IF COALESCE(found.status <> ALL (ARRAY['incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due',
                                               'canceled', 'unpaid', 'paused']), true) THEN
            RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
                MESSAGE = format('status "%s" of a subscription is unknown', left(found.status, 50));
        END IF;
    ELSIF starts_with(found.type, 'invoice.') THEN
        found.subscription := COALESCE(@extschema@._stripe_id(object #> '{parent,subscription_details,subscription}', 'subscription'),
                                       @extschema@._stripe_id(object -> 'subscription', 'subscription'));
        SELECT @extschema@._stripe_time(line #> '{period,start}', 'start'), @extschema@._stripe_time(line #> '{period,end}', 'end')
          INTO found.period_start, found.period_end
          FROM jsonb_array_elements(lines) AS line
         WHERE COALESCE(line #>> '{parent,type}', line ->> 'type', '') <> ALL (ARRAY['invoiceitem', 'invoice_item_details'])
         ORDER BY 2 DESC NULLS LAST, 1 LIMIT 1;
    ELSE
        found.subscription := @extschema@._stripe_id(object -> 'subscription', 'subscription');
        found.user_id := @extschema@._stripe_user(COALESCE(object #>> '{metadata,user_id}', object ->> 'client_reference_id'));
    END IF;
    IF found.subscription IS NULL AND found.status IS NULL OR found.customer IS NULL AND found.status IS NULL THEN
        RETURN;  -- of something that was paid for once
    ELSIF found.created IS NULL OR found.customer IS NULL OR found.subscription IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'the event must have "created", and its object "customer" and "id"';
    END IF;
    IF (found.period_end BETWEEN found.period_start + '1 second'::interval
                             AND found.period_start + '878400 hours'::interval) IS NOT TRUE THEN
        found.period_start := NULL;
        found.period_end := NULL;
    END IF;
    RETURN NEXT found;
END
$$;
COMMENT ON FUNCTION @extschema@._read_stripe_event(jsonb) IS
'Internal: what an event of Stripe says of a subscription; no row if nothing';

/* The subscriptions of some customers, whose each is, and how it stands: said by
 * all events that are known, or by all but one.
 *
 * The latest event of a subscription decides, and of those of one second the one
 * that goes further.  An invoice of the same period or a later one that is newer
 * still may know more.  The plan is the latest that has a known price.  Whose it
 * is says the latest event that names a user: of the subscription, else of the
 * customer.
 *
 * By window functions alone: the caller's plans know no joins but nested loops,
 * and one customer may pay for thousands of subscriptions. */
CREATE FUNCTION @extschema@._stripe_subscriptions(
    customers text[], without text,
    OUT user_id @user_id@, OUT customer text, OUT subscription text, OUT plan text, OUT status text,
    OUT period_start timestamptz, OUT period_end timestamptz, OUT expires_at timestamptz,
    OUT began timestamptz, OUT said_by text) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE(b.named, b.customer_named), b.customer, b.subscription, CASE WHEN b.has_begun THEN b.latest_plan END,
           CASE WHEN b.state = 'canceled' THEN 'cancelled'
                WHEN b.state = 'paused' THEN 'paused'
                WHEN b.state = 'incomplete' OR (b.state = 'unpaid' AND b.invoice IS DISTINCT FROM 'invoice.paid') THEN 'unpaid'
                WHEN b.ends_at <= COALESCE(b.period_end, b.ends_at) THEN 'cancelled'
                WHEN b.invoice = 'invoice.payment_failed' THEN 'past_due'
                WHEN b.invoice = 'invoice.paid' AND (b.state <> 'trialing' OR b.invoice_end > b.period_end) THEN 'active'
                ELSE b.state END,
           CASE WHEN b.invoice = 'invoice.paid' AND b.invoice_end > b.period_end THEN b.invoice_start ELSE b.period_start END,
           CASE WHEN b.invoice = 'invoice.paid' AND b.invoice_end > b.period_end THEN b.invoice_end ELSE b.period_end END,
           b.ends_at, b.began, b.newest
      FROM (SELECT a.*,
                   CASE WHEN pg_catalog.bool_or(a.bills) OVER one THEN pg_catalog.first_value(a.type) OVER bills END AS invoice,
                   pg_catalog.first_value(a.period_start) OVER bills AS invoice_start,
                   pg_catalog.first_value(a.period_end) OVER bills AS invoice_end
              FROM (SELECT k.*,
                           pg_catalog.first_value(k.user_id) OVER (PARTITION BY k.customer, k.subscription
                               ORDER BY k.user_id IS NULL, k.created DESC, k.id DESC) AS named,
                           pg_catalog.first_value(k.user_id) OVER (PARTITION BY k.customer
                               ORDER BY k.user_id IS NULL, k.created DESC, k.id DESC) AS customer_named,
                           pg_catalog.first_value(k.id) OVER (PARTITION BY k.customer, k.subscription
                               ORDER BY k.created DESC, k.rank DESC, k.id DESC) AS newest,
                           pg_catalog.bool_or(k.status NOT IN ('incomplete', 'incomplete_expired')) OVER one AS has_begun,
                           pg_catalog.first_value(k.plan) OVER (PARTITION BY k.customer, k.subscription
                               ORDER BY k.plan IS NULL, k.created DESC, k.rank DESC, k.period_end DESC NULLS LAST, k.id DESC) AS latest_plan,
                           pg_catalog.row_number() OVER latest AS age,
                           COALESCE(k.type IN ('invoice.paid', 'invoice.payment_failed')
                                    AND k.created > pg_catalog.first_value(k.created) OVER latest
                                    AND k.period_end >= pg_catalog.first_value(k.period_end) OVER latest
                                    AND pg_catalog.first_value(k.state) OVER latest NOT IN ('canceled', 'incomplete', 'paused'), false) AS bills
                      FROM (SELECT e.*,
                                   CASE WHEN e.type = 'customer.subscription.deleted' OR e.status IN ('canceled', 'incomplete_expired')
                                        THEN 'canceled' ELSE e.status END AS state,
                                   CASE WHEN e.type = 'customer.subscription.deleted' OR e.status IN ('canceled', 'incomplete_expired') THEN 3
                                        WHEN e.type = 'customer.subscription.created' OR e.status = 'incomplete' THEN 1 ELSE 2 END AS rank,
                                   (SELECT m.plan FROM pg_catalog.unnest(e.prices) WITH ORDINALITY AS t (price, n)
                                      JOIN @extschema@.stripe_prices AS m ON m.price = t.price
                                     ORDER BY t.n LIMIT 1) AS plan
                              FROM @extschema@.stripe_events AS e
                             WHERE e.customer = ANY ($1) AND e.id IS DISTINCT FROM $2) AS k
                    WINDOW one AS (PARTITION BY k.customer, k.subscription),
                           latest AS (PARTITION BY k.customer, k.subscription
                               ORDER BY k.status IS NULL, k.created DESC, k.rank DESC, k.period_end DESC NULLS LAST, k.id DESC)) AS a
            WINDOW one AS (PARTITION BY a.customer, a.subscription),
                   bills AS (PARTITION BY a.customer, a.subscription ORDER BY NOT a.bills, a.created DESC, a.type, a.id DESC)) AS b
     WHERE b.age = 1 AND b.status IS NOT NULL;
END;
COMMENT ON FUNCTION @extschema@._stripe_subscriptions(text[], text) IS
'Internal: how the subscriptions of customers stand, by all that is known';

/* Of several: what gives a plan, the longer, the later begun. */
CREATE FUNCTION @extschema@._stripe_state(
    user_id @user_id@, without text,
    OUT customer text, OUT subscription text, OUT plan text, OUT status text,
    OUT period_start timestamptz, OUT period_end timestamptz, OUT expires_at timestamptz,
    OUT said_by text) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT s.customer, s.subscription, s.plan, s.status, s.period_start, s.period_end, s.expires_at, s.said_by
      FROM @extschema@._stripe_subscriptions(
               ARRAY(SELECT e.customer FROM @extschema@.stripe_events AS e WHERE e.user_id = $1), $2) AS s
     WHERE s.user_id = $1 AND s.plan IS NOT NULL
     ORDER BY s.status IN ('unpaid', 'paused'), s.expires_at DESC NULLS FIRST, s.began DESC NULLS LAST, s.subscription DESC
     LIMIT 1;
END;
COMMENT ON FUNCTION @extschema@._stripe_state(@user_id@, text) IS
'Internal: what a user''s row is to be by all that is known of Stripe, or all but one event';

/* A row if, without one event, the user's row was to be another; "without" is
 * NULL to ask what is known in any case. */
CREATE FUNCTION @extschema@._stripe_news(
    user_id @user_id@, without text,
    OUT customer text, OUT subscription text, OUT plan text, OUT status text,
    OUT period_start timestamptz, OUT period_end timestamptz, OUT expires_at timestamptz,
    OUT is_known boolean, OUT moves_clock boolean) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT n.customer, n.subscription, n.plan, COALESCE(n.status, 'active'), n.period_start, n.period_end, n.expires_at,
           (u.stripe_customer_id, u.stripe_subscription_id, u.plan, u.status,
            u.billing_period_start, u.billing_period_end, u.expires_at)
           IS NOT DISTINCT FROM (n.customer, n.subscription, n.plan, COALESCE(n.status, 'active'),
                                 n.period_start, n.period_end, n.expires_at),
           (u.billing_period_start, u.billing_period_end) IS DISTINCT FROM (n.period_start, n.period_end)
      FROM (SELECT) AS one
      LEFT JOIN @extschema@._stripe_state($1, NULL) AS n ON true
      LEFT JOIN @extschema@._stripe_state($1, $2) AS o ON $2 IS NOT NULL
      LEFT JOIN @extschema@.user_subscriptions AS u ON u.user_id = $1
     WHERE CASE WHEN $2 IS NULL THEN n.plan IS NOT NULL ELSE n IS DISTINCT FROM o END;
END;
COMMENT ON FUNCTION @extschema@._stripe_news(@user_id@, text) IS
'Internal: what a user''s row is to be now that an event is known';

CREATE FUNCTION @extschema@._forget_stripe(user_id @user_id@) RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone      @user_id@ := $1;
    customers text[] := ARRAY(SELECT DISTINCT e.customer FROM @extschema@.stripe_events AS e WHERE e.user_id = gone);
BEGIN
    DELETE FROM @extschema@.stripe_events AS e
     USING @extschema@._stripe_subscriptions(customers, NULL) AS s
     WHERE s.user_id = gone AND e.customer = s.customer AND e.subscription = s.subscription;
    DELETE FROM @extschema@.stripe_events AS e WHERE e.user_id = gone;
    DELETE FROM @extschema@.stripe_events AS e  -- a customer who pays for others too stays
     WHERE e.customer = ANY (customers)
       AND NOT EXISTS (SELECT FROM @extschema@.stripe_events AS o WHERE o.customer = e.customer AND o.user_id IS NOT NULL);
END
$$;
COMMENT ON FUNCTION @extschema@._forget_stripe(@user_id@) IS
'Internal: deletes what is known of a user from Stripe';

CREATE FUNCTION @extschema@.apply_stripe_event(event jsonb) RETURNS text
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_apply_stripe_event';
COMMENT ON FUNCTION @extschema@.apply_stripe_event(jsonb) IS
'Takes an event of Stripe, once, in whatever order they come: applied, unchanged, waiting, repeated or ignored';

CREATE FUNCTION @extschema@.set_stripe_price(price text, plan text) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_set_stripe_price';
COMMENT ON FUNCTION @extschema@.set_stripe_price(text, text) IS
'Says which plan a price at Stripe pays for, also for those who pay it already';
