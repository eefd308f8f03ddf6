/*
 * events_answer.c -- what users are told, from where the events are.
 */
#include "compat.h"

#include "access/xact.h"
#include "events.h"
#include "funcapi.h"
#include "utils/datum.h"
#include "utils/tuplestore.h"

/*
 * Events that were moved or dropped since the snapshot of the calling query are
 * not found by it (see events_amend.c): then what is answered is the present.
 */
bool
must_look_again(void)
{
	if (!events_have_moved())
		return false;
	if (IsolationUsesXactSnapshot())
		refuse_old_snapshot();
	return true;
}

Datum
answer_rows(const Installation *home, FunctionCallInfo fcinfo, Statement *statement, Datum *args, const char *nulls)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Disguise	before;

	InitMaterializedSRF(fcinfo, 0);
	become_owner(home, &before);
	statement_answer(statement, args, nulls, result);
	if (must_look_again())
	{
		tuplestore_clear(result->setResult);
		begin_fresh_view();
		statement_answer(statement, args, nulls, result);
		end_fresh_view();
	}
	become_caller(&before);
	return (Datum) 0;
}

/* The one value of the last result. */
Datum
copied_result(MemoryContext context)
{
	MemoryContext before = MemoryContextSwitchTo(context);
	bool		isnull;
	Datum		copy = datumCopy(result_datum(0, 1, &isnull), false, -1);

	MemoryContextSwitchTo(before);
	return copy;
}
