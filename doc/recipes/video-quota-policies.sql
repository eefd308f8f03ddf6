/* The policies of video-quota.sql, by their names, on the tables behind its views.
 *
 *   psql -f video-quota-policies.sql      after a restore: pg_dump knows no policies of an extension's tables
 *
 * They let nobody do anything that the extension's own policy does not: a view has
 * no policies, its rows are decided by own_or_all and by functions. */
\set ON_ERROR_STOP on
SELECT x.extnamespace::regnamespace AS usage FROM pg_extension AS x WHERE x.extname ~ '^usage_tracking' \gset
CREATE POLICY user_usage_select_policy ON :usage.user_subscriptions FOR SELECT
    USING (user_id = (SELECT :usage.current_user_id()));
CREATE POLICY admin_user_usage_policy ON :usage.user_subscriptions FOR SELECT
    USING ((SELECT :usage._sees_all_users()));
CREATE POLICY user_usage_update_policy ON :usage.user_subscriptions FOR UPDATE
    USING (false) WITH CHECK (false);  -- D0-1: the row holds the limit
CREATE POLICY user_roles_select_policy ON :usage.user_roles FOR SELECT
    USING (false);                     -- get_user_roles() reads it: EXPLAIN would tell of others
CREATE POLICY admin_user_roles_policy ON :usage.user_roles FOR ALL
    USING (false) WITH CHECK (false);  -- D0-3: grant_role() and revoke_role() write it
CREATE POLICY bootstrap_admin_policy ON :usage.user_roles FOR INSERT
    WITH CHECK (false);                -- D0-2: the owner of the database makes the first admin
