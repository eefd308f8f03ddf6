/*
 * counters_events.c -- what a limit counts of events themselves.
 *
 * Where rows of counters do not say, events do.  They are found by the index of
 * their month, without a plan; where an owner changed what a month is, by a
 * statement, which says the same.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "counters.h"
#include "numbers.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* ---- by a statement ---- */

/* Which facts a limit counts, and how: as limit_counts() and reconcile_usage(). */
#define COUNTS(limit_id, status) \
	" AND (" limit_id " OPERATOR(pg_catalog.=) $7 OR (COALESCE(" limit_id ", 0) OPERATOR(pg_catalog.=) 0" \
	" AND ($4 IS NULL OR usage_type OPERATOR(pg_catalog.=) $4)" \
	" AND " status " OPERATOR(pg_catalog.=) ANY ($5)))"

static Statement sum_events = {
	"SELECT pg_catalog.count(*), pg_catalog.sum(CASE WHEN $6 OPERATOR(pg_catalog.=) 0 THEN events"
	" WHEN $6 OPERATOR(pg_catalog.=) 1 THEN quantity"
	" WHEN $6 OPERATOR(pg_catalog.=) 2 THEN tokens ELSE cost END),"
	" pg_catalog.max(occurred_at) FROM ("
	"SELECT COALESCE(corrected_events, 1)::pg_catalog.numeric AS events, quantity, tokens::pg_catalog.numeric, cost, occurred_at"
	" FROM @extschema@.usage_events WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND occurred_at OPERATOR(pg_catalog.>=) $2 AND occurred_at OPERATOR(pg_catalog.<) $3"
	COUNTS("corrected_limit", "COALESCE(corrected_status, status)")
	" UNION ALL SELECT events, quantity, tokens, cost, month"
	" FROM @extschema@.usage_carried WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND month OPERATOR(pg_catalog.>=) $2 AND month OPERATOR(pg_catalog.<) $3"
	COUNTS("limit_id", "status") ") AS facts",
	7, {USER_ID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTARRAYOID, INT4OID, INT8OID}
};

static Numeric
sum_by_statement(Datum user_id, const UsageLimit *limit, TimestampTz from, TimestampTz to, EventSpan *span)
{
	Datum		args[] = {
		user_id,
		TimestampTzGetDatum(from),
		TimestampTzGetDatum(to),
		limit->usage_type ? CStringGetTextDatum(limit->usage_type) : (Datum) 0,
		PointerGetDatum(limit->statuses),
		Int32GetDatum(limit->measure),
		Int64GetDatum(limit->id)
	};
	const char *nulls = limit->usage_type ? "       " : "   n   ";
	Numeric		sum;

	statement_look(&sum_events, args, nulls);
	span->n = result_int64(0, 1);
	span->latest = result_time(0, 3, DT_NOBEGIN);
	sum = result_numeric(0, 2);
	return sum == NULL ? num_zero : sum;
}

/* ---- row by row ---- */

/* Columns of both tables, and which of them a limit measures: in the order of Measure. */
enum
{
	FACT_USER, FACT_AT, FACT_TYPE, FACT_STATUS, FACT_LIMIT, FACT_EVENTS, FACT_QUANTITY, FACT_TOKENS, FACT_COST,
	FACT_CORRECTED_STATUS
};

static const Table month_of_events = {
	"usage_events", {
		"user_id", "occurred_at", "usage_type", "status", "corrected_limit", "corrected_events", "quantity", "tokens", "cost",
		"corrected_status"
	}
};

static Table carried = {
	"usage_carried", {
		"user_id", "month", "usage_type", "status", "limit_id", "events", "quantity", "tokens", "cost"
	}
};

typedef struct Sum
{
	const UsageLimit *limit;
	Numeric		amount;
	int64		number;			/* of events or tokens besides, as far as it goes */
	EventSpan	span;
} Sum;

static bool
is_text(const Rows *rows, int column, const char *value)
{
	bool		isnull;
	text	   *t = DatumGetTextPP(row_datum(rows, column, &isnull));

	return VARSIZE_ANY_EXHDR(t) == strlen(value) && memcmp(VARDATA_ANY(t), value, strlen(value)) == 0;
}

static bool
has_status_of(const Rows *rows, const UsageLimit *limit, int column)
{
	for (int i = 0; i < limit->nstatuses; i++)
		if (is_text(rows, column, limit->status_names[i]))
			return true;
	return false;
}

/* As COUNTS above. */
static bool
is_counted(const Rows *rows, const UsageLimit *limit, int status)
{
	int64		of_limit = row_int64(rows, FACT_LIMIT);

	if (of_limit != 0)
		return of_limit == limit->id;
	return (limit->usage_type == NULL || is_text(rows, FACT_TYPE, limit->usage_type)) &&
		has_status_of(rows, limit, status);
}

/* Of a million events nothing is left but the sum. */
static void
add_amount(Sum *sum, Numeric amount)
{
	Numeric		before = sum->amount;

	sum->amount = num_add(before, amount);
	if (before != num_zero)
		pfree(before);
	pfree(amount);
}

static void
add_number(Sum *sum, int64 number)
{
	int64		both;

	if (pg_add_s64_overflow(sum->number, number, &both))
		add_amount(sum, num_from(number));
	else
		sum->number = both;
}

static void
add_numeric(Sum *sum, const Rows *rows, int column)
{
	if (!row_is_null(rows, column))
		add_amount(sum, row_numeric(rows, column));
}

static void
note_fact(Sum *sum, const Rows *rows)
{
	sum->span.n++;
	sum->span.latest = Max(sum->span.latest, row_time(rows, FACT_AT, 0));
}

static void
visit_event(const Rows *rows, void *argument)
{
	Sum		   *sum = argument;
	bool		is_corrected = !row_is_null(rows, FACT_CORRECTED_STATUS);

	if (!is_counted(rows, sum->limit, is_corrected ? FACT_CORRECTED_STATUS : FACT_STATUS))
		return;
	note_fact(sum, rows);
	if (sum->limit->measure == MEASURE_EVENTS)
		add_number(sum, row_is_null(rows, FACT_EVENTS) ? 1 : row_int64(rows, FACT_EVENTS));
	else if (sum->limit->measure == MEASURE_TOKENS)
		add_number(sum, row_int64(rows, FACT_TOKENS));
	else
		add_numeric(sum, rows, FACT_EVENTS + sum->limit->measure);
}

/* Of months that were dropped. */
static void
add_carried(Sum *sum, const Key *keys, int nkeys)
{
	Rows		rows = rows_begin(&carried, keys, nkeys);

	while (rows_next(&rows))
		if (is_counted(&rows, sum->limit, FACT_STATUS))
		{
			note_fact(sum, &rows);
			add_numeric(sum, &rows, FACT_EVENTS + sum->limit->measure);
		}
	rows_end(&rows);
}

/* What the stake's limit counts of the events from one instant to another. */
Numeric
sum_of_events(Datum user_id, const Stake *stake, TimestampTz from, TimestampTz to, EventSpan *span)
{
	Sum			sum = {stake->limit, num_zero, 0, {0, DT_NOBEGIN}};
	Key			keys[] = {
		{FACT_USER, BTEqualStrategyNumber, user_id},
		{FACT_AT, BTGreaterEqualStrategyNumber, TimestampTzGetDatum(from)},
		{FACT_AT, BTLessStrategyNumber, TimestampTzGetDatum(to)}
	};

	if (!visit_partitions(present_installation()->usage_events, &month_of_events, from, to, keys, lengthof(keys), visit_event, &sum))
		return num_trim(sum_by_statement(user_id, stake->limit, from, to, span));
	add_carried(&sum, keys, lengthof(keys));
	*span = sum.span;
	return num_trim(num_add(sum.amount, num_from(sum.number)));
}
