/*
 * counters_events.c -- what a limit counts of events themselves.
 *
 * Where rows of counters do not say, events do.  They are found by the index of
 * their month, without a plan; where an owner changed what a month is, by a
 * statement, which says the same.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "counters.h"
#include "numbers.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* ---- by a statement ---- */

/* Which facts a limit counts: as limit_counts() and reconcile_usage(). */
#define COUNTS(limit_id, status) \
	" AND (" limit_id " OPERATOR(pg_catalog.=) $7 OR (COALESCE(" limit_id ", 0) OPERATOR(pg_catalog.=) 0" \
	" AND ($4 IS NULL OR usage_type OPERATOR(pg_catalog.=) $4)" \
	" AND " status " OPERATOR(pg_catalog.=) ANY ($5)))"

/* In the order of Measure. */
#define MEASURED(events, sum, quantity, tokens, cost) \
	"CASE WHEN $6 OPERATOR(pg_catalog.=) 0 THEN " events " WHEN $6 OPERATOR(pg_catalog.=) 1 THEN " sum "(" quantity ")" \
	" WHEN $6 OPERATOR(pg_catalog.=) 2 THEN " sum "(" tokens ") ELSE " sum "(" cost ") END"

/* Together what lies in the same step from the epoch. */
static Statement sum_facts = {
	"SELECT pg_catalog.max(occurred_at), pg_catalog.count(*), "
	MEASURED("pg_catalog.sum(COALESCE(corrected_events, 1))", "pg_catalog.sum", "quantity", "tokens", "cost")
	" FROM @extschema@.usage_events WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND occurred_at OPERATOR(pg_catalog.>=) $2 AND occurred_at OPERATOR(pg_catalog.<) $3"
	COUNTS("corrected_limit", "COALESCE(corrected_status, status)")
	" GROUP BY pg_catalog.date_bin($8, occurred_at, 'epoch')"
	" UNION ALL SELECT month, 1, " MEASURED("events", "", "quantity", "tokens", "cost")
	" FROM @extschema@.usage_carried WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND month OPERATOR(pg_catalog.>=) $2 AND month OPERATOR(pg_catalog.<) $3"
	COUNTS("limit_id", "status"),
	8, {USER_ID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTARRAYOID, INT4OID, INT8OID, INTERVALOID}
};

static void
visit_by_statement(Datum user_id, const UsageLimit *limit, TimestampTz from, TimestampTz to, VisitFact visit, void *argument)
{
	Interval	step = {limit_is_sliding(limit) ? bucket_length(&limit->period) : USECS_PER_DAY};
	Datum		args[] = {
		user_id,
		TimestampTzGetDatum(from),
		TimestampTzGetDatum(to),
		limit->usage_type ? CStringGetTextDatum(limit->usage_type) : (Datum) 0,
		PointerGetDatum(limit->statuses),
		Int32GetDatum(limit->measure),
		Int64GetDatum(limit->id),
		IntervalPGetDatum(&step)
	};
	uint64		rows = statement_look(&sum_facts, args, limit->usage_type ? "        " : "   n    ");

	for (uint64 row = 0; row < rows; row++)
	{
		Fact		fact = {result_time(row, 1, 0), result_int64(row, 2), result_numeric(row, 3)};

		if (fact.amount == NULL)	/* costs that nobody knows */
			fact.amount = num_from(0);
		visit(&fact, argument);
	}
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

typedef struct Visitor
{
	const UsageLimit *limit;
	VisitFact	visit;
	void	   *argument;
} Visitor;

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

static void
visit_fact(const Visitor *visitor, const Rows *rows, Numeric amount)
{
	Fact		fact = {row_time(rows, FACT_AT, 0), 1, amount != NULL ? amount : num_from(0)};

	visitor->visit(&fact, visitor->argument);
}

static Numeric
amount_of_event(const Rows *rows, Measure measure)
{
	if (measure == MEASURE_EVENTS)
		return num_from(row_is_null(rows, FACT_EVENTS) ? 1 : row_int64(rows, FACT_EVENTS));
	if (measure == MEASURE_TOKENS)
		return num_from(row_int64(rows, FACT_TOKENS));
	return row_numeric(rows, FACT_EVENTS + measure);
}

static void
visit_event(const Rows *rows, void *argument)
{
	const Visitor *visitor = argument;
	bool		is_corrected = !row_is_null(rows, FACT_CORRECTED_STATUS);

	if (is_counted(rows, visitor->limit, is_corrected ? FACT_CORRECTED_STATUS : FACT_STATUS))
		visit_fact(visitor, rows, amount_of_event(rows, visitor->limit->measure));
}

/* Of months that were dropped. */
static void
visit_carried(const Visitor *visitor, const Key *keys, int nkeys)
{
	Rows		rows = rows_begin(&carried, keys, nkeys);

	while (rows_next(&rows))
		if (is_counted(&rows, visitor->limit, FACT_STATUS))
			visit_fact(visitor, &rows, row_numeric(&rows, FACT_EVENTS + visitor->limit->measure));
	rows_end(&rows);
}

/* All that the limit counts from one instant to before another, each month in order. */
void
visit_facts(Datum user_id, const UsageLimit *limit, TimestampTz from, TimestampTz to, VisitFact visit, void *argument)
{
	Visitor		visitor = {limit, visit, argument};
	Key			keys[] = {
		{FACT_USER, BTEqualStrategyNumber, user_id},
		{FACT_AT, BTGreaterEqualStrategyNumber, TimestampTzGetDatum(from)},
		{FACT_AT, BTLessStrategyNumber, TimestampTzGetDatum(to)}
	};

	if (visit_partitions(present_installation()->usage_events, &month_of_events, from, to, keys, lengthof(keys), visit_event, &visitor))
		visit_carried(&visitor, keys, lengthof(keys));
	else
		visit_by_statement(user_id, limit, from, to, visit, argument);
}

/* ---- sums ---- */

typedef struct Sum
{
	Numeric		amount;
	EventSpan	span;
} Sum;

/* To what was added before; of a million amounts nothing is left but the sum. */
Numeric
add_and_free(Numeric sum, Numeric amount)
{
	Numeric		both = num_add(sum, amount);

	if (sum != num_zero)
		pfree(sum);
	pfree(amount);
	return both;
}

static void
add_fact(Fact *fact, void *argument)
{
	Sum		   *sum = argument;

	sum->span.n += fact->n;
	sum->span.latest = Max(sum->span.latest, fact->at);
	sum->amount = add_and_free(sum->amount, fact->amount);
}

/* What the stake's limit counts of the events from one instant to another. */
Numeric
sum_of_events(Datum user_id, const Stake *stake, TimestampTz from, TimestampTz to, EventSpan *span)
{
	Sum			sum = {num_zero, {0, DT_NOBEGIN}};

	visit_facts(user_id, stake->limit, from, to, add_fact, &sum);
	*span = sum.span;
	return num_trim(sum.amount);
}
