/*
 * tallies_check.c -- can these two tables have a tally?
 *
 * Refused is what statement triggers would miss: rows that come and go by another
 * table (inheritance, a partition's parent) or another server.
 */
#include "compat.h"

#include "access/attnum.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "miscadmin.h"
#include "tallies.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* ---- the tables ---- */

void
check_owns(Oid relation)
{
	if (!ut_owns_relation(relation, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relation));
}

static void
check_table(Oid relation, const char *argument)
{
	char		kind = get_rel_relkind(relation);

	if (kind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("%s table does not exist", argument)));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", get_rel_name(relation))));
	check_owns(relation);
}

/* What must be sure before one of them is locked. */
void
check_tables(const Tally *tally)
{
	check_table(tally->target, "target");
	check_table(tally->source, "source");
}

/* ---- what else is in the catalogs ---- */

static Statement find_nature = {
	"SELECT c.relpersistence OPERATOR(pg_catalog.=) 't', c.relhasrules,"
	" EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid),"
	" c.relkind OPERATOR(pg_catalog.=) 'r'"
	" AND EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhparent OPERATOR(pg_catalog.=) c.oid)"
	" FROM pg_catalog.pg_class AS c WHERE c.oid OPERATOR(pg_catalog.=) $1",
	1, {OIDOID}
};

typedef struct Nature
{
	bool		is_temporary;
	bool		has_rules;
	bool		is_child;
	bool		has_children;	/* other than partitions */
} Nature;

static Nature
nature_of(Oid relation)
{
	Datum		args[] = {ObjectIdGetDatum(relation)};
	Nature		nature = {0};
	Disguise	before;

	become_owner(present_installation(), &before);
	if (statement_look_afresh(&find_nature, args, NULL) > 0)
	{
		nature.is_temporary = result_bool(0, 1);
		nature.has_rules = result_bool(0, 2);
		nature.is_child = result_bool(0, 3);
		nature.has_children = result_bool(0, 4);
	}
	become_caller(&before);
	return nature;
}

static void
refuse_if(bool refused, Oid relation, const char *what, const char *hint)
{
	if (refused)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" cannot have a tally because it %s", get_rel_name(relation), what),
				 hint == NULL ? 0 : errhint("%s", hint)));
}

static void
check_natures(const Tally *tally)
{
	Nature		target = nature_of(tally->target);
	Nature		source = nature_of(tally->source);

	refuse_if(target.is_temporary, tally->target, "is temporary", NULL);
	refuse_if(source.is_temporary, tally->source, "is temporary", NULL);
	refuse_if(target.has_rules, tally->target, "has rules", NULL);
	refuse_if(target.has_children, tally->target, "has inheritance children", NULL);
	refuse_if(source.has_children, tally->source, "has inheritance children", NULL);
	refuse_if(source.is_child, tally->source, "is a partition or an inheritance child",
			  "Attach the table that it is a part of.");
}

static Statement find_unique_index = {
	"SELECT FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_attribute AS a"
	" ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid AND a.attnum OPERATOR(pg_catalog.=) i.indkey[0]"
	" WHERE i.indrelid OPERATOR(pg_catalog.=) $1 AND a.attname OPERATOR(pg_catalog.=) $2 AND i.indisunique"
	" AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts OPERATOR(pg_catalog.=) 1",
	2, {OIDOID, NAMEOID}
};

static void
check_unique(const Tally *tally)
{
	NameData	key;
	Datum		args[] = {ObjectIdGetDatum(tally->target), NameGetDatum(&key)};
	Disguise	before;
	uint64		indexes;

	namestrcpy(&key, tally->key);
	become_owner(present_installation(), &before);
	indexes = statement_look_afresh(&find_unique_index, args, NULL);
	become_caller(&before);
	if (indexes == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FOREIGN_KEY),
				 errmsg("column \"%s\" of table \"%s\" has no unique index of its own", tally->key, tally->table),
				 errhint("A tally changes the one row that has the key.")));
}

/* ---- the columns ---- */

static void
check_columns(const Tally *tally)
{
	if ((tally->last_used != NULL && tally->used_at == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"last_used_column\" needs \"used_at_column\"")));
	if (strcmp(tally->key, tally->count_column) == 0 ||
		(tally->last_used != NULL && (strcmp(tally->last_used, tally->key) == 0 ||
									  strcmp(tally->last_used, tally->count_column) == 0)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("arguments \"key\", \"count_column\", and \"last_used_column\" must name different columns")));
	if (tally->user != NULL && get_attnum(tally->source, tally->user) <= InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", tally->user, get_rel_name(tally->source))));
}

/* With both tables locked. */
void
check_attachable(const Tally *tally)
{
	check_natures(tally);
	check_columns(tally);
	check_tally(tally);
	check_unique(tally);
}
