/*
 * known.h -- what this session has read of users before.
 */
#ifndef UT_KNOWN_H
#define UT_KNOWN_H

#include "postgres.h"

#include "commands/trigger.h"
#include "user_key.h"

/* What was known of changes before the tables were read. */
typedef struct Seen
{
	bool		may_keep;
	UserKey		user;
	uint32		hash;
	uint64		news;			/* of the tables */
	uint64		mark;
} Seen;

/* How everything begins that is kept. */
typedef struct Known
{
	Seen		seen;
	TimestampTz now;			/* it was read for; time may be put back, */
	TimestampTz until;			/* or go on until something else is in force */
} Known;

typedef struct KnownPlace
{
	uint32		hash;
	Known	   *known;
} KnownPlace;

enum
{
	KNOWN_TERMS,
	KNOWN_HOLDS,
	KNOWN_KINDS
};

typedef struct KnownKind
{
	int			number;
	const char *tables[2];		/* it is read from */
	void		(*forget) (Known *known);
	Oid			relations[2];
	uint64		generation;		/* of the installation they are in */
	uint64		news;
	KnownPlace *places;
} KnownKind;

extern void known_init(void);
extern void known_register(KnownKind *kind);
extern Known *known_find(KnownKind *kind, Datum user_id, TimestampTz now, Seen *seen);
extern void known_keep(KnownKind *kind, const Seen *seen, Known *known);
extern Datum user_of_trigger(const TriggerData *trigger);
extern void known_changed(const KnownKind *kind, const Installation *home, const TriggerData *trigger);

#endif							/* UT_KNOWN_H */
