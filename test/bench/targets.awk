# targets.awk, after stats.awk: with show=targets, the promised ratios in Markdown,
# each with what was measured and whether that keeps the promise.

# measure adds to "text" the ratios of a side to another in the cells of that work,
# for each number of clients; one beyond the target is a miss.
function measure(work, keys, sync, most_clients, side, other, target,    c, cell, part) {
    for (c = 1; c <= ncells; c++) {
        cell = cells[c]
        split(cell, part, FS)
        if (part[1] != work || (keys == 1) != (part[2] == 1) || part[4] != sync || part[3] > most_clients) continue
        if (!turns[cell, side] || !turns[cell, other]) continue
        add(part[3] " clients", ratio(cell, side, other), middle >= target)
    }
}

function add(name, value, is_met) {
    if (name == "1 clients") name = "1 client"
    text = text (text == "" ? "" : "; ") name (name == "" ? "" : ": ") value
    if (!is_met) missed = 1
}

# exact adds what race_to_the_unit found; it ends the benchmark where it found less.
function exact(work,    c, part, seen) {
    for (c = 1; c <= ncells; c++) {
        split(cells[c], part, FS)
        if (part[1] == work && ((cells[c], "units") in figure)) seen = seen (seen == "" ? "" : " and ") part[3]
    }
    if (seen != "") add("", "to the unit with " seen " clients", 1)
}

function row(work, against, target) {
    printf "| %s | %s | %s | %s | %s |\n", work, against, target, text == "" ? (why == "" ? "not measured" : why) : text,
        text == "" || target == "" || is_other ? "" : missed ? "**no**" : "yes"
    text = ""; missed = 0; why = ""; is_other = 0
}

function rows_of_checks(    rows) {
    rows = figure["check_rows" FS 1 FS 1 FS "off", "rows"]
    measure("check", 1, "off", 16, "ours_check3", "hand_check", 0.85)
    row("`check_usage_limit`, prepared, end to end: 3 limits, 1 override, 1 reservation, a user whom 16 used at once" \
        (rows ? " (" rows " rows of counters)" : ""),
        "prepared primary-key SELECT of one counter", "≥ 0.85")
    measure("check", 2, "off", 16, "ours_check3", "hand_check", 0.85)
    row("the same, 10 k users", "the same", "≥ 0.85")
    measure("check", 2, "off", 16, "ours_check", "hand_check", 0.85)
    row("the same with 1 limit", "the same", "≥ 0.85")
    measure("check_1000", 2, "off", 1, "ours_check_1000", "seed_check_1000", 5)
    row("`check_usage_limit` inside one backend", "the guide's check in PL/pgSQL", "≥ 5")
}

function rows_of_writes(    sync, call) {
    for (call = 1; call <= 2; call++)
        for (sync = 1; sync <= 2; sync++) {
            measure("write", 2, sync == 1 ? "off" : "on", 16, call == 1 ? "ours_track" : "ours_consume", "hand_write", 1.1)
            row((call == 1 ? "`track_usage`" : "`consume_usage`") ", 10 k users, `synchronous_commit` " (sync == 1 ? "off" : "on"),
                "one statement with the same durable writes", "≥ 1.1")
        }
}

function rows_of_one_user() {
    measure("hot", 1, "on", 16, "ours_consume", "hand_consume", 6)
    exact("hot")
    row("`consume_usage`, one hot user, `synchronous_commit` on", "a row lock in PL/pgSQL", "≥ 6, limit exact")
    measure("hot", 1, "on", 16, "ours_consume", "hand_event", 0.8)
    row("the same", "plain INSERT of the event", "≥ 0.8")
    measure("hot_20ms", 1, "on", 40, "ours_consume_20ms", "hand_event_20ms", 0.97)
    exact("hot_20ms")
    row("`consume_usage`, one hot user, transactions of 20 ms", "plain INSERT of the event", "≥ 0.97, limit exact")
    measure("hot_20ms", 1, "on", 40, "hand_consume_20ms", "hand_event_20ms", 0)
    row("(a row lock in PL/pgSQL, transactions of 20 ms)", "plain INSERT of the event", "")
}

# The 99th percentile of one side, over the median of the same.
function tail(sync, most,    c, part) {
    for (c = 1; c <= ncells; c++) {
        split(cells[c], part, FS)
        if (part[1] == "write" && part[2] != 1 && part[3] == 16 && part[4] == sync && typical[cells[c], "ours_consume"] > 0)
            add("sync " sync, sprintf("%.1f (%.0f and %.0f µs; by hand %.1f)", worst[cells[c], "ours_consume"] / typical[cells[c], "ours_consume"],
                worst[cells[c], "ours_consume"], typical[cells[c], "ours_consume"], worst[cells[c], "hand_write"] / typical[cells[c], "hand_write"]),
                worst[cells[c], "ours_consume"] <= most * typical[cells[c], "ours_consume"])
    }
}

function rows_of_cost(    c, part, share) {
    tail("off", 5)
    tail("on", 5)
    row("`consume_usage`, 99th percentile, 16 clients, 10 k users", "its median", "≤ 5")
    for (c = 1; c <= ncells; c++) {
        split(cells[c], part, FS)
        if (part[1] != "wal") continue
        share = median_of(wal, cells[c], "ours_consume") / median_of(wal, cells[c], "hand_update")
        add("", sprintf("%.2f (%.0f and %.0f bytes)", share, median_of(wal, cells[c], "ours_consume"), median_of(wal, cells[c], "hand_update")),
            share <= 1.1)
    }
    row("WAL of one `consume_usage`, 1 limit", "INSERT of the event and UPDATE of one counter by hand", "≤ 1.1")
}

function rows_of_rates(    c, part) {
    for (c = 1; c <= ncells; c++)
        if ((cells[c], "why") in figure) no_rates = figure[cells[c], "why"]
    why = no_rates
    measure("rate", 2, "off", 64, "ours_rate", "select_1", 0.85)
    row("`consume_rate_limit`", "SELECT 1 on the same connections", "≥ 0.85")
    why = no_rates
    measure("rated_insert", 2, "on", 64, "ours_rated_insert", "redis_rated_insert", 1.3)
    row("a rate-limited INSERT in one statement", "Redis (one script of INCR and EXPIRE), then the INSERT", "≥ 1.3")
    why = no_rates
    measure("rate", 2, "off", 1, "ours_rate", "redis_rate", 0.9)
    row("`consume_rate_limit` alone, one connection", "Redis alone", "≥ 0.9")
}

function scale(work, side,    c, i, n) {
    for (c = 1; c <= ncells; c++) {
        if (!(n = turns[cells[c], side "_large"])) continue
        for (i = 1; i <= n; i++) list[i] = rate[cells[c], side "_small", i] / rate[cells[c], side "_large", i]
        summarize(n)
        add(work, sprintf("%.2f (%.2f–%.2f)", middle, least, most), middle <= 1.3)
        split(cells[c], scaled, FS)
    }
}

function rows_of_scale(    who) {
    for (who = 1; who <= 2; who++) {
        side = who == 1 ? "some_active_user" : "some_user"
        scale("counter there", "scale_counter_" side)
        scale("first use of a window", "scale_window_" side)
        scale("a new limit", "scale_limit_" side)
        row("check with " (scaled[2] ? scaled[2] : "many") " users, 10 events each: time for " (who == 1 ? "few of them" : "any of them"),
            "the same with few users in all", "≤ 1.3")
    }
}

function rows_of_others(    c, part) {
    measure("batch", 2, "off", 1, "ours_batch_1000", "hand_copy_1000", 0.5)
    row("`track_usage_batch` of 1000", "COPY of the same rows into the same table and indexes", "≥ 0.5")
    for (c = 1; c <= ncells; c++)
        if (cells[c] ~ /^cost_1000/)
            add("", ratio(cells[c], "ours_cost_1000", "hand_cost_1000") sprintf(", %.1f µs", 1e6 / median_of(rate, cells[c], "ours_cost_1000")),
                median_of(rate, cells[c], "ours_cost_1000") >= 5 * median_of(rate, cells[c], "hand_cost_1000"))
    row("cost of one call", "formula and look-up as one statement", "≥ 5")
    rows_of_scale()
    for (c = 1; c <= ncells; c++) {
        split(cells[c], part, FS)
        if (part[1] != "dashboards") continue
        add(part[2] " events", figure[cells[c], "times"], part[2] < 1e7 || figure[cells[c], "times"] >= 100)
        is_other = part[2] < 1e7
    }
    row("30-day dashboard", "the best plan over raw events, warm; equal", "≥ 100 with 10,000,000 events")
}

END {
    if (show == "targets") {
        print "\n| work | against | target | measured | met |"
        print "|---|---|---|---|---|"
        rows_of_checks()
        rows_of_writes()
        rows_of_one_user()
        rows_of_cost()
        rows_of_rates()
        rows_of_others()
    }
}
