/*
 * errors.c -- raises refusals, in PostgreSQL's own form or as PostgREST reads
 * them.
 *
 * PostgREST maps an SQLSTATE it does not know to 400; to answer 429 or 409 it
 * wants SQLSTATE PGRST with JSON in message and detail.  Our own code then
 * stands in that JSON.
 */
#include "compat.h"

#include "errors.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "settings.h"
#include "utils/json.h"
#include "utils/rel.h"

#define ERRCODE_POSTGREST MAKE_SQLSTATE('P','G','R','S','T')

static void
append_member(StringInfo json, const char *name, const char *value)
{
	appendStringInfo(json, "%s\"%s\":", json->len > 1 ? "," : "", name);
	if (value == NULL)
		appendStringInfoString(json, "null");
	else
		escape_json(json, value);
}

static char *
postgrest_message(const Refusal *refusal)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	append_member(&json, "code", unpack_sql_state(refusal->sqlstate));
	append_member(&json, "message", refusal->message);
	append_member(&json, "details", refusal->detail);
	append_member(&json, "hint", refusal->hint);
	appendStringInfoChar(&json, '}');
	return json.data;
}

static char *
postgrest_detail(const Refusal *refusal)
{
	return psprintf("{\"status\":%d,\"status_text\":\"%s\",\"headers\":%s}",
					refusal->http_status, refusal->http_text,
					refusal->headers ? refusal->headers : "{}");
}

void
raise_refusal(const Refusal *refusal)
{
	if (errors_for_postgrest())
		ereport(ERROR,
				(errcode(ERRCODE_POSTGREST),
				 errmsg_internal("%s", postgrest_message(refusal)),
				 errdetail_internal("%s", postgrest_detail(refusal)),
				 refusal->limit_type ? err_generic_string(PG_DIAG_CONSTRAINT_NAME, refusal->limit_type) : 0));
	ereport(ERROR,
			(errcode(refusal->sqlstate),
			 errmsg_internal("%s", refusal->message),
			 refusal->detail ? errdetail_internal("%s", refusal->detail) : 0,
			 refusal->hint ? errhint("%s", refusal->hint) : 0,
			 refusal->limit_type ? err_generic_string(PG_DIAG_CONSTRAINT_NAME, refusal->limit_type) : 0));
	pg_unreachable();
}

/* STRICT would answer NULL, which an application may take for either answer. */
void
check_not_null(bool isnull, const char *argument)
{
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("argument \"%s\" must not be null", argument)));
}

/* Anybody may call a function; only a trigger brings what these need. */
TriggerData *
check_trigger(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function can only be called as a trigger")));
	return (TriggerData *) fcinfo->context;
}

/* Of a table with this column, for each row. */
TriggerData *
check_row_trigger(FunctionCallInfo fcinfo, const char *column)
{
	TriggerData *trigger = check_trigger(fcinfo);

	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		SPI_fnumber(trigger->tg_relation->rd_att, column) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function can only be called as a row trigger of its own table")));
	return trigger;
}
