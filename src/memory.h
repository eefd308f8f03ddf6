/*
 * memory.h -- memory that all sessions of the server share.
 */
#ifndef UT_MEMORY_H
#define UT_MEMORY_H

#include "postgres.h"

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
	void	   *memory;
	int			number;			/* among the areas */
} SharedArea;

extern void memory_init(void);
extern void memory_register(SharedArea *area);
extern void *shared_memory(SharedArea *area);
extern bool memory_is_possible(void);

#endif							/* UT_MEMORY_H */
