/*
 * race.h -- the sides of a race, and what its clients need to run them.
 */
#ifndef RACE_H
#define RACE_H

#include <libpq-fe.h>
#include <stdbool.h>

#define MAX_STEPS 8

typedef enum StepKind
{
	STATEMENT,					/* prepared */
	COPY_IN,					/* COPY ... FROM STDIN of the side's input */
	REDIS_SCRIPT				/* by its hash, with the key rate:USER */
} StepKind;

typedef struct Step
{
	StepKind	kind;
	char	   *text;
	char		name[20];		/* of the prepared statement */
	bool		has_parameter;
	char		sha[41];		/* of a script */
} Step;

typedef struct Side
{
	const char *name;
	int			calls;			/* for one execution */
	char	   *input;			/* the query for $1, NULL: a user id */
	char	   *database;		/* NULL: the race's */
	Step		steps[MAX_STEPS];
	int			nsteps;
} Side;

typedef struct Redis Redis;

/* One client's way to run one side. */
typedef struct Link
{
	Side	   *side;
	PGconn	   *conn;			/* shared by the sides of one database */
	Redis	   *redis;			/* NULL: the side needs none */
	PGresult   *input;
	int			next_input;
} Link;

extern void die(const char *what, const char *why);

extern void read_side(Side *side, char *path);
extern PGconn *connect_to_server(const char *database);
extern void prepare_side(Link *link);
extern void run_side(Link *link, const char *user_id);

extern Redis *redis_connect(const char *path);
extern void redis_load(Redis *redis, const char *script, char *sha);
extern void redis_run(Redis *redis, const char *sha, const char *key);
extern void redis_close(Redis *redis);

#endif
