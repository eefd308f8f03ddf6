# What a session keeps of a user's reservations is what the table says, however it is
# changed.
#
# One session asks all the time, and counters are in memory, so that nothing but
# reservations could be read from tables; others change.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('holds');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 10\nautovacuum = off\ntimezone = 'UTC'\nusage_tracking.counter_slots = 4096\n");
$node->start;
my ($ann, $bob) = map { "00000000-0000-4000-8000-00000000000$_" } 1, 2;
value(<<"SQL");
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.define_usage_limit('calls', 'call', 100, 'lifetime');
SELECT usage.define_usage_limit('call_tokens', 'call', 1000, 'sliding', '1 day', measure => 'tokens');
SELECT usage.track_usage(id, 'call') FROM unnest('{$ann,$bob}'::uuid[]) AS u (id);
SQL
my $session;
new_session();

is_told('at first', 1, 1);
my $first = reserve($ann, 10);
is_told('reserved', 11, 1);
my $second = reserve($bob, 20);
is_told('another', 11, 21);
value("SELECT usage.commit_usage('$ann', $first, 4)");
is_told('committed with less', 5, 21);
value("SELECT usage.release_usage('$bob', $second)");
is_told('released', 5, 1);
value("BEGIN; SELECT FROM usage.reserve_usage('$ann', 'call', 7); ROLLBACK");
is_told('rolled back', 5, 1);

my $other = OpenSession->new($node->connstr('postgres'));
my $third = $other->ask('BEGIN; ' . reserving($ann, 10));
is($other->ask(question($ann)), '15', 'who reserves sees it at once');
is_told('others do not', 5, 1);
$other->ask('COMMIT');
is_told('until it is committed', 15, 1);
$other->ask("BEGIN; SAVEPOINT s; SELECT FROM usage.release_usage('$ann', $third)");
is($other->ask(question($ann)), '5', 'who releases sees it at once');
is($other->ask('ROLLBACK TO s; ' . question($ann)), '15', 'and that a savepoint is rolled back');
$other->ask('COMMIT');
is_told('and nothing was changed', 15, 1);
is($other->ask('BEGIN ISOLATION LEVEL REPEATABLE READ; ' . question($ann)), '15', 'an old snapshot');
my $fourth = reserve($ann, 1);
is($other->ask(question($ann)), '15', 'goes on to see what it saw');
is_told('and others what is new', 16, 1);
$other->ask('COMMIT');
value("SELECT usage.release_usage('$ann', $fourth)");

# Time
my $late = value(reserving($bob, 30, "expires_in => '2 hours'"));
my $soon = "SET usage_tracking.clock = '" . value("SELECT now() + interval '3 hours'") . "'; ";
is($session->ask($soon . question($bob) . '; RESET usage_tracking.clock'), '1', 'when it has expired');
is_told('time is put back', 15, 31);
value("UPDATE usage.usage_reservations SET expires_at = expires_at - interval '2 hours' WHERE id = $late");
is_told('it expires before', 15, 1);

# More than are kept of a user, and limits to the unit
my @many = map { reserve($bob, 1) } 1 .. 20;
is_told('twenty', 15, 21);
value("SELECT usage.release_usage('$bob', $_)") foreach @many;
is_told('and none', 15, 1);
my $rest = reserve($bob, 90);
is_told('most of a limit', 15, 91);
is($session->ask("SELECT allowed FROM usage.consume_usage('$bob', 'call', 10)"), 'f', 'what is reserved is not to be had');
value("SELECT usage.release_usage('$bob', $rest)");
is($session->ask("SELECT allowed FROM usage.consume_usage('$bob', 'call', 10)"), 't', 'until it is released');
is_told('and used', 15, 11);

# Prepared transactions
value("BEGIN; SELECT FROM usage.reserve_usage('$ann', 'call', 5); PREPARE TRANSACTION 'a'");
is_told('prepared', 15, 11);
value("COMMIT PREPARED 'a'");
is_told('and committed', 20, 11);
value("BEGIN; SELECT FROM usage.release_usage('$ann', $third); PREPARE TRANSACTION 'b'");
is_told('a release is prepared', 20, 11);
$session->end;
$other->end;
$node->append_conf('postgresql.conf', 'usage_tracking.counter_slots = 8192');
$node->restart;
new_session();
is_told('after a restart', 20, 11);
value("COMMIT PREPARED 'b'");
is_told('and committed after it', 10, 11);

# By other means
value("SET session_replication_role = replica; UPDATE usage.usage_reservations SET quantity = 6 WHERE state = 'held' AND user_id = '$ann'");
is_told('by replication', 11, 11);
value("SET session_replication_role = replica; UPDATE usage.usage_reservations SET user_id = '$bob' WHERE state = 'held' AND user_id = '$ann'");
is_told('another has it', 5, 17);
value('ALTER TABLE usage.usage_reservations DISABLE TRIGGER ALL');
is_told('triggers are disabled', 5, 17);
value("UPDATE usage.usage_reservations SET quantity = 7 WHERE state = 'held' AND quantity = 6");
value('ALTER TABLE usage.usage_reservations ENABLE TRIGGER ALL; ALTER TABLE usage.usage_reservations ENABLE ALWAYS TRIGGER holds_changed');
is_told('and enabled again', 5, 18);
value("DELETE FROM usage.usage_reservations WHERE state = 'held' AND user_id = '$bob' AND quantity = 7");
is_told('deleted', 5, 11);
reserve($ann, 3);
is_told('one more', 8, 11);
value('TRUNCATE usage.usage_reservations');
is_told('nothing is left', 5, 11);
reserve($ann, 3);
is_told('and one again', 8, 11);
value("SELECT usage.erase_user('$ann')");
is_told('she is forgotten', 0, 11);
value('DROP EXTENSION usage_tracking; CREATE EXTENSION usage_tracking SCHEMA usage; '
    . "SELECT usage.define_usage_limit('calls', 'call', 100, 'lifetime'); SELECT usage.track_usage('$bob', 'call')");
is_told('another installation', 0, 1);
reserve($bob, 3);
is_told('and what is reserved in it', 0, 4);
$session->end;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|leak|still referenced|was terminated by signal/, 'the log tells of no crash and no leak');
done_testing();

sub value { return $node->safe_psql('postgres', $_[0]) }

sub reserving
{
    my ($user, $quantity, @more) = @_;
    return 'SELECT id FROM usage.reserve_usage(' . join(', ', "'$user'", "'call'", $quantity, @more) . ')';
}

sub reserve { return value(reserving(@_)) }

sub new_session
{
    $session = OpenSession->new($node->connstr('postgres'));
    return;
}

sub question { return "SELECT max_usage - remaining FROM usage.check_usage_limit('$_[0]', 'calls')" }

# Asked twice, since the first answer may be what makes the second.
sub is_told
{
    my ($when, @expected) = @_;
    my @told = map { $session->ask(question($_)) } $ann, $bob, $ann, $bob;
    is("@told", "@expected @expected", "$when: told what the table says");
    return;
}
