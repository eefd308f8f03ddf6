/*
 * signups_admin.c -- an admin by his email address.
 *
 * The address is looked up as the owner of the users table, restricted.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "tables.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* Supabase keeps when an address was confirmed; an unconfirmed one proves nothing. */
static const char *
confirmation_column(Oid relation)
{
	return get_attnum(relation, "email_confirmed_at") > 0 ? "email_confirmed_at IS NOT NULL" : "true";
}

/* Case of ASCII letters only: other foldings make look-alikes equal. */
static char *
query_by_email(const Installation *home, const UsersTable *users)
{
	return psprintf("SELECT %s::%s, %s FROM %s"
					" WHERE pg_catalog.lower(%s::pg_catalog.text COLLATE pg_catalog.\"C\")"
					" OPERATOR(pg_catalog.=) pg_catalog.lower($1 COLLATE pg_catalog.\"C\") LIMIT 2",
					quote_identifier(users->id_column), format_type_be_qualified(home->user_id_type),
					confirmation_column(users->relation), qualified_name(users->relation),
					quote_identifier(users->email_column));
}

static void
check_one_match(uint64 matches, bool confirmed)
{
	if (matches == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("no user has this email address")));
	if (matches > 1)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("more than one user has this email address"),
				 errhint("Grant the role by id, with grant_role().")));
	if (!confirmed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this email address is not confirmed"),
				 errhint("Grant the role by id, with grant_role().")));
}

/* An admin who cannot be anybody would count as the one that is left. */
static void
check_can_be_admin(const Installation *home, Datum user_id)
{
	if (!is_user_id(home, user_id))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the id of this user cannot be a user id"),
				 errdetail("It is empty or too long.")));
}

static Datum
user_by_email(const Installation *home, const UsersTable *users, char *email)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			argtypes[] = {TEXTOID};
	Datum		args[] = {CStringGetTextDatum(email)};
	char	   *command = query_by_email(home, users);
	Disguise	before;
	bool		isnull;
	bool		no_id;
	Datum		user_id;
	bool		confirmed;

	become_table_owner(lock_users_table(users->relation, AccessShareLock), &before);
	SPI_execute_with_args(command, 1, argtypes, args, NULL, true, 2);
	confirmed = SPI_processed == 1 && DatumGetBool(result_datum(0, 2, &isnull));
	check_one_match(SPI_processed, confirmed);
	user_id = result_datum(0, 1, &no_id);
	check_not_null(no_id, users->id_column);
	check_can_be_admin(home, user_id);
	MemoryContextSwitchTo(caller);
	user_id = SPI_datumTransfer(user_id, get_typbyval(home->user_id_type), get_typlen(home->user_id_type));
	become_caller(&before);
	return user_id;
}

PG_FUNCTION_INFO_V1(ut_make_admin_by_email);
Datum
ut_make_admin_by_email(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	UsersTable	users;
	char	   *email;

	check_may_manage_roles(home);
	email = required_text_argument(fcinfo, 0, "email");
	check_attached(find_users_table(home, &users));
	give_role(home, user_by_email(home, &users, email), "admin");
	PG_RETURN_VOID();
}
