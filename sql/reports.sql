/* reports: what do I show?
 *
 * Views run with the rights of whoever asks.  Over users they have two
 * branches, because a policy "own or admin" alone could not use an index.
 */
CREATE FUNCTION @extschema@._usage_of_user(
    user_id @user_id@,
    OUT limit_type text, OUT usage_type text, OUT measure text, OUT used numeric, OUT held numeric, OUT max_usage numeric,
    OUT remaining numeric, OUT percent numeric, OUT window_start timestamptz, OUT reset_at timestamptz,
    OUT enforcement text, OUT is_enforced boolean, OUT plan text) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 10
AS 'MODULE_PATHNAME', 'ut_usage_of_user';
COMMENT ON FUNCTION @extschema@._usage_of_user(@user_id@) IS
'Internal: every limit of one user as it stands; read view user_usage instead';

CREATE VIEW @extschema@.user_usage WITH (security_invoker = true, security_barrier = true) AS
    SELECT u.user_id, w.limit_type, w.usage_type, w.measure, w.used, w.held, w.max_usage, w.remaining, w.percent,
           w.window_start, w.reset_at, w.enforcement, w.is_enforced, w.plan
      FROM (SELECT me.user_id
              FROM (SELECT @extschema@.current_user_id() AS user_id) AS me
             WHERE me.user_id IS NOT NULL AND NOT (SELECT @extschema@._sees_all_users())
             UNION ALL
            SELECT s.user_id
              FROM @extschema@.user_subscriptions AS s
             WHERE (SELECT @extschema@._sees_all_users())) AS u
     CROSS JOIN LATERAL @extschema@._usage_of_user(u.user_id) AS w;
COMMENT ON VIEW @extschema@.user_usage IS
'Every limit of every user you may see, as it stands at this moment';
COMMENT ON COLUMN @extschema@.user_usage.held IS 'How much of "used" is only reserved';
COMMENT ON COLUMN @extschema@.user_usage.max_usage IS '-1 is unlimited';
COMMENT ON COLUMN @extschema@.user_usage.remaining IS 'NULL if unlimited, or of a kind that is not counted';
COMMENT ON COLUMN @extschema@.user_usage.reset_at IS 'NULL if never';
