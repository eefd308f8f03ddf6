# Who reads a counter from tables, to use it in shared memory, may be slow: what has
# changed meanwhile is noticed, although nobody waited and nothing of it is there any more.
#
# A reader uses one, has his view of the tables and is stopped, by SIGSTOP, as he waits for a lock
# on one of them.  Then the user uses something, and his counter
# leaves memory.  The reader goes on, with what he saw; after that the user must not have more
# than he may.
#
# Or a commit is slow: it is written, but nobody sees it yet, because it waits for a standby that
# there is not.  Until it is seen it counts as under way, and its counter stays in memory.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('late_reader');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nshared_preload_libraries = 'usage_tracking'\nusage_tracking.counter_slots = 8\n");
# Who sets synchronous_commit waits for this standby; others do not.
$node->append_conf('postgresql.conf', "wal_level = replica\nmax_wal_senders = 2\nsynchronous_standby_names = 'nobody'\nsynchronous_commit = local\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.define_usage_limit('ever', 'photo', 50, 'lifetime', NULL);
SELECT usage.usage_maintenance();
CREATE FUNCTION somebody(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid;
SQL
my $users = 0;

# Each has used 10 and uses 5 more while he is read.
by_memory();
of_another_snapshot();
own_uses_count_once();
rows_wait('who is under way', 0);
rows_wait('who begins with an instant before it', 1);
commit_nobody_sees();
done_testing();

sub value { return $node->safe_psql('postgres', $_[0]) }
sub session { return OpenSession->new($node->connstr('postgres')) }

sub new_user
{
    my $id = value('SELECT somebody(' . ++$users . ')');
    value("SELECT usage.consume_usage('$id', 'photo', 10)");
    others_come();
    return $id;
}

# In memory there is room for eight counters, and none is kept for long.
sub others_come
{
    value("DO \$\$ BEGIN FOR n IN 1001 .. 1030 LOOP PERFORM usage.consume_usage(somebody(n), 'photo'); ROLLBACK; END LOOP; END \$\$");
    return;
}

# Does it while a reader of the user's counter has seen the tables but not told memory.
sub while_reading
{
    my ($id, $do) = @_;
    my ($lock, $reader) = (session(), session());
    my $pid = $reader->ask('SELECT pg_backend_pid()');
    is($lock->ask('BEGIN; LOCK TABLE usage.usage_carried IN ACCESS EXCLUSIVE MODE'), '', 'a table is locked');
    $reader->send("BEGIN; SELECT trim_scale(used) FROM usage.consume_usage('$id', 'photo'); ROLLBACK");
    $node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid") or die 'the reader does not wait: ' . $reader->answer;
    kill STOP => $pid;
    $lock->ask('ROLLBACK');
    $do->();
    kill CONT => $pid;
    my $told = $reader->answer;
    $_->end foreach $lock, $reader;
    return $told;
}

sub is_exact
{
    my ($title, $id, $used) = @_;
    my $rest = 50 - $used;
    is(value("SELECT trim_scale(used) FROM usage.check_usage_limit('$id', 'ever')"), $used, "$title: what was used meanwhile counts");
    is(value("SELECT reason FROM usage.consume_usage('$id', 'photo', $rest + 1)"), 'limit_reached', "$title: he may not have more than is left");
    is(value("SELECT reason FROM usage.consume_usage('$id', 'photo', $rest)"), 'ok', "$title: but all of that");
    is(value('SELECT * FROM usage.reconcile_usage()'), '', "$title: rows agree");
    return;
}

sub by_memory
{
    my $id = new_user();
    my $told = while_reading($id, sub {
        value("SELECT usage.consume_usage('$id', 'photo', 5)");
        others_come();
    });
    is($told, 16, 'used and gone from memory: the reader tells it');
    is_exact('used and gone from memory', $id, 15);
    return;
}

# The view of who brings a counter is that of the moment, not of his statement.
sub of_another_snapshot
{
    my $id = new_user();
    my $reader = session();
    my $lock = session();
    my $pid = $reader->ask('SELECT pg_backend_pid()');
    $lock->ask("BEGIN; SELECT pg_advisory_xact_lock(1)");
    $reader->send("BEGIN; SELECT trim_scale((usage.consume_usage('$id', 'photo')).used) FROM (SELECT pg_advisory_xact_lock(1) OFFSET 0) AS l; ROLLBACK");
    $node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid") or die 'the reader does not wait: ' . $reader->answer;
    value("SELECT usage.consume_usage('$id', 'photo', 5)");
    others_come();
    $lock->ask('ROLLBACK');
    is($reader->answer, 16, 'used since the statement began: the reader tells it');
    is_exact('used since the statement began', $id, 15);
    $_->end foreach $lock, $reader;
    return;
}

# What a transaction has used itself is no reason to wait, or to refuse.
sub own_uses_count_once
{
    my $id = new_user();
    is(value("BEGIN; SELECT reason FROM usage.consume_usage('$id', 'photo', 30); SELECT reason FROM usage.consume_usage('$id', 'photo', 10); COMMIT"), "ok\nok", 'two uses of one transaction reach the limit');
    is(value('SELECT * FROM usage.reconcile_usage()'), '', 'two uses of one transaction: rows agree');
    return;
}

# A row does not count to an instant before which an event is still to come, from a
# transaction that was there when the instant was chosen, or (late) one that uses after that.
sub rows_wait
{
    my ($title, $late) = @_;
    my $id = new_user();
    my ($first, $next) = (session(), session());
    my $one = "SELECT reason FROM usage.consume_usage('$id', 'photo', 1)";
    $next->ask('BEGIN; SELECT now()') if $late;
    is($first->ask("BEGIN; $one"), 'ok', "rows wait for $title: used");
    value("DO \$\$ BEGIN FOR n IN 1 .. 40 LOOP PERFORM usage.consume_usage('$id', 'photo', 0.1); COMMIT; END LOOP; END \$\$");
    if ($late)
    {
        is($next->ask($one), 'ok', "rows wait for $title: used late");
        is($first->ask("$one; COMMIT"), 'ok', "rows wait for $title: the first commits");
        is($next->ask('COMMIT'), '', "rows wait for $title: then the late one");
    }
    else
    {
        is($first->ask('COMMIT'), '', "rows wait for $title: it commits");
    }
    others_come();
    is_exact("rows wait for $title", $id, $late ? 17 : 15);
    $_->end foreach $first, $next;
    return;
}

# What is left of the user's limit is used by a commit that is written and not seen.
sub commit_nobody_sees
{
    my $id = new_user();
    my ($slow, $next) = (session(), session());
    my ($slow_pid, $next_pid) = map { $_->ask('SELECT pg_backend_pid()') } $slow, $next;
    is($slow->ask("SET synchronous_commit = on; BEGIN; SELECT reason FROM usage.consume_usage('$id', 'photo', 40)"), 'ok', 'a slow commit: what is left is used');
    $slow->send('COMMIT');
    $node->poll_query_until('postgres', "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $slow_pid") or die 'the commit does not wait: ' . $slow->answer;
    is(value("SELECT trim_scale(sum(quantity)) FROM usage.usage_events WHERE user_id = '$id'"), 10, 'a slow commit: nobody sees it');
    others_come();
    $next->send("SELECT reason FROM usage.consume_usage('$id', 'photo', 40)");
    $node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' OR state = 'idle' AND query LIKE '%consume_usage%' FROM pg_stat_activity WHERE pid = $next_pid") or die 'the next neither waits nor is answered';
    is(value("SELECT wait_event_type FROM pg_stat_activity WHERE pid = $next_pid"), 'Lock', 'a slow commit: who wants the same waits for it');
    $node->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = ''");
    $node->reload;
    is($slow->answer, '', 'a slow commit: it ends');
    is($next->answer, 'limit_reached', 'a slow commit: there is nothing left for the next');
    is(value("SELECT trim_scale(sum(quantity)) FROM usage.usage_events WHERE user_id = '$id'"), 50, 'a slow commit: events are as many as there may be');
    is(value('SELECT * FROM usage.reconcile_usage()'), '', 'a slow commit: rows agree');
    $_->end foreach $slow, $next;
    return;
}
