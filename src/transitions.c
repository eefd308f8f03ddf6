/*
 * transitions.c -- what one statement changed, per key.
 *
 * The text of a statement names columns, so it is made at each call; its plan is
 * kept for the trigger as long as the text stays the same.  Transition tables are
 * found by name at each execution, whatever their size was when the plan was made.
 */
#include "compat.h"

#include "access/sysattr.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"
#include "query.h"
#include "transitions.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

typedef struct KeptKey
{
	Oid			trigger;
	int			part;
} KeptKey;

typedef struct KeptStatement
{
	KeptKey		key;
	Statement	statement;
} KeptStatement;

static HTAB *kept_statements = NULL;

/* ---- did it change anything? ---- */

static bool
has_rows(Tuplestorestate *rows)
{
	return rows != NULL && tuplestore_tuple_count(rows) > 0;
}

static bool
was_set(const TriggerData *trigger, const char *column)
{
	AttrNumber	number;

	if (column == NULL)
		return false;
	number = get_attnum(RelationGetRelid(trigger->tg_relation), column);
	return number == InvalidAttrNumber ||	/* to be complained of */
		bms_is_member(number - FirstLowInvalidHeapAttributeNumber, trigger->tg_updatedcols);
}

/* A trigger before the row may change columns that the statement does not name. */
static bool
may_differ_from_statement(Relation relation)
{
	return relation->rd_rel->relkind != RELKIND_RELATION ||
		(relation->trigdesc != NULL && relation->trigdesc->trig_update_before_row);
}

/* For statements without rows, and updates of other columns, there is nothing to do. */
bool
statement_touched(const TriggerData *trigger, const ChangeColumns *columns)
{
	bool		has_tables = trigger->tg_oldtable != NULL || trigger->tg_newtable != NULL;

	if (has_tables && !has_rows(trigger->tg_oldtable) && !has_rows(trigger->tg_newtable))
		return false;
	return !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ||
		may_differ_from_statement(trigger->tg_relation) ||
		was_set(trigger, columns->key) || was_set(trigger, columns->amount) || was_set(trigger, columns->time);
}

/* ---- may its columns be read? ---- */

/* The column's type below domains; its operators and casts are PostgreSQL's own. */
Oid
plain_column_type(Oid relation, const char *column)
{
	AttrNumber	number = get_attnum(relation, column);
	Oid			type;

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", column, get_rel_name(relation))));
	type = getBaseType(get_atttype(relation, number));
	if (type >= FirstNormalObjectId && get_typtype(type) != TYPTYPE_ENUM)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, which is not built in", column,
						get_rel_name(relation), format_type_be(type))));
	return type;
}

void
check_amount_column(Oid relation, const char *column)
{
	Oid			type = plain_column_type(relation, column);

	if (type != INT2OID && type != INT4OID && type != INT8OID && type != NUMERICOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, which is no exact number", column,
						get_rel_name(relation), format_type_be(type))));
}

/* A name that is no transition table's would be some other table's. */
static void
check_transition_names(const TriggerData *trigger)
{
	const char *old_rows = trigger->tg_trigger->tgoldtable;
	const char *new_rows = trigger->tg_trigger->tgnewtable;

	if ((!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) && (old_rows == NULL || strcmp(old_rows, OLD_ROWS) != 0)) ||
		(!TRIGGER_FIRED_BY_DELETE(trigger->tg_event) && (new_rows == NULL || strcmp(new_rows, NEW_ROWS) != 0)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" has other transition tables than its function needs",
						trigger->tg_trigger->tgname)));
}

void
check_change_columns(const TriggerData *trigger, const ChangeColumns *columns)
{
	Oid			relation = RelationGetRelid(trigger->tg_relation);

	check_transition_names(trigger);
	plain_column_type(relation, columns->key);
	if (columns->amount != NULL)
		check_amount_column(relation, columns->amount);
	if (columns->time != NULL)
		plain_column_type(relation, columns->time);
}

/* ---- the statement ---- */

static void
append_rows(StringInfo sql, const ChangeColumns *columns, const char *rows, bool is_new)
{
	const char *sign = is_new ? "" : "OPERATOR(pg_catalog.-) ";

	appendStringInfo(sql, "SELECT r.%s AS key, ", quote_identifier(columns->key));
	if (columns->amount == NULL)
		appendStringInfo(sql, "%s1 AS change", sign);
	else
		appendStringInfo(sql, "%sCOALESCE(r.%s, 0)::pg_catalog.numeric AS change", sign, quote_identifier(columns->amount));
	if (columns->time != NULL)
	{
		const char *time = quote_identifier(columns->time);

		appendStringInfo(sql, ", CASE WHEN %s THEN r.%s END AS added, CASE WHEN %s THEN r.%s END AS removed",
						 is_new ? "true" : "false", time, is_new ? "false" : "true", time);
	}
	appendStringInfo(sql, " FROM %s AS r", rows);
}

/* "key, change[, added, removed]", sorted by key; keys for which nothing changed are left out. */
char *
changes_sql(const TriggerData *trigger, const ChangeColumns *columns)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT c.key, pg_catalog.sum(c.change) AS change");
	if (columns->time != NULL)
		appendStringInfoString(&sql, ", pg_catalog.max(c.added) AS added, pg_catalog.max(c.removed) AS removed");
	appendStringInfoString(&sql, " FROM (");
	if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		append_rows(&sql, columns, NEW_ROWS, true);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		appendStringInfoString(&sql, " UNION ALL ");
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		append_rows(&sql, columns, OLD_ROWS, false);
	appendStringInfoString(&sql, ") AS c WHERE c.key IS NOT NULL GROUP BY c.key"
						   " HAVING pg_catalog.sum(c.change) OPERATOR(pg_catalog.<>) 0");
	if (columns->time != NULL)
		appendStringInfoString(&sql, " OR (pg_catalog.max(c.added) OPERATOR(pg_catalog.=) pg_catalog.max(c.removed)"
							   " OR COALESCE(pg_catalog.max(c.added), pg_catalog.max(c.removed)) IS NULL) IS NOT TRUE");
	appendStringInfoString(&sql, " ORDER BY c.key");
	return sql.data;
}

/* ---- one row ---- */

static Tuplestorestate *
rows_of(const TriggerData *trigger)
{
	return TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ? trigger->tg_newtable : trigger->tg_oldtable;
}

bool
is_one_row(const TriggerData *trigger)
{
	return !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && tuplestore_tuple_count(rows_of(trigger)) == 1;
}

static void
read_value(TupleTableSlot *slot, Oid relation, const char *column, RowValues *row, int n)
{
	AttrNumber	number = get_attnum(relation, column);
	bool		isnull;
	Datum		value = slot_getattr(slot, number, &isnull);

	row->types[n] = getBaseType(get_atttype(relation, number));
	row->nulls[n] = isnull ? 'n' : ' ';
	if (!isnull)
		row->values[n] = datumCopy(value, get_typbyval(row->types[n]), get_typlen(row->types[n]));
}

/* In the current context. */
RowValues
read_row(const TriggerData *trigger, const ChangeColumns *columns)
{
	Oid			relation = RelationGetRelid(trigger->tg_relation);
	Tuplestorestate *rows = rows_of(trigger);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(trigger->tg_relation), &TTSOpsMinimalTuple);
	RowValues	row = {{INT4OID, INT4OID, INT4OID}, {0, Int32GetDatum(1), 0}, {'n', ' ', 'n'}};

	tuplestore_select_read_pointer(rows, tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND));
	tuplestore_rescan(rows);
	if (!tuplestore_gettupleslot(rows, true, false, slot))
		elog(ERROR, "transition table is empty");
	read_value(slot, relation, columns->key, &row, 0);
	if (columns->amount != NULL)
		read_value(slot, relation, columns->amount, &row, 1);
	if (columns->time != NULL)
		read_value(slot, relation, columns->time, &row, 2);
	ExecDropSingleTupleTableSlot(slot);
	return row;
}

/* As changes_sql(), but that its key may be NULL and its change 0. */
char *
one_change_sql(const TriggerData *trigger, const ChangeColumns *columns)
{
	bool		is_new = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT $1 AS key, %sCOALESCE($2, 0)::%s AS change",
					 is_new ? "" : "OPERATOR(pg_catalog.-) ", columns->amount == NULL ? "pg_catalog.int8" : "pg_catalog.numeric");
	if (columns->time != NULL)
		appendStringInfo(&sql, ", CASE WHEN %s THEN $3 END AS added, CASE WHEN %s THEN $3 END AS removed",
						 is_new ? "true" : "false", is_new ? "false" : "true");
	return sql.data;
}

/* ---- running it ---- */

void
register_transitions(TriggerData *trigger)
{
	int			rc = SPI_register_trigger_data(trigger);

	if (rc < 0)
		elog(ERROR, "SPI_register_trigger_data failed: %s", SPI_result_code_string(rc));
}

static Statement *
kept_statement(Oid trigger, int part)
{
	KeptKey		key = {trigger, part};
	KeptStatement *kept;
	bool		found;

	if (kept_statements == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(KeptKey), .entrysize = sizeof(KeptStatement)};

		kept_statements = hash_create("usage_tracking triggers", 16, &control, HASH_ELEM | HASH_BLOBS);
	}
	kept = hash_search(kept_statements, &key, HASH_ENTER, &found);
	if (!found)
		memset(&kept->statement, 0, sizeof(Statement));
	return &kept->statement;
}

static void
set_text(Statement *statement, const char *sql)
{
	const char *stale = statement->sql;
	SPIPlanPtr	plan = statement->plan;

	statement->sql = MemoryContextStrdup(TopMemoryContext, sql);
	statement->is_verbatim = true;
	statement->plan = NULL;
	if (plan != NULL)
		SPI_freeplan(plan);
	if (stale != NULL)
		pfree(unconstify(char *, stale));
}

/*
 * Runs a statement of a trigger; one that has several numbers them as parts.  The
 * trigger's arguments cannot change, so the text does when something was renamed.
 */
uint64
write_by_trigger(const TriggerData *trigger, int part, const char *sql)
{
	Statement  *statement = kept_statement(trigger->tg_trigger->tgoid, part);

	if (statement->sql == NULL || strcmp(statement->sql, sql) != 0)
		set_text(statement, sql);
	return statement_write(statement, NULL, NULL);
}

/* With the parameters of one_change_sql(), whose types belong to the text. */
uint64
write_row_by_trigger(const TriggerData *trigger, int part, const char *sql, RowValues *row)
{
	Statement  *statement = kept_statement(trigger->tg_trigger->tgoid, part);

	if (statement->sql == NULL || strcmp(statement->sql, sql) != 0 ||
		memcmp(statement->argtypes, row->types, sizeof(row->types)) != 0)
		set_text(statement, sql);
	statement->nargs = lengthof(row->types);
	memcpy(statement->argtypes, row->types, sizeof(row->types));
	return statement_write(statement, row->values, row->nulls);
}
