/*
 * stress.h -- what the parts of the stress test share.
 */
#ifndef UT_STRESS_H
#define UT_STRESS_H

#include "common.h"

#define CLIENTS 32

/* As in setup.sql. */
#define HOT_USER 0
#define FIRST_COLD_USER 1
#define COLD_USERS 1000
#define FIRST_RUSH_USER 1001
#define RUSH_USERS 1000
#define FIRST_FACT_USER 2001
#define FACT_USERS 40

/* What happened, so that a run in which nothing happened is no success. */
typedef struct Figures
{
	long		recorded;		/* uses whose COMMIT was answered */
	long		facts;			/* of these, by track_usage */
	long		replayed;		/* of these, by an earlier use of the key */
	long		denied;
	long		undone;			/* taken, then rolled back */
	long		unknown;		/* COMMIT sent, answer not read */
	long		cuts;			/* connections we cut */
	long		lost;			/* connections cut by somebody else */
	long		cancelled;
	long		retried;		/* after a serialization failure */
	long		deadlocks;
} Figures;

/* In memory shared by all processes. */
typedef struct Shared
{
	uint64_t	seed;
	int64_t		began_ms;
	pid_t		parent;
	volatile bool stop;
	Figures		figures[CLIENTS];
	char		fault[CLIENTS][500];	/* the first one of each client */
} Shared;

/* What the monitor saw while the clients were running. */
typedef struct Watch
{
	long		snapshots;
	long		over;			/* snapshots in which somebody was over */
	long		miscounted;		/* in which counters were not events */
	long		used_up;		/* times the hot user had nothing left */
	long		redefined;		/* times a limit counted something else */
	char		first[500];		/* what was wrong, the first time */
} Watch;

extern void run_client(Shared *shared, int number);
extern bool verdict(PGconn *conn, Shared *shared, const Watch *watch, const Ending *ending);

#endif							/* UT_STRESS_H */
