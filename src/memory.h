/*
 * memory.h -- memory that all sessions of the server share.
 */
#ifndef UT_MEMORY_H
#define UT_MEMORY_H

#include "postgres.h"

/*
 * One part of it.  The first to come makes it ready; what it is made of, also how
 * large it is, then stays until the server ends.
 */
typedef struct SharedArea
{
	const char *name;			/* of its locks as well */
	Size		(*size) (void); /* by settings; 0: there is to be none */
	void		(*make) (void *memory, Size size, int tranche);
	void	   *memory;
	int			number;			/* among the areas */
} SharedArea;

extern void memory_init(void);
extern void memory_register(SharedArea *area);
extern void *shared_memory(SharedArea *area);
extern bool memory_is_possible(void);

#endif							/* UT_MEMORY_H */
