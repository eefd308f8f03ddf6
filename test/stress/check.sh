#!/bin/sh
# check.sh makes a database, runs the stress test in it and drops it.
#
# UT_STRESS_LIBRARY=/path/to/other.so runs the test against another build of the
# library than the one installed: that is how to see that it fails when, say,
# the limit check of take_rows in src/counters.c is taken out.
set -eu

cd "$(dirname "$0")"
database=usage_tracking_stress_$$
at_exit() {
    psql -Xqc "SET client_min_messages = error" -c "DROP DATABASE IF EXISTS $database WITH (FORCE)"
}
trap at_exit EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

psql -Xqc "CREATE DATABASE $database"
psql -Xqd "$database" -v ON_ERROR_STOP=1 -v library="${UT_STRESS_LIBRARY:-}" -f setup.sql >/dev/null
PGDATABASE=$database ./stress
