/* 0.4.0: analytics, dashboards, and pages to look at */

@new users _email_of@
@new users _registered_users@
@new users get_user_roles@
CREATE INDEX usage_changes_clocks ON @extschema@.usage_changes (changed_at) WHERE table_name = 'user_subscriptions' AND action <> 'INSERT'
    AND (old -> 'time_zone' IS DISTINCT FROM new -> 'time_zone' OR old -> 'anchor' IS DISTINCT FROM new -> 'anchor'
         OR (old -> 'billing_period_start' IS DISTINCT FROM new -> 'billing_period_start'
             AND old -> 'billing_period_end' IS DISTINCT FROM new -> 'billing_period_start'));
COMMENT ON INDEX @extschema@.usage_changes_clocks IS 'Whose windows were moved, and when; a billing period that follows another moves none';

/* rollups: a row a month of each user, for questions about all of them */
CREATE INDEX usage_aggregations_day ON @extschema@.usage_aggregations USING brin (day) WITH (autosummarize = on, pages_per_range = 32);
COMMENT ON INDEX @extschema@.usage_aggregations_day IS 'All users on some days';
@new rollups usage_user_months@
@new rollups _day_bit@
@changed rollups _add_to_days@
COMMENT ON FUNCTION @extschema@._add_to_days(text, boolean, boolean) IS
'Internal: adds the events for which a condition holds to usage_aggregations and, for totals, the sums over it';
@new rollups _sum_months@
@changed rollups _begin_rollups@
@changed rollups _finish_days@
@changed rollups _forget_days@
@new rollups _uncounted_events@
@changed rollups _days_of_all@
@changed rollups_proof _reconcile_days@
COMMENT ON FUNCTION @extschema@._reconcile_days() IS
'Internal: a row for each row of usage_aggregations, usage_daily_totals or usage_user_months that is not the sum of its events';
SELECT @extschema@._lock_rollups();
SELECT @extschema@._sum_months(NULL, '0001-01-01', '9999-12-31');

@new usage describe_decision@
@new reports visible_users@
@new reports_analytics@
@new reports_dashboard@
@new reports_html@
@new reports_html_lines@
@new reports_html_page@
@new reports_html_sections_admin@
@new reports_html_sections_user@
@new reports_page@
@new reports_text@

@changed access _audience@
@changed access usage_security_check@

@new upkeep prove_same_rows@
