/*
 * rows_write.c -- changing rows of our own tables without a plan.
 *
 * What the executor would do besides, it alone knows: triggers, constraints,
 * and indexes on expressions or on some of the rows.  So only plain tables are
 * written here; callers have a statement for the others.  Row security is not
 * asked: who writes here does it as the owner, not for who called.
 */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_trigger.h"
#include "executor/executor.h"
#include "rows.h"
#include "storage/lmgr.h"
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

/* Also those that are computed when they are read: they may not be NULL either. */
static bool
has_generated_columns(TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attgenerated != '\0')
			return true;
	return false;
}

static bool
is_plain(Relation relation)
{
	TupleDesc	desc = RelationGetDescr(relation);

	return relation->rd_rel->relkind == RELKIND_RELATION &&
		relation->rd_rel->relam == HEAP_TABLE_AM_OID &&
		relation->rd_rules == NULL &&
		(desc->constr == NULL || desc->constr->num_check == 0) &&
		!has_generated_columns(desc) &&
		has_plain_indexes(relation);
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

/*
 * Whether there are triggers that an INSERT of ours would have to fire.  Some are
 * our own, for rows that come by other ways.
 */
bool
minds_inserts(const TriggerDesc *triggers, int16 level)
{
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_INSERT(trigger->tgtype) && (trigger->tgtype & TRIGGER_TYPE_ROW) == level &&
			trigger->tgfoid != present_installation()->events_come)
			return true;
	}
	return false;
}

/* What may be done to this table without a statement. */
void
find_out_what_is_plain(Table *table, Relation relation)
{
	bool		plain = is_plain(relation);
	const TriggerDesc *triggers = relation->trigdesc;	/* only now: news makes it another */

	table->may_change = plain && (triggers == NULL ||
								  !(triggers->trig_update_before_row || triggers->trig_update_after_row ||
									triggers->trig_update_before_statement || triggers->trig_update_after_statement));
	table->may_insert = plain && others_may_be_null(table, RelationGetDescr(relation)) &&
		!minds_inserts(triggers, TRIGGER_TYPE_ROW);
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
 * ends; the transaction's snapshot has no say.  Not found: look again, it is gone,
 * or was waited for, or the table is not plain.
 *
 * The snapshot of the calling query is older than the look that found the place,
 * and keeps vacuum from giving it to another row; the lock that rows_end() left
 * keeps out who would write the table anew.
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

/* Of a column that is never NULL; by reference. */
Datum
locked_datum(const LockedRow *row, int column)
{
	bool		isnull;

	return slot_getattr(row->slot, row->table->places[column], &isnull);
}

int64
locked_int64(const LockedRow *row, int column)
{
	return DatumGetInt64(locked_datum(row, column));
}

Numeric
locked_numeric(const LockedRow *row, int column)
{
	return DatumGetNumericCopy(locked_datum(row, column));
}

/* To values that are not NULL; an error if a publication could not tell which row it was. */
void
row_change(const LockedRow *row, int n, const int *columns, Datum *values)
{
	HeapTuple	before = ExecFetchSlotHeapTuple(row->slot, false, NULL);
	bool		nulls[MAX_COLUMNS] = {false};
	int			places[MAX_COLUMNS];

	for (int i = 0; i < n; i++)
		places[i] = row->table->places[columns[i]];
	CheckCmdReplicaIdentity(row->relation, CMD_UPDATE);
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
