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
#include "settings.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* ---- reading ---- */

static Statement find_levels = {
	"SELECT limit_type, level FROM @extschema@.usage_levels"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND limit_type OPERATOR(pg_catalog.=) ANY ($2)",
	2, {USER_ID, TEXTARRAYOID}
};

static Statement find_leases = {
	"SELECT limit_type, COALESCE(session_segment, 0), COALESCE(session_token, 0)"
	" FROM @extschema@.usage_leases"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND limit_type OPERATOR(pg_catalog.=) ANY ($2)"
	" AND expires_at OPERATOR(pg_catalog.>) $3 AND released_at IS NULL",
	3, {USER_ID, TEXTARRAYOID, TIMESTAMPTZOID}
};

static Stake *
stake_of_limit(Stakes *stakes, const char *limit_type)
{
	for (int i = 0; i < stakes->n; i++)
		if (strcmp(stakes->all[i].limit->name, limit_type) == 0)
			return &stakes->all[i];
	return NULL;
}

static Datum
names_of(const Stakes *stakes)
{
	Datum	   *names = palloc(stakes->n * sizeof(Datum));

	for (int i = 0; i < stakes->n; i++)
		names[i] = CStringGetTextDatum(stakes->all[i].limit->name);
	return PointerGetDatum(construct_array(names, stakes->n, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
add_leases(Stakes *stakes, uint64 rows)
{
	for (uint64 row = 0; row < rows; row++)
	{
		SessionMark holder = {result_int64(row, 2), result_int64(row, 3)};
		Stake	   *stake = stake_of_limit(stakes, result_text(row, 1));

		if (stake != NULL && (holder.segment == 0 || session_lives(holder)))
			stake->held = num_add(stake->held, num_from(1));
	}
}

/* Fills "used" with the level and "held" with the live leases of each gauge. */
void
read_levels(Datum user_id, Stakes *stakes, bool afresh)
{
	Datum		args[] = {user_id, (Datum) 0, TimestampTzGetDatum(usage_now())};
	uint64		rows;

	if (stakes->n == 0)
		return;
	args[1] = names_of(stakes);
	for (int i = 0; i < stakes->n; i++)
		stakes->all[i].used = stakes->all[i].held = num_zero;
	if (afresh)
		begin_fresh_view();
	rows = statement_look(&find_levels, args, NULL);
	for (uint64 row = 0; row < rows; row++)
	{
		Stake	   *stake = stake_of_limit(stakes, result_text(row, 1));

		if (stake != NULL)
			stake->used = result_numeric(row, 2);
	}
	add_leases(stakes, statement_look(&find_leases, args, NULL));
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
