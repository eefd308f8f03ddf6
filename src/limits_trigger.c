/*
 * limits_trigger.c -- what happens when a row of a limit table changes, whoever
 * changes it.
 *
 * limit_id is a new number whenever what is counted changes, so that counters
 * of the old meaning are never read for the new one.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "commands/sequence.h"
#include "errors.h"
#include "limits.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/*
 * Tells every backend, this one included, that a configuration table changed.
 * A plain INSERT or UPDATE sends no relation invalidation by itself.
 */
PG_FUNCTION_INFO_V1(ut_config_changed);
Datum
ut_config_changed(PG_FUNCTION_ARGS)
{
	CacheInvalidateRelcache(check_trigger(fcinfo)->tg_relation);
	return PointerGetDatum(NULL);
}

static Datum
column_of(HeapTuple row, TupleDesc desc, const char *name, bool *isnull)
{
	return SPI_getbinval(row, desc, SPI_fnumber(desc, name), isnull);
}

static void
check_period_column(HeapTuple row, TupleDesc desc)
{
	WindowKind	kind;
	bool		isnull;
	Datum		name = column_of(row, desc, "window_kind", &isnull);
	Datum		period;

	if (isnull || !window_kind_from_name(TextDatumGetCString(name), &kind))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("window kind must be calendar, anchored, billing, lifetime, gauge, or sliding")));
	period = column_of(row, desc, "period", &isnull);
	if (!kind_has_period(kind))
		return;
	if (isnull || !period_fits_kind(kind, DatumGetIntervalP(period)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 isnull ? errmsg("window kind \"%s\" requires a period", TextDatumGetCString(name)) :
				 errmsg("period does not suit window kind \"%s\"", TextDatumGetCString(name)),
				 kind == WINDOW_CALENDAR ?
				 errhint("A calendar period is an hour, a day, a week, a month, a quarter or a year.") :
				 errhint("Its period is a positive number of months, of days, or of a shorter unit, from a second to 100 years.")));
}

/* Some kinds have no period, whatever the column's default says. */
static HeapTuple
without_needless_period(HeapTuple row, TupleDesc desc)
{
	int			column = SPI_fnumber(desc, "period");
	bool		isnull;
	char	   *name = TextDatumGetCString(column_of(row, desc, "window_kind", &isnull));
	WindowKind	kind;
	Datum		none = (Datum) 0;

	if (window_kind_from_name(name, &kind) && kind_has_period(kind))
		return row;
	isnull = true;
	return heap_modify_tuple_by_cols(row, desc, 1, &column, &none, &isnull);
}

static const char *const counted_columns[] = {
	"usage_type", "measure", "window_kind", "period", "time_zone", "statuses"
};

static bool
same_value(HeapTuple a, HeapTuple b, TupleDesc desc, int column)
{
	bool		a_null;
	bool		b_null;
	Datum		a_value = SPI_getbinval(a, desc, column, &a_null);
	Datum		b_value = SPI_getbinval(b, desc, column, &b_null);
	Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);

	if (a_null || b_null)
		return a_null && b_null;
	return datum_image_eq(a_value, b_value, attribute->attbyval, attribute->attlen);
}

static bool
counts_the_same(HeapTuple a, HeapTuple b, TupleDesc desc)
{
	for (int i = 0; i < lengthof(counted_columns); i++)
		if (!same_value(a, b, desc, SPI_fnumber(desc, counted_columns[i])))
			return false;
	return true;
}

static HeapTuple
with_new_number(HeapTuple row, TupleDesc desc, Oid schema)
{
	int			column = SPI_fnumber(desc, "limit_id");
	bool		isnull = false;
	Datum		number = Int64GetDatum(nextval_internal(get_relname_relid("usage_limits_limit_id_seq", schema), false));

	return heap_modify_tuple_by_cols(row, desc, 1, &column, &number, &isnull);
}

/*
 * BEFORE row trigger of usage_limits: checks what a CHECK cannot, and numbers
 * anew a limit that counts something else from now on.  Reads no table but
 * the sequence, so that a restore may fire it.
 */
PG_FUNCTION_INFO_V1(ut_limit_changes);
Datum
ut_limit_changes(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = check_row_trigger(fcinfo, "limit_id");
	const Installation *home = installation_of(fcinfo);
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	HeapTuple	row = update ? trigger->tg_newtuple : trigger->tg_trigtuple;

	check_period_column(row, desc);
	row = without_needless_period(row, desc);
	if (update && !counts_the_same(trigger->tg_trigtuple, row, desc))
		row = with_new_number(row, desc, home->schema);
	return PointerGetDatum(row);
}
