#!/bin/sh
# bench.sh compares the extension with the same work done by hand: `make bench`.
#
# It builds and installs the extension, starts a throw-away server, and lets
# races (race.c) run in it between sides (sides/*.sql), whose names begin with
#   ours   the extension
#   hand   the least that does the same by hand (setup.sql, targets.sql)
#   seed   the service of section 3 of a guide for such systems (seed.sql)
#   redis  a counter in Redis, for rate limits
# Everything is printed as ratios, the promised ones first. Settings, by environment:
#   BENCH_SECONDS (0.5)     how long one side runs before the next one does
#   BENCH_RUNS (7)          how often each side runs; the median counts
#   BENCH_CLIENTS ("1 4 16 64")
#   BENCH_KEYS (10000)      users, besides one hot user
#   BENCH_ONLY              some of the kinds of kinds.sh: check write hot rate batch
#                           cost layout wal; tallies, rollups, dashboards and scale
#                           only if asked for, or all of them: all
#   BENCH_EVENTS ("1000000 10000000")  of rollups and dashboards
#   BENCH_SCALE ("10000 1000000")      users of scale, each with 10 events
#   BENCH_PRELOAD           on or off: whether shared_preload_libraries names the
#                           extension; on before PostgreSQL 17, where it has no
#                           shared memory without
#   BENCH_DOC=1             writes the tables into doc/performance.md as well
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
usual='check write hot rate batch cost layout wal'
: "${BENCH_SECONDS:=0.5}" "${BENCH_RUNS:=7}" "${BENCH_CLIENTS:=1 4 16 64}" "${BENCH_KEYS:=10000}"
: "${BENCH_ONLY:=$usual}" "${BENCH_DOC:=}" "${BENCH_PRELOAD:=}"
: "${BENCH_EVENTS:=1000000 10000000}" "${BENCH_SCALE:=10000 1000000}"
[ "$BENCH_ONLY" != all ] || BENCH_ONLY="$usual tallies rollups dashboards scale"

# shellcheck source=test/lib/server.sh
. "$root/test/lib/server.sh"
# shellcheck source=test/bench/redis.sh
. "$root/test/bench/redis.sh"
# shellcheck source=test/bench/kinds.sh
. "$root/test/bench/kinds.sh"

at_exit() {
    redis_stop
    [ "$1" = 0 ] || echo "The benchmark failed." >&2
    return "$1"
}

tell() { as_user psql -Xq -v ON_ERROR_STOP=1 -v keys="$BENCH_KEYS" "$@"; }

server_version() { "$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9.]*\).*/\1/'; }

# tune_server: durable as delivered, and nothing that begins by itself meanwhile.
# Of 10,000 users with four limits each, all counters have room in memory.
tune_server() {
    preload=''
    [ "$BENCH_PRELOAD" = off ] || preload=usage_tracking
    as_user sh -c 'cat >>data/postgresql.conf' <<CONF
fsync = on
autovacuum = off
shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 1d
max_connections = 500
shared_preload_libraries = '$preload'
usage_tracking.counter_slots = 65536
CONF
    as_user pg_ctl -D "$work/data" -l "$work/server.log" -w restart >/dev/null || {
        cat "$work/server.log" >&2
        return 1
    }
}

# make_template makes the database that every race has a copy of. Sixteen writers
# at once have used the hot user's counters.
make_template() {
    tell -c "CREATE DATABASE prepared"
    for file in setup seed layout tallies targets; do
        tell -d prepared -f - <"$root/test/bench/$file.sql"
    done
    run_race prepared 1 16 on ours_videos_20ms >/dev/null
    tell -d prepared -c 'VACUUM ANALYZE'
}

new_database() {
    tell -c 'SET client_min_messages = warning' -c 'DROP DATABASE IF EXISTS race WITH (FORCE)' \
        -c 'CREATE DATABASE race TEMPLATE prepared' -c CHECKPOINT
}

# run_race DATABASE KEYS CLIENTS SYNC SIDE...
run_race() {
    race_in=$1 race_keys=$2 race_clients=$3 race_sync=$4
    shift 4
    # shellcheck disable=SC2046 # names of ours
    as_user env PGDATABASE="$race_in" PGOPTIONS="-c synchronous_commit=$race_sync" "$work/race" \
        -c "$race_clients" -k "$race_keys" -r "$BENCH_RUNS" -s "$BENCH_SECONDS" \
        $(printf "$work/sides/%s.sql " "$@")
}

# race WORK KEYS CLIENTS SYNC SIDE... adds "WORK KEYS CLIENTS SYNC" and what
# race.c prints to the results.
race() {
    echo "$1: $2 users, $3 clients, synchronous_commit $4" >&2
    race_work=$1
    shift
    new_database
    cell=$(printf '%s\t%s\t%s\t%s' "$race_work" "$1" "$2" "$3")
    run_race race "$@" >"$work/raced"
    sed "s/^/$cell	/" "$work/raced" >"$work/turns"
    cat "$work/turns" >>"$work/results"
    show sides "$work/turns" >&2
}

# figure WORK KEYS CLIENTS SYNC NAME VALUE adds what no race has measured.
figure() { printf '%s\t%s\t%s\t%s\tfigure\t%s\t%s\n' "$@" >>"$work/results"; }

# show WHAT RESULTS
show() {
    awk -v show="$1" -f "$root/test/bench/stats.awk" -f "$root/test/bench/table.awk" -f "$root/test/bench/targets.awk" "$2"
}

commit() {
    git -C "$root" -c safe.directory="$root" describe --always --dirty='+' --exclude='*' 2>/dev/null ||
        sed -n "s/^default_version *= *'\(.*\)'/version \1/p" "$root/usage_tracking.control"
}

# settings describes the machine and the run, in one line.
settings() {
    {
        date -u +%F
        sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2>/dev/null | head -n 1
        echo "$(nproc) cores"
        sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo 2>/dev/null | awk '{ printf "%.0f GB of memory\n", $1 / 1048576 }'
        echo "clients on the same machine"
        echo "PostgreSQL $(server_version)"
        [ "$BENCH_PRELOAD" = off ] && echo 'nothing preloaded' || echo "\`shared_preload_libraries = 'usage_tracking'\`"
        echo "commit $(commit)"
        echo "each figure the median of $BENCH_RUNS rounds of $BENCH_SECONDS s"
    } | paste -sd, - | sed 's/,/, /g; s/$/./'
}

# put_into PAGE BLOCK FILE replaces what stands between the page's markers.
put_into() {
    awk -v block="$2" -v tables="$3" '
        $0 == "<!-- " block ": begin -->" {
            print; print ""
            while ((getline line <tables) > 0) print line
            print ""; inside = 1
        }
        $0 == "<!-- " block ": end -->" { inside = 0 }
        !inside && $0 != "<!-- " block ": begin -->"' "$1" >"$work/page"
    cat "$work/page" >"$1"
}

for kind in $BENCH_ONLY; do
    is_kind "$kind" || {
        echo "bench.sh: BENCH_ONLY is all, or some of: $kinds" >&2
        exit 2
    }
done
"$root/test/lib/need.sh" build server stress
[ -n "$BENCH_PRELOAD" ] || { [ "$(server_version | sed 's/\..*//')" -lt 17 ] && BENCH_PRELOAD=on || BENCH_PRELOAD=off; }
work_begin
make -s --no-print-directory -C "$root" all
install_built "$root"
make -s --no-print-directory -C "$root/test/bench" race
cp -R "$root/test/bench/race" "$root/test/bench/sides" "$work/"
chmod -R a+rX "$work/race" "$work/sides"
server_start
tune_server
make_template
: >"$work/results"
for kind in $BENCH_ONLY; do "run_$kind"; done

settings >"$work/settings"
for what in targets tables; do
    { cat "$work/settings" && show $what "$work/results"; } >"$work/$what"
    cat "$work/$what"
    [ -z "$BENCH_DOC" ] || put_into "$root/doc/performance.md" $what "$work/$what"
done
