# Databases of one cluster know nothing of each other.
#
# Three databases with extensions for ids of different types, and the same names,
# keys and limits in each: sessions of all use them at once.  Then a copy of one,
# in which even all numbers of objects are the same, and the end of the original.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('databases');
$node->init;
$node->start;

my %id = (uuid => '00000000-0000-0000-0000-000000000007', text => '7', bigint => '7');
my %extension = (uuid => 'usage_tracking', text => 'usage_tracking_text', bigint => 'usage_tracking_bigint');
my %limit = (uuid => 50, text => 60, bigint => 70);
my @types = qw(uuid text bigint);

sub session_in { return OpenSession->new(sprintf 'host=%s port=%s dbname=%s', $node->host, $node->port, $_[0]) }
sub in { return $node->safe_psql(@_) }

foreach my $type (@types)
{
    in('postgres', "CREATE DATABASE of_$type");
    in("of_$type", "CREATE SCHEMA usage; CREATE EXTENSION $extension{$type} SCHEMA usage;
        SELECT usage.define_usage_limit('calls', 'call', $limit{$type}, 'lifetime', NULL), usage.set_user_limit('$id{$type}', 'calls', $limit{$type})");
}

# Two that use of one user more than once in a transaction may meet near his limit
in("of_$_", <<"SQL") foreach @types;
CREATE PROCEDURE use_often(who $_, INOUT allowed integer) LANGUAGE plpgsql AS \$\$
BEGIN
    FOR i IN 1 .. 60 LOOP
        allowed := allowed + (usage.consume_usage(who, 'call')).allowed::integer;
        COMMIT;
    END LOOP;
END
\$\$;
SQL

# Transactions of all three are open at the same time; one is rolled back.
my %session = map { $_ => session_in("of_$_") } @types;
my $use = sub { "SELECT d.allowed, d.reason, d.used, d.max_usage FROM usage.consume_usage('$id{$_[0]}', 'call', $_[1], idempotency_key => 'k') AS d" };
my %first = (uuid => 1, text => 2, bigint => 3);
is($session{$_}->ask("BEGIN; " . $use->($_, $first{$_})), "t|ok|$first{$_}|$limit{$_}", "$_: a use in a transaction") foreach @types;
is($session{$_}->ask($use->($_, $first{$_})), "t|replayed|$first{$_}|$limit{$_}", "$_: its key means what it meant here") foreach @types;
is($session{text}->ask('ROLLBACK'), '', 'text: rolled back');
is($session{$_}->ask('COMMIT'), '', "$_: committed") foreach qw(uuid bigint);
is($session{text}->ask($use->('text', 4)), "t|ok|4|$limit{text}", 'text: nothing is left of what was rolled back');
$first{text} = 4;

# Uses of all at once, by two sessions each: each limit to its last unit.
my %second = map { $_ => session_in("of_$_") } @types;
my $uses = sub { "CALL use_often('$id{$_[0]}', 0)" };
foreach my $round (\%session, \%second) { $round->{$_}->send($uses->($_)) foreach @types }
is($session{$_}->answer + $second{$_}->answer, $limit{$_} - $first{$_}, "$_: its limit to the last unit, while others use theirs") foreach @types;
is(in("of_$_", "SELECT count(*), count(DISTINCT user_id), sum(quantity), min(user_id::text) FROM usage.usage_events"),
    join('|', $limit{$_} - $first{$_} + 1, 1, $limit{$_}, $id{$_}), "$_: its events are its own") foreach @types;
is(in("of_$_", 'SELECT * FROM usage.reconcile_usage()'), '', "$_: counters agree with events") foreach @types;

# What is changed in one is not changed in another, whose sessions have it cached.
in('of_text', "SELECT usage.set_user_limit('7', 'calls', 61), usage.define_usage_type('film')");
my $more = sub { "SELECT d.allowed, d.used, d.max_usage FROM usage.consume_usage('$id{$_[0]}', 'call') AS d" };
is($session{text}->ask($more->('text')), 't|61|61', 'text: one more');
is($session{$_}->ask($more->($_)), "f|$limit{$_}|$limit{$_}", "$_: not one more") foreach qw(uuid bigint);
is($session{bigint}->ask("SELECT usage.track_usage(7, 'film')"), 'ERROR UT004', 'bigint: what is registered in text is not registered here');

# A copy begins where the original is, and goes its own way.
$_->end foreach $session{uuid}, $second{uuid};
in('postgres', 'CREATE DATABASE of_copy TEMPLATE of_uuid');
my ($original, $copy) = map { session_in($_) } qw(of_uuid of_copy);
is(in('of_copy', "SELECT 'usage.consume_usage'::regproc::oid, 'usage.usage_counters'::regclass::oid"),
    in('of_uuid', "SELECT 'usage.consume_usage'::regproc::oid, 'usage.usage_counters'::regclass::oid"), 'copy: its objects have the same numbers');
is($_->ask($more->('uuid')), 'f|50|50', 'original and copy: used up') foreach $original, $copy;
is($copy->ask("SELECT usage.define_usage_limit('calls', 'call', 52, 'lifetime', NULL), usage.set_user_limit('$id{uuid}', 'calls', 52)"), '|', 'copy: two more');
is($original->ask("BEGIN; SELECT usage.adjust_usage('$id{uuid}', 'calls', 10)"), '', 'original: mended, in a transaction that is open');
is($copy->ask($more->('uuid')), 't|51|52', 'copy: one more beside it');
is($original->ask('COMMIT'), '', 'original: committed');
is($original->ask($more->('uuid')), 't|11|50', 'original: its own numbers');
is($copy->ask($more->('uuid')), 't|52|52', 'copy: its own numbers');
is($copy->ask($more->('uuid')), 'f|52|52', 'copy: and no more');
is($copy->ask($use->('uuid', 1)), 't|replayed|1|50', 'copy: a key of before');
is(in($_, 'SELECT * FROM usage.reconcile_usage()'), '', "$_: counters agree with events") foreach qw(of_uuid of_copy);

# The original goes; a new one of its name, and of another type, begins at nothing.
$original->end;
in('postgres', 'DROP DATABASE of_uuid');
in('postgres', 'CREATE DATABASE of_uuid');
in('of_uuid', 'CREATE SCHEMA usage; CREATE EXTENSION usage_tracking_bigint SCHEMA usage');
in('of_uuid', "SELECT usage.define_usage_limit('calls', 'call', 2, 'lifetime', NULL)");
is(in('of_uuid', $more->('bigint')), 't|1|2', 'after DROP DATABASE: a new one begins at nothing');
is($copy->ask("SELECT used FROM usage.check_usage_limit('$id{uuid}', 'call')"), 52, 'after DROP DATABASE: the copy goes on');
is($session{$_}->ask($more->($_)), 'f|' . join('|', ($_ eq 'text' ? 61 : $limit{$_}) x 2), "after DROP DATABASE: $_ goes on") foreach qw(text bigint);
$_->end foreach $copy, map { ($session{$_}, $second{$_}) } qw(text bigint);
$node->stop;
done_testing();
