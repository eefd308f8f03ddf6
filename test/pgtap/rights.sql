/* Who may do what: every object of the extension and every role, compared with
 * the tables below.  An object that is not listed is a failure, so a new one
 * cannot come without somebody deciding whom it is for.
 *
 * In a plain database, and in one whose default privileges give everything away
 * (as Supabase's do), before and after partitions are made.
 *
 *   anon, PUBLIC, regress_ut_nobody   nothing
 *   authenticated, regress_ut_app     after grant_usage_access(role)
 *   service_role                      after grant_usage_access(role, server => true) */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SELECT plan(19);

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY '{anon,authenticated,service_role,regress_ut_app,regress_ut_nobody}'::text[] LOOP
        IF to_regrole(wanted) IS NULL THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
    END LOOP;
END
$$;
CREATE SCHEMA rights;
SET LOCAL check_function_bodies = off;

CREATE TABLE rights.roles (role text, audiences text[]);
INSERT INTO rights.roles VALUES
    ('public', '{}'), ('anon', '{}'), ('regress_ut_nobody', '{}'),
    ('authenticated', '{user}'), ('regress_ut_app', '{user}'), ('service_role', '{user,server}');

/* For whom each function is: the audience may execute it, nobody else but the owner. */
CREATE TABLE rights.functions (function text, audience text);
INSERT INTO rights.functions VALUES
    ('current_user_id', 'user'), ('is_admin', 'user'), ('has_role', 'user'), ('get_user_roles', 'user'),
    ('check_usage_limit', 'user'), ('consume_usage', 'user'), ('require_usage', 'user'),
    ('_sees_all_users', 'user'), ('_usage_of_user', 'user'), ('_calls_of_user', 'user'), ('_recorded_calls', 'owner'), ('get_campaigns', 'user'), ('_get_campaigns', 'owner'),
    /* each of these asks for an admin itself */
    ('grant_role', 'user'), ('revoke_role', 'user'), ('make_admin_by_email', 'user'),
    ('set_user_plan', 'user'), ('set_user_clock', 'user'), ('set_user_limit', 'user'), ('set_plan_limit', 'user'), ('set_temporary_limit', 'user'),
    ('define_usage_type', 'user'), ('define_usage_limit', 'user'), ('define_usage_alert', 'user'),
    ('get_usage_alerts', 'user'), ('acknowledge_usage_alert', 'user'),
    ('reverse_usage', 'user'), ('adjust_usage', 'user'), ('reset_user_usage', 'user'),
    ('erase_user', 'user'), ('export_user_data', 'user'), ('define_campaign', 'user'), ('recost_usage', 'user'),
    ('calculate_openai_cost', 'user'), ('calculate_llm_cost', 'user'), ('calculate_image_cost', 'user'), ('calculate_video_cost', 'user'),
    ('usage_from_openai', 'user'), ('usage_from_anthropic', 'user'), ('usage_from_opentelemetry', 'user'),
    ('_usage_object', 'user'), ('_token_count', 'user'), ('_check_token_count', 'user'),
    ('get_user_usage', 'user'), ('get_user_costs', 'user'), ('get_user_usage_history', 'user'), ('get_user_aggregations', 'user'),
    ('get_user_stats', 'user'), ('get_usage_totals', 'user'),
    ('get_top_users', 'user'), ('get_usage_trends', 'user'), ('get_conversion_funnel', 'user'), ('get_error_rates', 'user'), ('get_cost_breakdown', 'user'),
    ('get_unit_costs', 'user'), ('get_cost_forecast', 'user'), ('get_users_near_limit', 'user'), ('user_dashboard', 'user'), ('admin_dashboard', 'user'),
    ('_get_top_users', 'owner'), ('_get_usage_trends', 'owner'), ('_get_conversion_funnel', 'owner'), ('_get_error_rates', 'owner'), ('_get_cost_breakdown', 'owner'),
    ('_get_unit_costs', 'owner'), ('_get_cost_forecast', 'owner'), ('_get_users_near_limit', 'owner'), ('_user_dashboard', 'owner'), ('_admin_dashboard', 'owner'),
    ('_last_days', 'owner'), ('_uncounted_events', 'owner'), ('_days_of_month', 'owner'), ('_active_days', 'owner'), ('_whole_months', 'owner'),
    ('_sums_of_users', 'owner'), ('_uses_of_users', 'owner'), ('_count_days', 'owner'), ('_funnel_depth', 'owner'), ('_used_at_most', 'owner'), ('_percent_at_most', 'owner'), ('_ratio', 'owner'),
    ('_limit_state', 'owner'), ('_limits_to_show', 'owner'), ('_days_to_show', 'owner'), ('_events_to_show', 'owner'), ('_alerts_to_show', 'owner'), ('_notice_of_plan', 'owner'),
    ('describe_decision', 'user'), ('visible_users', 'user'), ('prove_same_rows', 'owner'), ('_day_bit', 'owner'), ('_sum_months', 'owner'), ('_email_of', 'owner'), ('_registered_users', 'owner'),
    /* pages and reports, for whoever may see what is on them; their pieces read nothing */
    ('user_page', 'user'), ('admin_page', 'user'), ('usage_report', 'user'), ('dashboard_page', 'user'),
    ('_text_plain', 'user'), ('_text_number', 'user'), ('_text_money', 'user'), ('_text_amount', 'user'), ('_text_percent', 'user'), ('_text_time', 'user'), ('_text_day',
    'user'), ('_text_span', 'user'), ('_text_duration', 'user'), ('_text_period', 'user'), ('_text_state', 'user'), ('_text_state_label', 'user'), ('_html_escape',
    'user'), ('_html_text', 'user'), ('_html_data', 'user'), ('_html_number', 'user'), ('_html_percent', 'user'), ('_html_money', 'user'), ('_html_amount', 'user'),
    ('_html_cost', 'user'), ('_html_time', 'user'), ('_html_badge', 'user'), ('_html_bar', 'user'), ('_html_meter', 'user'), ('_html_row', 'user'), ('_html_table',
    'user'), ('_html_fact', 'user'), ('_html_facts', 'user'), ('_html_section', 'user'), ('_page_list', 'user'), ('_page_trend', 'user'), ('_page_scale_end', 'user'),
    ('_page_trend_lines', 'user'), ('_page_trend_svg', 'user'), ('_page_trend_legend', 'user'), ('_page_trend_table', 'user'), ('_html_trend', 'user'), ('_page_style',
    'user'), ('_page', 'user'), ('_page_footer', 'user'), ('_page_days', 'user'), ('_page_trends', 'user'), ('_page_models', 'user'), ('_page_user_cell', 'user'),
    ('_page_admin_header', 'user'), ('_page_admin_tiles', 'user'), ('_page_forecast', 'user'), ('_page_funnel', 'user'), ('_page_errors', 'user'), ('_page_top_users',
    'user'), ('_page_near_limits', 'user'), ('_page_unit_costs', 'user'), ('_page_of_admin', 'user'), ('_page_user_name', 'user'), ('_page_user_header', 'user'),
    ('_page_notices', 'user'), ('_page_user_tiles', 'user'), ('_page_reset', 'user'), ('_page_limit_notes', 'user'), ('_page_limit', 'user'), ('_page_limits', 'user'),
    ('_page_plan', 'user'), ('_page_run_meter', 'user'), ('_page_runs', 'user'), ('_page_usage', 'user'), ('_page_status', 'user'), ('_page_recent', 'user'),
    ('_page_of_user', 'user'), ('_page_kind', 'user'), ('_text_left', 'user'), ('_text_right', 'user'), ('_text_bar', 'user'), ('_text_section', 'user'), ('_text_trend',
    'user'), ('_text_models', 'user'), ('_text_limits', 'user'), ('_text_usage', 'user'), ('_text_costs', 'user'), ('_text_runs', 'user'), ('_text_recent', 'user'),
    ('_text_of_user', 'user'), ('_text_totals', 'user'), ('_text_funnel', 'user'), ('_text_errors', 'user'), ('_text_near_limits', 'user'), ('_text_top_users', 'user'),
    ('_text_unit_costs', 'user'), ('_text_of_admin', 'user'), ('_text_report', 'user'),
    ('set_stripe_price', 'user'), ('stripe_meter_events', 'user'), ('apply_stripe_event', 'server'),
    ('_stripe_id', 'owner'), ('_stripe_time', 'owner'), ('_stripe_user', 'owner'), ('_read_stripe_event', 'owner'), ('_stripe_subscriptions', 'owner'),
    ('_stripe_state', 'owner'), ('_stripe_news', 'owner'), ('_forget_stripe', 'owner'), ('_stripe_meter_events', 'owner'),
    ('popular_resources', 'user'), ('trending_resources', 'user'), ('get_top_resource_users', 'user'), ('get_usage_heatmap', 'user'),
    ('_usage_tally', 'user'), ('_tally_uses', 'user'), ('_check_max_rows', 'user'), ('_zone_or_default', 'user'),
    ('attach_usage_tally', 'owner'), ('detach_usage_tally', 'owner'), ('detach_usage_tallies', 'owner'), ('sync_usage_tally', 'owner'),
    ('verify_usage_tally', 'owner'), ('_count_tally', 'owner'),
    ('define_rate_limit', 'user'), ('check_rate_limit', 'user'), ('consume_rate_limit', 'user'), ('require_rate_limit', 'user'),
    ('rate_limit_headers', 'user'), ('_decision_headers', 'user'), ('pre_request', 'user'), ('_memory_areas', 'user'),
    ('get_run', 'user'), ('list_runs', 'user'), ('get_run_deliveries', 'user'), ('run_usage', 'user'), ('check_monthly_usage_limit', 'user'), ('_monthly_runs', 'user'),
    ('start_run', 'server'), ('update_run', 'server'), ('succeed_run', 'server'), ('fail_run', 'server'), ('cancel_run', 'server'), ('record_delivery', 'server'),
    ('_runs_of_user', 'owner'), ('_deliveries_of_run', 'owner'), ('_months_of_runs', 'owner'), ('_run_usage', 'owner'), ('_sweep_old_runs', 'owner'),
    ('set_credit_cost', 'user'), ('set_credit_refill', 'user'), ('set_credit_overdraft', 'user'),
    ('grant_credits', 'user'), ('spend_credits', 'user'), ('refund_credits', 'user'),
    ('credit_balance', 'user'), ('_credits_of_user', 'user'), ('_credit_transactions_of_user', 'user'),
    ('_reconcile_credits', 'owner'), ('_forget_credits', 'owner'),
    ('act_for_any_user', 'server'), ('track_usage', 'server'), ('track_api_usage', 'server'), ('track_usage_batch', 'server'), ('import_usage', 'server'),
    ('_import_usage', 'owner'), ('_import_refusal', 'owner'), ('_judge_imports', 'owner'), ('_prepare_users_of_imports', 'owner'), ('_make_months_of_imports', 'owner'),
    ('_tidy_metadata', 'owner'), ('_cut_text', 'owner'), ('_keep_out_uses', 'owner'),
    ('set_usage_level', 'user'), ('add_usage_level', 'user'),
    ('acquire_lease', 'server'), ('renew_lease', 'server'), ('release_lease', 'server'), ('_session_lives', 'owner'),
    ('attach_usage_gauge', 'owner'), ('detach_usage_gauge', 'owner'), ('verify_usage_gauge', 'owner'), ('keep_usage_gauge', 'owner'),
    ('_attached_gauges', 'owner'), ('_gauge_stays', 'owner'),
    ('reserve_usage', 'server'), ('commit_usage', 'server'), ('release_usage', 'server'),
    ('attach_users', 'owner'), ('detach_users', 'owner'), ('install_default_plans', 'owner'), ('install_default_limits', 'owner'), ('install_demo_plan', 'owner'),
    ('install_seed_prices', 'owner'), ('import_model_prices', 'owner'), ('_are_prices', 'owner'), ('_prices_have_one_currency', 'owner'),
    ('_provider_name', 'owner'), ('_find_model', 'owner'), ('_read_price_entry', 'owner'),
    ('create_usage_partition', 'owner'), ('reconcile_usage', 'owner'), ('usage_maintenance', 'owner'),
    ('grant_usage_access', 'owner'), ('usage_security_check', 'owner'),
    ('_audience', 'owner'), ('_readable', 'owner'), ('_usage_window', 'owner'), ('_billing_window', 'owner'), ('_usage_now', 'user'), ('_record_signup', 'owner'),
    ('_revoke_all_on', 'owner'), ('_revoke_all_on_function', 'owner'), ('_version', 'owner'),
    ('_record_change', 'owner'), ('_forget_changes', 'owner'), ('_may_update_usage', 'owner'), ('_update_usage', 'owner'), ('_furnish_partition', 'owner'), ('_prepare_partitions', 'owner'),
    ('_system_identifier', 'owner'), ('_default_time_zone', 'owner'), ('_next_xact_id', 'owner'), ('_rollup_progress', 'owner'), ('_events_are_replicated', 'owner'),
    ('_is_uncounted', 'owner'), ('_event_amounts', 'owner'), ('_lock_rollups', 'owner'), ('_add_to_days', 'owner'), ('_begin_rollups', 'owner'),
    ('_begin_pass', 'owner'), ('_continue_pass', 'owner'), ('_refresh_step', 'owner'), ('refresh_usage_aggregations', 'owner'),
    ('_refresh_aggregations', 'owner'), ('_finish_days', 'owner'), ('_forget_days', 'owner'), ('_days_of_user', 'owner'), ('_days_of_all', 'owner'),
    ('_find_unusual_use', 'owner'), ('_report_unusual_use', 'owner'), ('_first_difference', 'owner'), ('_reconcile_days', 'owner'),
    ('_get_user_usage', 'owner'), ('_get_user_costs', 'owner'), ('_get_user_usage_history', 'owner'), ('_get_user_aggregations', 'owner'),
    ('_get_usage_totals', 'owner'), ('_get_user_stats', 'owner'),
    ('_close_partitions', 'owner'), ('_check_id_column', 'owner'), ('_canonical_zone', 'owner'),
    ('handle_new_user', 'owner'), ('handle_deleted_user', 'owner'), ('_config_changed', 'owner'), ('_terms_changed', 'owner'), ('_limit_changes', 'owner'),
    ('_names_are_distinct', 'owner'), ('_history_is_kept', 'owner'), ('_counting_changed', 'owner'), ('_clock_changed', 'owner'), ('_events_come', 'owner'), ('_forget_counters', 'owner'), ('_holds_changed', 'owner'), ('_counted_usage', 'owner'),
    ('_make_month', 'owner'), ('_name_month', 'owner'), ('_log_partition', 'owner'), ('_events_are_in_place', 'owner'),
    ('_settled_event_id', 'owner'), ('_make_moving_months', 'owner'), ('_copy_default_rows', 'owner'),
    ('_empty_default_partition', 'owner'), ('_attach_moved_months', 'owner'), ('_move_default_rows', 'owner'), ('_fill_months', 'owner'),
    ('_fresh_user_id', 'owner'), ('_lock_out_user', 'owner'), ('_user_lives', 'owner'), ('_forget_events', 'owner'),
    ('_forget_user', 'owner'), ('_forget_if_deleted', 'owner'), ('_forget_deleted_users', 'owner'), ('_export_user', 'owner'),
    ('_usage_horizons', 'owner'), ('_sweep', 'owner'), ('_sweep_closed_windows', 'owner'), ('_months', 'owner'),
    ('_earliest_window', 'owner'), ('_retention_bound', 'owner'), ('_clocks_in_use', 'owner'), ('_carry_month', 'owner'), ('_raise_unusual_use', 'owner'), ('_sweep_old_alerts', 'owner'),
    ('_drop_months', 'owner'), ('_due_months', 'owner'), ('_retire_months', 'owner'), ('_check_maintenance', 'owner');

/* What an audience may SELECT, by column; "" is the whole relation.  Nobody may
 * do anything else to any relation, but UPDATE user_usage, where a trigger asks
 * for an admin or a server, and, as a server, bring and take back rows of usage_imports. */
CREATE TABLE rights.relations (relation text, kind "char", audience text, columns text[]);
INSERT INTO rights.relations VALUES
    ('user_usage', 'v', 'user', '{""}'), ('user_monthly_usage', 'v', 'user', '{""}'), ('usage_runs', 'r', NULL, '{}'), ('usage_run_deliveries', 'r', NULL, '{}'), ('api_usage', 'v', 'user', '{""}'), ('campaigns', 'r', NULL, '{}'),
    ('user_subscriptions', 'r', 'user', '{user_id,plan,status,billing_period_start,billing_period_end,started_at,expires_at,time_zone,anchor}'),
    ('stripe_prices', 'r', NULL, '{}'), ('stripe_events', 'r', NULL, '{}'),
    ('usage_alerts', 'r', NULL, '{}'),
    ('usage_alerts_id_seq', 'S', NULL, '{}'), ('usage_alert_rules', 'r', NULL, '{}'), ('usage_alert_rules_id_seq', 'S', NULL, '{}'),
    ('user_roles', 'r', NULL, '{}'), ('plans', 'r', NULL, '{}'), ('usage_types', 'r', NULL, '{}'),
    ('usage_limits', 'r', NULL, '{}'), ('usage_limits_limit_id_seq', 'S', NULL, '{}'), ('plan_limits', 'r', NULL, '{}'), ('temporary_limits', 'r', NULL, '{}'), ('temporary_limits_id_seq', 'S', NULL, '{}'),
    ('model_prices', 'r', NULL, '{}'), ('model_prices_id_seq', 'S', NULL, '{}'), ('model_aliases', 'r', NULL, '{}'),
    ('user_limits', 'r', NULL, '{}'),
    ('usage_events', 'p', NULL, '{}'),
    ('usage_events_default', 'r', NULL, '{}'),
    ('usage_events_YYYY_MM', 'r', NULL, '{}'), ('usage_events_id_seq', 'S', NULL, '{}'), ('usage_keys', 'r', NULL, '{}'),
    ('usage_counters', 'r', NULL, '{}'), ('deleted_users', 'r', NULL, '{}'),
    ('usage_events_moving', 'p', NULL, '{}'), ('usage_partition_log', 'r', NULL, '{}'), ('usage_carried', 'r', NULL, '{}'),
    ('usage_aggregations', 'r', NULL, '{}'), ('usage_daily_totals', 'r', NULL, '{}'), ('usage_user_months', 'r', NULL, '{}'), ('usage_rollup_state', 'r', NULL, '{}'),
    ('user_credits', 'v', 'user', '{""}'), ('credit_transactions', 'v', 'user', '{""}'),
    ('credit_costs', 'r', NULL, '{}'), ('credit_refills', 'r', NULL, '{}'), ('credit_accounts', 'r', NULL, '{}'),
    ('credit_grants', 'r', NULL, '{}'), ('credit_grants_id_seq', 'S', NULL, '{}'), ('credit_ledger', 'r', NULL, '{}'), ('credit_ledger_id_seq', 'S', NULL, '{}'),
    ('usage_imports', 'r', 'server', '{""}'), ('usage_imports_id_seq', 'S', NULL, '{}'),
    ('usage_reservations', 'r', NULL, '{}'), ('usage_reservations_id_seq', 'S', NULL, '{}'),
    ('api_rate_limits', 'r', NULL, '{}'), ('api_rate_limits_id_seq', 'S', NULL, '{}'), ('usage_memory', 'v', 'user', '{""}'),
    ('usage_levels', 'r', NULL, '{}'), ('usage_leases', 'r', NULL, '{}'), ('usage_leases_id_seq', 'S', NULL, '{}'),
    ('usage_changes', 'r', NULL, '{}'), ('usage_changes_id_seq', 'S', NULL, '{}');

/* What there is. */
CREATE VIEW rights.members AS
    SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension x ON d.refobjid = x.oid AND d.refclassid = 'pg_extension'::regclass
     WHERE x.extname = 'usage_tracking' AND d.deptype = 'e'
     UNION SELECT 'pg_class'::regclass, relid FROM pg_partition_tree(to_regclass('usage.usage_events'))
     UNION SELECT 'pg_class'::regclass, relid FROM pg_partition_tree(to_regclass('usage.usage_events_moving'));
CREATE VIEW rights.actual_relations AS
    SELECT c.oid, c.relkind, c.relrowsecurity, regexp_replace(c.relname, '_\d{4}_\d\d$', '_YYYY_MM') AS relation
      FROM rights.members JOIN pg_class c ON classid = 'pg_class'::regclass AND objid = c.oid WHERE relkind NOT IN ('i', 'I');

/* What is not as the tables say, one row each. */
CREATE FUNCTION rights.of_functions() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s: listed %L, there %L', COALESCE(f.function, p.proname), f.audience, p.oid::regprocedure)
      FROM rights.functions f
      FULL JOIN (SELECT p.* FROM rights.members JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid) p ON f.function = p.proname
     WHERE f.function IS NULL OR p.oid IS NULL
     UNION ALL
    SELECT format('%s may%s execute %s', r.role, CASE WHEN may THEN '' ELSE ' not' END, objid::regprocedure)
      FROM rights.members JOIN pg_proc p ON classid = 'pg_proc'::regclass AND objid = p.oid
      JOIN rights.functions f ON f.function = p.proname, rights.roles r, has_function_privilege(r.role, objid, 'EXECUTE') AS may
     WHERE may <> (f.audience = ANY (r.audiences))
$$;
CREATE FUNCTION rights.of_relations() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s: listed as %L, there as %L', COALESCE(l.relation, a.relation), l.kind, a.relkind)
      FROM rights.relations l FULL JOIN rights.actual_relations a ON a.relation = l.relation AND a.relkind = l.kind
     WHERE l.relation IS NULL OR a.relation IS NULL
     UNION ALL
    SELECT format('%s may %s %s', r.role, privilege, a.oid::regclass)
      FROM rights.actual_relations a JOIN rights.relations l USING (relation), rights.roles r,
           unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER,MAINTAIN}'::text[]) AS privilege
     WHERE a.relkind <> 'S' AND (privilege <> 'MAINTAIN' OR current_setting('server_version_num')::int >= 170000)
       AND has_table_privilege(r.role, a.oid, privilege)
           <> ((privilege = 'SELECT' OR (privilege = 'UPDATE' AND l.relation = 'user_usage')
                OR (privilege = ANY ('{INSERT,DELETE}') AND l.relation = 'usage_imports'))
               AND l.columns = '{""}' AND l.audience = ANY (r.audiences))
     UNION ALL
    SELECT format('%s may%s %s %s(%s)', r.role, CASE WHEN may THEN '' ELSE ' not' END, privilege, a.oid::regclass, attname)
      FROM rights.actual_relations a JOIN rights.relations l USING (relation) JOIN pg_attribute t ON attrelid = a.oid AND NOT attisdropped,
           rights.roles r, unnest('{SELECT,INSERT,UPDATE,REFERENCES}'::text[]) AS privilege,
           has_column_privilege(r.role, a.oid, attnum, privilege) AS may
     WHERE a.relkind <> 'S'
       AND may <> COALESCE((privilege = 'SELECT' OR (privilege = 'UPDATE' AND l.relation = 'user_usage')
                            OR (privilege = 'INSERT' AND l.relation = 'usage_imports'))
                           AND l.audience = ANY (r.audiences)
                           AND (attname = ANY (l.columns) OR l.columns = '{""}'), false)
     UNION ALL
    SELECT format('%s may %s %s', r.role, privilege, a.oid::regclass)
      FROM rights.actual_relations a, rights.roles r, unnest('{USAGE,SELECT,UPDATE}'::text[]) AS privilege
     WHERE a.relkind = 'S' AND has_sequence_privilege(r.role, a.oid, privilege)
     UNION ALL
    SELECT format('%s may grant rights on %s', COALESCE(NULLIF(x.grantee, 0)::regrole::text, 'PUBLIC'), a.oid::regclass)
      FROM rights.actual_relations a JOIN pg_class c USING (oid), aclexplode(c.relacl) AS x WHERE x.is_grantable AND x.grantee <> c.relowner
$$;
CREATE FUNCTION rights.of_schema() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s: %s is %s', role, privilege, may)
      FROM rights.roles, (VALUES ('USAGE'), ('CREATE')) AS v (privilege), has_schema_privilege(role, 'usage', privilege) AS may
     WHERE may <> (privilege = 'USAGE' AND audiences <> '{}')
$$;

CREATE FUNCTION rights.check(title text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT is_empty('SELECT * FROM rights.of_functions()', 'functions, ' || title)
     UNION ALL SELECT is_empty('SELECT * FROM rights.of_relations()', 'relations, ' || title)
     UNION ALL SELECT is_empty('SELECT * FROM rights.of_schema()', 'the schema, ' || title)
     UNION ALL SELECT is_empty('SELECT * FROM usage.usage_security_check()', 'usage_security_check() agrees, ' || title)
$$;
CREATE FUNCTION rights.grant_access() RETURNS void LANGUAGE sql AS $$
    SELECT usage.grant_usage_access('authenticated'), usage.grant_usage_access('regress_ut_app'),
           usage.grant_usage_access('service_role', server => true)
$$;

CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.create_usage_partition('2031-02-03'), rights.grant_access() \g /dev/null
SELECT rights.check('in a plain database');
SELECT bag_eq('SELECT polrelid::regclass::text, polname, polcmd FROM pg_policy WHERE polrelid IN (SELECT oid FROM rights.actual_relations)',
              $$VALUES ('usage.user_subscriptions', 'own_or_all'::name, 'r'::"char")$$, 'policies are the listed ones');
SELECT is_empty('SELECT oid::regclass FROM rights.actual_relations WHERE relkind IN (''r'', ''p'') AND NOT relrowsecurity AND relation <> ''usage_imports''', 'every table has row security, but the one that is filled by COPY');
SELECT is_empty('SELECT c.oid::regclass FROM rights.actual_relations JOIN pg_class c USING (oid) WHERE c.relkind = ''v'''
                ' AND NOT COALESCE(reloptions @> ''{security_invoker=true,security_barrier=true}'', false)', 'views run with the rights of their reader');
SELECT bag_eq('SELECT proname, proconfig[1] FROM rights.members JOIN pg_proc p ON classid = ''pg_proc''::regclass AND objid = p.oid WHERE prosecdef',
              $$SELECT name::name, 'search_path=pg_catalog, pg_temp' FROM unnest('{handle_new_user,handle_deleted_user,create_usage_partition,usage_maintenance,_record_change}'::text[]) AS name$$,
              'what runs with its owner''s rights is listed, with a pinned search_path');
SELECT is_empty('SELECT objid::regprocedure FROM rights.members JOIN pg_proc p ON classid = ''pg_proc''::regclass AND objid = p.oid WHERE proleakproof',
                'nothing claims to be leakproof');
SELECT bag_eq('SELECT DISTINCT classid::regclass::text FROM rights.members', $$VALUES ('pg_class'), ('pg_proc'), ('pg_type')$$,
              'there is no other kind of object');
SELECT results_eq('SELECT DISTINCT format_type(objid, NULL) FROM rights.members WHERE classid = ''pg_type''::regclass AND'
                  ' (SELECT typtype <> ''c'' OR relkind = ''c'' FROM pg_type t LEFT JOIN pg_class c ON c.oid = typrelid WHERE t.oid = objid AND typcategory <> ''A'') ORDER BY 1',
                  $$VALUES ('usage."text/html"'), ('usage.usage_decision'), ('usage.usage_run')$$, 'the types of its own are listed');

/* The same with default privileges that give everything away. */
DROP EXTENSION usage_tracking;
DROP SCHEMA usage;
CREATE SCHEMA usage;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC, anon, authenticated, service_role, regress_ut_nobody;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC, anon, authenticated, service_role, regress_ut_nobody;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC, anon, authenticated, service_role, regress_ut_nobody;
ALTER DEFAULT PRIVILEGES IN SCHEMA usage GRANT ALL ON TABLES TO anon, authenticated, service_role, regress_ut_app WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA usage GRANT ALL ON SEQUENCES TO anon, authenticated, service_role, regress_ut_app WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA usage GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role, regress_ut_app WITH GRANT OPTION;
CREATE EXTENSION usage_tracking SCHEMA usage;
UPDATE rights.roles SET audiences = '{}';
CREATE TABLE public.canary ();
SELECT ok(has_table_privilege('anon', 'canary', 'TRUNCATE'), 'those default privileges do give a new table away');
SELECT is_empty('SELECT * FROM rights.of_functions()', 'functions, as installed under default privileges');
SELECT results_eq('SELECT * FROM rights.of_relations()', $$VALUES ('usage_events_YYYY_MM: listed as ''r'', there as NULL')$$,
                  'relations, as installed under default privileges: all but a month');
SELECT is_empty('SELECT * FROM rights.of_schema()', 'the schema, as installed under default privileges');

UPDATE rights.roles SET audiences = CASE role WHEN 'service_role' THEN '{user,server}' WHEN 'authenticated' THEN '{user}'
                                              WHEN 'regress_ut_app' THEN '{user}' ELSE '{}' END::text[];
SELECT rights.grant_access(), usage.create_usage_partition('2031-02-03'), usage.usage_maintenance() \g /dev/null
SELECT rights.check('with partitions made later under default privileges');
SELECT * FROM finish();
ROLLBACK;
