/*
 * reserve.h -- what the parts of the test "reserve" share.
 */
#ifndef UT_RESERVE_H
#define UT_RESERVE_H

#include "link.h"

#define CLIENTS 64
#define MANY_DEEDS 100000

/* As in reserve.sql. */
#define USERS 24
#define FIRST_LATE_USER 20
#define FIRST_RUSH_USER 100
#define RUSH_USERS 1000

/* What happened, so that a run in which nothing happened is no success. */
typedef enum Figure
{
	RESERVED,
	HELD,						/* refused */
	USED_UP,					/* refused */
	EXPIRED,					/* left to */
	COMMITTED,
	COMMITTED_LATE,
	RELEASED,
	USED,
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

typedef enum Fate
{
	WAS_SENT,					/* and perhaps recorded */
	WAS_ANSWERED,
	WAS_REFUSED
} Fate;

/* Something that was to be recorded, under the name CLIENT-NUMBER. */
typedef struct Deed
{
	int			user;
	int			quantity;
	Fate		fate;
} Deed;

/* In memory shared by all processes: it outlives a client that is killed. */
typedef struct Shared
{
	uint64_t	seed;
	int64_t		began_ms;
	pid_t		parent;
	volatile bool stop;
	Figures		figures[CLIENTS];
	char		fault[CLIENTS][600];	/* the first one of each client */
	uint64_t	draws[CLIENTS];
	int			ndeeds[CLIENTS];
	Deed		deeds[CLIENTS][MANY_DEEDS];
} Shared;

extern void run_client(void *shared, int number);

#endif							/* UT_RESERVE_H */
