/*
 * counters_levels.c -- how much of a gauge is taken up.
 *
 * That is its level and one for each live lease.  Whoever may add to either locks
 * the row of the level and then looks afresh, so nobody decides beside him.  What
 * only makes room, a release or an expiry, needs no lock.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "counters.h"
#include "rows.h"
#include "settings.h"
#include "utils/builtins.h"

/* ---- reading ---- */

static Table levels = {"usage_levels", {"user_id", "limit_type", "level"}};

enum
{
	LEVEL_USER, LEVEL_TYPE, LEVEL_LEVEL
};

static Numeric
level_of(Datum user_id, const char *limit_type)
{
	Key			keys[] = {
		{LEVEL_USER, BTEqualStrategyNumber, user_id},
		{LEVEL_TYPE, BTEqualStrategyNumber, CStringGetTextDatum(limit_type)}
	};
	Rows		rows = rows_begin(&levels, keys, lengthof(keys));
	Numeric		level = rows_next(&rows) ? row_numeric(&rows, LEVEL_LEVEL) : num_zero;

	rows_end(&rows);
	return level;
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

static bool
is_held(SessionMark holder)
{
	return holder.segment == 0 || session_lives(holder);
}

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
static int64
count_leases(Datum user_id, const char *limit_type, TimestampTz now)
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

/* Fills "used" with the level and "held" with the live leases of each gauge. */
void
read_levels(Datum user_id, Stakes *stakes, bool afresh)
{
	TimestampTz now = usage_now();

	if (stakes->n == 0)
		return;
	if (afresh)
		begin_fresh_view();
	for (int i = 0; i < stakes->n; i++)
	{
		Stake	   *stake = &stakes->all[i];

		stake->used = level_of(user_id, stake->limit->name);
		stake->held = num_from(count_leases(user_id, stake->limit->name, now));
	}
	if (afresh)
		end_fresh_view();
}

/* ---- a level ---- */

static Statement lock_row = {
	"SELECT level FROM @extschema@.usage_levels"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND limit_type OPERATOR(pg_catalog.=) $2 FOR NO KEY UPDATE",
	2, {USER_ID, TEXTOID}
};

static Statement make_row = {
	"INSERT INTO @extschema@.usage_levels (user_id, limit_type, level, changed_at) VALUES ($1, $2, 0, $3)"
	" ON CONFLICT (user_id, limit_type) DO NOTHING",
	3, {USER_ID, TEXTOID, TIMESTAMPTZOID}
};

/*
 * The level, locked until we end.  At REPEATABLE READ a row that is newer than the
 * snapshot is not found, and then making it fails.
 */
Numeric
lock_level(Datum user_id, const char *limit_type)
{
	Datum		args[] = {user_id, CStringGetTextDatum(limit_type), TimestampTzGetDatum(usage_now())};

	while (statement_write(&lock_row, args, NULL) == 0)
		statement_write(&make_row, args, NULL);
	return result_numeric(0, 1);
}

static Statement set_level = {
	"UPDATE @extschema@.usage_levels SET level = $3, changed_at = $4"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND limit_type OPERATOR(pg_catalog.=) $2",
	4, {USER_ID, TEXTOID, NUMERICOID, TIMESTAMPTZOID}
};

/* Of a row that is locked. */
void
write_level(Datum user_id, const char *limit_type, Numeric level)
{
	Datum		args[] = {
		user_id, CStringGetTextDatum(limit_type), NumericGetDatum(level), TimestampTzGetDatum(usage_now())
	};

	statement_write(&set_level, args, NULL);
}
