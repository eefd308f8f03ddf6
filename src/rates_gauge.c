/*
 * rates_gauge.c -- a gauge that is kept equal to a table of the application.
 *
 * Triggers for each statement add to the levels what it changed, and refuse it
 * whole if that is more than somebody may have, whoever sent it.  They run as the
 * extension's owner around our own statements only, and read nothing of the
 * application but the rows of the statement (transitions.h).
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "locks.h"
#include "miscadmin.h"
#include "numbers.h"
#include "rates.h"
#include "settings.h"
#include "transitions.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

typedef struct Change
{
	Datum		user_id;
	Numeric		delta;
} Change;

/* ---- which columns ---- */

/* Below domains; into what ids are cast to here nobody can have written a cast. */
void
check_user_column(const Installation *home, Oid relation, const char *column)
{
	Oid			type = plain_column_type(relation, column);
	bool		fits = type == home->user_id_type ||
		(home->user_id_type == INT8OID && (type == INT2OID || type == INT4OID)) ||
		(home->user_id_type == TEXTOID && type == VARCHAROID);

	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" has type %s, but user ids of this extension have type %s",
						column, get_rel_name(relation), format_type_be(type), format_type_be(home->user_id_type))));
}

static ChangeColumns
columns_of(const TriggerData *trigger)
{
	const Trigger *definition = trigger->tg_trigger;
	ChangeColumns columns = {NULL};

	if (!TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		definition->tgnargs < 2 || definition->tgnargs > 3)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger was not made by attach_usage_gauge()")));
	columns.key = definition->tgargs[1];
	columns.amount = definition->tgnargs > 2 ? definition->tgargs[2] : NULL;
	return columns;
}

/* ---- what changed ---- */

static void
check_delta(Numeric delta)
{
	if (numeric_is_nan(delta) || numeric_is_inf(delta))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("amount must be a finite number")));
}

/* Of each user, sorted by user. */
static Change *
read_changes(const Installation *home, const TriggerData *trigger, const ChangeColumns *columns, uint64 *n)
{
	char	   *sql = psprintf("SELECT d.key::%s, d.change::pg_catalog.numeric FROM (%s) AS d ORDER BY 1",
							   format_type_be_qualified(home->user_id_type), changes_sql(trigger, columns));
	uint64		rows = write_by_trigger(trigger, 0, sql);
	Change	   *changes = palloc((rows + 1) * sizeof(Change));

	*n = 0;
	for (uint64 row = 0; row < rows; row++)
	{
		bool		isnull;
		Datum		user_id = result_datum(row, 1, &isnull);
		Change	   *change = &changes[*n];

		if (isnull || !is_user_id(home, user_id))
			continue;			/* nobody can be he */
		change->user_id = datumCopy(user_id, get_typbyval(home->user_id_type), get_typlen(home->user_id_type));
		change->delta = result_numeric(row, 2);
		check_delta(change->delta);
		(*n)++;
	}
	return changes;
}

/* ---- what follows ---- */

/* Of a level that is locked. */
static void
change_level_by(Datum user_id, const char *limit_type, Numeric before, Numeric delta)
{
	Numeric		level = num_trim(num_add(before, delta));

	check_level_in_range(limit_type, level);
	write_level(user_id, limit_type, level);
}

static void
raise_level(Datum user_id, const char *limit_type, Numeric delta)
{
	Stakes		stakes = weigh_gauge_locked(user_id, limit_type, delta);
	Decision	decision = decide(&stakes, false);

	if (!decision.allowed && setting_enabled)
		raise_denial(&decision);
	change_level_by(user_id, limit_type, stakes.all[0].used, delta);
}

static Statement find_level = {
	"SELECT FROM @extschema@.usage_levels"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND limit_type OPERATOR(pg_catalog.=) $2",
	2, {USER_ID, TEXTOID}
};

/* Rows that outlive their user's usage, when they go, do not bring his id back. */
static bool
is_forgotten(Datum user_id, const char *limit_type)
{
	Datum		args[] = {user_id, CStringGetTextDatum(limit_type)};

	return statement_look_afresh(&find_level, args, NULL) == 0;
}

static void
apply(const Installation *home, const Change *change, const char *limit_type, bool by_delete)
{
	lock_user(home, change->user_id);
	if (num_sign(change->delta) > 0 && limit_is_gauge(find_limit(current_config(), limit_type)))
		raise_level(change->user_id, limit_type, change->delta);
	else if (!by_delete || !is_forgotten(change->user_id, limit_type))
		change_level_by(change->user_id, limit_type, lock_level(change->user_id, limit_type), change->delta);
}

static Statement empty = {
	"UPDATE @extschema@.usage_levels SET level = 0, changed_at = $2"
	" WHERE limit_type OPERATOR(pg_catalog.=) $1 AND level OPERATOR(pg_catalog.<>) 0",
	2, {TEXTOID, TIMESTAMPTZOID}
};

static Statement find_not_empty = {
	"SELECT FROM @extschema@.usage_levels"
	" WHERE limit_type OPERATOR(pg_catalog.=) $1 AND level OPERATOR(pg_catalog.<>) 0 LIMIT 1",
	1, {TEXTOID}
};

/* Nobody else writes the table now; a snapshot from before may have missed rows. */
void
empty_levels(const char *limit_type)
{
	Datum		args[] = {CStringGetTextDatum(limit_type), TimestampTzGetDatum(usage_now())};

	statement_write(&empty, args, NULL);
	if (IsolationUsesXactSnapshot() && statement_look_afresh(&find_not_empty, args, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
}

static void
follow(const Installation *home, TriggerData *trigger, const ChangeColumns *columns, const char *limit_type)
{
	Change	   *changes;
	uint64		n;

	register_transitions(trigger);
	changes = read_changes(home, trigger, columns, &n);
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		apply(home, &changes[i], limit_type, TRIGGER_FIRED_BY_DELETE(trigger->tg_event));
	}
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_keep_usage_gauge);
Datum
ut_keep_usage_gauge(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = check_trigger(fcinfo);
	const Installation *home = installation_of(fcinfo);
	ChangeColumns columns = columns_of(trigger);
	const char *limit_type = trigger->tg_trigger->tgargs[0];
	bool		truncated = TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event);
	Disguise	before;

	if (!truncated)
	{
		if (!statement_touched(trigger, &columns))
			return PointerGetDatum(NULL);
		check_change_columns(trigger, &columns);
		check_user_column(home, RelationGetRelid(trigger->tg_relation), columns.key);
	}
	become_owner(home, &before);
	check_limit_exists(limit_type);
	if (truncated)
		empty_levels(limit_type);
	else
		follow(home, trigger, &columns, limit_type);
	become_caller(&before);
	return PointerGetDatum(NULL);
}
