/*
 * rows.c -- rows of our own tables, found by their primary key without a plan.
 *
 * The executor takes many times as long to get ready as an index takes to find
 * a row.  So what every call reads and writes goes past it; everything else is a
 * statement (query.h).
 *
 * Rights and row security are the executor's business: only tables of the
 * extension may be touched here, by whoever has become its owner.  Writing is in
 * rows_write.c and rows_insert.c.
 */
#include "compat.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "rows.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

/* ---- finding tables ---- */

static Table *known = NULL;
static uint64 news = 0;			/* how often one of them may have changed */

static void
forget(Datum arg, Oid relation)
{
	news++;
	for (Table *table = known; table != NULL; table = table->next)
		if (relation == InvalidOid || relation == table->relation)
			table->relation = InvalidOid;
}

void
rows_init(void)
{
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}

static bool
find_columns(Table *table, TupleDesc desc)
{
	for (int i = 0; i < MAX_COLUMNS && table->columns[i] != NULL; i++)
	{
		table->places[i] = SPI_fnumber(desc, table->columns[i]);
		if (table->places[i] <= 0)
			return false;
	}
	return true;
}

static void
refuse_table(const Table *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" is not as extension \"usage_tracking\" made it", table->name)));
}

static void
add_to_known(Table *table)
{
	for (Table *other = known; other != NULL; other = other->next)
		if (other == table)
			return;
	table->next = known;
	known = table;
}

static bool
begins_with(Relation index, const Table *table, TupleDesc desc)
{
	const Form_pg_index form = index->rd_index;

	for (int i = 0; i < MAX_BY && table->by[i] != NULL; i++)
		if (i >= form->indnkeyatts || form->indkey.values[i] != SPI_fnumber(desc, table->by[i]))
			return false;
	return index->rd_rel->relam == BTREE_AM_OID && form->indisvalid && !form->indcheckxmin;
}

/* It may leave out rows, as the caller does then. */
static Oid
index_by(const Table *table, Relation relation)
{
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(relation))
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		bool		found = begins_with(index, table, RelationGetDescr(relation));

		index_close(index, AccessShareLock);
		if (found)
			return lfirst_oid(cell);
	}
	return InvalidOid;
}

/* What there is to know of the table that is now open. */
void
remember_table(Table *table, Relation relation)
{
	uint64		before;

	add_to_known(table);
	table->relation = InvalidOid;	/* if we fail, what follows is no longer of that table */
	do
	{
		before = news;			/* looking at indexes may bring more */
		table->key = table->by[0] != NULL ? index_by(table, relation) : ut_primary_key(relation);
		if (!find_columns(table, RelationGetDescr(relation)))
			refuse_table(table);
		find_out_what_is_plain(table, relation);
	} while (news != before);
	table->relation = RelationGetRelid(relation);
	table->generation = present_installation()->generation;
}

bool
is_known_table(const Table *table)
{
	return OidIsValid(table->relation) && table->generation == present_installation()->generation;
}

Relation
open_table(Table *table, LOCKMODE lock)
{
	Relation	relation = NULL;
	Oid			oid;

	if (is_known_table(table))
		relation = try_relation_open(table->relation, lock);	/* the lock may bring news */
	if (relation != NULL && is_known_table(table))
		return relation;
	if (relation != NULL)
		relation_close(relation, lock);
	oid = get_relname_relid(table->name, present_installation()->schema);
	if (get_rel_relkind(oid) != RELKIND_RELATION)
		refuse_table(table);
	relation = table_open(oid, lock);
	remember_table(table, relation);
	return relation;
}

/* ---- reading ---- */

static RegProcedure
comparison_of_times(StrategyNumber strategy)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
			return F_TIMESTAMPTZ_LT;
		case BTLessEqualStrategyNumber:
			return F_TIMESTAMPTZ_LE;
		case BTGreaterEqualStrategyNumber:
			return F_TIMESTAMPTZ_GE;
		default:
			return F_TIMESTAMPTZ_GT;
	}
}

static void
make_scan_key(ScanKey to, const Table *table, TupleDesc desc, const Key *key)
{
	AttrNumber	place = table->places[key->column];
	TypeCacheEntry *type;

	if (key->strategy != BTEqualStrategyNumber)
	{
		ScanKeyInit(to, place, key->strategy, comparison_of_times(key->strategy), key->value);
		return;
	}
	type = lookup_type_cache(TupleDescAttr(desc, place - 1)->atttypid, TYPECACHE_EQ_OPR_FINFO);
	ScanKeyEntryInitializeWithInfo(to, 0, place, key->strategy, InvalidOid,
								   TupleDescAttr(desc, place - 1)->attcollation,
								   &type->eq_opr_finfo, key->value);
}

/* Whether it has its index; else it takes a statement. */
bool
rows_can_be_found(Table *table)
{
	if (!is_known_table(table))
		table_close(open_table(table, AccessShareLock), NoLock);
	return OidIsValid(table->key);
}

/* Reads what the calling query sees, or the fresh view around it (query.c). */
Rows
rows_begin(Table *table, const Key *keys, int nkeys)
{
	return rows_begin_in(open_table(table, AccessShareLock), table, keys, nkeys);
}

/* The relation is open, and remembered as that table. */
Rows
rows_begin_in(Relation relation, Table *table, const Key *keys, int nkeys)
{
	Rows		rows = {table, relation};
	ScanKeyData scan_keys[INDEX_MAX_KEYS];

	if (!OidIsValid(table->key))
		refuse_table(table);
	for (int i = 0; i < nkeys; i++)
		make_scan_key(&scan_keys[i], table, RelationGetDescr(rows.relation), &keys[i]);
	rows.scan = systable_beginscan(rows.relation, table->key, true, GetActiveSnapshot(), nkeys, scan_keys);
	return rows;
}

bool
rows_next(Rows *rows)
{
	rows->row = systable_getnext(rows->scan);
	return HeapTupleIsValid(rows->row);
}

/*
 * The table stays locked until the transaction ends, as after a statement: CLUSTER
 * or TRUNCATE would put another row where this one was seen.
 */
void
rows_end(Rows *rows)
{
	systable_endscan(rows->scan);
	table_close(rows->relation, NoLock);
}

/* By reference only until the next row. */
Datum
row_datum(const Rows *rows, int column, bool *isnull)
{
	return SPI_getbinval(rows->row, RelationGetDescr(rows->relation), rows->table->places[column], isnull);
}

/* In the current context; NULL for NULL. */
char *
row_text(const Rows *rows, int column)
{
	bool		isnull;
	Datum		value = row_datum(rows, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

bool
row_is_null(const Rows *rows, int column)
{
	bool		isnull;

	(void) row_datum(rows, column, &isnull);
	return isnull;
}

bool
row_bool(const Rows *rows, int column)
{
	bool		isnull;

	return DatumGetBool(row_datum(rows, column, &isnull));
}

/* 0 for NULL. */
int64
row_int64(const Rows *rows, int column)
{
	bool		isnull;

	return DatumGetInt64(row_datum(rows, column, &isnull));
}

/* In the current context; NULL for NULL. */
Numeric
row_numeric(const Rows *rows, int column)
{
	bool		isnull;
	Datum		value = row_datum(rows, column, &isnull);

	return isnull ? NULL : DatumGetNumericCopy(value);
}

TimestampTz
row_time(const Rows *rows, int column, TimestampTz if_null)
{
	bool		isnull;
	Datum		value = row_datum(rows, column, &isnull);

	return isnull ? if_null : DatumGetTimestampTz(value);
}
