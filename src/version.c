/*
 * version.c -- do the library and the installed script belong together?
 *
 * New files are installed first, and each database is updated later by ALTER
 * EXTENSION.  In between, and in sessions that loaded the old library, one of
 * the two is older than the other, and one's statements do not fit the other's
 * tables.
 *
 * pg_extension has the version, but neither a cache nor invalidations.  So the
 * script brings a function _version() whose body is its version, replaced by
 * every update: PostgreSQL tells every session when a function changes.
 */
#include "compat.h"

#include "catalog/dependency.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "version.h"

#define BODY_BEGIN "SELECT '"
#define BODY_END "'"

/* The version of the script, or NULL if there is none to be found. */
static char *
script_version(Oid schema)
{
	HeapTuple	tuple;
	char	   *body;
	bool		isnull;
	size_t		length;

	tuple = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum("_version"),
							PointerGetDatum(buildoidvector(NULL, 0)), ObjectIdGetDatum(schema));
	if (!HeapTupleIsValid(tuple))
		return NULL;
	body = TextDatumGetCString(SysCacheGetAttr(PROCNAMEARGSNSP, tuple, Anum_pg_proc_prosrc, &isnull));
	ReleaseSysCache(tuple);
	length = strlen(body);
	if (length <= strlen(BODY_BEGIN BODY_END) || strncmp(body, BODY_BEGIN, strlen(BODY_BEGIN)) != 0)
		return NULL;
	return pnstrdup(body + strlen(BODY_BEGIN), length - strlen(BODY_BEGIN BODY_END));
}

bool
script_fits(Oid schema)
{
	char	   *version = script_version(schema);

	return version != NULL && strcmp(version, UT_VERSION) == 0;
}

/* By this value an invalidation names the function. */
uint32
script_version_hash(Oid schema)
{
	return GetSysCacheHashValue3(PROCNAMEARGSNSP, CStringGetDatum("_version"),
								 PointerGetDatum(buildoidvector(NULL, 0)), ObjectIdGetDatum(schema));
}

/* Numbers between dots, the first ones first. */
static bool
is_older(const char *version, const char *other)
{
	char	   *end;
	char	   *other_end;
	long		number = strtol(version, &end, 10);
	long		other_number = strtol(other, &other_end, 10);

	if (number != other_number)
		return number < other_number;
	return *end == '.' && *other_end == '.' && is_older(end + 1, other_end + 1);
}

/*
 * An error if the script is of another version.  But the extension's own scripts
 * may call what they have just made, and an older dump has to be restored into
 * its own version before that is updated: every dump sets check_function_bodies off.
 */
void
refuse_script(Oid schema, Oid function)
{
	char	   *version;
	char	   *extension;

	if (creating_extension || !check_function_bodies)
		return;
	version = script_version(schema);
	extension = get_extension_name(getExtensionOfObject(ProcedureRelationId, function));
	if (extension == NULL)
		extension = "usage_tracking";
	if (version == NULL)
		version = "unknown";
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension \"%s\" has version %s, but its library has version %s",
					extension, version, UT_VERSION),
			 is_older(UT_VERSION, version)
			 ? errhint("Reconnect.  If that does not help, install the files of version %s, and restart the server"
					   " if it preloads the library.", version)
			 : errhint("Run ALTER EXTENSION %s UPDATE.", quote_identifier(extension))));
}
