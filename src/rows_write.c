/*
 * rows_write.c -- writing rows of our own tables without a plan.
 *
 * What the executor would do besides, it alone knows: triggers, constraints,
 * row security, and indexes on expressions or on some of the rows.  So only
 * plain tables are written here; callers have a statement for the others.
 */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "rows.h"
#include "storage/lmgr.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"

/* ---- plain tables ---- */

static bool
is_plain_index(Oid oid)
{
	Relation	index = index_open(oid, AccessShareLock);
	bool		plain = index->rd_index->indimmediate && !index->rd_index->indisexclusion &&
		RelationGetIndexExpressions(index) == NIL && RelationGetIndexPredicate(index) == NIL;

	index_close(index, AccessShareLock);
	return plain;
}

static bool
has_plain_indexes(Relation relation)
{
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(relation))
		if (!is_plain_index(lfirst_oid(cell)))
			return false;
	return true;
}

static bool
is_listed(const Table *table, AttrNumber place)
{
	for (int i = 0; i < MAX_COLUMNS && table->columns[i] != NULL; i++)
		if (table->places[i] == place)
			return true;
	return false;
}

/* Of columns that are not listed: whether NULL will do. */
static bool
others_may_be_null(const Table *table, TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if ((column->attnotnull || column->atthasdef) && !column->attisdropped && !is_listed(table, i + 1))
			return false;
	}
	return true;
}

/* What may be done to this table without a statement. */
void
find_out_what_is_plain(Table *table, Relation relation)
{
	TupleDesc	desc = RelationGetDescr(relation);
	TriggerDesc *triggers = relation->trigdesc;
	bool		plain = relation->rd_rel->relkind == RELKIND_RELATION && relation->rd_rules == NULL &&
		(desc->constr == NULL || (desc->constr->num_check == 0 && !desc->constr->has_generated_stored)) &&
		has_plain_indexes(relation);

	table->may_change = plain && (triggers == NULL ||
								  !(triggers->trig_update_before_row || triggers->trig_update_after_row ||
									triggers->trig_update_before_statement || triggers->trig_update_after_statement));
	table->may_insert = plain && others_may_be_null(table, desc) &&
		(triggers == NULL || !(triggers->trig_insert_before_row || triggers->trig_insert_after_row));
}

/* ---- changing ---- */

static TM_Result
try_to_lock(const LockedRow *row, ItemPointer place, LockWaitPolicy policy)
{
	TM_FailureData failure;

	return table_tuple_lock(row->relation, place, SnapshotAny, row->slot, GetCurrentCommandId(true),
							LockTupleNoKeyExclusive, policy, TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
}

/*
 * Waits for whoever is changing the row, as ON CONFLICT does: without a place in
 * the queue for it, behind which he himself would have to wait if he wants it
 * again.  False: nobody is changing it.
 */
static bool
wait_for_change(const LockedRow *row, ItemPointer place)
{
	SnapshotData dirty;
	TransactionId changer;

	InitDirtySnapshot(dirty);
	if (!table_tuple_fetch_row_version(row->relation, place, &dirty, row->slot))
		return true;
	changer = TransactionIdIsValid(dirty.xmin) ? dirty.xmin : dirty.xmax;
	ExecClearTuple(row->slot);
	if (!TransactionIdIsValid(changer))
		return false;
	XactLockTableWait(changer, row->relation, place, XLTW_Lock);
	return true;
}

/*
 * The latest version of the row that stood there, locked until the transaction
 * ends.  Not found: look again, it is gone, or was waited for, or the table is
 * not plain.  For READ COMMITTED, since the transaction's snapshot has no say.
 *
 * The snapshot of the calling query is older than the look that found the place,
 * and keeps it from being used for another row.
 */
LockedRow
row_lock(Table *table, ItemPointer place, bool *found)
{
	LockedRow	row = {table, open_table(table, RowExclusiveLock)};
	TM_Result	result;

	Assert(ActiveSnapshotSet());
	CommandCounterIncrement();
	row.slot = table_slot_create(row.relation, NULL);
	*found = false;
	if (!table->may_change)
		return row;
	result = try_to_lock(&row, place, LockWaitSkip);
	if (result == TM_WouldBlock && !wait_for_change(&row, place))
		result = try_to_lock(&row, place, LockWaitBlock);
	*found = result == TM_Ok;
	return row;
}

int64
locked_int64(const LockedRow *row, int column)
{
	bool		isnull;

	return DatumGetInt64(slot_getattr(row->slot, row->table->places[column], &isnull));
}

Numeric
locked_numeric(const LockedRow *row, int column)
{
	bool		isnull;

	return DatumGetNumericCopy(slot_getattr(row->slot, row->table->places[column], &isnull));
}

/* To values that are not NULL. */
void
row_change(const LockedRow *row, int n, const int *columns, Datum *values)
{
	HeapTuple	before = ExecFetchSlotHeapTuple(row->slot, false, NULL);
	bool		nulls[MAX_COLUMNS] = {false};
	int			places[MAX_COLUMNS];

	for (int i = 0; i < n; i++)
		places[i] = row->table->places[columns[i]];
	CatalogTupleUpdate(row->relation, &before->t_self,
					   heap_modify_tuple_by_cols(before, RelationGetDescr(row->relation), n, places, values, nulls));
	CommandCounterIncrement();
}

void
row_release(LockedRow *row)
{
	ExecDropSingleTupleTableSlot(row->slot);
	table_close(row->relation, NoLock);
}

/* ---- inserting ---- */

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
	const TriggerDesc *triggers = parent->trigdesc;

	return parent->rd_rules != NULL ||
		(triggers != NULL && (triggers->trig_insert_before_statement || triggers->trig_insert_after_statement));
}

/*
 * Into the partition of that instant; false if that takes a statement.  The
 * table is one of the partitions of the parent, and becomes this one.
 */
bool
row_insert(Oid parent, Table *partition, TimestampTz at, const Datum *values, const bool *nulls)
{
	Relation	events = table_open(parent, RowExclusiveLock);
	Oid			oid = minds_statements(events) ? InvalidOid : partition_at(events, at);
	Relation	relation;
	Datum		all_values[MaxHeapAttributeNumber];
	bool		all_nulls[MaxHeapAttributeNumber];

	table_close(events, NoLock);
	if (!OidIsValid(oid))
		return false;
	relation = table_open(oid, RowExclusiveLock);
	if (partition->relation != oid || !is_known_table(partition))
		remember_table(partition, relation);
	if (partition->may_insert)
	{
		memset(all_nulls, true, RelationGetDescr(relation)->natts);
		for (int i = 0; i < MAX_COLUMNS && partition->columns[i] != NULL; i++)
		{
			all_values[partition->places[i] - 1] = values[i];
			all_nulls[partition->places[i] - 1] = nulls[i];
		}
		CatalogTupleInsert(relation, heap_form_tuple(RelationGetDescr(relation), all_values, all_nulls));
		CommandCounterIncrement();
	}
	table_close(relation, NoLock);
	return partition->may_insert;
}
