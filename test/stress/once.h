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

/* ---- one client ---- */

#define MOST_IN_BATCH 40

/* Attempts that are sent alike. */
typedef struct Queue
{
	int		   *attempts;
	int			n;
	bool		is_tracked;
	bool		is_killed;
} Queue;

typedef struct Client
{
	Shared	   *shared;
	int			number;
	uint64_t	draws;
	Link		link;
	Link		killer;			/* to cancel and terminate by */
	Queue		queues[4];
	int		   *answered;		/* things that are certainly recorded */
	int			nanswered;
	int			rounds;
} Client;

/* What is sent at once: one thing, or several. */
typedef struct Parcel
{
	int			attempts[MOST_IN_BATCH];
	int			n;
	bool		is_batch;
	char	   *json;			/* of a batch */
	char		errors[600];	/* that the batch must answer with */
} Parcel;

/* once_call.c */
extern unsigned draw(Client *me, unsigned below);
extern bool chance(Client *me, unsigned per_mille);
extern void count(Client *me, Figure figure, int n);
extern void fault(Client *me, const char *format,...) __attribute__((format(printf, 2, 3)));
extern void complain(Client *me, const char *what);
extern bool say(Client *me, const char *sql);
extern void send_thing(Client *me, const Thing *thing);
extern void write_batch(Client *me, Parcel *parcel, bool with_others);
extern void send_parcel(Client *me, const Parcel *parcel);
extern void note_parcel(Client *me, const Parcel *parcel, PGresult *result);

/* once_keys.c */
extern void repeat_key(Client *me);
extern void decide_anew(Client *me);

#endif							/* UT_ONCE_H */
