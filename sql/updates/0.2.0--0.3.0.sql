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

@new credits@
@new runs@
@new rates@
@new tallies@

/* access: what is new, for whom */
@changed access _audience@
@changed access _readable@
@changed access usage_security_check@

/* rollups, signups: credits, too */
@changed rollups reconcile_usage@
@new signups _forget_credits@
@changed signups _forget_user@
