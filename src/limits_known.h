/*
 * limits_known.h -- terms of users that this session has read before.
 */
#ifndef UT_LIMITS_KNOWN_H
#define UT_LIMITS_KNOWN_H

#include "postgres.h"

#include "known.h"
#include "limits.h"

extern void known_terms_init(void);
extern bool find_known_terms(Datum user_id, TimestampTz now, Seen *seen, UserTerms *terms);
extern void keep_known_terms(const Seen *seen, const UserTerms *terms);

#endif							/* UT_LIMITS_KNOWN_H */
