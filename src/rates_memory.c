/*
 * rates_memory.c -- what was taken of rates, in memory that all sessions share.
 *
 * Outside transactions: what was taken stays taken when they are rolled back, and
 * nothing is written to disk.  So requests in READ ONLY transactions and on a
 * standby are counted as well; each server counts for itself.
 *
 * The area is divided into partitions, each with a lock, a number of slots, and as
 * many chains of slots.  A slot is a cell (rates_cell.h) and the hash of whose it is:
 * database, extension, rate, user and key.  The hash is keyed with a secret of the
 * area and so long that it stands for these (rates_hash.c).
 *
 *   free      slots[used] and above: no chain leads there
 *   in use    in the chain of its hash; its cell is after the clock
 *   at rest   in its chain; its cell is not after the clock, which is the same as
 *             having no slot
 *
 * A slot leaves "free" once.  "In use" and "at rest" are a matter of time alone.  When
 * no slot is free, a newcomer gets one that is at rest, which changes no answer and
 * is counted as "evicted".  If there is none, he gets the one that would be at rest
 * first, counted as "forced"; whose it was may then take what he had taken, up to a
 * burst, once more.
 *
 * Locks: one at a time, for as long as it takes to find a slot and change it.  A
 * take has it exclusively, a look shares it.  The clock is read under the lock, so
 * that cells see time in one order: an older instant would put one back.  While
 * it is held nothing is allocated and no error raised, and a session cannot be
 * cancelled or terminated.
 *
 * Hazards:
 *   abort, also of a savepoint, PREPARE   nothing to do: what is taken is taken
 *   error, cancel or terminate after it   the same; the request counts
 *   kill -9, crash, restart               all sessions begin anew with an empty area:
 *                                         everybody may take one burst more
 *   the clock is put back                 a cell is never taken to be further ahead
 *                                         than a full burst, and put back to there
 *   a rate is changed                     the same; until a session has heard of it,
 *                                         it goes by the former one
 *   two sessions with different clocks    (usage_tracking.clock is for tests) each
 *                                         goes by its own
 *   DROP EXTENSION, DROP DATABASE         slots of numbers nobody has any more come
 *                                         to rest by themselves
 */
#include "compat.h"

#include "errors.h"
#include "faults.h"
#include "memory.h"
#include "rates_memory.h"
#include "settings.h"
#include "storage/lwlock.h"

#define MAX_PARTITIONS 64
#define LEAST_SLOTS 256			/* in a partition, where there are several */

typedef struct Slot
{
	WideHash		hash;
	Cell		cell;
	int32		next;			/* in its chain, or NOWHERE */
} Slot;

#define NOWHERE (-1)

/* Its own cache lines: neighbours are locked by others. */
typedef union Partition
{
	struct
	{
		LWLock		lock;
		int32		used;		/* slots that are not free */
		int32		hand;		/* where to look next for one to evict */
		int64		evicted;
		int64		forced;
	};
	char		padding[PG_CACHE_LINE_SIZE];
} Partition;

typedef struct RatesMemory
{
	WideHash		secret;
	int32		partitions;
	int32		slots;			/* in each */
	Partition	partition[MAX_PARTITIONS];
	/* then the first slots of the chains, and the slots, partition by partition */
} RatesMemory;

/* ---- where things are ---- */

static int32 *
chains_of(RatesMemory *memory, int32 partition)
{
	int32	   *chains = (int32 *) ((char *) memory + MAXALIGN(sizeof(RatesMemory)));

	return chains + (Size) partition * memory->slots;
}

static Slot *
slots_of(RatesMemory *memory, int32 partition)
{
	Size		chains = MAXALIGN((Size) memory->partitions * memory->slots * sizeof(int32));
	Slot	   *slots = (Slot *) ((char *) chains_of(memory, 0) + chains);

	return slots + (Size) partition * memory->slots;
}

/* ---- the area ---- */

static int32
partitions_for(int slots)
{
	return Max(1, Min(MAX_PARTITIONS, slots / LEAST_SLOTS));
}

/* As many as are asked for, or a few more: all partitions have the same number. */
static int32
slots_in_each(int slots)
{
	return (slots + partitions_for(slots) - 1) / partitions_for(slots);
}

static Size
rates_size(int slots)
{
	Size		all = (Size) partitions_for(slots) * slots_in_each(slots);

	return MAXALIGN(sizeof(RatesMemory)) + MAXALIGN(all * sizeof(int32)) + all * sizeof(Slot);
}

static void
rates_make(void *area, int slots, int tranche)
{
	RatesMemory *memory = area;

	if (!pg_strong_random(&memory->secret, sizeof(WideHash)))
		elog(ERROR, "could not generate a random secret");
	memory->partitions = partitions_for(slots);
	memory->slots = slots_in_each(slots);
	for (int32 p = 0; p < memory->partitions; p++)
	{
		Partition  *partition = &memory->partition[p];
		int32	   *chains = chains_of(memory, p);

		LWLockInitialize(&partition->lock, tranche);
		partition->used = partition->hand = 0;
		partition->evicted = partition->forced = 0;
		for (int32 chain = 0; chain < memory->slots; chain++)
			chains[chain] = NOWHERE;
	}
}

static void
count_in_use(RatesMemory *memory, int32 p, AreaState *state)
{
	Partition  *partition = &memory->partition[p];
	Slot	   *slots = slots_of(memory, p);
	TimestampTz now;

	LWLockAcquire(&partition->lock, LW_SHARED);
	now = usage_now();
	for (int32 slot = 0; slot < partition->used; slot++)
		state->in_use += !cell_is_at_rest(&slots[slot].cell, now);
	state->evicted += partition->evicted;
	state->forced += partition->forced;
	LWLockRelease(&partition->lock);
}

static void
rates_tell(void *area, AreaState *state)
{
	RatesMemory *memory = area;

	state->slots = (int64) memory->partitions * memory->slots;
	for (int32 p = 0; p < memory->partitions; p++)
		count_in_use(memory, p, state);
}

static SharedArea rates_area = {"usage_tracking rates", &setting_rate_slots, rates_size, rates_make, rates_tell};

void
rates_init(void)
{
	memory_register(&rates_area);
}

/* ---- slots, under the lock of their partition ---- */

/* One subject's place. */
typedef struct Place
{
	WideHash		hash;
	Partition  *partition;
	int32	   *chains;
	Slot	   *slots;
	int32		n;				/* of either */
} Place;

static int32 *
chain_of(const Place *place, const WideHash *hash)
{
	return &place->chains[hash->high % place->n];
}

static Slot *
find_slot(const Place *place)
{
	int32		slot = *chain_of(place, &place->hash);

	while (slot != NOWHERE &&
		   (place->slots[slot].hash.low != place->hash.low || place->slots[slot].hash.high != place->hash.high))
		slot = place->slots[slot].next;
	return slot == NOWHERE ? NULL : &place->slots[slot];
}

static void
leave_chain(const Place *place, int32 slot)
{
	int32	   *link = chain_of(place, &place->slots[slot].hash);

	while (*link != slot)
		link = &place->slots[*link].next;
	*link = place->slots[slot].next;
}

static bool
rests_earlier(const Cell *a, const Cell *b)
{
	return a->until < b->until;
}

/* The first at rest from where the last search ended, else the next to be so. */
static int32
choose_victim(const Place *place, TimestampTz now)
{
	Partition  *partition = place->partition;
	int32		nearest = partition->hand;

	for (int32 i = 0; i < place->n; i++)
	{
		int32		slot = partition->hand;

		partition->hand = (slot + 1) % place->n;
		if (cell_is_at_rest(&place->slots[slot].cell, now))
		{
			partition->evicted++;
			return slot;
		}
		if (rests_earlier(&place->slots[slot].cell, &place->slots[nearest].cell))
			nearest = slot;
	}
	partition->forced++;
	return nearest;
}

static void
add_slot(const Place *place, const Cell *cell, TimestampTz now)
{
	int32	   *chain = chain_of(place, &place->hash);
	int32		slot;

	if (place->partition->used < place->n)
		slot = place->partition->used++;
	else
	{
		leave_chain(place, slot = choose_victim(place, now));
		stall("rate leaves");
	}
	place->slots[slot].hash = place->hash;
	place->slots[slot].cell = *cell;
	place->slots[slot].next = *chain;
	*chain = slot;
}

static Place
place_of(RatesMemory *memory, const void *subject, Size length)
{
	Place		place = {sip_hash(&memory->secret, subject, length)};
	int32		p = place.hash.low % memory->partitions;

	place.partition = &memory->partition[p];
	place.chains = chains_of(memory, p);
	place.slots = slots_of(memory, p);
	place.n = memory->slots;
	return place;
}

/* ---- for callers ---- */

static RatesMemory *
rates_memory(void)
{
	RatesMemory *memory = shared_memory(&rates_area);

	if (memory == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is no shared memory for rate limits"),
				 memory_is_possible()
				 ? errhint("Set usage_tracking.rate_slots to more than zero and restart the server.")
				 : errhint("Add usage_tracking to shared_preload_libraries and restart the server.")));
	return memory;
}

/* Takes what fits, or nothing. */
Room
take_of_rate(const void *subject, Size length, const Pace *pace, int64 requests)
{
	Place		place = place_of(rates_memory(), subject, length);
	TimestampTz now;
	Cell		unused;
	Slot	   *slot;
	Room		room;

	LWLockAcquire(&place.partition->lock, LW_EXCLUSIVE);
	now = usage_now();
	slot = find_slot(&place);
	unused.until = now;
	unused.part = 0;
	room = cell_take(slot != NULL ? &slot->cell : &unused, pace, requests, now);
	if (slot == NULL && !cell_is_at_rest(&unused, now))
		add_slot(&place, &unused, now);
	stall("rate takes");
	LWLockRelease(&place.partition->lock);
	fault("rate taken");
	return room;
}

/* As take_of_rate() would answer; "left" and "full_at" as things are. */
Room
look_at_rate(const void *subject, Size length, const Pace *pace, int64 requests)
{
	Place		place = place_of(rates_memory(), subject, length);
	TimestampTz now;
	Slot	   *slot;
	Cell		cell = {0};
	Cell		as_is;
	Room		room;
	Room		present;

	LWLockAcquire(&place.partition->lock, LW_SHARED);
	now = usage_now();
	slot = find_slot(&place);
	if (slot != NULL)
		cell = slot->cell;
	else
		cell.until = now;
	LWLockRelease(&place.partition->lock);
	as_is = cell;
	present = cell_take(&as_is, pace, 0, now);
	room = cell_take(&cell, pace, requests, now);
	room.left = present.left;
	room.full_at = present.full_at;
	return room;
}
