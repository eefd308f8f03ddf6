#!/bin/sh
# check.sh makes a database for each stress test, runs the test in it and drops it.
#
# UT_STRESS="reserve" runs some of them.  UT_STRESS_LIBRARY=/path/to/other.so runs
# them against another build of the library than the one installed: that is how to
# see that they fail when, say, the limit check of take_rows in
# src/counters_take.c is taken out.
set -eu

cd "$(dirname "$0")"
: "${UT_STRESS:=stress storm reserve once alerts credits leases runs}"
database=usage_tracking_stress_$$
at_exit() {
    psql -Xqc "SET client_min_messages = error" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)"
}
trap at_exit EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

status=0
for program in $UT_STRESS; do
    setup=$program.sql
    [ "$program" != stress ] || setup=setup.sql
    # A circle of waiting sessions is found before one of them is shot by the test.
    psql -Xqc "CREATE DATABASE $database" -c "ALTER DATABASE $database SET deadlock_timeout = '20ms'"
    psql -Xqd "$database" -v ON_ERROR_STOP=1 -v library="${UT_STRESS_LIBRARY:-}" -f "$setup" >/dev/null
    PGDATABASE=$database "./$program" || status=1
    at_exit
done
exit "$status"
