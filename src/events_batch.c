/*
 * events_batch.c -- many keys in one statement.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "events.h"
#include "numbers.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* ---- a column of several events, as an SQL array ---- */

static Datum
text_datum(const char *value, bool *isnull)
{
	*isnull = value == NULL;
	return value == NULL ? (Datum) 0 : CStringGetTextDatum(value);
}

#define TEXT_COLUMN(name) \
	static Datum column_##name(const void *row, bool *isnull) { const Event *event = row; return text_datum(event->name, isnull); }
#define COLUMN(name, datum) \
	static Datum column_##name(const void *row, bool *isnull) { const Event *event = row; *isnull = false; return datum; }

COLUMN(id, Int64GetDatum(event->id))
COLUMN(user_id, event->user_id)
TEXT_COLUMN(usage_type)
COLUMN(quantity, NumericGetDatum(event->quantity))
COLUMN(tokens, Int64GetDatum(event->tokens))
TEXT_COLUMN(idempotency_key)
TEXT_COLUMN(function)

/* The time as it was given, which is what a repeated key is compared by. */
static Datum
column_own_time(const void *row, bool *isnull)
{
	const Event *event = row;
	*isnull = !event->has_own_time;
	return TimestampTzGetDatum(event->occurred_at);
}

/* ---- keys ---- */

/* As find_key in events.c: "same" is what the first use is compared by. */
static Statement find_keys = {
	"SELECT i.number, k.function OPERATOR(pg_catalog.=) i.function"
	" AND k.usage_type OPERATOR(pg_catalog.=) i.usage_type AND k.quantity OPERATOR(pg_catalog.=) i.quantity"
	" AND k.tokens OPERATOR(pg_catalog.=) i.tokens"
	" AND ((k.occurred_at IS NULL AND i.occurred_at IS NULL)"
	" OR k.occurred_at OPERATOR(pg_catalog.=) i.occurred_at) IS TRUE AS same"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),"
	" pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7)) WITH ORDINALITY"
	" AS i (user_id, key, function, usage_type, quantity, tokens, occurred_at, number)"
	" JOIN @extschema@.usage_keys AS k ON k.user_id OPERATOR(pg_catalog.=) i.user_id"
	" AND k.idempotency_key OPERATOR(pg_catalog.=) i.key AND k.recorded_at OPERATOR(pg_catalog.>=) $8",
	8, {USER_IDS, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, NUMERICARRAYOID, INT8ARRAYOID,
	TIMESTAMPTZARRAYOID, TIMESTAMPTZOID}
};

/* What the keys of these events stand for: one KeyFate for each that has one. */
KeyFate *
find_first_answers(const Installation *home, Event *const *events, int n, int *found)
{
	Datum		args[] = {
		column_array((void *const *) events, n, column_user_id, home->user_id_type),
		column_array((void *const *) events, n, column_idempotency_key, TEXTOID),
		column_array((void *const *) events, n, column_function, TEXTOID),
		column_array((void *const *) events, n, column_usage_type, TEXTOID),
		column_array((void *const *) events, n, column_quantity, NUMERICOID),
		column_array((void *const *) events, n, column_tokens, INT8OID),
		column_array((void *const *) events, n, column_own_time, TIMESTAMPTZOID),
		TimestampTzGetDatum(oldest_key())
	};
	KeyFate    *fates;

	*found = statement_look_afresh(&find_keys, args, NULL);
	fates = palloc(*found * sizeof(KeyFate));
	for (int i = 0; i < *found; i++)
	{
		fates[i].number = result_int64(i, 1) - 1;
		fates[i].is_same = result_bool(i, 2);
	}
	return fates;
}

/* Sorted, so that two batches wait for one another in one order. */
static Statement put_keys = {
	"INSERT INTO @extschema@.usage_keys AS k (user_id, idempotency_key, recorded_at, function,"
	" usage_type, quantity, tokens, occurred_at, event_id, max_usage)"
	" SELECT i.user_id, i.key, $9, i.function, i.usage_type, i.quantity, i.tokens, i.occurred_at, i.event_id, -1"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),"
	" pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8))"
	" AS i (user_id, key, function, usage_type, quantity, tokens, occurred_at, event_id)"
	" ORDER BY i.user_id, i.key COLLATE pg_catalog.\"C\""
	" ON CONFLICT (user_id, idempotency_key) DO UPDATE SET recorded_at = EXCLUDED.recorded_at,"
	" function = EXCLUDED.function, usage_type = EXCLUDED.usage_type,"
	" quantity = EXCLUDED.quantity, tokens = EXCLUDED.tokens, occurred_at = EXCLUDED.occurred_at,"
	" event_id = EXCLUDED.event_id, limit_type = NULL, used = NULL,"
	" max_usage = EXCLUDED.max_usage, reset_at = NULL"
	" WHERE k.recorded_at OPERATOR(pg_catalog.<) $10",
	10, {USER_IDS, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, NUMERICARRAYOID, INT8ARRAYOID,
	TIMESTAMPTZARRAYOID, INT8ARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

/* False if somebody else recorded one of the keys meanwhile. */
bool
keep_keys(const Installation *home, Event *const *events, int n)
{
	Datum		args[] = {
		column_array((void *const *) events, n, column_user_id, home->user_id_type),
		column_array((void *const *) events, n, column_idempotency_key, TEXTOID),
		column_array((void *const *) events, n, column_function, TEXTOID),
		column_array((void *const *) events, n, column_usage_type, TEXTOID),
		column_array((void *const *) events, n, column_quantity, NUMERICOID),
		column_array((void *const *) events, n, column_tokens, INT8OID),
		column_array((void *const *) events, n, column_own_time, TIMESTAMPTZOID),
		column_array((void *const *) events, n, column_id, INT8OID),
		TimestampTzGetDatum(usage_now()),
		TimestampTzGetDatum(oldest_key())
	};

	return statement_write(&put_keys, args, NULL) == n;
}
