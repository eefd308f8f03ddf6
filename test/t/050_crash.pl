# Whatever kills the server, a session or a connection: what was acknowledged is
# there, once, and what was not acknowledged is there as a whole or not at all.
#
# Eight writers (test/stress/writer.c) use things, with savepoints, keys, rollbacks
# and rows of the application in the same transactions, while limits are redefined,
# clocks changed and partitions made.  Meanwhile
#
#   UT_CRASH_CYCLES (3) times, all processes of the server get SIGKILL, or it is
#       stopped in mode immediate, by turns, each time after 1 000 acknowledged uses;
#   single sessions are cancelled, terminated, and killed, which makes the server
#       restart itself; the writers themselves set statement timeouts of 1 to 50 ms
#       and cut their connections in the middle of a call, all the time.
#
# After each of these what the writers wrote down is compared with events, keys,
# counters, orders and limits, and the files of the database are checked.
#
# Not tested here: power failure (a killed process loses nothing that it wrote,
# only what it had not written yet), and prepared transactions (060).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Writers;

my $cycles = $ENV{UT_CRASH_CYCLES} // 3;
my $seed = Writers::seed();
my $disturbances = 20 * $cycles;
note("UT_CRASH_SEED=$seed UT_CRASH_CYCLES=$cycles");
srand($seed);

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', Writers::log_settings() . <<'CONF');
restart_after_crash = on
max_wal_size = 32MB
autovacuum_naptime = 1s
CONF
$node->start;
my $writers = Writers->new($node, $seed);

foreach my $cycle (1 .. $cycles)
{
    my $how = $cycle % 2 ? 'killed' : 'stopped at once';
    $writers->go;
    ok($writers->order('wait ' . (1000 + int(rand(200)))), "$how, $cycle: 1 000 uses were acknowledged");
    select(undef, undef, undef, rand(0.05));
    if ($cycle % 2) { Writers::kill_server($node) }
    else { $node->stop('immediate') }
    ok($writers->order('pause'), "$how, $cycle: no writer hangs");
    $node->start;
    $writers->verify("$how, $cycle");
    $writers->check_files("$how, $cycle");
    note($writers->summary);
}

# One session after the other is cancelled or terminated; the others go on.
my $sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = 'writer'";
$writers->go;
$node->safe_psql('postgres', <<"SQL");
DO \$\$
DECLARE
    victim integer;
BEGIN
    FOR i IN 1 .. $disturbances LOOP
        PERFORM pg_sleep(random() * 0.02), pg_stat_clear_snapshot();
        $sessions ORDER BY random() LIMIT 1 INTO victim;
        PERFORM CASE WHEN random() < 0.3 THEN pg_terminate_backend(victim) ELSE pg_cancel_backend(victim) END;
    END LOOP;
END
\$\$;
SQL
ok($writers->order('wait 1000'), 'cancelled and terminated: 1 000 uses were acknowledged');
ok($writers->order('pause'), 'cancelled and terminated: no writer hangs');
await_sessions();
$writers->verify('cancelled and terminated');
$writers->check_files('cancelled and terminated');
note($writers->summary);

# A killed session takes the others with it, and the server restarts itself.
foreach my $time (1 .. 2)
{
    $writers->go;
    ok($writers->order('wait 300'), "one killed, $time: uses were acknowledged");
    my $victim = $node->safe_psql('postgres', "$sessions ORDER BY random() LIMIT 1");
    kill 'KILL', $victim;
    # only after the restart can anybody record again
    ok($writers->order('wait 300'), "one killed, $time: and are again");
    ok($writers->order('pause'), "one killed, $time: no writer hangs");
    await_sessions();
    $writers->verify("one killed, $time");
}
$writers->check_files('one killed');

ok($writers->end, 'every writer lived to its end');
ok($node->poll_query_until('postgres', "SELECT NOT EXISTS ($sessions)"), 'no session is left');
my ($there, $gone) = $writers->unknown_fates;
$node->stop;

# What shows that all this happened.
my $did = $writers->{figures};
cmp_ok($did->{recorded}, '>=', 1000 * $cycles + 2200, 'uses were recorded');
cmp_ok($did->{$_}, '>', 0, "some uses were $_") foreach qw(denied undone unknown resolved cancelled);
cmp_ok($did->{$_}, '>', 0, "some connections were $_") foreach qw(lost cut);
cmp_ok($did->{jobs}, '>', 0, 'jobs were done meanwhile');
cmp_ok($there, '>', 0, 'some uses were recorded, and nobody was told');
cmp_ok($gone, '>', 0, 'some uses were lost, and nobody was told otherwise');
note($writers->summary . ", $there unknown but there, $gone unknown and gone");

$writers->check_log('all',
    '01000 WARNING:',    # gone before it was cancelled
    '08006 FATAL:',      # cut
    '40P01 ERROR:',      # several things each, in a circle
    '55P03 ERROR:',      # a job that met a use
    '57014 (?:ERROR|FATAL):',    # cancelled, fatally if the session had just begun
    '57P01 FATAL:',      # terminated
    '57P02 WARNING:',    # another one was killed
    '57P03 FATAL:');     # starting up
done_testing();

# Servers of connections that were cut may still be at work.
sub await_sessions
{
    my $connected = $writers->{figures}{connected};
    ok($node->poll_query_until('postgres', "SELECT count(*) <= $connected FROM ($sessions) AS s"),
        'only sessions of writers that are connected are left');
    return;
}
