/*
 * rows.h -- rows of our own tables, found by their primary key without a plan.
 */
#ifndef UT_ROWS_H
#define UT_ROWS_H

#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "executor/tuptable.h"
#include "query.h"
#include "utils/reltrigger.h"

#define MAX_COLUMNS 64
#define MAX_BY 3

/*
 * A table of the extension, and the columns that are wanted of it.  Columns are
 * numbered as they stand here, from 0, whatever their place in the table.
 */
typedef struct Table
{
	const char *name;
	const char *columns[MAX_COLUMNS];	/* up to the first NULL */
	const char *by[MAX_BY];		/* with which columns the index begins; none: the primary key */
	/* found, and found again when the table changes: */
	Oid			relation;
	Oid			key;			/* the index */
	AttrNumber	places[MAX_COLUMNS];
	uint64		generation;		/* of the installation it is in */
	bool		may_change;		/* rows, without a statement */
	bool		may_insert;
	struct Table *next;
} Table;

/* What a column of the key must be. */
typedef struct Key
{
	int			column;
	StrategyNumber strategy;	/* equal; of an instant also <, <=, >= and > */
	Datum		value;
} Key;

/* A walk through the rows of some keys. */
typedef struct Rows
{
	const Table *table;
	Relation	relation;
	SysScanDesc scan;
	HeapTuple	row;			/* until the next one */
} Rows;

/* A row that nobody else can change any more. */
typedef struct LockedRow
{
	const Table *table;
	Relation	relation;
	TupleTableSlot *slot;		/* as it stands */
} LockedRow;

/* A row to be inserted, its values in the order of the table's columns. */
typedef struct NewRow
{
	TimestampTz at;
	const Datum *values;
	const bool *nulls;
	Oid			partition;
	bool		is_written;
} NewRow;

extern void rows_init(void);
extern bool rows_can_be_found(Table *table);
extern Rows rows_begin(Table *table, const Key *keys, int nkeys);
extern bool rows_next(Rows *rows);
extern void rows_end(Rows *rows);

extern Datum row_datum(const Rows *rows, int column, bool *isnull);
extern char *row_text(const Rows *rows, int column);
extern bool row_is_null(const Rows *rows, int column);
extern bool row_bool(const Rows *rows, int column);
extern int64 row_int64(const Rows *rows, int column);
extern Numeric row_numeric(const Rows *rows, int column);
extern TimestampTz row_time(const Rows *rows, int column, TimestampTz if_null);

/* rows_write.c */
extern LockedRow row_lock(Table *table, ItemPointer place, bool *found);
extern Datum locked_datum(const LockedRow *row, int column);
extern int64 locked_int64(const LockedRow *row, int column);
extern Numeric locked_numeric(const LockedRow *row, int column);
extern void row_change(const LockedRow *row, int n, const int *columns, Datum *values);
extern void row_release(LockedRow *row);

/* rows_partitions.c */
typedef void (*Visit) (const Rows *rows, void *argument);
extern bool visit_partitions(Oid parent, const Table *like, TimestampTz from, TimestampTz to,
							 const Key *keys, int nkeys, Visit visit, void *argument);

/* rows_insert.c */
extern void rows_insert(Oid parent, Table *partition, NewRow *rows, int n);

/* between these */
extern Rows rows_begin_in(Relation relation, Table *table, const Key *keys, int nkeys);
extern bool is_known_table(const Table *table);
extern Relation open_table(Table *table, LOCKMODE lock);
extern void remember_table(Table *table, Relation relation);
extern void find_out_what_is_plain(Table *table, Relation relation);
extern bool minds_inserts(const TriggerDesc *triggers, int16 level);

#endif							/* UT_ROWS_H */
