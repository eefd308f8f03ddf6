/* privacy: after a user was anonymized or erased, nothing of ours names him.
 *
 * Tables and partitions come from the catalog, and a user is looked for in the
 * text of whole rows.  Before, every table that can name a user must name this
 * one: a table that is new and not filled here fails, and so does one that
 * _forget_user() does not know.  Another user's rows stay as they are, and so do
 * all totals.
 *
 * For each of the three types of user ids, and each way of leaving. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SELECT no_plan();
SET client_min_messages = warning;
SET usage_tracking.clock = '2026-03-10 12:00+00';
SET TimeZone = 'UTC';
SET LOCAL check_function_bodies = off;
CREATE SCHEMA privacy;
CREATE TABLE privacy.before (what text, value text);

/* Every table of the extension, partitions one by one. */
CREATE FUNCTION privacy.tables() RETURNS SETOF regclass LANGUAGE sql AS $$
    SELECT c.oid::regclass FROM pg_depend AS d JOIN pg_extension AS x ON d.refobjid = x.oid AND d.refclassid = 'pg_extension'::regclass
      JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
     WHERE x.extname LIKE 'usage_tracking%' AND d.deptype = 'e' AND c.relkind = 'r'
     UNION
    SELECT relid FROM unnest('{usage.usage_events,usage.usage_events_moving}'::regclass[]) AS parent, pg_partition_tree(parent) WHERE isleaf AND relid <> ALL ('{usage.usage_events,usage.usage_events_moving}'::regclass[])
$$;
CREATE FUNCTION privacy.traces(who text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    relation regclass;
    found boolean;
BEGIN
    FOR relation IN SELECT privacy.tables() LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t WHERE strpos(t::text, $1) > 0)', relation) INTO found USING who;
        IF found THEN RETURN NEXT relation::text; END IF;
    END LOOP;
END $$;
/* Which tables have a column for it; April is ahead of its time. */
CREATE FUNCTION privacy.can_name_users() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT t::text FROM privacy.tables() AS t WHERE EXISTS (SELECT FROM pg_attribute WHERE attrelid = t AND attname = 'user_id')
     AND t::text !~ '_2026_04$'
$$;
CREATE FUNCTION privacy.rows_of(who text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN SELECT privacy.tables() LOOP
        RETURN QUERY EXECUTE format('SELECT %L || t::text FROM %s AS t WHERE strpos(t::text, $1) > 0', relation, relation) USING who;
    END LOOP;
END $$;
CREATE FUNCTION privacy.totals() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', tableoid::regclass, usage_type, status, occurred_at, count(*), sum(quantity), sum(tokens), sum(cost), sum(corrected_events), count(corrects))
      FROM usage.usage_events GROUP BY tableoid, usage_type, status, occurred_at
     UNION ALL SELECT concat_ws(' ', 'model', provider, model, service_tier, status, sum(cost), sum(input_cost), sum(output_cost), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
                                count(price_id), max(price_id)) FROM usage.usage_events GROUP BY provider, model, service_tier, status
     UNION ALL SELECT concat_ws(' ', usage_type, status, limit_id, month, events, quantity, tokens, cost) FROM usage.usage_carried
     UNION ALL SELECT concat_ws(' ', day, usage_type, status, is_final, sum(events), sum(quantity), sum(tokens), sum(cost)) FROM usage.usage_aggregations GROUP BY day, usage_type, status, is_final
     UNION ALL SELECT d::text FROM usage.usage_daily_totals AS d
     UNION ALL SELECT concat_ws(' ', limit_id, window_start, window_end, used) FROM usage._counted_usage()
     UNION ALL SELECT concat_ws(' ', id, action, amount, balance_after, transaction_type, effective_at, refunds, grants, amounts) FROM usage.credit_ledger
     UNION ALL SELECT concat_ws(' ', id, amount, remaining, expires_at) FROM usage.credit_grants
     UNION ALL SELECT concat_ws(' ', owed, earned, spent) FROM usage.credit_accounts
     UNION ALL SELECT r::text FROM usage.reconcile_usage() AS r
$$;

/* Everything that can be stored about one user, his id in every text of it. */
CREATE FUNCTION privacy.live(id anyelement) RETURNS void LANGUAGE plpgsql SET search_path = usage, public AS $$
DECLARE
    own text := 'of ' || id;
    event bigint;
    hold bigint;
BEGIN
    event := (consume_usage(id, 'video', 2, 10, 0.5, 'key ' || own, own, own, own, to_jsonb(own))).id;
    PERFORM reverse_usage(id, event, 1, own), adjust_usage(id, 'ever', 7, reason => own),
            track_usage(id, 'video', 3, status => 'failed', duration_ms => 7, error_message => own, parent_resource_id => own, occurred_at => '2026-02-20'),
            track_usage(id, 'video', 99), set_user_limit(id, 'daily', 4, reason => own), set_user_plan(id, 'pro'), grant_role(id, 'support'),
            reserve_usage(id, 'video', idempotency_key => 'hold ' || own);
    PERFORM _raise_unusual_use(id, 'clip', '2026-03-01', 1, 0.5);
    PERFORM track_api_usage(id, 'clip', 'acme', 'm1', own, own, 7, 8, cache_read_tokens => 9, status => 'failed', error_message => own, campaign_id => own,
                            ip => '192.0.2.77', user_agent => own, error_code => own, resource_id => own, metadata => to_jsonb(own)),
            track_api_usage(id, 'clip', 'acme', 'm2', own, own, 7, ip => '2001:db8::77', user_agent => own, campaign_id => own),
            define_campaign(id, own, own, 77, own);
    hold := (reserve_usage(id, 'clip')).id;
    PERFORM commit_usage(id, hold, metadata => to_jsonb(own));
    PERFORM set_usage_level(id, 'places', 3), acquire_lease(id, 'places', idempotency_key => 'lease ' || own), acquire_lease(id, 'places', NULL);
    PERFORM set_stripe_price('price', 'pro'), apply_stripe_event(jsonb_build_object('id', 'evt ' || own, 'type', 'customer.subscription.created', 'created', 1772323200, 'data', jsonb_build_object('object', jsonb_build_object(
                'id', 'sub ' || own, 'customer', 'cus ' || own, 'status', 'active', 'metadata', jsonb_build_object('user_id', id, 'name', own), 'items', '{"data": [{"price": "price"}]}'::jsonb)))),
            apply_stripe_event(jsonb_build_object('id', 'inv ' || own, 'type', 'invoice.paid', 'created', 1772323200, 'data', jsonb_build_object('object', jsonb_build_object('subscription', 'sub ' || own, 'customer', 'cus ' || own))));
    hold := (start_run(id, 'report', resource_type => own, resource_id => own, configuration_id => own, configuration_snapshot => to_jsonb(own))).id;
    PERFORM record_delivery(id, hold, false, 500, own, own), update_run(id, hold, to_jsonb(own));
    PERFORM grant_credits(id, 10, 'purchase', own, description => own, metadata => to_jsonb(own));
    PERFORM refund_credits(id, (spend_credits(id, 4, own, own, to_jsonb(own))).id, 1, own, own, to_jsonb(own)), set_credit_overdraft(id, 7);
    UPDATE user_subscriptions SET stripe_customer_id = own, stripe_subscription_id = own, metadata = to_jsonb(own) WHERE user_id = id;
    INSERT INTO usage_imports (user_id, usage_type, occurred_at, metadata) VALUES (id, 'clip', '2025-01-01', to_jsonb(own));
    INSERT INTO usage_carried VALUES (id, 'clip', 'success', 0, '2025-01-01', 1, 2, 3, 4);
    INSERT INTO usage_aggregations VALUES (id, '2025-01-01', 'clip', '', '', '', 'success', true, 1, 2, 3, 0, 0, 4, 0, 5, 1, 5);
END $$;

CREATE FUNCTION privacy.prepare(extension text, gone anyelement, other anyelement) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CREATE SCHEMA usage;
    EXECUTE format('CREATE EXTENSION %I SCHEMA usage', extension);
    EXECUTE format('CREATE TABLE public.people (id %s PRIMARY KEY, email text)', pg_typeof(gone));
    INSERT INTO public.people VALUES (gone, 'gone@example.com'), (other, 'other@example.com');
    INSERT INTO usage.model_prices (provider, model, prices, valid_from) VALUES ('acme', 'm1', '{"input": 0.5, "output": 0.25}', '2020-01-01');
    PERFORM usage.install_default_plans(), usage.create_usage_partition('2026-02-01'), usage.define_usage_type('clip'), usage.define_usage_type('report'),
            usage.define_usage_limit('daily', 'video', 50), usage.define_usage_limit('places', 'video', 50, 'gauge'), usage.define_usage_limit('ever', 'video', 50, 'lifetime', measure => 'events', statuses => '{success,failed}');
    PERFORM privacy.live(gone), privacy.live(other);
    INSERT INTO usage.model_prices (provider, model, prices, valid_from) VALUES ('acme', 'm2', '{"input": 2}', '2020-01-01');  -- too late
    PERFORM usage.recost_usage('2026-03-01', '2026-04-01');
    UPDATE usage.user_roles SET granted_by = gone WHERE user_id = other;
    PERFORM usage.refresh_usage_aggregations();
    PERFORM usage._copy_default_rows('infinity');  -- half way to a partition
END $$;

/* In one of three ways. */
CREATE FUNCTION privacy.leave(how text, gone anyelement) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF how = 'erase_user' THEN
        PERFORM usage.erase_user(gone);
        RETURN;
    END IF;
    DELETE FROM public.people WHERE id = gone;
    FOR round IN 1 .. 3 LOOP
        PERFORM usage.usage_maintenance(600);
    END LOOP;
END $$;

CREATE FUNCTION privacy.check(extension text, how text, gone anyelement, other anyelement, looks text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    title text := format('%s, %s', extension, how);
    before text;
BEGIN
    PERFORM privacy.prepare(extension, gone, other);
    IF how <> 'erase_user' THEN
        PERFORM usage.attach_users('public.people', on_delete => how);
    END IF;
    INSERT INTO usage.deleted_users VALUES (gone, 'anonymize') ON CONFLICT DO NOTHING;
    RETURN NEXT set_eq('SELECT privacy.traces(''' || gone || ''')', 'SELECT privacy.can_name_users()', title || ': before, every table that can names him');
    RETURN NEXT is(jsonb_array_length(usage.export_user_data(gone) -> 'usage_events'), 9, title || ': before, the export shows his events');
    RETURN NEXT is((SELECT concat_ws(' ', count(*), count(e ->> 'ip'), count(e ->> 'user_agent'), count(e ->> 'request_id'), count(e ->> 'endpoint'), count(e ->> 'error_code'), count(e ->> 'campaign_id'),
                                     sum((e ->> 'cost')::numeric)) FROM jsonb_array_elements(usage.export_user_data(gone) -> 'usage_events') AS e WHERE e ->> 'provider' = 'acme'),
                   '3 2 2 2 2 1 3 24', title || ': before, the export shows his calls whole');
    RETURN NEXT is((SELECT array_agg(c ->> 'name') FROM jsonb_array_elements(usage.export_user_data(gone) -> 'campaigns') AS c), ARRAY['of ' || gone], title || ': before, the export shows his campaigns');
    RETURN NEXT is((SELECT array_agg(r ->> 'configuration_id') FROM jsonb_array_elements(usage.export_user_data(gone) -> 'usage_runs') AS r), ARRAY['of ' || gone], title || ': before, the export shows his runs');
    RETURN NEXT is((SELECT array_agg(l ->> 'reference_id' || ' ' || (l ->> 'amount') ORDER BY l -> 'id') FROM jsonb_array_elements(usage.export_user_data(gone) -> 'credit_ledger') AS l),
                   ARRAY['of ' || gone || ' 10', 'of ' || gone || ' -4', 'of ' || gone || ' 1'], title || ': before, the export shows his credits');
    RETURN NEXT is(strpos(usage.export_user_data(gone)::text, other::text), 0, title || ': and nobody else');
    DELETE FROM usage.deleted_users;

    UPDATE usage.user_roles SET granted_by = NULL WHERE user_id = other;  -- what is right to change of the other user's
    CREATE TEMP TABLE other_rows AS SELECT row FROM privacy.rows_of(other::text) AS row WHERE row !~ '^usage.usage_(events_(default|2026_03)|reservations|keys)';
    UPDATE usage.user_roles SET granted_by = gone WHERE user_id = other;
    CREATE TEMP TABLE other_calls AS SELECT user_id, model, count(*) AS calls, sum(total_cost) AS cost, sum(input_tokens) AS tokens FROM usage.api_usage WHERE user_id = other GROUP BY user_id, model;
    SELECT count(*) || ' ' || sum(total_cost) INTO before FROM usage.api_usage WHERE user_id = gone;
    CREATE TEMP TABLE totals AS SELECT regexp_replace(total, 'usage.usage_events_\w+', '') AS total FROM privacy.totals() AS total;
    PERFORM privacy.leave(how, gone);

    RETURN NEXT is_empty('SELECT privacy.traces(''' || gone || ''')', title || ': after, none does');
    RETURN NEXT bag_eq('SELECT regexp_replace(total, ''usage.usage_events_\w+'', '''') FROM privacy.totals() AS total', 'TABLE totals', title || ': totals are as they were');
    RETURN NEXT bag_eq('SELECT row FROM privacy.rows_of(''' || other || ''') AS row WHERE row !~ ''^usage.usage_(events_(default|2026_03)|reservations|keys)''', 'TABLE other_rows',
                       title || ': another user''s rows are as they were');
    RETURN NEXT is(jsonb_array_length(usage.export_user_data(other) -> 'usage_events'), 9, title || ': his events too');
    RETURN NEXT is((SELECT count(*) FROM jsonb_each(usage.export_user_data(gone)) WHERE value <> '[]' AND key <> 'user_id'), 0::bigint, title || ': the export is empty');
    RETURN NEXT is((SELECT count(DISTINCT user_id) || ' ' || bool_and(user_id::text ~ looks) FROM (SELECT user_id FROM usage.usage_events WHERE user_id <> other
                     UNION ALL SELECT user_id FROM usage.usage_counters WHERE user_id <> other UNION ALL SELECT user_id FROM usage.usage_carried WHERE user_id <> other
                     UNION ALL SELECT user_id FROM usage.credit_ledger WHERE user_id <> other UNION ALL SELECT user_id FROM usage.credit_accounts WHERE user_id <> other
                     UNION ALL SELECT user_id FROM usage.usage_aggregations WHERE user_id <> other) AS u),
                   '1 true', title || ': his totals stand under one id that is nobody''s');
    RETURN NEXT is((SELECT concat_ws(' ', count(event_subtype), count(error_message), count(resource_type), count(resource_id), count(parent_resource_id), count(metadata), count(reason),
                                     count(ip) + count(user_agent) + count(request_id) + count(endpoint) + count(error_code) + count(campaign_id),
                                     count(duration_ms) + count(overage)) FROM usage.usage_events WHERE user_id <> other),
                   '0 0 0 0 0 0 0 0 ' || CASE how WHEN 'anonymize' THEN 2 ELSE 0 END, title || ': without what he wrote');
    RETURN NEXT is((SELECT concat_ws(' ', count(*), count(description), count(reference_id), count(metadata), count(DISTINCT user_id), sum(amount)) FROM usage.credit_ledger WHERE user_id <> other),
                   '3 0 0 0 1 7', title || ': his credits neither');
    RETURN NEXT is((SELECT count(*) FROM usage.campaigns WHERE user_id <> other), 0::bigint, title || ': and without campaigns');
    RETURN NEXT is((SELECT sum(duration_count) FROM usage.usage_aggregations WHERE user_id <> other), CASE how WHEN 'anonymize' THEN 2 ELSE 0 END::numeric,
                   title || ': and where he is erased, without how long it took');
    RETURN NEXT set_eq('SELECT user_id, model, count(*) AS calls, sum(total_cost) AS cost, sum(input_tokens) AS tokens FROM usage.api_usage GROUP BY user_id, model', 'TABLE other_calls', title || ': calls are shown of users who are known');
    RETURN NEXT is((SELECT count(*) || ' ' || sum(c.total_cost) FROM usage.usage_carried AS u, LATERAL usage._calls_of_user(u.user_id) AS c WHERE u.user_id <> other), before, title || ': calls cost what they did, under the id that is nobody''s');

    DROP TABLE other_rows, other_calls, totals, public.people CASCADE;
    EXECUTE format('DROP EXTENSION %I', extension);
    DROP SCHEMA usage;
END $$;

SELECT privacy.check('usage_tracking', how, '0d0d0d0d-0000-4000-8000-00000000000a'::uuid, '0e0e0e0e-0000-4000-8000-00000000000b'::uuid, '^[0-9a-f]{8}-[0-9a-f]{4}-4')
  FROM unnest('{anonymize,erase,erase_user}'::text[]) AS how;
SELECT privacy.check('usage_tracking_text', how, 'ann%_$1|7f3c'::text, 'bob%_$1|7f3c'::text, '^anonymous:[0-9a-f]{32}$')
  FROM unnest('{anonymize,erase,erase_user}'::text[]) AS how;
SELECT privacy.check('usage_tracking_bigint', how, 8765432109876::bigint, 7654321098765::bigint, '^-[0-9]{10,19}$')
  FROM unnest('{anonymize,erase,erase_user}'::text[]) AS how;
SELECT * FROM finish();
ROLLBACK;
