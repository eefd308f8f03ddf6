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

ALTER TABLE @extschema@.usage_reservations ADD COLUMN credits numeric;
COMMENT ON COLUMN @extschema@.usage_reservations.credits IS
'What is held of the user''s credits, NULL if it costs none';

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

/* rollups, signups: credits, too */
@changed rollups reconcile_usage@
COMMENT ON FUNCTION @extschema@.reconcile_usage() IS
'Compares every counter, and the sums of every day, with the events they stand for, and credits with their ledger; a row for each difference, so none is good';
@new signups _forget_credits@
@changed signups _forget_user@
