/*
 * query.h -- the one way to SPI.
 */
#ifndef UT_QUERY_H
#define UT_QUERY_H

#include "postgres.h"

#include "executor/spi.h"
#include "installation.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#define MAX_STATEMENT_ARGS 64

/* Stand for the type of user ids, which differs between installations, and its array. */
#define USER_ID InvalidOid
#define USER_IDS ((Oid) 1)

/*
 * One constant statement, prepared at most once a session.  "@extschema@"
 * stands for the schema; operators and functions are written qualified, and
 * values are parameters.
 */
typedef struct Statement
{
	const char *sql;
	int			nargs;
	Oid			argtypes[MAX_STATEMENT_ARGS];
	SPIPlanPtr	plan;
	uint64		generation;		/* of the installation the plan names */
	bool		is_planned;		/* has run since it was prepared */
	bool		is_verbatim;	/* made of names that may hold anything: no schema is put in */
	bool		reads_much;		/* of how much there is its plan depends */
	bool		plans_within;	/* what it calls is planned whenever it runs */
} Statement;

/* Who the session was before it became the owner of some tables. */
typedef struct Disguise
{
	Oid			user;
	int			context;
	int			settings;		/* nest level of what was set meanwhile, or 0 */
} Disguise;

extern void become_owner(const Installation *home, Disguise *before);
extern void become_table_owner(Oid table_owner, Disguise *before);
extern void become_caller(const Disguise *before);

extern uint64 statement_look(Statement *statement, Datum *args, const char *nulls);
extern void begin_fresh_view(void);
extern void end_fresh_view(void);
extern void statement_answer(Statement *statement, Datum *args, const char *nulls, ReturnSetInfo *result);
extern uint64 statement_look_afresh(Statement *statement, Datum *args, const char *nulls);
extern uint64 statement_write(Statement *statement, Datum *args, const char *nulls);
extern uint64 statement_write_afresh(Statement *statement, Datum *args);

extern uint64 statement_write_or_fail(Statement *statement, Statement *found, Datum *args,
									  const char *nulls);

typedef bool (*Work) (void *argument);
extern bool in_subtransaction(Work work, void *argument);

/* A column of several structs. */
typedef Datum (*Column) (const void *row, bool *isnull);
extern Datum value_array(Datum *values, bool *nulls, int n, Oid type);
extern Datum column_array(void *const *rows, int n, Column column, Oid type);


extern Datum text_or_null(const char *value, char *null);

extern Datum result_datum(uint64 row, int column, bool *isnull);
extern char *result_text(uint64 row, int column);
extern int64 result_int64(uint64 row, int column);
extern bool result_bool(uint64 row, int column);
extern Numeric result_numeric(uint64 row, int column);
extern TimestampTz result_time(uint64 row, int column, TimestampTz if_null);

#endif							/* UT_QUERY_H */
