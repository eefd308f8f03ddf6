/*
 * alerts.h -- what the parts of the test "alerts" share.
 */
#ifndef UT_ALERTS_TEST_H
#define UT_ALERTS_TEST_H

#include "link.h"

#define CLIENTS 32

/* As in alerts.sql. */
#define USERS 40
#define FIRST_RUSH_USER 100
#define RUSH_USERS 1000

/* What happened, so that a run in which nothing happened is no success. */
typedef enum Figure
{
	USED,						/* by itself, and committed */
	USED_TOGETHER,				/* several in a transaction that was committed */
	ROLLED_BACK,
	UNDONE,						/* a savepoint */
	CUT,
	TAKEN_BACK,
	RUSHED,
	TOO_LATE,					/* 40001; this and the next are up to the machine */
	DEADLOCKED,
	FIGURES
} Figure;

typedef struct Figures
{
	long		of[FIGURES];
} Figures;

typedef struct Shared
{
	uint64_t	seed;
	int64_t		began_ms;
	volatile int day;			/* of all clocks */
	volatile bool stop;
	Figures		figures[CLIENTS];
	char		fault[CLIENTS][600];	/* the first one of each client */
	uint64_t	draws[CLIENTS];
} Shared;

extern void run_client(void *shared, int number);

#endif							/* UT_ALERTS_TEST_H */
