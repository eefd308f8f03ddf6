# Rate limits are exact among many sessions, outside transactions, and each server's
# own; what a full table or a crash costs is a burst more, never one less.
#
# Time stands still, at an instant that each call names, so what fits is a number and
# not a matter of speed. On PostgreSQL 15 and 16 the library is preloaded; from 17 on
# everything is done twice, with and without.
#
# Not tested here: decisions to the letter (rates_limits), who may ask (pgtap).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $user = "'aaaaaaaa-0000-4000-8000-000000000000'";
my $preloaded = "shared_preload_libraries = 'usage_tracking'\n";
my $major = ($ENV{PG_CONFIG} ? qx{$ENV{PG_CONFIG} --version} : qx{pg_config --version}) =~ /(\d+)/ ? $1 : die;
my $standing = "usage_tracking.clock = '2026-03-10 12:00+00'\n";
my $made = q{
    CREATE SCHEMA usage;
    CREATE EXTENSION usage_tracking SCHEMA usage;
    SELECT usage.define_rate_limit('api', 7, '1 second', 100), usage.define_rate_limit('slow', 5, '1 hour')};

sub server
{
    my ($name, $conf, @init) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);
    $node->init(@init);
    $node->append_conf('postgresql.conf', "$standing$conf");
    $node->start;
    $node->safe_psql('postgres', $made);
    return $node;
}

sub value { return $_[0]->safe_psql($_[2] // 'postgres', $_[1]) }

sub at { return "SET usage_tracking.clock = '2026-03-10 $_[0]+00';" }

sub state_of { return value($_[0], "SELECT $_[1] FROM usage.usage_memory WHERE name = 'usage_tracking rates'") }

# How many of so many requests of several clients at once were allowed.
sub storm
{
    my ($node, $time, $clients, $each, $statement) = @_;
    my $file = PostgreSQL::Test::Utils::tempdir() . '/storm.sql';
    append_to_file($file, $statement // "INSERT INTO taken SELECT d.used FROM usage.consume_rate_limit($user, 'api') AS d WHERE d.allowed;\n");
    value($node, 'DROP TABLE IF EXISTS taken; CREATE TABLE taken (used numeric)');
    local $ENV{PGOPTIONS} = "-c usage_tracking.clock='2026-03-10\\ $time+00'";
    $node->command_ok([ 'pgbench', '-n', '-c', $clients, '-j', 2, '-t', $each, '-M', 'prepared', '-f', $file, 'postgres' ],
        "$time: $clients clients ask");
    return value($node, 'SELECT count(*) FROM taken');
}

sub exact
{
    my ($how, $node) = @_;
    is(storm($node, '12:00:00', 16, 30), 100, "$how: a burst, and none beyond it");
    is(value($node, 'SELECT count(DISTINCT used) FROM taken'), 100, "$how: each is told another figure");
    is(storm($node, '12:00:01', 16, 20), 7, "$how: a second later, seven");
    is(storm($node, '12:00:01.142857', 8, 5), 0, "$how: a seventh later, rounded down, none");
    is(storm($node, '12:00:01.142858', 8, 5), 1, "$how: rounded up, one");
    is(storm($node, '12:00:02', 8, 5), 6, "$how: the rest of that second");
    is(storm($node, '12:10:00', 16, 30), 100, "$how: a full burst, after a long time");

    # As fast as they can, so that two are in the memory at once.
    value($node, "SELECT usage.define_rate_limit('many', 150000, '1 day')");
    storm($node, '12:00:00', 4, 1,
        "INSERT INTO taken SELECT count(*) FROM (SELECT usage.consume_rate_limit($user, 'many') AS d FROM generate_series(1, 50000) OFFSET 0) AS s WHERE (d).allowed;\n");
    is(value($node, 'SELECT sum(used) FROM taken'), 150000, "$how: of 200000 requests 150000");

    # As many as fit of several sizes: 100 is 3 * 33 + 1.
    value($node, "SELECT usage.define_rate_limit('threes', 7, '1 second', 100)");
    is(storm($node, '12:00:00', 8, 20, "INSERT INTO taken SELECT FROM usage.consume_rate_limit($user, 'threes', 3) AS d WHERE d.allowed;\n"),
        33, "$how: by threes");
    is(storm($node, '12:00:00', 8, 20, "INSERT INTO taken SELECT FROM usage.consume_rate_limit($user, 'threes') AS d WHERE d.allowed;\n"),
        1, "$how: and the one that is left");

    # Many at once, each of them his own place.
    is(storm($node, '12:00:00', 8, 100,
            "\\set n random(1, 10)\nINSERT INTO taken SELECT FROM usage.consume_rate_limit(NULL, 'slow', 1, 'key ' || :n) AS d WHERE d.allowed;\n"),
        50, "$how: ten keys, five each");
    return;
}

sub outside_transactions
{
    my ($how, $node) = @_;
    my $take = "SELECT remaining FROM usage.consume_rate_limit(NULL, 'slow', 1, 'outside')";
    my $left = "SELECT remaining FROM usage.check_rate_limit(NULL, 'slow', 1, 'outside')";

    is(value($node, "BEGIN; $take; ROLLBACK; $left"), "4\n4", "$how: a rollback gives nothing back");
    is(value($node, "BEGIN; SAVEPOINT s; $take; ROLLBACK TO s; COMMIT; $left"), "3\n3", "$how: nor does one to a savepoint");
    $node->psql('postgres', "SELECT 1 / (remaining - 2) FROM usage.consume_rate_limit(NULL, 'slow', 1, 'outside')");
    is(value($node, $left), 2, "$how: nor an error");
    is(value($node, "BEGIN READ ONLY; $take; COMMIT; $left"), "1\n1", "$how: a READ ONLY transaction takes");
    is(value($node, "BEGIN; $take; PREPARE TRANSACTION 'p'; ROLLBACK PREPARED 'p'; $left"), "0\n0", "$how: a prepared one too");
    is(value($node, "BEGIN; SELECT allowed FROM usage.consume_rate_limit(NULL, 'slow', 1, 'outside'); SELECT pg_current_xact_id_if_assigned() IS NULL; COMMIT"),
        "f\nt", "$how: no transaction id is used");

    my $plan = value($node, "EXPLAIN (ANALYZE, WAL, VERBOSE, FORMAT JSON) SELECT usage.consume_rate_limit(NULL, 'api', 1, 'key ' || n) FROM generate_series(1, 1000) AS n");
    is(join(' ', $plan =~ /"WAL (?:Records|FPI|Bytes)": (\d+)/g) =~ s/0| //gr, '', "$how: a thousand calls write no WAL");
    like($plan, qr/"WAL Records": 0/, "$how: that was looked at");
    like(value($node, 'EXPLAIN (ANALYZE, WAL, FORMAT JSON) INSERT INTO taken VALUES (1)'), qr/"WAL Records": [1-9]/, "$how: and would show");
    return;
}

# A session that was there before hears of a change at its next statement.
sub changes
{
    my ($how, $node) = @_;
    my $session = OpenSession->new($node->connstr('postgres'));
    my $look = "SELECT max_usage FROM usage.check_rate_limit(NULL, 'changing', 1, 'x')";

    value($node, "SELECT usage.define_rate_limit('changing', 3, '1 hour')");
    is($session->ask($look), 3, "$how: a session asks");
    value($node, "SELECT usage.define_rate_limit('changing', 4, '1 hour')");
    is($session->ask($look), 4, "$how: and asks again after a change");
    is($session->ask("BEGIN ISOLATION LEVEL REPEATABLE READ; $look"), 4, "$how: in a transaction with a snapshot");
    value($node, "SELECT usage.define_rate_limit('changing', 5, '1 hour')");
    is($session->ask($look), 5, "$how: as well");
    $session->ask('COMMIT');
    value($node, "DELETE FROM usage.api_rate_limits WHERE name = 'changing'");
    my ($code, $out, $err) = $node->psql('postgres', $look);
    like($err, qr/rate limit "changing" does not exist/, "$how: and it is gone");
    $session->end;
    return;
}

sub not_shared
{
    my ($how, $node) = @_;
    my $take = "SELECT remaining FROM usage.consume_rate_limit($user, 'slow', 2)";

    is(value($node, $take), 3, "$how: one database");
    value($node, 'CREATE DATABASE other TEMPLATE postgres', 'template1');
    is(value($node, $take, 'other'), 3, "$how: a copy of it has places of its own");
    is(value($node, $take), 1, "$how: and the first knows of the first alone");
    value($node, "DROP EXTENSION usage_tracking; DROP SCHEMA usage; $made");
    is(value($node, $take), 3, "$how: an extension that is made anew begins anew");
    is(value($node, $take, 'other'), 1, "$how: and no other does");
    value($node, 'DROP DATABASE other');
    return;
}

# A role of the application takes for itself alone, so it has no more places than there are rates.
sub of_a_user
{
    my ($how, $node) = @_;
    value($node, qq{
        CREATE ROLE regress_ut_rates LOGIN;
        SELECT usage.grant_usage_access('regress_ut_rates');
        ALTER ROLE regress_ut_rates SET usage_tracking.user_id = $user;
        SELECT usage.define_rate_limit('own', 5, '1 hour');
        SELECT usage.consume_rate_limit('bbbbbbbb-0000-4000-8000-000000000000', 'own', 4)});
    my $before = state_of($node, 'in_use');
    local $ENV{PGUSER} = 'regress_ut_rates';
    is(value($node, "SELECT allowed, used FROM usage.consume_rate_limit($user, 'own')"), 't|1', "$how: a user takes for himself, and had taken nothing");
    is(value($node, "SELECT count(*) FILTER (WHERE (usage.consume_rate_limit($user, 'own')).allowed) FROM generate_series(1, 100)"),
        4, "$how: no more than there is");
    foreach my $call ("'bbbbbbbb-0000-4000-8000-000000000000', 'own'", "$user, 'own', 1, 'key'", "NULL, 'own', 1, 'key'")
    {
        foreach my $function ('consume', 'check', 'require')
        {
            my ($code, $out, $err) = $node->psql('postgres', "SELECT usage.${function}_rate_limit($call)");
            like($err, qr/permission denied|must be a server role/, "$how: $function($call)");
        }
    }
    delete $ENV{PGUSER};
    is(state_of($node, 'in_use'), $before + 1, "$how: he has one place");
    is(value($node, "SELECT used FROM usage.check_rate_limit('bbbbbbbb-0000-4000-8000-000000000000', 'own')"), 4, "$how: another's is as it was");
    value($node, 'DROP OWNED BY regress_ut_rates; DROP ROLE regress_ut_rates');
    return;
}

sub crashes
{
    my ($how, $node) = @_;
    my $take = "SELECT remaining FROM usage.consume_rate_limit(NULL, 'slow', 5, 'crash')";

    is(value($node, $take), 0, "$how: all of it");
    my $session = OpenSession->new($node->connstr('postgres'));
    my $pid = $session->ask('SELECT pg_backend_pid()');
    $pid =~ /\A[1-9][0-9]+\z/ or BAIL_OUT('no process id');    # it will be killed
    $node->command_ok([ 'pg_ctl', 'kill', 'KILL', $pid ], "$how: a session is killed");
    ok($node->poll_query_until('postgres', 'SELECT true'), "$how: the server starts anew");
    is(value($node, $take), 0, "$how: all of it once more");
    is(state_of($node, 'in_use'), 1, "$how: nothing else is remembered");
    is(value($node, "SELECT allowed FROM usage.consume_rate_limit(NULL, 'slow', 1, 'crash')"), 'f', "$how: and no more");
    $node->restart;
    is(value($node, $take), 0, "$how: nor after a restart");
    return;
}

sub on_a_standby
{
    my ($how, $node, $conf) = @_;
    my $take = "SELECT used FROM usage.consume_rate_limit(NULL, 'slow', 3, 'standby')";
    $node->backup('start');
    my $standby = PostgreSQL::Test::Cluster->new($node->name . '_standby');
    $standby->init_from_backup($node, 'start', has_streaming => 1);
    $standby->start;

    is(value($node, $take), 3, "$how: on the primary");
    is(value($standby, $take), 3, "$how: a standby counts for itself");
    is(value($standby, "SELECT allowed, used FROM usage.consume_rate_limit(NULL, 'slow', 3, 'standby')"), 'f|3', "$how: exactly");
    is(value($standby, "SELECT used FROM usage.check_rate_limit(NULL, 'slow', 1, 'standby')"), 3, "$how: looks");
    my $session = OpenSession->new($standby->connstr('postgres'));
    is($session->ask("SELECT max_usage FROM usage.check_rate_limit(NULL, 'slow', 1, 'standby')"), 5, "$how: a session there");
    value($node, "SELECT usage.define_rate_limit('slow', 5, '1 hour', 6)");
    $node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
    is($session->ask("SELECT max_usage FROM usage.check_rate_limit(NULL, 'slow', 1, 'standby')"), 6, "$how: hears of a change");
    $session->end;
    $standby->promote;
    is(value($standby, $take), 6, "$how: a promoted one goes on with what it knew");
    $standby->stop;
    value($node, "SELECT usage.define_rate_limit('slow', 5, '1 hour')");
    return;
}

# More subjects than places: nobody gets less than he should.
sub a_small_table
{
    my ($how, $conf) = @_;
    my $node = server("small_$how", "${conf}usage_tracking.rate_slots = 8\n");
    my $round = sub {
        my ($from, $to, $rounds) = @_;
        return value($node, "SELECT min(n), max(n) FROM (SELECT k, count(*) FILTER (WHERE (d).allowed) AS n FROM (SELECT k,"
              . " usage.consume_rate_limit(NULL, 'slow', 1, 'key ' || k) AS d FROM generate_series(1, $rounds) AS r, generate_series($from, $to) AS k OFFSET 0) AS c GROUP BY k) AS s");
    };

    is(state_of($node, 'slots'), 8, "$how: a table of eight");
    value($node, "SELECT usage.consume_rate_limit(NULL, 'slow', n, 'key ' || k) FROM generate_series(1, 100) AS k, unnest('{0,6}'::int[]) AS n");
    is($round->(1, 8, 20), '5|5', "$how: eight subjects are counted exactly");
    is(state_of($node, 'in_use, evicted, forced'), '8|0|0', "$how: in eight places; who took nothing needed none");
    is($round->(1, 8, 20), '0|0', "$how: and have no more");
    my ($least, $most) = split /\|/, $round->(101, 200, 7);
    cmp_ok($least, '>=', 5, "$how: of a hundred nobody gets less than a burst");
    cmp_ok($most, '>', 5, "$how: and some get more");
    is(state_of($node, 'in_use, evicted, forced > 0'), '8|0|t', "$how: which is counted");

    # Who is at rest gives up his place first, and nothing with it.
    my $forced = state_of($node, 'forced');
    value($node, at('23:00') . "SELECT usage.consume_rate_limit(NULL, 'slow', 4, 'key ' || k) FROM generate_series(301, 304) AS k");
    is(value($node, at('23:00') . "SELECT in_use, evicted, forced FROM usage.usage_memory WHERE name = 'usage_tracking rates'"),
        "4|4|$forced", "$how: places of who is at rest are taken first");
    is(value($node, at('23:00') . "SELECT sum(used) FROM generate_series(301, 304) AS k, usage.check_rate_limit(NULL, 'slow', 1, 'key ' || k)"), 16,
        "$how: and nobody's who is not");
    # Of those that are not, who would be at rest first.
    value($node, at('23:00') . "SELECT usage.consume_rate_limit(NULL, 'slow', CASE k WHEN 307 THEN 1 ELSE 3 END, 'key ' || k) FROM generate_series(305, 309) AS k");
    is(value($node, at('23:00') . "SELECT string_agg(used::text, ' ' ORDER BY k) FROM generate_series(301, 309) AS k, usage.check_rate_limit(NULL, 'slow', 1, 'key ' || k)"),
        '4 4 4 4 3 3 0 3 3', "$how: then his who would be at rest first");
    $node->stop;
    return;
}

sub everything
{
    my ($how, $conf) = @_;
    my $node = server($how, "${conf}restart_after_crash = on\nmax_prepared_transactions = 2\nmax_connections = 40\n", allows_streaming => 1);
    is(state_of($node, 'is_there, slots, in_use, evicted, forced'), 't|65536|0|0|0', "$how: the memory is there");
    cmp_ok(state_of($node, 'bytes'), '>', 65536 * 16, "$how: and its size is told");
    exact($how, $node);
    outside_transactions($how, $node);
    changes($how, $node);
    of_a_user($how, $node);
    not_shared($how, $node);
    on_a_standby($how, $node, $conf);
    crashes($how, $node);
    $node->stop;
    a_small_table($how, $conf);
    return;
}

sub without_memory
{
    my ($how, $conf, $hint) = @_;
    my $node = server($how, $conf);
    foreach my $function ('consume', 'check', 'require')
    {
        my ($code, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT usage.${function}_rate_limit($user, 'api')");
        like($err, qr/ERROR:  55000: there is no shared memory for rate limits\nHINT:  $hint/, "$how: $function");
    }
    is(state_of($node, 'is_there, slots'), 'f|', "$how: and it is told");
    is(value($node, "SET usage_tracking.enabled = off; SELECT reason FROM usage.consume_rate_limit($user, 'api')"), 'not_enforced', "$how: what is off needs none");
    $node->stop;
    return;
}

everything('preloaded', $preloaded);
everything('not_preloaded', '') if $major >= 17;
without_memory('none_preloaded', "${preloaded}usage_tracking.rate_slots = 0\n", 'Set usage_tracking.rate_slots to more than zero');
without_memory('none', $major >= 17 ? "usage_tracking.rate_slots = 0\n" : "shared_preload_libraries = ''\n",
    $major >= 17 ? 'Set usage_tracking.rate_slots' : 'Add usage_tracking to shared_preload_libraries');
done_testing();
