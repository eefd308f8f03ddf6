/*
 * limits_known.h -- terms of users that this session has read before.
 */
#ifndef UT_LIMITS_KNOWN_H
#define UT_LIMITS_KNOWN_H

#include "postgres.h"

#include "limits.h"
#include "user_key.h"

/* What was known of changes before the tables were read. */
typedef struct Seen
{
	bool		may_keep;
	UserKey		user;
	uint64		news;			/* of the tables */
	uint64		mark;
	uint64		mark_of_all;
} Seen;

extern void known_terms_init(void);
extern bool find_known_terms(Datum user_id, TimestampTz now, Seen *seen, UserTerms *terms);
extern void keep_known_terms(const Seen *seen, const UserTerms *terms);

#endif							/* UT_LIMITS_KNOWN_H */
