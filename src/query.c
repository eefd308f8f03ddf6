/*
 * query.c -- kept plans, run with the rights of the extension's owner.
 *
 * Functions of this library run as their caller and decide for themselves what
 * he may do.  Only around SQL on the extension's own tables do they become the
 * extension's owner; around SQL on a table of the application they become the
 * owner of *that table*, restricted, so that the application's triggers,
 * defaults and policies never run with our rights.
 *
 * Plans name the schema.  When the installation moves (schema renamed,
 * extension re-created elsewhere) the generation changes and a statement is
 * prepared anew; everything else PostgreSQL's plan cache notices by itself.
 */
#include "compat.h"

#include "access/xact.h"
#include "errors.h"
#include "executor/tstoreReceiver.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "query.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

static void
become(Oid user, int more_context, Disguise *before)
{
	GetUserIdAndSecContext(&before->user, &before->context);
	SetUserIdAndSecContext(user, before->context | SECURITY_LOCAL_USERID_CHANGE | more_context);
	before->settings = 0;
	SPI_connect();
}

/*
 * The trigger that records changes takes check_function_bodies = off for a
 * restore.  Anybody may set that, so it does not reach what we write.
 */
static int
be_no_restore(void)
{
	int			nest = NewGUCNestLevel();

	(void) set_config_option("check_function_bodies", "on", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	return nest;
}

void
become_owner(const Installation *installation, Disguise *before)
{
	become(installation->owner, 0, before);
	if (unlikely(!check_function_bodies))
		before->settings = be_no_restore();
}

/* The table's owner may well be the end of the application's own code. */
void
become_table_owner(Oid table_owner, Disguise *before)
{
	become(table_owner, SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS, before);
}

void
become_caller(const Disguise *before)
{
	if (before->settings > 0)
		AtEOXact_GUC(true, before->settings);
	SPI_finish();
	SetUserIdAndSecContext(before->user, before->context);
}

static char *
sql_with_schema(const char *sql)
{
	static const char placeholder[] = "@extschema@";
	const char *schema = quote_identifier(NameStr(present_installation()->schema_name));
	const char *at;
	StringInfoData result;

	initStringInfo(&result);
	while ((at = strstr(sql, placeholder)) != NULL)
	{
		appendBinaryStringInfo(&result, sql, at - sql);
		appendStringInfoString(&result, schema);
		sql = at + strlen(placeholder);
	}
	appendStringInfoString(&result, sql);
	return result.data;
}

static Oid
argument_type(Oid type)
{
	Oid			of_user_ids = present_installation()->user_id_type;

	if (type == USER_ID)
		return of_user_ids;
	return type == USER_IDS ? get_array_type(of_user_ids) : type;
}

/*
 * A generic plan: planning a custom one costs more than nearly any of our
 * statements, and partitions are pruned at run time as well.
 */
static void
statement_prepare(Statement *statement)
{
	Oid			argtypes[MAX_STATEMENT_ARGS];
	SPIPlanPtr	plan;
	SPIPlanPtr	stale = statement->plan;

	for (int i = 0; i < statement->nargs; i++)
		argtypes[i] = argument_type(statement->argtypes[i]);
	plan = SPI_prepare_cursor(statement->is_verbatim ? statement->sql : sql_with_schema(statement->sql),
							  statement->nargs, argtypes,
							  statement->reads_much ? CURSOR_OPT_CUSTOM_PLAN | CURSOR_OPT_PARALLEL_OK : CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed for \"%s\": %s", statement->sql, SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	statement->plan = plan;
	statement->generation = present_installation()->generation;
	statement->is_planned = false;
	if (stale != NULL)
		SPI_freeplan(stale);
}

#define MUCH_MEMORY 32768		/* kB */

/*
 * Nearly every statement of ours finds its few rows by an index.  A plan kept from
 * the time when the tables were empty would scan them whole, so while a plan is
 * made the other ways are closed; the plan then suits tables of any size.  Where
 * much is read, all ways are open but compiling, which takes longer than it saves,
 * and a row for each of some hundred thousand users is to stay in memory.
 */
static int
steer_planner(bool reads_much)
{
	static const char *const closed[] = {
		"jit", "enable_seqscan", "enable_hashjoin", "enable_mergejoin"
	};
	int			nest = NewGUCNestLevel();

	for (int i = 0; i < (reads_much ? 1 : lengthof(closed)); i++)
		(void) set_config_option(closed[i], "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	if (reads_much && work_mem < MUCH_MEMORY)
		(void) set_config_option("work_mem", CppAsString2(MUCH_MEMORY), PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nest;
}

/* What end_run() is to be given. */
static int
begin_run(Statement *statement)
{
	if (statement->plan == NULL || statement->generation != present_installation()->generation)
		statement_prepare(statement);
	if (statement->is_planned && !statement->reads_much && !statement->plans_within &&
		SPI_plan_is_valid(statement->plan))
		return 0;
	return steer_planner(statement->reads_much);
}

static void
end_run(Statement *statement, int nest, int rc)
{
	if (rc < 0)
		elog(ERROR, "SPI failed for \"%s\": %s", statement->sql, SPI_result_code_string(rc));
	if (nest > 0)
		AtEOXact_GUC(true, nest);
	statement->is_planned = true;
}

static uint64
statement_run(Statement *statement, Datum *args, const char *nulls,
			  Snapshot snapshot, bool read_only)
{
	int			nest = begin_run(statement);

	end_run(statement, nest, SPI_execute_snapshot(statement->plan, args, nulls, snapshot, InvalidSnapshot,
												  read_only, true, 0));
	return SPI_processed;
}

/*
 * Reads what the calling query sees as the rows of a set-returning function, which
 * may be more than memory holds.
 */
void
statement_answer(Statement *statement, Datum *args, const char *nulls, ReturnSetInfo *result)
{
	int			nest = begin_run(statement);
	SPIExecuteOptions options = {
		.params = makeParamList(statement->nargs), .read_only = true,
		.dest = CreateDestReceiver(DestTuplestore)
	};

	for (int i = 0; i < statement->nargs; i++)
	{
		options.params->params[i].value = args[i];
		options.params->params[i].isnull = nulls != NULL && nulls[i] == 'n';
		options.params->params[i].pflags = PARAM_FLAG_CONST;
		options.params->params[i].ptype = SPI_getargtypeid(statement->plan, i);
	}
	SetTuplestoreDestReceiverParams(options.dest, result->setResult, CurrentMemoryContext, false, NULL, NULL);
	end_run(statement, nest, SPI_execute_plan_extended(statement->plan, &options));
	options.dest->rDestroy(options.dest);
}

/* Reads what the calling query sees. */
uint64
statement_look(Statement *statement, Datum *args, const char *nulls)
{
	return statement_run(statement, args, nulls, InvalidSnapshot, true);
}

/*
 * Reads what is committed at this instant, and what this transaction did, at
 * any isolation level.  For use after taking the lock that makes it stay true;
 * never in a parallel query, which is why our functions are not safe there.
 */
uint64
statement_look_afresh(Statement *statement, Datum *args, const char *nulls)
{
	CommandCounterIncrement();
	return statement_run(statement, args, nulls, GetLatestSnapshot(), true);
}

/*
 * For several statement_look() that are to see one instant, such as a counter and
 * what is reserved besides: added up from two instants they make a sum that never
 * was.
 */
void
begin_fresh_view(void)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
}

void
end_fresh_view(void)
{
	PopActiveSnapshot();
}

uint64
statement_write(Statement *statement, Datum *args, const char *nulls)
{
	return statement_run(statement, args, nulls, InvalidSnapshot, false);
}

/* Finds rows as they are at this moment, at any isolation level. */
uint64
statement_write_afresh(Statement *statement, Datum *args)
{
	return statement_run(statement, args, NULL, GetLatestSnapshot(), false);
}

/*
 * An UPDATE or DELETE under the snapshot of the transaction passes over a row
 * that is newer, without a word.  If it reached nothing, and "found" finds what
 * it was for at this moment, the transaction is too old to do it.
 */
uint64
statement_write_or_fail(Statement *statement, Statement *found, Datum *args, const char *nulls)
{
	uint64		rows = statement_write(statement, args, nulls);

	if (rows == 0 && IsolationUsesXactSnapshot() &&
		statement_look_afresh(found, args, nulls) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
	return rows;
}

/*
 * Work that returns false is undone.  So is work that fails, before the error goes
 * on: nobody further up knows of the subtransaction.
 */
bool
in_subtransaction(Work work, void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile bool done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		done = work(argument);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	if (done)
		ReleaseCurrentSubTransaction();
	else
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL)
		ReThrowError(error);
	return done;
}

/* As an SQL array, for a statement that does much at once. */
Datum
value_array(Datum *values, bool *nulls, int n, Oid type)
{
	int			lower = 1;
	int16		length;
	bool		byval;
	char		align;

	get_typlenbyvalalign(type, &length, &byval, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, &n, &lower, type, length, byval, align));
}

Datum
column_array(void *const *rows, int n, Column column, Oid type)
{
	Datum	   *values = palloc(n * sizeof(Datum));
	bool	   *nulls = palloc(n * sizeof(bool));

	for (int i = 0; i < n; i++)
		values[i] = column(rows[i], &nulls[i]);
	return value_array(values, nulls, n, type);
}

Datum
text_or_null(const char *value, char *null)
{
	*null = value == NULL ? 'n' : ' ';
	return value == NULL ? (Datum) 0 : CStringGetTextDatum(value);
}

/* One value of the last result; by reference only until the next statement. */
Datum
result_datum(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

char *
result_text(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

int64
result_int64(uint64 row, int column)
{
	bool		isnull;

	return DatumGetInt64(result_datum(row, column, &isnull));
}

bool
result_bool(uint64 row, int column)
{
	bool		isnull;

	return DatumGetBool(result_datum(row, column, &isnull));
}

/* In the current context; NULL for NULL. */
Numeric
result_numeric(uint64 row, int column)
{
	bool		isnull;
	Datum		value = result_datum(row, column, &isnull);

	return isnull ? NULL : DatumGetNumericCopy(value);
}

TimestampTz
result_time(uint64 row, int column, TimestampTz if_null)
{
	bool		isnull;
	Datum		value = result_datum(row, column, &isnull);

	return isnull ? if_null : DatumGetTimestampTz(value);
}
