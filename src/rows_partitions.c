/*
 * rows_partitions.c -- rows of a partitioned table, found without a plan.
 *
 * Planning and starting a query over months takes many times as long as finding a
 * user's few rows in one of them.  Partitions are looked at in the order of their
 * bounds; the default partition may have rows of any instant.
 *
 * Locking: each partition that is looked at, until the transaction ends, as by a
 * query.
 */
#include "compat.h"

#include "access/relation.h"
#include "access/table.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "rows.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* ---- what is known of partitions ---- */

/* One for each partition that was looked at; who is gone makes room. */
typedef struct KnownPartition
{
	Table		table;
	struct KnownPartition *next;
} KnownPartition;

static KnownPartition *known = NULL;

static Table *
find_known(Oid partition)
{
	for (KnownPartition *one = known; one != NULL; one = one->next)
		if (one->table.relation == partition)
			return &one->table;
	return NULL;
}

static Table *
room_for_another(const Table *like)
{
	KnownPartition *one = (KnownPartition *) find_known(InvalidOid);

	if (one == NULL)
	{
		one = MemoryContextAllocZero(TopMemoryContext, sizeof(KnownPartition));
		one->next = known;
		known = one;
		memcpy(&one->table, like, sizeof(Table));
	}
	return &one->table;
}

/* Of a partition that is open.  NULL: it is another kind of table. */
static Table *
table_of(Relation partition, const Table *like)
{
	Table	   *table = find_known(RelationGetRelid(partition));

	if (table != NULL && is_known_table(table))
		return table;
	if (partition->rd_rel->relkind != RELKIND_RELATION)
		return NULL;
	if (table == NULL)
		table = room_for_another(like);
	remember_table(table, partition);
	return table;
}

/* ---- which ones ---- */

/* The partition between two bounds may have instants of the span. */
static bool
overlaps(PartitionBoundInfo bounds, int upper, TimestampTz from, TimestampTz to)
{
	if (upper > 0 && bounds->kind[upper - 1][0] == PARTITION_RANGE_DATUM_VALUE &&
		DatumGetTimestampTz(bounds->datums[upper - 1][0]) >= to)
		return false;
	return upper >= bounds->ndatums || bounds->kind[upper][0] != PARTITION_RANGE_DATUM_VALUE ||
		DatumGetTimestampTz(bounds->datums[upper][0]) > from;
}

/* Into "numbers"; false: one of them has partitions of its own. */
static bool
find_partitions(PartitionDesc partitions, TimestampTz from, TimestampTz to, int *numbers, int *n)
{
	PartitionBoundInfo bounds = partitions->boundinfo;

	*n = 0;
	for (int i = 0; i <= bounds->ndatums; i++)
		if (bounds->indexes[i] >= 0 && overlaps(bounds, i, from, to))
			numbers[(*n)++] = bounds->indexes[i];
	if (bounds->default_index >= 0)
		numbers[(*n)++] = bounds->default_index;
	for (int i = 0; i < *n; i++)
		if (!partitions->is_leaf[numbers[i]])
			return false;
	return true;
}

/* ---- rows ---- */

static bool
can_be_visited(Oid oid, const Table *like)
{
	Table	   *table = find_known(oid);
	Relation	partition;

	if (table == NULL || !is_known_table(table))
	{
		partition = table_open(oid, AccessShareLock);
		table = table_of(partition, like);
		table_close(partition, NoLock);
	}
	return table != NULL && OidIsValid(table->key);
}

static void
visit_partition(Oid oid, const Table *like, const Key *keys, int nkeys, Visit visit, void *argument)
{
	Relation	partition = table_open(oid, AccessShareLock);
	Rows		rows = rows_begin_in(partition, table_of(partition, like), keys, nkeys);

	while (rows_next(&rows))
		visit(&rows, argument);
	rows_end(&rows);
}

/*
 * Those of some keys, of partitions that may have instants from one to before
 * another.  False: it takes a statement, and none was visited.
 */
bool
visit_partitions(Oid parent, const Table *like, TimestampTz from, TimestampTz to,
				 const Key *keys, int nkeys, Visit visit, void *argument)
{
	Relation	relation = table_open(parent, AccessShareLock);
	PartitionDesc partitions = RelationGetPartitionDesc(relation, true);
	int		   *numbers = palloc((partitions->nparts + 1) * sizeof(int));
	Oid		   *oids = palloc((partitions->nparts + 1) * sizeof(Oid));
	bool		all;
	int			n = 0;

	all = partitions->nparts == 0 || find_partitions(partitions, from, to, numbers, &n);
	for (int i = 0; i < n; i++)
		oids[i] = partitions->oids[numbers[i]];
	table_close(relation, NoLock);	/* opening the others may make the description another */
	for (int i = 0; i < n && all; i++)
		all = can_be_visited(oids[i], like);
	for (int i = 0; i < n && all; i++)
		visit_partition(oids[i], like, keys, nkeys, visit, argument);
	pfree(numbers);
	pfree(oids);
	return all;
}
