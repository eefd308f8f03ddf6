/*
 * events_insert.c -- the row of an event.
 *
 * Its columns are listed once, for both ways to write it: into the month itself,
 * as it is mostly possible, and by a statement.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "events.h"
#include "lib/stringinfo.h"
#include "rows.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/xid8.h"

/* Tokens stand in the order of TokenClass. */
#define EVENT_COLUMNS(column) \
	column(ID, "id", INT8OID) \
	column(USER, "user_id", USER_ID) \
	column(TYPE, "usage_type", TEXTOID) \
	column(SUBTYPE, "event_subtype", TEXTOID) \
	column(STATUS, "status", TEXTOID) \
	column(QUANTITY, "quantity", NUMERICOID) \
	column(TOKENS, "tokens", INT8OID) \
	column(COST, "cost", NUMERICOID) \
	column(OVERAGE, "overage", JSONBOID) \
	column(CORRECTS, "corrects", INT8OID) \
	column(CORRECTED_STATUS, "corrected_status", TEXTOID) \
	column(CORRECTED_EVENTS, "corrected_events", INT8OID) \
	column(CORRECTED_LIMIT, "corrected_limit", INT8OID) \
	column(REASON, "reason", TEXTOID) \
	column(DURATION, "duration_ms", INT8OID) \
	column(ERROR, "error_message", TEXTOID) \
	column(RESOURCE_TYPE, "resource_type", TEXTOID) \
	column(RESOURCE_ID, "resource_id", TEXTOID) \
	column(PARENT_ID, "parent_resource_id", TEXTOID) \
	column(METADATA, "metadata", JSONBOID) \
	column(OCCURRED_AT, "occurred_at", TIMESTAMPTZOID) \
	column(RECORDED_AT, "recorded_at", TIMESTAMPTZOID) \
	column(XACT_ID, "xact_id", XID8OID) \
	column(PROVIDER, "provider", TEXTOID) \
	column(MODEL, "model", TEXTOID) \
	column(ENDPOINT, "endpoint", TEXTOID) \
	column(REQUEST_ID, "request_id", TEXTOID) \
	column(SERVICE_TIER, "service_tier", TEXTOID) \
	column(INPUT_TOKENS, "input_tokens", INT8OID) \
	column(OUTPUT_TOKENS, "output_tokens", INT8OID) \
	column(CACHE_READ_TOKENS, "cache_read_tokens", INT8OID) \
	column(CACHE_WRITE_TOKENS, "cache_write_tokens", INT8OID) \
	column(CACHE_WRITE_1H_TOKENS, "cache_write_1h_tokens", INT8OID) \
	column(REASONING_TOKENS, "reasoning_tokens", INT8OID) \
	column(AUDIO_INPUT_TOKENS, "audio_input_tokens", INT8OID) \
	column(AUDIO_CACHE_READ_TOKENS, "audio_cache_read_tokens", INT8OID) \
	column(AUDIO_OUTPUT_TOKENS, "audio_output_tokens", INT8OID) \
	column(IMAGE_INPUT_TOKENS, "image_input_tokens", INT8OID) \
	column(IMAGE_OUTPUT_TOKENS, "image_output_tokens", INT8OID) \
	column(INPUT_COST, "input_cost", NUMERICOID) \
	column(OUTPUT_COST, "output_cost", NUMERICOID) \
	column(PRICE_ID, "price_id", INT8OID) \
	column(ERROR_CODE, "error_code", TEXTOID) \
	column(CAMPAIGN, "campaign_id", TEXTOID) \
	column(IP, "ip", INETOID) \
	column(USER_AGENT, "user_agent", TEXTOID) \
	column(RUN, "run_id", INT8OID) \
	column(CREDITS_USED, "credits_used", NUMERICOID) \
	column(CREDITS_OWED, "credits_owed", NUMERICOID)

#define AS_NUMBER(name, column, type) EVENT_##name,
#define AS_NAME(name, column, type) column,
#define AS_TYPE(name, column, type) type,

enum
{
	EVENT_COLUMNS(AS_NUMBER) ALL_EVENT_COLUMNS
};

StaticAssertDecl(EVENT_IMAGE_OUTPUT_TOKENS - EVENT_INPUT_TOKENS == TOKENS_IMAGE_OUTPUT - TOKENS_INPUT,
				 "every class of tokens has a column");

static Table partition = {"usage_events", {EVENT_COLUMNS(AS_NAME)}};
static Statement insert_row = {NULL, ALL_EVENT_COLUMNS, {EVENT_COLUMNS(AS_TYPE)}};
static Statement insert_rows = {NULL, ALL_EVENT_COLUMNS};	/* from arrays */

/* ---- what stands in a column ---- */

typedef struct EventRow
{
	Datum		values[ALL_EVENT_COLUMNS];
	bool		nulls[ALL_EVENT_COLUMNS];
} EventRow;

static void
put(EventRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

static void
put_text(EventRow *row, int column, const char *value)
{
	if (value != NULL)
		put(row, column, CStringGetTextDatum(value));
}

static void
put_numeric(EventRow *row, int column, Numeric value)
{
	if (value != NULL)
		put(row, column, NumericGetDatum(value));
}

/* Of numbers of which there is no zero. */
static void
put_number(EventRow *row, int column, int64 value)
{
	if (value != 0)
		put(row, column, Int64GetDatum(value));
}

static void
put_fact(EventRow *row, const Event *event)
{
	put(row, EVENT_ID, Int64GetDatum(event->id));
	put(row, EVENT_USER, event->user_id);
	put_text(row, EVENT_TYPE, event->usage_type);
	put_text(row, EVENT_STATUS, event->status);
	put_numeric(row, EVENT_QUANTITY, event->quantity);
	put(row, EVENT_TOKENS, Int64GetDatum(event->tokens));
	put_numeric(row, EVENT_COST, event->cost);
	put(row, EVENT_OCCURRED_AT, TimestampTzGetDatum(event->occurred_at));
	put(row, EVENT_RECORDED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	put(row, EVENT_XACT_ID, FullTransactionIdGetDatum(GetTopFullTransactionId()));
}

static void
put_description(EventRow *row, const Event *event)
{
	put_text(row, EVENT_SUBTYPE, event->event_subtype);
	if (event->overage != NULL)
		put(row, EVENT_OVERAGE, DirectFunctionCall1(jsonb_in, CStringGetDatum(event->overage)));
	if (event->has_duration)
		put(row, EVENT_DURATION, Int64GetDatum(event->duration_ms));
	put_text(row, EVENT_ERROR, event->error_message);
	put_text(row, EVENT_RESOURCE_TYPE, event->resource_type);
	put_text(row, EVENT_RESOURCE_ID, event->resource_id);
	put_text(row, EVENT_PARENT_ID, event->parent_resource_id);
	if (event->metadata != NULL)
		put(row, EVENT_METADATA, PointerGetDatum(event->metadata));
	put_number(row, EVENT_RUN, event->run_id);
	put_numeric(row, EVENT_CREDITS_USED, event->credits_used);
	put_numeric(row, EVENT_CREDITS_OWED, event->credits_owed);
}

static void
put_correction(EventRow *row, const Event *event)
{
	put_number(row, EVENT_CORRECTS, event->corrects);
	put_text(row, EVENT_CORRECTED_STATUS, event->counted_status);
	put(row, EVENT_CORRECTED_EVENTS, Int64GetDatum(event->events));
	put_number(row, EVENT_CORRECTED_LIMIT, event->corrected_limit);
	put_text(row, EVENT_REASON, event->reason);
}

static void
put_call(EventRow *row, const ApiCall *call)
{
	put_text(row, EVENT_PROVIDER, call->provider);
	put_text(row, EVENT_MODEL, call->model);
	put_text(row, EVENT_ENDPOINT, call->endpoint);
	put_text(row, EVENT_REQUEST_ID, call->request_id);
	if (call->billed.tier != TIER_STANDARD)
		put_text(row, EVENT_SERVICE_TIER, service_tier_names[call->billed.tier]);
	for (int class = 0; class < TOKEN_CLASSES; class++)
		put_number(row, EVENT_INPUT_TOKENS + class, call->billed.tokens[class]);
	put_numeric(row, EVENT_INPUT_COST, call->input_cost);
	put_numeric(row, EVENT_OUTPUT_COST, call->output_cost);
	put_number(row, EVENT_PRICE_ID, call->price_id);
	put_text(row, EVENT_ERROR_CODE, call->error_code);
	put_text(row, EVENT_CAMPAIGN, call->campaign_id);
	if (call->has_ip)
		put(row, EVENT_IP, call->ip);
	put_text(row, EVENT_USER_AGENT, call->user_agent);
}

/* ---- writing it ---- */

static bool is_ours = false;

/* Whether the INSERT under way is the door's, which counts what it inserts. */
bool
events_are_ours(void)
{
	return is_ours;
}

void
insert_as_ours(Statement *statement, Datum *args, const char *nulls)
{
	is_ours = true;
	PG_TRY();
	{
		statement_write(statement, args, nulls);
	}
	PG_FINALLY();
	{
		is_ours = false;
	}
	PG_END_TRY();
}

/* Of what is given for each column. */
static const char *
statement_of_columns(const char *before, const char *parameter, const char *after)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "INSERT INTO @extschema@.usage_events (");
	for (int i = 0; i < ALL_EVENT_COLUMNS; i++)
		appendStringInfo(&sql, "%s%s", i == 0 ? "" : ", ", partition.columns[i]);
	appendStringInfo(&sql, ") %s", before);
	for (int i = 0; i < ALL_EVENT_COLUMNS; i++)
	{
		appendStringInfoString(&sql, i == 0 ? "" : ", ");
		appendStringInfo(&sql, parameter, i + 1);
	}
	appendStringInfoString(&sql, after);
	MemoryContextSwitchTo(caller);
	return sql.data;
}

static void
insert_by_statement(EventRow *row)
{
	char		nulls[ALL_EVENT_COLUMNS];

	if (insert_row.sql == NULL)
		insert_row.sql = statement_of_columns("VALUES (", "$%d", ")");
	for (int i = 0; i < ALL_EVENT_COLUMNS; i++)
		nulls[i] = row->nulls[i] ? 'n' : ' ';
	insert_as_ours(&insert_row, row->values, nulls);
}

static void
make_statement_of_arrays(void)
{
	for (int i = 0; i < ALL_EVENT_COLUMNS; i++)
		insert_rows.argtypes[i] = insert_row.argtypes[i] == USER_ID ? USER_IDS : get_array_type(insert_row.argtypes[i]);
	insert_rows.sql = statement_of_columns("SELECT * FROM ROWS FROM (", "pg_catalog.unnest($%d)", ") AS e");
}

static Datum
array_of_column(int column, const EventRow *rows, const NewRow *fates, int n)
{
	Oid			type = insert_row.argtypes[column] == USER_ID ? present_installation()->user_id_type : insert_row.argtypes[column];
	Datum	   *values = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));
	int			left = 0;

	for (int i = 0; i < n; i++)
		if (!fates[i].is_written)
		{
			values[left] = rows[i].values[column];
			nulls[left++] = rows[i].nulls[column];
		}
	return value_array(values, nulls, left, type);
}

static bool
are_written(const NewRow *fates, int n)
{
	for (int i = 0; i < n; i++)
		if (!fates[i].is_written)
			return false;
	return true;
}

static void
insert_others_by_statement(const EventRow *rows, const NewRow *fates, int n)
{
	Datum		args[ALL_EVENT_COLUMNS];

	if (insert_rows.sql == NULL)
		make_statement_of_arrays();
	for (int column = 0; column < ALL_EVENT_COLUMNS; column++)
		args[column] = array_of_column(column, rows, fates, n);
	insert_as_ours(&insert_rows, args, NULL);
}

bool
is_correction(const Event *event)
{
	return strcmp(event->status, "correction") == 0;
}

static void
put_event(EventRow *row, const Event *event)
{
	memset(row->nulls, true, sizeof(row->nulls));
	put_fact(row, event);
	put_description(row, event);
	if (is_correction(event))
		put_correction(row, event);
	else if (event->events != 1)	/* it is a test */
		put(row, EVENT_CORRECTED_EVENTS, Int64GetDatum(event->events));
	if (event->call != NULL)
		put_call(row, event->call);
}

static NewRow
new_row(const Event *event, EventRow *row)
{
	NewRow		new = {event->occurred_at, row->values, row->nulls};

	put_event(row, event);
	return new;
}

void
insert_event(const Event *event)
{
	EventRow	row;
	NewRow		fate = new_row(event, &row);

	rows_insert(present_installation()->usage_events, &partition, &fate, 1);
	if (!fate.is_written)
		insert_by_statement(&row);
}

static void
insert_some(Event *const *events, int n)
{
	EventRow   *rows = palloc(n * sizeof(EventRow));
	NewRow	   *fates = palloc(n * sizeof(NewRow));

	for (int i = 0; i < n; i++)
		fates[i] = new_row(events[i], &rows[i]);
	rows_insert(present_installation()->usage_events, &partition, fates, n);
	if (!are_written(fates, n))
		insert_others_by_statement(rows, fates, n);
}

#define TOGETHER 100			/* rows: their memory is used again while it is in the cache */

void
insert_events(Event *const *events, int n)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "usage_tracking events", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);

	for (int i = 0; i < n; i += TOGETHER)
	{
		insert_some(events + i, Min(n - i, TOGETHER));
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
