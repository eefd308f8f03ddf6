/*
 * tallies.h -- how often was this row used?
 */
#ifndef UT_TALLIES_H
#define UT_TALLIES_H

#include "postgres.h"

#include "commands/trigger.h"
#include "query.h"
#include "storage/lockdefs.h"

/*
 * A column of one table (the target) says for each of its rows how many rows of
 * another (the source) name it.  These are the names in the arguments of our
 * triggers on the source; what is optional is NULL if it is not there.
 */
typedef struct Tally
{
	Oid			source;
	Oid			target;			/* InvalidOid: its name is nobody's any more */
	const char *schema;			/* of the target */
	const char *table;
	const char *key;
	const char *count_column;
	const char *source_key;
	const char *last_used;
	const char *used_at;
	const char *user;
	bool		of_partition;	/* the trigger is on a partition of the source */
} Tally;

/* tallies_table.c */
extern bool read_tally(const Trigger *trigger, Oid relation, Tally *tally);
extern bool begins_tally(const Trigger *trigger);
extern bool tally_is_whole(Relation relation, const Trigger *trigger);
extern Oid	tally_function(const Installation *home);
extern List *relations_with_tallies(const Installation *home);
extern bool find_tally(const Installation *home, Oid target, const char *count_column, Tally *tally);
extern Tally required_tally(const Installation *home, FunctionCallInfo fcinfo);
extern Oid	check_tally(const Tally *tally);
extern Oid	table_owner(Oid relation);

/* tallies_check.c */
extern void check_tables(const Tally *tally);
extern void check_attachable(const Tally *tally);
extern void check_owns(Oid relation);

/* tallies_sync.c */
extern int64 sync_tally(const Tally *tally);

#endif							/* UT_TALLIES_H */
