/*
 * usage_import.c -- history of another system.
 *
 * The work is in sql/usage_import.sql; this decides who may ask for it, and judges a
 * row as track_usage() would judge the fact.
 *
 * Locking: usage_imports first, against another import; then all uses are kept out, in
 * the order of locks.c.  Whoever erases a user deletes his rows of usage_imports before.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "arguments.h"
#include "errors.h"
#include "funcapi.h"
#include "locks.h"
#include "numbers.h"
#include "settings.h"
#include "storage/lmgr.h"
#include "usage_batch.h"
#include "users.h"
#include "utils/builtins.h"

/* Where the arguments of _import_refusal() stand among those of track_usage(). */
static const int places[] = {0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11};

enum
{
	ARG_COST = 4, ARG_OCCURRED_AT = lengthof(places), TRACK_ARGUMENTS = 15
};

static void
check_fact(const Installation *home, FunctionCallInfo fcinfo)
{
	LOCAL_FCINFO(call, TRACK_ARGUMENTS);

	InitFunctionCallInfoData(*call, NULL, TRACK_ARGUMENTS, InvalidOid, NULL, NULL);
	for (int i = 0; i < TRACK_ARGUMENTS; i++)
		call->args[i].isnull = true;
	for (int i = 0; i < lengthof(places); i++)
		call->args[places[i]] = fcinfo->args[i];
	if (PG_ARGISNULL(ARG_COST))	/* nobody knows */
	{
		call->args[ARG_COST].value = NumericGetDatum(num_zero);
		call->args[ARG_COST].isnull = false;
	}
	(void) event_to_track(home, call);
	check_finite_time(PG_GETARG_TIMESTAMPTZ(ARG_OCCURRED_AT), "occurred_at");
	check_event_lead(PG_GETARG_TIMESTAMPTZ(ARG_OCCURRED_AT));
}

/* Nothing that it calls touches the state of the transaction, as in usage_batch_parse.c. */
static char *
refusal_of_fact(const Installation *home, FunctionCallInfo fcinfo)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *volatile refusal = NULL;

	PG_TRY();
	{
		check_fact(home, fcinfo);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!is_about_the_element(error->sqlerrcode))
			PG_RE_THROW();
		FlushErrorState();
		refusal = psprintf("%s: %s", unpack_sql_state(error->sqlerrcode), error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	return refusal;
}

static Statement move = {
	"SELECT recorded, refused FROM @extschema@._import_usage($1)", 1, {INT8OID}
};

static void
move_history(const Installation *home, FunctionCallInfo fcinfo, Datum *counts)
{
	Datum		args[] = {PG_GETARG_DATUM(0)};
	Disguise	before;

	become_owner(home, &before);
	statement_write(&move, args, PG_ARGISNULL(0) ? "n" : " ");
	counts[0] = Int64GetDatum(result_int64(0, 1));
	counts[1] = Int64GetDatum(result_int64(0, 2));
	become_caller(&before);
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_import_usage);
Datum
ut_import_usage(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	TupleDesc	desc;
	Datum		counts[2] = {Int64GetDatum(0), Int64GetDatum(0)};
	bool		nulls[2] = {false};

	check_is_server(home);
	check_isolation("import_usage()");	/* or counters that history changes would not be seen */
	if (!PG_ARGISNULL(0))
		(void) count_argument(fcinfo, 0, "max_rows");
	if (setting_enabled)
		move_history(home, fcinfo, counts);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), counts, nulls)));
}

PG_FUNCTION_INFO_V1(ut_import_refusal);
Datum
ut_import_refusal(PG_FUNCTION_ARGS)
{
	char	   *refusal = refusal_of_fact(installation_of(fcinfo), fcinfo);

	if (refusal == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(refusal));
}

PG_FUNCTION_INFO_V1(ut_tidy_metadata);
Datum
ut_tidy_metadata(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(metadata_argument(fcinfo, 0));
}

PG_FUNCTION_INFO_V1(ut_cut_text);
Datum
ut_cut_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(cut_text(PG_GETARG_DATUM(0), false)));
}

/* Then numbers of events may be taken, see next_event_id(). */
PG_FUNCTION_INFO_V1(ut_keep_out_uses);
Datum
ut_keep_out_uses(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);

	LockRelationOid(home->usage_events, RowExclusiveLock);
	keep_out_all_uses(home);
	(void) GetTopFullTransactionId();
	PG_RETURN_VOID();
}
