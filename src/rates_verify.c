/*
 * rates_verify.c -- whether a gauge is equal to the table that it follows.
 */
#include "compat.h"

#include "access/table.h"
#include "arguments.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "errors.h"
#include "funcapi.h"
#include "rates.h"
#include "transitions.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* As its trigger says.  The table stays locked against being changed in form. */
static Attachment
read_attachment(Oid target, const char *limit_type, Oid *table_owner)
{
	Attachment	attachment = {target, pstrdup(limit_type)};
	Relation	relation = table_open(target, AccessShareLock);
	TriggerDesc *triggers = relation->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (trigger->tgnargs < 2 || strcmp(trigger->tgargs[0], limit_type) != 0 ||
			trigger->tgnewtable == NULL || strcmp(trigger->tgnewtable, NEW_ROWS) != 0)
			continue;
		attachment.user_column = pstrdup(trigger->tgargs[1]);
		attachment.amount_column = trigger->tgnargs > 2 ? pstrdup(trigger->tgargs[2]) : NULL;
	}
	*table_owner = relation->rd_rel->relowner;
	table_close(relation, NoLock);
	return attachment;
}

/* Two arrays, of users and of what they have; NULL if nobody has anything. */
static void
read_table(Oid table_owner, const char *level_sql, Datum *arrays, char *nulls)
{
	MemoryContext caller = CurrentMemoryContext;
	char	   *command = psprintf("SELECT pg_catalog.array_agg(t.id), pg_catalog.array_agg(t.level) FROM (%s) AS t (id, level)",
								   level_sql);
	Disguise	before;

	become_table_owner(table_owner, &before);
	SPI_execute(command, true, 0);
	for (int i = 0; i < 2; i++)
	{
		bool		isnull;
		Datum		array = result_datum(0, i + 1, &isnull);
		MemoryContext ours = MemoryContextSwitchTo(caller);

		nulls[i] = isnull ? 'n' : ' ';
		arrays[i] = isnull ? (Datum) 0 : datumCopy(array, false, -1);
		MemoryContextSwitchTo(ours);
	}
	become_caller(&before);
}

static Statement differences = {
	"SELECT COALESCE(l.user_id, t.id), COALESCE(l.level, 0), COALESCE(t.level, 0)"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS t (id, level)"
	" FULL JOIN (SELECT user_id, level FROM @extschema@.usage_levels"
	" WHERE limit_type OPERATOR(pg_catalog.=) $3) AS l ON l.user_id OPERATOR(pg_catalog.=) t.id"
	" WHERE COALESCE(l.level, 0) OPERATOR(pg_catalog.<>) COALESCE(t.level, 0) ORDER BY 1",
	3, {USER_IDS, NUMERICARRAYOID, TEXTOID}
};

/* ---- everything below only translates between SQL and the above ---- */

/* Both sides are read as the calling query sees them. */
PG_FUNCTION_INFO_V1(ut_verify_usage_gauge);
Datum
ut_verify_usage_gauge(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char	   *limit_type = name_argument(fcinfo, 0, "limit_type");
	Datum		args[] = {(Datum) 0, (Datum) 0, CStringGetTextDatum(limit_type)};
	char		nulls[] = "   ";
	Attachment	attachment;
	Disguise	before;
	Oid			table_owner;
	Oid			target;

	InitMaterializedSRF(fcinfo, 0);
	become_owner(home, &before);
	(void) find_gauge(limit_type);
	target = table_of_gauge(limit_type);
	become_caller(&before);
	if (!OidIsValid(target))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("level of \"%s\" follows no table", limit_type)));
	attachment = read_attachment(target, limit_type, &table_owner);
	check_user_column(home, target, attachment.user_column);
	read_table(table_owner, levels_sql(home, &attachment), args, nulls);
	become_owner(home, &before);
	statement_answer(&differences, args, nulls, (ReturnSetInfo *) fcinfo->resultinfo);
	become_caller(&before);
	return (Datum) 0;
}
