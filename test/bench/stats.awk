# stats.awk reads what races printed, each line after the columns work, keys,
# clients and synchronous_commit, for table.awk and targets.awk; ratios are those
# of turns of the same round.

BEGIN { FS = "\t" }

{ cell = $1 FS $2 FS $3 FS $4 }
!(cell in known) { known[cell]; cells[++ncells] = cell }
$5 == "turn" {
    n = ++turns[cell, $6]
    rate[cell, $6, n] = $7
    wal[cell, $6, n] = $8
    growth[cell, $6, n] = $9
    if (n == 1) sides[cell] = sides[cell] " " $6
}
$5 == "latency" { typical[cell, $6] = $7; worst[cell, $6] = $8 }
$5 == "figure" { figure[cell, $6] = $7 }

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

# A file grows by blocks, and now and then: the mean of all calls.
function mean_growth(cell, side,    i, n, calls, bytes) {
    n = turns[cell, side]
    for (i = 1; i <= n; i++) {
        calls += rate[cell, side, i]
        bytes += rate[cell, side, i] * growth[cell, side, i]
    }
    return bytes / calls
}

function ratio(cell, side, other,    i, n) {
    n = turns[cell, side]
    for (i = 1; i <= n; i++) list[i] = rate[cell, side, i] / rate[cell, other, i]
    summarize(n)
    return sprintf("%.2f (%.2f–%.2f)", middle, least, most)
}

function users(keys) { return keys == 1 ? "one" : keys }
