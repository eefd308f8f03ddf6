# shellcheck shell=sh
# machine.sh, sourced: Debian systems in folders, for tests that need a machine
# of their own. Root only.
#
#   machine_begin NAME           checks, then makes the folder $machine, which ends
#                                with this script, however that ends
#   debian_of VERSION            prints the suites that have that PostgreSQL
#   machine_base NAME SUITES PACKAGES OPTION...
#                                sets $base: a tar of a system of the first suite
#                                with these packages, made by mmdebstrap where
#                                there is none of the last week
#   postgres_base NAME SUITES COMMAND
#                                the same; COMMAND runs there once, and finds
#                                need.sh as /need.sh
#   machine_unpack DIR           unpacks $base into DIR, ready for apt
#   machine_tree DIR             copies what git knows or would take of the project
#   machine_run DIR COMMAND      runs COMMAND in DIR, in namespaces of its own;
#                                $machine/log has what it printed, then lines
#                                "status N" and "left: PROCESSES"
#
# Nothing is mounted, started or left outside those namespaces. Bases are kept
# below ${XDG_CACHE_HOME:-~/.cache}/usage_tracking; removing them is harmless.

: "${root:?}"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/usage_tracking
child='' machine='' part='' released_only=false

machine_begin() {
    [ "$(id -u)" = 0 ] || {
        echo "$1 makes a chroot, for which it has to be root: sudo make $1" >&2
        exit 1
    }
    "$root/test/lib/need.sh" chroot
    mkdir -p "$cache"
    machine=$(mktemp -d "${TMPDIR:-/tmp}/usage_tracking-$1.XXXXXX")
    trap machine_exit EXIT
    trap 'trap "" HUP INT TERM; exit 143' HUP INT TERM
}

# What is mounted is mounted in the namespace of the child and gone with it;
# unshare ignores milder signals.
machine_exit() {
    machine_status=$?
    trap '' HUP INT TERM
    trap - EXIT
    [ -z "$child" ] || { kill -KILL "$child" && wait "$child"; } 2>/dev/null || true
    rm -rf --one-file-system "$machine" ${part:+"$part"}
    exit "$machine_status"
}

# uri_of LABEL FALLBACK is where apt gets Debian's packages from here.
uri_of() {
    # shellcheck disable=SC2016 # for apt
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' "Label: $1" | head -n 1) || true
    echo "${uri:-$2}"
}

# sources_of SUITE prints it, and its updates unless $released_only is true.
sources_of() {
    debian=$(uri_of Debian http://deb.debian.org/debian)
    echo "deb $debian $1 main"
    case $1,$released_only in
    sid,* | experimental,* | *,true) ;;
    *)
        echo "deb $debian $1-updates main"
        echo "deb $(uri_of Debian-Security http://deb.debian.org/debian-security) $1-security main"
        ;;
    esac
}

# debian_of VERSION are the suites where apt finds it, the one to install first.
debian_of() {
    case $1 in
    15) echo bookworm ;;
    17) echo trixie ;;
    18) echo forky ;;
    19) echo sid experimental ;;
    *)
        echo "VERSIONS are some of: 15 17 18, and 19 to look ahead" >&2
        return 1
        ;;
    esac
}

machine_base() {
    base=$cache/$1.tar suites=$2 packages=$3
    shift 3
    find "$cache" -maxdepth 1 -name "${base##*/}" -mtime +7 -delete
    [ ! -e "$base" ] || return 0
    echo "Making a Debian (${suites%% *}) with mmdebstrap, kept as $base."
    part=$base.$$
    apt-config dump | grep -E '^Acquire::(http|https|ftp|Retries|ForceIPv)' >"$machine/apt.conf" || true
    # A suite that is not yet released may lag behind its own dates.
    echo 'Acquire::Check-Valid-Until "false";' >>"$machine/apt.conf"
    for suite in $suites; do sources_of "$suite"; done >"$machine/sources.list"
    mmdebstrap --variant=minbase --include="$packages" --aptopt="$machine/apt.conf" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' "$@" \
        "${suites%% *}" "$part" "$machine/sources.list" --format=tar >"$machine/log" 2>&1 || {
        tail -n 20 "$machine/log" >&2
        return 1
    }
    mv "$part" "$base"
    part=''
}

# Of LLVM, which the server's headers come with, only what the server itself
# loads is of use: it would be half of the system.
# shellcheck disable=SC2016 # for mmdebstrap
postgres_base() {
    machine_base "$1" "$2" ca-certificates \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/include/llvm-*' \
        --dpkgopt='path-exclude=/usr/lib/llvm-*.a' --dpkgopt='path-exclude=/usr/lib/llvm-*/bin/*' \
        --customize-hook="upload $root/test/lib/need.sh /need.sh" \
        --customize-hook="chroot \"\$1\" sh -c '$3'" \
        --customize-hook='rm "$1/need.sh"'
}

machine_unpack() {
    mkdir "$1"
    tar -C "$1" --exclude='./dev/*' -xf "$base"
    cp -L /etc/resolv.conf /etc/hosts "$1/etc/" 2>/dev/null || true
}

machine_tree() {
    mkdir -p "$1"
    if [ -e "$root/.git" ]; then
        git -c safe.directory="$root" -C "$root" ls-files -co --exclude-standard -z
    else
        (cd "$root" && find . \( -type f -o -type l \) ! -name '*.o' ! -name '*.so' -print0)
    fi >"$machine/files"
    # A file may have been removed since git last knew it.
    tar -C "$root" --null --files-from="$machine/files" --ignore-failed-read -cf - 2>/dev/null |
        tar -C "$1" --no-same-owner -xf -
}

# shellcheck disable=SC2016 # for the inner shell
# inside is what runs as process 1 of the namespaces; $1 is the system's folder,
# $2 the command.
inside='
    set -eu
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
    status=0
    env -u TMPDIR -u PG_CONFIG -u MAKEFLAGS -u MAKELEVEL -u MAKEOVERRIDES \
        HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
        chroot "$1" sh -c "$2" || status=$?
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

machine_run() {
    unshare --mount --pid --ipc --fork --kill-child sh -c "$inside" sh "$1" "$2" >"$machine/log" 2>&1 </dev/null &
    child=$!
    wait "$child" || true
    child=''
}
