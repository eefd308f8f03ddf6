/*
 * signups_table.c -- which table of the application holds the users?
 *
 * That is kept nowhere but in our trigger on it: the catalog is the state, so it
 * cannot come apart from a dump, a rename or a drop.  The trigger's arguments
 * are the names of the columns.
 */
#include "compat.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "errors.h"
#include "signups.h"
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

/* Locks the table against renaming and answers who owns it. */
Oid
lock_users_table(Oid relid, LOCKMODE mode)
{
	Relation	relation = table_open(relid, mode);
	Oid			owner = relation->rd_rel->relowner;

	table_close(relation, NoLock);
	return owner;
}
