/*
 * worker.h -- upkeep in the background, for who has no scheduler.
 */
#ifndef UT_WORKER_H
#define UT_WORKER_H

#include "postgres.h"

typedef enum Trouble
{
	NO_TROUBLE,
	NO_DATABASE,
	NO_CONNECTIONS,
	NO_EXTENSION,
	FAILED
} Trouble;

/* What was logged last of a database. */
typedef struct News
{
	Trouble		trouble;
	int			sqlstate;		/* if it failed */
} News;

/*
 * What the launcher and its worker share.  There is one worker at a time: the
 * launcher writes before it starts it and reads after it has ended, the worker in
 * between, so there is no lock.
 */
typedef struct Assignment
{
	Oid			database;
	NameData	name;
	bool		may_warn;
	News		news;
	bool		is_done;		/* the worker came to its end */
} Assignment;

/* Trouble is told once, not at each round. */
static inline bool
is_news(News *news, Trouble trouble, int sqlstate)
{
	if (news->trouble == trouble && news->sqlstate == sqlstate)
		return false;
	news->trouble = trouble;
	news->sqlstate = sqlstate;
	return true;
}

extern void worker_init(void);
extern PGDLLEXPORT void ut_launcher_main(Datum arg);
extern PGDLLEXPORT void ut_worker_main(Datum arg);

#endif							/* UT_WORKER_H */
