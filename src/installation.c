/*
 * installation.c -- where the extension whose function was called lives.
 *
 * It may be in any schema, and a library outlives it: the schema is renamed, or
 * the extension dropped and created elsewhere.  Then the generation changes, and
 * whatever was found by name (plans, tables) is looked for again.
 */
#include "compat.h"

#include "errors.h"
#include "installation.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "version.h"

static Installation home = {0};
static bool home_valid = false;
static bool home_fits = false;	/* the script's version is the library's */
static uint32 home_version_hash = 0;
static config_changed_callback listeners[8];
static int	nlisteners = 0;

static const char *const config_table_names[] = {
	"usage_types", "usage_limits", "plan_limits", "temporary_limits", "plans",
	"model_prices", "model_aliases", "usage_alert_rules", "credit_costs", "credit_refills", "api_rate_limits"
};

static void
tell_listeners(void)
{
	for (int i = 0; i < nlisteners; i++)
		listeners[i] ();
}

static bool
is_config_table(Oid relation)
{
	for (int i = 0; i < lengthof(home.config_tables); i++)
		if (home.config_tables[i] == relation)
			return true;
	return false;
}

static void
relation_changed(Datum arg, Oid relation)
{
	if (relation == InvalidOid || relation == home.usage_events)
		home_valid = false;
	if (relation == InvalidOid || is_config_table(relation))
	{
		home_valid = false;
		tell_listeners();
	}
}

static void
schema_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	home_valid = false;
}

static void
function_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	if (hashvalue == 0 || hashvalue == home_version_hash)
		home_valid = false;
}

void
installation_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCNAMEARGSNSP, function_changed, (Datum) 0);
}

/* Registers a listener for changes of the configuration tables. */
void
on_config_change(config_changed_callback callback)
{
	if (nlisteners == lengthof(listeners))
		elog(ERROR, "no room for another listener");
	listeners[nlisteners++] = callback;
}

static Oid
type_of_user_ids(Oid schema)
{
	Oid			table = get_relname_relid("user_subscriptions", schema);
	AttrNumber	column = get_attnum(table, "user_id");

	return get_atttype(table, column);
}

static Oid
function_without_arguments(Oid schema, const char *name)
{
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						   PointerGetDatum(buildoidvector(NULL, 0)), ObjectIdGetDatum(schema));
}

static void
find_home(Oid schema)
{
	char	   *name = get_namespace_name(schema);
	Oid			type = type_of_user_ids(schema);

	if (name == NULL || !OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the tables of extension \"usage_tracking\" are missing")));
	if (schema != home.schema || type != home.user_id_type ||
		strcmp(name, NameStr(home.schema_name)) != 0)
	{
		home.generation++;
		tell_listeners();
	}
	home_version_hash = script_version_hash(schema);	/* first, like home_valid */
	home_fits = script_fits(schema);
	home.schema = schema;
	home.user_id_type = type;
	namestrcpy(&home.schema_name, name);
	home.usage_events = get_relname_relid("usage_events", schema);
	home.events_come = function_without_arguments(schema, "_events_come");
	for (int i = 0; i < lengthof(config_table_names); i++)
		home.config_tables[i] = get_relname_relid(config_table_names[i], schema);
}

static void
look_again(Oid schema)
{
	while (!home_valid || schema != home.schema)
	{
		home_valid = true;		/* first: a change may arrive while we look */
		PG_TRY();
		{
			find_home(schema);
		}
		PG_CATCH();
		{
			home_valid = false;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
}

static const Installation *
home_of(Oid function)
{
	HeapTuple	tuple;
	Form_pg_proc row;
	Oid			schema;

	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	row = (Form_pg_proc) GETSTRUCT(tuple);
	schema = row->pronamespace;
	home.owner = row->proowner;
	ReleaseSysCache(tuple);

	look_again(schema);
	return &home;
}

/*
 * The installation that the called function belongs to, whatever its version:
 * only for what reads nothing of it.
 */
const Installation *
installation_of_any_version(FunctionCallInfo fcinfo)
{
	return home_of(fcinfo->flinfo->fn_oid);
}

/*
 * Whether the installation whose function was called last is still there, for
 * what comes after the call.
 */
bool
installation_remains(Oid usage_events)
{
	if (usage_events != get_relname_relid("usage_events", home.schema))
		return false;
	look_again(home.schema);
	return home_fits;
}

/* The one whose function was called last. */
const Installation *
present_installation(void)
{
	return &home;
}

/* The installation that a function belongs to. */
const Installation *
installation_of_function(Oid function)
{
	const Installation *installation = home_of(function);

	if (unlikely(!home_fits))
		refuse_script(installation->schema, function);
	return installation;
}

/* The one that the called function belongs to. */
const Installation *
installation_of(FunctionCallInfo fcinfo)
{
	return installation_of_function(fcinfo->flinfo->fn_oid);
}
