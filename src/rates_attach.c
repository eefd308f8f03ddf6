/*
 * rates_attach.c -- which table of the application a gauge follows.
 *
 * That is kept nowhere but in our triggers on it, as with the table of users
 * (users_table.c): their arguments are the limit and the columns.
 */
#include "compat.h"

#include "access/table.h"
#include "arguments.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "errors.h"
#include "miscadmin.h"
#include "plans.h"
#include "rates.h"
#include "settings.h"
#include "tables.h"
#include "transitions.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* ---- is it attached? ---- */

static Statement find_target = {
	"SELECT target FROM @extschema@._attached_gauges() WHERE limit_type OPERATOR(pg_catalog.=) $1",
	1, {TEXTOID}
};

/* As the owner; InvalidOid for none. */
Oid
table_of_gauge(const char *limit_type)
{
	Datum		args[] = {CStringGetTextDatum(limit_type)};
	bool		isnull;

	if (statement_look_afresh(&find_target, args, NULL) == 0)
		return InvalidOid;
	return DatumGetObjectId(result_datum(0, 1, &isnull));
}

void
check_follows_no_table(const char *limit_type)
{
	Oid			target = table_of_gauge(limit_type);

	if (OidIsValid(target))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("level of \"%s\" follows table \"%s\"", limit_type, get_rel_name(target)),
				 errhint("Its rows say what the level is; detach_usage_gauge() ends that.")));
}

/* ---- checks before attaching ---- */

static void
check_target(Oid target)
{
	char		kind = get_rel_relkind(target);

	if (kind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("target table does not exist")));
	if (kind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an ordinary table", get_rel_name(target))));
	if (!ut_owns_relation(target, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(target));
}

static Statement find_relatives = {
	"SELECT FROM pg_catalog.pg_inherits WHERE inhrelid OPERATOR(pg_catalog.=) $1"
	" OR inhparent OPERATOR(pg_catalog.=) $1",
	1, {OIDOID}
};

/* What is written through another table fires its triggers, not ours. */
static void
check_stands_alone(Oid target)
{
	Datum		args[] = {ObjectIdGetDatum(target)};

	if (statement_look_afresh(&find_relatives, args, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a partition, or has inheritance", get_rel_name(target))));
}

/* ---- triggers ---- */

typedef struct TriggerKind
{
	const char *name;
	const char *event;
	const char *rows;			/* that it is given */
} TriggerKind;

static const TriggerKind trigger_kinds[] = {
	{"insert", "INSERT", "REFERENCING NEW TABLE AS " NEW_ROWS},
	{"update", "UPDATE", "REFERENCING OLD TABLE AS " OLD_ROWS " NEW TABLE AS " NEW_ROWS},
	{"delete", "DELETE", "REFERENCING OLD TABLE AS " OLD_ROWS},
	{"truncate", "TRUNCATE", ""}
};

/* A table may have several gauges, whose names are too long to be part of another. */
static char *
trigger_name(const char *limit_type, const TriggerKind *kind)
{
	uint32		hash = hash_bytes((const unsigned char *) limit_type, strlen(limit_type));

	return psprintf("usage_tracking_gauge_%08x_%s", hash, kind->name);
}

static void
create_triggers(const Installation *home, const Attachment *wanted)
{
	const char *amount = wanted->amount_column == NULL ? ""
		: psprintf(", %s", quote_literal_cstr(wanted->amount_column));

	for (int i = 0; i < lengthof(trigger_kinds); i++)
		run_ddl(psprintf("CREATE TRIGGER %s AFTER %s ON %s %s FOR EACH STATEMENT"
						 " EXECUTE FUNCTION %s.keep_usage_gauge(%s, %s%s)",
						 trigger_name(wanted->limit_type, &trigger_kinds[i]), trigger_kinds[i].event,
						 qualified_name(wanted->target), trigger_kinds[i].rows,
						 quote_identifier(get_namespace_name(home->schema)),
						 quote_literal_cstr(wanted->limit_type), quote_literal_cstr(wanted->user_column), amount));
}

static Statement find_triggers = {
	"SELECT tgname FROM @extschema@._attached_gauges() WHERE limit_type OPERATOR(pg_catalog.=) $1",
	1, {TEXTOID}
};

/* ---- what is in the table ---- */

static Statement put_levels = {
	"INSERT INTO @extschema@.usage_levels (user_id, limit_type, level, changed_at)"
	" SELECT u.id, $3, u.level, $4 FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS u (id, level)"
	" WHERE u.id IS NOT NULL ORDER BY u.id"
	" ON CONFLICT (user_id, limit_type) DO UPDATE SET level = EXCLUDED.level, changed_at = EXCLUDED.changed_at",
	4, {USER_IDS, NUMERICARRAYOID, TEXTOID, TIMESTAMPTZOID}
};

typedef struct Reading
{
	const Installation *home;
	const Attachment *attachment;
} Reading;

/* One batch, read as the table's owner, written as ours. */
static int64
put_batch(void *argument, SPITupleTable *batch)
{
	const Reading *reading = argument;
	const Installation *home = reading->home;
	int			n = batch->numvals;
	Datum	   *ids = palloc(n * sizeof(Datum));
	Datum	   *levels = palloc(n * sizeof(Datum));
	bool	   *no_id = palloc(n * sizeof(bool));
	bool	   *no_level = palloc(n * sizeof(bool));
	Datum		args[4];
	Disguise	before;

	for (int i = 0; i < n; i++)
	{
		ids[i] = SPI_getbinval(batch->vals[i], batch->tupdesc, 1, &no_id[i]);
		levels[i] = SPI_getbinval(batch->vals[i], batch->tupdesc, 2, &no_level[i]);
		no_id[i] = no_id[i] || !is_user_id(home, ids[i]);
	}
	args[0] = value_array(ids, no_id, n, home->user_id_type);
	args[1] = value_array(levels, no_level, n, NUMERICOID);
	args[2] = CStringGetTextDatum(reading->attachment->limit_type);
	args[3] = TimestampTzGetDatum(usage_now());
	become_owner(home, &before);
	note_first_uses(args[0], usage_now());
	statement_write(&put_levels, args, NULL);
	become_caller(&before);
	return n;
}

/* Each user of the table and what its level must be. */
char *
levels_sql(const Installation *home, const Attachment *attachment)
{
	const char *user = quote_identifier(attachment->user_column);
	const char *sum = attachment->amount_column == NULL ? "pg_catalog.count(*)::pg_catalog.numeric"
		: psprintf("COALESCE(pg_catalog.sum(%s::pg_catalog.numeric), 0)", quote_identifier(attachment->amount_column));

	return psprintf("SELECT %s::%s, %s FROM ONLY %s WHERE %s IS NOT NULL GROUP BY 1", user,
					format_type_be_qualified(home->user_id_type), sum, qualified_name(attachment->target), user);
}

/* Locked against everybody who writes it; its owner. */
static Oid
lock_target(Oid target)
{
	Relation	relation = table_open(target, ShareRowExclusiveLock);
	Oid			owner = relation->rd_rel->relowner;

	table_close(relation, NoLock);
	return owner;
}

/* ---- everything below only translates between SQL and the above ---- */

static Attachment
attachment_arguments(FunctionCallInfo fcinfo)
{
	Attachment	wanted = {InvalidOid};

	check_not_null(PG_ARGISNULL(0), "target");
	wanted.target = PG_GETARG_OID(0);
	wanted.limit_type = name_argument(fcinfo, 1, "limit_type");
	return wanted;
}

PG_FUNCTION_INFO_V1(ut_attach_usage_gauge);
Datum
ut_attach_usage_gauge(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Attachment	wanted = attachment_arguments(fcinfo);
	Disguise	before;
	Oid			table_owner;

	check_not_null(PG_ARGISNULL(2), "user_column");
	wanted.user_column = pstrdup(NameStr(*PG_GETARG_NAME(2)));
	if (!PG_ARGISNULL(3))
		wanted.amount_column = pstrdup(NameStr(*PG_GETARG_NAME(3)));
	PreventCommandDuringRecovery("attach_usage_gauge()");
	check_isolation("attach_usage_gauge()");	/* or levels that were made meanwhile would not be seen */
	check_target(wanted.target);
	table_owner = lock_target(wanted.target);
	check_user_column(home, wanted.target, wanted.user_column);
	if (wanted.amount_column != NULL)
		check_amount_column(wanted.target, wanted.amount_column);
	lock_gauge(home, wanted.limit_type, ShareRowExclusiveLock);
	become_owner(home, &before);
	(void) find_gauge(wanted.limit_type);
	check_stands_alone(wanted.target);
	check_follows_no_table(wanted.limit_type);
	empty_levels(wanted.limit_type);
	become_caller(&before);
	create_triggers(home, &wanted);
	PG_RETURN_INT64(read_in_batches(table_owner, levels_sql(home, &wanted), put_batch, &(Reading) {home, &wanted}));
}

PG_FUNCTION_INFO_V1(ut_detach_usage_gauge);
Datum
ut_detach_usage_gauge(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Attachment	wanted = attachment_arguments(fcinfo);
	Datum		args[1];
	Disguise	before;
	Oid			attached;

	check_target(wanted.target);
	become_owner(home, &before);
	attached = table_of_gauge(wanted.limit_type);
	if (attached != wanted.target)
		check_limit_exists(wanted.limit_type);
	become_caller(&before);
	if (attached != wanted.target)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("level of \"%s\" does not follow table \"%s\"", wanted.limit_type, get_rel_name(wanted.target))));
	args[0] = CStringGetTextDatum(wanted.limit_type);
	drop_triggers(home, wanted.target, &find_triggers, args);
	PG_RETURN_VOID();
}
