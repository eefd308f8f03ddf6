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
		stake->held = num_from(count_live_leases(user_id, stake->limit->name, now));
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
