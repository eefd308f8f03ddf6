/*
 * module.c -- the library's entry: each part makes itself ready.
 */
#include "compat.h"

#include "alerts.h"
#include "counters.h"
#include "counters_inflight.h"
#include "counters_memory.h"
#include "credits.h"
#include "faults.h"
#include "installation.h"
#include "known.h"
#include "limits.h"
#include "limits_known.h"
#include "memory.h"
#include "numbers.h"
#include "prices.h"
#include "rates_limits.h"
#include "rates_memory.h"
#include "rows.h"
#include "settings.h"
#include "worker.h"

UT_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	numbers_init();
	faults_init();
	settings_init();
	memory_init();
	counters_memory_init();
	counters_elsewhere_init();
	inflight_init();
	installation_init();
	rows_init();
	known_init();
	limits_init();
	known_terms_init();
	known_holds_init();
	prices_init();
	credits_init();
	alerts_init();
	rates_init();
	rate_limits_init();
	worker_init();
}
