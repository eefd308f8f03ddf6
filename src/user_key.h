/*
 * user_key.h -- a user id of a fixed size, for shared memory.
 */
#ifndef UT_USER_KEY_H
#define UT_USER_KEY_H

#include "postgres.h"

#include "installation.h"

#define USER_KEY_LENGTH 47

/* A user id as it is, or, if it is a long text, a digest of it. */
typedef struct UserKey
{
	Oid			database;
	Oid			usage_events;	/* the installation, also after it was made anew */
	uint8		length;
	char		bytes[USER_KEY_LENGTH];
} UserKey;

extern UserKey key_of_user(const Installation *home, Datum user_id);

#endif							/* UT_USER_KEY_H */
