/*
 * counters_trial.h -- whether so much can be taken of counters in shared memory.
 */
#ifndef UT_COUNTERS_TRIAL_H
#define UT_COUNTERS_TRIAL_H

#include "postgres.h"

#include "counters.h"
#include "counters_inflight.h"
#include "counters_memory.h"

/* A stake, as it is compared under the lock, and what was found there. */
typedef struct Share
{
	Stake	   *stake;
	Amount		amount;
	Amount		room;			/* what may be used before it, for it to fit */
	bool		has_room;		/* else it is unlimited, or marks nothing */
	bool		refuses;		/* what does not fit */
	Counter    *counter;
	Amount		used;			/* by others that are committed, and by ourselves */
	Amount		low;			/* if of what is under way all came that makes it less, */
	Amount		high;			/* or more */
} Share;

typedef enum Verdict
{
	FITS,
	DOES_NOT_FIT,
	HANGS,						/* on a transaction that is under way */
	IS_NOT_HERE
} Verdict;

/* What was found out under the lock. */
typedef struct Trial
{
	Verdict		verdict;
	Share	   *share;			/* of which */
	TransactionId xid;			/* on whom it hangs */
	bool		is_late;		/* some row counts to a later instant */
	bool		is_stale;		/* reservations have changed since they were read */
} Trial;

extern bool adds_in_memory(TakingKind kind);
extern bool may_be_refused(TakingKind kind);
extern Amount used_by_us(const Counter *counter);
extern bool shows(const Taking *taking);
extern Taking *taking_of_another(const Counter *counter);
extern Share share_of(Stake *stake, TakingKind kind);
extern Trial try_shares(const Place *place, const Stakes *stakes, Share *shares, bool alone);

/* counters_shared.c */
extern bool take_here(const Place *place, Datum user_id, Stakes *stakes, TakingKind kind, bool *stale, bool *moved);
extern Change change_of(const Share *share, TakingKind kind);

#endif							/* UT_COUNTERS_TRIAL_H */
