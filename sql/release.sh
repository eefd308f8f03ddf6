#!/bin/sh
# release.sh [--check] freezes the built scripts as sql/released/NAME--X.sql:
# `make release`. X is the version of the control file.
#
# It refuses if a script of X is frozen that differs, if something is not
# committed, if CHANGELOG.md or META.json do not name X, or if the release before
# it cannot be updated to X. With --check it freezes nothing and only says whether
# what is frozen as X is what is built, which must be so until X is over.
set -eu

cd "$(dirname "$0")/.."
version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" usage_tracking.control)
names='usage_tracking usage_tracking_text usage_tracking_bigint'

refuse() {
    echo "release $version: $1" >&2
    exit 1
}

check_frozen() {
    for name in $names; do
        frozen=sql/released/$name--$version.sql
        [ ! -e "$frozen" ] || cmp -s "sql/$name--$version.sql" "$frozen" ||
            refuse "$frozen differs from what is built; a changed script is a new version"
    done
}

check_tree() {
    dirt=$(git -c safe.directory="$PWD" status --porcelain --untracked-files=all) || refuse 'this is no git repository'
    # What an earlier call froze may wait to be committed.
    dirt=$(printf '%s\n' "$dirt" | grep -v -e "^?? sql/released/usage_tracking[a-z_]*--$version\.sql\$" \
                                         -e "^ M sql/updates/.*--$version\.sql\$" || true)
    [ -z "$dirt" ] || refuse "not everything is committed:
$dirt"
}

check_papers() {
    grep -Eq "^## $version \([0-9]{4}-[0-9]{2}-[0-9]{2}\)\$" CHANGELOG.md ||
        refuse "CHANGELOG.md has no heading \"## $version (YYYY-MM-DD)\""
    # Four of them: of the distribution and of the extensions it provides.
    [ "$(grep -c "^ *\"version\": \"$version\"" META.json)" = 4 ] ||
        refuse "META.json does not say version $version four times"
}

# older prints the releases there are, the last one last.
older() {
    for frozen in sql/released/usage_tracking--*.sql; do
        [ -e "$frozen" ] || continue
        other=${frozen##*--}
        echo "${other%.sql}"
    done | grep -vxF "$version" | sort -V
}

check_update() {
    [ -z "$before" ] || [ -e "sql/updates/$before--$version.sql" ] ||
        refuse "sql/updates/$before--$version.sql is missing"
}

# The rooms go on, the update stays what it was.
freeze_update() {
    update=sql/updates/$before--$version.sql
    [ -n "$before" ] || return 0
    awk -f sql/update.awk "$update" >"$update.frozen"
    mv "$update.frozen" "$update"
}

check_frozen
[ "${1:-}" != --check ] || exit 0
check_tree
check_papers
before=$(older | tail -n 1)
check_update
freeze_update
mkdir -p sql/released
for name in $names; do
    cp "sql/$name--$version.sql" "sql/released/$name--$version.sql"
done
echo "Frozen as $version in sql/released. Next: commit them and tag the commit v$version."
