/*
 * counters_memory.c -- counters in shared memory: the table of them, and its locks.
 *
 * What it is for and how it stays exact is told in counters_inflight.c.  Here are
 * plain structures of a fixed size: partitions of users, in each a hash table of
 * counters and a pool of takings, which are what transactions under way take.
 *
 * Locking: one lock a partition, held for a look or a change and never while
 * anything is allocated, read from a table, or waited for.  Under it only
 * PostgreSQL's own locks of transaction status are taken (settle_prepared).
 *
 * A counter leaves when room is needed, if nobody has taken of it; then
 * "departures" grows, so that who read a table meanwhile, to bring it back, notices.
 */
#include "compat.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "common/hashfn.h"
#include "counters_memory.h"
#include "faults.h"
#include "memory.h"
#include "miscadmin.h"
#include "settings.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#define MAX_PARTITIONS 64
#define COUNTERS_A_PARTITION 32 /* at least, if there are several */

typedef struct CounterMemory
{
	int			npartitions;
	int			slots;			/* in each */
	Size		counters;		/* where they begin, and so on */
	Size		takings;
	Size		buckets;
	Partition	partitions[FLEXIBLE_ARRAY_MEMBER];
} CounterMemory;

static Size size_of_memory(int slots);
static void make_memory(void *address, int slots, int tranche);
static void tell_memory(void *address, AreaState *state);

static SharedArea area = {"usage_tracking counters", &setting_counter_slots, size_of_memory, make_memory, tell_memory};
static CounterMemory *memory = NULL;
static Counter *counters_here;
static Taking *takings_here;
static int *buckets_here;

/* ---- making it ---- */

static int
partitions_for(int slots)
{
	return Max(1, Min(MAX_PARTITIONS, slots / COUNTERS_A_PARTITION));
}

/* The same number of counters, of takings, and of buckets in each partition. */
static Size
lay_out(CounterMemory *layout, int slots)
{
	Size		size;

	layout->npartitions = partitions_for(slots);
	layout->slots = slots / layout->npartitions;
	size = MAXALIGN(offsetof(CounterMemory, partitions) + layout->npartitions * sizeof(Partition));
	slots = layout->npartitions * layout->slots;
	layout->counters = size;
	size = add_size(size, MAXALIGN(mul_size(slots, sizeof(Counter))));
	layout->takings = size;
	size = add_size(size, MAXALIGN(mul_size(slots + layout->npartitions * RESERVED_TAKINGS, sizeof(Taking))));
	layout->buckets = size;
	return add_size(size, MAXALIGN(mul_size(slots, sizeof(int))));
}

static Size
size_of_memory(int slots)
{
	CounterMemory layout;

	return lay_out(&layout, slots);
}

static void
find_parts(CounterMemory *at)
{
	memory = at;
	counters_here = (Counter *) ((char *) at + at->counters);
	takings_here = (Taking *) ((char *) at + at->takings);
	buckets_here = (int *) ((char *) at + at->buckets);
}

static void
make_partition(Partition *partition, int number, int slots, int tranche)
{
	int			first = number * slots;

	LWLockInitialize(&partition->lock, tranche);
	partition->ncounters = partition->nbuckets = slots;
	partition->ntakings = partition->nfree_takings = slots + RESERVED_TAKINGS;
	partition->first_counter = partition->first_bucket = first;
	partition->first_taking = number * partition->ntakings;
	partition->hand = first;
	partition->free_counter = partition->free_taking = partition->bypassing = NONE;
	for (int i = first + slots - 1; i >= first; i--)
	{
		counters_here[i].next = partition->free_counter;
		partition->free_counter = i;
		buckets_here[i] = NONE;
	}
	for (int i = partition->first_taking + partition->ntakings - 1; i >= partition->first_taking; i--)
	{
		takings_here[i].next = partition->free_taking;
		partition->free_taking = i;
	}
}

static void
make_memory(void *address, int slots, int tranche)
{
	CounterMemory *made = address;

	memset(address, 0, size_of_memory(slots));
	(void) lay_out(made, slots);
	find_parts(made);
	for (int i = 0; i < made->npartitions; i++)
		make_partition(&made->partitions[i], i, made->slots, tranche);
}

/* "Forced" are transactions that found no place for a counter, and counted by its row. */
static void
tell_memory(void *address, AreaState *state)
{
	CounterMemory *at = address;

	state->slots = (int64) at->npartitions * at->slots;
	for (int i = 0; i < at->npartitions; i++)
	{
		Partition  *partition = &at->partitions[i];

		LWLockAcquire(&partition->lock, LW_SHARED);
		state->in_use += partition->nused;
		state->evicted += partition->evictions;
		state->forced += partition->bypasses;
		LWLockRelease(&partition->lock);
	}
}

void
counters_memory_init(void)
{
	memory_register(&area);
}

/* Whether uses are counted there; the same for all sessions of the server. */
bool
has_counter_memory(void)
{
	CounterMemory *at;

	if (RecoveryInProgress())
		return false;
	if (memory == NULL && (at = shared_memory(&area)) != NULL)
		find_parts(at);
	return memory != NULL;
}

int
number_of_partitions(void)
{
	return memory->npartitions;
}

Partition *
partition_number(int number)
{
	return &memory->partitions[number];
}

/* ---- whose counters ---- */

Place
place_of_key(const UserKey *user)
{
	Place		place = {*user};
	uint32		hash = hash_bytes((const unsigned char *) user, sizeof(UserKey));

	place.partition = &memory->partitions[hash % memory->npartitions];
	place.bucket = place.partition->first_bucket + (hash / memory->npartitions) % place.partition->nbuckets;
	return place;
}

Place
place_of_user(const Installation *home, Datum user_id)
{
	UserKey		user = key_of_user(home, user_id);

	return place_of_key(&user);
}

/* ---- counters ---- */

Counter *
counter_number(int number)
{
	return &counters_here[number];
}

Taking *
taking_number(int number)
{
	return &takings_here[number];
}

int
number_of_taking(const Taking *taking)
{
	return taking - takings_here;
}

int
number_of_counter(const Counter *counter)
{
	return counter - counters_here;
}

/* The next one of the user, or the first one; NULL: there is none. */
Counter *
next_counter_of_user(const Place *place, const Counter *after)
{
	int			number = after == NULL ? buckets_here[place->bucket] : after->next;

	while (number != NONE && memcmp(&counters_here[number].user, &place->user, sizeof(UserKey)) != 0)
		number = counters_here[number].next;
	return number == NONE ? NULL : &counters_here[number];
}

Counter *
counter_in_memory(const Place *place, int64 limit_id, Window window)
{
	Counter    *counter = NULL;

	while ((counter = next_counter_of_user(place, counter)) != NULL)
		if (counter->limit_id == limit_id && !counter->is_stale &&
			counter->window.start == window.start && counter->window.end == window.end)
			return counter;
	return NULL;
}

static int64 *
departures_of_bucket(Partition *partition, int bucket)
{
	return &partition->departures[bucket % DEPARTURES];
}

/* While it stays the same, no counter of the user leaves. */
int64
departures_from(const Place *place)
{
	return *departures_of_bucket(place->partition, place->bucket);
}

/* One that nobody has taken of. */
void
remove_counter(Partition *partition, Counter *counter)
{
	Place		place = place_of_key(&counter->user);
	int		   *link = &buckets_here[place.bucket];
	int			number = number_of_counter(counter);

	Assert(counter->ntakings == 0);
	while (*link != number)
		link = &counters_here[*link].next;
	*link = counter->next;
	counter->limit_id = 0;
	counter->next = partition->free_counter;
	partition->free_counter = number;
	partition->nused--;
	*departures_of_bucket(partition, place.bucket) += 1;
}

/* A second chance for what was used since the hand came by last. */
static void
make_room(Partition *partition)
{
	for (int i = 0; i < 2 * partition->ncounters && partition->free_counter == NONE; i++)
	{
		Counter    *counter = &counters_here[partition->hand];

		if (++partition->hand == partition->first_counter + partition->ncounters)
			partition->hand = partition->first_counter;
		settle_prepared(partition, counter);
		if (counter->ntakings > 0 || counter->limit_id == 0)
			continue;
		if (counter->was_used)
		{
			counter->was_used = false;
			continue;
		}
		remove_counter(partition, counter);
		partition->evictions++;
		stall("evicted");
	}
}

/* NULL: transactions have taken of all there is room for. */
Counter *
add_counter(const Place *place, int64 limit_id, Window window)
{
	Partition  *partition = place->partition;
	Counter    *counter;

	if (partition->free_counter == NONE)
		make_room(partition);
	if (partition->free_counter == NONE)
		return NULL;
	counter = &counters_here[partition->free_counter];
	partition->free_counter = counter->next;
	partition->nused++;
	memset(counter, 0, sizeof(*counter));
	counter->user = place->user;
	counter->limit_id = limit_id;
	counter->window = window;
	counter->holds = ++partition->changes_of_holds;
	counter->takings = counter->exclusive = counter->folding = NONE;
	counter->next = buckets_here[place->bucket];
	buckets_here[place->bucket] = number_of_counter(counter);
	return counter;
}
