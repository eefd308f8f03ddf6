/*
 * memory.c -- memory that all sessions of the server share.
 *
 * A preloaded library has its areas from the server's start on.  From PostgreSQL 17
 * on they are made when first needed, if it is not preloaded; before, there are
 * none then.  Which it is does not change while the server runs, so all sessions
 * agree: what is kept here may decide for all of them.
 *
 * Sizes are those of when an area was made.  A directory keeps them for sessions
 * that come after the settings were changed.
 */
#include "compat.h"

#include "memory.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#define MAX_AREAS 4

/* What the directory knows of one area. */
typedef struct AreaInfo
{
	int			slots;			/* 0: there is none */
	int			tranche;
} AreaInfo;

typedef AreaInfo Directory[MAX_AREAS];

static SharedArea *areas[MAX_AREAS];
static int	nareas = 0;
static AreaInfo *directory = NULL;
static bool is_preloaded = false;

static shmem_request_hook_type earlier_request_hook = NULL;
static shmem_startup_hook_type earlier_startup_hook = NULL;

void
memory_register(SharedArea *area)
{
	if (nareas == MAX_AREAS)
		elog(ERROR, "no room for another area of shared memory");
	area->number = nareas;
	areas[nareas++] = area;
}

static Size
size_of(const SharedArea *area, int slots)
{
	return slots == 0 ? 0 : area->size(slots);
}

static void
make_directory(void *memory)
{
	AreaInfo   *infos = memory;

	for (int i = 0; i < nareas; i++)
	{
		infos[i].slots = *areas[i]->slots;
		infos[i].tranche = LWLockNewTrancheId();
	}
}

static void
use_area(SharedArea *area, void *memory)
{
	LWLockRegisterTranche(directory[area->number].tranche, area->name);
	area->memory = memory;
}

/* ---- preloaded ---- */

static void
request_areas(void)
{
	if (earlier_request_hook != NULL)
		earlier_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(Directory)));
	for (int i = 0; i < nareas; i++)
		RequestAddinShmemSpace(MAXALIGN(size_of(areas[i], *areas[i]->slots)));
}

static void
find_area(SharedArea *area)
{
	AreaInfo   *info = &directory[area->number];
	bool		found;
	void	   *memory;

	if (info->slots == 0)
		return;
	memory = ShmemInitStruct(area->name, size_of(area, info->slots), &found);
	if (!found)
		area->make(memory, info->slots, info->tranche);
	use_area(area, memory);
}

static void
find_areas(void)
{
	bool		found;

	if (earlier_startup_hook != NULL)
		earlier_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	directory = ShmemInitStruct("usage_tracking", sizeof(Directory), &found);
	if (!found)
		make_directory(directory);
	for (int i = 0; i < nareas; i++)
		find_area(areas[i]);
	LWLockRelease(AddinShmemInitLock);
}

/* ---- made when first needed ---- */

static SharedArea *area_to_make;

static void
make_area(void *memory)
{
	AreaInfo   *info = &directory[area_to_make->number];

	area_to_make->make(memory, info->slots, info->tranche);
}

static void
attach_area(SharedArea *area)
{
	if (directory == NULL)
		directory = ut_shared_segment("usage_tracking", sizeof(Directory), make_directory);
	if (directory == NULL || directory[area->number].slots == 0)
		return;
	area_to_make = area;
	use_area(area, ut_shared_segment(area->name, size_of(area, directory[area->number].slots), make_area));
}

/* ---- for callers ---- */

/* Whether this server can have any, however the settings are. */
bool
memory_is_possible(void)
{
	return directory != NULL || (UT_HAS_SEGMENTS && IsUnderPostmaster);
}

/* NULL: there is none. */
void *
shared_memory(SharedArea *area)
{
	if (area->memory == NULL && memory_is_possible() && !is_preloaded)
		attach_area(area);
	return area->memory;
}

int
memory_areas(void)
{
	return nareas;
}

/* False: it is not there, and only its name is told. */
bool
memory_tell(int area, AreaState *state)
{
	void	   *memory = shared_memory(areas[area]);

	memset(state, 0, sizeof(AreaState));
	state->name = areas[area]->name;
	if (memory == NULL)
		return false;
	state->bytes = size_of(areas[area], directory[area].slots);
	state->slots = directory[area].slots;
	if (areas[area]->tell != NULL)
		areas[area]->tell(memory, state);
	return true;
}

void
memory_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	is_preloaded = true;
	earlier_request_hook = shmem_request_hook;
	shmem_request_hook = request_areas;
	earlier_startup_hook = shmem_startup_hook;
	shmem_startup_hook = find_areas;
}
