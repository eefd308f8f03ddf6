/*
 * usage_renew.c -- a reservation that is to live longer.
 *
 * Somebody who decides at this moment may take it for expired, and use its room.
 * So the counters it stands beside say that reservations changed, as when one is
 * made; the account of the credits that it holds is locked, which whoever wants some
 * does too; and only then is it asked whether it still lives.  So whoever took the
 * room has it for good, and whoever has read too much looks again.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "credits.h"
#include "numbers.h"
#include "settings.h"
#include "usage.h"
#include "utils/timestamp.h"

/* The account, and every counter that knows of the reservation. */
static void
lock_what_knows_of(const Installation *home, const Hold *hold)
{
	UserTerms	terms = terms_of_user(hold->event.user_id, usage_now(), true);
	Stakes		stakes = weigh(current_config(), &terms, &hold->event, true);
	Stakes		changing = stakes_that_change(&stakes);

	if (hold->event.credits_used != NULL)
		(void) lock_account(home, hold->event.user_id, &terms);
	(void) take_from_counters(hold->event.user_id, &changing, HOLD_ANYWAY); /* refuses nothing */
}

static Statement set_expiry = {
	"UPDATE @extschema@.usage_reservations SET expires_at = $3"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
	3, {USER_ID, INT8OID, TIMESTAMPTZOID}
};

/* Of a user whose clock is locked.  False: it is no more.  Then the caller must fail, as counters may have changed. */
bool
renew_hold(const Installation *home, Datum user_id, int64 id, int64 hold_for, TimestampTz *expires_at)
{
	Datum		args[] = {user_id, Int64GetDatum(id), (Datum) 0};
	TimestampTz now;
	Hold		hold;

	if (!lock_hold(user_id, id, &hold))
		return false;
	lock_what_knows_of(home, &hold);
	now = usage_now();
	if (hold.expires_at <= now)
		return false;
	*expires_at = now + hold_for;
	args[2] = TimestampTzGetDatum(*expires_at);
	statement_write(&set_expiry, args, NULL);
	return true;
}
