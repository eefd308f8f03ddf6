/*
 * users_identity.c -- on whose behalf does the session act?
 *
 * The identity comes from settings only, in the order usage_tracking.identity
 * lists them; the first source that is set decides.  Whatever it holds, looking
 * never fails: empty or malformed is nobody.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "query.h"
#include "settings.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/uuid.h"
#include "utils/varlena.h"

#define MAXINT8LEN 20
#define MAX_JSON_BYTES 65536
#define MAX_JSON_DEPTH 64

/* ---- reading an id out of a text ---- */

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* uuid_in() would raise an error; only the form with four hyphens is taken. */
static bool
parse_uuid(const char *text, pg_uuid_t *uuid)
{
	if (strlen(text) != 36)
		return false;
	for (int i = 0, n = 0; i < 36; i++)
	{
		bool		hyphen = (i == 8 || i == 13 || i == 18 || i == 23);

		if (hyphen != (text[i] == '-') || (!hyphen && hex_digit(text[i]) < 0))
			return false;
		if (hyphen)
			continue;
		if (n % 2 == 0)
			uuid->data[n / 2] = hex_digit(text[i]) << 4;
		else
			uuid->data[n / 2] |= hex_digit(text[i]);
		n++;
	}
	return true;
}

/* Decimal digits, as bigint prints them: no blanks, no plus, no leading zero. */
static bool
parse_bigint(const char *text, int64 *number)
{
	char		again[MAXINT8LEN + 1];

	if (strlen(text) > MAXINT8LEN)
		return false;
	errno = 0;
	*number = strtoi64(text, NULL, 10);
	if (errno != 0)
		return false;
	pg_lltoa(*number, again);
	return strcmp(text, again) == 0;
}

static bool
is_text_id(const char *text)
{
	int			length = strlen(text);

	return length > 0 && length <= MAX_TEXT * MAX_MULTIBYTE_CHAR_LEN &&
		pg_verifymbstr(text, length, true) && pg_mbstrlen(text) <= MAX_TEXT;
}

static bool
parse_user_id(const Installation *home, const char *text, Datum *user_id)
{
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));
	int64		number;

	switch (home->user_id_type)
	{
		case UUIDOID:
			*user_id = UUIDPGetDatum(uuid);
			return parse_uuid(text, uuid);
		case INT8OID:
			if (!parse_bigint(text, &number))
				return false;
			*user_id = Int64GetDatum(number);
			return true;
		case TEXTOID:
			if (!is_text_id(text))
				return false;
			*user_id = CStringGetTextDatum(text);
			return true;
	}
	return false;
}

/* ---- a member of JSON that came with a request ---- */

typedef struct Search
{
	JsonLexContext *lexer;
	const char *name;
	bool		at_member;		/* inside the value of the outermost one of that name */
	char	   *value;
} Search;

static JsonActionResult
member_starts(void *state, char *name, bool isnull)
{
	Search	   *search = state;

	if (search->lexer->lex_level == 1 && strcmp(name, search->name) == 0)
	{
		search->at_member = true;
		search->value = NULL;
	}
	JSON_ACTION_DONE;
}

static JsonActionResult
member_ends(void *state, char *name, bool isnull)
{
	Search	   *search = state;

	if (search->lexer->lex_level == 1)
		search->at_member = false;
	JSON_ACTION_DONE;
}

static JsonActionResult
scalar_value(void *state, char *token, JsonTokenType type)
{
	Search	   *search = state;

	if (search->at_member && search->lexer->lex_level == 1 && type == JSON_TOKEN_STRING)
		search->value = token;
	JSON_ACTION_DONE;
}

/*
 * The parser itself reports errors by its return value, but for stack depth
 * and, on servers with another encoding than UTF-8, Unicode escapes.  Neither
 * occurs in an honest request.
 */
static bool
is_safe_to_parse(const char *json)
{
	int			depth = 0;

	if (strlen(json) > MAX_JSON_BYTES)
		return false;
	if (GetDatabaseEncoding() != PG_UTF8 && strstr(json, "\\u") != NULL)
		return false;
	for (const char *c = json; *c; c++)
	{
		if ((*c == '{' || *c == '[') && ++depth > MAX_JSON_DEPTH)
			return false;
		if ((*c == '}' || *c == ']') && depth > 0)
			depth--;
	}
	return true;
}

/* The text that an object has by this name, or NULL; malformed JSON has none. */
const char *
text_member(const char *json, const char *name)
{
	Search		search = {NULL, name, false, NULL};
	JsonSemAction actions;

	if (!is_safe_to_parse(json))
		return NULL;
	search.lexer = ut_json_lexer(pstrdup(json), strlen(json), GetDatabaseEncoding());
	memset(&actions, 0, sizeof(actions));
	actions.semstate = &search;
	actions.object_field_start = member_starts;
	actions.object_field_end = member_ends;
	actions.scalar = scalar_value;
	if (pg_parse_json(search.lexer, &actions) != JSON_SUCCESS)
		return NULL;
	return search.value;
}

/* ---- the sources, in their order ---- */

/* What only a superuser may see is not told by a detour. */
static const char *
setting_or_empty(const char *name)
{
	const char *value = NULL;

	if (*name != '\0' && (GetConfigOptionFlags(name, true) & GUC_SUPERUSER_ONLY) == 0)
		value = GetConfigOption(name, true, false);
	return value == NULL ? "" : value;
}

/* True if this source is set at all; *text is then its id, or NULL. */
static bool
ask_source(const char *source, const char **text)
{
	const char *value;

	if (pg_strcasecmp(source, "user_id") == 0)
		*text = value = setting_user_id;
	else if (pg_strcasecmp(source, "setting") == 0)
		*text = value = setting_or_empty(setting_user_id_setting);
	else if (pg_strcasecmp(source, "jwt") == 0)
	{
		value = setting_or_empty("request.jwt.claims");
		*text = *value == '\0' ? NULL : text_member(value, "sub");
	}
	else
		return false;
	return *value != '\0';
}

bool
current_user_datum(const Installation *home, Datum *user_id)
{
	List	   *sources;
	ListCell   *cell;
	const char *text = NULL;

	if (!SplitIdentifierString(pstrdup(setting_identity), ',', &sources))
		return false;
	foreach(cell, sources)
		if (ask_source(lfirst(cell), &text))
			return text != NULL && parse_user_id(home, text, user_id);
	return false;
}
