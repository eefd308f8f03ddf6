#!/bin/sh
# matrix.sh runs every test on every PostgreSQL there is: `make matrix`, as root.
#
# VERSIONS="15 17 18" chooses, ONLY and UT_USER_ID as for run.sh. Each version
# runs in the Debian that has it: the tree is copied there, built with warnings
# as errors, and `make test` runs in namespaces of its own, so that nothing stays
# mounted or running. A system is kept, a week, below ~/.cache. Of several
# versions, upgrade.sh upgrades each to the next. One line a version; the last
# line is the sum.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
: "${VERSIONS:=15 17 18}"

# shellcheck source=test/lib/machine.sh
. "$root/test/lib/machine.sh"
# shellcheck source=test/lib/releases.sh
. "$root/test/lib/releases.sh"
machine_begin matrix
for version in $VERSIONS; do debian_of "$version" >/dev/null || exit 2; done

settings=''
for name in ONLY UT_USER_ID UT_STRESS_SECONDS; do
    eval "value=\${$name:-}"
    [ -z "$value" ] || settings="$settings $name='$value'"
done

passed=0 failed=0

# fault TEXT is a failure of the version beside those of its tests.
fault() {
    f=$((f + 1))
    faults="$faults; $1"
}

# kinds_for VERSION: pgTAP is not packaged for a server that is not released.
kinds_for() {
    case $1 in
    19) echo tap stress ;;
    *) echo pgtap tap stress ;;
    esac
}

# prefer_its_own VERSION: libpq from where a server that is not released is.
prefer_its_own() {
    [ "$1" != 19 ] || cat <<'SH'
printf "%s\\n" "Package: libpq* postgresql*" "Pin: release a=experimental" "Pin-Priority: 990" >/etc/apt/preferences.d/ahead
SH
}

run_version() {
    postgres_base "postgresql-$1" "$(debian_of "$1")" \
        "$(prefer_its_own "$1")
        PG_MAJOR=$1 sh /need.sh build server $(kinds_for "$1")"
    machine_unpack "$machine/root"
    machine_tree "$machine/root/src"
    # What the tree does not have and a test may use: older releases, real data.
    release_trees "$machine/root/releases"
    [ ! -d "$root/../shared/data" ] || { mkdir "$machine/root/shared" && cp -rL "$root/../shared/data" "$machine/root/shared/"; }
    chroot "$machine/root" pg_config --version >"$machine/version"
    begun=$(date +%s)
    machine_run "$machine/root" "cd /src && env UT_RELEASES=/releases ONLY='regress isolation $(kinds_for "$1")'$settings make -s test"
    seconds=$(($(date +%s) - begun)) log=$machine/log faults='' p=0 f=0

    counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log" | tail -n 1)
    if [ -n "$counts" ]; then
        p=${counts% *} f=${counts#* }
    else
        fault 'the tests did not run'
    fi
    if [ "$f" = 0 ] && ! grep -q '^status 0$' "$log"; then fault 'the tests failed'; fi
    [ "$((p + f))" != 0 ] || fault 'no test passed'
    grep -q '^left: $' "$log" || fault 'a process was left'
    grep -q "^PostgreSQL $1[^0-9]" "$machine/version" || fault "this is $(cat "$machine/version")"

    [ "$f" = 0 ] || sed "s/^/$1| /" "$log"
    grep -E 'SKIPPED|skipped: |# *skip' "$log" | sed "s/^/$1| /" || true
    echo "$(cat "$machine/version"): $p passed, $f failed$faults ($seconds s)"
    passed=$((passed + p)) failed=$((failed + f))
    rm -rf --one-file-system "$machine/root"
}

# In the foreground: it cleans up after itself.
run_upgrades() {
    log=$machine/upgrade.log
    VERSIONS="$1" "$root/test/upgrade.sh" >"$log" 2>&1 || true
    counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$log" | tail -n 1)
    : "${counts:=0 1}"
    [ "${counts#* }" = 0 ] || sed 's/^/pg_upgrade| /' "$log"
    echo "$(grep '^pg_upgrade ' "$log" || echo pg_upgrade): ${counts% *} passed, ${counts#* } failed"
    passed=$((passed + ${counts% *})) failed=$((failed + ${counts#* }))
}

for version in $VERSIONS; do run_version "$version"; done
released=
for version in $VERSIONS; do [ "$version" = 19 ] || released="${released:+$released }$version"; done
case $released in
*' '*) run_upgrades "$released" ;;
esac
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
