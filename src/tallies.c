/*
 * tallies.c -- how often was this row used?
 *
 * Attaching makes triggers on the source, one an event, which are all that says
 * that there is a tally.  DDL runs as the caller, who must own both tables; what
 * reads and writes them, as their owner, restricted.
 *
 * Statements on a partition itself fire the triggers of that partition only, so
 * each has its own; those on the source fire the source's only.
 */
#include "compat.h"

#include "access/relation.h"
#include "access/table.h"
#include "arguments.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "settings.h"
#include "storage/lmgr.h"
#include "tables.h"
#include "tallies.h"
#include "transitions.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

/* ---- making triggers ---- */

typedef struct Event
{
	const char *name;			/* as in the trigger's name */
	const char *what;			/* it fires after, and its transition tables */
} Event;

static const Event events[] = {
	{"insert", "INSERT ON %s REFERENCING NEW TABLE AS " NEW_ROWS},
	{"update", "UPDATE ON %s REFERENCING OLD TABLE AS " OLD_ROWS " NEW TABLE AS " NEW_ROWS},
	{"delete", "DELETE ON %s REFERENCING OLD TABLE AS " OLD_ROWS},
	{"truncate", "TRUNCATE ON %s"},
};

static char *
trigger_name(const char *event, int number)
{
	return psprintf("usage_tally_%s_%d", event, number);
}

static bool
has_trigger(Relation relation, const char *name)
{
	TriggerDesc *triggers = relation->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (strcmp(triggers->triggers[i].tgname, name) == 0)
			return true;
	return false;
}

/* Triggers fire in the order of their names: that of attaching, for up to nine. */
static int
free_number(Relation relation)
{
	for (int number = 1;; number++)
	{
		bool		taken = false;

		for (int i = 0; i < lengthof(events); i++)
			taken = taken || has_trigger(relation, trigger_name(events[i].name, number));
		if (!taken)
			return number;
	}
}

static const char *
literal(const char *name)
{
	return quote_literal_cstr(name == NULL ? "" : name);
}

static char *
trigger_arguments(const Tally *tally, bool of_partition)
{
	return psprintf("%s, %s, %s, %s, %s, %s, %s, %s, %s",
					literal(tally->schema), literal(tally->table), literal(tally->key),
					literal(tally->count_column), literal(tally->source_key), literal(tally->last_used),
					literal(tally->used_at), literal(tally->user), literal(of_partition ? "partition" : NULL));
}

static void
create_triggers(const Installation *home, const Tally *tally, Oid relid)
{
	Relation	relation = table_open(relid, ShareRowExclusiveLock);
	int			number = free_number(relation);
	char	   *arguments = trigger_arguments(tally, relid != tally->source);
	char	   *name = qualified_name(relid);

	table_close(relation, NoLock);
	for (int i = 0; i < lengthof(events); i++)
	{
		StringInfoData command;

		initStringInfo(&command);
		appendStringInfo(&command, "CREATE TRIGGER %s AFTER ", trigger_name(events[i].name, number));
		appendStringInfo(&command, events[i].what, name);
		appendStringInfo(&command, " FOR EACH STATEMENT EXECUTE FUNCTION %s._count_tally(%s)",
						 quote_identifier(NameStr(home->schema_name)), arguments);
		run_ddl(command.data);
	}
}

/* ---- the triggers that are there ---- */

static bool
is_same_column(const Tally *one, const Tally *other)
{
	return strcmp(one->schema, other->schema) == 0 && strcmp(one->table, other->table) == 0 &&
		strcmp(one->count_column, other->count_column) == 0;
}

/* Somebody else's triggers may name the same target; they do nothing to it. */
static bool
is_part_of(const Tally *tally, const Trigger *trigger, Relation relation)
{
	Tally		other;

	return relation->rd_rel->relowner == table_owner(tally->source) &&
		read_tally(trigger, RelationGetRelid(relation), &other) && is_same_column(&other, tally);
}

/* The names of the triggers of a table: of one tally, or, with NULL, of all; or only those for INSERT. */
static List *
triggers_of(Oid relid, Oid function, const Tally *wanted, bool only_first)
{
	Relation	relation = try_relation_open(relid, AccessShareLock);
	TriggerDesc *triggers = relation == NULL ? NULL : relation->trigdesc;
	List	   *names = NIL;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (triggers->triggers[i].tgfoid == function && (!only_first || begins_tally(&triggers->triggers[i])) &&
			(wanted == NULL || is_part_of(wanted, &triggers->triggers[i], relation)))
			names = lappend(names, pstrdup(triggers->triggers[i].tgname));
	if (relation != NULL)
		relation_close(relation, AccessShareLock);
	return names;
}

static int64
drop_tally_triggers(Oid relid, Oid function, const Tally *wanted)
{
	List	   *names = triggers_of(relid, function, wanted, false);
	ListCell   *cell;

	foreach(cell, names)
		run_ddl(psprintf("DROP TRIGGER %s ON %s", quote_identifier(lfirst(cell)), qualified_name(relid)));
	return list_length(names);
}

/* The source, and each partition of it. */
static List *
parts_of(Oid source)
{
	return find_all_inheritors(source, ShareRowExclusiveLock, NULL);
}

/* Returns whether any were missing. */
static bool
complete_triggers(const Installation *home, const Tally *tally)
{
	Oid			function = tally_function(home);
	bool		added = false;
	ListCell   *cell;

	foreach(cell, parts_of(tally->source))
	{
		if (triggers_of(lfirst_oid(cell), function, tally, true) != NIL)
			continue;
		drop_tally_triggers(lfirst_oid(cell), function, tally);	/* what is left of one that was ended */
		create_triggers(home, tally, lfirst_oid(cell));
		added = true;
	}
	return added;
}

/* ---- attaching ---- */

static bool
is_same_name(const char *one, const char *other)
{
	return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

static void
check_same_tally(const Tally *attached, const Tally *wanted)
{
	if (attached->source != wanted->source)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"%s\" counts rows of \"%s\" already", wanted->count_column,
						wanted->table, get_rel_name(attached->source)),
				 errhint("Call detach_usage_tally() first.")));
	if (!is_same_name(attached->key, wanted->key) || !is_same_name(attached->source_key, wanted->source_key) ||
		!is_same_name(attached->last_used, wanted->last_used) || !is_same_name(attached->used_at, wanted->used_at) ||
		!is_same_name(attached->user, wanted->user))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"%s\" counts rows of \"%s\" already, by other columns",
						wanted->count_column, wanted->table, get_rel_name(wanted->source)),
				 errhint("Call detach_usage_tally() first.")));
}

/* The first lock keeps out another attach to this target, and nothing else. */
static void
lock_tables(const Tally *tally)
{
	LockRelationOid(tally->target, ShareUpdateExclusiveLock);
	LockRelationOid(tally->source, ShareRowExclusiveLock);
}

static int64
attach_tally(const Installation *home, Tally *wanted)
{
	Tally		attached;

	check_tables(wanted);
	PreventCommandDuringRecovery("attach_usage_tally()");
	lock_tables(wanted);
	check_tables(wanted);		/* whatever happened before the locks were there */
	wanted->schema = get_namespace_name(get_rel_namespace(wanted->target));
	wanted->table = get_rel_name(wanted->target);
	check_attachable(wanted);
	if (find_tally(home, wanted->target, wanted->count_column, &attached))
		check_same_tally(&attached, wanted);
	return complete_triggers(home, wanted) ? sync_tally(wanted) : 0;
}

/* ---- everything below only translates between SQL and the above ---- */

static const char *
name_or_null(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : pstrdup(NameStr(*PG_GETARG_NAME(n)));
}

static Tally
wanted_tally(FunctionCallInfo fcinfo)
{
	static const char *const names[] = {"target", "key", "count_column", "source", "source_key"};
	Tally		tally = {0};

	for (int i = 0; i < lengthof(names); i++)
		check_not_null(PG_ARGISNULL(i), names[i]);
	tally.target = PG_GETARG_OID(0);
	tally.key = name_or_null(fcinfo, 1);
	tally.count_column = name_or_null(fcinfo, 2);
	tally.source = PG_GETARG_OID(3);
	tally.source_key = name_or_null(fcinfo, 4);
	tally.last_used = name_or_null(fcinfo, 5);
	tally.used_at = name_or_null(fcinfo, 6);
	tally.user = name_or_null(fcinfo, 7);
	return tally;
}

PG_FUNCTION_INFO_V1(ut_attach_usage_tally);
Datum
ut_attach_usage_tally(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Tally		wanted = wanted_tally(fcinfo);

	PG_RETURN_INT64(attach_tally(home, &wanted));
}

PG_FUNCTION_INFO_V1(ut_detach_usage_tally);
Datum
ut_detach_usage_tally(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Tally		tally = required_tally(home, fcinfo);
	Oid			function = tally_function(home);
	ListCell   *cell;

	check_owns(tally.source);
	foreach(cell, relations_with_tallies(home))
		drop_tally_triggers(lfirst_oid(cell), function, &tally);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(ut_detach_usage_tallies);
Datum
ut_detach_usage_tallies(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Oid			function = tally_function(home);
	int64		dropped = 0;
	ListCell   *cell;

	check_not_null(PG_ARGISNULL(0), "source");
	if (get_rel_name(PG_GETARG_OID(0)) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("source table does not exist")));
	check_owns(PG_GETARG_OID(0));
	foreach(cell, find_all_inheritors(PG_GETARG_OID(0), AccessShareLock, NULL))
	{
		if (lfirst_oid(cell) == PG_GETARG_OID(0))
			dropped = list_length(triggers_of(lfirst_oid(cell), function, NULL, true));
		drop_tally_triggers(lfirst_oid(cell), function, NULL);
	}
	PG_RETURN_INT64(dropped);
}

static void
put_name(Datum *values, bool *nulls, int column, const char *name)
{
	Name		value = palloc0(sizeof(NameData));

	if ((nulls[column] = name == NULL))
		return;
	namestrcpy(value, name);
	values[column] = NameGetDatum(value);
}

/* What the reports need to know; they run as their caller. */
PG_FUNCTION_INFO_V1(ut_usage_tally);
Datum
ut_usage_tally(PG_FUNCTION_ARGS)
{
	Tally		tally = required_tally(installation_of(fcinfo), fcinfo);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[7] = {0};
	bool		nulls[7] = {false};

	check_tally(&tally);
	InitMaterializedSRF(fcinfo, 0);
	values[0] = ObjectIdGetDatum(tally.source);
	put_name(values, nulls, 1, tally.key);
	put_name(values, nulls, 2, tally.source_key);
	put_name(values, nulls, 3, tally.last_used);
	put_name(values, nulls, 4, tally.used_at);
	put_name(values, nulls, 5, tally.user);
	values[6] = BoolGetDatum(tally.used_at != NULL && plain_column_type(tally.source, tally.used_at) == TIMESTAMPTZOID);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(ut_zone_or_default);
Datum
ut_zone_or_default(PG_FUNCTION_ARGS)
{
	const char *zone = zone_argument(fcinfo, 0);

	PG_RETURN_TEXT_P(cstring_to_text(zone != NULL ? zone : pg_get_timezone_name(default_time_zone())));
}
