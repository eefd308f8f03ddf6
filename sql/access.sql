/* access: who may see and call?
 *
 * The script grants nothing to anybody; grant_usage_access() does.  Every
 * function of the extension is for one audience: "user" (each acts for himself,
 * and admin functions check for themselves), "server", or else its owner.
 */
CREATE FUNCTION @extschema@._audience(OUT function regprocedure, OUT audience text) RETURNS SETOF record
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
                    'define_rate_limit', 'check_rate_limit', 'consume_rate_limit', 'require_rate_limit',
                    'rate_limit_headers', '_decision_headers', 'pre_request', '_memory_areas',
                    'get_run', 'list_runs', 'get_run_deliveries', 'run_usage', 'check_monthly_usage_limit', '_monthly_runs'])
                  OR p.proname ~ '^_(html|page|text)_' OR p.proname = '_page'
                THEN 'user'
                WHEN p.proname = ANY (ARRAY['act_for_any_user', 'track_usage', 'track_api_usage', 'track_usage_batch',
                                                'reserve_usage', 'commit_usage', 'release_usage',
                                                'acquire_lease', 'renew_lease', 'release_lease', 'apply_stripe_event',
                                                'import_usage', 'start_run', 'update_run', 'succeed_run', 'fail_run', 'cancel_run', 'record_delivery'])
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
COMMENT ON FUNCTION @extschema@._audience() IS
'Internal: for whom each function of the extension is';

/* What users read, each his own rows; of tables only these columns (NULL: all).
 * Not tables of which a user has many rows: EXPLAIN ANALYZE and the planner's
 * estimates tell of others' as well, so functions read those. */
CREATE FUNCTION @extschema@._readable(OUT relation regclass, OUT columns text[]) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    VALUES ('@extschema@.user_usage'::regclass, NULL::text[]),
           ('@extschema@.api_usage'::regclass, NULL),
           ('@extschema@.user_credits'::regclass, NULL),
           ('@extschema@.credit_transactions'::regclass, NULL),
           ('@extschema@.user_monthly_usage'::regclass, NULL),
           ('@extschema@.usage_memory'::regclass, NULL),
           ('@extschema@.user_subscriptions'::regclass, ARRAY[
            'user_id', 'plan', 'status', 'billing_period_start', 'billing_period_end', 'started_at',
            'expires_at', 'time_zone', 'anchor']);
END;
COMMENT ON FUNCTION @extschema@._readable() IS
'Internal: what users read, of tables which columns';

CREATE FUNCTION @extschema@.grant_usage_access(role name, server boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    callable regprocedure;
    readable record;
BEGIN
    IF role IS NULL OR server IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
            MESSAGE = format('argument "%s" must not be null', CASE WHEN role IS NULL THEN 'role' ELSE 'server' END);
    END IF;
    IF role = 'public' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
            MESSAGE = 'access cannot be granted to everybody',
            HINT = 'Name a role; on Supabase, authenticated.';
    ELSIF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role) THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_object',
            MESSAGE = format('role "%s" does not exist', role);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %s TO %I', '@extschema@', role);
    FOR callable IN
        SELECT a.function FROM @extschema@._audience() AS a
         WHERE a.audience = 'user' OR (a.audience = 'server' AND server)
         ORDER BY a.function::text
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', callable, role);
    END LOOP;
    FOR readable IN
        SELECT r.relation, (SELECT '(' || string_agg(quote_ident(c), ', ') || ')' FROM unnest(r.columns) AS c) AS columns
          FROM @extschema@._readable() AS r
         ORDER BY r.relation::text
    LOOP
        EXECUTE format('GRANT SELECT %s ON %s TO %I', readable.columns, readable.relation, role);
    END LOOP;
    EXECUTE format('GRANT UPDATE ON %s.user_usage TO %I', '@extschema@', role);
    IF server THEN
        EXECUTE format('GRANT SELECT, INSERT, DELETE ON %s.usage_imports TO %I', '@extschema@', role);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.grant_usage_access(name, boolean) IS
'Lets a role use the extension: each user for himself, or with server => true for every user';

/* What would let somebody do more than the rules say.  A row is a finding. */
CREATE FUNCTION @extschema@.usage_security_check(OUT object text, OUT problem text) RETURNS SETOF record
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
     WHERE (g.grantee = 0
            OR (g.privilege_type <> 'SELECT'
                AND NOT (g.privilege_type = 'UPDATE' AND g.oid = '@extschema@.user_usage'::regclass))
            OR NOT EXISTS (SELECT FROM @extschema@._readable() AS r
                            WHERE r.relation = g.oid AND (r.columns IS NULL OR g.of_column = ANY (r.columns))))
       -- servers bring history
       AND NOT (g.oid = '@extschema@.usage_imports'::regclass AND g.grantee <> 0
                AND g.privilege_type = ANY (ARRAY['SELECT', 'INSERT', 'DELETE'])
                AND pg_catalog.has_function_privilege(g.grantee, '@extschema@.act_for_any_user()', 'EXECUTE'))
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
       AND r.oid <> '@extschema@.usage_imports'::regclass
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
       AND NOT (t.tgname = 'event_comes' AND t.tgenabled = 'R')
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
                              '@extschema@.api_rate_limits'::regclass,
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
COMMENT ON FUNCTION @extschema@.usage_security_check() IS
'A row for each privilege, policy or trigger by which somebody could do more than the rules say; none is good';
