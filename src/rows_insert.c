/*
 * rows_insert.c -- new rows of partitioned tables of ours, without a plan.
 *
 * As in rows_write.c only plain tables are written here; callers have a statement
 * for the others.
 *
 * Locking: ROW EXCLUSIVE on the parent and on its partitions, to the end of the
 * transaction, as a statement would.
 */
#include "compat.h"

#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_trigger.h"
#include "executor/tuptable.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "rows.h"
#include "utils/partcache.h"
#include "utils/rel.h"

/*
 * The partition that holds the instant; none is also where it belongs into the
 * default partition, which may have got a sister that we do not know of yet.
 */
static Oid
partition_at(Relation parent, TimestampTz at)
{
	PartitionKey key = RelationGetPartitionKey(parent);
	PartitionDesc partitions = RelationGetPartitionDesc(parent, true);
	Datum		value = TimestampTzGetDatum(at);
	bool		equal;
	int			n;

	if (partitions->nparts == 0)
		return InvalidOid;
	n = partition_range_datum_bsearch(key->partsupfunc, key->partcollation, partitions->boundinfo, 1, &value, &equal);
	n = partitions->boundinfo->indexes[n + 1];
	return n >= 0 && partitions->is_leaf[n] ? partitions->oids[n] : InvalidOid;
}

/* Rules, or triggers for each statement: a partition has none of its parent's. */
static bool
minds_statements(Relation parent)
{
	return parent->rd_rules != NULL || minds_inserts(parent->trigdesc, TRIGGER_TYPE_STATEMENT);
}

/* False: NULL where the owner wants none, which the statement says better. */
static bool
spread_values(const Table *table, TupleDesc desc, const Datum *values, const bool *nulls,
			  Datum *all_values, bool *all_nulls)
{
	memset(all_nulls, true, desc->natts);
	for (int i = 0; i < MAX_COLUMNS && table->columns[i] != NULL; i++)
	{
		int			at = table->places[i] - 1;

		if (nulls[i] && TupleDescAttr(desc, at)->attnotnull)
			return false;
		all_values[at] = values[i];
		all_nulls[at] = nulls[i];
	}
	return true;
}

/* NULL: it takes a statement. */
static HeapTuple
tuple_of(const Table *table, TupleDesc desc, const NewRow *row)
{
	Datum		all_values[MaxHeapAttributeNumber];
	bool		all_nulls[MaxHeapAttributeNumber];

	if (!spread_values(table, desc, row->values, row->nulls, all_values, all_nulls))
		return NULL;
	return heap_form_tuple(desc, all_values, all_nulls);
}

/* Many together have their places noted only if they are stored as they are. */
static bool
is_stored_as_it_is(HeapTuple tuple)
{
	return tuple->t_len <= TOAST_TUPLE_THRESHOLD && !HeapTupleHasExternal(tuple);
}

static TupleTableSlot *
slot_of(TupleDesc desc, HeapTuple tuple)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);

	ExecStoreHeapTuple(tuple, slot, true);
	return slot;
}

/* All of the rows that stand for this partition. */
static void
insert_into(Relation relation, const Table *table, NewRow *rows, int n)
{
	TupleDesc	desc = RelationGetDescr(relation);
	TupleDesc	copy = n > 1 ? CreateTupleDescCopy(desc) : NULL;	/* which nobody counts who looks at it */
	CatalogIndexState indexes = CatalogOpenIndexes(relation);
	TupleTableSlot **slots = palloc(n * sizeof(TupleTableSlot *));
	int			nslots = 0;

	for (int i = 0; i < n; i++)
	{
		HeapTuple	tuple = rows[i].partition == RelationGetRelid(relation) ? tuple_of(table, desc, &rows[i]) : NULL;

		if (tuple == NULL)
			continue;
		rows[i].is_written = true;
		if (n > 1 && is_stored_as_it_is(tuple))
			slots[nslots++] = slot_of(copy, tuple);
		else
			CatalogTupleInsertWithInfo(relation, tuple, indexes);
	}
	if (nslots > 0)
		CatalogTuplesMultiInsertWithInfo(relation, slots, nslots, indexes);
	for (int i = 0; i < nslots; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	CatalogCloseIndexes(indexes);
	CommandCounterIncrement();
}

/* The table becomes this one. */
static void
insert_into_partition(Oid oid, Table *table, NewRow *rows, int n)
{
	Relation	relation = table_open(oid, RowExclusiveLock);

	if (table->relation != oid || !is_known_table(table))
		remember_table(table, relation);
	if (table->may_insert)
		insert_into(relation, table, rows, n);
	table_close(relation, NoLock);
}

static void
find_partitions(Oid parent, NewRow *rows, int n)
{
	Relation	relation = table_open(parent, RowExclusiveLock);
	bool		takes_statement = minds_statements(relation);

	for (int i = 0; i < n; i++)
	{
		rows[i].partition = takes_statement ? InvalidOid : partition_at(relation, rows[i].at);
		rows[i].is_written = false;
	}
	table_close(relation, NoLock);
}

/*
 * Each into the partition of its instant.  Those that are not written then take a
 * statement.  The table is one of the partitions of the parent.
 */
void
rows_insert(Oid parent, Table *partition, NewRow *rows, int n)
{
	find_partitions(parent, rows, n);
	for (int i = 0; i < n; i++)
	{
		Oid			oid = rows[i].partition;

		if (!OidIsValid(oid))
			continue;
		insert_into_partition(oid, partition, rows, n);
		for (int k = i; k < n; k++)
			if (rows[k].partition == oid)
				rows[k].partition = InvalidOid;
	}
}
