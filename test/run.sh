#!/bin/sh
# run.sh runs every test there is: `make test`.
#
# It builds and installs the extension, copies the tree to a folder of an
# unprivileged user, starts a throw-away server and runs there
#   regress    test/sql/*.sql        pg_regress, against expected/
#   isolation  test/specs/*.spec     pg_isolation_regress
#   pgtap      test/pgtap/*.sql      pg_prove, each file in a new database `pgtap`
#   tap        test/t/*.pl           prove, with servers of their own; longer with
#                                    UT_CRASH_CYCLES (3), UT_POOLER_TRANSACTIONS (2000),
#                                    UT_MODEL_OPS (2000), UT_CREDIT_OPS (3000),
#                                    UT_TALLY_STEPS (10000), UT_LONG_CALLS (10000),
#                                    UT_FAULT_SHAPES=all
#   stress     test/stress/Makefile  `make check`, UT_STRESS_SECONDS (6) long, with
#                                    UT_ONCE_EVENTS (3000)
# ONLY="regress tap" runs some of them. The last line counts single tests: a
# regress file, a spec, an assertion. A runner that fails without a failed test,
# or runs nothing where there are files, is a failed test.
#
# All of it for uuid, and what depends on the type of user ids for the extensions
# of the other types too; UT_USER_ID="uuid text bigint" lists the types, and the
# first one gets everything. Tests are written for uuid; for the others
# test/lib/translate-ids.pl rewrites the copy of the tree.
#
# UT_MEMORY=on lets servers count in shared memory, off does not. Without it they do
# but for type text, which then gets the TAP tests that have to do with it as well.
# What does not depend on the type, such as isolation, stress and attacks, runs once
# for each way.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
: "${ONLY:=regress isolation pgtap tap stress}"
: "${UT_USER_ID:=uuid text bigint}"
: "${UT_STRESS_SECONDS:=6}"
export UT_STRESS_SECONDS
# Data that some tests need and that is no part of the project.
export UT_DATA="${UT_DATA:-$root/../shared/data}"
# What was freed is overwritten, so that nobody reads it by luck.
export MALLOC_PERTURB_="${MALLOC_PERTURB_:-165}"

passed=0 failed=0 skipped=0 complete=false

at_exit() {
    $complete || {
        echo "The tests did not run to their end."
        failed=$((failed + 1))
    }
    [ "$((passed + failed + skipped))" != 0 ] || failed=1
    [ "$skipped" = 0 ] || echo "$skipped skipped: see above"
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}

# shellcheck source=test/lib/server.sh
. "$root/test/lib/server.sh"
# shellcheck source=test/lib/releases.sh
. "$root/test/lib/releases.sh"

needs='build server'
for kind in $ONLY; do
    case $kind in
    regress | isolation) ;;
    pgtap | tap | stress) needs="$needs $kind" ;;
    *)
        echo "run.sh: ONLY is some of: regress isolation pgtap tap stress" >&2
        exit 2
        ;;
    esac
done
for user_id in $UT_USER_ID; do
    case $user_id in
    uuid | text | bigint) ;;
    *)
        echo "run.sh: UT_USER_ID is some of: uuid text bigint" >&2
        exit 2
        ;;
    esac
done
case ${UT_MEMORY=} in
on | off | '') ;;
*)
    echo "run.sh: UT_MEMORY is on or off" >&2
    exit 2
    ;;
esac

# memory_of TYPE is on or off.
memory_of() {
    case $UT_MEMORY,$1 in
    ,text) echo off ;;
    ,*) echo on ;;
    *) echo "$UT_MEMORY" ;;
    esac
}

has_files() { [ -e "$1" ]; }

is_first_type() { [ "$user_id" = "${UT_USER_ID%% *}" ]; }

# is_another_way: of counting than the first type had, or that is this type.
is_another_way() {
    is_first_type || [ "$memory" != "$(memory_of "${UT_USER_ID%% *}")" ]
}

# has_its_turn FILE is false for what another type's pass is enough for. The first
# type listed gets everything, the others what depends on the type; pages are
# written for uuid, and five tests look at all three. The other way of counting gets
# what counts.
has_its_turn() {
    case $1 in
    test/pgtap/user_ids.sql | test/pgtap/privacy.sql | test/pgtap/stripe.sql | test/t/025_databases.pl | test/t/040_examples.pl | test/t/115_worker.pl) [ "$user_id" = uuid ] ;;
    test/t/020_signups.pl) ;;
    test/t/030_restore.pl | test/t/050_crash.pl | test/t/055_cancelled.pl | test/t/060_prepared.pl | test/t/070_standby.pl | test/t/075_logical.pl | test/t/100_model.pl | test/t/110_upkeep.pl | test/t/120_credits.pl | test/t/130_leases.pl)
        is_another_way
        ;;
    test/pgtap/attacks_write.sql | test/pgtap/bad_input.sql | test/pgtap/explain.sql) is_another_way ;;
    test/specs/attach_* | test/specs/credits_once.spec | test/specs/gauge_rows.spec | test/specs/import_at_once.spec | test/specs/last_admin.spec | test/specs/lease_* | test/specs/recost_at_once.spec | test/specs/run_* | test/specs/stripe_at_once.spec | test/specs/tally_at_once.spec)
        is_first_type
        ;;
    test/specs/*) is_another_way ;;
    test/t/* | test/pgtap/attacks_*.sql | test/pgtap/odd_settings.sql | test/pgtap/windows.sql | test/pgtap/pages.sql) is_first_type ;;
    esac
}

# report KIND STATUS LOG adds what one runner did to the totals. The counters
# below leave "passed failed skipped seconds" in $work/count.
report() {
    read -r p f s <"$work/count"
    why=''
    if [ "$f" = 0 ] && [ "$2" != 0 ]; then
        why="the runner ended with status $2"
    elif [ "$((p + f + s))" = 0 ]; then
        why='no test was run'
    fi
    [ -z "$why" ] || f=$((f + 1))
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    title=$1
    [ "$user_id" = uuid ] || title="$user_id: $1"
    [ "$memory" = on ] || title="$title, without memory"
    printf '%-44s %4d ok' "$title" "$p"
    [ "$s" = 0 ] || printf ', %d SKIPPED' "$s"
    [ "$f" = 0 ] || printf ', %d NOT OK' "$f"
    echo "${why:+ ($why)}"
    [ "$s" = 0 ] || grep -i '# *skip\|skipped: ' "$3" | sort | uniq -c | sort -rn | head -n 10
    [ "$f" = 0 ] || {
        show_failure "$3"
        return 1
    }
}

show_failure() {
    echo "---- $1"
    case $1 in
    */regress.log | */isolation.log) grep -v ' \.\.\. ok  *[0-9]* ms$' "$1" | tail -n 60 ;;
    *) grep -v '^ok ' "$1" | tail -n 60 ;;
    esac
    [ ! -s test/regression.diffs ] || {
        echo "---- regression.diffs"
        head -n 200 test/regression.diffs
    }
    echo "---- the server's last lines"
    grep -v ' LOG:  ' "$work/server.log" | tail -n 25
    echo "----"
}

# count_regress reads pg_regress of 15 ("test x ... ok") and of 16 and later
# (TAP). A psql that crashed after the right output is a failure too.
count_regress() {
    awk '
        / \.\.\. (ok|FAILED|failed)/ {
            if ($0 ~ / \.\.\. ok/ && $0 !~ /test process|exited with|terminated by/) p++; else f++
        }
        /^ok [0-9]/ { p++ }
        /^not ok [0-9]/ { f++ }
        END { print p + 0, f + 0, 0 }' "$1" >"$work/count"
}

count_tap() {
    awk '
        /^test\/.* \.\.+ skipped: / { s++ }
        /^(not )?ok / {
            if (toupper($0) ~ /# *SKIP/) s++
            else if (/^ok / || toupper($0) ~ /# *TODO/) p++
            else f++
        }
        END { print p + 0, f + 0, s + 0 }' "$1" >"$work/count"
}

# run_regress KIND OTHER PATTERN: make installcheck without the variable OTHER.
run_regress() {
    # A left-over result would hide a missing test.
    rm -rf test/results test/regression.diffs test/regression.out
    log=$work/$1.log status=0
    as_user make -s --no-print-directory installcheck "$2=" TAP_TESTS= TESTED="$tested" >"$log" 2>&1 || status=$?
    count_regress "$log"
    for file in $3; do
        name=$(basename "${file%.*}")
        if [ -e "$file" ] && [ -z "${REGRESS:-}${ISOLATION:-}" ] && ! grep -Eq "(^| )$name +(\.\.\.|[0-9])" "$log"; then
            echo "$file was not run" >>"$log"
            status=1
        fi
    done
    report "$1" "$status" "$log" || {
        # For whoever has to look at them or take them over.
        rm -rf "$root/test/results"
        cp -R test/results "$root/test/results" 2>/dev/null || true
    }
}

run_pgtap() {
    as_user psql -Xqc 'CREATE DATABASE pgtap_template'
    as_user psql -Xqd pgtap_template -c 'CREATE EXTENSION pgtap'
    for file in test/pgtap/*.sql; do
        log=$work/pgtap.log status=0
        as_user psql -Xqc 'CREATE DATABASE pgtap TEMPLATE pgtap_template'
        as_user pg_prove --verbose --dbname pgtap "$file" >"$log" 2>&1 || status=$?
        count_tap "$log"
        report "pgtap/$(basename "$file")" "$status" "$log" || true
        as_user psql -Xqc 'DROP DATABASE pgtap WITH (FORCE)'
    done
    as_user psql -Xqc 'DROP DATABASE pgtap_template'
}

run_tap() {
    pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
    for file in test/t/*.pl; do
        log=$work/tap.log status=0 own=$work/tap/$(basename "$file" .pl)
        as_user mkdir -p "$own/tmp_check"
        as_user env PERL5LIB="$pgxs/src/test/perl:$PWD/test/t" PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
            TESTDIR="$own" TESTDATADIR="$own/tmp_check" TESTLOGDIR="$own/tmp_check/log" \
            prove --verbose "$file" >"$log" 2>&1 || status=$?
        count_tap "$log"
        report "t/$(basename "$file")" "$status" "$log" || {
            tail -n 40 "$own"/tmp_check/log/regress_log_* 2>/dev/null || true
        }
        as_user rm -rf "$own"
    done
}

run_stress() {
    log=$work/stress.log status=0
    as_user psql -Xqc 'CREATE DATABASE stress'
    as_user env PGDATABASE=stress make -s --no-print-directory -C test/stress check >"$log" 2>&1 || status=$?
    count_tap "$log"
    # Programs that speak no TAP are one test.
    read -r p f s <"$work/count"
    [ "$((p + f + s))" != 0 ] || [ "$status" != 0 ] || echo '1 0 0' >"$work/count"
    report stress "$status" "$log" || true
    as_user psql -Xqc 'DROP DATABASE stress'
}

# pack_tree makes $work/tree.tar: what git knows or would take, and the built
# scripts.
pack_tree() {
    (
        cd "$root"
        if [ -e .git ]; then
            git -c safe.directory="$root" ls-files -co --exclude-standard -z
        else
            find . \( -type f -o -type l \) ! -name '*.o' ! -name '*.so' ! -path './test/results/*' -print0
        fi
        find sql -name '*--*.sql' -print0
    ) >"$work/files"
    tar -C "$root" --null --files-from="$work/files" --ignore-failed-read -cf "$work/tree.tar" 2>/dev/null
}

# unpack_tree makes $work/$user_id, with the tests whose turn it is with that type.
unpack_tree() {
    as_user mkdir "$work/$user_id"
    as_user tar -C "$work/$user_id" -xf - <"$work/tree.tar"
    cd "$work/$user_id"
    for file in test/specs/*.spec test/pgtap/*.sql test/t/*.pl; do
        has_its_turn "$file" || as_user rm -f "$file"
    done
    tested=usage_tracking
    [ "$user_id" != uuid ] || return 0
    tested=usage_tracking_$user_id
    find test/sql test/specs test/pgtap test/t test/stress expected -type f >"$work/files"
    as_user xargs test/lib/translate-ids.pl "$user_id" <"$work/files"
}

# release_sources makes $work/releases/X, the tree of version X, for the test that
# updates from it: of the history, or of the UT_RELEASES that was given.
release_sources() {
    if [ -z "${UT_RELEASES:-}" ]; then
        mkdir "$work/history"
        UT_RELEASES=$work/history
        release_trees "$UT_RELEASES"
    fi
    as_user mkdir "$work/releases"
    tar -C "$UT_RELEASES" -cf "$work/releases.tar" .
    as_user tar -C "$work/releases" -xf - <"$work/releases.tar"
    rm "$work/releases.tar"
    export UT_RELEASES="$work/releases"
}

# shellcheck disable=SC2086 # a list of words
"$root/test/lib/need.sh" $needs
case " $ONLY " in *' tap '*)
    "$root/test/lib/need.sh" pooler || echo 'Without pgbouncer one TAP test is skipped.'
    "$root/test/lib/need.sh" browser || echo 'Without Chromium one TAP test is skipped.'
    ;;
esac
work_begin
make -s --no-print-directory -C "$root" all
install_built "$root"
server_start
pack_tree
release_sources

for user_id in $UT_USER_ID; do
    memory=$(memory_of "$user_id")
    server_memory "$memory"
    unpack_tree
    for kind in $ONLY; do
        case $kind in
        regress) ! has_files test/sql/*.sql || run_regress regress ISOLATION 'test/sql/*.sql' ;;
        isolation) ! has_files test/specs/*.spec || run_regress isolation REGRESS 'test/specs/*.spec' ;;
        pgtap) ! has_files test/pgtap/*.sql || run_pgtap ;;
        tap) ! has_files test/t/*.pl || run_tap ;;
        stress) ! is_another_way || ! has_files test/stress/Makefile || run_stress ;;
        esac
    done
    cd "$work"
    rm -rf "${work:?}/$user_id"
done
complete=true
