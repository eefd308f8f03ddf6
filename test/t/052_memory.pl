# Counters in shared memory stay exact when memory comes and goes, has no room, or
# is passed by.
#
# In every story a user may use 50, and uses them up at the end: what he is told
# equals his events before and after, and the 51st unit is refused.
#
# Not tested here, because it is elsewhere with memory as well as without: killed
# servers and sessions (050), changes of limits and clocks at random (100), months
# that are dropped (110).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use MemoryStories;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $calls = $ENV{UT_MEMORY_CALLS} // 5000;

my $node = PostgreSQL::Test::Cluster->new('memory');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "max_prepared_transactions = 40\nlog_statement = none\nautovacuum = off\ntimezone = 'UTC'\ndeadlock_timeout = 200ms\n");
$node->start;
memory_is(1000);
stories_on($node);
value($helpers);

prepared_uses();
switching();
little_room();
events_from_elsewhere();
replicated_events();
forgotten();
memory_of_a_session();
unlike(what_the_log_tells(), qr/PANIC|TRAP:|not closed|leak|still referenced|was terminated by signal/, 'the log tells of no crash and no leak');
done_testing();

# PostgreSQL 18 says this of any AFTER trigger of a partition whose rows a subscription brings.
sub what_the_log_tells
{
    my $log = slurp_file($node->logfile);
    $log =~ s/^.*WARNING:  resource was not closed: relation "usage_events_\w+"\n.*CONTEXT:  processing remote data .*\n//mg
      if $node->pg_version >= 18;
    return $log;
}

# The server starts again with room for so many counters, or without memory.
sub memory_is
{
    my ($slots) = @_;
    my $library = $slots ? 'usage_tracking' : '';
    $node->append_conf('postgresql.conf', "shared_preload_libraries = '$library'\nusage_tracking.counter_slots = $slots");
    $node->restart;
    return;
}

sub prepared_uses
{
    my @between = (
        [ 'at once', sub { } ],
        [ 'restarted', sub { $node->restart } ],
        [ 'stopped at once', sub { $node->stop('immediate'); $node->start } ],
        [ 'without memory', sub { memory_is(0) } ],
        [ 'with memory again', sub { memory_is(1000) } ],
    );
    my %of;
    foreach my $end (map { my $how = $_; map { "$how, $_->[0]" } @between } 'COMMIT', 'ROLLBACK')
    {
        my $id = $of{$end} = new_user(10);
        value(<<"SQL");
BEGIN;
SELECT usage.consume_usage('$id', 'photo', 3);
SAVEPOINT s;
SELECT usage.consume_usage('$id', 'photo', 20);
ROLLBACK TO s;
SELECT usage.track_usage('$id', 'photo', 2);
PREPARE TRANSACTION '$id';
SQL
    }
    foreach my $step (@between)
    {
        my ($when, $do) = @$step;
        $do->();
        foreach my $end ('COMMIT', 'ROLLBACK')
        {
            my $id = $of{"$end, $when"};
            my $title = "prepared, $when, then $end";
            is(told($id, 36), '55P03', "$title: who fits only beside a rollback waits");
            is(told($id, 41), 'limit_reached', "$title: who cannot fit is refused at once");
            # with 35 it might be the last one, for which there is an alert
            is(told($id, 34), 'ok', "$title: who fits anyway does not wait") if $when eq 'at once';
            value("$end PREPARED '$id'");
            is(told($id, $end eq 'COMMIT' ? 36 : 41), 'limit_reached', "$title: and what it took is gone, or not");
            is_exact($title, $id);
        }
    }
    is(value('SELECT count(*) FROM pg_prepared_xacts'), 0, 'all are over');
    return;
}

sub switching
{
    my @ids = map { new_user(2) } 1 .. 3;
    foreach my $slots (0, 1000, 0, 8, 0, 1000)
    {
        memory_is($slots);
        my $title = "switched to $slots counters in memory";
        agrees($title, @ids);
        # Other limits have rows of other ages
        value("SELECT usage.consume_usage('$_', 'photo', 0.5), usage.track_usage('$_', 'photo', 1)") foreach @ids;
        value("SELECT usage.consume_usage('$ids[0]', 'photo', 0.1) FROM generate_series(1, 35)");
        agrees("$title, and used", @ids);
    }
    is_exact('switched back and forth', $ids[1], $ids[2]);
    memory_is(0);
    is(told($ids[1], 1), 'limit_reached', 'and without memory nothing is left of it');
    memory_is(1000);
    return;
}

# Eight slots: hardly two transactions find room at once.
sub little_room
{
    memory_is(8);
    $node->pgbench('--no-vacuum --client=8 --jobs=2 --transactions=150', 0, [qr{processed: 1200/1200}], [qr{^$}],
        'eight clients with room for eight counters',
        { '052_little_room' => <<'SQL' });
\set one random(1, 1000)
\set hot 1001 + random(1, 3)
SET statement_timeout = '60s';
BEGIN;
SELECT usage.consume_usage(somebody(:one), 'photo', 2);
SELECT usage.consume_usage(somebody(:hot), 'photo');
SELECT usage.consume_usage(somebody(1010), 'photo', 0.25);
COMMIT;
SQL
    is(value(q{SELECT count(*) FROM usage.user_subscriptions WHERE faults(user_id) IS NOT NULL}), 0, 'little room: all users are told what events say');
    is(value(q{SELECT trim_scale(sum(quantity)) FROM usage.usage_events WHERE user_id IN (somebody(1002), somebody(1003), somebody(1004), somebody(1010)) GROUP BY user_id}),
        join("\n", (50) x 4), 'little room: who is asked for most is at his limit');
    value('SELECT usage.consume_usage(somebody(n), \'photo\', 3) FROM generate_series(2001, 2200) AS n');
    is(value(q{SELECT count(*), sum(quantity) FROM usage.usage_events WHERE user_id BETWEEN somebody(2001) AND somebody(2200)}), '200|600', 'little room: one transaction uses for 200 users');
    value('BEGIN; SELECT usage.consume_usage(somebody(n), \'photo\', 3) FROM generate_series(2001, 2200) AS n; ROLLBACK');
    my @some = split /\n/, value('SELECT somebody(n) FROM unnest(ARRAY[2001, 2002, 2100, 2199, 2200]) AS n');
    is_exact('little room', @some);
    memory_is(1000);
    return;
}

sub events_from_elsewhere
{
    my $id = new_user(10);
    my $values = q{nextval('usage.usage_events_id_seq'), user_id, usage_type, status, 2, tokens, cost, clock_timestamp()};
    my $columns = '(id, user_id, usage_type, status, quantity, tokens, cost, occurred_at)';
    my $file = $node->basedir . '/events';
    value("INSERT INTO usage.usage_events $columns SELECT $values FROM usage.usage_events WHERE user_id = '$id' LIMIT 1");
    agrees('inserted', $id);
    value("COPY (SELECT $values FROM usage.usage_events WHERE user_id = '$id' LIMIT 1) TO '$file'; COPY usage.usage_events $columns FROM '$file'");
    agrees('copied', $id);
    my $partition = value("SELECT DISTINCT tableoid::regclass FROM usage.usage_events WHERE user_id = '$id'");
    value("COPY (SELECT $values FROM usage.usage_events WHERE user_id = '$id' LIMIT 1) TO '$file'; COPY $partition $columns FROM '$file'");
    agrees('copied into a month', $id);
    value("BEGIN; INSERT INTO $partition $columns SELECT $values FROM usage.usage_events WHERE user_id = '$id' LIMIT 1; ROLLBACK");
    agrees('inserted and rolled back', $id);
    is(value("SELECT sum(quantity) FROM usage.usage_events WHERE user_id = '$id'"), 16, 'what came from elsewhere is there');
    is_exact('events from elsewhere', $id);
    prepared_beside_events();
    return;
}

# A prepared transaction that brought events leaves counters that are to be forgotten,
# and are as soon as somebody finds that it is over: once.
sub prepared_beside_events
{
    my $events = <<'SQL';
INSERT INTO usage.usage_events (id, user_id, usage_type, status, quantity, tokens, cost, occurred_at)
VALUES (nextval('usage.usage_events_id_seq'), '%s', 'photo', 'success', 1, 0, 0, clock_timestamp());
SQL
    foreach my $end ('COMMIT', 'ROLLBACK')
    {
        my $id = new_user(10);
        my $brings = sprintf $events, $id;
        value("BEGIN; SELECT usage.consume_usage('$id', 'photo', 2); $brings PREPARE TRANSACTION 'p'; $end PREPARED 'p'");
        my $timed_out;
        $node->psql('postgres', $brings, on_error_die => 1, timeout => 60, timed_out => \$timed_out);
        ok(!$timed_out, "prepared with events, then $end: more events come") or BAIL_OUT('a session does not come back');
        is_exact("prepared with events, then $end, and more", $id);
    }
    return;
}

# The other database of the same server publishes, and counts as well.
sub replicated_events
{
    my $id = new_user(10);
    value('CREATE DATABASE publisher');
    $node->safe_psql('publisher', "$helpers CREATE PUBLICATION p FOR TABLE usage.usage_events WITH (publish_via_partition_root);
        SELECT setval('usage.usage_events_id_seq', 1000000)");
    $node->safe_psql('publisher', "SELECT pg_create_logical_replication_slot('s', 'pgoutput')");
    my $connection = $node->connstr('publisher') =~ s/'/''/gr;
    value("CREATE SUBSCRIPTION s CONNECTION '$connection' PUBLICATION p WITH (create_slot = false, slot_name = 's', copy_data = false)");
    foreach my $round (1 .. 5)
    {
        $node->safe_psql('publisher', "SELECT usage.consume_usage('$id', 'photo', 2)");
        value("SELECT usage.consume_usage('$id', 'photo', 0.5)");
        $node->wait_for_catchup('s');
        agrees("replicated, $round", $id);
    }
    is(value("SELECT trim_scale(sum(quantity)) FROM usage.usage_events WHERE user_id = '$id'"), 22.5, 'both sides have recorded');
    value("SELECT usage.consume_usage('$id', 'photo', 0.5)");
    is_exact('replicated events', $id);
    value('DROP SUBSCRIPTION s');
    return;
}

sub forgotten
{
    my ($id, $gone) = (new_user(10), new_user(50));
    foreach my $zone ('Asia/Tokyo', 'UTC')
    {
        value("SELECT usage.set_user_clock('$id', '$zone')");
        agrees("clock of $zone", $id);
        value("SELECT usage.consume_usage('$id', 'photo')");
    }
    value("BEGIN; SELECT usage.set_user_clock('$id', 'Asia/Tokyo'), usage.consume_usage('$id', 'photo', 3); ROLLBACK");
    is(later_window(new_user(10)), '3', 'a row that counts nothing yet: only what was used in its window');
    is_exact('clock there and back', $id);
    long_reservation();
    value("SELECT usage.erase_user('$gone')");
    is_exact('erased and back', $gone);
    return;
}

# Rows follow although something is reserved for hours, whose commit is late then.
sub long_reservation
{
    my $id = new_user(10);
    value(<<"SQL");
SELECT FROM usage.reserve_usage('$id', 'photo', 1, expires_in => '12 hours');
DO \$\$
BEGIN
    FOR i IN 1 .. 300 LOOP
        PERFORM usage.consume_usage('$id', 'photo', 0.01);
        COMMIT;
    END LOOP;
END \$\$
SQL
    is(value(<<"SQL"), 't', 'reserved for hours: rows follow');
SELECT bool_and(c.counted_to > r.occurred_at)
  FROM usage.usage_counters AS c JOIN usage.usage_limits AS l USING (limit_id), usage.usage_reservations AS r
 WHERE c.user_id = '$id' AND r.user_id = '$id' AND l.limit_type IN ('ever', 'weekly')
SQL
    value("SELECT usage.commit_usage('$id', id) FROM usage.usage_reservations WHERE user_id = '$id'");
    is_exact('and committed late', $id);
    return;
}

# A week on, where a reservation of that instant keeps the new row from counting.
sub later_window
{
    my ($id) = @_;
    return value(<<"SQL");
SET usage_tracking.clock = '2126-01-01 00:00+00';
SELECT FROM usage.reserve_usage('$id', 'photo', 1);
SELECT FROM usage.track_usage('$id', 'photo', 1);
SELECT FROM usage._forget_counters();
SELECT FROM usage.consume_usage('$id', 'photo', 1);
SELECT used FROM usage.check_usage_limit('$id', 'weekly');
SQL
}

sub memory_of_a_session
{
    my $id = new_user(1);
    my $uses = <<"SQL";
DO \$\$
BEGIN
    FOR i IN 1 .. %d LOOP
        PERFORM usage.consume_usage('$id', 'photo', 0.0001), usage.check_usage_limit('$id', 'ever');
        COMMIT;
    END LOOP;
END
\$\$;
SELECT sum(used_bytes) FROM pg_backend_memory_contexts;
SQL
    value("SELECT usage.define_usage_limit('calls', NULL, -1, 'lifetime', NULL, 'events')");
    my ($before, $after) = split /\n/, value(sprintf "$uses$uses", $calls, 4 * $calls);
    cmp_ok($after, '<=', $before + 65536, 'a session needs no more memory after many calls');
    agrees('many calls', $id);
    return;
}
