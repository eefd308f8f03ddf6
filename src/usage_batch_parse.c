/*
 * usage_batch_parse.c -- elements of a batch as events.
 *
 * An element becomes a call of track_usage(): the same arguments, checked by the
 * same code.  What that code raises is caught and becomes the element's error;
 * no transaction state is touched until all are parsed, so that no
 * subtransaction is needed for it.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "miscadmin.h"
#include "numbers.h"
#include "usage_batch.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define MAX_ELEMENTS 100000

/* The arguments of track_usage(), in their order. */
typedef struct Member
{
	const char *name;
	Oid			type;
} Member;

static const Member members[] = {
	{"user_id", USER_ID}, {"usage_type", TEXTOID}, {"quantity", NUMERICOID}, {"tokens", INT8OID},
	{"cost", NUMERICOID}, {"status", TEXTOID}, {"event_subtype", TEXTOID}, {"duration_ms", INT8OID},
	{"error_message", TEXTOID}, {"resource_type", TEXTOID}, {"resource_id", TEXTOID},
	{"parent_resource_id", TEXTOID}, {"metadata", JSONBOID}, {"occurred_at", TIMESTAMPTZOID},
	{"idempotency_key", TEXTOID}
};

enum
{
	M_USER_ID = 0, M_USAGE_TYPE = 1, M_QUANTITY = 2, M_TOKENS = 3, M_COST = 4, M_STATUS = 5,
	M_METADATA = 12, M_OCCURRED_AT = 13, M_KEY = 14
};

void
note_error(Batch *batch, int index, int sqlstate, char *message)
{
	BatchError	error = {index, sqlstate, message};

	batch->errors[batch->nerrors++] = error;
}

/* ---- one value ---- */

static void
refuse_member(const char *name, const char *demand)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("member \"%s\" must be %s", name, demand)));
}

static Datum
from_number(const char *name, Oid type, Numeric value)
{
	switch (type)
	{
		case NUMERICOID:
			return NumericGetDatum(value);
		case INT8OID:
			if (!num_is_whole(value))
				refuse_member(name, "a whole number");
			return DirectFunctionCall1(numeric_int8, NumericGetDatum(value));
	}
	refuse_member(name, "a string");
	return (Datum) 0;
}

static Datum
from_string(Oid type, char *value)
{
	Oid			input;
	Oid			io_param;

	getTypeInputInfo(type, &input, &io_param);
	return OidInputFunctionCall(input, value, io_param, -1);
}

static Datum
member_value(const Member *member, Oid type, JsonbValue *value)
{
	if (type == JSONBOID)
		return JsonbPGetDatum(JsonbValueToJsonb(value));
	if (value->type == jbvNumeric)
		return from_number(member->name, type, value->val.numeric);
	if (value->type != jbvString)
		refuse_member(member->name, type == NUMERICOID || type == INT8OID ? "a number" : "a string");
	return from_string(type, pnstrdup(value->val.string.val, value->val.string.len));
}

static void
put_member(const Installation *home, FunctionCallInfo call, int n, JsonbValue *value)
{
	Oid			type = members[n].type == USER_ID ? home->user_id_type : members[n].type;

	call->args[n].isnull = value->type == jbvNull;
	if (!call->args[n].isnull)
		call->args[n].value = member_value(&members[n], type, value);
}

static void
put_defaults(FunctionCallInfo call)
{
	for (int i = 0; i < lengthof(members); i++)
		call->args[i].isnull = true;
	call->args[M_QUANTITY].value = NumericGetDatum(num_from(1));
	call->args[M_TOKENS].value = Int64GetDatum(0);
	call->args[M_COST].value = NumericGetDatum(num_from(0));
	call->args[M_STATUS].value = CStringGetTextDatum("success");
	for (int i = M_QUANTITY; i <= M_STATUS; i++)
		call->args[i].isnull = false;
}

/* ---- one element, as track_usage() names things ---- */

static int
member_number(const JsonbValue *name)
{
	for (int i = 0; i < lengthof(members); i++)
		if (strlen(members[i].name) == name->val.string.len &&
			memcmp(members[i].name, name->val.string.val, name->val.string.len) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("element has an unknown member"),
			 errhint("Members are the arguments of track_usage().")));
	return 0;
}

static void
put_members(const Installation *home, FunctionCallInfo call, JsonbContainer *element)
{
	JsonbIterator *iterator = JsonbIteratorInit(element);
	JsonbValue	name;
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&iterator, &name, true)) != WJB_DONE)
		if (token == WJB_KEY)
		{
			(void) JsonbIteratorNext(&iterator, &value, true);
			put_member(home, call, member_number(&name), &value);
		}
}

/* ---- one element in a CloudEvents envelope ---- */

static JsonbValue *
envelope_member(JsonbContainer *envelope, const char *name)
{
	return getKeyJsonValueFromContainer(envelope, name, strlen(name), NULL);
}

static JsonbValue *
required_member(JsonbContainer *envelope, const char *name)
{
	JsonbValue *value = envelope_member(envelope, name);

	if (value == NULL || value->type != jbvString || value->val.string.len == 0)
		refuse_member(name, "a string that is not empty");
	return value;
}

/* A source is a URI reference and has no space, so the two cannot run together. */
static Datum
key_of_envelope(JsonbContainer *envelope)
{
	JsonbValue *source = required_member(envelope, "source");
	JsonbValue *id = required_member(envelope, "id");

	if (memchr(source->val.string.val, ' ', source->val.string.len) != NULL)
		refuse_member("source", "a URI reference");
	return CStringGetTextDatum(psprintf("%.*s %.*s", source->val.string.len, source->val.string.val,
										id->val.string.len, id->val.string.val));
}

static void
put_data(const Installation *home, FunctionCallInfo call, JsonbValue *data)
{
	JsonbValue *value = NULL;

	if (data == NULL)
		return;
	put_member(home, call, M_METADATA, data);
	if (data->type == jbvBinary && JsonContainerIsObject(data->val.binary.data))
		value = envelope_member(data->val.binary.data, "value");
	if (value != NULL)
		put_member(home, call, M_QUANTITY, value);
}

static void
put_envelope(const Installation *home, FunctionCallInfo call, JsonbContainer *envelope)
{
	JsonbValue *time = envelope_member(envelope, "time");

	put_member(home, call, M_USER_ID, required_member(envelope, "subject"));
	put_member(home, call, M_USAGE_TYPE, required_member(envelope, "type"));
	call->args[M_KEY].value = key_of_envelope(envelope);
	call->args[M_KEY].isnull = false;
	if (time != NULL)
		put_member(home, call, M_OCCURRED_AT, time);
	put_data(home, call, envelope_member(envelope, "data"));
}

/* ---- all ---- */

static Event
parse_element(const Installation *home, JsonbValue *element)
{
	LOCAL_FCINFO(call, lengthof(members));

	if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("element must be an object")));
	InitFunctionCallInfoData(*call, NULL, lengthof(members), InvalidOid, NULL, NULL);
	put_defaults(call);
	if (envelope_member(element->val.binary.data, "specversion") != NULL)
		put_envelope(home, call, element->val.binary.data);
	else
		put_members(home, call, element->val.binary.data);
	return event_to_track(home, call);
}

/* What is wrong with the element, not with the server or the session. */
bool
is_about_the_element(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(ERRCODE_INVALID_PARAMETER_VALUE) ||
		ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_TO_CATEGORY(ERRCODE_UT_UNREGISTERED);
}

static void
add_element(const Installation *home, Batch *batch, JsonbValue *element)
{
	MemoryContext context = CurrentMemoryContext;
	int			index = batch->nelements++;

	PG_TRY();
	{
		batch->items[batch->n].event = parse_element(home, element);
		batch->items[batch->n].index = index;
		batch->items[batch->n++].fate = ITEM_OPEN;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!is_about_the_element(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		note_error(batch, index, error->sqlerrcode, pstrdup(error->message));
		FreeErrorData(error);
	}
	PG_END_TRY();
}

static void
check_is_batch(Jsonb *elements)
{
	if (!JB_ROOT_IS_ARRAY(elements) || JB_ROOT_IS_SCALAR(elements))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"events\" must be an array")));
	if (JB_ROOT_COUNT(elements) > MAX_ELEMENTS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"events\" must have at most %d elements", MAX_ELEMENTS)));
}

Batch
parse_batch(const Installation *home, Jsonb *elements)
{
	JsonbIterator *iterator;
	JsonbValue	element;
	JsonbIteratorToken token;
	Batch		batch = {NULL};

	check_is_batch(elements);
	batch.items = palloc_extended(JB_ROOT_COUNT(elements) * sizeof(BatchItem) + 1, MCXT_ALLOC_HUGE);
	batch.errors = palloc(JB_ROOT_COUNT(elements) * sizeof(BatchError) + 1);
	iterator = JsonbIteratorInit(&elements->root);
	(void) JsonbIteratorNext(&iterator, &element, true);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) == WJB_ELEM)
	{
		CHECK_FOR_INTERRUPTS();
		add_element(home, &batch, &element);
	}
	return batch;
}
