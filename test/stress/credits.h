/*
 * credits.h -- what the parts of the test "credits" share.
 */
#ifndef UT_CREDITS_TEST_H
#define UT_CREDITS_TEST_H

#include "link.h"

#define CLIENTS 32

/* As in credits.sql. */
#define PURSE 0					/* spent to exactly nothing by all */
#define WALLET 1				/* granted to, spent from and refunded */

/* What happened, so that a run in which nothing happened is no success. */
typedef enum Figure
{
	SPENT,						/* by spend_credits, in a transaction that was committed */
	CONSUMED,					/* by consume_usage, or reserved and committed */
	REFUSED_EMPTY,				/* not even a tenth was left */
	ROLLED_BACK,
	UNDONE,						/* a savepoint */
	CUT,						/* within a transaction */
	REPEATED,					/* an answer that was lost, and the first one told again */
	GRANTED,
	REFUNDED,
	REFUSED_REFUND,				/* there was nothing left of it */
	TAKEN_BACK,
	TOO_LATE,					/* 40001; this and the next are up to the machine */
	DEADLOCKED,
	FIGURES
} Figure;

typedef struct Figures
{
	long		of[FIGURES];
} Figures;

typedef struct Shared
{
	uint64_t	seed;
	int64_t		began_ms;
	volatile bool stop;
	Figures		figures[CLIENTS];
	char		fault[CLIENTS][600];	/* the first one of each client */
	uint64_t	draws[CLIENTS];
} Shared;

extern void run_client(void *shared, int number);

#endif							/* UT_CREDITS_TEST_H */
