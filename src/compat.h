/*
 * compat.h -- what differs between PostgreSQL 15 and 18.
 *
 * The only file that may mention PG_VERSION_NUM.  Each shim gives one spelling
 * to all servers, so that callers never ask for the version.
 */
#ifndef UT_COMPAT_H
#define UT_COMPAT_H

#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_proc.h"
#include "common/jsonapi.h"
#include "fmgr.h"
#include "utils/acl.h"
#include "utils/datetime.h"

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 190000
#error "usage_tracking supports PostgreSQL 15 to 18"
#endif

/* 15: one ACL function per catalog; 16 brought object_aclcheck() */
#if PG_VERSION_NUM < 160000
#define ut_may_execute(function, roleid) \
	(pg_proc_aclcheck(function, roleid, ACL_EXECUTE) == ACLCHECK_OK)
#define ut_owns_relation(relid, roleid) pg_class_ownercheck(relid, roleid)
#define ut_owns_database(dbid, roleid) pg_database_ownercheck(dbid, roleid)
#else
#include "varatt.h"
#define ut_may_execute(function, roleid) \
	(object_aclcheck(ProcedureRelationId, function, roleid, ACL_EXECUTE) == ACLCHECK_OK)
#define ut_owns_relation(relid, roleid) \
	object_ownercheck(RelationRelationId, relid, roleid)
#define ut_owns_database(dbid, roleid) \
	object_ownercheck(DatabaseRelationId, dbid, roleid)
#endif

/* 18 may be asked for a deferrable key as well */
#if PG_VERSION_NUM < 180000
#define ut_primary_key(relation) RelationGetPrimaryKeyIndex(relation)
#else
#define ut_primary_key(relation) RelationGetPrimaryKeyIndex(relation, false)
#endif

/* 15: JSON parser actions return nothing; 16 made them return a code */
#if PG_VERSION_NUM < 160000
typedef void JsonActionResult;
#define JSON_ACTION_DONE return
#else
typedef JsonParseErrorType JsonActionResult;
#define JSON_ACTION_DONE return JSON_SUCCESS
#endif

/* 17 lets the caller own the lexer; NULL asks for one on the heap */
#if PG_VERSION_NUM < 170000
#define ut_json_lexer(text, len, encoding) \
	makeJsonLexContextCstringLen(text, len, encoding, true)
#else
#define ut_json_lexer(text, len, encoding) \
	makeJsonLexContextCstringLen(NULL, text, len, encoding, true)
#endif

/* 16: what a check hook leaves for its assign hook is the server's to free */
#if PG_VERSION_NUM < 160000
#define guc_malloc(elevel, size) malloc(size)
#else
#include "utils/guc.h"
#endif

/* 16 added a last argument that explains a decoding error */
static inline int
ut_decode_date_time(char **field, int *ftype, int nf, int *dtype,
					struct pg_tm *tm, fsec_t *fsec, int *tz)
{
#if PG_VERSION_NUM < 160000
	return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz);
#else
	DateTimeErrorExtra extra;

	return DecodeDateTime(field, ftype, nf, dtype, tm, fsec, tz, &extra);
#endif
}

/* 18: a word before the declaration, before that an attribute after it */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 17: memory that sessions share without the library being preloaded */
#if PG_VERSION_NUM < 170000
#define UT_HAS_SEGMENTS false
#else
#include "storage/dsm_registry.h"
#define UT_HAS_SEGMENTS true
#endif

static inline void *
ut_shared_segment(const char *name, Size size, void (*make) (void *memory))
{
#if PG_VERSION_NUM < 170000
	return NULL;
#else
	bool		found;

	return GetNamedDSMSegment(name, size, make, &found);
#endif
}

/* 18 records the module's name and version in its magic block */
#ifdef PG_MODULE_MAGIC_EXT
#define UT_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "usage_tracking", .version = UT_VERSION)
#else
#define UT_MODULE_MAGIC PG_MODULE_MAGIC
#endif

#endif							/* UT_COMPAT_H */
