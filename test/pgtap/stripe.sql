/* stripe: events come in any order and more than once, and end in the same state.
 *
 * The sequences are made after Stripe's documentation, in the shapes of versions
 * before and since 2025-03-31, without what nobody reads.  Each says how it ends;
 * then all its orders (of six events 300 drawn by a seed) must end there, with events
 * repeated on the way.  Sequences drawn at random, which no payment service would
 * send, must end alike in every order too.
 *
 * For each of the three types of user ids.  The seed is printed; -v seed=N repeats. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SELECT no_plan();
SET client_min_messages = warning;
SET usage_tracking.clock = '2026-03-10 12:00+00';
SET TimeZone = 'UTC';
SET LOCAL check_function_bodies = off;
\if :{?seed}
\else
    SELECT (random() * 1000000)::int AS seed \gset
\endif
\echo # seed :seed
SELECT setseed(:seed / 1000000.0) \g /dev/null
CREATE SCHEMA stripe;

/* ---- events ---- */

CREATE FUNCTION stripe.at(moment text) RETURNS bigint LANGUAGE sql AS $$ SELECT extract(epoch FROM ('2026-' || moment || '+00')::timestamptz)::bigint $$;
CREATE FUNCTION stripe.event(id text, type text, moment text, object jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('id', 'evt_' || id, 'object', 'event', 'type', type, 'created', stripe.at(moment), 'livemode', true, 'data', jsonb_build_object('object', object))
$$;
/* "period" is two moments; "more" goes over the object, its null takes away. */
CREATE FUNCTION stripe.sub(id text, type text, moment text, status text, period text[], price text DEFAULT 'price_pro', more jsonb DEFAULT '{}',
                           sub text DEFAULT 'sub_1', customer text DEFAULT 'cus_1', is_old boolean DEFAULT false) RETURNS jsonb LANGUAGE sql AS $$
    SELECT stripe.event(id, 'customer.subscription.' || type, moment, jsonb_build_object(
        'id', sub, 'object', 'subscription', 'customer', customer, 'status', status, 'cancel_at', NULL, 'cancel_at_period_end', false, 'canceled_at', NULL, 'ended_at', NULL,
        'start_date', stripe.at('03-01 00:00'), 'metadata', '{}'::jsonb,
        'items', jsonb_build_object('object', 'list', 'data', jsonb_build_array(
            CASE WHEN is_old THEN jsonb_build_object('id', 'si_1', 'plan', jsonb_build_object('id', price, 'object', 'plan'))
                 ELSE jsonb_build_object('id', 'si_1', 'price', jsonb_build_object('id', price, 'object', 'price'), 'plan', jsonb_build_object('id', price)) || span END)))
        || CASE WHEN is_old THEN span ELSE '{}' END || more)
      FROM jsonb_build_object('current_period_start', stripe.at(period[1]), 'current_period_end', stripe.at(period[2])) AS span
$$;
CREATE FUNCTION stripe.invoice(id text, type text, moment text, period text[], sub text DEFAULT 'sub_1', customer text DEFAULT 'cus_1', is_old boolean DEFAULT false) RETURNS jsonb LANGUAGE sql AS $$
    SELECT stripe.event(id, 'invoice.' || type, moment, jsonb_build_object('id', 'in_' || id, 'object', 'invoice', 'customer', customer,
        'lines', jsonb_build_object('data', jsonb_build_array(
            jsonb_build_object('period', jsonb_build_object('start', 0, 'end', 253402300799)) || CASE WHEN is_old THEN '{"type": "invoiceitem"}'::jsonb ELSE '{"parent": {"type": "invoice_item_details"}}' END,
            jsonb_build_object('period', jsonb_build_object('start', stripe.at(period[1]), 'end', stripe.at(period[2])))
                || CASE WHEN is_old THEN '{"type": "subscription"}'::jsonb ELSE '{"parent": {"type": "subscription_item_details"}}' END)))
        || CASE WHEN is_old THEN jsonb_build_object('subscription', sub) ELSE jsonb_build_object('parent', jsonb_build_object('subscription_details', jsonb_build_object('subscription', sub))) END)
$$;
CREATE FUNCTION stripe.checkout(id text, moment text, who text, sub text DEFAULT 'sub_1', customer text DEFAULT 'cus_1') RETURNS jsonb LANGUAGE sql AS $$
    SELECT stripe.event(id, 'checkout.session.completed', moment, jsonb_build_object('id', 'cs_1', 'object', 'checkout.session', 'mode', 'subscription', 'customer', customer, 'subscription', sub,
                                                                                     'client_reference_id', who, 'metadata', '{}'::jsonb, 'customer_details', '{"email": "ann@example.com"}'::jsonb))
$$;

/* ANN and BOB stand for their ids. */
CREATE FUNCTION stripe.month() RETURNS text[] LANGUAGE sql AS $$ SELECT '{03-01 00:00,04-01 00:00}'::text[] $$;
CREATE FUNCTION stripe.next_month() RETURNS text[] LANGUAGE sql AS $$ SELECT '{04-01 00:00,05-01 00:00}'::text[] $$;
CREATE TABLE stripe.sequences (n serial, title text, events jsonb, ends text);
DO $do$
DECLARE
    march text[] := stripe.month();
    april text[] := stripe.next_month();
    paid  text := ' 2026-03-01 2026-04-01 ';
    renewed text := ' 2026-04-01 2026-05-01 ';
    ann   jsonb := '{"metadata": {"user_id": "ANN"}}';
    old   boolean;
BEGIN
    INSERT INTO stripe.sequences (title, events, ends) VALUES
    ('a new customer', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'incomplete', march), stripe.invoice('2', 'paid', '03-01 00:00', march),
        stripe.sub('3', 'updated', '03-01 00:00', 'active', march), stripe.checkout('4', '03-01 00:01', 'ANN')),
        'ANN pro active' || paid || '- cus_1 sub_1'),
    ('a trial, then paid', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'trialing', march, more => ann), stripe.invoice('2', 'paid', '03-01 00:01', march),
        stripe.sub('3', 'updated', '04-01 00:00', 'active', april, more => ann), stripe.invoice('4', 'paid', '04-01 01:00', april)),
        'ANN pro active' || renewed || '- cus_1 sub_1'),
    ('a trial', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'trialing', march, more => ann), stripe.invoice('2', 'paid', '03-01 00:01', march)),
        'ANN pro trialing' || paid || '- cus_1 sub_1'),
    ('failed, then unpaid, then deleted', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann), stripe.invoice('2', 'payment_failed', '04-01 01:00', april),
        stripe.sub('3', 'updated', '04-01 01:00', 'past_due', april, more => ann), stripe.sub('4', 'updated', '04-15 01:00', 'unpaid', april, more => ann),
        stripe.sub('5', 'deleted', '04-20 00:00', 'canceled', april, more => ann || jsonb_build_object('ended_at', stripe.at('04-20 00:00')))),
        'ANN pro cancelled' || renewed || '2026-04-20 cus_1 sub_1'),
    ('unpaid', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann), stripe.sub('2', 'updated', '04-15 01:00', 'unpaid', april, more => ann)),
        'ANN pro unpaid' || renewed || '- cus_1 sub_1'),
    ('cancelled at the end of the period', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann),
        stripe.sub('2', 'updated', '03-05 00:00', 'active', march, more => ann || '{"cancel_at_period_end": true}'), stripe.invoice('3', 'paid', '03-01 00:00', march)),
        'ANN pro cancelled' || paid || '2026-04-01 cus_1 sub_1'),
    ('cancelled at the end of a later period', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann),
        stripe.sub('2', 'updated', '03-05 00:00', 'active', march, more => ann || jsonb_build_object('cancel_at', stripe.at('06-01 00:00')))),
        'ANN pro active' || paid || '2026-06-01 cus_1 sub_1'),
    ('cancelled, and then not', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann),
        stripe.sub('2', 'updated', '03-05 00:00', 'active', march, more => ann || jsonb_build_object('cancel_at_period_end', true, 'cancel_at', stripe.at('04-01 00:00'))),
        stripe.sub('3', 'updated', '03-06 00:00', 'active', march, more => ann), stripe.sub('4', 'updated', '04-01 00:00', 'active', april, more => ann)),
        'ANN pro active' || renewed || '- cus_1 sub_1'),
    ('cancelled, and ended', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann),
        stripe.sub('2', 'updated', '03-05 00:00', 'active', march, more => ann || jsonb_build_object('cancel_at_period_end', true, 'cancel_at', stripe.at('04-01 00:00'))),
        stripe.sub('3', 'deleted', '04-01 00:00', 'canceled', march, more => ann || jsonb_build_object('ended_at', stripe.at('04-01 00:00')))),
        'ANN pro cancelled' || paid || '2026-04-01 cus_1 sub_1'),
    ('ended within the second in which it was changed', jsonb_build_array(
        stripe.sub('1', 'created', '03-05 00:00', 'active', march, more => ann), stripe.sub('9', 'updated', '03-05 00:00', 'active', march, more => ann),
        stripe.sub('2', 'deleted', '03-05 00:00', 'canceled', march, more => ann || jsonb_build_object('ended_at', stripe.at('03-05 00:00')))),
        'ANN pro cancelled' || paid || '2026-03-05 cus_1 sub_1'),
    ('another plan, and back, and up', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann), stripe.sub('2', 'updated', '03-02 00:00', 'active', march, 'price_team', ann),
        stripe.sub('3', 'updated', '03-03 00:00', 'active', march, more => ann), stripe.sub('4', 'updated', '03-04 00:00', 'active', march, 'price_team', ann)),
        'ANN team active' || paid || '- cus_1 sub_1'),
    ('two subscriptions: the later begun', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann),
        stripe.sub('2', 'created', '03-05 00:00', 'active', march, 'price_team', ann || jsonb_build_object('start_date', stripe.at('03-05 00:00')), 'sub_0')),
        'ANN team active' || paid || '- cus_1 sub_0'),
    ('two subscriptions of two customers, one ended', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann), stripe.checkout('2', '03-05 00:01', 'ANN', 'sub_2', 'cus_2'),
        stripe.sub('3', 'created', '03-05 00:00', 'active', march, 'price_team', jsonb_build_object('start_date', stripe.at('03-05 00:00')), 'sub_2', 'cus_2'),
        stripe.sub('4', 'deleted', '03-07 00:00', 'canceled', march, 'price_team', jsonb_build_object('ended_at', stripe.at('03-07 00:00')), 'sub_2', 'cus_2')),
        'ANN pro active' || paid || '- cus_1 sub_1'),
    ('the checkout last', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march), stripe.sub('2', 'updated', '04-01 00:00', 'active', april),
        stripe.invoice('3', 'payment_failed', '04-01 01:00', april), stripe.checkout('4', '04-02 00:00', 'ANN')),
        'ANN pro past_due' || renewed || '- cus_1 sub_1'),
    ('one customer pays for two users', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann), stripe.sub('2', 'created', '03-01 00:00', 'active', march, 'price_team', '{"metadata": {"user_id": "BOB"}}', 'sub_2'),
        stripe.sub('3', 'updated', '03-02 00:00', 'past_due', march, 'price_team', '{"metadata": {}}', 'sub_2')),
        'ANN pro active' || paid || '- cus_1 sub_1, BOB team past_due' || paid || '- cus_1 sub_2'),
    ('a subscription that goes to another user', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann), stripe.sub('2', 'updated', '03-02 00:00', 'active', march, more => '{"metadata": {"user_id": "BOB"}}')),
        'BOB pro active' || paid || '- cus_1 sub_1'),
    ('a price that is not known', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann), stripe.sub('2', 'updated', '04-01 00:00', 'past_due', april, 'price_what', ann)),
        'ANN pro past_due' || renewed || '- cus_1 sub_1'),
    ('an update that was lost', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann), stripe.invoice('2', 'payment_failed', '04-01 01:00', april), stripe.invoice('3', 'paid', '04-02 01:00', april)),
        'ANN pro active' || renewed || '- cus_1 sub_1'),
    ('an old invoice', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann), stripe.sub('2', 'updated', '04-01 01:00', 'past_due', april, more => ann), stripe.invoice('3', 'paid', '04-02 01:00', march)),
        'ANN pro past_due' || renewed || '- cus_1 sub_1'),
    ('a failure that was made good', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann), stripe.invoice('2', 'payment_failed', '04-01 01:00', april), stripe.sub('3', 'updated', '04-03 00:00', 'active', april, more => ann)),
        'ANN pro active' || renewed || '- cus_1 sub_1'),
    ('a first payment that never came', jsonb_build_array(
        stripe.sub('1', 'created', '03-01 00:00', 'incomplete', march, more => ann), stripe.invoice('2', 'payment_failed', '03-01 00:00', march),
        stripe.sub('3', 'updated', '03-02 00:00', 'incomplete_expired', march, more => ann)), '');
    FOREACH old IN ARRAY '{t,f}'::boolean[] LOOP
        INSERT INTO stripe.sequences (title, events, ends) VALUES
        ('failed and recovered, as told ' || CASE WHEN old THEN 'before 2025' ELSE 'since' END, jsonb_build_array(
            stripe.sub('1', 'created', '03-01 00:00', 'active', march, more => ann, is_old => old), stripe.sub('2', 'updated', '04-01 00:00', 'active', april, more => ann, is_old => old),
            stripe.invoice('3', 'payment_failed', '04-01 01:00', april, is_old => old), stripe.sub('4', 'updated', '04-01 01:00', 'past_due', april, more => ann, is_old => old),
            stripe.sub('5', 'updated', '04-03 00:00', 'active', april, more => ann, is_old => old), stripe.invoice('6', 'paid', '04-03 00:00', april, is_old => old)),
            'ANN pro active' || renewed || '- cus_1 sub_1');
    END LOOP;
END $do$;

/* ---- the state, and orders ---- */

CREATE TABLE stripe.names (id text, name text);
CREATE FUNCTION stripe.named(line text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE n stripe.names;
BEGIN
    FOR n IN SELECT * FROM stripe.names LOOP line := replace(line, n.name, n.id); END LOOP;
    RETURN line;
END $$;
/* A row that says nothing is none. */
CREATE FUNCTION stripe.state() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(concat_ws(' ', n.name, s.plan, s.status, s.billing_period_start::date, s.billing_period_end::date, coalesce(s.expires_at::date::text, '-'),
                                         s.stripe_customer_id, s.stripe_subscription_id), ', ' ORDER BY n.name), '')
      FROM usage.user_subscriptions AS s JOIN stripe.names AS n ON n.id = s.user_id::text
     WHERE s.plan IS NOT NULL OR s.stripe_customer_id IS NOT NULL OR s.billing_period_start IS NOT NULL OR s.expires_at IS NOT NULL OR s.status <> 'active'
$$;
CREATE FUNCTION stripe.begin_anew() RETURNS void LANGUAGE sql AS $$ DELETE FROM usage.user_subscriptions; DELETE FROM usage.stripe_events; $$;
/* Applies them in this order, each perhaps again later; how it ends. */
CREATE FUNCTION stripe.apply(events jsonb, places int[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    place int;
    i int := 0;
BEGIN
    PERFORM stripe.begin_anew();
    FOREACH place IN ARRAY places LOOP
        PERFORM usage.apply_stripe_event(events -> place);
        i := i + 1;
        IF random() < 0.3 AND usage.apply_stripe_event(events -> places[1 + (random() * (i - 1))::int]) <> 'repeated' THEN
            RETURN 'an event was taken twice';
        END IF;
    END LOOP;
    RETURN stripe.state();
END $$;
CREATE FUNCTION stripe.orders(n int) RETURNS SETOF int[] LANGUAGE sql AS $$
    WITH RECURSIVE p (places) AS (
        SELECT '{}'::int[] UNION ALL SELECT p.places || i FROM p, generate_series(0, n - 1) AS i WHERE i <> ALL (p.places))
    SELECT places FROM p WHERE cardinality(places) = n
$$;
CREATE FUNCTION stripe.shuffled(n int) RETURNS int[] LANGUAGE sql VOLATILE AS $$ SELECT array_agg(i ORDER BY random()) FROM generate_series(0, n - 1) AS i $$;

CREATE FUNCTION stripe.check_sequences(extension text, every boolean) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    s stripe.sequences;
    events jsonb;
    n int;
    places int[];
    wrong text;
    tried int;
BEGIN
    FOR s IN SELECT * FROM stripe.sequences ORDER BY n LOOP
        events := stripe.named(s.events::text);
        n := jsonb_array_length(events);
        RETURN NEXT is(stripe.apply(events, ARRAY(SELECT generate_series(0, n - 1))), s.ends, format('%s: %s', extension, s.title));
        wrong := NULL;
        tried := 0;
        FOR places IN SELECT o FROM stripe.orders(n) AS o ORDER BY random() LIMIT CASE WHEN every THEN 300 ELSE 12 END LOOP
            tried := tried + 1;
            IF stripe.apply(events, places) <> s.ends THEN
                wrong := coalesce(wrong, format('%s ends in %s', places, stripe.state()));
            END IF;
        END LOOP;
        RETURN NEXT is(wrong, NULL, format('%s: %s, in %s orders', extension, s.title, tried));
    END LOOP;
END $$;

/* What nobody would send: few seconds, many contradictions. */
CREATE FUNCTION stripe.one_of(words text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT words[1 + floor(random() * cardinality(words))::int] $$;
CREATE FUNCTION stripe.any_event(id int) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    moment text := stripe.one_of('{03-01 00:00,03-01 00:01,03-02 00:00,04-01 00:00,04-01 01:00}');
    period text[] := CASE WHEN random() < 0.5 THEN stripe.month() ELSE stripe.next_month() END;
    sub    text := stripe.one_of('{sub_1,sub_2,sub_3}');
    customer text := CASE sub WHEN 'sub_3' THEN 'cus_2' ELSE 'cus_1' END;
    who    text := stripe.one_of('{ANN,BOB,nobody at all,NULL}');
BEGIN
    RETURN CASE WHEN random() < 0.6 THEN
        stripe.sub(id::text, stripe.one_of('{created,updated,updated,updated,deleted}'), moment, stripe.one_of('{active,active,active,trialing,past_due,unpaid,paused,canceled,incomplete,incomplete_expired}'), period,
                   stripe.one_of('{price_pro,price_team,price_late,price_what}'),
                   CASE WHEN random() < 0.5 THEN '{}'::jsonb ELSE jsonb_build_object('metadata', jsonb_build_object('user_id', NULLIF(who, 'NULL'))) END
                   || CASE WHEN random() < 0.3 THEN '{"cancel_at_period_end": true}'::jsonb ELSE '{}' END
                   || CASE WHEN random() < 0.2 THEN jsonb_build_object('start_date', stripe.at('02-01 00:00')) ELSE '{}' END, sub, customer, random() < 0.5)
        WHEN random() < 0.5 THEN stripe.invoice(id::text, stripe.one_of('{paid,payment_failed}'), moment, period, sub, customer, random() < 0.5)
        ELSE stripe.checkout(id::text, moment, NULLIF(who, 'NULL'), sub, customer) END;
END $$;
CREATE FUNCTION stripe.check_random(extension text, rounds int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    events jsonb;
    ends text;
    again text;
    said text := '';
    wrong text;
    place int;
BEGIN
    FOR round IN 1 .. rounds LOOP
        SELECT stripe.named(jsonb_agg(stripe.any_event(i))::text) INTO events FROM generate_series(1, 9) AS i;
        ends := stripe.apply(events, ARRAY(SELECT generate_series(0, 8)));
        again := stripe.apply(events, stripe.shuffled(9));
        IF again <> ends THEN
            wrong := coalesce(wrong, format('%s: %s, but %s', events, ends, again));
        END IF;
        -- and where a price is told about on the way
        DELETE FROM usage.stripe_prices WHERE price = 'price_late';
        PERFORM stripe.begin_anew();
        FOREACH place IN ARRAY stripe.shuffled(9) LOOP
            PERFORM usage.apply_stripe_event(events -> place);
            IF random() < 0.2 THEN PERFORM usage.set_stripe_price('price_late', 'enterprise'); END IF;
        END LOOP;
        PERFORM usage.set_stripe_price('price_late', 'enterprise');
        IF stripe.state() <> ends THEN
            wrong := coalesce(wrong, format('%s: %s, but with a price that was told late %s', events, ends, stripe.state()));
        END IF;
        said := said || ends;
    END LOOP;
    RETURN NEXT is(wrong, NULL, format('%s: %s random sequences end the same in any order', extension, rounds));
    RETURN NEXT ok(rounds < 20 OR (SELECT bool_and(said ~ word) FROM unnest('{pro,team,enterprise,active,trialing,past_due,unpaid,paused,cancelled,ANN,BOB,2026-05-01}'::text[]) AS word),
                   format('%s: in all kinds of states', extension));
END $$;

/* ---- what an event is answered, and what it leaves ---- */

CREATE FUNCTION stripe.answer(event jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN usage.apply_stripe_event(stripe.named(event::text)::jsonb);
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE FUNCTION stripe.user_row(who text) RETURNS text LANGUAGE sql AS $$
    SELECT s.plan || ' ' || s.status FROM usage.user_subscriptions AS s JOIN stripe.names AS n ON n.id = s.user_id::text WHERE n.name = who
$$;
CREATE FUNCTION stripe.set_plan(who text, plan text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT usage.set_user_plan(%L, %L)', stripe.named(who), plan);
END $$;

CREATE FUNCTION stripe.check_answers(extension text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    march text[] := stripe.month();
    april text[] := stripe.next_month();
    ann   jsonb := '{"metadata": {"user_id": "ANN"}}';
    t     text := extension || ': ';
    e     jsonb;
    rows  bigint;
BEGIN
    PERFORM stripe.begin_anew();
    DELETE FROM usage.stripe_prices WHERE price = 'price_late';

    -- a link that comes later
    RETURN NEXT is(stripe.answer(stripe.sub('1', 'created', '03-01 00:00', 'active', march)), 'waiting', t || 'a subscription that is nobody''s yet');
    RETURN NEXT is(stripe.answer(stripe.invoice('2', 'paid', '03-01 00:00', march)), 'waiting', t || 'and its invoice');
    RETURN NEXT is(stripe.answer(stripe.checkout('3', '03-01 00:00', 'no id of ours ' || repeat('x', 255))), 'waiting', t || 'a checkout that names what is no id');
    RETURN NEXT is(stripe.answer(stripe.checkout('4', '03-01 00:00', NULL)), 'waiting', t || 'or nobody');
    RETURN NEXT is((SELECT count(*) FROM usage.user_subscriptions), 0::bigint, t || 'give nobody a plan');
    RETURN NEXT is(stripe.answer(stripe.checkout('5', '03-01 00:00', 'ANN')), 'applied', t || 'the checkout that names him');
    RETURN NEXT is(stripe.user_row('ANN'), 'pro active', t || 'does');
    RETURN NEXT is(stripe.answer(stripe.checkout('5', '03-01 00:00', 'BOB')), 'repeated', t || 'an id that is known is repeated, whatever else it says');

    -- an admin's word holds until Stripe says something new
    PERFORM stripe.set_plan('ANN', 'enterprise');
    RETURN NEXT is(stripe.answer(stripe.sub('1', 'created', '03-01 00:00', 'active', march)), 'repeated', t || 'the first again');
    RETURN NEXT is(stripe.answer(stripe.sub('6', 'updated', '02-01 00:00', 'past_due', march)), 'unchanged', t || 'an older one');
    RETURN NEXT is(stripe.answer(stripe.sub('7', 'created', '03-02 00:00', 'incomplete', march, 'price_team', ann, 'sub_2')), 'waiting', t || 'another subscription, not begun');
    RETURN NEXT is(stripe.user_row('ANN'), 'enterprise active', t || 'an admin''s plan stays');
    rows := (SELECT count(*) FROM usage.usage_changes);
    RETURN NEXT is(stripe.answer(stripe.sub('8', 'updated', '03-03 00:00', 'active', march)), 'applied', t || 'a newer one');
    RETURN NEXT is(stripe.user_row('ANN'), 'pro active', t || 'replaces it');
    RETURN NEXT is((SELECT count(*) FROM usage.usage_changes) - rows, 1::bigint, t || 'and is in the history, once');

    -- a price that nobody knows
    RETURN NEXT is(stripe.answer(stripe.sub('10', 'created', '03-01 00:00', 'active', march, 'price_late', '{"metadata": {"user_id": "BOB"}}', 'sub_9', 'cus_9')), 'waiting', t || 'a price that is not known');
    RETURN NEXT is(stripe.user_row('BOB'), NULL, t || 'gives no plan');
    PERFORM usage.set_stripe_price('price_late', 'team');
    RETURN NEXT is(stripe.user_row('BOB'), 'team active', t || 'until it is known');
    PERFORM stripe.set_plan('BOB', 'pro');
    PERFORM usage.set_stripe_price('price_late', 'team');
    RETURN NEXT is(stripe.user_row('BOB'), 'pro active', t || 'the same again changes nothing');
    PERFORM usage.set_stripe_price('price_late', 'enterprise');
    RETURN NEXT is(stripe.user_row('BOB'), 'enterprise active', t || 'another plan for a price moves whoever pays it');
    RETURN NEXT is((SELECT count(*) FROM usage.usage_changes WHERE table_name = 'stripe_prices' AND new ->> 'plan' = 'enterprise' AND old ->> 'plan' = 'team'), 1::bigint, t || 'and is in the history');
    UPDATE usage.plans SET plan = 'crew' WHERE plan = 'team';
    RETURN NEXT is((SELECT plan FROM usage.stripe_prices WHERE price = 'price_team'), 'crew', t || 'a renamed plan keeps its prices');
    UPDATE usage.plans SET plan = 'team' WHERE plan = 'crew';
    RETURN NEXT throws_ok($q$SELECT usage.set_stripe_price('price_x', 'gold')$q$, 'UT004', NULL, t || 'no price for a plan that does not exist');

    -- what is ignored, and what is wrong
    rows := (SELECT count(*) FROM usage.stripe_events);
    RETURN NEXT is(string_agg(stripe.answer(v), ', '), 'ignored, ignored, ignored, ignored, ignored', t || 'what says nothing of a subscription')
      FROM unnest(ARRAY[stripe.event('20', 'customer.created', '03-01 00:00', '{"id": "cus_1"}'), stripe.event('21', 'nothing.known', '03-01 00:00', NULL),
                        stripe.event('22', 'checkout.session.completed', '03-01 00:00', '{"customer": "cus_1", "subscription": null, "mode": "payment", "client_reference_id": "ANN"}'),
                        stripe.event('23', 'invoice.paid', '03-01 00:00', '{"customer": "cus_1", "parent": null, "lines": {"data": []}}'),
                        stripe.event('24', 'checkout.session.completed', '03-01 00:00', '{"customer": null, "subscription": "sub_1"}')]) AS v;
    e := stripe.sub('30', 'updated', '03-09 00:00', 'unpaid', march);
    RETURN NEXT is(string_agg(format('%s: %s', v.what, stripe.answer(jsonb_set(e, v.path::text[], v.value::jsonb))), E'\n' ORDER BY v.what) FILTER (WHERE stripe.answer(jsonb_set(e, v.path::text[], v.value::jsonb)) NOT LIKE '22023 %'),
                   NULL, t || 'a bad value is 22023: ' || count(*))
      FROM (VALUES ('no id', '{id}', 'null'), ('empty id', '{id}', '""'), ('long id', '{id}', to_jsonb(repeat('x', 256))::text), ('id a number', '{id}', '7'), ('no type', '{type}', 'null'), ('type a list', '{type}', '["customer.subscription.updated"]'),
                   ('no created', '{created}', 'null'), ('created a text', '{created}', '"1772323200"'), ('created before 1970', '{created}', '-1'), ('created too late', '{created}', '253402300800'), ('created huge', '{created}', '1e400'),
                   ('no data', '{data}', 'null'), ('data a list', '{data}', '[]'), ('no object', '{data,object}', 'null'), ('object a text', '{data,object}', '"sub_1"'), ('object a list', '{data,object}', '[]'), ('object empty', '{data,object}', '{}'),
                   ('no customer', '{data,object,customer}', 'null'), ('customer a number', '{data,object,customer}', '7'), ('customer empty', '{data,object,customer}', '""'), ('customer a list', '{data,object,customer}', '["cus_1"]'),
                   ('no subscription', '{data,object,id}', 'null'), ('no status', '{data,object,status}', 'null'), ('unknown status', '{data,object,status}', '"Active"'), ('status a number', '{data,object,status}', '7'),
                   ('price a number', '{data,object,items,data,0,price}', '7'), ('price empty', '{data,object,items,data,0,price}', '{"id": ""}'),
                   ('end a text', '{data,object,cancel_at}', '"soon"'), ('end negative', '{data,object,cancel_at}', '-1'), ('period a text', '{data,object,items,data,0,current_period_end}', '"x"')) AS v (what, path, value);
    RETURN QUERY SELECT is(stripe.answer(v), '22023 argument "event" must be an event of Stripe, with "id" and "type"', t || v::text)
      FROM unnest('{"{}",[],7,"null","\"evt_1\"","[{\"id\": \"evt_1\", \"type\": \"invoice.paid\"}]"}'::jsonb[]) AS v;
    RETURN NEXT is((SELECT count(*) FROM usage.stripe_events), rows, t || 'none of them is kept');
    RETURN NEXT is(stripe.user_row('ANN'), 'pro active', t || 'or changes anything');
    RETURN NEXT throws_ok('SELECT usage.apply_stripe_event(NULL)', '22004', 'argument "event" must not be null', t || 'an event that is NULL');

    -- odd, but good
    RETURN NEXT is(string_agg(stripe.answer(v), ', '), 'unchanged, unchanged, unchanged, unchanged, unchanged, unchanged', t || 'odd shapes of what is older')
      FROM unnest(ARRAY[stripe.sub('40', 'updated', '02-01 00:00', 'active', march, more => '{"items": null}'), stripe.sub('41', 'updated', '02-01 00:00', 'active', march, more => '{"items": {"data": [7, null, {}, []]}}'),
                        stripe.sub('42', 'updated', '02-01 00:00', 'active', '{04-01 00:00,03-01 00:00}'), stripe.sub('43', 'updated', '02-01 00:00', 'active', march, more => '{"metadata": []}'),
                        stripe.sub('44', 'updated', '02-01 00:00', 'active', march, more => '{"customer": {"id": "cus_1", "object": "customer"}}'), stripe.invoice('45', 'paid', '02-01 00:00', NULL)]) AS v;
    RETURN NEXT is(stripe.answer(stripe.sub('50', 'updated', '03-09 00:00', 'active', '{04-01 00:00,03-01 00:00}')), 'applied', t || 'a period that ends before it begins');
    RETURN NEXT is(stripe.state(), 'ANN pro active - cus_1 sub_1, BOB enterprise active 2026-03-01 2026-04-01 - cus_9 sub_9', t || 'is none');

    -- of each no more than is needed
    RETURN NEXT is((SELECT count(*) FROM usage.stripe_events AS k WHERE k::text LIKE '%example.com%'), 0::bigint, t || 'no address is kept');
END $$;

/* Of a user who is forgotten nothing stays, and of others all. */
CREATE FUNCTION stripe.check_forgetting(extension text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    t     text := extension || ': ';
    march text[] := stripe.month();
BEGIN
    PERFORM stripe.begin_anew();
    PERFORM stripe.answer(e) FROM unnest(ARRAY[
        stripe.sub('1', 'created', '03-01 00:00', 'active', march), stripe.checkout('2', '03-01 00:00', 'ANN'), stripe.invoice('3', 'paid', '03-01 00:00', march),  -- his
        stripe.sub('4', 'created', '03-01 00:00', 'active', march, more => '{"metadata": {"user_id": "ANN"}}', sub => 'sub_2', customer => 'cus_2'),  -- paid by one who pays for Bob too
        stripe.sub('5', 'created', '03-01 00:00', 'active', march, more => '{"metadata": {"user_id": "BOB"}}', sub => 'sub_3', customer => 'cus_2'), stripe.invoice('6', 'paid', '03-01 00:00', march, 'sub_3', 'cus_2'),
        stripe.sub('7', 'created', '03-01 00:00', 'active', march, sub => 'sub_4', customer => 'cus_3')]) AS e;  -- nobody's yet
    EXECUTE format('SELECT usage.erase_user(%L)', stripe.named('ANN'));
    RETURN NEXT is((SELECT string_agg(id, ' ' ORDER BY id) FROM usage.stripe_events), 'evt_5 evt_6 evt_7', t || 'what was known of a user who is erased is gone');
    RETURN NEXT is(stripe.state(), 'BOB pro active 2026-03-01 2026-04-01 - cus_2 sub_3', t || 'and nothing of others');
END $$;

/* ---- uses, as meter events ---- */

CREATE FUNCTION stripe.check_meters(extension text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    t     text := extension || ': ';
    ids   bigint[];
BEGIN
    PERFORM stripe.begin_anew(), usage.define_usage_type('call');
    PERFORM stripe.answer(stripe.sub('1', 'created', '03-01 00:00', 'active', stripe.month(), more => '{"metadata": {"user_id": "ANN"}}'));
    EXECUTE replace(replace($q$
        SELECT ARRAY[usage.track_usage('ANN', 'call', 2.500, occurred_at => '2026-03-10 11:00:00.9+00'), usage.track_usage('ANN', 'call', 7, status => 'failed'), usage.track_usage('BOB', 'call', 9),
                     usage.track_usage('ANN', 'call', 0), usage.track_usage('ANN', 'call', 4)]$q$, 'ANN', stripe.named('ANN')), 'BOB', stripe.named('BOB')) INTO ids;
    EXECUTE format('SELECT usage.reverse_usage(%L, %s, 1), usage.reverse_usage(%1$L, %3$s, 7)', stripe.named('ANN'), ids[5], ids[2]);
    RETURN NEXT results_eq('SELECT event_name, identifier, "timestamp", payload FROM usage.stripe_meter_events(''2026-01-01'')',
        format($q$VALUES ('call', '%1$s', %2$s::bigint, '{"stripe_customer_id": "cus_1", "value": "2.5"}'::jsonb), ('call', '%3$s', %4$s, '{"stripe_customer_id": "cus_1", "value": "4"}'),
                         ('call', '%5$s', %4$s, '{"stripe_customer_id": "cus_1", "value": "-1"}')$q$, ids[1], stripe.at('03-10 11:00'), ids[5], stripe.at('03-10 12:00'), ids[5] + 1), t || 'what succeeded of who has a customer, and what was taken back');
    RETURN NEXT is((SELECT array_agg(p.id ORDER BY p.id) FROM usage.stripe_meter_events('2026-01-01', max_rows => 2) AS f, LATERAL usage.stripe_meter_events(f.recorded_at, f.id) AS p WHERE f.id = ids[5]),
                   ARRAY[ids[5] + 1], t || 'the next page begins after the last row of one');
    RETURN NEXT is((SELECT array_agg(p.id ORDER BY p.id) FROM usage.stripe_meter_events('2026-01-01') AS f, LATERAL usage.stripe_meter_events(f.recorded_at) AS p WHERE f.id = ids[5]),
                   ARRAY[ids[5], ids[5] + 1], t || 'an instant is in the answer');
END $$;

CREATE FUNCTION stripe.check(extension text, ann text, bob text, every boolean, rounds int) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    CREATE SCHEMA usage;
    EXECUTE format('CREATE EXTENSION %I SCHEMA usage', extension);
    DELETE FROM stripe.names;
    INSERT INTO stripe.names VALUES (ann, 'ANN'), (bob, 'BOB');
    PERFORM usage.install_default_plans(), usage.set_stripe_price('price_pro', 'pro'), usage.set_stripe_price('price_team', 'team'), usage.set_stripe_price('price_late', 'enterprise');
    RETURN QUERY SELECT stripe.check_random(extension, rounds);
    RETURN QUERY SELECT stripe.check_sequences(extension, every);
    RETURN QUERY SELECT stripe.check_answers(extension);
    RETURN QUERY SELECT stripe.check_forgetting(extension);
    RETURN QUERY SELECT stripe.check_meters(extension);
    RETURN NEXT is_empty('SELECT * FROM usage.usage_security_check()', extension || ': nothing is open');
    EXECUTE format('DROP EXTENSION %I', extension);
    DROP SCHEMA usage;
END $$;
SELECT stripe.check('usage_tracking', 'aaaaaaaa-0000-4000-8000-00000000000a', 'bbbbbbbb-0000-4000-8000-00000000000b', true, 60);
SELECT stripe.check('usage_tracking_text', 'ann', 'bob', false, 10);
SELECT stripe.check('usage_tracking_bigint', '4711', '-4712', false, 10);
SELECT * FROM finish();
ROLLBACK;
