/*
 * counters_leases.c -- rows of leases.
 *
 * A lease is live while its expires_at has not come, nobody released it, and its
 * session, if it names one, is there.  To add one or to prolong one takes the lock of its level
 * (counters_levels.c): what an older look finds over would else be live again.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "counters.h"
#include "rows.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

int64
next_lease_id(const Installation *home)
{
	return nextval_internal(get_relname_relid("usage_leases_id_seq", home->schema), false);
}

static Statement insert_row = {
	"INSERT INTO @extschema@.usage_leases"
	" (user_id, id, expires_at, session_segment, session_token, limit_type, acquired_at)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7)",
	7, {USER_ID, INT8OID, TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID, TIMESTAMPTZOID}
};

static Statement set_end = {
	"UPDATE @extschema@.usage_leases SET expires_at = $3, session_segment = $4, session_token = $5"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
	5, {USER_ID, INT8OID, TIMESTAMPTZOID, INT8OID, INT8OID}
};

/* Without a holder it is nobody's in particular, until it expires. */
void
write_lease(Datum user_id, int64 id, const char *limit_type, TimestampTz expires_at, SessionMark holder)
{
	Datum		args[] = {
		user_id, Int64GetDatum(id), TimestampTzGetDatum(expires_at),
		Int64GetDatum(holder.segment), Int64GetDatum(holder.token),
		CStringGetTextDatum(limit_type), TimestampTzGetDatum(usage_now())
	};

	statement_write(&insert_row, args, holder.segment == 0 ? "   nn  " : NULL);
}

/* Of a row that is locked. */
void
prolong_lease(Datum user_id, int64 id, TimestampTz expires_at, SessionMark holder)
{
	Datum		args[] = {
		user_id, Int64GetDatum(id), TimestampTzGetDatum(expires_at),
		Int64GetDatum(holder.segment), Int64GetDatum(holder.token)
	};

	statement_write(&set_end, args, holder.segment == 0 ? "   nn" : NULL);
}

static Statement find_limit_type = {
	"SELECT limit_type FROM @extschema@.usage_leases"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
	2, {USER_ID, INT8OID}
};

/* NULL: there is no such lease of this user. */
char *
limit_of_lease(Datum user_id, int64 id)
{
	Datum		args[] = {user_id, Int64GetDatum(id)};

	return statement_look_afresh(&find_limit_type, args, NULL) > 0 ? result_text(0, 1) : NULL;
}

#define LIVE_LEASE \
	"SELECT COALESCE(session_segment, 0), COALESCE(session_token, 0) FROM @extschema@.usage_leases" \
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2" \
	" AND expires_at OPERATOR(pg_catalog.>) $3 AND released_at IS NULL"

static Statement find_live = {LIVE_LEASE, 3, {USER_ID, INT8OID, TIMESTAMPTZOID}};
static Statement lock_live = {LIVE_LEASE " FOR NO KEY UPDATE", 3, {USER_ID, INT8OID, TIMESTAMPTZOID}};

static bool
is_held(SessionMark holder)
{
	return holder.segment == 0 || session_lives(holder);
}

static bool
found_holder(void)
{
	SessionMark holder = {result_int64(0, 1), result_int64(0, 2)};

	return is_held(holder);
}

bool
lease_is_live(Datum user_id, int64 id)
{
	Datum		args[] = {user_id, Int64GetDatum(id), TimestampTzGetDatum(usage_now())};

	return statement_look_afresh(&find_live, args, NULL) > 0 && found_holder();
}

/* Locked until we end, if it is live. */
bool
lock_live_lease(Datum user_id, int64 id)
{
	Datum		args[] = {user_id, Int64GetDatum(id), TimestampTzGetDatum(usage_now())};

	return statement_write_or_fail(&lock_live, &find_live, args, NULL) > 0 && found_holder();
}

static Table leases = {
	"usage_leases",
	{"user_id", "limit_type", "expires_at", "released_at", "session_segment", "session_token"},
	{"user_id", "limit_type", "expires_at"}
};

enum
{
	LEASE_USER, LEASE_TYPE, LEASE_EXPIRES_AT, LEASE_RELEASED_AT, LEASE_SEGMENT, LEASE_TOKEN
};

static Statement find_leases = {
	"SELECT COALESCE(session_segment, 0), COALESCE(session_token, 0) FROM @extschema@.usage_leases"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND limit_type OPERATOR(pg_catalog.=) $2"
	" AND expires_at OPERATOR(pg_catalog.>) $3 AND released_at IS NULL",
	3, {USER_ID, TEXTOID, TIMESTAMPTZOID}
};

static int64
count_leases_by_statement(Datum user_id, const char *limit_type, TimestampTz now)
{
	Datum		args[] = {user_id, CStringGetTextDatum(limit_type), TimestampTzGetDatum(now)};
	uint64		rows = statement_look(&find_leases, args, NULL);
	int64		n = 0;

	for (uint64 row = 0; row < rows; row++)
		n += is_held((SessionMark) {result_int64(row, 1), result_int64(row, 2)});
	return n;
}

/*
 * By index: where leases come and go, most of what it leads to is over, and a walk
 * marks that as dead for who comes next.  A plan's bitmap would not.
 */
int64
count_live_leases(Datum user_id, const char *limit_type, TimestampTz now)
{
	Key			keys[] = {
		{LEASE_USER, BTEqualStrategyNumber, user_id},
		{LEASE_TYPE, BTEqualStrategyNumber, CStringGetTextDatum(limit_type)},
		{LEASE_EXPIRES_AT, BTGreaterStrategyNumber, TimestampTzGetDatum(now)}
	};
	int64		n = 0;
	Rows		rows;

	if (!rows_can_be_found(&leases))
		return count_leases_by_statement(user_id, limit_type, now);
	rows = rows_begin(&leases, keys, lengthof(keys));
	while (rows_next(&rows))
		n += row_is_null(&rows, LEASE_RELEASED_AT) &&
			is_held((SessionMark) {row_int64(&rows, LEASE_SEGMENT), row_int64(&rows, LEASE_TOKEN)});
	rows_end(&rows);
	return n;
}

static Statement end_row = {
	"UPDATE @extschema@.usage_leases SET expires_at = $3, released_at = $3"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2"
	" AND expires_at OPERATOR(pg_catalog.>) $3 AND released_at IS NULL",
	3, {USER_ID, INT8OID, TIMESTAMPTZOID}
};

void
end_lease(Datum user_id, int64 id)
{
	Datum		args[] = {user_id, Int64GetDatum(id), TimestampTzGetDatum(usage_now())};

	statement_write_or_fail(&end_row, &find_live, args, NULL);
}

static Statement bury = {
	"UPDATE @extschema@.usage_leases SET expires_at = $3, released_at = $3"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) ANY (ARRAY("
	"SELECT id FROM @extschema@.usage_leases"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND limit_type OPERATOR(pg_catalog.=) $2"
	" AND expires_at OPERATOR(pg_catalog.=) 'infinity'"
	" AND NOT @extschema@._session_lives(session_segment, session_token) FOR UPDATE SKIP LOCKED))",
	3, {USER_ID, TEXTOID, TIMESTAMPTZOID}
};

/*
 * Ends those whose sessions are gone, so that nobody asks for them again.  Nothing
 * depends on it, so a transaction that could fail over it leaves it to others.
 */
void
bury_leases(Datum user_id, const char *limit_type)
{
	Datum		args[] = {user_id, CStringGetTextDatum(limit_type), TimestampTzGetDatum(usage_now())};

	if (!IsolationUsesXactSnapshot())
		statement_write(&bury, args, NULL);
}
