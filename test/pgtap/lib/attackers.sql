/* attackers.sql is the stage of the attacks_*.sql tests: include it after BEGIN.
 *
 * A database as Supabase makes it: default privileges that give every new
 * table, sequence and function away, set before the extension is installed and
 * still in force when a partition is made later.  A victim (B) with data in
 * every table, all of it marked "secret"; four attackers:
 *
 *   anon              nothing was granted to it, it has no identity
 *   authenticated     has access; user A by a token
 *   regress_ut_app    has access; user A by usage_tracking.user_id
 *   regress_ut_guest  has access and no identity: somebody granted too much
 *
 * Objects come from the catalog, so a new one is attacked without an edit here.
 * One TAP line stands for one attack by one attacker on all of them; it lists
 * what deviates.  A statement deviates if its SQLSTATE is not the expected one,
 * if anything of the extension changed (rows, sequences, rights, definitions),
 * or if an error or a row tells something about B. */
\set a '''aaaaaaaa-0000-4000-8000-00000000000a'''
\set b '''bbbbbbbb-0000-4000-8000-00000000000b'''

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY '{anon,authenticated,service_role,regress_ut_app,regress_ut_guest}'::text[] LOOP
        IF to_regrole(wanted) IS NULL THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
    END LOOP;
END
$$;

\o /dev/null
CREATE SCHEMA usage;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC, anon, authenticated, service_role, regress_ut_app;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC, anon, authenticated, service_role, regress_ut_app;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC, anon, authenticated, service_role, regress_ut_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA usage GRANT ALL ON TABLES TO anon, authenticated, service_role, regress_ut_app WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA usage GRANT ALL ON SEQUENCES TO anon, authenticated, service_role, regress_ut_app WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA usage GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role, regress_ut_app WITH GRANT OPTION;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.create_usage_partition(current_date);
SELECT usage.create_usage_partition((current_date + interval '7 months')::date);
SELECT usage.grant_usage_access('authenticated');
SELECT usage.grant_usage_access('regress_ut_app');
SELECT usage.grant_usage_access('regress_ut_guest');
SELECT usage.grant_usage_access('service_role', server => true);

/* What there is to take: B's rows in every table, and A's own. */
CREATE SCHEMA app;
CREATE TABLE app.users (id uuid PRIMARY KEY, email text);
INSERT INTO app.users VALUES (:a, 'a@example.com'), (:b, 'secret.b@example.com');
SELECT usage.attach_users('app.users');
SELECT usage.define_usage_limit('calls_daily', 'call', 10);
SELECT usage.set_plan_limit('pro', 'calls_daily', 20);
SELECT usage.set_temporary_limit('calls_daily', 25, '2020-01-01', '2020-02-01', 'pro', 'secret reason');
SELECT usage.set_user_plan(:b, 'pro');
SELECT usage.set_stripe_price('price_secret', 'pro'), usage.apply_stripe_event(format('{"id": "evt_secret", "type": "customer.subscription.created", "created": 1772323200, "data": {"object": {"id": "sub_secret",
    "customer": "cus_secret", "status": "active", "metadata": {"user_id": %s}, "items": {"data": [{"price": "price_secret"}]}}}}', to_json(:b::text))::jsonb);
UPDATE usage.user_subscriptions SET stripe_customer_id = 'cus_secret', metadata = '{"note": "secret"}' WHERE user_id = :b;
SELECT usage.set_user_limit(:b, 'calls_daily', 7, reason => 'secret reason');
SELECT usage.set_user_limit(:a, 'calls_daily', 5);
SELECT usage.consume_usage(:a, 'call', 2, idempotency_key => 'key-of-a');
SELECT usage.consume_usage(:b, 'call', 3, idempotency_key => 'secret-key', resource_id => 'secret resource',
                           metadata => '{"note": "secret"}');
SELECT usage.grant_role(:b, 'admin');
INSERT INTO usage.deleted_users VALUES (:b, 'anonymize');
SELECT usage.define_usage_type('film');
SELECT usage.reserve_usage(:a, 'film', 2, idempotency_key => 'hold-of-a');
SELECT usage.reserve_usage(:b, 'film', 3, idempotency_key => 'secret-hold');
SELECT usage.define_usage_limit('films_kept', 'film', 100, 'gauge');
SELECT usage.set_usage_level(id, 'films_kept', 7), usage.acquire_lease(id, 'films_kept') FROM unnest(ARRAY[:a, :b]::uuid[]) AS id;
SELECT usage.define_usage_type('report');
SELECT usage.update_run(:a, (usage.start_run(:a, 'report')).id, '{"commits_processed": 1}');
SELECT usage.start_run(:b, 'report', resource_id => 'secret resource', configuration_id => 'secret configuration', configuration_snapshot => '{"note": "secret"}');
SELECT usage.record_delivery(:b, r.id, false, 500, 'secret answer', 'secret delivery'), usage.fail_run(:b, r.id, 'secret error', 'secret code', cost => 666666)
  FROM usage.usage_runs AS r WHERE r.user_id = :b;
SELECT usage.start_run(:b, 'report', resource_id => 'secret resource');
SELECT usage.reverse_usage(:b, usage.track_usage(:b, 'film', 4, metadata => '{"note": "secret"}'), 1, 'secret reason');
SELECT usage._raise_unusual_use(:a, 'film', '2026-01-01', 2, 1), usage._raise_unusual_use(:b, 'film', '2026-01-01', 31337, 1),
       usage.define_usage_alert('calls_daily', 90, description => 'secret reason');
INSERT INTO usage.model_prices (provider, model, prices, valid_from, source)
VALUES ('acme', 'm1', '{"input": 0.5, "output": 0.25}', '2020-01-01 00:00+00', 'secret list'), ('acme', 'private', '{"input": 0.125}', '2020-01-01 00:00+00', 'secret list');
INSERT INTO usage.model_aliases VALUES ('acme', 'secret alias', 'acme', 'm1');
SELECT usage.define_usage_type('api.content');
SELECT usage.define_campaign(:a, 'spring', 'Spring', 100), usage.define_campaign(:b, 'spring', 'secret name', 666666, 'secret description');
SELECT usage.track_api_usage(:a, 'api.content', 'acme', 'm1', input_tokens => 4, output_tokens => 4, campaign_id => 'spring', ip => '192.0.2.1', request_id => 'r1');
SELECT usage.track_api_usage(:b, 'api.content', 'acme', 'm1', 'secret endpoint', 'secret request', 666666, 666666, 666666, 666666, status => 'failed',
    error_message => 'secret error', campaign_id => 'secret campaign', ip => '192.0.2.66', user_agent => 'secret agent', error_code => 'secret code',
    resource_id => 'secret resource', metadata => '{"note": "secret"}');
SELECT usage.set_credit_cost('film', 1), usage.set_credit_refill('pro', 1000);
SELECT usage.grant_credits(:a, 10, 'purchase', 'order-of-a', '2100-01-01'), usage.spend_credits(:a, 4), usage.set_credit_overdraft(:b, 666666),
       usage.grant_credits(:b, 666666, 'purchase', 'secret-order', '2100-01-01', description => 'secret description', metadata => '{"note": "secret"}');
SELECT usage.spend_credits(:b, 3, 'secret-spend', 'secret description');
INSERT INTO usage.usage_user_months VALUES (:b, 'film', '2020-01-01', 1, 0, 1, 0, 0, 0, 1, 1);
INSERT INTO usage.usage_aggregations VALUES (:b, '2020-01-01', 'film', '', '', '', 'success', true, 1, 1, 0, 0, 0, 0, 0, 0, 0);
INSERT INTO usage.usage_imports (user_id, usage_type, resource_id, occurred_at) VALUES (:b, 'film', 'secret resource', '2020-01-01 00:00+00');
INSERT INTO usage.usage_carried VALUES (:b, 'film', 'success', 0, '2020-01-01 00:00+00', 1, 1, 0, 0);

/* The attackers' own workshop; pgTAP and the functions below run as superuser. */
CREATE SCHEMA workshop;
GRANT ALL ON SCHEMA workshop TO PUBLIC;
CREATE SCHEMA attack;
CREATE TABLE attack.attackers (role name PRIMARY KEY, is_user boolean, claims text, user_id text);
INSERT INTO attack.attackers VALUES
    ('anon',             false, '{"role": "anon"}', ''),
    ('authenticated',    true,  '{"role": "authenticated", "sub": "aaaaaaaa-0000-4000-8000-00000000000a"}', ''),
    ('regress_ut_app',   true,  '', 'aaaaaaaa-0000-4000-8000-00000000000a'),
    ('regress_ut_guest', false, '', '');

/* Members of the extension, and the partitions made since; of each the columns
 * that users read, his own rows each. */
CREATE FUNCTION attack.relations(OUT relation regclass, OUT kind "char", OUT first_column text, OUT key text, OUT readable text[])
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT c.oid::regclass, c.relkind,
           (SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = c.oid AND attnum = 1),
           (SELECT string_agg(quote_ident(attname), ', ') FROM pg_index JOIN pg_attribute ON attrelid = indrelid
             WHERE indrelid = c.oid AND indisprimary AND attnum = ANY (indkey)),
           CASE WHEN r.relation IS NULL THEN '{}'
                ELSE COALESCE(r.columns, ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)) END
      FROM pg_class c LEFT JOIN usage._readable() AS r ON r.relation = c.oid
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
       AND (c.oid IN (SELECT objid FROM pg_depend JOIN pg_extension x ON refobjid = x.oid
                       WHERE extname = 'usage_tracking' AND deptype = 'e' AND classid = 'pg_class'::regclass)
            OR c.oid IN (SELECT relid FROM pg_partition_tree('usage.usage_events')))
     ORDER BY c.oid::regclass::text
$$;
CREATE FUNCTION attack.functions(OUT function regprocedure, OUT name name, OUT of_user boolean) RETURNS SETOF record
LANGUAGE sql AS $$
    SELECT p.oid::regprocedure, p.proname, COALESCE('user_id' = ANY (p.proargnames[1:p.pronargs]), false)
      FROM pg_proc p JOIN pg_depend ON objid = p.oid AND classid = 'pg_proc'::regclass AND deptype = 'e'
      JOIN pg_extension x ON refobjid = x.oid AND extname = 'usage_tracking'
     ORDER BY p.oid::regprocedure::text
$$;

/* All there is to change: rows, sequences, rights, definitions.  With a user's
 * id: only the rows that do not name him. */
CREATE FUNCTION attack.fingerprint(but_of text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    one   record;
    part  text;
    whole text := '';
BEGIN
    FOR one IN SELECT * FROM attack.relations() WHERE kind = 'r' OR (kind = 'S' AND but_of = '') LOOP
        EXECUTE format('SELECT md5(string_agg(t::text, '';'' ORDER BY t::text)) FROM (SELECT * FROM %s) t'
                       ' WHERE %L = '''' OR strpos(t::text, %2$L) = 0', one.relation, but_of) INTO part;
        whole := whole || one.relation || ' ' || COALESCE(part, 'empty') || E'\n';
    END LOOP;
    SELECT md5(string_agg(t, ';' ORDER BY t)) INTO part FROM (
        SELECT concat_ws(' ', c.relname, c.relowner, c.relkind, c.relrowsecurity, c.relforcerowsecurity,
                         c.relhastriggers, c.relispartition, c.relacl, '/', c.reloptions)
          FROM pg_class c JOIN attack.relations() ON relation = c.oid
        UNION ALL SELECT a.attrelid || a.attname || a.attacl::text
          FROM pg_attribute a JOIN attack.relations() ON relation = attrelid
        UNION ALL SELECT p::text FROM pg_proc p JOIN attack.functions() ON function = p.oid
        UNION ALL SELECT p::text FROM pg_policy p UNION ALL SELECT t::text FROM pg_trigger t
        UNION ALL SELECT r::text FROM pg_rewrite r WHERE ev_class IN (SELECT relation FROM attack.relations())
        UNION ALL SELECT i::text FROM pg_inherits i UNION ALL SELECT n::text FROM pg_namespace n WHERE nspname = 'usage'
        UNION ALL SELECT s::text FROM pg_db_role_setting s UNION ALL SELECT m::text FROM pg_auth_members m
        UNION ALL SELECT p::text FROM pg_parameter_acl p UNION ALL SELECT d::text FROM pg_default_acl d) AS x (t);
    RETURN whole || part;
END
$$;

/* Runs one statement as an attacker: SQLSTATE, what the error says, the rows. */
CREATE FUNCTION attack.run(who name, statement text, OUT state text, OUT told text, OUT rows text)
LANGUAGE plpgsql AS $$
DECLARE
    me  attack.attackers;
    one record;
    m   text;
    d   text;
    h   text;
    c   text;
BEGIN
    SELECT * INTO me FROM attack.attackers WHERE role = who;
    PERFORM set_config('request.jwt.claims', me.claims, true), set_config('usage_tracking.user_id', me.user_id, true),
            set_config('search_path', 'workshop, public', true), set_config('client_min_messages', 'error', true),
            set_config('role', who, true);
    state := '00000'; told := ''; rows := '';
    BEGIN
        IF statement ~* '^\s*(SELECT|TABLE|VALUES|WITH|EXPLAIN|EXECUTE|SHOW)|RETURNING' THEN
            FOR one IN EXECUTE statement LOOP
                rows := rows || one::text || E'\n';
            END LOOP;
        ELSE
            EXECUTE statement;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL,
            h = PG_EXCEPTION_HINT, c = PG_EXCEPTION_CONTEXT;
        /* what the statement itself says, and our own frames, are not theirs to tell */
        told := concat_ws(' | ', m, d, h, replace(split_part(c, 'PL/pgSQL function attack.run', 1), statement, ''));
    END;
    PERFORM set_config('role', 'none', true), set_config('usage_tracking.user_id', '', true),
            set_config('request.jwt.claims', '', true), set_config('search_path', 'public', true),
            set_config('row_security', 'on', true);
END
$$;

/* Whether something tells about B: his id, what is marked, his numbers. */
CREATE FUNCTION attack.names_b(told text) RETURNS boolean LANGUAGE sql AS $$
    SELECT told ~* 'secret|bbbbbbbb-0000-4000-8000-00000000000b|666666|192\.0\.2\.66'
$$;

/* NULL, or what is wrong with how the statement went.  An error undoes all but
 * sequences, which by_all() looks at. */
CREATE FUNCTION attack.deviation(who name, statement text, expected text, before text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    saw record := attack.run(who, statement);
BEGIN
    IF NOT saw.state = ANY (string_to_array(expected, ' ')) THEN
        RETURN format('%s gave %s, not %s: %s', statement, saw.state, expected, saw.told);
    ELSIF saw.state = '00000' AND attack.fingerprint() <> before THEN
        RETURN format('%s changed something', statement);
    ELSIF attack.names_b(saw.told || saw.rows) THEN
        RETURN format('%s told about B: %s%s', statement, saw.told, saw.rows);
    END IF;
    RETURN NULL;
END
$$;

/* One TAP line for each attacker.  Expected SQLSTATEs (one of several, 00000
 * for harmless) of the two who are user A, and of the two who are nobody. */
CREATE FUNCTION attack.by_all(title text, statements text[], of_users text DEFAULT '42501', of_nobody text DEFAULT '42501')
RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    before text := attack.fingerprint();
    me     attack.attackers;
    seen   text[];
BEGIN
    FOR me IN SELECT * FROM attack.attackers ORDER BY role LOOP
        SELECT COALESCE(array_agg(x), '{}') INTO seen
          FROM unnest(statements) AS s,
               attack.deviation(me.role, s, CASE WHEN me.is_user THEN of_users ELSE of_nobody END, before) AS x
         WHERE x IS NOT NULL;
        IF attack.fingerprint() <> before THEN
            seen := seen || 'something is not as it was'::text;
        END IF;
        RETURN NEXT is(seen, '{}', format('%s, by %s (%s statements)', title, me.role, cardinality(statements)));
    END LOOP;
    IF COALESCE(cardinality(statements), 0) = 0 THEN
        RETURN NEXT fail(title || ': nothing was attacked');
    END IF;
END
$$;

/* The statement for every relation of these kinds: %1$s its name, %2$s its
 * first column, %3$s its key or nothing, %4$L B's id. */
CREATE FUNCTION attack.on_relations(title text, template text, kinds text DEFAULT 'rpvmSf',
                                    of_users text DEFAULT '42501', of_nobody text DEFAULT '42501')
RETURNS SETOF text LANGUAGE sql AS $$
    SELECT attack.by_all(title, array_agg(format(template, relation, first_column, COALESCE('(' || key || ')', ''),
                                                 'bbbbbbbb-0000-4000-8000-00000000000b')), of_users, of_nobody)
      FROM attack.relations() WHERE strpos(kinds, kind::text) > 0
$$;

/* A call of the function with this text for every user id, and for every other
 * argument a value that is good. */
CREATE FUNCTION attack.call(function regprocedure, user_id text) RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT %s.%I(%s)', pronamespace::regnamespace, proname,
                  (SELECT string_agg(CASE WHEN provariadic <> 0 AND n = pronargs THEN 'VARIADIC ' ELSE '' END || CASE WHEN proargnames[n] = 'user_id' THEN user_id ELSE CASE format_type(t, NULL)
                       WHEN 'text' THEN '''call''' WHEN 'name' THEN '''anon''' WHEN 'regclass' THEN '''app.users'''
                       WHEN 'jsonb' THEN '''{}''' WHEN 'boolean' THEN 'true' WHEN 'text[]' THEN '''{success}'''
                       WHEN 'interval' THEN '''1 day''' WHEN 'date' THEN 'current_date' WHEN 'uuid' THEN quote_literal(gen_random_uuid())
                       WHEN 'timestamp with time zone' THEN 'now()' WHEN 'inet' THEN '''1.2.3.4''' WHEN 'xid8' THEN '''1''' WHEN 'tstzmultirange' THEN '''{}''' WHEN 'tid[]' THEN '''{}''' WHEN 'numeric[]' THEN '''{1}''' WHEN 'integer[]' THEN '''{1}''' WHEN 'date[]' THEN '''{2026-03-01}''' ELSE '1' END END || '::' || format_type(t, NULL), ', ' ORDER BY n)
                     FROM unnest(proargtypes::oid[]) WITH ORDINALITY AS a (t, n)))
      FROM pg_proc WHERE oid = function
$$;
\o
