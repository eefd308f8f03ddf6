/*
 * signups_leave.c -- who goes, and what is left of him.
 *
 * What is done for him is in sql/signups.sql; this file decides who may ask for
 * it, and looks whether a user is really gone, as the owner of the users table.
 */
#include "compat.h"

#include "access/xact.h"
#include "errors.h"
#include "locks.h"
#include "tables.h"
#include "storage/lmgr.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

static Statement check_column = {
	"SELECT @extschema@._check_id_column($1, $2)", 2, {OIDOID, TEXTOID}
};

/* Reads a column only while it has a type that nobody can have given a cast to. */
static void
check_id_column(const Installation *home, const UsersTable *users)
{
	Datum		args[] = {ObjectIdGetDatum(users->relation), CStringGetTextDatum(users->id_column)};
	Disguise	before;

	become_owner(home, &before);
	statement_look(&check_column, args, NULL);
	become_caller(&before);
}

static bool
is_in_table(const Installation *home, const UsersTable *users, Datum user_id)
{
	char	   *query = psprintf("SELECT FROM %s WHERE %s OPERATOR(pg_catalog.=) $1 LIMIT 1",
								 qualified_name(users->relation), quote_identifier(users->id_column));
	Oid			argtypes[] = {home->user_id_type};
	Disguise	before;
	bool		found;

	become_table_owner(lock_users_table(users->relation, AccessShareLock), &before);
	SPI_execute_with_args(query, 1, argtypes, &user_id, NULL, false, 1);
	found = SPI_processed > 0;
	become_caller(&before);
	return found;
}

static Statement erase = {
	"SELECT @extschema@._forget_user($1, true)", 1, {USER_ID}
};

/*
 * At REPEATABLE READ rows that are newer than the snapshot were passed over:
 * copies of events too, which would come back as events.
 */
static Statement find_traces = {
	"SELECT FROM @extschema@.usage_events WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_events_moving WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_counters WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_carried WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_keys WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_reservations WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_imports WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_levels WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_leases WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.credit_ledger WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.credit_grants WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.credit_accounts WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_runs WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_run_deliveries WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_alerts WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_alerts WHERE acknowledged_by OPERATOR(pg_catalog.=) $1"
	" AND acknowledged_by OPERATOR(pg_catalog.<>) user_id"
	" UNION ALL SELECT FROM @extschema@.user_limits WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.user_roles WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.user_roles WHERE granted_by OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.user_subscriptions WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.stripe_events WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.deleted_users WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_changes WHERE user_id OPERATOR(pg_catalog.=) $1"
	" UNION ALL SELECT FROM @extschema@.usage_changes WHERE changed_by OPERATOR(pg_catalog.=) $1",
	1, {USER_ID}
};

static Statement export = {
	"SELECT @extschema@._export_user($1)", 1, {USER_ID}
};

/* ---- everything below only translates between SQL and the above ---- */

/* Of this user no use is in flight, and none begins, until we end. */
PG_FUNCTION_INFO_V1(ut_lock_out_user);
Datum
ut_lock_out_user(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id = user_id_argument(home, fcinfo);

	LockRelationOid(home->usage_events, RowExclusiveLock);
	lock_out_uses_of(home, user_id);
	PG_RETURN_VOID();
}

/* NULL: no table is attached, so that nobody can tell. */
PG_FUNCTION_INFO_V1(ut_user_lives);
Datum
ut_user_lives(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id = user_id_argument(home, fcinfo);
	UsersTable	users;

	if (!find_users_table(home, &users))
		PG_RETURN_NULL();
	check_id_column(home, &users);
	PG_RETURN_BOOL(is_in_table(home, &users, user_id));
}

PG_FUNCTION_INFO_V1(ut_erase_user);
Datum
ut_erase_user(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[1];
	Disguise	before;

	check_is_admin_or_server(home);
	args[0] = user_id_argument(home, fcinfo);
	become_owner(home, &before);
	statement_write(&erase, args, NULL);
	if (IsolationUsesXactSnapshot() && statement_look_afresh(&find_traces, args, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
	become_caller(&before);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(ut_export_user_data);
Datum
ut_export_user_data(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[1];
	Disguise	before;
	bool		isnull;
	Datum		result;

	check_is_admin_or_server(home);
	args[0] = user_id_argument(home, fcinfo);
	become_owner(home, &before);
	statement_write(&export, args, NULL);
	result = result_datum(0, 1, &isnull);
	MemoryContextSwitchTo(caller);
	result = SPI_datumTransfer(result, false, -1);
	become_caller(&before);
	PG_RETURN_DATUM(result);
}
