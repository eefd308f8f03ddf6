/*
 * memory.h -- memory that all sessions of the server share.
 */
#ifndef UT_MEMORY_H
#define UT_MEMORY_H

#include "postgres.h"

/* What somebody who looks at it is told. */
typedef struct AreaState
{
	const char *name;
	Size		bytes;
	int64		slots;			/* places for entries */
	int64		in_use;			/* by entries that still say something */
	int64		evicted;		/* entries that said nothing any more, for others */
	int64		forced;			/* entries that did */
} AreaState;

/*
 * One part of it, with room for so many of something.  How many is decided by who
 * comes first, and stays until the server ends.
 */
typedef struct SharedArea
{
	const char *name;			/* of its locks as well */
	int		   *slots;			/* the setting; 0: there is to be none */
	Size		(*size) (int slots);
	void		(*make) (void *memory, int slots, int tranche);
	void		(*tell) (void *memory, AreaState *state);	/* NULL: it has no more to tell */
	void	   *memory;
	int			number;			/* among the areas */
} SharedArea;

extern void memory_init(void);
extern void memory_register(SharedArea *area);
extern void *shared_memory(SharedArea *area);
extern bool memory_is_possible(void);
extern int	memory_areas(void);
extern bool memory_tell(int area, AreaState *state);

#endif							/* UT_MEMORY_H */
