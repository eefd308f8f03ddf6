# Uses that reach a part of a limit, or not, as others come to be or not, in shared
# memory, where a use waits only for that: who waits is left out by others, and takes
# account of all that came meanwhile, when he looks again.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('alerts');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nshared_preload_libraries = 'usage_tracking'\ndeadlock_timeout = 100ms\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.define_usage_limit('ever', 'photo', 100, 'lifetime', NULL, enforcement => 'soft');
SQL
my $users = 0;

more_than_he_waits_for();
nobody_waits_for_who_waits();
after_a_savepoint('is rolled back as it waits', 0);
after_a_savepoint('is rolled back later', 1);
late_uses_wait_before_they_lock_rows();
nobody_waits_for_who_waits_under_another_limit();
nothing_is_no_part_of_nothing();
done_testing();

sub value { return $node->safe_psql('postgres', $_[0]) }
sub session { return OpenSession->new($node->connstr('postgres')) }
sub uses { my ($id, $n) = @_; return "SELECT reason FROM usage.consume_usage('$id', 'photo', $n)" }
sub told { return value("SELECT string_agg(threshold || ' ' || trim_scale(used), ', ' ORDER BY threshold) FROM usage.usage_alerts WHERE user_id = '$_[0]'") }

sub new_user
{
    my ($used) = @_;
    my $id = sprintf '00000000-0000-4000-8000-%012d', ++$users;
    value(uses($id, $used));
    return $id;
}

# Sends what is going to wait.
sub send_and_wait
{
    my ($session, $sql) = @_;
    my $pid = $session->ask('SELECT pg_backend_pid()');
    $session->send($sql);
    $node->poll_query_until('postgres', "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid") or die 'it does not wait: ' . $session->answer;
    return $pid;
}

# Others left him out of what reaches a higher part, too.
sub more_than_he_waits_for
{
    my $id = new_user(78);
    my ($first, $second) = (session(), session());
    is($first->ask('BEGIN; ' . uses($id, 1)), 'ok', 'a higher part: one uses');
    send_and_wait($second, uses($id, 1));
    is(value(uses($id, 20)), 'ok', 'a higher part: a third one does not wait');
    is(told($id), '80 98', 'a higher part: he has reached the lower one, whatever comes');
    is($first->ask('COMMIT'), '', 'a higher part: the first one comes to be');
    is($second->answer, 'ok', 'a higher part: so does the second one');
    is(told($id), '80 98, 100 100', 'a higher part: who has waited has reached that');
    $_->end foreach $first, $second;
    return;
}

# Both use more than once in a transaction.
sub nobody_waits_for_who_waits
{
    my $id = new_user(76);
    my ($first, $second) = (session(), session());
    is($_->ask('BEGIN; ' . uses($id, 1)), 'ok', 'twice each: one uses') foreach $first, $second;
    send_and_wait($first, uses($id, 2));
    is($second->ask(uses($id, 2)), 'ok', 'twice each: the other one goes on');
    is($second->ask('COMMIT'), '', 'twice each: and commits');
    is($first->answer, 'ok', 'twice each: who has waited goes on');
    is(told($id), '', 'twice each: nothing is told before it is so');
    is($first->ask('COMMIT'), '', 'twice each: he commits');
    is(told($id), '80 82', 'twice each: and has reached it');
    $_->end foreach $first, $second;
    return;
}

# Others have left out what he used before the savepoint as well, so he looks when he commits.
sub after_a_savepoint
{
    my ($title, $later) = @_;
    my $id = new_user(10);
    my ($first, $second) = (session(), session());
    $title = "a savepoint $title";
    is($first->ask('BEGIN; ' . uses($id, 5)), 'ok', "$title: one uses");
    is($second->ask('BEGIN; ' . uses($id, 50) . '; SAVEPOINT s'), 'ok', "$title: and another");
    my $pid = send_and_wait($second, uses($id, 17));
    is(value(uses($id, 15)), 'ok', "$title: a third one does not wait");
    is(value("SELECT pg_cancel_backend($pid)"), 't', "$title: it is cancelled") if !$later;
    is($first->ask('COMMIT'), '', "$title: the first one comes to be");
    is($second->answer, $later ? 'ok' : 'ERROR 57014', "$title: the wait is over");
    is($second->ask('ROLLBACK TO s; COMMIT'), '', "$title: what is left of the second one comes to be");
    is(told($id), '80 80', "$title: it has reached what it did not before");
    is(value("SELECT trim_scale(used) FROM usage.check_usage_limit('$id', 'ever')"), 80, "$title: which is so");
    $_->end foreach $first, $second;
    return;
}

# Who waits has taken of two limits; it hangs on others under one of them.
sub nobody_waits_for_who_waits_under_another_limit
{
    my $id = sprintf '00000000-0000-4000-8000-%012d', ++$users;
    value("SELECT usage.define_usage_limit('tokens', 'photo', 100, 'lifetime', NULL, measure => 'tokens', enforcement => 'soft')");
    my $use = sub { return "SELECT reason FROM usage.consume_usage('$id', 'photo', $_[0], $_[1])" };
    value($use->(78, 78));
    my ($first, $second) = (session(), session());
    is($first->ask('BEGIN; ' . $use->(1, 0)), 'ok', 'two limits: one uses of the first');
    send_and_wait($second, $use->(1, 1));
    is($first->ask($use->(0, 1)), 'ok', 'two limits: and of the second, where another one waits for him under the first');
    is($first->ask('COMMIT'), '', 'two limits: he commits');
    is($second->answer, 'ok', 'two limits: who has waited goes on');
    is(told($id), '80 80, 80 80', 'two limits: and has reached both');
    value("DELETE FROM usage.usage_limits WHERE limit_type = 'tokens'");
    $_->end foreach $first, $second;
    return;
}

# Of a limit of nothing any use is all there is, but what is rolled back is no use.
sub nothing_is_no_part_of_nothing
{
    my $id = new_user(10);
    value("SELECT usage.define_usage_limit('tokens', 'photo', 0, 'lifetime', NULL, measure => 'tokens', enforcement => 'soft')");
    my ($first, $second) = (session(), session());
    is($first->ask('BEGIN; ' . uses($id, 5)), 'ok', 'a limit of nothing: one uses');
    is($second->ask('BEGIN; ' . uses($id, 50) . '; SAVEPOINT s'), 'ok', 'a limit of nothing: and another');
    send_and_wait($second, "SELECT reason FROM usage.consume_usage('$id', 'photo', 17, 1)");
    is($first->ask('COMMIT'), '', 'a limit of nothing: the first one comes to be');
    is($second->answer, 'overage', 'a limit of nothing: who has waited goes on');
    is($second->ask('ROLLBACK TO s; COMMIT'), '', 'a limit of nothing: and what he waited with is rolled back');
    is(told($id), '', 'a limit of nothing: he has reached no part');
    value("DELETE FROM usage.usage_limits WHERE limit_type = 'tokens'");
    $_->end foreach $first, $second;
    return;
}

# A row is locked by who does not wait for others' uses any more: they may want it.
sub late_uses_wait_before_they_lock_rows
{
    value(q{SELECT usage.define_usage_limit('more', 'photo', 1000, 'lifetime', NULL, enforcement => 'soft')});
    my $id = new_user(1);
    my ($holder, $earlier, $later) = (session(), session(), session());
    my $track = sub { my ($n, $minutes) = @_; return "SELECT usage.track_usage('$id', 'photo', $n, occurred_at => now() - interval '$minutes minutes') > 0" };
    value($track->(77, 180));
    value("UPDATE usage.usage_counters SET counted_to = now() - interval '120 minutes', used = 77 WHERE user_id = '$id' AND limit_id = 1; SELECT usage._forget_counters()");
    is(value('SELECT count(*) FROM usage.reconcile_usage()'), 0, 'late uses: rows are right, one of them counts to an earlier instant');
    $holder->ask("BEGIN; SELECT FROM usage.usage_counters WHERE user_id = '$id' AND limit_id = 1 FOR UPDATE");
    send_and_wait($earlier, $track->(1, 150));
    send_and_wait($later, $track->(1, 60));
    $holder->ask('ROLLBACK');
    is($earlier->answer, 't', 'late uses: one, late for both rows, goes on');
    is($later->answer, 't', 'late uses: so does the other one');
    is(told($id), '80 80', 'late uses: they have reached it');
    is(value('SELECT count(*) FROM usage.reconcile_usage()'), 0, 'late uses: rows are right');
    $_->end foreach $holder, $earlier, $later;
    return;
}
