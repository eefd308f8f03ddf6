/*
 * storm.h -- what the parts of the storm share.
 */
#ifndef UT_STORM_H
#define UT_STORM_H

#include "link.h"

#define CLIENTS 18
#define WRITERS 6				/* the others look, most of the time */

/* As in storm.sql. */
#define HOT_USERS 4
#define FIRST_COLD_USER 4
#define COLD_USERS 1000
#define FIRST_FACT_USER 1004
#define FACT_USERS 20
#define FIRST_ODD_USER 1020		/* the last of them */

/* What happened, so that a run in which nothing happened is no success. */
typedef enum Figure
{
	USED,
	DENIED,
	UNDONE_IN_BLOCK,
	DEEP,
	REVERSED,
	ADJUSTED,
	LATE,
	INSERTED,
	MAXIMA_CHANGED,
	LOOKED,
	COMMITTED,
	ROLLED_BACK,
	COMMITTED_PREPARED,
	ROLLED_BACK_PREPARED,
	CUT,
	DISTURBED,
	INTERRUPTED,
	FIGURES
} Figure;

typedef struct Figures
{
	long		of[FIGURES];
} Figures;

/* In memory shared by all processes. */
typedef struct Shared
{
	uint64_t	seed;
	int64_t		began_ms;
	pid_t		parent;
	volatile bool stop;
	volatile bool paused;
	volatile bool idle[CLIENTS];
	Figures		figures[CLIENTS];
	char		fault[CLIENTS][600];	/* the first one of each client */
} Shared;

extern void run_client(void *shared, int number);

#endif							/* UT_STORM_H */
