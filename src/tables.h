/*
 * tables.h -- tables of the application that our triggers are on.
 */
#ifndef UT_TABLES_H
#define UT_TABLES_H

#include "postgres.h"

#include "query.h"

typedef int64 (*BatchWork) (void *argument, SPITupleTable *batch);

extern char *qualified_name(Oid relation);
extern void run_ddl(const char *command);
extern void drop_triggers(const Installation *home, Oid table, Statement *names, Datum *args);
extern int64 read_in_batches(Oid table_owner, const char *sql, BatchWork work, void *argument);

#endif							/* UT_TABLES_H */
