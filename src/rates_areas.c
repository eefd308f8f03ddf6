/*
 * rates_areas.c -- the state of shared memory, for view usage_memory.
 */
#include "compat.h"

#include "funcapi.h"
#include "memory.h"
#include "users.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ut_memory_areas);
Datum
ut_memory_areas(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	check_sees_all_users(home);
	InitMaterializedSRF(fcinfo, 0);
	for (int area = 0; area < memory_areas(); area++)
	{
		AreaState	state;
		bool		is_there = memory_tell(area, &state);
		Datum		values[7];
		bool		nulls[7] = {false, false, !is_there, !is_there, !is_there, !is_there, !is_there};

		values[0] = CStringGetTextDatum(state.name);
		values[1] = BoolGetDatum(is_there);
		values[2] = Int64GetDatum(state.slots);
		values[3] = Int64GetDatum(state.in_use);
		values[4] = Int64GetDatum(state.evicted);
		values[5] = Int64GetDatum(state.forced);
		values[6] = Int64GetDatum((int64) state.bytes);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
