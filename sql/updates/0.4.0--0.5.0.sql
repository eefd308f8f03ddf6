/* 0.5.0: counting in shared memory, rate limits */

/* Rows that count every event: their first use in shared memory makes that an instant. */
ALTER TABLE @extschema@.usage_counters ADD COLUMN counted_to timestamptz NOT NULL DEFAULT 'infinity';
COMMENT ON COLUMN @extschema@.usage_counters.counted_to IS
'used is of events before this instant; later ones count by being there';
COMMENT ON COLUMN @extschema@.usage_counters.holds IS
'How often reservations in this window changed, as far as shared memory did not know of them';
