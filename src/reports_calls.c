/*
 * reports_calls.c -- what one user called.
 *
 * Read as the owner, and not by a policy on the table: EXPLAIN tells whoever may
 * read a table how much of it he may not read.
 */
#include "compat.h"

#include "funcapi.h"
#include "query.h"
#include "users.h"

static Statement calls_of_user = {
	"SELECT * FROM @extschema@._recorded_calls($1)", 1, {USER_ID}
};

PG_FUNCTION_INFO_V1(ut_calls_of_user);
Datum
ut_calls_of_user(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id;
	Disguise	before;

	check_may_see(home, fcinfo);
	user_id = user_id_argument(home, fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	become_owner(home, &before);
	statement_answer(&calls_of_user, &user_id, (ReturnSetInfo *) fcinfo->resultinfo);
	become_caller(&before);
	return (Datum) 0;
}
