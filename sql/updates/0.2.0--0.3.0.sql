/* 0.3.0: who pays, long work, levels, and counts on the application's own rows */

/* events: what it took, and of which run it is */
ALTER TABLE @extschema@.usage_events
    ADD COLUMN run_id bigint, ADD COLUMN credits_used numeric, ADD COLUMN credits_owed numeric;
ALTER TABLE @extschema@.usage_events_moving
    ADD COLUMN run_id bigint, ADD COLUMN credits_used numeric, ADD COLUMN credits_owed numeric;
COMMENT ON COLUMN @extschema@.usage_events.credits_used IS
'What was taken from the user''s credits for it, NULL if it costs none';
COMMENT ON COLUMN @extschema@.usage_events.credits_owed IS
'What it costs in credits beyond those there were: a fact is never refused';

COMMENT ON COLUMN @extschema@.usage_events.corrected_events IS
'How many events it counts for under limits on events: -1 takes one back, 0 is a test; NULL is 1';

/* users: when, by the clock of uses, and what plans gave */
ALTER TABLE @extschema@.usage_changes ALTER COLUMN changed_at SET DEFAULT @extschema@._usage_now();
CREATE INDEX usage_changes_refills ON @extschema@.usage_changes (changed_at) WHERE table_name = 'credit_refills';
COMMENT ON INDEX @extschema@.usage_changes_refills IS 'What plans gave, and when';

/* counters: what reservations hold of credits, and those of runs */
ALTER TABLE @extschema@.usage_reservations
    ADD COLUMN credits numeric, ADD COLUMN events bigint NOT NULL DEFAULT 1, ADD COLUMN is_run boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN @extschema@.usage_reservations.credits IS
'What is held of the user''s credits, NULL if it costs none';
COMMENT ON COLUMN @extschema@.usage_reservations.events IS
'How many events it counts for under limits on events: 0 is a test, see usage_runs';
COMMENT ON COLUMN @extschema@.usage_reservations.is_run IS
'Whether a run has the same id, and settles it';

/* plans: events of Stripe */
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


/* counters: levels of gauges, and leases */
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


/* credits: who pays?
 *
 * Credits come in grants, which may begin later, end, and keep a part beyond
 * their end.  The ledger has one row for whatever changed a balance, and is never
 * changed; what is left of each grant stands beside it, as counters stand beside
 * events.  What ends, and what a plan refills, needs no job: it is so at the
 * moment of reading, and written down by the next change (src/credits.c).
 */
CREATE TABLE @extschema@.credit_costs (
    usage_type text COLLATE "C" PRIMARY KEY
               REFERENCES @extschema@.usage_types ON UPDATE CASCADE ON DELETE CASCADE,
    credits    numeric NOT NULL
               CHECK (credits >= 0 AND credits < 1e29 AND pg_catalog.min_scale(credits) <= 9)
);
COMMENT ON TABLE @extschema@.credit_costs IS
'What one unit of a usage type costs in credits';
ALTER TABLE @extschema@.credit_costs ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_costs', '');
CREATE TRIGGER change_recorded AFTER INSERT OR UPDATE OR DELETE ON @extschema@.credit_costs
    FOR EACH ROW EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER truncation_recorded BEFORE TRUNCATE ON @extschema@.credit_costs
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.credit_costs
    FOR EACH ROW EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.credit_costs ENABLE ALWAYS TRIGGER config_changed;
CREATE TRIGGER config_emptied AFTER TRUNCATE ON @extschema@.credit_costs
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.credit_costs ENABLE ALWAYS TRIGGER config_emptied;

CREATE TABLE @extschema@.credit_refills (
    plan         text COLLATE "C" PRIMARY KEY
                 REFERENCES @extschema@.plans ON UPDATE CASCADE ON DELETE CASCADE,
    amount       numeric NOT NULL
                 CHECK (amount >= 0 AND amount < 1e29 AND pg_catalog.min_scale(amount) <= 9),
    period       interval NOT NULL DEFAULT '1 day'
                 /* to the byte: 24 hours are equal to a day, and no period of a calendar */
                 CHECK (pg_catalog.interval_send(period) = ANY (ARRAY[
                     pg_catalog.interval_send('1 hour'), pg_catalog.interval_send('1 day'), pg_catalog.interval_send('1 week'),
                     pg_catalog.interval_send('1 month'), pg_catalog.interval_send('3 months'), pg_catalog.interval_send('1 year')])),
    max_rollover numeric NOT NULL DEFAULT 0
                 CHECK (max_rollover >= 0 AND max_rollover < 1e29 AND pg_catalog.min_scale(max_rollover) <= 9)
);
COMMENT ON TABLE @extschema@.credit_refills IS
'What a plan gives its users in each hour, day, week, month, quarter or year of their calendar';
COMMENT ON COLUMN @extschema@.credit_refills.max_rollover IS
'How much of it may still be spent in the next period';
ALTER TABLE @extschema@.credit_refills ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_refills', '');
CREATE TRIGGER change_recorded AFTER INSERT OR UPDATE OR DELETE ON @extschema@.credit_refills
    FOR EACH ROW EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER truncation_recorded BEFORE TRUNCATE ON @extschema@.credit_refills
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.credit_refills
    FOR EACH ROW EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.credit_refills ENABLE ALWAYS TRIGGER config_changed;
CREATE TRIGGER config_emptied AFTER TRUNCATE ON @extschema@.credit_refills
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.credit_refills ENABLE ALWAYS TRIGGER config_emptied;

/* Whoever changes a user's credits locks this row first, and changes it. */
CREATE TABLE @extschema@.credit_accounts (
    user_id        @user_id_column@ PRIMARY KEY,
    overdraft      numeric NOT NULL DEFAULT 0
                   CHECK (overdraft >= 0 AND overdraft < 1e29),
    owed           numeric NOT NULL DEFAULT 0,
    earned         numeric NOT NULL DEFAULT 0,
    spent          numeric NOT NULL DEFAULT 0,
    last_refill_at timestamptz,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
) WITH (fillfactor = 70);
COMMENT ON TABLE @extschema@.credit_accounts IS
'One row for each user who ever had or spent credits';
COMMENT ON COLUMN @extschema@.credit_accounts.overdraft IS
'How far below zero he may go';
COMMENT ON COLUMN @extschema@.credit_accounts.owed IS
'How far he is: what was spent beyond all grants';
COMMENT ON COLUMN @extschema@.credit_accounts.earned IS
'All that was granted and refilled, ever';
COMMENT ON COLUMN @extschema@.credit_accounts.spent IS
'All that was spent and not refunded, ever';
ALTER TABLE @extschema@.credit_accounts ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_accounts', '');

CREATE SEQUENCE @extschema@.credit_grants_id_seq;
COMMENT ON SEQUENCE @extschema@.credit_grants_id_seq IS 'Ids of grants';
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_grants_id_seq', '');

CREATE TABLE @extschema@.credit_grants (
    user_id        @user_id_column@ NOT NULL,
    id             bigint NOT NULL,
    is_refill      boolean NOT NULL,
    amount         numeric NOT NULL,
    remaining      numeric NOT NULL,
    priority       integer NOT NULL,
    effective_at   timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    max_rollover   numeric NOT NULL,
    rollover_until timestamptz NOT NULL,
    is_open        boolean NOT NULL DEFAULT true,
    PRIMARY KEY (user_id, id)
) WITH (fillfactor = 70);
COMMENT ON TABLE @extschema@.credit_grants IS
'What was granted, and what is left of it; the ledger says the same';
COMMENT ON COLUMN @extschema@.credit_grants.remaining IS
'As of the last change; what has ended since is not taken off yet';
COMMENT ON COLUMN @extschema@.credit_grants.max_rollover IS
'How much of it may be spent between expires_at and rollover_until';
COMMENT ON COLUMN @extschema@.credit_grants.is_open IS
'Whether it can still matter without a refund';
CREATE INDEX credit_grants_open ON @extschema@.credit_grants (user_id) WHERE is_open;
COMMENT ON INDEX @extschema@.credit_grants_open IS 'Those that can be spent';
ALTER TABLE @extschema@.credit_grants ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_grants', '');

CREATE SEQUENCE @extschema@.credit_ledger_id_seq;
COMMENT ON SEQUENCE @extschema@.credit_ledger_id_seq IS 'Ids of credit transactions';
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_ledger_id_seq', '');

CREATE TABLE @extschema@.credit_ledger (
    user_id          @user_id_column@ NOT NULL,
    id               bigint NOT NULL,
    action           text NOT NULL,
    amount           numeric NOT NULL,
    balance_after    numeric NOT NULL,
    transaction_type text COLLATE "C" NOT NULL,
    description      text,
    reference_id     text COLLATE "C",
    metadata         jsonb,
    effective_at     timestamptz NOT NULL,
    recorded_at      timestamptz NOT NULL,
    refunds          bigint,
    event_id         bigint,
    grants           bigint[] NOT NULL,
    amounts          numeric[] NOT NULL,
    PRIMARY KEY (user_id, id)
);
COMMENT ON TABLE @extschema@.credit_ledger IS
'Whatever changed a user''s credits, one row each, never changed';
COMMENT ON COLUMN @extschema@.credit_ledger.action IS
'grant, refill, spend, use, refund or expiry; a reference_id is unique for each of the user''s';
COMMENT ON COLUMN @extschema@.credit_ledger.effective_at IS
'Since when it counts: a grant may begin later, and what ended did so before it was written down';
COMMENT ON COLUMN @extschema@.credit_ledger.refunds IS
'The transaction that a refund takes back, in whole or in part';
COMMENT ON COLUMN @extschema@.credit_ledger.grants IS
'From which grants it took, or to which it gave, what stands in amounts; 0 is what is owed';
CREATE UNIQUE INDEX credit_ledger_reference ON @extschema@.credit_ledger (user_id, action, reference_id)
    WHERE reference_id IS NOT NULL;
COMMENT ON INDEX @extschema@.credit_ledger_reference IS 'Nothing is granted, spent or refunded twice';
CREATE INDEX credit_ledger_refunds ON @extschema@.credit_ledger (user_id, refunds) WHERE refunds IS NOT NULL;
COMMENT ON INDEX @extschema@.credit_ledger_refunds IS 'What of a transaction was refunded';
CREATE INDEX credit_ledger_event ON @extschema@.credit_ledger (user_id, event_id) WHERE event_id IS NOT NULL;
COMMENT ON INDEX @extschema@.credit_ledger_event IS 'What a use cost';
ALTER TABLE @extschema@.credit_ledger ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_ledger', '');
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE ON @extschema@.credit_ledger
    FOR EACH ROW EXECUTE FUNCTION @extschema@._history_is_kept();
CREATE TRIGGER history_is_not_truncated BEFORE TRUNCATE ON @extschema@.credit_ledger
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._history_is_kept();

/* ---- what it costs, and what a plan gives ---- */

CREATE FUNCTION @extschema@.set_credit_cost(usage_type text, credits numeric) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_set_credit_cost';
COMMENT ON FUNCTION @extschema@.set_credit_cost(text, numeric) IS
'Sets what one unit of a usage type costs in credits; NULL makes it free of them again';

CREATE FUNCTION @extschema@.set_credit_refill(
    plan text, amount numeric, period interval DEFAULT '1 day', max_rollover numeric DEFAULT 0) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_set_credit_refill';
COMMENT ON FUNCTION @extschema@.set_credit_refill(text, numeric, interval, numeric) IS
'Sets the credits that users on a plan have anew in each period; NULL takes it back';

CREATE FUNCTION @extschema@.set_credit_overdraft(user_id @user_id@, overdraft numeric) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_set_credit_overdraft';
COMMENT ON FUNCTION @extschema@.set_credit_overdraft(@user_id@, numeric) IS
'Sets how far below zero a user''s credits may go';

/* ---- giving and taking ---- */

CREATE FUNCTION @extschema@.grant_credits(
    user_id @user_id@, amount numeric, transaction_type text DEFAULT 'purchase', reference_id text DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL, effective_at timestamptz DEFAULT NULL, priority integer DEFAULT 0,
    max_rollover numeric DEFAULT 0, rollover_until timestamptz DEFAULT NULL,
    description text DEFAULT NULL, metadata jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_grant_credits';
COMMENT ON FUNCTION @extschema@.grant_credits(@user_id@, numeric, text, text, timestamptz, timestamptz, integer, numeric, timestamptz, text, jsonb) IS
'Gives a user credits, once for each reference_id, and returns the id of the transaction';

CREATE FUNCTION @extschema@.spend_credits(
    user_id @user_id@, amount numeric, reference_id text DEFAULT NULL, description text DEFAULT NULL,
    metadata jsonb DEFAULT NULL, transaction_type text DEFAULT 'usage') RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_spend_credits';
COMMENT ON FUNCTION @extschema@.spend_credits(@user_id@, numeric, text, text, jsonb, text) IS
'Takes credits, once for each reference_id, or answers that there are not enough';

CREATE FUNCTION @extschema@.refund_credits(
    user_id @user_id@, transaction_id bigint, amount numeric DEFAULT NULL, reference_id text DEFAULT NULL,
    description text DEFAULT NULL, metadata jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_refund_credits';
COMMENT ON FUNCTION @extschema@.refund_credits(@user_id@, bigint, numeric, text, text, jsonb) IS
'Gives back what a transaction took, to the grants it came from, and returns the id of the refund';

/* ---- looking ---- */

CREATE FUNCTION @extschema@.credit_balance(user_id @user_id@, at timestamptz DEFAULT NULL) RETURNS numeric
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_credit_balance';
COMMENT ON FUNCTION @extschema@.credit_balance(@user_id@, timestamptz) IS
'What a user can or could spend now or at an instant of the past, what is only reserved included';

CREATE FUNCTION @extschema@._credits_of_user(
    user_id @user_id@, OUT balance numeric, OUT held numeric, OUT overdraft numeric, OUT lifetime_earned numeric,
    OUT lifetime_spent numeric, OUT next_refill_at timestamptz, OUT last_refill_at timestamptz,
    OUT created_at timestamptz, OUT updated_at timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 1
AS 'MODULE_PATHNAME', 'ut_credits_of_user';
COMMENT ON FUNCTION @extschema@._credits_of_user(@user_id@) IS
'Internal: the credits of one user as they stand; read view user_credits instead';

CREATE FUNCTION @extschema@._credit_transactions_of_user(
    user_id @user_id@, OUT id bigint, OUT amount numeric, OUT balance_after numeric, OUT transaction_type text,
    OUT description text, OUT reference_id text, OUT metadata jsonb, OUT created_at timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 1
AS 'MODULE_PATHNAME', 'ut_credit_transactions_of_user';
COMMENT ON FUNCTION @extschema@._credit_transactions_of_user(@user_id@) IS
'Internal: every credit transaction of one user; read view credit_transactions instead';

CREATE VIEW @extschema@.user_credits WITH (security_invoker = true, security_barrier = true) AS
    SELECT u.user_id, c.balance, c.lifetime_earned, c.lifetime_spent, c.last_refill_at, c.created_at, c.updated_at,
           c.held, c.overdraft, c.next_refill_at
      FROM (SELECT me.user_id
              FROM (SELECT @extschema@.current_user_id() AS user_id) AS me
             WHERE me.user_id IS NOT NULL AND NOT (SELECT @extschema@._sees_all_users())
             UNION ALL
            SELECT s.user_id
              FROM @extschema@.user_subscriptions AS s
             WHERE (SELECT @extschema@._sees_all_users())) AS u
     CROSS JOIN LATERAL @extschema@._credits_of_user(u.user_id) AS c;
COMMENT ON VIEW @extschema@.user_credits IS
'The credits of each user you may see, one row each, as they stand now';
COMMENT ON COLUMN @extschema@.user_credits.held IS 'How much of the balance is reserved';
COMMENT ON COLUMN @extschema@.user_credits.next_refill_at IS 'NULL if his plan has no refill';

CREATE VIEW @extschema@.credit_transactions WITH (security_invoker = true, security_barrier = true) AS
    SELECT t.id, u.user_id, t.amount, t.balance_after, t.transaction_type, t.description, t.reference_id,
           t.metadata, t.created_at
      FROM (SELECT me.user_id
              FROM (SELECT @extschema@.current_user_id() AS user_id) AS me
             WHERE me.user_id IS NOT NULL AND NOT (SELECT @extschema@._sees_all_users())
             UNION ALL
            SELECT s.user_id
              FROM @extschema@.user_subscriptions AS s
             WHERE (SELECT @extschema@._sees_all_users())) AS u
     CROSS JOIN LATERAL @extschema@._credit_transactions_of_user(u.user_id) AS t;
COMMENT ON VIEW @extschema@.credit_transactions IS
'Whatever changed the credits of each user you may see';
COMMENT ON COLUMN @extschema@.credit_transactions.amount IS 'Positive is given, negative is taken';
COMMENT ON COLUMN @extschema@.credit_transactions.balance_after IS
'What could be spent right after it, at the instant created_at';

/* What is left of grants, and what was earned and spent, against the ledger. */
CREATE FUNCTION @extschema@._reconcile_credits(
    OUT user_id @user_id@, OUT counted numeric, OUT recorded numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000000
BEGIN ATOMIC
    WITH parts AS MATERIALIZED (
        SELECT l.user_id, p.grant_id, pg_catalog.sum(p.amount) AS amount
          FROM @extschema@.credit_ledger AS l
         CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(l.grants), pg_catalog.unnest(l.amounts)) AS p (grant_id, amount)
         GROUP BY l.user_id, p.grant_id
    ), kept AS (
        SELECT g.user_id, g.id AS grant_id, g.remaining FROM @extschema@.credit_grants AS g
         UNION ALL
        SELECT a.user_id, 0, - a.owed FROM @extschema@.credit_accounts AS a
    ), sums AS (
        SELECT l.user_id,
               pg_catalog.sum(l.amount) FILTER (WHERE l.action = ANY (ARRAY['grant', 'refill'])) AS earned,
               - pg_catalog.sum(l.amount) FILTER (WHERE l.action = ANY (ARRAY['spend', 'use', 'refund'])) AS spent
          FROM @extschema@.credit_ledger AS l
         GROUP BY l.user_id
    )
    SELECT COALESCE(k.user_id, p.user_id), COALESCE(k.remaining, 0), COALESCE(p.amount, 0)
      FROM kept AS k FULL JOIN parts AS p ON p.user_id = k.user_id AND p.grant_id = k.grant_id
     WHERE COALESCE(k.remaining, 0) <> COALESCE(p.amount, 0)
     UNION ALL
    SELECT a.user_id, v.counted, COALESCE(v.recorded, 0)
      FROM @extschema@.credit_accounts AS a
      LEFT JOIN sums AS s ON s.user_id = a.user_id
     CROSS JOIN LATERAL (VALUES (a.earned, s.earned), (a.spent, s.spent)) AS v (counted, recorded)
     WHERE v.counted <> COALESCE(v.recorded, 0)
     UNION ALL
    SELECT l.user_id, l.amount, pg_catalog.sum(p.amount)
      FROM @extschema@.credit_ledger AS l CROSS JOIN LATERAL pg_catalog.unnest(l.amounts) AS p (amount)
     GROUP BY l.user_id, l.id, l.amount HAVING l.amount <> pg_catalog.sum(p.amount);
END;
COMMENT ON FUNCTION @extschema@._reconcile_credits() IS
'Internal: a row for each grant, account or transaction that is not what the ledger says';

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

/* rates: how fast, how many at once?
 *
 * Levels and leases of gauges stand in room counters, where they are read by
 * whoever asks how much is used.
 */
CREATE FUNCTION @extschema@.set_usage_level(
    user_id @user_id@, limit_type text, level numeric) RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_set_usage_level';
COMMENT ON FUNCTION @extschema@.set_usage_level(@user_id@, text, numeric) IS
'Says what the level of a gauge is, whatever its limit';

CREATE FUNCTION @extschema@.add_usage_level(
    user_id @user_id@, limit_type text, delta numeric) RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_add_usage_level';
COMMENT ON FUNCTION @extschema@.add_usage_level(@user_id@, text, numeric) IS
'Raises the level of a gauge if its limit allows it, or lowers it';

CREATE FUNCTION @extschema@.acquire_lease(
    user_id @user_id@, limit_type text, expires_in interval DEFAULT '15 minutes',
    idempotency_key text DEFAULT NULL) RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_acquire_lease';
COMMENT ON FUNCTION @extschema@.acquire_lease(@user_id@, text, interval, text) IS
'Holds a place of a gauge until it is released or expires, or with NULL as long as this connection, or answers why not';

CREATE FUNCTION @extschema@.renew_lease(
    user_id @user_id@, lease_id bigint, expires_in interval DEFAULT '15 minutes') RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_renew_lease';
COMMENT ON FUNCTION @extschema@.renew_lease(@user_id@, bigint, interval) IS
'Holds a place so much longer from now, unless that lease is over';

CREATE FUNCTION @extschema@.release_lease(user_id @user_id@, lease_id bigint) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_release_lease';
COMMENT ON FUNCTION @extschema@.release_lease(@user_id@, bigint) IS
'Gives a place back';

/* ---- gauges that follow a table of the application ---- */

/* Which they are is known by our triggers on those tables alone, and these by the
 * function that they call. */
CREATE FUNCTION @extschema@.keep_usage_gauge() RETURNS trigger
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_keep_usage_gauge';
COMMENT ON FUNCTION @extschema@.keep_usage_gauge() IS
'Trigger on a table that a gauge follows: adds to levels what a statement changed, or refuses it (UT001)';

CREATE FUNCTION @extschema@._attached_gauges(
    OUT limit_type text, OUT target regclass, OUT tgname name) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.split_part(pg_catalog.encode(t.tgargs, 'escape'), E'\\000', 1), t.tgrelid::regclass, t.tgname
      FROM pg_catalog.pg_depend AS d
      JOIN pg_catalog.pg_trigger AS t ON t.oid = d.objid
     WHERE d.refclassid = 'pg_catalog.pg_proc'::regclass
       AND d.refobjid = '@extschema@.keep_usage_gauge()'::regprocedure
       AND d.classid = 'pg_catalog.pg_trigger'::regclass;
END;
COMMENT ON FUNCTION @extschema@._attached_gauges() IS
'Internal: the triggers that keep gauges equal to tables';

CREATE FUNCTION @extschema@.attach_usage_gauge(
    target regclass, limit_type text, user_column name, amount_column name DEFAULT NULL) RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_attach_usage_gauge';
COMMENT ON FUNCTION @extschema@.attach_usage_gauge(regclass, text, name, name) IS
'Keeps a gauge equal to the number of each user''s rows of a table, or to the sum of a column; returns of how many users';

CREATE FUNCTION @extschema@.detach_usage_gauge(target regclass, limit_type text) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_detach_usage_gauge';
COMMENT ON FUNCTION @extschema@.detach_usage_gauge(regclass, text) IS
'Takes our triggers off a table that a gauge follows; levels stay as they are';

CREATE FUNCTION @extschema@.verify_usage_gauge(
    limit_type text, OUT user_id @user_id@, OUT level numeric, OUT actual numeric) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 10000 ROWS 10
AS 'MODULE_PATHNAME', 'ut_verify_usage_gauge';
COMMENT ON FUNCTION @extschema@.verify_usage_gauge(text) IS
'Users whose level differs from what the table that a gauge follows says';

/* The triggers name the limit, so it must not be called otherwise, or go. */
CREATE FUNCTION @extschema@._gauge_stays() RETURNS trigger
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    followed regclass := (SELECT g.target FROM @extschema@._attached_gauges() AS g
                           WHERE g.limit_type = OLD.limit_type LIMIT 1);
BEGIN
    IF followed IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'dependent_objects_still_exist',
            MESSAGE = format('level of "%s" follows table "%s"', OLD.limit_type, followed),
            HINT = 'Call detach_usage_gauge() first.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION @extschema@._gauge_stays() IS
'Internal: refuses to rename or delete a gauge that follows a table';
CREATE TRIGGER gauge_is_renamed BEFORE UPDATE ON @extschema@.usage_limits
    FOR EACH ROW WHEN (OLD.limit_type <> NEW.limit_type) EXECUTE FUNCTION @extschema@._gauge_stays();
CREATE TRIGGER gauge_goes BEFORE DELETE ON @extschema@.usage_limits
    FOR EACH ROW EXECUTE FUNCTION @extschema@._gauge_stays();

/* tallies: how often was this row used?
 *
 * A tally keeps a column of one table of the application (the target) equal to
 * the number of rows of another (the source) that name it.  Our triggers on the
 * source are all there is of it.
 *
 * None of this is for users but the reports, which run with the rights of whoever
 * calls them: a tally's tables are the application's.  A role that owns such
 * tables and not the extension can be granted the others.
 */
CREATE FUNCTION @extschema@._count_tally() RETURNS trigger
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_count_tally';
COMMENT ON FUNCTION @extschema@._count_tally() IS
'Trigger of attach_usage_tally(): counts what a statement changed, as the owner of the tables';

CREATE FUNCTION @extschema@.attach_usage_tally(
    target regclass, key name, count_column name, source regclass, source_key name,
    last_used_column name DEFAULT NULL, used_at_column name DEFAULT NULL, user_column name DEFAULT NULL) RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_attach_usage_tally';
COMMENT ON FUNCTION @extschema@.attach_usage_tally(regclass, name, name, regclass, name, name, name, name) IS
'Keeps a column equal to the number of rows of another table that name its row; returns how many were not';

CREATE FUNCTION @extschema@.detach_usage_tally(target regclass, count_column name) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_detach_usage_tally';
COMMENT ON FUNCTION @extschema@.detach_usage_tally(regclass, name) IS
'Takes the triggers of a tally off its source; counts stay';

CREATE FUNCTION @extschema@.detach_usage_tallies(source regclass) RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_detach_usage_tallies';
COMMENT ON FUNCTION @extschema@.detach_usage_tallies(regclass) IS
'Takes the triggers of all tallies off a table, also of those whose target was renamed or dropped; returns how many tallies';

CREATE FUNCTION @extschema@.sync_usage_tally(target regclass, count_column name) RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_sync_usage_tally';
COMMENT ON FUNCTION @extschema@.sync_usage_tally(regclass, name) IS
'Counts the source and corrects what is displayed; returns how many rows were wrong';

CREATE FUNCTION @extschema@.verify_usage_tally(
    target regclass, count_column name, OUT key text, OUT displayed numeric, OUT actual bigint,
    OUT displayed_last_used timestamptz, OUT actual_last_used timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_verify_usage_tally';
COMMENT ON FUNCTION @extschema@.verify_usage_tally(regclass, name) IS
'The rows of a tally''s target that display something else than its source has';

/* ---- reports ---- */

CREATE FUNCTION @extschema@._usage_tally(
    target regclass, count_column name, OUT source regclass, OUT key name, OUT source_key name,
    OUT last_used_column name, OUT used_at_column name, OUT user_column name, OUT has_zone boolean) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_usage_tally';
COMMENT ON FUNCTION @extschema@._usage_tally(regclass, name) IS
'Internal: what a tally counts, by which columns';

CREATE FUNCTION @extschema@._check_max_rows(max_rows integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF max_rows IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'argument "max_rows" must not be null';
    ELSIF max_rows < 1 OR max_rows > 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'argument "max_rows" must be from 1 to 1000';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@._check_max_rows(integer) IS
'Internal: refuses a number of rows that cannot be';

/* Rows "key, user_id, used_at" of the source, as text and with a zone, to be put
 * into a query; of one key, if it is given, which an index can find. */
CREATE FUNCTION @extschema@._tally_uses(
    target regclass, count_column name, resource_key text, needs_user boolean, needs_time boolean) RETURNS text
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tally record;
BEGIN
    SELECT * INTO tally FROM @extschema@._usage_tally(target, count_column);
    IF needs_user AND tally.user_column IS NULL OR needs_time AND tally.used_at_column IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('the tally of column "%s" of table "%s" has no %s', count_column,
                             (SELECT c.relname FROM pg_class AS c WHERE c.oid = target),
                             CASE WHEN needs_user AND tally.user_column IS NULL THEN 'user_column' ELSE 'used_at_column' END),
            HINT = 'Call detach_usage_tally(), and attach_usage_tally() with it.';
    END IF;
    RETURN format('(SELECT s.%1$I::text AS key, %2$s AS user_id, %3$s AS used_at FROM %4$s AS s WHERE s.%1$I %5$s) AS u',
                  tally.source_key, CASE WHEN tally.user_column IS NULL THEN 'NULL::text' ELSE format('s.%I::text', tally.user_column) END,
                  CASE WHEN tally.used_at_column IS NULL THEN 'NULL::timestamptz'
                       WHEN tally.has_zone THEN format('s.%I::timestamptz', tally.used_at_column)
                       ELSE format('timezone(''UTC'', s.%I)', tally.used_at_column) END,
                  tally.source, CASE WHEN resource_key IS NULL THEN 'IS NOT NULL' ELSE format('= %L', resource_key) END);
END
$$;
COMMENT ON FUNCTION @extschema@._tally_uses(regclass, name, text, boolean, boolean) IS
'Internal: a sub-select for the uses that a tally counts';

CREATE FUNCTION @extschema@.popular_resources(
    target regclass, count_column name, max_rows integer DEFAULT 10,
    OUT key text, OUT uses numeric, OUT last_used timestamptz) RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tally record;
BEGIN
    PERFORM @extschema@._check_max_rows(max_rows);
    SELECT * INTO tally FROM @extschema@._usage_tally(target, count_column);
    RETURN QUERY EXECUTE format(
        'SELECT t.%1$I::text, t.%2$I::numeric, %3$s FROM %4$s AS t WHERE t.%2$I > 0 ORDER BY t.%2$I DESC, t.%1$I LIMIT $1',
        tally.key, count_column,
        CASE WHEN tally.last_used_column IS NULL THEN 'NULL::timestamptz'
             WHEN tally.has_zone THEN format('t.%I::timestamptz', tally.last_used_column)
             ELSE format('timezone(''UTC'', t.%I)', tally.last_used_column) END, target) USING max_rows;
END
$$;
COMMENT ON FUNCTION @extschema@.popular_resources(regclass, name, integer) IS
'The rows of a tally''s target that were used most';

/* One user gives a resource one point at most, however often he uses it. Times
 * to come would give more than one, so they count only when they are there. */
CREATE FUNCTION @extschema@.trending_resources(
    target regclass, count_column name, half_life interval DEFAULT '7 days', max_rows integer DEFAULT 10,
    OUT key text, OUT score numeric, OUT users bigint, OUT uses bigint) RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._check_max_rows(max_rows);
    IF half_life IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'argument "half_life" must not be null';
    ELSIF half_life < '1 second' OR half_life > '10 years' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'argument "half_life" must be from a second to 10 years';
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT l.key, round(sum(power(2::numeric, - extract(epoch FROM $1 - l.used_at) / extract(epoch FROM $2))), 6) AS score,'
        ' count(*), sum(l.uses)::bigint'
        ' FROM (SELECT u.key, u.user_id, max(u.used_at) AS used_at, count(*) AS uses FROM %s'
        ' WHERE u.user_id IS NOT NULL AND u.used_at <= $1 AND u.used_at > $1 - 20 * $2 GROUP BY u.key, u.user_id) AS l'
        ' GROUP BY l.key ORDER BY score DESC, l.key LIMIT $3',
        @extschema@._tally_uses(target, count_column, NULL, true, true)) USING @extschema@._usage_now(), half_life, max_rows;
END
$$;
COMMENT ON FUNCTION @extschema@.trending_resources(regclass, name, interval, integer) IS
'What many users used lately: the sum, over users, of a point that halves with each half-life since his latest use';

CREATE FUNCTION @extschema@.get_top_resource_users(
    target regclass, count_column name, resource_key text, max_rows integer DEFAULT 10,
    OUT user_id text, OUT uses bigint, OUT last_used timestamptz) RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@._check_max_rows(max_rows);
    IF resource_key IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'argument "resource_key" must not be null';
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT u.user_id, count(*), max(u.used_at) FROM %s WHERE u.user_id IS NOT NULL'
        ' GROUP BY u.user_id ORDER BY 2 DESC, 1 LIMIT $1',
        @extschema@._tally_uses(target, count_column, resource_key, true, false)) USING max_rows;
END
$$;
COMMENT ON FUNCTION @extschema@.get_top_resource_users(regclass, name, text, integer) IS
'Who used one row of a tally''s target most';

CREATE FUNCTION @extschema@._zone_or_default(time_zone text) RETURNS text
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_zone_or_default';
COMMENT ON FUNCTION @extschema@._zone_or_default(text) IS
'Internal: checks a time zone; the one of the settings if none is given';

/* Every hour of every day of the week is there, also those without uses. */
CREATE FUNCTION @extschema@.get_usage_heatmap(
    target regclass, count_column name, resource_key text DEFAULT NULL, days integer DEFAULT 28, time_zone text DEFAULT NULL,
    OUT weekday integer, OUT hour integer, OUT uses bigint) RETURNS SETOF record
LANGUAGE plpgsql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF days IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'argument "days" must not be null';
    ELSIF days < 1 OR days > 3660 THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'argument "days" must be from 1 to 3660';
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT d, h, COALESCE(c.uses, 0) FROM generate_series(1, 7) AS d CROSS JOIN generate_series(0, 23) AS h LEFT JOIN'
        ' (SELECT extract(isodow FROM timezone($1, u.used_at))::integer AS d,'
        ' extract(hour FROM timezone($1, u.used_at))::integer AS h, count(*) AS uses'
        ' FROM %s WHERE u.used_at <= $2 AND u.used_at > $2 - make_interval(days => $3) GROUP BY 1, 2) AS c USING (d, h)'
        ' ORDER BY d, h', @extschema@._tally_uses(target, count_column, resource_key, false, true))
        USING @extschema@._zone_or_default(time_zone), @extschema@._usage_now(), days;
END
$$;
COMMENT ON FUNCTION @extschema@.get_usage_heatmap(regclass, name, text, integer, text) IS
'How often a tally''s target, or one row of it, was used in each hour of each day of the week';


/* reports: what a payment service is told */
CREATE FUNCTION @extschema@._stripe_meter_events(
    since timestamptz, after_id bigint, max_rows integer,
    OUT event_name text, OUT identifier text, OUT "timestamp" bigint, OUT payload jsonb,
    OUT recorded_at timestamptz, OUT id bigint) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT e.usage_type, e.id::text, pg_catalog.floor(EXTRACT(epoch FROM e.occurred_at))::bigint,
           pg_catalog.jsonb_build_object('stripe_customer_id', s.stripe_customer_id,
                                         'value', pg_catalog.trim_scale(e.quantity)::text),
           e.recorded_at, e.id
      FROM @extschema@.usage_events AS e
      JOIN @extschema@.user_subscriptions AS s ON s.user_id = e.user_id AND s.stripe_customer_id IS NOT NULL
     WHERE e.recorded_at >= $1 AND ($2 IS NULL OR (e.recorded_at, e.id) > ($1, $2)) AND e.quantity <> 0
       AND (e.status = 'success'
            OR (e.status = 'correction' AND e.corrects IS NOT NULL AND e.corrected_status = 'success'))
     ORDER BY e.recorded_at, e.id LIMIT $3;
END;
COMMENT ON FUNCTION @extschema@._stripe_meter_events(timestamptz, bigint, integer) IS
'Internal: the answer of stripe_meter_events()';

CREATE FUNCTION @extschema@.stripe_meter_events(
    since timestamptz, after_id bigint DEFAULT NULL, max_rows integer DEFAULT 1000,
    OUT event_name text, OUT identifier text, OUT "timestamp" bigint, OUT payload jsonb,
    OUT recorded_at timestamptz, OUT id bigint) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 1000
AS 'MODULE_PATHNAME', 'ut_stripe_meter_events';
COMMENT ON FUNCTION @extschema@.stripe_meter_events(timestamptz, bigint, integer) IS
'Uses of Stripe''s customers recorded since an instant, as the meter events that Stripe takes';


/* signups: a user who goes takes what Stripe says of him along */
CREATE OR REPLACE FUNCTION @extschema@._forget_if_deleted(user_id @user_id@) RETURNS boolean
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone  @user_id@ := $1;
    what  text;
    lives boolean;
BEGIN
    LOCK TABLE ONLY @extschema@.stripe_events IN SHARE ROW EXCLUSIVE MODE;
    PERFORM @extschema@._lock_out_user(gone);
    SELECT d.on_delete INTO what FROM @extschema@.deleted_users AS d WHERE d.user_id = gone FOR UPDATE;
    IF NOT FOUND THEN
        RETURN true;  -- he signed up again
    END IF;
    lives := @extschema@._user_lives(gone);
    IF lives THEN
        DELETE FROM @extschema@.deleted_users AS d WHERE d.user_id = gone;
    ELSIF NOT lives THEN
        PERFORM @extschema@._forget_user(gone, what = 'erase');
    END IF;
    RETURN lives IS NOT NULL;
END
$$;


/* access: what is new, for whom */
CREATE OR REPLACE FUNCTION @extschema@._audience(OUT function regprocedure, OUT audience text) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.oid::regprocedure,
           CASE WHEN p.proname = ANY (ARRAY[
                    'current_user_id', 'is_admin', 'has_role', '_sees_all_users', '_usage_of_user', '_calls_of_user',
                    'check_usage_limit', 'consume_usage', 'require_usage',
                    'grant_role', 'revoke_role', 'make_admin_by_email', 'set_user_plan', 'set_user_clock',
                    'define_usage_type', 'define_usage_limit', 'set_plan_limit', 'set_temporary_limit', 'set_user_limit',
                    'define_usage_alert', 'get_usage_alerts', 'acknowledge_usage_alert',
                    'reverse_usage', 'adjust_usage', 'reset_user_usage', 'recost_usage', 'set_usage_level', 'add_usage_level', 'define_campaign', 'erase_user', 'export_user_data',
                    'calculate_openai_cost', 'calculate_llm_cost', 'calculate_image_cost', 'calculate_video_cost',
                    'usage_from_openai', 'usage_from_anthropic', 'usage_from_opentelemetry',
                    '_usage_object', '_token_count', '_check_token_count',
                    'get_user_usage', 'get_campaigns', 'get_user_costs', 'get_user_usage_history', 'get_user_aggregations', 'get_user_stats',
                    'get_usage_totals',
                    'set_credit_cost', 'set_credit_refill', 'set_credit_overdraft', 'grant_credits', 'spend_credits', 'refund_credits',
                    'credit_balance', '_credits_of_user', '_credit_transactions_of_user',
                    'set_stripe_price', 'stripe_meter_events',
                    'popular_resources', 'trending_resources', 'get_top_resource_users', 'get_usage_heatmap',
                    '_usage_tally', '_tally_uses', '_check_max_rows', '_zone_or_default', '_usage_now',
                    'get_run', 'list_runs', 'get_run_deliveries', 'run_usage', 'check_monthly_usage_limit', '_monthly_runs'])
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

CREATE OR REPLACE FUNCTION @extschema@._readable(OUT relation regclass, OUT columns text[]) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    VALUES ('@extschema@.user_usage'::regclass, NULL::text[]),
           ('@extschema@.api_usage'::regclass, NULL),
           ('@extschema@.user_credits'::regclass, NULL),
           ('@extschema@.credit_transactions'::regclass, NULL),
           ('@extschema@.user_monthly_usage'::regclass, NULL),
           ('@extschema@.user_subscriptions'::regclass, ARRAY[
            'user_id', 'plan', 'status', 'billing_period_start', 'billing_period_end', 'started_at',
            'expires_at', 'time_zone', 'anchor']);
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
      FROM relations AS r JOIN pg_catalog.pg_policy AS p ON p.polrelid = r.oid
     WHERE NOT (p.polname = 'own_or_all' AND EXISTS (SELECT FROM @extschema@._readable() AS k WHERE k.relation = r.oid))
     UNION ALL
    SELECT r.oid::regclass::text, 'policy own_or_all is missing or changed'
      FROM relations AS r
     WHERE r.relkind <> 'v'::"char" AND EXISTS (SELECT FROM @extschema@._readable() AS k WHERE k.relation = r.oid)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy AS p,
                              LATERAL pg_catalog.pg_get_expr(p.polqual, p.polrelid) AS qual
                        WHERE p.polrelid = r.oid AND p.polname = 'own_or_all'
                          AND p.polpermissive AND p.polcmd = 'r'::"char"
                          AND pg_catalog.replace(qual, '"', '') ~ '^[(][(]user_id = [(] SELECT ([^()]+[.])?current_user_id[(][)] AS current_user_id[)][)] OR [(] SELECT ([^()]+[.])?_sees_all_users[(][)] AS _sees_all_users[)][)]$')
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


/* rollups, signups: credits, too, and runs */
CREATE OR REPLACE FUNCTION @extschema@.reconcile_usage(
    OUT user_id @user_id@, OUT limit_type text, OUT window_start timestamptz, OUT window_end timestamptz,
    OUT counted numeric, OUT recorded numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 1000000
BEGIN ATOMIC
    SELECT c.user_id, l.limit_type, c.window_start, c.window_end, c.used, e.used
      FROM (SELECT s.user_id, s.limit_id, s.window_start, s.window_end, pg_catalog.sum(s.used) AS used
              FROM @extschema@.usage_counters AS s
             GROUP BY s.user_id, s.limit_id, s.window_start, s.window_end) AS c
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
                      AND v.occurred_at >= c.window_start AND v.occurred_at < c.window_end
                    UNION ALL
                   SELECT k.limit_id, k.usage_type, k.status, k.events, k.quantity, k.tokens, k.cost
                     FROM @extschema@.usage_carried AS k
                    WHERE k.user_id = c.user_id
                      AND k.month >= c.window_start AND k.month < c.window_end) AS p
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

COMMENT ON FUNCTION @extschema@.reconcile_usage() IS
'Compares every counter, and the sums of every day, with the events they stand for, and credits with their ledger; a row for each difference, so none is good';
CREATE FUNCTION @extschema@._forget_credits(user_id @user_id@, fresh @user_id@) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_forget_credits';
COMMENT ON FUNCTION @extschema@._forget_credits(@user_id@, @user_id@) IS
'Internal: gives a user''s credits and their ledger to a fresh id, without what describes them';

CREATE OR REPLACE FUNCTION @extschema@._forget_user(user_id @user_id@, erase boolean) RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone  @user_id@ := $1;
    fresh @user_id@;
BEGIN
    LOCK TABLE ONLY @extschema@.stripe_events IN SHARE ROW EXCLUSIVE MODE;  -- none is on its way, which might wait for him
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


/* upkeep: old runs, and leases that are over */
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

CREATE OR REPLACE FUNCTION @extschema@.usage_maintenance(
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

