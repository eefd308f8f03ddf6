# table.awk, after stats.awk, makes tables of what races printed.
#
#   show=sides   a line for each side: for who watches
#   show=tables  Markdown: ratios of the extension to others; the median, and
#                (least-most)

function show_sides(cell,    n, i, name) {
    n = split(sides[cell], name, " ")
    for (i = 1; i <= n; i++)
        printf "  %-18s %9.0f calls/s  %6.0f us typical %7.0f us 99th  %5.0f WAL bytes\n", name[i],
            median_of(rate, cell, name[i]), typical[cell, name[i]], worst[cell, name[i]], median_of(wal, cell, name[i])
}

function check_row(what, part, suffix, more) {
    printf "| %s | %s | %s | %s | %s | %s | %s | %s |\n", what, users(part[2]), part[3],
        ratio(cell, "ours_check" suffix, "hand_check" suffix),
        more ? ratio(cell, "ours_check_row", "hand_check") : "",
        more ? ratio(cell, "ours_check3", "hand_check") : "",
        ratio(cell, "ours_check" suffix, "seed_check" suffix),
        more ? ratio(cell, "ours_check", "seed_trips") : ""
}

function write_row(call, part) {
    printf "| `%s_usage` | %s | %s | %s | %s | %s | %.0f / %.0f | %.0f / %.0f |\n", call, users(part[2]), part[3], part[4],
        ratio(cell, "ours_" call, "hand_write"), ratio(cell, "ours_" call, "seed_" call),
        typical[cell, "ours_" call], worst[cell, "ours_" call], typical[cell, "hand_write"], worst[cell, "hand_write"]
}

function tally_row(what, part, suffix) {
    printf "| %s | %s | %s | %s | %s |\n", what, part[3], part[4],
        ratio(cell, "tally_ours" suffix, "tally_bare" suffix), ratio(cell, "tally_ours" suffix, "tally_seed" suffix)
}

function wal_row(what, side,    bytes) {
    bytes = median_of(wal, cell, side)
    printf "| %s | %.0f | %.2f | %.0f |\n", what, bytes, bytes / median_of(wal, cell, "hand_update"), mean_growth(cell, side)
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

function show_table(cell,    part, suffix) {
    split(cell, part, FS)
    if (part[1] ~ /^check/)
        headed("check", "| `check_usage_limit` | users | clients | to a SELECT by hand | the whole answer | with 3 limits | to the PL/pgSQL service | to the service\047s three statements |")
    if (part[1] == "check_1000") check_row("1000 calls in one statement", part, "_1000", 0)
    if (part[1] == "check") check_row("a call a statement", part, "", 1)
    if (part[1] == "write") {
        headed("write", "| call | users | clients | `synchronous_commit` | to a statement by hand | to the PL/pgSQL service | µs, half / 99 % | by hand |")
        write_row("track", part)
        write_row("consume", part)
    }
    if (part[1] == "hot" || part[1] == "hot_20ms") {
        headed("hot", "| one hot user, `synchronous_commit` on | clients | to the INSERT of the event | to a row lock in PL/pgSQL |")
        suffix = part[1] == "hot" ? "" : "_20ms"
        if (turns[cell, "ours_consume" suffix])
            printf "| `consume_usage`, %s | %s | %s | %s |\n", suffix ? "transactions of 20 ms" : "a call a transaction", part[3],
                ratio(cell, "ours_consume" suffix, "hand_event" suffix), ratio(cell, "ours_consume" suffix, "hand_consume" suffix)
    }
    if (part[1] == "rate" && turns[cell, "ours_rate"]) {
        headed("rate", "| `consume_rate_limit` | clients | to SELECT 1 | to Redis |")
        printf "| a call a statement | %s | %s | %s |\n", part[3], ratio(cell, "ours_rate", "select_1"),
            turns[cell, "redis_rate"] ? ratio(cell, "ours_rate", "redis_rate") : "no Redis"
        printf "| the whole answer | %s | %s | %s |\n", part[3], ratio(cell, "ours_rate_row", "select_1"),
            turns[cell, "redis_rate"] ? ratio(cell, "ours_rate_row", "redis_rate") : "no Redis"
        if (turns[cell, "redis_rate"])
            printf "| SELECT 1 | %s | | %s |\n", part[3], ratio(cell, "select_1", "redis_rate")
    }
    if (part[1] == "rated_insert" && turns[cell, "redis_rated_insert"]) {
        headed("rate", "| `consume_rate_limit` | clients | to SELECT 1 | to Redis |")
        printf "| and an INSERT, in one statement | %s | | %s |\n", part[3], ratio(cell, "ours_rated_insert", "redis_rated_insert")
        printf "| the INSERT alone | %s | | %s |\n", part[3], ratio(cell, "hand_request", "redis_rated_insert")
    }
    if (part[1] == "batch") {
        headed("batch", "| events of 1000 in a statement | µs each | COPY, µs each | to COPY |")
        printf "| `track_usage_batch` | %.1f | %.1f | %s |\n", 1e6 / median_of(rate, cell, "ours_batch_1000"),
            1e6 / median_of(rate, cell, "hand_copy_1000"), ratio(cell, "ours_batch_1000", "hand_copy_1000")
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
        headed("wal", "| one call | bytes of WAL | to INSERT and UPDATE by hand | bytes on disk |")
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
        else if (show == "tables") show_table(cell)
    }
}
