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
#define RESERVED_TAKINGS 128	/* in each, for counters that are not here */

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

static SharedArea area = {"usage_tracking counters", &setting_counter_slots, size_of_memory, make_memory};
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

/* Longer ones than fit are represented by a digest, which no other text has. */
static void
put_text(UserKey *key, Datum user_id)
{
	text	   *id = DatumGetTextPP(user_id);
	int			length = VARSIZE_ANY_EXHDR(id);

	if (length < USER_KEY_LENGTH)
	{
		key->length = length;
		memcpy(key->bytes, VARDATA_ANY(id), length);
		return;
	}
	key->length = USER_KEY_LENGTH;
	memcpy(key->bytes, VARDATA_ANY(DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, PointerGetDatum(id)))), 32);
}

UserKey
key_of_user(const Installation *home, Datum user_id)
{
	UserKey		key;
	int16		length;
	bool		byval;

	memset(&key, 0, sizeof(key));
	key.database = MyDatabaseId;
	key.usage_events = home->usage_events;
	get_typlenbyval(home->user_id_type, &length, &byval);
	if (length < 0)
		put_text(&key, user_id);
	else
	{
		key.length = length;
		memcpy(key.bytes, byval ? (char *) &user_id : DatumGetPointer(user_id), length);
	}
	return key;
}

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
	counter->takings = counter->exclusive = counter->folding = NONE;
	counter->next = buckets_here[place->bucket];
	buckets_here[place->bucket] = number_of_counter(counter);
	return counter;
}

/* ---- takings ---- */

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

/* Of a session that is at work, not of what it prepared. */
Taking *
find_taking(const Counter *counter, int pid)
{
	for (int number = counter->takings; number != NONE; number = takings_here[number].next)
		if (takings_here[number].pid == pid)
			return &takings_here[number];
	return NULL;
}

/* Of a counter, or of one that is not here (NULL).  NULL: there is no room. */
Taking *
add_taking(Partition *partition, Counter *counter, TransactionId xid)
{
	Taking	   *taking;

	if (partition->free_taking == NONE)
		return NULL;
	taking = &takings_here[partition->free_taking];
	partition->free_taking = taking->next;
	partition->nfree_takings--;
	memset(taking, 0, sizeof(*taking));
	taking->xid = xid;
	taking->pid = MyProcPid;
	taking->counter = NONE;
	taking->next = NONE;
	if (counter == NULL)
	{
		taking->next = partition->bypassing;
		partition->bypassing = number_of_taking(taking);
		partition->bypasses++;
		return taking;
	}
	taking->counter = number_of_counter(counter);
	taking->next = counter->takings;
	counter->takings = number_of_taking(taking);
	counter->ntakings++;
	return taking;
}

static void
count_taking(Counter *counter, const Taking *taking)
{
	counter->used = amount_plus(&counter->used, &taking->gain);
	counter->unfolded += taking->events;
	if (taking->changes_of_holds > 0)
		counter->holds++;
	if (taking->counts_to == 0)
		return;
	counter->counts_to = taking->counts_to;
	if (taking->is_folding)
		counter->unfolded = 0;
}

static void
unlink_taking(int *first, const Taking *taking)
{
	while (*first != number_of_taking(taking))
		first = &takings_here[*first].next;
	*first = taking->next;
}

static void
leave_counter(Partition *partition, Counter *counter, Taking *taking)
{
	int			number = number_of_taking(taking);

	counter->up = amount_minus(&counter->up, &taking->up);
	counter->down = amount_minus(&counter->down, &taking->down);
	counter->nearly -= taking->is_early;
	counter->nprepared -= taking->pid == 0;
	if (counter->exclusive == number)
		counter->exclusive = NONE;
	if (counter->folding == number)
		counter->folding = NONE;
	unlink_taking(&counter->takings, taking);
	if (--counter->ntakings == 0 && counter->is_stale)
		remove_counter(partition, counter);
}

/* Who reads tables to bring a counter here must notice: it may have been this one. */
static void
leave_others(Partition *partition, Taking *taking)
{
	unlink_taking(&partition->bypassing, taking);
	for (int i = 0; i < DEPARTURES; i++)
		partition->departures[i]++;
}

/* The transaction is over: for everybody, not only about to be. */
void
end_taking(Partition *partition, Taking *taking, bool committed)
{
	if (taking->counter == NONE)
		leave_others(partition, taking);
	else
	{
		if (committed)
			count_taking(&counters_here[taking->counter], taking);
		leave_counter(partition, &counters_here[taking->counter], taking);
	}
	taking->xid = InvalidTransactionId;
	taking->next = partition->free_taking;
	partition->free_taking = number_of_taking(taking);
	partition->nfree_takings++;
}

/* One for whose end to wait. */
TransactionId
any_taker(const Partition *partition)
{
	for (int i = partition->first_taking; i < partition->first_taking + partition->ntakings; i++)
		if (TransactionIdIsValid(takings_here[i].xid) && takings_here[i].pid != MyProcPid)
			return takings_here[i].xid;
	return InvalidTransactionId;
}

/* The others are kept for counters that are not here. */
bool
has_free_taking(const Partition *partition)
{
	return partition->nfree_takings > RESERVED_TAKINGS;
}

static void
settle_list(Partition *partition, int number)
{
	while (number != NONE)
	{
		Taking	   *taking = &takings_here[number];

		number = taking->next;
		if (taking->pid == 0 && !TransactionIdIsInProgress(taking->xid))
			end_taking(partition, taking, TransactionIdDidCommit(taking->xid));
	}
}

/*
 * Takings of prepared transactions that are over by now: nobody was told when they
 * ended.
 */
void
settle_prepared(Partition *partition, Counter *counter)
{
	if (counter->nprepared > 0)
		settle_list(partition, counter->takings);
}

/* Whether some transaction changes counters that are not here. */
bool
is_bypassed(Partition *partition)
{
	settle_list(partition, partition->bypassing);
	return partition->bypassing != NONE;
}

/* ---- forgetting ---- */

static void
forget_counter(Partition *partition, Counter *counter)
{
	settle_prepared(partition, counter);
	if (counter->ntakings == 0)
		remove_counter(partition, counter);
	else
		counter->is_stale = true;
}

/*
 * Windows or events of a user are going to change, by who keeps his uses out.  What
 * this transaction itself has taken stays until it ends, for nobody to take more of.
 */
void
forget_counters_of(const Installation *home, Datum user_id)
{
	Place		place;
	Counter    *counter;
	Counter    *next;

	if (!has_counter_memory())
		return;
	place = place_of_user(home, user_id);
	LWLockAcquire(&place.partition->lock, LW_EXCLUSIVE);
	for (counter = next_counter_of_user(&place, NULL); counter != NULL; counter = next)
	{
		next = next_counter_of_user(&place, counter);
		forget_counter(place.partition, counter);
	}
	LWLockRelease(&place.partition->lock);
}

static void
forget_partition(Partition *partition, const Installation *home)
{
	LWLockAcquire(&partition->lock, LW_EXCLUSIVE);
	for (int i = 0; i < partition->ncounters; i++)
	{
		Counter    *counter = &counters_here[partition->first_counter + i];

		if (counter->limit_id != 0 && counter->user.database == MyDatabaseId &&
			counter->user.usage_events == home->usage_events)
			forget_counter(partition, counter);
	}
	LWLockRelease(&partition->lock);
}

/* The same of everybody. */
void
forget_all_counters(const Installation *home)
{
	if (has_counter_memory())
		for (int i = 0; i < memory->npartitions; i++)
			forget_partition(&memory->partitions[i], home);
}
