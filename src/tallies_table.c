/*
 * tallies_table.c -- which tallies are there, and do their columns still fit?
 *
 * Tallies are kept nowhere but in our triggers on the sources, like the table of
 * users.  A trigger names its target, because a dump must bring it back; so a
 * renamed one is no longer found, and the next change of the source says so.
 */
#include "compat.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "nodes/pg_list.h"
#include "tallies.h"
#include "transitions.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define TALLY_ARGUMENTS 9

static const char *
optional_name(const char *argument)
{
	return argument[0] == '\0' ? NULL : pstrdup(argument);
}

bool
read_tally(const Trigger *trigger, Oid relation, Tally *tally)
{
	Oid			schema;

	if (trigger->tgnargs != TALLY_ARGUMENTS)
		return false;
	tally->source = relation;
	tally->schema = pstrdup(trigger->tgargs[0]);
	tally->table = pstrdup(trigger->tgargs[1]);
	tally->key = pstrdup(trigger->tgargs[2]);
	tally->count_column = pstrdup(trigger->tgargs[3]);
	tally->source_key = pstrdup(trigger->tgargs[4]);
	tally->last_used = optional_name(trigger->tgargs[5]);
	tally->used_at = optional_name(trigger->tgargs[6]);
	tally->user = optional_name(trigger->tgargs[7]);
	tally->of_partition = strcmp(trigger->tgargs[8], "partition") == 0;
	schema = get_namespace_oid(tally->schema, true);
	tally->target = OidIsValid(schema) ? get_relname_relid(tally->table, schema) : InvalidOid;
	return true;
}

/* ---- finding them ---- */

/* Without a lock, which not everybody may have. */
Oid
table_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

static Statement find_function = {
	"SELECT p.oid FROM pg_catalog.pg_proc AS p WHERE p.proname OPERATOR(pg_catalog.=) '_count_tally'"
	" AND p.pronargs OPERATOR(pg_catalog.=) 0 AND p.pronamespace OPERATOR(pg_catalog.=) $1",
	1, {OIDOID}
};

Oid
tally_function(const Installation *home)
{
	Datum		args[] = {ObjectIdGetDatum(home->schema)};
	Disguise	before;
	bool		isnull;
	Oid			function = InvalidOid;

	become_owner(home, &before);
	if (statement_look_afresh(&find_function, args, NULL) > 0)
		function = DatumGetObjectId(result_datum(0, 1, &isnull));
	become_caller(&before);
	return function;
}

static Statement find_relations = {
	"SELECT DISTINCT t.tgrelid FROM pg_catalog.pg_trigger AS t WHERE t.tgfoid OPERATOR(pg_catalog.=) $1 ORDER BY 1",
	1, {OIDOID}
};

List *
relations_with_tallies(const Installation *home)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[] = {ObjectIdGetDatum(tally_function(home))};
	List	   *relations = NIL;
	Disguise	before;
	uint64		rows;
	bool		isnull;

	become_owner(home, &before);
	rows = statement_look_afresh(&find_relations, args, NULL);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < rows; row++)
		relations = lappend_oid(relations, DatumGetObjectId(result_datum(row, 1, &isnull)));
	become_caller(&before);
	MemoryContextSwitchTo(caller);
	return relations;
}

/*
 * A tally is its trigger for INSERT: it may have any name, and whoever drops it
 * has ended the tally.  The other triggers do nothing without it.
 */
bool
begins_tally(const Trigger *trigger)
{
	return TRIGGER_FOR_INSERT(trigger->tgtype);
}

/* Whether a table's trigger counts: the one for INSERT of its tally is there, and not disabled. */
bool
tally_is_whole(Relation relation, const Trigger *trigger)
{
	const TriggerDesc *triggers = relation->trigdesc;
	bool		whole = begins_tally(trigger);

	for (int i = 0; !whole && i < triggers->numtriggers; i++)
	{
		const Trigger *other = &triggers->triggers[i];

		whole = other->tgfoid == trigger->tgfoid && begins_tally(other) && other->tgenabled != TRIGGER_DISABLED &&
			other->tgnargs == TALLY_ARGUMENTS;
		for (int n = 0; whole && n < TALLY_ARGUMENTS; n++)
			whole = strcmp(other->tgargs[n], trigger->tgargs[n]) == 0;
	}
	return whole;
}

/* Whoever may make our triggers could name anybody's target; without one owner they do nothing. */
static bool
find_in_relation(Oid relid, Oid function, Oid owner, Oid target, const char *count_column, Tally *tally)
{
	Relation	relation = try_relation_open(relid, AccessShareLock);
	TriggerDesc *triggers = relation == NULL || relation->rd_rel->relowner != owner ? NULL : relation->trigdesc;
	bool		found = false;

	for (int i = 0; !found && triggers != NULL && i < triggers->numtriggers; i++)
		found = triggers->triggers[i].tgfoid == function && begins_tally(&triggers->triggers[i]) &&
			read_tally(&triggers->triggers[i], relid, tally) && !tally->of_partition &&
			tally->target == target && strcmp(tally->count_column, count_column) == 0;
	if (relation != NULL)
		relation_close(relation, AccessShareLock);
	return found;
}

/* The tally that keeps this column; a column has one at most. */
bool
find_tally(const Installation *home, Oid target, const char *count_column, Tally *tally)
{
	Oid			function = tally_function(home);
	Oid			owner;
	ListCell   *cell;

	if (!OidIsValid(target))
		return false;
	owner = table_owner(target);
	foreach(cell, relations_with_tallies(home))
		if (find_in_relation(lfirst_oid(cell), function, owner, target, count_column, tally))
			return true;
	return false;
}

/* That of a function's first two arguments, "target" and "count_column". */
Tally
required_tally(const Installation *home, FunctionCallInfo fcinfo)
{
	Tally		tally;

	check_not_null(PG_ARGISNULL(0), "target");
	check_not_null(PG_ARGISNULL(1), "count_column");
	if (get_rel_name(PG_GETARG_OID(0)) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target table does not exist")));
	if (!find_tally(home, PG_GETARG_OID(0), NameStr(*PG_GETARG_NAME(1)), &tally))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"%s\" has no tally", NameStr(*PG_GETARG_NAME(1)),
						get_rel_name(PG_GETARG_OID(0))),
				 errhint("Attach one with attach_usage_tally().")));
	return tally;
}

/* ---- do they still fit? ---- */

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

static bool
is_text(Oid type)
{
	return type == TEXTOID || type == VARCHAROID;
}

static Oid
collation_of(Oid relation, const char *column)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(relation, get_attnum(relation, column), &type, &typmod, &collation);
	return collation;
}

static void
check_keys(const Tally *tally)
{
	Oid			here = plain_column_type(tally->source, tally->source_key);
	Oid			there = plain_column_type(tally->target, tally->key);

	if (here != there && !(is_integer(here) && is_integer(there)) && !(is_text(here) && is_text(there)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, but \"%s\" of \"%s\" has type %s",
						tally->source_key, get_rel_name(tally->source), format_type_be(here),
						tally->key, tally->table, format_type_be(there))));
	if (collation_of(tally->source, tally->source_key) != collation_of(tally->target, tally->key))
		ereport(ERROR,
				(errcode(ERRCODE_COLLATION_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" and \"%s\" of \"%s\" have different collations",
						tally->source_key, get_rel_name(tally->source), tally->key, tally->table)));
}

static void
check_count(const Tally *tally)
{
	Oid			type = plain_column_type(tally->target, tally->count_column);

	if (!is_integer(type) && type != NUMERICOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, which is no exact number",
						tally->count_column, tally->table, format_type_be(type))));
}

static void
check_times(const Tally *tally)
{
	Oid			type = tally->used_at == NULL ? TIMESTAMPTZOID : plain_column_type(tally->source, tally->used_at);

	if (type != TIMESTAMPTZOID && type != TIMESTAMPOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, which is no timestamp",
						tally->used_at, get_rel_name(tally->source), format_type_be(type))));
	if (tally->last_used != NULL && plain_column_type(tally->target, tally->last_used) != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("columns \"%s\" and \"%s\" have different types", tally->last_used, tally->used_at)));
}

/*
 * Both tables have one owner, whoever calls, and the work is his: so nobody's
 * triggers, defaults or columns run with the rights of somebody else.
 */
static Oid
common_owner(const Tally *tally)
{
	Oid			owner = table_owner(tally->target);

	if (table_owner(tally->source) != owner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("tables \"%s\" and \"%s\" of a tally have different owners",
						get_rel_name(tally->source), tally->table),
				 errhint("Give both to one role, or call detach_usage_tallies().")));
	return owner;
}

/* As often as it is used: anything may have been altered since. Returns the owner. */
Oid
check_tally(const Tally *tally)
{
	Oid			owner;

	if (!OidIsValid(tally->target))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s.%s\", whose column \"%s\" counts rows of \"%s\", does not exist",
						tally->schema, tally->table, tally->count_column, get_rel_name(tally->source)),
				 errhint("If it was renamed or dropped, call detach_usage_tallies() for \"%s\", and attach_usage_tally() anew.",
						 get_rel_name(tally->source))));
	owner = common_owner(tally);
	check_keys(tally);
	check_count(tally);
	check_times(tally);
	return owner;
}
