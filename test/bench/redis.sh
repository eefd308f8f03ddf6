# shellcheck shell=sh
# redis.sh, sourced after server.sh: a throw-away Redis in $work.
#
#   redis_start  installs Redis where it is missing, and starts it: on a socket
#                alone, RACE_REDIS, and nothing on disk; false if that fails
#   redis_stop   ends it, also when the folder is gone

: "${root:?}" "${work:=}"
redis_pid=''

redis_start() {
    [ -z "$redis_pid" ] || return 0
    "$root/test/lib/need.sh" redis >&2 || return 1
    as_user redis-server --port 0 --unixsocket "$work/redis" --save '' --appendonly no --dir "$work" \
        --daemonize yes --pidfile "$work/redis.pid" --logfile "$work/redis.log" >/dev/null || return 1
    for _ in $(seq 50); do
        [ ! -s "$work/redis.pid" ] || [ ! -S "$work/redis" ] || break
        sleep 0.1
    done
    redis_pid=$(cat "$work/redis.pid") || return 1
    export RACE_REDIS="$work/redis"
}

redis_stop() {
    [ -n "$redis_pid" ] && kill "$redis_pid" || return 0
    for _ in $(seq 50); do
        kill -s 0 "$redis_pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -s KILL "$redis_pid" 2>/dev/null || true
    redis_pid=''
}
