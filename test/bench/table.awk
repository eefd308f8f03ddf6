# table.awk makes tables of what races printed, each line after the columns
# work, keys, clients and synchronous_commit.
#
#   show=sides   a line for each side: for who watches
#   show=tables  Markdown: ratios of the extension to others, in each round to
#                the turns of the same round; the median, and (least-most)

BEGIN { FS = "\t" }

{ cell = $1 FS $2 FS $3 FS $4 }
!(cell in known) { known[cell]; cells[++ncells] = cell }
$5 == "turn" {
    n = ++turns[cell, $6]
    rate[cell, $6, n] = $7
    wal[cell, $6, n] = $8
    if (n == 1) sides[cell] = sides[cell] " " $6
}
$5 == "latency" { typical[cell, $6] = $7; worst[cell, $6] = $8 }

# summarize sets middle, least and most of list[1..n].
function summarize(n,    i, j, t) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
            t = list[j]; list[j] = list[j - 1]; list[j - 1] = t
        }
    least = list[1]; most = list[n]
    middle = n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

function median_of(values, cell, side,    i, n) {
    n = turns[cell, side]
    for (i = 1; i <= n; i++) list[i] = values[cell, side, i] + 0
    summarize(n)
    return middle
}

function ratio(cell, side, other,    i, n) {
    n = turns[cell, side]
    for (i = 1; i <= n; i++) list[i] = rate[cell, side, i] / rate[cell, other, i]
    summarize(n)
    return sprintf("%.2f (%.2f–%.2f)", middle, least, most)
}

function users(keys) { return keys == 1 ? "one" : keys }

function show_sides(cell,    n, i, name) {
    n = split(sides[cell], name, " ")
    for (i = 1; i <= n; i++)
        printf "  %-18s %9.0f calls/s  %6.0f us typical %7.0f us 99th  %5.0f WAL bytes\n", name[i],
            median_of(rate, cell, name[i]), typical[cell, name[i]], worst[cell, name[i]], median_of(wal, cell, name[i])
}

function check_row(what, part, suffix) {
    printf "| %s | %s | %s | %s | %s |\n", what, users(part[2]), part[3],
        ratio(cell, "ours_check" suffix, "hand_check" suffix), ratio(cell, "ours_check" suffix, "seed_check" suffix)
}

function write_row(call, part) {
    printf "| `%s_usage` | %s | %s | %s | %s | %s |\n", call, users(part[2]), part[3], part[4],
        ratio(cell, "ours_" call, "hand_write"), ratio(cell, "ours_" call, "seed_" call)
}

function tally_row(what, part, suffix) {
    printf "| %s | %s | %s | %s | %s |\n", what, part[3], part[4],
        ratio(cell, "tally_ours" suffix, "tally_bare" suffix), ratio(cell, "tally_ours" suffix, "tally_seed" suffix)
}

function wal_row(what, side,    bytes) {
    bytes = median_of(wal, cell, side)
    printf "| %s | %.0f | %.2f |\n", what, bytes, bytes / median_of(wal, cell, "hand_update")
}

# What one step costs more than the one before it, in the same round.
function layout_row(what, side, before,    i, n, us, bytes) {
    n = turns[cell, side]
    for (i = 1; i <= n; i++) list[i] = 1e6 / rate[cell, side, i] - 1e6 / rate[cell, before, i]
    summarize(n)
    us = middle
    bytes = median_of(wal, cell, side) - median_of(wal, cell, before)
    printf "| %s | %+.1f | %+.0f |\n", what, us, bytes
}

function headed(kind, head) {
    if (kind == last) return
    last = kind
    print "\n" head
    gsub(/[^|]+/, "---", head)
    print head
}

function show_table(cell,    part) {
    split(cell, part, FS)
    if (part[1] ~ /^check/)
        headed("check", "| `check_usage_limit` | users | clients | to a SELECT by hand | to the PL/pgSQL service |")
    if (part[1] == "check_1000") check_row("1000 calls in one statement", part, "_1000")
    if (part[1] == "check") check_row("a call a statement", part, "")
    if (part[1] == "write") {
        headed("write", "| call | users | clients | `synchronous_commit` | to a statement by hand | to the PL/pgSQL service |")
        write_row("track", part)
        write_row("consume", part)
    }
    if (part[1] ~ /^tally/) {
        headed("tally", "| tally | clients | `synchronous_commit` | to the bare INSERT | to the row trigger in PL/pgSQL |")
        tally_row(part[1] == "tally" ? "a row of one preset" : "1000 rows of 100 presets", part, part[1] == "tally" ? "" : "_1000")
    }
    if (part[1] == "cost_1000") {
        headed("cost", "| cost of one call | µs | by hand, µs | to a statement by hand |")
        printf "| `calculate_llm_cost` | %.1f | %.1f | %s |\n", 1e6 / median_of(rate, cell, "ours_cost_1000"),
            1e6 / median_of(rate, cell, "hand_cost_1000"), ratio(cell, "ours_cost_1000", "hand_cost_1000")
    }
    if (part[1] == "layout") {
        headed("layout", "| an event | µs | WAL bytes |")
        layout_row("into a table without an index", "layout_heap", "layout_none")
        layout_row("b-tree (user_id, occurred_at, id)", "layout_btree", "layout_heap")
        layout_row("BRIN (id, recorded_at)", "layout_brin", "layout_btree")
        layout_row("the same table, in partitions", "layout_partitions", "layout_brin")
        layout_row("one counter of it", "layout_counter", "layout_none")
        layout_row("an event in the PL/pgSQL service's layout", "layout_seed", "layout_none")
    }
    if (part[1] == "wal") {
        headed("wal", "| WAL of one call | bytes | to INSERT and UPDATE by hand |")
        wal_row("`track_usage`", "ours_track")
        wal_row("`consume_usage`", "ours_consume")
        wal_row("INSERT of the event and UPDATE of one counter by hand", "hand_update")
        wal_row("INSERT of the event and upsert of one counter by hand", "hand_write")
        wal_row("PL/pgSQL service: track", "seed_track")
        wal_row("PL/pgSQL service: check and track", "seed_consume")
    }
}

END {
    for (c = 1; c <= ncells; c++) {
        cell = cells[c]
        if (show == "sides") show_sides(cell)
        else show_table(cell)
    }
}
