/*
 * arguments_metadata.c -- what describes a use: cut if it is long, without secrets.
 *
 * Applications hand over headers and bodies as metadata.  Values under the keys
 * that usage_tracking.redacted_keys lists are replaced, at any depth.
 */
#include "compat.h"

#include "arguments.h"
#include "mb/pg_wchar.h"
#include "settings.h"
#include "utils/builtins.h"

#define MAX_METADATA_BYTES 8192
#define MAX_ERROR_CHARACTERS 1000
#define REDACTED "[redacted]"

static char
canonical(char c)
{
	return c == '-' ? '_' : pg_ascii_tolower((unsigned char) c);
}

static bool
same_key(const char *a, const char *b, int length)
{
	for (int i = 0; i < length; i++)
		if (canonical(a[i]) != canonical(b[i]))
			return false;
	return true;
}

/* Keys are listed with commas and spaces between them. */
static bool
is_redacted(const JsonbValue *key)
{
	const char *name = setting_redacted_keys;

	while (*(name += strspn(name, ", ")) != '\0')
	{
		int			length = strcspn(name, ", ");

		if (length == key->val.string.len && same_key(name, key->val.string.val, length))
			return true;
		name += length;
	}
	return false;
}

static bool
has_redacted_key(Jsonb *metadata)
{
	JsonbIterator *it = JsonbIteratorInit(&metadata->root);
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
		if (token == WJB_KEY && is_redacted(&value))
			return true;
	return false;
}

/* The same without what is secret. */
Jsonb *
redact(Jsonb *metadata)
{
	JsonbIterator *it;
	JsonbParseState *state = NULL;
	JsonbValue	value;
	JsonbValue *result = NULL;
	JsonbIteratorToken token;
	JsonbValue	mark = {.type = jbvString};
	bool		hide = false;

	if (!has_redacted_key(metadata))
		return metadata;
	mark.val.string.val = REDACTED;
	mark.val.string.len = strlen(REDACTED);
	it = JsonbIteratorInit(&metadata->root);
	while ((token = JsonbIteratorNext(&it, &value, hide)) != WJB_DONE)
	{
		if (hide)
			result = pushJsonbValue(&state, WJB_VALUE, &mark);
		else
			result = pushJsonbValue(&state, token, token < WJB_BEGIN_ARRAY ? &value : NULL);
		hide = token == WJB_KEY && is_redacted(&value);
	}
	return JsonbValueToJsonb(result);
}

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
