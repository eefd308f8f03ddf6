/* usage_security_check() returns a row for each drift: whatever somebody with
 * the rights to do so changed, by which others can do more than the rules say
 * (design: Rights).  Each command below is undone again; its finding must name
 * what was changed. */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SELECT no_plan();
CREATE ROLE regress_ut_other;
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.create_usage_partition('2031-01-01'), usage.grant_usage_access('regress_ut_other') \g /dev/null
SELECT is_empty('SELECT * FROM usage.usage_security_check()', 'nothing is found at first');

/* The findings while a command is in force. */
CREATE FUNCTION pg_temp.findings(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    EXECUTE command;
    SELECT COALESCE(string_agg(object || ': ' || problem, '; '), 'nothing') INTO found FROM usage.usage_security_check();
    RAISE EXCEPTION USING MESSAGE = found, ERRCODE = 'UTEST';
EXCEPTION WHEN SQLSTATE 'UTEST' THEN
    RETURN SQLERRM;
END
$$;

SELECT matches(pg_temp.findings(command), finding, command)
  FROM (VALUES
    /* rights on relations, at each of them */
    ('GRANT SELECT ON usage.usage_events TO regress_ut_other', 'usage_events: regress_ut_other may SELECT'),
    ('GRANT SELECT ON usage.usage_events_2031_01 TO PUBLIC', 'usage_events_2031_01: PUBLIC may SELECT'),
    ('GRANT INSERT ON usage.user_limits TO regress_ut_other', 'user_limits: regress_ut_other may INSERT'),
    ('GRANT UPDATE (used) ON usage.usage_counters TO regress_ut_other', 'usage_counters: regress_ut_other may UPDATE'),
    ('GRANT SELECT (metadata) ON usage.user_subscriptions TO regress_ut_other', 'user_subscriptions: regress_ut_other may SELECT'),
    ('GRANT USAGE ON SEQUENCE usage.usage_events_id_seq TO regress_ut_other', 'usage_events_id_seq: regress_ut_other may USAGE'),
    ('GRANT UPDATE ON usage.usage_imports TO regress_ut_other', 'usage_imports: regress_ut_other may UPDATE'),
    ('GRANT TRUNCATE ON usage.usage_keys TO regress_ut_other', 'usage_keys: regress_ut_other may TRUNCATE'),
    ('ALTER TABLE usage.user_roles OWNER TO regress_ut_other', 'user_roles: '),
    ('ALTER TABLE usage.usage_events_2031_01 DISABLE ROW LEVEL SECURITY', 'usage_events_2031_01: row security'),
    ('ALTER TABLE usage.user_roles DISABLE ROW LEVEL SECURITY', 'user_roles: row security'),
    /* policies and views */
    ('CREATE POLICY more ON usage.usage_events USING (true)', 'usage_events: policy more'),
    ('ALTER POLICY own_or_all ON usage.user_subscriptions USING (true)', 'user_subscriptions: policy own_or_all'),
    ('DROP TRIGGER change_recorded ON usage.usage_alert_rules', 'usage_alert_rules: its changes are not recorded'),
    ('ALTER POLICY own_or_all ON usage.user_subscriptions USING (user_id = (SELECT usage.current_user_id()) OR (SELECT usage._sees_all_users()) OR true)', 'user_subscriptions: policy own_or_all'),
    ('ALTER VIEW usage.user_usage SET (security_invoker = false)', 'user_usage: '),
    ('ALTER VIEW usage.user_usage SET (security_barrier = false)', 'user_usage: '),
    ('ALTER POLICY own_or_all ON usage.user_subscriptions USING (user_id IS NOT NULL)', 'user_subscriptions: policy own_or_all'),
    ('ALTER POLICY own_or_all ON usage.user_subscriptions USING (user_id = usage.current_user_id() OR usage._sees_all_users() OR true)', 'user_subscriptions: policy own_or_all'),
    ('ALTER POLICY own_or_all ON usage.user_subscriptions USING (user_id IS DISTINCT FROM usage.current_user_id() OR usage._sees_all_users())', 'user_subscriptions: policy own_or_all'),
    ('DROP POLICY own_or_all ON usage.user_subscriptions', 'user_subscriptions: policy own_or_all'),
    ('ALTER POLICY own_or_all ON usage.user_subscriptions RENAME TO mine', 'user_subscriptions: policy (mine|own_or_all)'),
    ('DROP POLICY own_or_all ON usage.user_subscriptions; CREATE POLICY own_or_all ON usage.user_subscriptions USING (user_id = (SELECT usage.current_user_id()) OR (SELECT usage._sees_all_users()))', 'user_subscriptions: policy own_or_all'),
    ('DROP POLICY own_or_all ON usage.user_subscriptions; CREATE POLICY own_or_all ON usage.user_subscriptions AS RESTRICTIVE FOR SELECT USING (user_id = (SELECT usage.current_user_id()) OR (SELECT usage._sees_all_users()))', 'user_subscriptions: policy own_or_all'),
    ('CREATE POLICY more ON usage.user_subscriptions FOR SELECT USING (true)', 'user_subscriptions: policy more'),
    /* more policies: wider than ours in what they let through, in what they are for, or in whom they ask */
    ('CREATE POLICY more ON usage.user_subscriptions FOR SELECT USING (user_id IS NOT NULL)', 'user_subscriptions: policy more'),
    ('CREATE POLICY more ON usage.user_subscriptions USING (user_id = (SELECT usage.current_user_id()))', 'user_subscriptions: policy more'),
    ('CREATE POLICY more ON usage.user_subscriptions FOR UPDATE USING ((SELECT usage._sees_all_users()))', 'user_subscriptions: policy more'),
    ('CREATE POLICY more ON usage.user_subscriptions FOR DELETE USING (user_id = (SELECT usage.current_user_id()))', 'user_subscriptions: policy more'),
    ('CREATE POLICY more ON usage.user_subscriptions FOR INSERT WITH CHECK (user_id = (SELECT usage.current_user_id()))', 'user_subscriptions: policy more'),
    ('CREATE POLICY more ON usage.user_subscriptions FOR UPDATE USING (false) WITH CHECK (true)', 'user_subscriptions: policy more'),
    ('CREATE POLICY more ON usage.user_subscriptions FOR SELECT USING (user_id = (SELECT usage.current_user_id()) OR true)', 'user_subscriptions: policy more'),
    ('CREATE POLICY more ON usage.user_subscriptions FOR SELECT USING (NOT user_id = (SELECT usage.current_user_id()))', 'user_subscriptions: policy more'),
    ('CREATE POLICY more ON usage.user_subscriptions AS RESTRICTIVE FOR SELECT USING (false)', 'user_subscriptions: policy more'),
    ('CREATE POLICY more ON usage.user_roles FOR SELECT USING (user_id = (SELECT usage.current_user_id()))', 'user_roles: policy more'),
    ('CREATE POLICY more ON usage.usage_events FOR SELECT USING ((SELECT usage._sees_all_users()))', 'usage_events: policy more'),
    ($$CREATE SCHEMA evil; CREATE FUNCTION evil._sees_all_users() RETURNS boolean LANGUAGE sql AS 'SELECT true';
       CREATE POLICY more ON usage.user_subscriptions FOR SELECT USING ((SELECT evil._sees_all_users()))$$, 'user_subscriptions: policy more'),
    ($$CREATE SCHEMA evil; CREATE FUNCTION evil._sees_all_users() RETURNS boolean LANGUAGE sql AS 'SELECT true';
       ALTER POLICY own_or_all ON usage.user_subscriptions USING (user_id = (SELECT usage.current_user_id()) OR (SELECT evil._sees_all_users()))$$,
     'user_subscriptions: policy own_or_all'),
    /* a policy on a table that only functions read, even the one that would be right elsewhere */
    ('CREATE POLICY own_or_all ON usage.usage_events FOR SELECT USING (true)', 'usage_events: policy own_or_all is not ours'),
    ('CREATE POLICY own_or_all ON usage.usage_events FOR SELECT USING (user_id = (SELECT usage.current_user_id()) OR (SELECT usage._sees_all_users()))', 'usage_events: policy own_or_all is not ours'),
    ('CREATE POLICY own_or_all ON usage.campaigns FOR SELECT USING (user_id = (SELECT usage.current_user_id()) OR (SELECT usage._sees_all_users()))', 'campaigns: policy own_or_all is not ours'),
    ('CREATE POLICY own_or_all ON usage.campaigns USING (user_id IS NOT NULL)', 'campaigns: policy own_or_all is not ours'),
    ('CREATE POLICY own_or_all ON usage.usage_alerts FOR SELECT USING (user_id = (SELECT usage.current_user_id()) OR (SELECT usage._sees_all_users()))', 'usage_alerts: policy own_or_all is not ours'),
    ('CREATE POLICY mine ON usage.usage_alerts AS RESTRICTIVE FOR SELECT USING (true)', 'usage_alerts: policy mine is not ours'),
    ('CREATE POLICY own_or_all ON usage.usage_events_2031_01 FOR SELECT USING (user_id = usage.current_user_id() OR usage._sees_all_users())', 'usage_events_2031_01: policy own_or_all'),
    ('CREATE POLICY own_or_all ON usage.usage_events_moving FOR SELECT USING (true)', 'usage_events_moving: policy own_or_all'),
    ('CREATE POLICY more ON usage.campaigns FOR SELECT USING (true)', 'campaigns: policy more'),
    ('GRANT SELECT (reason) ON usage.usage_events TO regress_ut_other', 'usage_events: regress_ut_other may SELECT column reason'),
    ('GRANT SELECT (metadata) ON usage.usage_events TO regress_ut_other', 'usage_events: regress_ut_other may SELECT column metadata'),
    ('GRANT SELECT (id) ON usage.usage_events TO PUBLIC', 'usage_events: PUBLIC may SELECT column id'),
    ('GRANT SELECT (id, user_id, ip) ON usage.usage_events TO regress_ut_other', 'usage_events: regress_ut_other may SELECT column id.*usage_events: regress_ut_other may SELECT column user_id.*usage_events: regress_ut_other may SELECT column ip'),
    ('GRANT SELECT (cost) ON usage.usage_events TO regress_ut_other', 'usage_events: regress_ut_other may SELECT column cost'),
    ('GRANT SELECT (user_id) ON usage.campaigns TO regress_ut_other', 'campaigns: regress_ut_other may SELECT column user_id'),
    ('GRANT SELECT ON usage.campaigns TO regress_ut_other', 'campaigns: regress_ut_other may SELECT'),
    ('GRANT SELECT (used) ON usage.usage_alerts TO regress_ut_other', 'usage_alerts: regress_ut_other may SELECT column used'),
    ('GRANT SELECT (acknowledged_by) ON usage.usage_alerts TO regress_ut_other', 'usage_alerts: regress_ut_other may SELECT column acknowledged_by'),
    ('GRANT SELECT ON usage.usage_alerts TO regress_ut_other', 'usage_alerts: regress_ut_other may SELECT'),
    ('GRANT SELECT (stripe_customer_id) ON usage.user_subscriptions TO regress_ut_other', 'user_subscriptions: regress_ut_other may SELECT column stripe_customer_id'),
    ('GRANT EXECUTE ON FUNCTION usage._recorded_calls TO regress_ut_other', '_recorded_calls.*: regress_ut_other may call'),
    ('GRANT EXECUTE ON FUNCTION usage._calls_of_user TO PUBLIC', '_calls_of_user.*: PUBLIC may call'),
    ('ALTER FUNCTION usage._recorded_calls SECURITY DEFINER', '_recorded_calls.*: it runs with'),
    ('ALTER TABLE usage.usage_alerts DISABLE ROW LEVEL SECURITY', 'usage_alerts: row security'),
    ('GRANT SELECT (id) ON usage.usage_events_2031_01 TO regress_ut_other', 'usage_events_2031_01: regress_ut_other may SELECT'),
    ('GRANT SELECT (id) ON usage.usage_events_default TO regress_ut_other', 'usage_events_default: regress_ut_other may SELECT'),
    ('GRANT SELECT (id) ON usage.usage_events_moving TO regress_ut_other', 'usage_events_moving: regress_ut_other may SELECT'),
    ('GRANT INSERT (cost) ON usage.usage_events TO regress_ut_other', 'usage_events: regress_ut_other may INSERT'),
    ('GRANT UPDATE ON usage.campaigns TO regress_ut_other', 'campaigns: regress_ut_other may UPDATE'),
    ('GRANT SELECT ON usage.campaigns TO PUBLIC', 'campaigns: PUBLIC may SELECT'),
    ('GRANT SELECT ON usage.api_usage TO PUBLIC', 'api_usage: PUBLIC may SELECT'),
    ('GRANT UPDATE ON usage.api_usage TO regress_ut_other', 'api_usage: regress_ut_other may UPDATE'),
    ('GRANT SELECT ON usage.model_prices TO regress_ut_other', 'model_prices: regress_ut_other may SELECT'),
    ('ALTER TABLE usage.campaigns DISABLE ROW LEVEL SECURITY', 'campaigns: row security'),
    ('ALTER TABLE usage.usage_events DISABLE ROW LEVEL SECURITY', 'usage_events: row security'),
    ('ALTER VIEW usage.api_usage SET (security_invoker = false)', 'api_usage: view does not run'),
    ('ALTER VIEW usage.api_usage RESET (security_invoker)', 'api_usage: view does not run'),
    ('ALTER VIEW usage.api_usage SET (security_barrier = false)', 'api_usage: view does not run'),
    ('CREATE VIEW usage.more AS SELECT * FROM usage.usage_events; ALTER EXTENSION usage_tracking ADD VIEW usage.more', 'more: view does not run'),
    ('GRANT EXECUTE ON FUNCTION usage.track_api_usage TO regress_ut_other', 'track_api_usage.*: regress_ut_other may call'),
    ('GRANT EXECUTE ON FUNCTION usage._readable TO regress_ut_other', '_readable.*: regress_ut_other may call'),
    ('GRANT EXECUTE ON FUNCTION usage.recost_usage TO PUBLIC', 'recost_usage.*: PUBLIC may call'),
    ('ALTER FUNCTION usage.define_campaign SECURITY DEFINER', 'define_campaign.*: it runs with'),
    ('GRANT SET ON PARAMETER usage_tracking.redacted_keys TO regress_ut_other', 'usage_tracking.redacted_keys: regress_ut_other'),
    ('ALTER TABLE usage.model_prices DISABLE TRIGGER config_changed', 'model_prices: .*config_changed'),
    /* functions: who may call them, and as whom they run */
    ('GRANT EXECUTE ON FUNCTION usage.handle_deleted_user TO regress_ut_other', 'handle_deleted_user\(\): regress_ut_other may call'),
    ('GRANT EXECUTE ON FUNCTION usage.track_usage TO regress_ut_other', 'track_usage.*: regress_ut_other may call'),
    ('GRANT EXECUTE ON FUNCTION usage.consume_usage TO PUBLIC', 'consume_usage.*: PUBLIC may call'),
    ('GRANT EXECUTE ON FUNCTION usage.act_for_any_user TO PUBLIC', 'act_for_any_user\(\): PUBLIC may call'),
    ('ALTER FUNCTION usage.consume_usage OWNER TO regress_ut_other', 'consume_usage'),
    ('ALTER FUNCTION usage.consume_usage SECURITY DEFINER', 'consume_usage'),
    ('ALTER FUNCTION usage._sees_all_users SECURITY DEFINER', '_sees_all_users'),
    ('ALTER FUNCTION usage.handle_new_user RESET ALL', 'handle_new_user'),
    ('ALTER FUNCTION usage.create_usage_partition SET search_path = public', 'create_usage_partition'),
    /* triggers that keep history and numbers right */
    ('ALTER TABLE usage.usage_events DISABLE TRIGGER history_is_kept', 'usage_events: .*history_is_kept'),
    ('ALTER TABLE usage.usage_events_2031_01 DISABLE TRIGGER history_is_not_truncated', 'usage_events_2031_01: .*history_is'),
    ('ALTER TABLE usage.usage_limits DISABLE TRIGGER config_changed', 'usage_limits: .*config_changed'),
    ('ALTER TABLE usage.usage_limits ENABLE REPLICA TRIGGER counting_changed', 'usage_limits: .*counting_changed'),
    ('ALTER TABLE usage.user_subscriptions DISABLE TRIGGER ALL', 'user_subscriptions: .*clock_changed'),
    ('ALTER TABLE usage.usage_changes DISABLE TRIGGER history_is_kept', 'usage_changes: .*history_is_kept'),
    ('DROP TRIGGER history_is_kept ON usage.usage_events', 'usage_events: history can be changed'),
    ('DROP TRIGGER history_is_not_truncated ON usage.usage_changes', 'usage_changes: history can be changed'),
    ('ALTER TABLE usage.user_limits DISABLE TRIGGER change_recorded', 'user_limits: .*change_recorded'),
    ('DROP TRIGGER change_recorded ON usage.plans', 'plans: its changes are not recorded'),
    ('DROP TRIGGER truncation_recorded ON usage.user_roles', 'user_roles: its changes are not recorded'),
    ('DROP TRIGGER new_plan_recorded ON usage.user_subscriptions', 'user_subscriptions: its changes are not recorded'),
    ('CREATE OR REPLACE TRIGGER change_recorded AFTER DELETE ON usage.usage_limits FOR EACH ROW EXECUTE FUNCTION usage._record_change()',
     'usage_limits: its changes are not recorded'),
    ('GRANT SELECT ON usage.usage_changes TO regress_ut_other', 'usage_changes: regress_ut_other may SELECT'),
    ('GRANT INSERT ON usage.user_usage TO regress_ut_other', 'user_usage: regress_ut_other may INSERT'),
    ('GRANT UPDATE ON usage.user_usage TO PUBLIC', 'user_usage: PUBLIC may UPDATE'),
    ('GRANT UPDATE ON usage.user_subscriptions TO regress_ut_other', 'user_subscriptions: regress_ut_other may UPDATE'),
    /* the schema, and who may set what decides */
    ('GRANT CREATE ON SCHEMA usage TO regress_ut_other', 'usage: regress_ut_other may create'),
    ('ALTER SCHEMA usage OWNER TO regress_ut_other', '^usage: '),
    ('GRANT SET ON PARAMETER usage_tracking.clock TO regress_ut_other', 'usage_tracking.clock: regress_ut_other'),
    ('GRANT SET ON PARAMETER usage_tracking.user_id TO PUBLIC', 'usage_tracking.user_id: PUBLIC'),
    ('GRANT SET, ALTER SYSTEM ON PARAMETER usage_tracking.identity TO regress_ut_other', 'usage_tracking.identity: regress_ut_other')
  ) AS v (command, finding);

/* What is meant to be granted is no finding. */
SELECT is(pg_temp.findings(command), 'nothing', command || ' is as it should be')
  FROM unnest(ARRAY['GRANT SET ON PARAMETER usage_tracking.user_id TO regress_ut_other',
                    'GRANT SET ON PARAMETER usage_tracking.error_style TO regress_ut_other',
                    'SELECT usage.grant_usage_access(''regress_ut_other'', server => true)',
                    'SET LOCAL search_path = usage, public',
                    'ALTER POLICY own_or_all ON usage.user_subscriptions USING (user_id = (SELECT usage.current_user_id()) OR (SELECT usage._sees_all_users()))',
                    'CREATE POLICY mine ON usage.user_subscriptions FOR SELECT USING (user_id = (SELECT usage.current_user_id()))',
                    'CREATE POLICY admins ON usage.user_subscriptions FOR SELECT TO regress_ut_other USING ((SELECT usage._sees_all_users()))',
                    'CREATE POLICY nobody ON usage.user_subscriptions USING (false) WITH CHECK (false)',
                    'CREATE POLICY nobody ON usage.user_roles FOR INSERT WITH CHECK (false)',
                    'SET LOCAL search_path = usage; CREATE POLICY mine ON user_subscriptions FOR SELECT USING (user_id = (SELECT current_user_id()))',
                    'SELECT usage.create_usage_partition(''2031-02-01''), usage.usage_maintenance()']) AS command;
SELECT is_empty('SELECT * FROM usage.usage_security_check()', 'nothing is found when all is undone');
SELECT * FROM finish();
ROLLBACK;
