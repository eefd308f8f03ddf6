/*
 * signups.c -- how do people come and go?
 *
 * Attaching the application's table of users makes our triggers on it, which are
 * all that says that it is attached (users_table.c).
 *
 * SQL on that table runs as the table's owner, restricted; DDL on it runs as
 * the caller, who must own it.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "miscadmin.h"
#include "plans.h"
#include "query.h"
#include "settings.h"
#include "storage/lmgr.h"
#include "tables.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#define SIGNUP_TRIGGER "usage_tracking_signup"
#define DELETE_TRIGGER "usage_tracking_delete"

/* ---- checks before attaching ---- */

static void
check_is_table(Oid relid)
{
	char		kind = get_rel_relkind(relid);

	if (kind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("users table does not exist")));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", get_rel_name(relid))));
	if (!ut_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
}

static Oid
type_of_column(Oid relid, const char *column)
{
	AttrNumber	number = get_attnum(relid, column);

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", column, get_rel_name(relid))));
	return getBaseType(get_atttype(relid, number));
}

static const char *
extension_for(Oid type)
{
	switch (type)
	{
		case UUIDOID:
			return "usage_tracking";
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return "usage_tracking_bigint";
		case TEXTOID:
		case VARCHAROID:
			return "usage_tracking_text";
		default:
			return NULL;
	}
}

/* Into what ids are cast to here nobody can have written a cast of his own. */
static bool
fits_user_ids(const Installation *home, Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
			return home->user_id_type == INT8OID;
		case VARCHAROID:
			return home->user_id_type == TEXTOID;
		default:
			return home->user_id_type == type;
	}
}

static void
check_columns(const Installation *home, const UsersTable *users)
{
	Oid			id_type = type_of_column(users->relation, users->id_column);
	char		category;
	bool		preferred;

	if (!fits_user_ids(home, id_type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, but user ids of this extension have type %s",
						users->id_column, get_rel_name(users->relation),
						format_type_be(id_type), format_type_be(home->user_id_type)),
				 extension_for(id_type) == NULL
				 ? errhint("User ids have type uuid, text, character varying, bigint, integer, or smallint.")
				 : errhint("The extension for such a table is \"%s\".", extension_for(id_type))));
	get_type_category_preferred(type_of_column(users->relation, users->email_column), &category, &preferred);
	if (category != TYPCATEGORY_STRING)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is not a text", users->email_column,
						get_rel_name(users->relation))));
}

static void
check_on_delete(const char *on_delete)
{
	if (strcmp(on_delete, "anonymize") != 0 && strcmp(on_delete, "erase") != 0 && strcmp(on_delete, "keep") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"on_delete\" must be anonymize, erase, or keep")));
}

static void
check_same_attachment(const UsersTable *attached, const UsersTable *wanted)
{
	if (attached->relation == wanted->relation &&
		strcmp(attached->id_column, wanted->id_column) == 0 &&
		strcmp(attached->email_column, wanted->email_column) == 0 &&
		strcmp(attached->on_delete, wanted->on_delete) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg(attached->relation != wanted->relation ? "table \"%s\" is already attached"
					: "table \"%s\" is already attached with other columns or another on_delete",
					get_rel_name(attached->relation)),
			 errhint("Call detach_users() first.")));
}

/* ---- attaching ---- */

static void
create_triggers(const Installation *home, const UsersTable *users)
{
	const char *schema = quote_identifier(get_namespace_name(home->schema));
	const char *table = qualified_name(users->relation);

	run_ddl(psprintf("CREATE TRIGGER %s AFTER INSERT ON %s FOR EACH ROW"
					 " EXECUTE FUNCTION %s.handle_new_user(%s, %s, %s)",
					 SIGNUP_TRIGGER, table, schema,
					 quote_literal_cstr(users->id_column), quote_literal_cstr(users->email_column),
					 quote_literal_cstr(users->on_delete)));
	run_ddl(psprintf("CREATE TRIGGER %s AFTER DELETE ON %s FOR EACH ROW"
					 " EXECUTE FUNCTION %s.handle_deleted_user(%s, %s)",
					 DELETE_TRIGGER, table, schema,
					 quote_literal_cstr(users->id_column), quote_literal_cstr(users->on_delete)));
}

static Statement find_triggers = {
	"SELECT t.tgname FROM pg_catalog.pg_trigger AS t"
	" JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid"
	" WHERE p.proname OPERATOR(pg_catalog.=) ANY ('{handle_new_user,handle_deleted_user}')"
	" AND p.pronamespace OPERATOR(pg_catalog.=) $1 AND t.tgrelid OPERATOR(pg_catalog.=) $2",
	2, {OIDOID, OIDOID}
};

/* They live: whatever was to be done about their deletion is not. */
static Statement forget_deletions = {
	"DELETE FROM @extschema@.deleted_users WHERE user_id OPERATOR(pg_catalog.=) ANY ($1)",
	1, {USER_IDS}
};

/* One batch of ids, read as the table's owner, written as ours. */
static int64
add_batch(void *argument, SPITupleTable *batch)
{
	const Installation *home = argument;
	int			n = batch->numvals;
	Datum	   *ids = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));
	Datum		args[1];
	Disguise	before;
	int64		added;

	for (int i = 0; i < n; i++)
	{
		ids[i] = SPI_getbinval(batch->vals[i], batch->tupdesc, 1, &nulls[i]);
		nulls[i] = nulls[i] || !is_user_id(home, ids[i]);
	}
	args[0] = value_array(ids, nulls, n, home->user_id_type);
	become_owner(home, &before);
	added = note_first_uses(args[0], usage_now());
	statement_write(&forget_deletions, args, NULL);
	become_caller(&before);
	return added;
}

/* What is there after the trigger is: none is missed. */
static int64
backfill(const Installation *home, const UsersTable *users, Oid table_owner)
{
	char	   *command = psprintf("SELECT %s::%s FROM %s", quote_identifier(users->id_column),
								   format_type_be_qualified(home->user_id_type), qualified_name(users->relation));

	return read_in_batches(table_owner, command, add_batch, unconstify(Installation *, home));
}

static Statement prepare_home = {
	"SELECT @extschema@.install_default_plans(), p.done"
	" FROM @extschema@._prepare_partitions(2, 'infinity'::pg_catalog.timestamptz) AS p",
	0
};

/* The plans, and a place for the events of this month and the next. */
static void
furnish(const Installation *home)
{
	Disguise	before;

	become_owner(home, &before);
	statement_write(&prepare_home, NULL, NULL);
	become_caller(&before);
}

static UsersTable
wanted_table(FunctionCallInfo fcinfo)
{
	UsersTable	users;

	for (int i = 0; i < 4; i++)
	{
		static const char *const names[] = {"users", "id_column", "email_column", "on_delete"};

		check_not_null(PG_ARGISNULL(i), names[i]);
	}
	users.relation = PG_GETARG_OID(0);
	users.id_column = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	users.email_column = pstrdup(NameStr(*PG_GETARG_NAME(2)));
	users.on_delete = text_to_cstring(PG_GETARG_TEXT_PP(3));
	return users;
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_attach_users);
Datum
ut_attach_users(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	UsersTable	wanted = wanted_table(fcinfo);
	UsersTable	attached;

	check_on_delete(wanted.on_delete);
	check_is_table(wanted.relation);
	check_columns(home, &wanted);
	/* one at a time; blocks nothing else */
	PreventCommandDuringRecovery("attach_users()");
	LockRelationOid(get_relname_relid("deleted_users", home->schema), ShareUpdateExclusiveLock);
	if (find_users_table(home, &attached))
		check_same_attachment(&attached, &wanted);
	else
	{
		create_triggers(home, &wanted);
		furnish(home);
	}
	PG_RETURN_INT64(backfill(home, &wanted, lock_users_table(wanted.relation, AccessShareLock)));
}

PG_FUNCTION_INFO_V1(ut_detach_users);
Datum
ut_detach_users(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	UsersTable	users;
	Datum		args[2];

	check_attached(find_users_table(home, &users));
	check_is_table(users.relation);
	args[0] = ObjectIdGetDatum(home->schema);
	args[1] = ObjectIdGetDatum(users.relation);
	drop_triggers(home, users.relation, &find_triggers, args);
	PG_RETURN_VOID();
}

static Statement forget_deletion = {
	"DELETE FROM @extschema@.deleted_users WHERE user_id OPERATOR(pg_catalog.=) $1",
	1, {USER_ID}
};

/* Called by the trigger function handle_new_user(), as the extension's owner. */
PG_FUNCTION_INFO_V1(ut_record_signup);
Datum
ut_record_signup(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[1];
	Disguise	before;

	check_is_server(home);
	args[0] = user_id_argument(home, fcinfo);
	become_owner(home, &before);
	note_first_use(args[0], usage_now());
	statement_write(&forget_deletion, args, NULL);
	become_caller(&before);
	PG_RETURN_VOID();
}
