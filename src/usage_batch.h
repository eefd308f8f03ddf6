/*
 * usage_batch.h -- many facts on their way together.
 */
#ifndef UT_USAGE_BATCH_H
#define UT_USAGE_BATCH_H

#include "postgres.h"

#include "usage.h"
#include "utils/jsonb.h"

typedef struct BatchError
{
	int			index;			/* of the element, from 0 */
	int			sqlstate;
	char	   *message;
} BatchError;

typedef enum ItemFate
{
	ITEM_OPEN,					/* is recorded in the end */
	ITEM_REPLAYED,
	ITEM_REFUSED				/* with an error */
} ItemFate;

/* One element on its way. */
typedef struct BatchItem
{
	int			index;
	Event		event;
	ItemFate	fate;
} BatchItem;

typedef struct Batch
{
	BatchItem  *items;
	int			n;
	BatchError *errors;
	int			nerrors;
	int			nelements;
} Batch;

extern Batch parse_batch(const Installation *home, Jsonb *elements);
extern bool is_about_the_element(int sqlstate);
extern void note_error(Batch *batch, int index, int sqlstate, char *message);

/* usage_batch.c */
extern int	run_length(const Installation *home, BatchItem *items, int n);
extern Event **open_events(Batch *batch, bool keyed_only, BatchItem ***items, int *n);

/* usage_batch_count.c */
extern void count_users(const Installation *home, Batch *batch);

#endif							/* UT_USAGE_BATCH_H */
