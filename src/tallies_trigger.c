/*
 * tallies_trigger.c -- counts what a statement changed.
 *
 * Rows of the target are locked in the order of their keys, so that two
 * statements with the same keys cannot wait for each other; and what was locked is
 * changed by its latest version.
 *
 * Whether a latest use is still the latest can only be seen when nobody else
 * changes the row: rows that went may make it an earlier one, which is looked for
 * in the source, after the lock and with a newer snapshot.
 */
#include "compat.h"

#include "errors.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "tables.h"
#include "tallies.h"
#include "transitions.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

enum
{
	CHANGE_ONE, LOCK_ONE, CHANGE_ALL, LOCK_ALL
};

static char *
target_name(const Tally *tally)
{
	return quote_qualified_identifier(tally->schema, tally->table);
}

/* A sub-select for rows, locked in order. */
static char *
locked_sql(const Tally *tally, const char *changes)
{
	const char *key = quote_identifier(tally->key);

	return psprintf("SELECT t.%s AS key, c.change%s FROM (%s) AS c JOIN %s AS t ON t.%s OPERATOR(pg_catalog.=) c.key"
					" ORDER BY t.%s FOR NO KEY UPDATE OF t",
					key, tally->last_used == NULL ? "" : ", c.added, c.removed", changes, target_name(tally), key, key);
}

/* What stays the latest use, or becomes it, of a row of which others may have gone. */
static char *
latest_sql(const Tally *tally, bool only_new)
{
	const char *last = quote_identifier(tally->last_used);

	if (only_new)
		return psprintf("GREATEST(t.%s, c.added)", last);
	return psprintf("CASE WHEN c.removed IS NULL OR c.removed OPERATOR(pg_catalog.<) t.%s"
					" OR c.added OPERATOR(pg_catalog.>=) t.%s THEN GREATEST(t.%s, c.added)"
					" ELSE (SELECT pg_catalog.max(s.%s) FROM %s AS s WHERE s.%s OPERATOR(pg_catalog.=) t.%s) END",
					last, last, last, quote_identifier(tally->used_at), qualified_name(tally->source),
					quote_identifier(tally->source_key), quote_identifier(tally->key));
}

static char *
update_sql(const Tally *tally, const char *from, bool only_new)
{
	const char *count = quote_identifier(tally->count_column);
	Oid			type = plain_column_type(tally->target, tally->count_column);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "UPDATE %s AS t SET %s = (COALESCE(t.%s, 0) OPERATOR(pg_catalog.+) c.change)::%s",
					 target_name(tally), count, count, format_type_be_qualified(type));
	if (tally->last_used != NULL)
		appendStringInfo(&sql, ", %s = %s", quote_identifier(tally->last_used), latest_sql(tally, only_new));
	appendStringInfo(&sql, " FROM %s AS c WHERE t.%s OPERATOR(pg_catalog.=) c.key", from, quote_identifier(tally->key));
	return sql.data;
}

/* One key, so there is no order to keep. */
static void
count_row(const TriggerData *trigger, const Tally *tally, const ChangeColumns *columns)
{
	bool		is_new = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	RowValues	row = read_row(trigger, columns);
	const char *change = one_change_sql(trigger, columns);

	if (row.nulls[0] == 'n')
		return;
	if (tally->last_used != NULL && !is_new)
		write_row_by_trigger(trigger, LOCK_ONE, locked_sql(tally, change), &row);
	write_row_by_trigger(trigger, CHANGE_ONE, update_sql(tally, psprintf("(%s)", change), is_new), &row);
}

static void
count_rows(TriggerData *trigger, const Tally *tally, const ChangeColumns *columns)
{
	bool		only_new = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
	const char *locked = locked_sql(tally, changes_sql(trigger, columns));

	register_transitions(trigger);
	if (tally->last_used != NULL && !only_new)
		write_by_trigger(trigger, LOCK_ALL, locked);
	write_by_trigger(trigger, CHANGE_ALL,
					 psprintf("WITH locked AS MATERIALIZED (%s) %s", locked, update_sql(tally, "locked", only_new)));
}

static void
count_changes(TriggerData *trigger, const Tally *tally)
{
	ChangeColumns columns = {
		.key = tally->source_key,
		.time = tally->last_used == NULL ? NULL : tally->used_at
	};
	Disguise	before;
	Oid			owner;

	if (!statement_touched(trigger, &columns))
		return;
	owner = check_tally(tally);
	check_change_columns(trigger, &columns);
	become_table_owner(owner, &before);
	if (is_one_row(trigger))
		count_row(trigger, tally, &columns);
	else
		count_rows(trigger, tally, &columns);
	become_caller(&before);
}

/*
 * What pg_dump wrote is counted already.  Any session can say that it restores,
 * so it must be the owner's, and not act for somebody else.
 */
static bool
is_restore(Oid relation)
{
	return !check_function_bodies && ut_owns_relation(relation, GetSessionUserId()) &&
		ut_owns_relation(relation, GetUserId());
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_count_tally);
Datum
ut_count_tally(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = check_trigger(fcinfo);
	Relation	relation = trigger->tg_relation;
	const Installation *home = installation_of(fcinfo);
	Tally		tally;

	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!read_tally(trigger->tg_trigger, RelationGetRelid(relation), &tally))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function can only be called by the triggers of attach_usage_tally()")));
	if (is_restore(RelationGetRelid(relation)) || !tally_is_whole(relation, trigger->tg_trigger))
		return PointerGetDatum(NULL);
	if (tally.of_partition && (!relation->rd_rel->relispartition ||
							   !find_tally(home, tally.target, tally.count_column, &tally)))
		return PointerGetDatum(NULL);	/* no longer a part of the source */
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		sync_tally(&tally);
	else
		count_changes(trigger, &tally);
	return PointerGetDatum(NULL);
}
