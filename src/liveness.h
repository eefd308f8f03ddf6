/*
 * liveness.h -- whether a session is still there.
 */
#ifndef UT_LIVENESS_H
#define UT_LIVENESS_H

#include "postgres.h"

/* Names one session of one life of one server; both zero: none. */
typedef struct SessionMark
{
	int64		segment;
	int64		token;
} SessionMark;

extern SessionMark mark_of_this_session(void);
extern bool session_lives(SessionMark mark);

#endif							/* UT_LIVENESS_H */
