/*
 * runs.h -- what the parts of the test "runs" share.
 */
#ifndef UT_RUNS_H
#define UT_RUNS_H

#include "link.h"

#define CLIENTS 64

/* As in runs.sql: one for each round. */
#define FIRST_USER 1
#define USERS 3000

/* What happened, so that a run in which nothing happened is no success. */
typedef enum Figure
{
	STARTED,
	REFUSED_START,
	DIED_BEFORE_COMMIT,
	DIED_AFTER_START,
	RENEWED,
	SUCCEEDED,
	FAILED,
	CANCELLED,
	REFUSED_MOVE,				/* the run was over */
	FIGURES
} Figure;

typedef struct Figures
{
	long		of[FIGURES];
} Figures;

/* What all do in a round. */
typedef enum Round
{
	ALL_START,
	WINNERS_DIE,
	ANYTHING,
	ROUNDS
} Round;

/* In memory shared by all processes: it outlives a client that is killed. */
typedef struct Shared
{
	uint64_t	seed;
	pid_t		parent;
	volatile bool stop;
	volatile int round;			/* from 1; 0 before the first */
	volatile int done[CLIENTS];	/* the last round that each is done with */
	Figures		figures[CLIENTS];
	char		fault[CLIENTS][600];	/* the first one of each client */
	uint64_t	draws[CLIENTS];
} Shared;

extern void run_client(void *shared, int number);

#endif							/* UT_RUNS_H */
