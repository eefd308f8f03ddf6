/* 0.2.0: what did it cost? */

@new prices@
@new alerts@

/* limits: measured in cost, too */
ALTER TABLE @extschema@.usage_limits DROP CONSTRAINT usage_limits_measure_check,
    ADD CONSTRAINT usage_limits_measure_check CHECK (measure = ANY (ARRAY['events', 'quantity', 'tokens', 'cost']));

@new limits install_demo_plan@

/* events: calls of an API */
ALTER TABLE @extschema@.usage_events ALTER COLUMN cost DROP NOT NULL;
ALTER TABLE @extschema@.usage_events_moving ALTER COLUMN cost DROP NOT NULL;
DO $$
DECLARE
    parent regclass;
BEGIN
    FOREACH parent IN ARRAY ARRAY['@extschema@.usage_events', '@extschema@.usage_events_moving']::regclass[] LOOP
        EXECUTE pg_catalog.format('ALTER TABLE %s'
            ' ADD COLUMN provider text, ADD COLUMN model text, ADD COLUMN endpoint text, ADD COLUMN request_id text,'
            ' ADD COLUMN service_tier text, ADD COLUMN input_tokens bigint, ADD COLUMN output_tokens bigint,'
            ' ADD COLUMN cache_read_tokens bigint, ADD COLUMN cache_write_tokens bigint,'
            ' ADD COLUMN cache_write_1h_tokens bigint, ADD COLUMN reasoning_tokens bigint,'
            ' ADD COLUMN audio_input_tokens bigint, ADD COLUMN audio_cache_read_tokens bigint,'
            ' ADD COLUMN audio_output_tokens bigint, ADD COLUMN image_input_tokens bigint,'
            ' ADD COLUMN image_output_tokens bigint, ADD COLUMN input_cost numeric, ADD COLUMN output_cost numeric,'
            ' ADD COLUMN price_id bigint, ADD COLUMN error_code text, ADD COLUMN campaign_id text,'
            ' ADD COLUMN ip inet, ADD COLUMN user_agent text', parent);
    END LOOP;
END
$$;
COMMENT ON COLUMN @extschema@.usage_events.cost IS
'NULL if nobody knows what it cost; then limits on cost do not count it';
COMMENT ON COLUMN @extschema@.usage_events.input_tokens IS
'Each token of a call is in one class only; NULL is none, and tokens is their sum';
COMMENT ON COLUMN @extschema@.usage_events.price_id IS
'The row of model_prices that its cost comes from, NULL if it has several or none';
@new events campaigns@
@new events define_campaign@
@new usage track_api_usage@
@new usage recost_usage@
@changed signups _export_user@
@new upkeep _sweep_old_alerts@
@new reports _recorded_calls@
@new reports _calls_of_user@
@new reports api_usage@

/* rollups, reports: how was it over time? */
@new rollups _system_identifier@
@new rollups _default_time_zone@
@new rollups _next_xact_id@
@new rollups usage_aggregations@
@new rollups usage_daily_totals@
@new rollups usage_rollup_state@
@new rollups _events_are_replicated@
@new rollups _rollup_progress@
@new rollups _is_uncounted@
@new rollups _event_amounts@
@new rollups _lock_rollups@
@new rollups _add_to_days@
@new rollups _begin_rollups@
@new rollups _begin_pass@
@new rollups _continue_pass@
@new rollups _refresh_step@
@new rollups refresh_usage_aggregations@
@new rollups _refresh_aggregations@
@new rollups _finish_days@
@new rollups _forget_days@
@new rollups _days_of_user@
@new rollups _days_of_all@
@new rollups _find_unusual_use@
@new rollups _report_unusual_use@
@new rollups _first_difference@
@new rollups _reconcile_days@
@changed rollups reconcile_usage@
@new reports _get_user_usage@
@new reports get_user_usage@
@new reports _get_user_costs@
@new reports get_user_costs@
@new reports _get_user_usage_history@
@new reports get_user_usage_history@
@new reports _get_user_aggregations@
@new reports get_user_aggregations@
@new reports _get_usage_totals@
@new reports get_usage_totals@
@new reports _get_user_stats@
@new reports get_user_stats@
@new reports _get_campaigns@
@new reports get_campaigns@
COMMENT ON FUNCTION @extschema@.reconcile_usage() IS
'Compares every counter, and the sums of every day, with the events they stand for; a row for each difference, so none is good';
@changed signups _forget_user@
@changed upkeep _carry_month@
@changed upkeep _retire_months@
@changed upkeep usage_maintenance@
COMMENT ON FUNCTION @extschema@.usage_maintenance(integer) IS
'Does the most urgent upkeep in bounded steps, and says what it did and what is left: deleted users, rows that nobody asks for any more, sums by day, retention, partitions, rights; what is in use is left for a later call';
@changed access _audience@
@new access _readable@
@changed access grant_usage_access@
@changed access usage_security_check@
