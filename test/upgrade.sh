#!/bin/sh
# upgrade.sh takes a database from one PostgreSQL to the next with pg_upgrade:
# `make upgrade-check`, as root.
#
# VERSIONS="15 17 18" are installed side by side in a Debian in a folder, the
# extension is built for each of them there, and test/upgrade.pl runs in
# namespaces of its own, so that nothing stays mounted or running. The first of
# UT_USER_ID="uuid text bigint" gets all of it. The system is kept, a week, below
# ~/.cache. The last line counts assertions.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
: "${VERSIONS:=15 17 18}"
: "${UT_USER_ID:=uuid text bigint}"

# shellcheck source=test/lib/machine.sh
. "$root/test/lib/machine.sh"
machine_begin upgrade-check

for version in $VERSIONS; do debian_of "$version" >/dev/null || exit 2; done

# The newest Debian comes first: its libraries serve the older servers too.
suites=''
for version in $VERSIONS; do suites="$(debian_of "$version") $suites"; done
name=$(echo "upgrade $VERSIONS" | tr ' ' -)
# shellcheck disable=SC2016 # for the inner shell
install='for version in '$VERSIONS'; do
    PG_MAJOR=$version PG_CONFIG=/usr/lib/postgresql/$version/bin/pg_config sh /need.sh build server tap || exit
done'
# 17.12 gives each column an attribute option, pg_attver, that pg_upgrade cannot
# bring to 18.6, which does not know it; Debian's last release is before both.
released_only=true
postgres_base "$name" "${suites% }" "$install"
machine_unpack "$machine/root"
machine_tree "$machine/root/src"

# The test takes a library away and puts it back, as the servers' user.
# shellcheck disable=SC2016 # for the inner shell
machine_run "$machine/root" 'set -e
    VERSIONS="'"$VERSIONS"'" UT_USER_ID="'"$UT_USER_ID"'" quick=
    export VERSIONS
    cd /src
    for version in $VERSIONS; do
        bin=/usr/lib/postgresql/$version/bin
        $bin/postgres -V
        make -s PG_CONFIG=$bin/pg_config clean
        make -s PG_CONFIG=$bin/pg_config install >/dev/null
        chown postgres $($bin/pg_config --pkglibdir)
    done
    pgxs=$(dirname $($bin/pg_config --pgxs))/../..
    for type in $UT_USER_ID; do
        home=/home/$type
        mkdir $home
        cp -R test $home/test
        [ $type = uuid ] || test/lib/translate-ids.pl $type $home/test/upgrade.pl $home/test/t/Life.pm
        chown -R postgres $home
        (
            cd $home
            setpriv --reuid=postgres --regid=postgres --init-groups env HOME=$home UT_QUICK=$quick \
                PERL5LIB=$pgxs/src/test/perl PG_REGRESS=$pgxs/src/test/regress/pg_regress \
                TESTDIR=$home TESTDATADIR=$home/data TESTLOGDIR=$home/log \
                prove --verbose test/upgrade.pl || { tail -n 40 log/regress_log_*; false; }
        )
        quick=1
    done'

log=$machine/log
passed=$(grep -c '^ok ' "$log" || true)
failed=$(grep -c '^not ok ' "$log" || true)
if [ "$failed" = 0 ]; then
    grep -q '^status 0$' "$log" || failed=1
    grep -q '^left: $' "$log" || failed=1
    [ "$passed" != 0 ] || failed=1
fi
[ "$failed" = 0 ] || grep -v '^ok ' "$log"
echo "pg_upgrade$(sed -n 's/^postgres (PostgreSQL) \([^ ]*\).*/ \1/p' "$log" | tr -d '\n')"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
