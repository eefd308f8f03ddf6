/*
 * transitions.h -- what one statement changed, per key.
 *
 * For triggers AFTER INSERT, UPDATE or DELETE, FOR EACH STATEMENT, on a table of
 * the application, that name their transition tables like this, one trigger an
 * event (a trigger of several events can have none):
 *
 *     REFERENCING OLD TABLE AS usage_tracking_old NEW TABLE AS usage_tracking_new
 *
 * The trigger function, whose columns it knows from its arguments:
 *
 *     ChangeColumns columns = {.key = "user_id", .amount = "bytes"};
 *
 *     if (!statement_touched(trigger, &columns))
 *         return;
 *     check_change_columns(trigger, &columns);
 *     become_...(&before);                     which connects to SPI
 *     register_transitions(trigger);           once a connection
 *     rows = write_by_trigger(trigger, 0, changes_sql(trigger, &columns));
 *     for (row = 0; row < rows; row++)
 *         ... result_datum(row, 1, &isnull)    the key, of the column's type, never NULL
 *         ... result_numeric(row, 2)           the change, never 0
 *
 * If one row came or went, as most often, is_one_row() says so, and one_change_sql()
 * with the parameters that read_row() finds is the same in less time; then no
 * transition tables need be registered.
 *
 * Rows come sorted by key.  changes_sql() may as well be a sub-select of a larger
 * statement.  Whoever it runs as needs no rights to the table, and its row
 * security does not apply.
 *
 * Nobody's code but PostgreSQL's runs: check_change_columns() refuses types whose
 * operators and casts are not its own.
 */
#ifndef UT_TRANSITIONS_H
#define UT_TRANSITIONS_H

#include "postgres.h"

#include "commands/trigger.h"

#define OLD_ROWS "usage_tracking_old"
#define NEW_ROWS "usage_tracking_new"

/*
 * Without an amount, rows are counted: the change is a bigint; else a numeric,
 * where an amount that is NULL is 0.  With a time, further columns are "added"
 * and "removed": the latest times of rows that came and that went.
 */
typedef struct ChangeColumns
{
	const char *key;
	const char *amount;			/* or NULL */
	const char *time;			/* or NULL */
} ChangeColumns;

extern bool statement_touched(const TriggerData *trigger, const ChangeColumns *columns);
extern Oid	plain_column_type(Oid relation, const char *column);
extern void check_amount_column(Oid relation, const char *column);
extern void check_change_columns(const TriggerData *trigger, const ChangeColumns *columns);
extern void register_transitions(TriggerData *trigger);
extern char *changes_sql(const TriggerData *trigger, const ChangeColumns *columns);
extern uint64 write_by_trigger(const TriggerData *trigger, int part, const char *sql);

/* The parameters of one_change_sql(): key, amount or 1, time. */
typedef struct RowValues
{
	Oid			types[3];
	Datum		values[3];
	char		nulls[3];
} RowValues;

extern bool is_one_row(const TriggerData *trigger);
extern RowValues read_row(const TriggerData *trigger, const ChangeColumns *columns);
extern char *one_change_sql(const TriggerData *trigger, const ChangeColumns *columns);
extern uint64 write_row_by_trigger(const TriggerData *trigger, int part, const char *sql, RowValues *row);

#endif							/* UT_TRANSITIONS_H */
