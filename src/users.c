/*
 * users.c -- who is it?
 *
 * The identity comes from settings only, in the order usage_tracking.identity
 * lists them; the first source that is set decides.  Whatever it holds, looking
 * never fails: empty or malformed is nobody.  What a role may do for others
 * comes from the privileges of current_user and from user_roles, never from
 * what a token claims.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "query.h"
#include "settings.h"
#include "storage/lmgr.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/uuid.h"
#include "utils/varlena.h"

#define MAX_CLAIMS_BYTES 65536
#define MAX_CLAIMS_DEPTH 64

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

static bool
parse_user_id(const Installation *home, const char *text, Datum *user_id)
{
	pg_uuid_t  *uuid;

	if (home->user_id_type != UUIDOID)
		return false;
	uuid = palloc(sizeof(pg_uuid_t));
	if (!parse_uuid(text, uuid))
		return false;
	*user_id = UUIDPGetDatum(uuid);
	return true;
}

/* ---- the subject of a JSON Web Token ---- */

typedef struct Claims
{
	JsonLexContext *lexer;
	bool		at_subject;		/* inside the value of the outermost "sub" */
	char	   *subject;
} Claims;

static JsonActionResult
claim_starts(void *state, char *name, bool isnull)
{
	Claims	   *claims = state;

	if (claims->lexer->lex_level == 1 && strcmp(name, "sub") == 0)
	{
		claims->at_subject = true;
		claims->subject = NULL;
	}
	JSON_ACTION_DONE;
}

static JsonActionResult
claim_ends(void *state, char *name, bool isnull)
{
	Claims	   *claims = state;

	if (claims->lexer->lex_level == 1)
		claims->at_subject = false;
	JSON_ACTION_DONE;
}

static JsonActionResult
claim_value(void *state, char *token, JsonTokenType type)
{
	Claims	   *claims = state;

	if (claims->at_subject && claims->lexer->lex_level == 1 && type == JSON_TOKEN_STRING)
		claims->subject = token;
	JSON_ACTION_DONE;
}

/*
 * The parser itself reports errors by its return value, but for stack depth
 * and, on servers with another encoding than UTF-8, Unicode escapes.  Neither
 * occurs in an honest token.
 */
static bool
is_safe_to_parse(const char *claims)
{
	int			depth = 0;

	if (strlen(claims) > MAX_CLAIMS_BYTES)
		return false;
	if (GetDatabaseEncoding() != PG_UTF8 && strstr(claims, "\\u") != NULL)
		return false;
	for (const char *c = claims; *c; c++)
	{
		if ((*c == '{' || *c == '[') && ++depth > MAX_CLAIMS_DEPTH)
			return false;
		if ((*c == '}' || *c == ']') && depth > 0)
			depth--;
	}
	return true;
}

static const char *
subject_of_claims(const char *text)
{
	Claims		claims = {NULL, false, NULL};
	JsonSemAction actions;

	if (!is_safe_to_parse(text))
		return NULL;
	claims.lexer = ut_json_lexer(pstrdup(text), strlen(text), GetDatabaseEncoding());
	memset(&actions, 0, sizeof(actions));
	actions.semstate = &claims;
	actions.object_field_start = claim_starts;
	actions.object_field_end = claim_ends;
	actions.scalar = claim_value;
	if (pg_parse_json(claims.lexer, &actions) != JSON_SUCCESS)
		return NULL;
	return claims.subject;
}

/* ---- the sources, in their order ---- */

static const char *
setting_or_empty(const char *name)
{
	const char *value = *name == '\0' ? NULL : GetConfigOption(name, true, false);

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
		*text = *value == '\0' ? NULL : subject_of_claims(value);
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

bool
same_user(const Installation *home, Datum a, Datum b)
{
	int16		length;
	bool		byval;

	get_typlenbyval(home->user_id_type, &length, &byval);
	return datumIsEqual(a, b, byval, length);
}

/* ---- what the caller may do ---- */

/* A server role is one that may execute act_for_any_user(). */
bool
is_server_role(const Installation *home)
{
	oidvector  *no_arguments = buildoidvector(NULL, 0);
	Oid			marker = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
										 CStringGetDatum("act_for_any_user"),
										 PointerGetDatum(no_arguments),
										 ObjectIdGetDatum(home->schema));

	return OidIsValid(marker) &&
		object_aclcheck(ProcedureRelationId, marker, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK;
}

bool
is_owner_role(const Installation *home)
{
	return has_privs_of_role(GetUserId(), home->owner);
}

static Statement find_role = {
	"SELECT FROM @extschema@.user_roles"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND role OPERATOR(pg_catalog.=) $2",
	2, {USER_ID, TEXTOID}
};

static bool
user_has_role(const Installation *home, Datum user_id, const char *role)
{
	Datum		args[] = {user_id, CStringGetTextDatum(role)};
	Disguise	before;
	bool		found;

	become_owner(home, &before);
	found = statement_look(&find_role, args, NULL) > 0;
	become_caller(&before);
	return found;
}

bool
is_app_admin(const Installation *home)
{
	Datum		user_id;

	return current_user_datum(home, &user_id) && user_has_role(home, user_id, "admin");
}

static void
refuse_caller(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for this user or function")));
}

/* "No such user" and "not yours" are one answer. */
void
check_may_act_for(const Installation *home, bool user_is_null, Datum user_id)
{
	Datum		myself;

	if (is_server_role(home))
		check_not_null(user_is_null, "user_id");
	else if (user_is_null || !current_user_datum(home, &myself) ||
			 !same_user(home, user_id, myself))
		refuse_caller();
}

void
check_is_server(const Installation *home)
{
	if (!is_server_role(home))
		refuse_caller();
}

void
check_is_admin(const Installation *home)
{
	if (!is_owner_role(home) && !is_app_admin(home))
		refuse_caller();
}

void
check_is_admin_or_server(const Installation *home)
{
	if (!is_server_role(home) && !is_app_admin(home))
		refuse_caller();
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_current_user_id);
Datum
ut_current_user_id(PG_FUNCTION_ARGS)
{
	Datum		user_id;

	if (!current_user_datum(installation_of(fcinfo), &user_id))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(user_id);
}

/* Privileges decide by themselves: to call it at all is the right it stands for. */
PG_FUNCTION_INFO_V1(ut_act_for_any_user);
Datum
ut_act_for_any_user(PG_FUNCTION_ARGS)
{
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(ut_sees_all_users);
Datum
ut_sees_all_users(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);

	PG_RETURN_BOOL(is_server_role(home) || is_app_admin(home));
}

/* Whoever may not act for the user must be an admin to ask about his roles. */
static void
check_may_ask_roles(const Installation *home, Datum user_id)
{
	Datum		myself;

	if (current_user_datum(home, &myself) && same_user(home, user_id, myself))
		return;
	check_is_admin_or_server(home);
}

PG_FUNCTION_INFO_V1(ut_has_role);
Datum
ut_has_role(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char	   *role;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);	/* nobody has no role */
	check_may_ask_roles(home, PG_GETARG_DATUM(0));
	role = plain_name_argument(fcinfo, 1, "role");
	PG_RETURN_BOOL(user_has_role(home, PG_GETARG_DATUM(0), role));
}

PG_FUNCTION_INFO_V1(ut_is_admin);
Datum
ut_is_admin(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	check_may_ask_roles(home, PG_GETARG_DATUM(0));
	PG_RETURN_BOOL(user_has_role(home, PG_GETARG_DATUM(0), "admin"));
}

/*
 * No admin can grant the first role: nobody is one yet.  So a server role's
 * rights do not reach here, and the owner of the database may.
 */
void
check_may_manage_roles(const Installation *home)
{
	if (!ut_owns_database(MyDatabaseId, GetUserId()))
		check_is_admin(home);
}

static Statement add_role = {
	"INSERT INTO @extschema@.user_roles (user_id, role, granted_by) VALUES ($1, $2, $3)"
	" ON CONFLICT (user_id, role) DO NOTHING",
	3, {USER_ID, TEXTOID, USER_ID}
};

void
give_role(const Installation *home, Datum user_id, const char *role)
{
	Datum		args[] = {user_id, CStringGetTextDatum(role), (Datum) 0};
	bool		known = current_user_datum(home, &args[2]);
	Disguise	before;

	become_owner(home, &before);
	statement_write(&add_role, args, known ? "   " : "  n");
	become_caller(&before);
}

PG_FUNCTION_INFO_V1(ut_grant_role);
Datum
ut_grant_role(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);

	check_may_manage_roles(home);
	check_not_null(PG_ARGISNULL(0), "user_id");
	give_role(home, PG_GETARG_DATUM(0), plain_name_argument(fcinfo, 1, "role"));
	PG_RETURN_VOID();
}

static Statement take_role = {
	"DELETE FROM @extschema@.user_roles"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND role OPERATOR(pg_catalog.=) $2",
	2, {USER_ID, TEXTOID}
};

static Statement find_other_admin = {
	"SELECT FROM @extschema@.user_roles"
	" WHERE role OPERATOR(pg_catalog.=) 'admin' AND user_id OPERATOR(pg_catalog.<>) $1 LIMIT 1",
	1, {USER_ID}
};

/* Lock first, then look: of two admins who remove each other one is refused. */
static void
remove_role(const Installation *home, Datum user_id, const char *role)
{
	Datum		args[] = {user_id, CStringGetTextDatum(role)};
	Disguise	before;
	bool		last;

	LockRelationOid(get_relname_relid("user_roles", home->schema), ShareRowExclusiveLock);
	become_owner(home, &before);
	last = strcmp(role, "admin") == 0 &&
		statement_look_afresh(&find_role, args, NULL) > 0 &&
		statement_look_afresh(&find_other_admin, args, NULL) == 0;
	if (last)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot revoke role \"admin\" from the last admin"),
				 errhint("Grant the role to another user first.")));
	statement_write(&take_role, args, NULL);
	become_caller(&before);
}

PG_FUNCTION_INFO_V1(ut_revoke_role);
Datum
ut_revoke_role(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);

	check_may_manage_roles(home);
	check_not_null(PG_ARGISNULL(0), "user_id");
	remove_role(home, PG_GETARG_DATUM(0), plain_name_argument(fcinfo, 1, "role"));
	PG_RETURN_VOID();
}
