/*
 * counters_holds.c -- what is reserved.
 *
 * A reservation is live while its state is held and its expires_at has not come.
 * A use that is decided while another session reserves or commits notices it by
 * "holds" of the counters (see counters_take.c).  A release and an expiry only make
 * room, so nobody needs to notice those.
 *
 * Locking: whoever settles a reservation locks its row first, then counters.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "counters.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

int64
next_hold_id(const Installation *home)
{
	return nextval_internal(get_relname_relid("usage_reservations_id_seq", home->schema), false);
}

static Statement insert_row = {
	"INSERT INTO @extschema@.usage_reservations"
	" (user_id, id, usage_type, quantity, tokens, cost, occurred_at, expires_at, credits, events, is_run)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
	11, {USER_ID, INT8OID, TEXTOID, NUMERICOID, INT8OID, NUMERICOID, TIMESTAMPTZOID, TIMESTAMPTZOID, NUMERICOID, INT8OID, BOOLOID}
};

void
insert_hold(const Event *event, TimestampTz expires_at)
{
	Datum		args[] = {
		event->user_id,
		Int64GetDatum(event->id),
		CStringGetTextDatum(event->usage_type),
		NumericGetDatum(event->quantity),
		Int64GetDatum(event->tokens),
		NumericGetDatum(event->cost),
		TimestampTzGetDatum(event->occurred_at),
		TimestampTzGetDatum(expires_at),
		NumericGetDatum(event->credits_used),
		Int64GetDatum(event->events),
		BoolGetDatum(event->is_run)
	};

	statement_write(&insert_row, args, event->credits_used == NULL ? "        n  " : NULL);
}

#define COLUMNS \
	"id, usage_type, quantity, tokens, cost, occurred_at, expires_at, state, reason," \
	" event_id, limit_type, used, max_usage, reset_at, events, is_run, credits"

static void
read_hold(Datum user_id, uint64 row, Hold *hold)
{
	bool		isnull;

	memset(hold, 0, sizeof(*hold));
	hold->event.user_id = user_id;
	hold->event.id = result_int64(row, 1);
	hold->event.usage_type = result_text(row, 2);
	hold->event.status = "success";
	hold->event.events = result_int64(row, 15);
	hold->event.is_run = result_bool(row, 16);
	hold->event.credits_used = result_numeric(row, 17);
	hold->event.quantity = result_numeric(row, 3);
	hold->event.tokens = result_int64(row, 4);
	hold->event.cost = result_numeric(row, 5);
	hold->event.occurred_at = result_time(row, 6, 0);
	hold->expires_at = result_time(row, 7, 0);
	hold->state = result_text(row, 8);
	hold->reason = result_text(row, 9);
	result_datum(row, 10, &isnull);
	hold->answer.event_id = isnull ? 0 : result_int64(row, 10);
	hold->answer.limit_type = result_text(row, 11);
	hold->answer.used = result_numeric(row, 12);
	hold->answer.max_usage = result_numeric(row, 13);
	hold->answer.reset_at = result_time(row, 14, DT_NOEND);
}

static Statement find_live = {
	"SELECT " COLUMNS " FROM @extschema@.usage_reservations"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND state OPERATOR(pg_catalog.=) 'held'"
	" AND expires_at OPERATOR(pg_catalog.>) $2",
	2, {USER_ID, TIMESTAMPTZOID}
};

static Hold *
find_by_statement(Datum user_id, TimestampTz now, int *n)
{
	Datum		args[] = {user_id, TimestampTzGetDatum(now)};
	Hold	   *holds;

	*n = statement_look(&find_live, args, NULL);
	holds = palloc(*n * sizeof(Hold));
	for (int i = 0; i < *n; i++)
		read_hold(user_id, i, &holds[i]);
	return holds;
}

/* What counts of a live one, in the order of the enum. */
static Table live_rows = {
	"usage_reservations",
	{"user_id", "expires_at", "id", "usage_type", "quantity", "tokens", "cost", "occurred_at", "state", "events", "is_run", "credits"},
	{"user_id", "expires_at"}
};

enum
{
	LIVE_USER, LIVE_EXPIRES_AT, LIVE_ID, LIVE_TYPE, LIVE_QUANTITY, LIVE_TOKENS, LIVE_COST, LIVE_OCCURRED_AT, LIVE_STATE,
	LIVE_EVENTS, LIVE_IS_RUN, LIVE_CREDITS
};

static Hold
hold_of_row(Datum user_id, const Rows *rows)
{
	Hold		hold = {
		.event = {
			.user_id = user_id,
			.id = row_int64(rows, LIVE_ID),
			.usage_type = row_text(rows, LIVE_TYPE),
			.status = "success",
			.quantity = row_numeric(rows, LIVE_QUANTITY),
			.tokens = row_int64(rows, LIVE_TOKENS),
			.cost = row_numeric(rows, LIVE_COST),
			.occurred_at = row_time(rows, LIVE_OCCURRED_AT, 0),
			.events = row_int64(rows, LIVE_EVENTS),
			.is_run = row_bool(rows, LIVE_IS_RUN),
			.credits_used = row_numeric(rows, LIVE_CREDITS)
		},
		.expires_at = row_time(rows, LIVE_EXPIRES_AT, 0),
		.state = row_text(rows, LIVE_STATE)
	};

	return hold;
}

/* Of those that are live all is known but what came of them, which is nothing yet. */
Hold *
live_holds(Datum user_id, int *n)
{
	TimestampTz now = usage_now();
	Key			keys[] = {
		{LIVE_USER, BTEqualStrategyNumber, user_id},
		{LIVE_EXPIRES_AT, BTGreaterStrategyNumber, TimestampTzGetDatum(now)}
	};
	int			room = 4;
	Hold	   *holds = palloc(room * sizeof(Hold));
	Rows		rows;

	if (!rows_can_be_found(&live_rows))
		return find_by_statement(user_id, now, n);
	*n = 0;
	rows = rows_begin(&live_rows, keys, lengthof(keys));
	while (rows_next(&rows))
	{
		Hold		hold = hold_of_row(user_id, &rows);

		if (strcmp(hold.state, "held") != 0)
			continue;
		if (*n == room)
			holds = repalloc(holds, (room *= 2) * sizeof(Hold));
		holds[(*n)++] = hold;
	}
	rows_end(&rows);
	return holds;
}

static Statement find_if_live = {
	"SELECT FROM @extschema@.usage_reservations"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2"
	" AND state OPERATOR(pg_catalog.=) 'held' AND expires_at OPERATOR(pg_catalog.>) $3",
	3, {USER_ID, INT8OID, TIMESTAMPTZOID}
};

bool
hold_is_live(Datum user_id, int64 id)
{
	Datum		args[] = {user_id, Int64GetDatum(id), TimestampTzGetDatum(usage_now())};

	return statement_look_afresh(&find_if_live, args, NULL) > 0;
}

static Statement lock_row = {
	"SELECT " COLUMNS " FROM @extschema@.usage_reservations"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2 FOR NO KEY UPDATE",
	2, {USER_ID, INT8OID}
};

static Statement find_row = {
	"SELECT FROM @extschema@.usage_reservations"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
	2, {USER_ID, INT8OID}
};

bool
lock_hold(Datum user_id, int64 id, Hold *hold)
{
	Datum		args[] = {user_id, Int64GetDatum(id)};

	if (statement_write_or_fail(&lock_row, &find_row, args, NULL) == 0)
		return false;
	read_hold(user_id, 0, hold);
	return true;
}

static Statement set_state = {
	"UPDATE @extschema@.usage_reservations SET state = $3, settled_at = $4"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
	4, {USER_ID, INT8OID, TEXTOID, TIMESTAMPTZOID}
};

void
settle_hold(Datum user_id, int64 id, const char *state)
{
	Datum		args[] = {user_id, Int64GetDatum(id), CStringGetTextDatum(state), TimestampTzGetDatum(usage_now())};

	statement_write(&set_state, args, NULL);
}

static Statement set_answer = {
	"UPDATE @extschema@.usage_reservations SET event_id = $3, reason = $4, limit_type = $5,"
	" used = $6, max_usage = $7, reset_at = $8"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
	8, {USER_ID, INT8OID, INT8OID, TEXTOID, TEXTOID, NUMERICOID, NUMERICOID, TIMESTAMPTZOID}
};

void
keep_answer_of_hold(Datum user_id, int64 id, const char *reason, const FirstAnswer *answer)
{
	char		nulls[9] = "        ";
	Datum		args[] = {
		user_id,
		Int64GetDatum(id),
		Int64GetDatum(answer->event_id),
		CStringGetTextDatum(reason),
		answer->limit_type ? CStringGetTextDatum(answer->limit_type) : (Datum) 0,
		NumericGetDatum(answer->used),
		NumericGetDatum(answer->max_usage),
		TimestampTzGetDatum(answer->reset_at)
	};

	nulls[2] = answer->event_id == 0 ? 'n' : ' ';
	nulls[4] = answer->limit_type == NULL ? 'n' : ' ';
	nulls[5] = answer->used == NULL ? 'n' : ' ';
	nulls[7] = answer->reset_at == DT_NOEND ? 'n' : ' ';
	statement_write(&set_answer, args, nulls);
}
