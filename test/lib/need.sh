#!/bin/sh
# need.sh GROUP... installs, through apt, what a make target needs and the
# machine lacks: so that a fresh clone runs with nothing prepared by hand.
# Quick and silent when everything is there.
#
#   build   compiler, make and the headers of PostgreSQL
#   server  a PostgreSQL server to start (no cluster is made, nothing started)
#   pgtap   pgTAP and pg_prove
#   tap     perl's prove and IPC::Run, for PostgreSQL::Test::Cluster; pg_amcheck;
#           libpq's headers
#   pooler  pgbouncer, for one of the TAP tests
#   browser Chromium, for the TAP test of pages
#   stress  libpq's headers
#   redis   a Redis server, for one part of the benchmark
#   chroot  mmdebstrap and git
#
# PG_CONFIG chooses the PostgreSQL; where there is none, PG_MAJOR (15) is
# installed.
set -eu

pg_config=${PG_CONFIG:-pg_config}

has() { command -v "$1" >/dev/null 2>&1; }
pg() { "$pg_config" "--$1" 2>/dev/null || echo /nonexistent; }

major=$("$pg_config" --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
major=${major:-${PG_MAJOR:-15}}

# missing prints the packages that one group still needs.
missing() {
    case $1 in
    build)
        has gcc || echo gcc
        has make || echo make
        echo '#include <stdio.h>' | gcc -E - >/dev/null 2>&1 || echo libc6-dev
        # A server's package may have the makefiles without the headers.
        [ -e "$(pg pgxs)" ] && [ -e "$(pg includedir-server)/postgres.h" ] || echo "postgresql-server-dev-$major"
        ;;
    server)
        [ -x "$(pg bindir)/postgres" ] || echo "postgresql-$major"
        ;;
    pgtap)
        [ -e "$(pg sharedir)/extension/pgtap.control" ] || echo "postgresql-$major-pgtap"
        has pg_prove || echo libtap-parser-sourcehandler-pgtap-perl
        ;;
    tap)
        has prove || echo perl
        perl -MIPC::Run -e 1 2>/dev/null || echo libipc-run-perl
        [ -x "$(pg bindir)/pg_amcheck" ] || echo "postgresql-client-$major"
        [ -e "$(pg sharedir)/extension/amcheck.control" ] || echo "postgresql-$major"
        [ -e "$(pg includedir)/libpq-fe.h" ] || echo libpq-dev
        ;;
    pooler)
        has pgbouncer || [ -x /usr/sbin/pgbouncer ] || echo pgbouncer
        ;;
    browser)
        has chromium || has chromium-browser || has google-chrome || echo chromium
        ;;
    stress)
        [ -e "$(pg includedir)/libpq-fe.h" ] || echo libpq-dev
        ;;
    redis)
        has redis-server || echo redis-server
        ;;
    chroot)
        has mmdebstrap || echo mmdebstrap
        has git || echo git
        ;;
    *)
        echo "need.sh: no group \"$1\"" >&2
        exit 2
        ;;
    esac
}

reason() {
    case $1 in
    build) echo 'to build' ;;
    server) echo 'for a throw-away server' ;;
    pgtap) echo 'for the pgTAP tests' ;;
    tap) echo 'for the TAP tests' ;;
    pooler) echo 'for the test with a connection pooler' ;;
    browser) echo 'for the test that looks at pages' ;;
    stress) echo 'for clients that stress and measure' ;;
    redis) echo 'to compare rate limits with Redis' ;;
    chroot) echo 'for a fresh machine in a chroot' ;;
    esac
}

wanted='' told=''
for group in "$@"; do
    list=$(missing "$group")
    [ -n "$list" ] || continue
    # shellcheck disable=SC2086,SC2116 # lines to words
    list=$(echo $list)
    wanted="$wanted $list"
    told="$told, $list ($(reason "$group"))"
done
[ -n "$wanted" ] || exit 0

command="apt-get update && apt-get install -y --no-install-recommends$wanted"
if ! has apt-get; then
    echo "Please install the equivalent of${told#,}." >&2
    exit 1
elif [ "$(id -u)" = 0 ]; then
    root='env'
elif has sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    root=sudo
else
    echo "Missing:${told#,}. As root, run: $command" >&2
    exit 1
fi

echo "Installing${told#,}."

# Debian's server package would make and start a cluster named main, its pooler
# and Redis packages a service; files that are there only meanwhile keep them from doing so.
# shellcheck disable=SC2016,SC2086 # for the inner shell; a list of words
$root sh -c '
    own=/etc/postgresql-common/createcluster.d/zz-none-by-usage-tracking.conf
    policy=/usr/sbin/policy-rc.d
    log=$(mktemp)
    trap "rm -f $own $log" EXIT
    trap "exit 1" HUP INT TERM
    mkdir -p "${own%/*}"
    echo "create_main_cluster = false" >"$own"
    [ -e "$policy" ] || {
        own="$own $policy"
        printf "#!/bin/sh\nexit 101\n" >"$policy"
        chmod 755 "$policy"
    }
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update >"$log" 2>&1 || true
    apt-get -q install -y --no-install-recommends "$@" >>"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        exit 1
    }
    for service in pgbouncer redis-server; do
        case " $* " in *" $service "*) update-rc.d "$service" disable >"$log" 2>&1 || true ;; esac
    done' sh $wanted </dev/null || {
    echo "apt could not install$wanted. By hand, as root: $command" >&2
    exit 1
}

for group in "$@"; do
    left=$(missing "$group")
    [ -z "$left" ] || {
        echo "Still missing for $pg_config:" "$left" >&2
        exit 1
    }
done
