#!/bin/sh
# fresh-check.sh proves that a clone runs on a machine nobody prepared:
# `make fresh-check`, as root.
#
# It makes a Debian 12 system with nothing but git, make and gcc in a folder,
# clones HEAD into it and runs `make demo` and `make test` there, in a process
# namespace of its own. No process may be left, and the clone must be as clean as
# before. The bare system is kept, a week, below ~/.cache; the rest is removed.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" = 0 ] || {
    echo "fresh-check makes a chroot, for which it has to be root: sudo make fresh-check" >&2
    exit 1
}
"$root/test/lib/need.sh" chroot

suite=bookworm
cache=${XDG_CACHE_HOME:-$HOME/.cache}/usage_tracking
base=$cache/$suite-bare.tar
machine=$(mktemp -d "${TMPDIR:-/tmp}/usage_tracking-fresh.XXXXXX")
child=''

# What is mounted is mounted in the namespace of the child and gone with it;
# unshare ignores milder signals.
finish() {
    status=$?
    trap '' HUP INT TERM
    trap - EXIT
    [ -z "$child" ] || { kill -KILL "$child" && wait "$child"; } 2>/dev/null || true
    rm -rf --one-file-system "$machine"
    exit "$status"
}
trap finish EXIT
trap 'trap "" HUP INT TERM; exit 143' HUP INT TERM

# make_base makes the bare system from the mirrors, and with the proxies, that
# apt uses here.
make_base() {
    mkdir -p "$cache"
    find "$cache" -name "${base##*/}" -mtime +7 -delete
    [ ! -e "$base" ] || return 0
    echo "Making a bare Debian ($suite) with mmdebstrap, kept in $cache."
    apt-config dump | grep -E '^Acquire::(http|https|ftp|Check|Retries|ForceIPv)' >"$machine/apt.conf" || true
    # shellcheck disable=SC2016 # for apt
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
        grep -E " $suite(-updates|-security)? main\$" | sort -u >"$machine/sources.list" || true
    [ -s "$machine/sources.list" ] || {
        echo "deb http://deb.debian.org/debian $suite main"
        echo "deb http://deb.debian.org/debian $suite-updates main"
        echo "deb http://deb.debian.org/debian-security $suite-security main"
    } >"$machine/sources.list"
    mmdebstrap --quiet --variant=minbase --include=git,make,gcc,ca-certificates \
        --aptopt="$machine/apt.conf" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        "$suite" "$base.part" "$machine/sources.list" --format=tar >"$machine/log" 2>&1 || {
        tail -n 20 "$machine/log" >&2
        return 1
    }
    mv "$base.part" "$base"
}

# shellcheck disable=SC2016 # for the inner shell
# inside is what runs as process 1 of the namespace; $1 is the system's folder.
inside='
    set -eu
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
    status=0
    env -u TMPDIR -u PG_CONFIG -u MAKEFLAGS -u MAKELEVEL -u MAKEOVERRIDES \
        HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        chroot "$1" sh -c "cd /src && make demo && make test" || status=$?
    echo "status $status"
    # A process that was just killed may take a moment to be gone.
    for try in 1 2 3 4 5; do
        left=""
        for process in "$1"/proc/[0-9]*; do
            read -r stat <"$process/stat" || continue
            case $stat in
            "1 "* | *") Z "*) ;;
            *) left="$left ${stat%%)*})" ;;
            esac
        done 2>/dev/null
        [ -n "$left" ] || break
        sleep 1
    done
    echo "left: $left"
'

make_base
echo "Unpacking it and cloning HEAD."
mkdir "$machine/root"
tar -C "$machine/root" --exclude='./dev/*' -xf "$base"
cp -L /etc/resolv.conf /etc/hosts "$machine/root/etc/" 2>/dev/null || true
git -c safe.directory="$root" -c safe.directory="$root/.git" clone -q --no-hardlinks "$root" "$machine/root/src"

echo "make demo && make test, in there:"
unshare --mount --pid --fork --kill-child sh -c "$inside" sh "$machine/root" >"$machine/log" 2>&1 </dev/null &
child=$!
wait "$child" || true
child=''

findings=0
find_fault() {
    echo "fresh-check: $1"
    findings=$((findings + 1))
}
grep -q '^status 0$' "$machine/log" || find_fault 'a command failed'
grep -q '^left: $' "$machine/log" || find_fault 'a process was left'
grep -Eq '^[1-9][0-9]* passed, 0 failed$' "$machine/log" || find_fault 'no passed tests'
dirt=$(git -c safe.directory='*' -C "$machine/root/src" status --porcelain)
[ -z "$dirt" ] || find_fault "the clone is not clean: $dirt"

if [ "$findings" = 0 ]; then
    tail -n 15 "$machine/log"
else
    tail -n 150 "$machine/log"
fi
echo "fresh-check: $findings findings"
[ "$findings" = 0 ]
