#!/bin/sh
# bench.sh compares the extension with the same work done by hand: `make bench`.
#
# It builds and installs the extension, starts a throw-away server, and lets
# races (race.c) run in it between
#   ours  the extension
#   hand  one prepared statement that does the same durable writes (setup.sql)
#   seed  the service of section 3 of a guide for such systems (seed.sql)
# Everything is printed as ratios. Settings, by environment:
#   BENCH_SECONDS (0.5)     how long one side runs before the next one does
#   BENCH_RUNS (7)          how often each side runs; the median counts
#   BENCH_CLIENTS ("1 4 16")
#   BENCH_KEYS (10000)      users, besides one hot user
#   BENCH_ONLY              some of: check write cost wal layout tallies; rollups and
#                           dashboards, only if asked for
#   BENCH_EVENTS ("1000000 10000000")  of these two
#   BENCH_DOC=1             writes the tables into doc/performance.md as well
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
: "${BENCH_SECONDS:=0.5}" "${BENCH_RUNS:=7}" "${BENCH_CLIENTS:=1 4 16}" "${BENCH_KEYS:=10000}"
: "${BENCH_ONLY:=check write cost wal layout tallies}" "${BENCH_DOC:=}"
: "${BENCH_EVENTS:=1000000 10000000}"

# shellcheck source=test/lib/server.sh
. "$root/test/lib/server.sh"

at_exit() {
    [ "$1" = 0 ] || echo "The benchmark failed." >&2
    return "$1"
}

tell() { as_user psql -Xq -v ON_ERROR_STOP=1 -v keys="$BENCH_KEYS" "$@"; }

# tune_server: durable as delivered, and nothing that begins by itself meanwhile.
tune_server() {
    as_user sh -c 'cat >>data/postgresql.conf' <<CONF
fsync = on
autovacuum = off
shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 1d
max_connections = 500
CONF
    as_user pg_ctl -D "$work/data" -l "$work/server.log" -w restart >/dev/null
}

# make_template makes the database that every race has a copy of.
make_template() {
    tell -c "CREATE DATABASE prepared"
    for file in setup seed layout tallies; do
        tell -d prepared -f - <"$root/test/bench/$file.sql"
    done
    tell -d prepared -c 'VACUUM ANALYZE'
}

# race WORK KEYS CLIENTS SYNC SIDE... adds "WORK KEYS CLIENTS SYNC" and what
# race.c prints to the results.
race() {
    echo "$1: $2 users, $3 clients, synchronous_commit $4" >&2
    cell=$(printf '%s\t%s\t%s\t%s' "$1" "$2" "$3" "$4")
    keys=$2 clients=$3 sync=$4
    shift 4
    tell -c 'SET client_min_messages = warning' -c 'DROP DATABASE IF EXISTS race WITH (FORCE)' -c 'CREATE DATABASE race TEMPLATE prepared' -c CHECKPOINT
    # shellcheck disable=SC2046 # names of ours
    as_user env PGDATABASE=race PGOPTIONS="-c synchronous_commit=$sync" "$work/race" \
        -c "$clients" -k "$keys" -r "$BENCH_RUNS" -s "$BENCH_SECONDS" \
        $(printf "$work/sides/%s.sql " "$@") >"$work/raced"
    sed "s/^/$cell	/" "$work/raced" >"$work/turns"
    cat "$work/turns" >>"$work/results"
    awk -v show=sides -f "$root/test/bench/table.awk" "$work/turns" >&2
}

race_checks() {
    race check_1000 "$BENCH_KEYS" 1 off ours_check_1000 hand_check_1000 seed_check_1000
    for keys in $BENCH_KEYS 1; do
        for clients in $BENCH_CLIENTS; do
            race check "$keys" "$clients" off ours_check hand_check seed_check
        done
    done
}

race_writes() {
    for sync in off on; do
        for keys in $BENCH_KEYS 1; do
            for clients in $BENCH_CLIENTS; do
                race write "$keys" "$clients" "$sync" ours_track ours_consume hand_write seed_track seed_consume
            done
        done
    done
}

# Images of whole pages depend on when the last checkpoint was, not on the call.
weigh_wal() {
    tell -c "ALTER SYSTEM SET full_page_writes = off" -c "SELECT pg_reload_conf()" >/dev/null
    race wal "$BENCH_KEYS" 1 off ours_track ours_consume hand_update hand_write seed_track seed_consume
}

weigh_layout() {
    race layout "$BENCH_KEYS" 1 off layout_none layout_heap layout_btree layout_brin layout_partitions \
        layout_counter layout_seed
}

# Everybody uses one row, which each of these but the bare one locks until it commits.
race_tallies() {
    for sync in off on; do
        for clients in $BENCH_CLIENTS; do
            race tally "$BENCH_KEYS" "$clients" "$sync" tally_ours tally_bare tally_seed
        done
    done
    race tally_1000 "$BENCH_KEYS" 1 off tally_ours_1000 tally_bare_1000 tally_seed_1000
}

# In one backend: a round trip would take longer than either.
race_costs() {
    race cost_1000 "$BENCH_KEYS" 1 off ours_cost_1000 hand_cost_1000
}

# weigh_sums FILE prints what comes from sums beside the same from events; not into
# the page.
weigh_sums() {
    for events in $BENCH_EVENTS; do
        tell -c 'CREATE DATABASE sums'
        tell -d sums -v events="$events" -v runs="$BENCH_RUNS" -f - <"$root/test/bench/$1.sql"
        tell -c 'DROP DATABASE sums'
    done
}

configuration() {
    tell -At -c "SELECT 'PostgreSQL ' || current_setting('server_version_num')::integer / 10000 || '.'
                     || current_setting('server_version_num')::integer % 10000"
    echo "$(nproc) cores"
    echo "clients on the same machine"
    echo "each figure the median of $BENCH_RUNS rounds of $BENCH_SECONDS s"
}

# put_into PAGE replaces what stands between the page's markers.
put_into() {
    awk -v tables="$work/tables" '
        /^<!-- bench: begin -->$/ {
            print; print ""
            while ((getline line <tables) > 0) print line
            print ""; inside = 1
        }
        /^<!-- bench: end -->$/ { inside = 0 }
        !inside && !/^<!-- bench: begin -->$/' "$1" >"$work/page"
    cat "$work/page" >"$1"
}

"$root/test/lib/need.sh" build server stress
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
for kind in $BENCH_ONLY; do
    case $kind in
    check) race_checks ;;
    write) race_writes ;;
    layout) weigh_layout ;;
    cost) race_costs ;;
    tallies) race_tallies ;;
    rollups | dashboards) weigh_sums "$kind" ;;
    wal) ;;
    *)
        echo "bench.sh: BENCH_ONLY is some of: check write cost wal layout tallies rollups dashboards" >&2
        exit 2
        ;;
    esac
done
case " $BENCH_ONLY " in *" wal "*) weigh_wal ;; esac

configuration | paste -sd, - | sed 's/,/, /g; s/$/./' >"$work/tables"
awk -v show=tables -f "$root/test/bench/table.awk" "$work/results" >>"$work/tables"
cat "$work/tables"
[ -z "$BENCH_DOC" ] || put_into "$root/doc/performance.md"
