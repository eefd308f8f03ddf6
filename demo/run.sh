#!/bin/sh
# run.sh shows what the extension does: `make demo`.
#
# It builds and installs the extension, starts a throw-away server, tells the
# story of demo.sql and removes everything again. TRACE=file.csv then replays a
# trace of LLM requests (columns TIMESTAMP,ContextTokens,GeneratedTokens) and
# compares the totals with what awk makes of the same file. The pages that users and
# administrators look at stay in demo/pages, or in the folder PAGES.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
users=20
pages=${PAGES:-$root/demo/pages}
max_tokens=900000
trace=''
if [ -n "${TRACE:-}" ]; then
    [ -r "$TRACE" ] || {
        echo "demo: cannot read TRACE=$TRACE" >&2
        exit 1
    }
    trace=$(cd "$(dirname "$TRACE")" && pwd)/$(basename "$TRACE")
fi

# shellcheck source=test/lib/server.sh
. "$root/test/lib/server.sh"

at_exit() {
    [ "$1" = 0 ] || {
        echo "The demo failed." >&2
        return "$1"
    }
    echo "The server has stopped and its folder is removed."
}

# tell runs SQL in the database of that name. The server's user may not be able to
# read our files, so they are handed over.
tell() {
    as_user psql -Xq -v ON_ERROR_STOP=1 -P pager=off -d "$@"
}

# replay_trace: the users take turns, each with a daily limit on tokens.
replay_trace() {
    as_user psql -Xqc 'CREATE DATABASE trace'
    tr -d '\r' <"$trace" >"$work/trace.csv"
    export PGOPTIONS="-c demo.users=$users -c demo.max_tokens=$max_tokens"
    cp "$root/demo/trace.sql" "$work/trace.sql"
    chmod 644 "$work/trace.sql"
    tell trace -f "$work/trace.sql" <"$work/trace.csv" >"$work/replayed"
    unset PGOPTIONS
    awk -F, -v users="$users" -v max="$max_tokens" '
        NR > 1 && NF == 3 {
            sub(/\r$/, "", $3)
            tokens = $2 + $3
            key = (NR - 1) % users " " substr($1, 1, 10)
            room = max - used[key]
            if (room < 0) room = 0
            if (tokens > room) over += tokens - room
            used[key] += tokens
            sum += tokens
            n++
        }
        END { printf "%.0f|%.0f|%.0f\n", n, sum, over }' "$trace" >"$work/computed"
    {
        echo "from|events|tokens|tokens over the limit"
        sed 's/^/usage_events|/' "$work/replayed"
        sed 's/^/the file, by awk|/' "$work/computed"
    } | awk -F'|' '{ printf "%-18s %8s %12s %24s\n", $1, $2, $3, $4 }'
    if ! cmp -s "$work/replayed" "$work/computed"; then
        echo "They DIFFER."
        return 1
    fi
    echo "They are equal."
}

# write_pages asks for them as those who look at them: Eve, and Ops who is an admin.
write_pages() {
    tell demo <"$root/demo/pages.sql"
    mkdir -p "$pages"
    for page in 'user eve' 'admin ops'; do
        kind=${page% *}
        user=$(tell demo -At -c "SELECT id FROM app_users WHERE email = '${page#* }@example.com'")
        tell demo -At -c "SET usage_tracking.user_id = '$user'" -c "SET usage_tracking.funnel_steps = 'chat, image, video'" \
            -c 'SET ROLE demo_app' -c "SELECT usage.${kind}_page()" >"$work/$kind.html"
        grep -q '</html>' "$work/$kind.html"
        cat "$work/$kind.html" >"$pages/$kind.html"
    done
}

"$root/test/lib/need.sh" build server
work_begin
make -s --no-print-directory -C "$root" all
install_built "$root"
server_start

as_user psql -Xqc 'CREATE DATABASE demo'
tell demo <"$root/demo/demo.sql"
if [ -n "$trace" ]; then
    echo "== A trace of real requests: $(basename "$trace"), $users users, each with $max_tokens tokens a day:"
    replay_trace
fi
write_pages
echo "== What users and administrators look at, SELECT usage.user_page(), usage.admin_page(), is in $pages:"
echo "   user.html, admin.html. Open them in a browser; they need nothing else."
