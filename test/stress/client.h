/*
 * client.h -- a client, and one use of something.
 */
#ifndef UT_STRESS_CLIENT_H
#define UT_STRESS_CLIENT_H

#include "stress.h"

#define MANY_STEPS 70			/* more subtransactions than PostgreSQL caches */

typedef enum Way
{
	CONSUME,
	REQUIRE,
	IN_BLOCK,
	IN_BLOCK_UNDONE,
	TRACK
} Way;

/* One use: what is asked for, and how. */
typedef struct Step
{
	Way			way;
	int			user;
	const char *usage_type;
	int			quantity;
	int			tokens;
	bool		has_key;
	bool		is_hurried;		/* under a statement_timeout of few ms */
	int			hours_ago;		/* of a fact */
	char		request[32];	/* the key as well, where there is one */
} Step;

typedef enum Outcome
{
	DONE,
	REFUSED,					/* an error; the connection lives */
	GONE						/* the connection did not; there is a new one */
} Outcome;

typedef struct Answer
{
	bool		allowed;
	bool		replayed;
	char		id[24];
} Answer;

/* A use that this client knows, or suspects, to be recorded. */
typedef struct Entry
{
	Step		step;
	bool		is_recorded;	/* else unknown */
} Entry;

typedef struct Client
{
	Shared	   *shared;
	Figures    *did;
	int			number;
	uint64_t	draws;
	long		requests;
	int64_t		last_rush;		/* in which second */
	PGconn	   *conn;
	const char *expected;		/* SQLSTATEs that may come now */
	char		state[6];		/* SQLSTATE of the last error */

	Step		taken[MANY_STEPS];	/* in this transaction and not undone */
	int			ntaken;
	int			savepoints[MANY_STEPS]; /* ntaken at each open savepoint */
	bool		has_released[MANY_STEPS];	/* within it, a subtransaction that used something */
	int			depth;
	bool		has_undone_more;	/* such a savepoint was rolled back */

	Entry	   *log;
	size_t		nlog;

	bool		has_keyed;
	Step		keyed;			/* the last use that was recorded with a key, */
	char		keyed_id[24];	/* and its event */
} Client;

extern unsigned draw(Client *me, unsigned below);
extern bool chance(Client *me, unsigned per_mille);
extern int64_t elapsed_ms(const Client *me);
extern void name_request(Client *me, Step *step);
extern int	choose_user(Client *me);
extern Step choose_step(Client *me);
extern int	choose_steps(Client *me, Step *steps);
extern int	choose_many_steps(Client *me, Step *steps);

extern void fault(Client *me, const char *format,...) __attribute__((format(printf, 2, 3)));

extern void connect_again(Client *me);
extern void cut(Client *me);
extern Outcome tell(Client *me, const char *sql);
extern void send_step(Client *me, const Step *step);
extern Outcome read_answer(Client *me, const Step *step, Answer *answer);

#endif							/* UT_STRESS_CLIENT_H */
