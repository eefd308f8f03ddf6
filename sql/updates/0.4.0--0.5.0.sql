/* 0.5.0: counting in shared memory, rate limits */

/* Rows that count every event: their first use in shared memory makes that an instant. */
ALTER TABLE @extschema@.usage_counters ADD COLUMN counted_to timestamptz NOT NULL DEFAULT 'infinity';
COMMENT ON COLUMN @extschema@.usage_counters.counted_to IS
'used is of events before this instant; later ones count by being there';
COMMENT ON COLUMN @extschema@.usage_counters.holds IS
'How often reservations in this window changed, as far as shared memory did not know of them';

@new limits _terms_changed@
CREATE TRIGGER terms_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.user_subscriptions
    FOR EACH ROW EXECUTE FUNCTION @extschema@._terms_changed();
ALTER TABLE @extschema@.user_subscriptions ENABLE ALWAYS TRIGGER terms_changed;
CREATE TRIGGER terms_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.user_limits
    FOR EACH ROW EXECUTE FUNCTION @extschema@._terms_changed();
ALTER TABLE @extschema@.user_limits ENABLE ALWAYS TRIGGER terms_changed;

@new events _events_come@
CREATE TRIGGER events_come BEFORE INSERT ON @extschema@.usage_events
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._events_come();
ALTER TABLE @extschema@.usage_events ENABLE ALWAYS TRIGGER events_come;
CREATE TRIGGER event_comes AFTER INSERT ON @extschema@.usage_events
    FOR EACH ROW EXECUTE FUNCTION @extschema@._events_come();
ALTER TABLE @extschema@.usage_events ENABLE REPLICA TRIGGER event_comes;
@changed events _furnish_partition@
COMMENT ON FUNCTION @extschema@._furnish_partition(regclass) IS
'Internal: gives a new partition of usage_events its key, index, triggers, row security and rights';
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN
        SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i
         WHERE i.inhparent IN ('@extschema@.usage_events'::regclass, '@extschema@.usage_events_moving'::regclass)
    LOOP
        EXECUTE pg_catalog.format('CREATE TRIGGER events_come BEFORE INSERT ON %s'
                                  ' FOR EACH STATEMENT EXECUTE FUNCTION %s._events_come()', partition, '@extschema@');
        EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER events_come', partition);
    END LOOP;
END
$$;

@new counters _holds_changed@
CREATE TRIGGER holds_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.usage_reservations
    FOR EACH ROW EXECUTE FUNCTION @extschema@._holds_changed();
ALTER TABLE @extschema@.usage_reservations ENABLE ALWAYS TRIGGER holds_changed;
@new counters _forget_counters@
@new counters _counted_usage@
@changed upkeep _drop_months@
@changed upkeep _sweep_closed_windows@
@changed upkeep _earliest_window@
@changed reports_analytics _used_at_most@
@changed rollups_proof reconcile_usage@

/* rates: how fast, and the state of shared memory */
@new rates_limits@
@new rates_memory@

/* usage: history of another system */
@new usage_import@
@changed signups _forget_user@

/* access: who may call and read what is new */
@changed access _audience@
@changed access _readable@
@changed access grant_usage_access@
@changed access usage_security_check@
