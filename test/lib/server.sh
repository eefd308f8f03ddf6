# shellcheck shell=sh
# server.sh, sourced: a throw-away PostgreSQL server in a folder of its own.
#
#   work_begin    makes the folder $work and the rule that everything in it ends
#                 with this script, however that ends
#   server_start  starts a server there; psql and friends then find it
#   server_memory on|off
#                 whether servers count in shared memory from now on, that one and
#                 those of TAP tests; without it UT_MEMORY (on) says so
#   as_user CMD   runs CMD as the user the server runs as, never root
#   install_built installs what make built, with sudo where that is needed
#   work_end      stops every server below $work and removes it (called on exit)
#
# The only way in is a Unix socket in that folder; nothing listens on a network.
# at_exit, if the sourcing script defines it, is the last thing called.

: "${PG_CONFIG:=pg_config}"
export PG_CONFIG

child=''
run_as=''
work=''
exec 4>&1 5>&2

# as_user waits for a child in the background, because a shell that waits for
# one in the foreground hears no signal. The child leads a group of its own, so
# that it can be ended with all its children.
as_user() {
    if [ -n "$run_as" ]; then
        set -- setpriv --reuid="$run_as" --regid="$(id -g "$run_as")" --init-groups \
            env HOME="$work" USER="$run_as" LOGNAME="$run_as" "$@"
    fi
    { setsid "$@" <&3 3<&- 4>&- 5>&- & } 3<&0
    child=$!
    as_user_status=0
    wait "$child" || as_user_status=$?
    child=''
    return "$as_user_status"
}

work_begin() {
    if [ "$(id -u)" = 0 ]; then
        run_as=postgres
        id postgres >/dev/null 2>&1 || run_as=nobody
    fi
    # A socket's path may have 107 bytes, those of the TAP tests included.
    work_base=${TMPDIR:-/tmp}
    [ "${#work_base}" -le 40 ] && as_user test -x "$work_base" || work_base=/tmp
    work=$(mktemp -d "$work_base/usage_tracking.XXXXXX")
    trap work_exit EXIT
    # Signals come in pairs, from make and from who stops make.
    trap 'trap "" HUP INT TERM; exit 129' HUP
    trap 'trap "" HUP INT TERM; exit 130' INT
    trap 'trap "" HUP INT TERM; exit 143' TERM

    [ -z "$run_as" ] || chown "$run_as" "$work"
    bindir=$("$PG_CONFIG" --bindir)
    PATH=$bindir:$PATH
    cd "$work" || return 1
    # What a killed test leaves goes with the rest.
    as_user mkdir "$work/tmp"
    export TMPDIR="$work/tmp"
}

work_exit() {
    work_status=$?
    trap '' HUP INT TERM
    trap - EXIT
    exec >&4 2>&5
    work_end
    if command -v at_exit >/dev/null; then
        at_exit "$work_status" || work_status=$?
    fi
    exit "$work_status"
}

# end_child gives the children 10 seconds to clean up.
end_child() {
    [ -n "$child" ] || return 0
    kill -s TERM -- "-$child" 2>/dev/null || return 0
    for _ in $(seq 20); do
        kill -s 0 -- "-$child" 2>/dev/null || return 0
        sleep 0.5
    done
    kill -s KILL -- "-$child" 2>/dev/null || true
}

work_end() {
    end_child
    [ -n "$work" ] || return 0
    find "$work" -name postmaster.pid 2>/dev/null | while read -r pidfile; do
        data=${pidfile%/*}
        as_user pg_ctl -D "$data" -m fast -t 20 -w stop >/dev/null 2>&1 ||
            as_user pg_ctl -D "$data" -m immediate -t 20 -w stop >/dev/null 2>&1 ||
            echo "cannot stop the server in $data" >&2
    done
    cd /
    rm -rf "$work"
    work=''
}

# memory_settings on|off: before 17 there is shared memory for those who preload.
memory_settings() {
    major=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
    if [ "$major" -lt 17 ]; then
        [ "$1" = off ] || echo "shared_preload_libraries = 'usage_tracking'"
    else
        [ "$1" = on ] || echo 'usage_tracking.counter_slots = 0'
    fi
}

server_memory() {
    memory_settings "$1" | as_user sh -c 'cat >"$0"' "$work/memory.conf"
    # PostgreSQL::Test::Cluster takes it for every server it makes.
    export TEMP_CONFIG="$work/memory.conf"
    [ ! -e "$work/data/postmaster.pid" ] || server_run restart
}

# server_run start|restart
server_run() {
    as_user pg_ctl -D "$work/data" -l "$work/server.log" -w "$1" >/dev/null || {
        cat "$work/server.log" >&2
        return 1
    }
}

server_start() {
    as_user initdb -D "$work/data" -U postgres -A trust --no-locale -E UTF8 -N >"$work/initdb.log" 2>&1 || {
        cat "$work/initdb.log" >&2
        return 1
    }
    as_user sh -c 'cat >>data/postgresql.conf' <<CONF
listen_addresses = ''
unix_socket_directories = '$work'
fsync = off
max_prepared_transactions = 20
timezone = 'UTC'
include = '$work/memory.conf'
CONF
    server_memory "${UT_MEMORY:-on}"
    server_run start
    # The user's own settings must not lead elsewhere.
    unset PGSERVICE PGHOSTADDR PGPASSWORD PGOPTIONS PGSSLMODE PGTZ PGDATESTYLE
    export PGHOST="$work" PGPORT=5432 PGUSER=postgres PGDATABASE=postgres PGAPPNAME=usage_tracking
}

install_built() {
    if [ -w "$("$PG_CONFIG" --pkglibdir)" ] && [ -w "$("$PG_CONFIG" --sharedir)/extension" ]; then
        make -s --no-print-directory -C "$1" install >/dev/null
    else
        sudo make -s --no-print-directory -C "$1" PG_CONFIG="$PG_CONFIG" install >/dev/null
    fi
}
