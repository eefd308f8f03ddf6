/*
 * leases.h -- what the parts of the test "leases" share.
 */
#ifndef UT_LEASES_H
#define UT_LEASES_H

#include <stdatomic.h>

#include "link.h"

#define CLIENTS 64
#define PLACES 3				/* as in leases.sql */

/* What happened, so that a run in which nothing happened is no success. */
typedef enum Figure
{
	FOR_A_TIME,
	FOR_A_SESSION,
	FULL,						/* refused */
	RENEWED,
	RELEASED,
	ABANDONED,					/* to expire */
	ROLLED_BACK,
	CUT,
	TERMINATED,
	KILLED,
	FIGURES
} Figure;

typedef struct Figures
{
	long		of[FIGURES];
} Figures;

/* Whether a client may say that it holds a place. */
enum
{
	HOLDS_NOTHING,
	HOLDS_A_PLACE,
	IS_DOOMED					/* somebody is about to end its connection */
};

/* In memory shared by all processes: it outlives a client that is killed. */
typedef struct Shared
{
	uint64_t	seed;
	int64_t		began_ms;
	pid_t		parent;
	volatile bool stop;
	volatile bool was_late;
	atomic_int	holders;		/* of a place, by what they were answered */
	atomic_int	most;			/* there ever were at once */
	atomic_int	state[CLIENTS];
	atomic_int	server[CLIENTS];	/* process of its connection */
	Figures		figures[CLIENTS];
	char		fault[CLIENTS][600];	/* the first one of each client */
	uint64_t	draws[CLIENTS];
} Shared;

extern void run_client(void *shared, int number);
extern void stop_holding(Shared *shared, int number);

#endif							/* UT_LEASES_H */
