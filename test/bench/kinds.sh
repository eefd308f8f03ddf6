# shellcheck shell=sh
# kinds.sh, sourced by bench.sh: the kinds of BENCH_ONLY, run_KIND each.

: "${root:?}" "${work:=}"
kinds='check write hot rate batch cost layout wal tallies rollups dashboards scale'

is_kind() {
    case " $kinds " in
    *" $1 "*) ;;
    *) return 1 ;;
    esac
}

run_check() {
    figure check_rows 1 1 off rows "$(tell -d prepared -Atc 'SELECT bench.counter_rows()')"
    race check_1000 "$BENCH_KEYS" 1 off ours_check_1000 hand_check_1000 seed_check_1000
    for keys in $BENCH_KEYS 1; do
        for clients in $BENCH_CLIENTS; do
            race check "$keys" "$clients" off ours_check ours_check_row ours_check3 hand_check seed_check seed_trips
        done
    done
}

run_write() {
    for sync in off on; do
        for keys in $BENCH_KEYS 1; do
            for clients in $BENCH_CLIENTS; do
                race write "$keys" "$clients" "$sync" ours_track ours_consume hand_write seed_track seed_consume
            done
        done
    done
}

# One user, and a limit that is far; then one that is reached, and must be to the unit.
run_hot() {
    race hot 1 16 on ours_consume hand_event hand_consume
    race_to_the_unit hot 16 ours_exact
    for clients in 16 40; do
        race hot_20ms 1 $clients on ours_consume_20ms hand_event_20ms hand_consume_20ms
        race_to_the_unit hot_20ms $clients ours_exact_20ms
    done
}

# race_to_the_unit WORK CLIENTS SIDE
race_to_the_unit() {
    new_database
    is_full=f tries=0
    until [ "$is_full" = t ] || [ "$tries" -ge 100 ]; do
        run_race race 1 "$2" on "$3" >/dev/null
        is_full=$(tell -d race -Atc 'SELECT bench.is_full()')
        tries=$((tries + 1))
    done
    units=$(tell -d race -At -F ' ' -c 'SELECT * FROM bench.units()')
    echo "$1: $2 clients: units allowed, of events, of counters: $units" >&2
    figure "$1" 1 "$2" on units "${units%% *}"
    [ "$units" = "${units%% *} ${units%% *} ${units%% *}" ] || {
        echo "The limit was not kept to the unit." >&2
        exit 1
    }
}

run_rate() {
    why=$(tell -d prepared -Atc 'SELECT bench.why_no_rates()')
    [ -n "$why" ] || redis_start || why='no Redis'
    [ -z "$why" ] || figure rate "$BENCH_KEYS" 1 off why "$why"
    ours='ours_rate ours_rate_row' ours_insert='ours_rated_insert' redis='redis_rate' redis_insert='redis_rated_insert'
    [ "$why" != 'no Redis' ] || redis='' redis_insert=''
    case $why in 'not there' | 'no shared memory') return ;; esac
    for clients in $BENCH_CLIENTS; do
        # shellcheck disable=SC2086 # one side less
        race rate "$BENCH_KEYS" "$clients" off $ours select_1 $redis
    done
    for clients in $BENCH_CLIENTS; do
        # shellcheck disable=SC2086
        race rated_insert "$BENCH_KEYS" "$clients" on $ours_insert hand_request $redis_insert
    done
}

run_batch() {
    race batch "$BENCH_KEYS" 1 off ours_batch_1000 hand_copy_1000
}

# In one backend: a round trip would take longer than either.
run_cost() {
    race cost_1000 "$BENCH_KEYS" 1 off ours_cost_1000 hand_cost_1000
}

run_layout() {
    race layout "$BENCH_KEYS" 1 off layout_none layout_heap layout_btree layout_brin layout_partitions \
        layout_counter layout_seed
}

# Images of whole pages depend on when the last checkpoint was, not on the call.
run_wal() {
    tell -c "ALTER SYSTEM SET full_page_writes = off" -c "SELECT pg_reload_conf()" >/dev/null
    race wal "$BENCH_KEYS" 1 off ours_track ours_consume hand_update hand_write seed_track seed_consume
    tell -c "ALTER SYSTEM RESET full_page_writes" -c "SELECT pg_reload_conf()" >/dev/null
}

# Everybody uses one row, which each of these but the bare one locks until it commits.
run_tallies() {
    for sync in off on; do
        for clients in $BENCH_CLIENTS; do
            race tally "$BENCH_KEYS" "$clients" "$sync" tally_ours tally_bare tally_seed
        done
    done
    race tally_1000 "$BENCH_KEYS" 1 off tally_ours_1000 tally_bare_1000 tally_seed_1000
}

# run_sums KIND prints what comes from sums beside the same from events.
run_sums() {
    for events in $BENCH_EVENTS; do
        tell -c 'CREATE DATABASE sums'
        tell -d sums -v events="$events" -v runs="$BENCH_RUNS" -f - <"$root/test/bench/$1.sql" >"$work/sums"
        cat "$work/sums" >&2
        sed -n 's/.* \([0-9]*\) times as fast$/\1/p' "$work/sums" >"$work/times"
        figure "$1" "$events" 1 off times "$(head -n 1 "$work/times")"
        tell -c 'DROP DATABASE sums'
    done
}
run_rollups() { run_sums rollups; }
run_dashboards() { run_sums dashboards; }

# The same checks in two databases, of few users and of many, each with ten events.
run_scale() {
    users=${BENCH_SCALE#* }
    free=$(df -Pk "$work" | awk 'NR == 2 { print $4 }')
    [ "$((users * 10 * 420 / 1024))" -lt "$free" ] || {
        echo "bench.sh: $users users with 10 events each need $((users * 10 * 420 / 1048576)) MB of disk" >&2
        exit 1
    }
    # shellcheck disable=SC2086 # two numbers
    set -- $BENCH_SCALE
    for size in small large; do
        echo "scale: loading $1 users" >&2
        tell -c "CREATE DATABASE scale_$size"
        tell -d "scale_$size" -v users="$1" -f - <"$root/test/bench/scale.sql" >&2
        shift
    done
    sides=''
    for what in counter window limit; do
        for who in some_user some_active_user; do
            for size in small large; do
                side=scale_${what}_${who}_$size sides="$sides $side"
                sed "s/SOME_USER/$who/; 1i -- database: scale_$size" "$work/sides/scale_$what.sql" >"$work/sides/$side.sql"
            done
        done
    done
    # shellcheck disable=SC2086 # names of ours
    race scale "$users" 1 off $sides
    for size in small large; do tell -c "DROP DATABASE scale_$size"; done
}
