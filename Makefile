# One room per domain word; the order is the dependency order, and PostgreSQL
# enforces it: a room's SQL cannot name what a later room creates.  A large room
# has parts, ROOM_PART.sql, in the order of their names.
PRODUCT    = usage_tracking
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(PRODUCT).control)
ROOMS      = users plans meters limits prices events counters credits alerts usage runs rates tallies rollups reports signups access upkeep

SCRIPTS    = $(foreach r,$(ROOMS),sql/$r.sql $(foreach f,$(sort $(wildcard sql/$(r)_*.sql)),$(if $(findstring --,$f),,$f)))

# One library, three extensions: they differ in the type of user ids alone.
# Update scripts are written once, as sql/updates/A--B.sql.
EXTENSION  = $(PRODUCT) $(PRODUCT)_text $(PRODUCT)_bigint
MODULE_big = $(PRODUCT)
OBJS       = $(patsubst %.c,%.o,$(wildcard src/*.c))
CURRENT    = $(EXTENSION:%=sql/%--$(EXTVERSION).sql)
UPDATES    = $(foreach e,$(EXTENSION),$(patsubst sql/updates/%,sql/$e--%,$(wildcard sql/updates/*.sql)))
DATA       = $(filter-out %--$(EXTVERSION).sql,$(wildcard sql/released/*.sql))
DATA_built = $(CURRENT) $(UPDATES)
DOCS       = $(wildcard doc/*.md doc/recipes/*)

TESTED        ?= $(PRODUCT)
REGRESS        = install $(ROOMS) $(patsubst test/sql/%.sql,%,$(wildcard $(ROOMS:%=test/sql/%_*.sql) test/sql/recipe_*.sql))
REGRESS_OPTS   = --inputdir=test --outputdir=test --load-extension=$(TESTED)
ISOLATION      = $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec))
ISOLATION_OPTS = --inputdir=test --outputdir=test --load-extension=$(TESTED)

PG_CPPFLAGS = -DUT_VERSION='"$(EXTVERSION)"'
PG_CFLAGS   = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Wno-declaration-after-statement
EXTRA_CLEAN = $(wildcard sql/$(PRODUCT)*--*.sql $(PRODUCT)-*.zip) $(PRODUCT)_text.control $(PRODUCT)_bigint.control test/results test/regression.diffs test/regression.out test/output_iso output_iso tmp_check
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(if $(wildcard $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)/postgres.h),$(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null)))
ifneq ($(PGXS),)
include $(PGXS)
else
# No server headers yet: install them and begin again, once.
all install installcheck:
	@test -z "$(UT_AGAIN)" || { echo "$(PG_CONFIG) finds no PGXS; set PG_CONFIG." >&2; exit 1; }
	@test/lib/need.sh build server
	@$(MAKE) --no-print-directory UT_AGAIN=yes $@
endif

$(OBJS): $(wildcard src/*.h) $(PRODUCT).control

# A script's own name says its extension, by that the type of user ids, and its
# version.
parts_of   = $(subst --, ,$(notdir $(basename $1)))
name_of    = $(firstword $(call parts_of,$1))
type_of    = $(or $(patsubst $(PRODUCT)_%,%,$(filter $(PRODUCT)_%,$(call name_of,$1))),uuid)
version_of = $(lastword $(call parts_of,$1))
# Ids of type text are kept to be compared byte by byte, whatever the database's locale.
column_of  = $(call type_of,$1)$(if $(filter text,$(call type_of,$1)), COLLATE "C")
write      = awk -f sql/update.awk $1 | sed 's/@user_id_column@/$(call column_of,$@)/g; s/@user_id@/$(call type_of,$@)/g; s/@extension@/$(call name_of,$@)/g; s/@version@/$(call version_of,$@)/g'

$(CURRENT): sql/header.sql $(SCRIPTS) sql/footer.sql $(PRODUCT).control
	$(call write,sql/header.sql $(SCRIPTS) sql/footer.sql) > $@

$(foreach e,$(EXTENSION),$(eval sql/$e--%.sql: sql/update.sql sql/updates/%.sql sql/update_footer.sql ; $$(call write,$$(filter sql/update%.sql,$$^)) > $$@))
$(UPDATES): sql/update.awk $(SCRIPTS)

$(PRODUCT)_%.control: $(PRODUCT).control
	sed "s/^comment = '\(.*\)'/comment = '\1, for user ids of type $*'/" $< > $@

all: $(EXTENSION:%=%.control)

# PGXS runs the tests against a running server; this brings its programs.
installcheck: | server-programs

.PHONY: server-programs
server-programs:
	@test/lib/need.sh server

# The targets below install what they need, run nothing as root that can do
# without, and end and remove what they start.
export PG_CONFIG

.PHONY: test bench demo check-style fresh-check matrix upgrade-check release dist

# Every test; the last line counts them. ONLY="regress tap" runs some kinds,
# UT_USER_ID=text those of one type of user ids.
test:
	@test/run.sh

# How fast it is, beside the same work done by hand; BENCH_DOC=1 writes the
# tables of doc/performance.md anew. test/bench/bench.sh has the other settings.
bench:
	@test/bench/bench.sh

# The story of the extension, on one screen; TRACE=file.csv replays a trace, and
# PAGES=folder is where it leaves the pages it ends with.
demo:
	@demo/run.sh

check-style:
	@test/check-style.sh

# demo and test in a clone of HEAD on a machine with nothing but git, make, gcc.
fresh-check:
	@test/fresh-check.sh

# test in each supported PostgreSQL; VERSIONS="17 18" chooses. As root.
matrix:
	@test/matrix.sh

# pg_upgrade from each supported PostgreSQL to the next. As root.
upgrade-check:
	@test/upgrade.sh

# Freezes what is built as the version of the control file, in sql/released.
release: $(CURRENT)
	@sql/release.sh

# The archive of HEAD for others to build from.
dist:
	git archive --format=zip --prefix=$(PRODUCT)-$(EXTVERSION)/ --output=$(PRODUCT)-$(EXTVERSION).zip HEAD
