/*
 * tables.c -- tables of the application that our triggers are on.
 *
 * DDL runs with the caller's rights, who must own the table; its rows are read with
 * those of its owner, restricted.
 */
#include "compat.h"

#include "nodes/pg_list.h"
#include "tables.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#define BATCH_ROWS 10000

/* To be put into a command. */
char *
qualified_name(Oid relation)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), get_rel_name(relation));
}

/* With the caller's rights. */
void
run_ddl(const char *command)
{
	int			rc;

	SPI_connect();
	rc = SPI_execute(command, false, 0);
	if (rc != SPI_OK_UTILITY)
		elog(ERROR, "could not execute \"%s\": %s", command, SPI_result_code_string(rc));
	SPI_finish();
}

/* Those of the names that "names" finds, as the owner, in its first column. */
void
drop_triggers(const Installation *home, Oid table, Statement *names, Datum *args)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *commands = NIL;
	ListCell   *cell;
	Disguise	before;
	uint64		rows;

	become_owner(home, &before);
	rows = statement_look_afresh(names, args, NULL);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < rows; row++)
		commands = lappend(commands, psprintf("DROP TRIGGER %s ON %s", quote_identifier(result_text(row, 1)),
											  qualified_name(table)));
	become_caller(&before);
	foreach(cell, commands)
		run_ddl(lfirst(cell));
}

/* What is there at this moment, to whoever wants it; the sum of what he answers. */
int64
read_in_batches(Oid table_owner, const char *sql, BatchWork work, void *argument)
{
	Disguise	before;
	Portal		cursor;
	int64		sum = 0;

	become_table_owner(table_owner, &before);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	cursor = SPI_cursor_open_with_args(NULL, sql, 0, NULL, NULL, NULL, true, CURSOR_OPT_NO_SCROLL);
	PopActiveSnapshot();
	for (;;)
	{
		SPI_cursor_fetch(cursor, true, BATCH_ROWS);
		if (SPI_processed == 0)
			break;
		sum += work(argument, SPI_tuptable);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(cursor);
	become_caller(&before);
	return sum;
}
