#!/bin/sh
# check-style.sh is the house's lint, in plain shell and awk: `make check-style`.
#
#   all text  no path of somebody's machine; no file over 800 lines (400 warns),
#             but for expected output, prose and frozen scripts
#   C         functions to 120 lines (60 warns), longer only after a comment
#             "long: why"; PG_VERSION_NUM only in src/compat.h; no floating
#             point; an errcode in every ereport(ERROR); a room includes only
#             headers of itself, of earlier rooms and of no room; SQL with
#             qualified operators and nothing that hides one
#   SQL       rooms create, never OR REPLACE or IF NOT EXISTS; every function
#             states volatility, strictness and parallel safety, and pins its
#             search_path where it needs one; no timestamp without time zone
#   META.json has the version of the control file
#
# Prints "file:line: what", then the sums; fails if there are findings.
set -eu

cd "$(dirname "$0")/.."
rooms=$(sed -n 's/^ROOMS *= *//p' Makefile)
found=$(mktemp)
trap 'rm -f "$found"' EXIT

files() {
    if [ -e .git ]; then
        git -c safe.directory="$PWD" ls-files -co --exclude-standard -- "$@"
    else
        for pattern in "$@"; do find . -path "./$pattern"; done | sed 's,^\./,,'
    fi | while read -r file; do [ ! -f "$file" ] || echo "$file"; done | sort -u
}

check_text() {
    # The odd brackets keep this line from finding itself.
    files '*' | tr '\n' '\0' |
        xargs -0 grep -nIE '(^|[^A-Za-z0-9_.~})-])/([w]ork|[h]ome/[a-z]+|[r]oot|[U]sers)/' /dev/null |
        sed -E 's/^([^:]*:[0-9]+):.*/\1: a path of a machine/' || true

    files '*.c' '*.h' '*.sql' '*.sh' '*.pl' '*.spec' '*.awk' | grep -vE '^(expected|sql/released)/|^sql/.*--.*\.sql$' |
        while read -r file; do
            lines=$(wc -l <"$file")
            if [ "$lines" -gt 800 ]; then
                echo "$file:$lines: file of $lines lines, 800 are the most"
            elif [ "$lines" -gt 400 ]; then
                echo "$file:$lines: warning: file of $lines lines, 400 are enough"
            fi
        done

    control=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" ./*.control)
    grep -n '^ *"version":' META.json | grep -vF -e "\"$control\"" -e '"1.0.0"' |
        sed 's/^\([0-9]*\):.*/META.json:\1: not the version of the control file/' || true
}

# shellcheck disable=SC2016 # awk has dollars of its own
# c_code reads C and sets, for each line, code (no comments, strings emptied);
# pieces of string constants that follow each other are one text, handed to
# on_string(text, lines) with "\n" between the pieces.
c_code='
function flush() {
    if (text != "") on_string(text, text_lines)
    text = ""; text_lines = ""
}
function strip(line,    out, c, two) {
    out = ""
    while (line != "") {
        if (in_comment) {
            if (!(c = index(line, "*/"))) return out
            line = substr(line, c + 2); in_comment = 0; continue
        }
        two = substr(line, 1, 2); c = substr(line, 1, 1)
        if (two == "/*") { in_comment = 1; line = substr(line, 3); continue }
        if (two == "//") return out
        if (c == "\"" && match(line, /^"([^"\\]|\\.)*"/)) {
            text = text (text_lines == "" ? "" : "\n") substr(line, 2, RLENGTH - 2)
            text_lines = text_lines " " FNR
            out = out "\"\""; line = substr(line, RLENGTH + 1); continue
        }
        if (c == "\047" && match(line, /^\047([^\047\\]|\\.[^\047]*)\047/)) {
            flush(); out = out "0"; line = substr(line, RLENGTH + 1); continue
        }
        if (c !~ /[ \t]/) flush()
        out = out c; line = substr(line, 2)
    }
    return out
}
FNR == 1 { flush(); in_comment = 0; depth = 0; in_report = 0; start = 0; excused = 0; file = FILENAME }
{ code = strip($0) }
END { flush() }
'

check_c() {
    c_files=$(files 'src/*.c' 'src/*.h' 'test/stress/*.c' 'test/stress/*.h' 'test/bench/*.c')
    [ -n "$c_files" ] || return 0
    # shellcheck disable=SC2086 # file names of ours, without spaces
    awk -v rooms="$rooms" "$c_code"'
    function say(line, what) { print file ":" line ": " what }
    BEGIN { count = split(rooms, room_list, " "); for (i = 1; i <= count; i++) rank[room_list[i]] = i }
    # A function is what stands between braces of column 0.
    !start && /\/\* *long:/ { excused = 1 }
    /^\{/ { start = FNR }
    /^\}/ {
        length_ = FNR - start - 1
        if (/^\}[ \t]*$/ && start && length_ > 60) {
            if (length_ <= 120) say(start, "warning: function of " length_ " lines, 60 are enough")
            else if (!excused) say(start, "function of " length_ " lines, 120 are the most without a comment \"long: why\"")
        }
        start = 0; excused = 0
    }
    code ~ /PG_VERSION_NUM/ && file != "src/compat.h" { say(FNR, "PG_VERSION_NUM belongs in src/compat.h") }
    file ~ /^src\// && code ~ /(^|[^A-Za-z0-9_])(float|double|float[48]|FLOAT[48]OID|[A-Za-z0-9]*Float[48][A-Za-z]*)([^A-Za-z0-9_]|$)/ {
        say(FNR, "floating point")
    }
    # The statement of an ereport, to its closing parenthesis.
    !in_report && match(code, /ereport\(/) { in_report = FNR; report = ""; code = substr(code, RSTART) }
    in_report {
        report = report code; opened = gsub(/\(/, "(", code); closed = gsub(/\)/, ")", code)
        depth += opened - closed
        if (depth <= 0) {
            if (report ~ /ereport\([ \t]*(ERROR|FATAL)/ && report !~ /errcode/) say(in_report, "ereport(ERROR) without errcode")
            in_report = 0; depth = 0
        }
    }
    # room_of says which room a file of src belongs to, "" for none.
    function room_of(path,    name) {
        name = path; sub(/.*\//, "", name); sub(/\.[ch]$/, "", name)
        if (name in rank) return name
        sub(/_.*/, "", name)
        return name in rank ? name : ""
    }
    file ~ /^src\// && file != "src/module.c" && /^#include "/ {
        split($0, part, "\"")
        mine = room_of(file); other = part[2] ~ /\// ? "" : room_of(part[2])
        if (other != "" && mine == "") say(FNR, "common code includes room " other)
        else if (other != "" && rank[other] > rank[mine]) say(FNR, "room " mine " comes before room " other)
    }
    function blank(text, pattern,    out, hit) {
        out = ""
        while (match(text, pattern)) {
            hit = substr(text, RSTART, RLENGTH); gsub(/[^\n]/, "", hit)
            out = out substr(text, 1, RSTART - 1) " " hit " "
            text = substr(text, RSTART + RLENGTH)
        }
        return out text
    }
    # SQL: a text with our schema in it, or that begins like a statement. What is
    # allowed is blanked out, then any operator that is left is one too many.
    function on_string(text, lines,    piece, line, n, i, s) {
        if (file !~ /^src\// || (text !~ /@extschema@\./ && text !~ /^[ \n]*(SELECT|INSERT INTO|DELETE FROM|WITH|UPDATE [a-z%@"]+)[ \n]/)) return
        text = blank(text, "\047[^\047]*\047")
        text = blank(text, "OPERATOR\\(pg_catalog\\.[^)]+\\)")
        if (text ~ /UPDATE/) text = blank(text, "(SET|,)[ \n]+\\(?[a-z_%, ]+\\)? = ")
        n = split(text, piece, "\n"); split(lines, line, " ")
        for (i = 1; i <= n; i++) {
            s = " " piece[i] " "
            gsub(/ (SELECT|RETURNING) \* /, " ", s)
            if (match(s, /[ a-z0-9_)]([-+\/%=<>!~&|^#]|\|\||[<>!]=|<>|->>?|#>>?|@>|<@) /) || match(s, / \* /))
                say_sql(line[i], "SQL with an unqualified operator: " substr(s, RSTART, RLENGTH))
            if (match(s, /IS (NOT )?DISTINCT FROM| IN \(| BETWEEN | USING \(| I?LIKE |NULLIF\(|NATURAL JOIN|CASE [^W ]/))
                say_sql(line[i], "SQL that hides an operator: " substr(s, RSTART, RLENGTH))
        }
    }
    function say_sql(line, what) { gsub(/  +/, " ", what); say(line, what) }
    ' $c_files
}

check_sql() {
    sql_files=''
    for room in header $rooms footer; do
        for file in "sql/$room.sql" sql/"$room"_*.sql; do
            case $file in *--*) continue ;; esac
            [ ! -e "$file" ] || sql_files="$sql_files $file"
        done
    done
    [ -n "$sql_files" ] || return 0
    # shellcheck disable=SC2086 # file names of ours, without spaces
    awk '
    function say(line, what) { print FILENAME ":" line ": " what }
    # outside returns the line without comments, strings and bodies.
    function outside(line,    out, c, two, tag) {
        out = ""
        while (line != "") {
            if (inside != "") {
                if (!(c = index(line, inside))) return out
                line = substr(line, c + length(inside)); inside = ""; continue
            }
            two = substr(line, 1, 2); c = substr(line, 1, 1)
            if (two == "--") return out
            if (two == "/*") { inside = "*/"; line = substr(line, 3); continue }
            if (c == "\047") { inside = "\047"; line = substr(line, 2); continue }
            if (match(line, /^\$[A-Za-z_]*\$/)) { inside = substr(line, 1, RLENGTH); line = substr(line, RLENGTH + 1); continue }
            out = out c; line = substr(line, 2)
        }
        return out
    }
    function lacks(pattern, what) { if (head !~ pattern) say(start, "function states no " what) }
    FNR == 1 { inside = ""; start = 0 }
    { code = toupper(outside($0)) }
    code ~ /OR REPLACE|IF NOT EXISTS/ { say(FNR, "rooms create, they do not replace or skip") }
    { zoned = code; gsub(/TIMESTAMP *(\([0-9]\))? WITH TIME ZONE/, "", zoned) }
    zoned ~ /(^|[^A-Z_"])TIMESTAMP([^A-Z_"]|$)/ { say(FNR, "timestamp without time zone") }
    code ~ /DOUBLE PRECISION|FLOAT[48]?([^A-Z]|$)/ { say(FNR, "floating point") }
    !start && code ~ /^ *CREATE +(OR +REPLACE +)?(FUNCTION|PROCEDURE) / { start = FNR; head = "" }
    start {
        head = head " " code
        if ((head ~ /BEGIN ATOMIC/ && code ~ /^ *END *;/) || (head !~ /BEGIN ATOMIC/ && inside == "" && code ~ /; *$/)) {
            sub(/BEGIN ATOMIC.*/, "", head)
            lacks(" (IMMUTABLE|STABLE|VOLATILE)", "volatility")
            lacks(" (STRICT|CALLED ON NULL INPUT|RETURNS NULL ON NULL INPUT)", "strictness")
            lacks(" PARALLEL (SAFE|RESTRICTED|UNSAFE)", "parallel safety")
            if (head ~ /LANGUAGE PLPGSQL|SECURITY DEFINER/) lacks("SET SEARCH_PATH *(=|TO) *PG_CATALOG, PG_TEMP", "search_path = pg_catalog, pg_temp")
            start = 0
        }
    }' $sql_files
}

{
    check_text
    check_c
    check_sql
} >"$found"
sort -t: -k1,1 -k2,2n "$found"
warnings=$(grep -cE '^[^:]*:[0-9]*: warning: ' "$found" || true)
findings=$(($(wc -l <"$found") - warnings))
echo "check-style: $findings findings, $warnings warnings"
[ "$findings" = 0 ]
