/*
 * once.h -- what the parts of the test "once" share.
 */
#ifndef UT_ONCE_H
#define UT_ONCE_H

#include "link.h"

#define CLIENTS 32
#define ATTEMPTS 3				/* of each event */

/* As in once.sql. */
#define USERS 200
#define FIRST_POOR_USER 1000
#define USER_WITHOUT_ROOM 2000

/* What happened, so that a run in which nothing happened is no success. */
typedef enum Figure
{
	CALLED,						/* attempts let live, one by one */
	IN_BATCHES,					/* attempts let live, in batches */
	BATCHES,
	ROLLED_BACK,				/* attempts that were not, by how they ended */
	CUT,
	TERMINATED,
	CANCELLED,
	CUT_AT_COMMIT,
	SURVIVED,					/* of these, answered all the same */
	REPLAYED,
	REFUSED_AS_OTHER,
	DECIDED_ANEW,
	FIGURES
} Figure;

typedef struct Figures
{
	long		of[FIGURES];
} Figures;

/* One of the events that are to be recorded once. */
typedef struct Thing
{
	bool		is_tracked;		/* else consumed */
	int			user;
	const char *usage_type;
	int			quantity;
	int			tokens;
	bool		has_time;
	int64_t		time;			/* seconds since 1970 */
	char		request[24];	/* the key as well */
} Thing;

/* To an attempt that was a call of its own. */
typedef struct Answer
{
	bool		is_there;
	bool		is_replayed;
	int64_t		id;
	int64_t		used;			/* when consumed; else 0 */
} Answer;

/* In memory shared by all processes. */
typedef struct Shared
{
	uint64_t	seed;
	int64_t		base_time;
	pid_t		parent;
	int			nthings;
	Figures		figures[CLIENTS];
	char		fault[CLIENTS][600];	/* the first one of each client */
	Answer		answers[];		/* ATTEMPTS for each thing */
} Shared;

extern Thing thing_number(const Shared *shared, int i);
extern int	attempt_number(const Shared *shared, int i);
extern bool is_to_be_killed(const Shared *shared, int attempt);
extern void run_client(void *shared, int number);

#endif							/* UT_ONCE_H */
