# releases.sh finds the sources of released versions. To be sourced with $root set.

# release_trees DIR makes DIR/X, the tree of the commit that froze version X. An
# archive has no such commits, and a shallow clone not all of them.
release_trees() {
    mkdir -p "$1"
    [ -e "$root/.git" ] || return 0
    for frozen in "$root"/sql/released/usage_tracking--*.sql; do
        [ -e "$frozen" ] || continue
        version=${frozen##*--} version=${version%.sql}
        commit=$(git -C "$root" -c safe.directory="$root" log -1 --diff-filter=A --format=%H -- "sql/released/${frozen##*/}")
        [ -n "$commit" ] || continue
        mkdir "$1/$version"
        git -C "$root" -c safe.directory="$root" archive "$commit" | tar -C "$1/$version" -xf -
    done
}
