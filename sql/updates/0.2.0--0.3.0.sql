/* 0.3.0: who pays, long work, levels, and counts on the application's own rows */

/* events: what it took, and of which run it is */
ALTER TABLE @extschema@.usage_events
    ADD COLUMN run_id bigint, ADD COLUMN credits_used numeric, ADD COLUMN credits_owed numeric;
ALTER TABLE @extschema@.usage_events_moving
    ADD COLUMN run_id bigint, ADD COLUMN credits_used numeric, ADD COLUMN credits_owed numeric;
COMMENT ON COLUMN @extschema@.usage_events.credits_used IS
'What was taken from the user''s credits for it, NULL if it costs none';
COMMENT ON COLUMN @extschema@.usage_events.credits_owed IS
'What it costs in credits beyond those there were: a fact is never refused';

COMMENT ON COLUMN @extschema@.usage_events.corrected_events IS
'How many events it counts for under limits on events: -1 takes one back, 0 is a test; NULL is 1';

/* users: when, by the clock of uses, and what plans gave */
ALTER TABLE @extschema@.usage_changes ALTER COLUMN changed_at SET DEFAULT @extschema@._usage_now();
CREATE INDEX usage_changes_refills ON @extschema@.usage_changes (changed_at) WHERE table_name = 'credit_refills';
COMMENT ON INDEX @extschema@.usage_changes_refills IS 'What plans gave, and when';

/* counters: what reservations hold of credits, and those of runs */
ALTER TABLE @extschema@.usage_reservations
    ADD COLUMN credits numeric, ADD COLUMN events bigint NOT NULL DEFAULT 1, ADD COLUMN is_run boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN @extschema@.usage_reservations.credits IS
'What is held of the user''s credits, NULL if it costs none';
COMMENT ON COLUMN @extschema@.usage_reservations.events IS
'How many events it counts for under limits on events: 0 is a test, see usage_runs';
COMMENT ON COLUMN @extschema@.usage_reservations.is_run IS
'Whether a run has the same id, and settles it';

/* plans: events of Stripe */
@new plans stripe_prices@
@new plans stripe_events@
@new plans _stripe_id@
@new plans _stripe_time@
@new plans _stripe_user@
@new plans _read_stripe_event@
@new plans _stripe_subscriptions@
@new plans _stripe_state@
@new plans _stripe_news@
@new plans _forget_stripe@
@new plans apply_stripe_event@
@new plans set_stripe_price@

/* counters: levels of gauges, and leases */
@new counters usage_levels@
@new counters usage_leases@
@new counters _session_lives@

@new credits@
@new runs@
@new rates@
@new tallies@

/* reports: what a payment service is told */
@new reports _stripe_meter_events@
@new reports stripe_meter_events@

/* signups: a user who goes takes what Stripe says of him along */
@changed signups _forget_if_deleted@

/* access: what is new, for whom */
@changed access _audience@
@changed access _readable@
@changed access usage_security_check@

/* rollups, signups: credits, too, and runs */
@changed rollups reconcile_usage@
COMMENT ON FUNCTION @extschema@.reconcile_usage() IS
'Compares every counter, and the sums of every day, with the events they stand for, and credits with their ledger; a row for each difference, so none is good';
@new signups _forget_credits@
@changed signups _forget_user@

/* upkeep: old runs, and leases that are over */
@new upkeep _sweep_old_runs@
@changed upkeep usage_maintenance@
