# What a session keeps of a user's plan, clock and overrides is what tables say, however
# they are changed.
#
# One session asks all the time; others change.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('terms');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 10\nautovacuum = off\ntimezone = 'UTC'\nusage_tracking.counter_slots = 64\n");
$node->start;
my ($ann, $bob) = map { "00000000-0000-4000-8000-00000000000$_" } 1, 2;
value(<<"SQL");
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.install_default_plans();
SELECT usage.define_usage_limit('calls', 'call', 10, 'lifetime', NULL);
SELECT usage.set_plan_limit('pro', 'calls', 20);
SELECT usage.track_usage(id, 'call') FROM unnest('{$ann,$bob}'::uuid[]) AS u (id);
SQL
my $session;
new_session();

is_told('at first', 10, 10);
value("SELECT usage.set_user_limit('$ann', 'calls', 30)");
is_told('an override', 30, 10);
value("SELECT usage.set_user_limit('$ann', 'calls', 31, '2100-01-01')");
is_told('one that expires', 31, 10);
is($session->ask("SET usage_tracking.clock = '2100-01-01'; " . question($ann) . '; RESET usage_tracking.clock'), 10, 'when it has expired');
is_told('the clock is back', 31, 10);
value("SELECT usage.set_user_plan('$bob', 'pro')");
is_told('a plan', 31, 20);
value("UPDATE usage.user_limits SET user_id = '$bob'");
is_told('an override for another', 10, 31);
value("BEGIN; SELECT usage.set_user_limit('$bob', 'calls', 32); ROLLBACK");
is_told('rolled back', 10, 31);

my $other = OpenSession->new($node->connstr('postgres'));
$other->ask("BEGIN; SELECT FROM usage.set_user_limit('$ann', 'calls', 33)");
is($other->ask(question($ann)), 33, 'who changes it sees it at once');
$other->ask("SELECT FROM usage.set_user_limit('$ann', 'calls', 34)");
is($other->ask(question($ann)), 34, 'and each time he does');
$other->ask("SELECT FROM usage.set_user_limit('$ann', 'calls', 33)");
is_told('others do not', 10, 31);
$other->ask('COMMIT');
is_told('until it is committed', 33, 31);
is($other->ask("BEGIN; SAVEPOINT s; SELECT FROM usage.set_user_limit('$ann', 'calls', 34); ROLLBACK TO s; " . question($ann)), 33, 'a savepoint is rolled back');
$other->ask('COMMIT');
is_told('and nothing was changed', 33, 31);
is($other->ask('BEGIN ISOLATION LEVEL REPEATABLE READ; ' . question($ann)), 33, 'an old snapshot');
value("SELECT usage.set_user_limit('$ann', 'calls', 35)");
is($other->ask(question($ann)), 33, 'goes on to see what it saw');
is_told('and others what is new', 35, 31);
$other->ask('COMMIT');

my $late = OpenSession->new($node->connstr('postgres'));
is($late->ask("UPDATE usage.user_limits SET max_usage = 99 WHERE user_id = '$bob' RETURNING 1 / (SELECT max_usage - 99 FROM usage.check_usage_limit(user_id, 'calls'))"),
    'ERROR 22012', 'a statement sees its own change, and fails');
is($late->ask(question($bob)), 31, 'its session knows nothing of it');
is($late->ask("BEGIN; SAVEPOINT s; UPDATE usage.user_limits SET max_usage = 98 WHERE user_id = '$ann' RETURNING 1 / (SELECT max_usage - 98 FROM usage.check_usage_limit(user_id, 'calls'))"),
    'ERROR 22012', 'so does one after a savepoint');
is($late->ask('ROLLBACK TO s; ' . question($ann)), 35, 'nor when that is rolled back');
$late->ask('COMMIT');
$late->end;
value("BEGIN; SELECT usage.set_user_limit('$ann', 'calls', 36); PREPARE TRANSACTION 'a'");
is_told('prepared', 35, 31);
value("COMMIT PREPARED 'a'");
is_told('and committed', 36, 31);
value("BEGIN; SELECT usage.set_user_limit('$ann', 'calls', 37); PREPARE TRANSACTION 'b'");
$session->end;
$other->end;
$node->append_conf('postgresql.conf', 'usage_tracking.counter_slots = 4096');
$node->restart;
new_session();
is_told('prepared before a restart with other memory', 36, 31);
value("COMMIT PREPARED 'b'");
is_told('and committed after it', 37, 31);
$session->end;
$node->append_conf('postgresql.conf', 'usage_tracking.counter_slots = 0');
$node->restart;
value("BEGIN; SELECT usage.set_user_limit('$ann', 'calls', 36); PREPARE TRANSACTION 'c'");
$node->append_conf('postgresql.conf', 'usage_tracking.counter_slots = 64');
$node->restart;
new_session();
is_told('prepared without memory', 37, 31);
value("COMMIT PREPARED 'c'");
is_told('and committed with it', 36, 31);

value("SET session_replication_role = replica; UPDATE usage.user_limits SET max_usage = 38 WHERE user_id = '$ann'");
is_told('by replication', 38, 31);
value("ALTER TABLE usage.user_limits DISABLE TRIGGER ALL");
is_told('triggers are disabled', 38, 31);
value("UPDATE usage.user_limits SET max_usage = 39 WHERE user_id = '$ann'");
value("ALTER TABLE usage.user_limits ENABLE TRIGGER ALL; ALTER TABLE usage.user_limits ENABLE ALWAYS TRIGGER terms_changed");
is_told('and enabled again', 39, 31);
value('TRUNCATE usage.user_limits');
is_told('nothing is left', 10, 20);
value('DELETE FROM usage.user_subscriptions');
is_told('nobody is known', 10, 10);
value('DROP EXTENSION usage_tracking; CREATE EXTENSION usage_tracking SCHEMA usage; '
    . "SELECT usage.define_usage_limit('calls', 'call', 40, 'lifetime', NULL)");
is_told('another installation', 40, 40);
$session->end;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|leak|still referenced|was terminated by signal/, 'the log tells of no crash and no leak');
done_testing();

sub value { return $node->safe_psql('postgres', $_[0]) }

sub new_session
{
    $session = OpenSession->new($node->connstr('postgres'));
    return;
}

sub question { return "SELECT max_usage FROM usage.check_usage_limit('$_[0]', 'calls')" }

# Asked twice, since the first answer may be what makes the second.
sub is_told
{
    my ($when, @expected) = @_;
    my @told = map { $session->ask(question($_)) } $ann, $bob, $ann, $bob;
    is("@told", "@expected @expected", "$when: told what tables say");
    return;
}
