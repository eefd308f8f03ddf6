/*
 * errors.h -- the extension's own SQLSTATEs, and how a refusal is raised.
 *
 * Class UT.  doc/errors.md is the table for users; both list the same codes.
 */
#ifndef UT_ERRORS_H
#define UT_ERRORS_H

#include "postgres.h"

#include "commands/trigger.h"
#include "compat.h"
#include "fmgr.h"

#define ERRCODE_UT_LIMIT_REACHED	MAKE_SQLSTATE('U','T','0','0','1')
#define ERRCODE_UT_RATE_LIMITED		MAKE_SQLSTATE('U','T','0','0','2')
#define ERRCODE_UT_INSUFFICIENT_CREDITS	MAKE_SQLSTATE('U','T','0','0','3')
#define ERRCODE_UT_UNREGISTERED		MAKE_SQLSTATE('U','T','0','0','4')
#define ERRCODE_UT_KEY_REUSED		MAKE_SQLSTATE('U','T','0','0','5')
#define ERRCODE_UT_EVENT_TIME		MAKE_SQLSTATE('U','T','0','0','6')

/* An error that an HTTP gateway should turn into a status of its own. */
typedef struct Refusal
{
	int			sqlstate;
	int			http_status;
	const char *http_text;
	const char *message;
	const char *detail;			/* may be NULL, like all that follow */
	const char *hint;
	const char *limit_type;		/* becomes the constraint name */
	const char *headers;		/* JSON object */
} Refusal;

pg_noreturn extern void raise_refusal(const Refusal *refusal);
extern TriggerData *check_trigger(FunctionCallInfo fcinfo);
extern TriggerData *check_row_trigger(FunctionCallInfo fcinfo, const char *column);
extern void check_not_null(bool isnull, const char *argument);

#endif							/* UT_ERRORS_H */
