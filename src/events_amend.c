/*
 * events_amend.c -- the few ways in which history does change.
 *
 * A trigger refuses to change or remove an event, a credit transaction, or a recorded
 * change of limits, plans and roles, to the owner too.  The
 * statements in this file are let through: they alone open history, for as long
 * as they run, and nothing that can be said in SQL opens it.  None of them
 * changes what anybody's usage adds up to.
 *
 * Retention drops whole partitions, which fires no trigger and is its owner's.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "errors.h"
#include "events.h"
#include "rows.h"
#include "users.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

static bool history_is_open = false;

static uint64
amend(Statement *statement, Datum *args)
{
	uint64		rows = 0;

	history_is_open = true;
	PG_TRY();
	{
		rows = statement_write(statement, args, NULL);
	}
	PG_FINALLY();
	{
		history_is_open = false;
	}
	PG_END_TRY();
	return rows;
}

/* ---- whose it was ---- */

/* "$3": what describes the use without being counted goes as well. */
#define FORGET \
	" SET user_id = $2, event_subtype = NULL, error_message = NULL, resource_type = NULL," \
	" resource_id = NULL, parent_resource_id = NULL, metadata = NULL, reason = NULL," \
	" endpoint = NULL, request_id = NULL, error_code = NULL, campaign_id = NULL, ip = NULL, user_agent = NULL," \
	" duration_ms = CASE WHEN $3 THEN NULL ELSE duration_ms END," \
	" overage = CASE WHEN $3 THEN NULL ELSE overage END" \
	" WHERE user_id OPERATOR(pg_catalog.=) $1"

static Statement forget_events = {
	"UPDATE @extschema@.usage_events" FORGET, 3, {USER_ID, USER_ID, BOOLOID}
};

static Statement forget_copies = {
	"UPDATE @extschema@.usage_events_moving" FORGET, 3, {USER_ID, USER_ID, BOOLOID}
};

static Statement make_fresh_id = {
	"SELECT @extschema@._fresh_user_id()", 0
};

/* What was allowed him, and when; nothing else about him. */
#define KEPT(row) \
	row " OPERATOR(pg_catalog.-) (SELECT COALESCE(pg_catalog.array_agg(k.key), '{}')" \
	" FROM pg_catalog.jsonb_object_keys(" row ") AS k (key)" \
	" WHERE k.key OPERATOR(pg_catalog.<>) ALL ('{plan,status,limit_type,max_usage,role}'))"

static Statement forget_changes = {
	"UPDATE @extschema@.usage_changes SET user_id = (SELECT @extschema@._fresh_user_id()),"
	" old = " KEPT("old") ", new = " KEPT("new") " WHERE user_id OPERATOR(pg_catalog.=) $1",
	1, {USER_ID}
};

static Statement erase_changes = {
	"DELETE FROM @extschema@.usage_changes WHERE user_id OPERATOR(pg_catalog.=) $1", 1, {USER_ID}
};

/* What he changed of others was changed; by whom is not told any more. */
static Statement forget_changer = {
	"UPDATE @extschema@.usage_changes SET changed_by = NULL WHERE changed_by OPERATOR(pg_catalog.=) $1", 1, {USER_ID}
};

static Statement forget_granter = {
	"UPDATE @extschema@.usage_changes SET"
	" old = CASE WHEN old OPERATOR(pg_catalog.->>) 'granted_by' OPERATOR(pg_catalog.=) $1::pg_catalog.text"
	" THEN old OPERATOR(pg_catalog.||) '{\"granted_by\": null}' ELSE old END,"
	" new = CASE WHEN new OPERATOR(pg_catalog.->>) 'granted_by' OPERATOR(pg_catalog.=) $1::pg_catalog.text"
	" THEN new OPERATOR(pg_catalog.||) '{\"granted_by\": null}' ELSE new END"
	" WHERE table_name OPERATOR(pg_catalog.=) 'user_roles'"
	" AND (old OPERATOR(pg_catalog.->>) 'granted_by' OPERATOR(pg_catalog.=) $1::pg_catalog.text"
	" OR new OPERATOR(pg_catalog.->>) 'granted_by' OPERATOR(pg_catalog.=) $1::pg_catalog.text)",
	1, {USER_ID}
};

static Statement forget_ledger = {
	"UPDATE @extschema@.credit_ledger SET user_id = $2, description = NULL, reference_id = NULL, metadata = NULL"
	" WHERE user_id OPERATOR(pg_catalog.=) $1",
	2, {USER_ID, USER_ID}
};

static Statement forget_grants = {
	"UPDATE @extschema@.credit_grants SET user_id = $2 WHERE user_id OPERATOR(pg_catalog.=) $1", 2, {USER_ID, USER_ID}
};

static Statement forget_account = {
	"UPDATE @extschema@.credit_accounts SET user_id = $2 WHERE user_id OPERATOR(pg_catalog.=) $1", 2, {USER_ID, USER_ID}
};

/* So that a role's granted_by was taken away is no change any more. */
static Statement drop_empty_changes = {
	"DELETE FROM @extschema@.usage_changes WHERE table_name OPERATOR(pg_catalog.=) 'user_roles'"
	" AND old OPERATOR(pg_catalog.=) new",
	0
};

static Statement empty_default = {
	"TRUNCATE @extschema@.usage_events_default", 0
};

/* ---- where events are ---- */

static Table moves = {"usage_partition_log", {"partition"}};

static int64
count_moves(void)
{
	Rows		rows = rows_begin(&moves, NULL, 0);
	int64		n = 0;

	while (rows_next(&rows))
		n++;
	rows_end(&rows);
	return n;
}

/*
 * Whether events changed their place since the snapshot of the calling query.
 * It then finds them neither where they were nor where they are: partitions come
 * and go whatever a snapshot sees.  To be asked after looking for events, when
 * the locks of having looked keep them where they are.
 */
bool
events_have_moved(void)
{
	int64		seen = count_moves();
	bool		moved;

	begin_fresh_view();
	moved = count_moves() != seen;
	end_fresh_view();
	return moved;
}

void
refuse_old_snapshot(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access because events were moved or retired"),
			 errhint("Repeat the transaction.")));
}

/* ---- everything below only translates between SQL and the above ---- */

/* BEFORE trigger: rows for UPDATE and DELETE, statements for TRUNCATE. */
PG_FUNCTION_INFO_V1(ut_history_is_kept);
Datum
ut_history_is_kept(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = check_trigger(fcinfo);
	bool		of_events = SPI_fnumber(RelationGetDescr(trigger->tg_relation), "occurred_at") > 0;

	if (!history_is_open)
		ereport(ERROR,
				(errcode(ERRCODE_RESTRICT_VIOLATION),
				 errmsg("rows of table \"%s\" cannot be changed or removed",
						RelationGetRelationName(trigger->tg_relation)),
				 of_events ? errhint("Record a correcting event instead.") : 0));
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple
						   : trigger->tg_trigtuple);
}

PG_FUNCTION_INFO_V1(ut_forget_events);
Datum
ut_forget_events(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[] = {PG_GETARG_DATUM(0), (Datum) 0, PG_GETARG_DATUM(1)};
	Disguise	before;
	int16		length;
	bool		byval;
	bool		isnull;

	check_not_null(PG_ARGISNULL(0), "user_id");
	check_not_null(PG_ARGISNULL(1), "erase");
	get_typlenbyval(home->user_id_type, &length, &byval);
	become_owner(home, &before);
	statement_look(&make_fresh_id, NULL, NULL);
	MemoryContextSwitchTo(caller);
	args[1] = datumCopy(result_datum(0, 1, &isnull), byval, length);
	amend(&forget_copies, args);
	amend(&forget_events, args);
	become_caller(&before);
	PG_RETURN_DATUM(args[1]);
}

PG_FUNCTION_INFO_V1(ut_forget_changes);
Datum
ut_forget_changes(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[] = {user_id_argument(home, fcinfo)};
	Disguise	before;

	check_not_null(PG_ARGISNULL(1), "erase");
	become_owner(home, &before);
	amend(PG_GETARG_BOOL(1) ? &erase_changes : &forget_changes, args);
	amend(&forget_changer, args);
	amend(&forget_granter, args);
	amend(&drop_empty_changes, NULL);
	become_caller(&before);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(ut_forget_credits);
Datum
ut_forget_credits(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[2] = {user_id_argument(home, fcinfo)};
	Disguise	before;

	check_not_null(PG_ARGISNULL(1), "fresh");
	args[1] = PG_GETARG_DATUM(1);
	become_owner(home, &before);
	amend(&forget_ledger, args);
	statement_write(&forget_grants, args, NULL);
	statement_write(&forget_account, args, NULL);
	become_caller(&before);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(ut_empty_default_partition);
Datum
ut_empty_default_partition(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Disguise	before;

	become_owner(home, &before);
	amend(&empty_default, NULL);
	become_caller(&before);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(ut_events_are_in_place);
Datum
ut_events_are_in_place(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Disguise	before;
	bool		moved;

	become_owner(home, &before);
	moved = events_have_moved();
	become_caller(&before);
	if (moved)
		refuse_old_snapshot();
	PG_RETURN_BOOL(true);
}
