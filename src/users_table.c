/*
 * users_table.c -- which table of the application holds the users?
 *
 * That is kept nowhere but in our trigger on it: the catalog is the state, so it
 * cannot come apart from a dump, a rename or a drop.  The trigger's arguments
 * are the names of the columns.
 */
#include "compat.h"

#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "errors.h"
#include "tables.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

static Statement find_attached = {
	"SELECT t.tgrelid, t.tgfoid FROM pg_catalog.pg_trigger AS t"
	" JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid"
	" WHERE p.proname OPERATOR(pg_catalog.=) 'handle_new_user' AND p.pronargs OPERATOR(pg_catalog.=) 0"
	" AND p.pronamespace OPERATOR(pg_catalog.=) $1 AND t.tgparentid OPERATOR(pg_catalog.=) 0",
	1, {OIDOID}
};

/* By its function: the owner of the table may have renamed the trigger. */
static bool
read_trigger(UsersTable *users, Relation relation, Oid function)
{
	TriggerDesc *triggers = relation->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (trigger->tgfoid != function || trigger->tgnargs != 3)
			continue;
		users->relation = RelationGetRelid(relation);
		users->id_column = pstrdup(trigger->tgargs[0]);
		users->email_column = pstrdup(trigger->tgargs[1]);
		users->on_delete = pstrdup(trigger->tgargs[2]);
		return true;
	}
	return false;
}

bool
find_users_table(const Installation *home, UsersTable *users)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[] = {ObjectIdGetDatum(home->schema)};
	Disguise	before;
	Oid			relid = InvalidOid;
	Oid			function = InvalidOid;
	Relation	relation;
	bool		found;
	bool		isnull;

	become_owner(home, &before);
	if (statement_look_afresh(&find_attached, args, NULL) > 0)
	{
		relid = DatumGetObjectId(result_datum(0, 1, &isnull));
		function = DatumGetObjectId(result_datum(0, 2, &isnull));
	}
	become_caller(&before);
	if (!OidIsValid(relid))
		return false;
	MemoryContextSwitchTo(caller);
	relation = table_open(relid, AccessShareLock);
	found = read_trigger(users, relation, function);
	table_close(relation, NoLock);
	return found;
}

void
check_attached(bool attached)
{
	if (!attached)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no users table is attached"),
				 errhint("Attach one with attach_users().")));
}

static bool
column_type(Oid relid, const char *column, Oid *type)
{
	AttrNumber	number = get_attnum(relid, column);

	*type = number > 0 ? getBaseType(get_atttype(relid, number)) : InvalidOid;
	return OidIsValid(*type);
}

/*
 * Whether the columns can still be asked: of a type that somebody made, the casts
 * may be his too.  They would run as the table's owner, but in the name of who asks.
 */
static bool
columns_can_be_asked(const UsersTable *users)
{
	Oid			id_type;
	Oid			email_type;
	char		category;
	bool		preferred;

	if (!column_type(users->relation, users->id_column, &id_type) ||
		!column_type(users->relation, users->email_column, &email_type))
		return false;
	get_type_category_preferred(email_type, &category, &preferred);
	return id_type < FirstNormalObjectId && category == TYPCATEGORY_STRING;
}

/* Locks the table against renaming and answers who owns it. */
Oid
lock_users_table(Oid relid, LOCKMODE mode)
{
	Relation	relation = table_open(relid, mode);
	Oid			owner = relation->rd_rel->relowner;

	table_close(relation, NoLock);
	return owner;
}

/* Asks the table as its owner, restricted.  Returns how many rows there are. */
static uint64
ask_users_table(const UsersTable *users, const char *question, Oid argtype, Datum arg, Disguise *before)
{
	become_table_owner(lock_users_table(users->relation, AccessShareLock), before);
	SPI_execute_with_args(question, OidIsValid(argtype) ? 1 : 0, &argtype, &arg, NULL, true, 1);
	return SPI_processed;
}

/* ---- everything below only translates between SQL and the above ---- */

/* NULL: no table is attached, he is not in it, or it no longer has such columns. */
PG_FUNCTION_INFO_V1(ut_email_of);
Datum
ut_email_of(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	UsersTable	users;
	Disguise	before;
	char	   *email = NULL;

	if (PG_ARGISNULL(0) || !find_users_table(home, &users) ||
		!columns_can_be_asked(&users))
		PG_RETURN_NULL();
	if (ask_users_table(&users, psprintf("SELECT %s::pg_catalog.text FROM %s WHERE %s OPERATOR(pg_catalog.=) $1",
										 quote_identifier(users.email_column), qualified_name(users.relation),
										 quote_identifier(users.id_column)),
						home->user_id_type, PG_GETARG_DATUM(0), &before) > 0)
		email = result_text(0, 1);
	if (email != NULL)
		email = MemoryContextStrdup(caller, email);
	become_caller(&before);
	if (email == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(email));
}

PG_FUNCTION_INFO_V1(ut_registered_users);
Datum
ut_registered_users(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	UsersTable	users;
	Disguise	before;
	int64		registered;

	if (!find_users_table(home, &users))
		PG_RETURN_NULL();
	ask_users_table(&users, psprintf("SELECT pg_catalog.count(*) FROM %s", qualified_name(users.relation)),
					InvalidOid, (Datum) 0, &before);
	registered = result_int64(0, 1);
	become_caller(&before);
	PG_RETURN_INT64(registered);
}
