/*
 * users.c -- who is it, and what may he do?
 *
 * Whom a role may act for comes from the privileges of current_user, who is an
 * admin from user_roles; nothing a token claims plays a part.
 *
 * Locking: whoever takes a role away holds SHARE ROW EXCLUSIVE on user_roles
 * before he looks whether an admin is left; whoever acts as an admin holds ROW
 * EXCLUSIVE before he looks whether he is one.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "query.h"
#include "storage/lmgr.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

bool
same_user(const Installation *home, Datum a, Datum b)
{
	int16		length;
	bool		byval;

	get_typlenbyval(home->user_id_type, &length, &byval);
	return datum_image_eq(a, b, byval, length);
}

/* ---- what the caller may do ---- */

/* A server role is one that may execute act_for_any_user(). */
static bool
is_server_role(const Installation *home)
{
	oidvector  *no_arguments = buildoidvector(NULL, 0);
	Oid			marker = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
										 CStringGetDatum("act_for_any_user"),
										 PointerGetDatum(no_arguments),
										 ObjectIdGetDatum(home->schema));

	return OidIsValid(marker) && ut_may_execute(marker, GetUserId());
}

static bool
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
user_has_role(const Installation *home, Datum user_id, const char *role, bool afresh)
{
	Datum		args[] = {user_id, CStringGetTextDatum(role)};
	Disguise	before;
	bool		found;

	become_owner(home, &before);
	found = (afresh ? statement_look_afresh(&find_role, args, NULL)
			 : statement_look(&find_role, args, NULL)) > 0;
	become_caller(&before);
	return found;
}

/* As the calling query sees it: good for showing. */
bool
is_app_admin(const Installation *home)
{
	Datum		user_id;

	return current_user_datum(home, &user_id) && user_has_role(home, user_id, "admin", false);
}

/*
 * As it is at this moment, and until the transaction ends: a demoted admin
 * changes nothing, at any isolation level.
 */
static bool
is_app_admin_now(const Installation *home)
{
	Datum		user_id;

	LockRelationOid(get_relname_relid("user_roles", home->schema), RowExclusiveLock);
	return current_user_datum(home, &user_id) && user_has_role(home, user_id, "admin", true);
}

static void
refuse_caller(const char *message)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg_internal("%s", message)));
}

static bool
may_act_for(const Installation *home, FunctionCallInfo fcinfo)
{
	Datum		myself;

	return is_server_role(home) ||
		(!PG_ARGISNULL(0) && current_user_datum(home, &myself) && same_user(home, PG_GETARG_DATUM(0), myself));
}

/* "No such user" and "not yours" are one answer. */
static void
refuse_to_act_for_user(void)
{
	refuse_caller("permission denied to act for this user");
}

void
check_may_act_for(const Installation *home, FunctionCallInfo fcinfo)
{
	if (!may_act_for(home, fcinfo))
		refuse_to_act_for_user();
}

void
check_may_act_for_or_admin(const Installation *home, FunctionCallInfo fcinfo)
{
	if (!may_act_for(home, fcinfo) && !is_app_admin_now(home))
		refuse_to_act_for_user();
}

void
check_sees_all_users(const Installation *home)
{
	if (!is_server_role(home) && !is_app_admin(home))
		refuse_caller("must be an admin or a server role to do this");
}

void
check_is_server(const Installation *home)
{
	if (!is_server_role(home))
		refuse_caller("must be a server role to do this");
}

void
check_is_admin(const Installation *home)
{
	if (!is_owner_role(home) && !is_app_admin_now(home))
		refuse_caller("must be an admin to do this");
}

void
check_is_admin_or_server(const Installation *home)
{
	if (!is_server_role(home) && !is_app_admin_now(home))
		refuse_caller("must be an admin or a server role to do this");
}

/* What a users table may hold that nobody can be. */
bool
is_user_id(const Installation *home, Datum value)
{
	return home->user_id_type != TEXTOID || is_key_text(value);
}

/* Every function about one user takes him first. */
Datum
user_id_argument(const Installation *home, FunctionCallInfo fcinfo)
{
	check_not_null(PG_ARGISNULL(0), "user_id");
	if (home->user_id_type != TEXTOID)
		return PG_GETARG_DATUM(0);
	return CStringGetTextDatum(text_argument(fcinfo, 0, "user_id"));
}

/* The first argument, of what the caller asks to see. */
Datum
user_to_see(const Installation *home, FunctionCallInfo fcinfo)
{
	if (!is_app_admin(home) && !may_act_for(home, fcinfo))
		refuse_to_act_for_user();
	return user_id_argument(home, fcinfo);
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_current_user_id);
Datum
ut_current_user_id(PG_FUNCTION_ARGS)
{
	Datum		user_id;

	/* policies of the application call this: it answers while an update is due */
	if (!current_user_datum(installation_of_any_version(fcinfo), &user_id))
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
	if (!is_server_role(home) && !is_app_admin(home))
		refuse_caller("permission denied to act for this user");
}

PG_FUNCTION_INFO_V1(ut_has_role);
Datum
ut_has_role(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id;
	char	   *role;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);	/* nobody has no role */
	check_may_ask_roles(home, PG_GETARG_DATUM(0));
	user_id = user_id_argument(home, fcinfo);
	role = plain_name_argument(fcinfo, 1, "role");
	PG_RETURN_BOOL(user_has_role(home, user_id, role, false));
}

PG_FUNCTION_INFO_V1(ut_is_admin);
Datum
ut_is_admin(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	check_may_ask_roles(home, PG_GETARG_DATUM(0));
	PG_RETURN_BOOL(user_has_role(home, user_id_argument(home, fcinfo), "admin", false));
}

static Statement roles_of_user = {
	"SELECT role, granted_at FROM @extschema@.user_roles"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 ORDER BY role",
	1, {USER_ID}
};

PG_FUNCTION_INFO_V1(ut_get_user_roles);
Datum
ut_get_user_roles(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[] = {user_to_see(home, fcinfo)};
	Disguise	before;

	InitMaterializedSRF(fcinfo, 0);
	become_owner(home, &before);
	statement_answer(&roles_of_user, args, NULL, (ReturnSetInfo *) fcinfo->resultinfo);
	become_caller(&before);
	return (Datum) 0;
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
	give_role(home, user_id_argument(home, fcinfo), plain_name_argument(fcinfo, 1, "role"));
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

/*
 * Lock first, then look: of two admins who remove each other one is refused,
 * because he no longer is one.
 */
static void
remove_role(const Installation *home, Datum user_id, const char *role)
{
	Datum		args[] = {user_id, CStringGetTextDatum(role)};
	Disguise	before;
	bool		last;

	PreventCommandDuringRecovery("revoke_role()");
	LockRelationOid(get_relname_relid("user_roles", home->schema), ShareRowExclusiveLock);
	check_may_manage_roles(home);
	become_owner(home, &before);
	last = strcmp(role, "admin") == 0 &&
		statement_look_afresh(&find_role, args, NULL) > 0 &&
		statement_look_afresh(&find_other_admin, args, NULL) == 0;
	if (last)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot revoke role \"admin\" from the last admin"),
				 errhint("Grant the role to another user first.")));
	statement_write_or_fail(&take_role, &find_role, args, NULL);
	become_caller(&before);
}

PG_FUNCTION_INFO_V1(ut_revoke_role);
Datum
ut_revoke_role(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);

	/* an admin is asked again under the lock; asked twice, two would deadlock */
	if (!is_app_admin(home))
		check_may_manage_roles(home);
	remove_role(home, user_id_argument(home, fcinfo), plain_name_argument(fcinfo, 1, "role"));
	PG_RETURN_VOID();
}
