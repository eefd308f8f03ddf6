/*
 * usage_arguments.c -- what the functions of the door are given.
 */
#include "compat.h"

#include "arguments.h"
#include "mb/pg_wchar.h"
#include "numbers.h"
#include "usage.h"
#include "users.h"
#include "utils/builtins.h"

#define MAX_METADATA_BYTES 8192
#define MAX_ERROR_CHARACTERS 1000

/* Decoration is cut, never a reason to refuse a fact. */
char *
cut_text(Datum value, bool isnull)
{
	text	   *full;
	int			characters;
	int			bytes;

	if (isnull)
		return NULL;
	full = DatumGetTextPP(value);
	characters = pg_mbstrlen_with_len(VARDATA_ANY(full), VARSIZE_ANY_EXHDR(full));
	if (characters <= MAX_ERROR_CHARACTERS)
		return text_to_cstring(full);
	bytes = pg_mbcharcliplen(VARDATA_ANY(full), VARSIZE_ANY_EXHDR(full), MAX_ERROR_CHARACTERS);
	return psprintf("%.*s ... (cut from %d characters)", bytes, VARDATA_ANY(full), characters);
}

Jsonb *
metadata_argument(FunctionCallInfo fcinfo, int n)
{
	Jsonb	   *full;
	char	   *mark;

	if (PG_ARGISNULL(n))
		return NULL;
	full = redact(PG_GETARG_JSONB_P(n));
	if (VARSIZE(full) <= MAX_METADATA_BYTES)
		return full;
	mark = psprintf("{\"cut_from_bytes\": %u}", (unsigned) VARSIZE(full));
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(mark)));
}

void
amount_arguments(const Installation *home, FunctionCallInfo fcinfo, Event *event, const char *name)
{
	event->user_id = user_id_argument(home, fcinfo);
	event->usage_type = name_argument(fcinfo, 1, name);
	event->quantity = amount_argument(fcinfo, 2, "quantity", QUANTITY_DECIMALS);
	event->tokens = count_argument(fcinfo, 3, "tokens");
	event->cost = amount_argument(fcinfo, 4, "cost", MONEY_DECIMALS);
	event->status = "success";
	event->events = 1;
}

bool
takes_nothing(const Event *event)
{
	return num_sign(event->quantity) == 0 && event->tokens == 0 && num_sign(event->cost) == 0;
}

void
check_takes_something(const Event *event)
{
	if (takes_nothing(event))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("quantity, tokens, and cost must not all be zero")));
}
