# One room per domain word; the order is the dependency order, and PostgreSQL
# enforces it: a room's SQL cannot name what a later room creates.
EXTENSION  = usage_tracking
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)
ROOMS      = users plans meters limits events counters usage rollups reports signups access upkeep

MODULE_big = $(EXTENSION)
OBJS       = $(patsubst %.c,%.o,$(wildcard src/*.c))
CURRENT    = sql/$(EXTENSION)--$(EXTVERSION).sql
DATA       = $(filter-out %/$(notdir $(CURRENT)),$(wildcard sql/released/*.sql sql/$(EXTENSION)--*--*.sql))
DATA_built = $(CURRENT)
DOCS       = $(wildcard doc/*.md)

REGRESS        = install $(ROOMS)
REGRESS_OPTS   = --inputdir=test --outputdir=test --load-extension=$(EXTENSION)
ISOLATION      = $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec))
ISOLATION_OPTS = --inputdir=test --outputdir=test --load-extension=$(EXTENSION)

PG_CPPFLAGS = -DUT_VERSION='"$(EXTVERSION)"'
PG_CFLAGS   = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Wno-declaration-after-statement
EXTRA_CLEAN = test/results test/regression.diffs test/regression.out test/output_iso output_iso tmp_check
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
ifdef PGXS
include $(PGXS)
else
# No server headers yet: install them and begin again, once.
all install installcheck:
	@test -z "$(UT_AGAIN)" || { echo "$(PG_CONFIG) finds no PGXS; set PG_CONFIG." >&2; exit 1; }
	@test/lib/need.sh build server
	@$(MAKE) --no-print-directory UT_AGAIN=yes $@
endif

$(OBJS): $(wildcard src/*.h) $(EXTENSION).control

$(CURRENT): sql/header.sql $(ROOMS:%=sql/%.sql) sql/footer.sql $(EXTENSION).control
	sed 's/@user_id@/uuid/g' sql/header.sql $(ROOMS:%=sql/%.sql) sql/footer.sql > $@

# PGXS runs the tests against a running server; this brings its programs.
installcheck: | server-programs

.PHONY: server-programs
server-programs:
	@test/lib/need.sh server

# The targets below install what they need, run nothing as root that can do
# without, and end and remove what they start.
export PG_CONFIG

.PHONY: test demo check-style fresh-check

# Every test; the last line counts them. ONLY="regress tap" runs some kinds.
test:
	@test/run.sh

# The story of the extension, on one screen; TRACE=file.csv replays a trace.
demo:
	@demo/run.sh

check-style:
	@test/check-style.sh

# demo and test in a clone of HEAD on a machine with nothing but git, make, gcc.
fresh-check:
	@test/fresh-check.sh
