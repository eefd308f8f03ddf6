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
# shellcheck source=test/lib/machine.sh
. "$root/test/lib/machine.sh"
machine_begin fresh-check

machine_base bookworm-bare bookworm git,make,gcc,ca-certificates
echo "Unpacking it and cloning HEAD."
machine_unpack "$machine/root"
git -c safe.directory="$root" -c safe.directory="$root/.git" clone -q --no-hardlinks "$root" "$machine/root/src"

echo "make demo && make test, in there:"
machine_run "$machine/root" 'cd /src && make demo && make test'

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
