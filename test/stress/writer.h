/*
 * writer.h -- what the parts of the writer share.
 */
#ifndef UT_WRITER_H
#define UT_WRITER_H

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#define WRITERS 8

/* As in writer.sql.  Each "go" has cold users of its own. */
#define HOT_USER 0
#define FIRST_FACT_USER 1
#define FACT_USERS 20
#define FIRST_COLD_USER 1000
#define COLD_USERS 40
#define ALL_COLD_USERS 9000

#define USER_ID_FORMAT "00000000-0000-4000-8000-%012d"

typedef struct Figures
{
	atomic_long recorded;
	atomic_long unknown;
	atomic_long resolved;		/* unknown, and found out by the same key */
	atomic_long denied;
	atomic_long undone;
	atomic_long cancelled;
	atomic_long lost;			/* connections, by somebody else */
	atomic_long cut;			/* by ourselves */
	atomic_long jobs;
} Figures;

/* In memory shared by all processes. */
typedef struct Shared
{
	atomic_bool paused;
	atomic_bool ended;
	atomic_int	round;			/* how many "go" there were */
	atomic_bool idle[WRITERS];
	atomic_bool connected[WRITERS]; /* as it was when last idle */
	Figures		did;
	char		fault[WRITERS][300];	/* the first one of each */
} Shared;

/* How a thing is used: the call, which returns allowed, reason and id. */
typedef enum Way
{
	CONSUME,
	TRACK,
	WAYS
} Way;

typedef struct Use
{
	Way			way;
	int			user;
	const char *usage_type;
	int			quantity;
	int			tokens;
	bool		has_key;
	char		request[32];	/* the key as well, where there is one */
	char		event[24];		/* what the server called it */
} Use;

typedef enum Outcome
{
	DONE,
	REFUSED,					/* an error; the connection lives */
	GONE						/* the connection does not */
} Outcome;

typedef struct Client
{
	Shared	   *shared;
	int			number;
	unsigned short random[3];
	FILE	   *log;
	PGconn	   *conn;			/* NULL if there is none */
	long		requests;
	long		transactions;
	bool		has_unknown;
	Use			unknown;		/* of the last connection, with a key */
	long		unknown_transaction;
} Client;

extern unsigned draw(Client *me, unsigned below);
extern bool chance(Client *me, unsigned per_mille);
extern void fault(Client *me, const char *format,...) __attribute__((format(printf, 2, 3)));

extern void disconnect(Client *me);
extern bool is_connected(Client *me);
extern void cut(Client *me);
extern Outcome tell(Client *me, const char *sql);
extern void insist(Client *me, const char *sql);

extern int	cold_user(Client *me);
extern Use use_at_random(Client *me);
extern void send_use(Client *me, const Use *use);
extern Outcome read_answer(Client *me, Use *use, bool *allowed);
extern void note(Client *me, const Use *use, long transaction, const char *fate);

extern void run_client(Shared *shared, int number, const char *directory, long seed, pid_t parent);

#endif							/* UT_WRITER_H */
