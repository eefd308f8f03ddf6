# A server without shared memory gets some while transactions are prepared: what they
# use counts, whether somebody looks or uses before they are committed.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('at_last');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 10\nautovacuum = off\ntimezone = 'UTC'\n");
memory_is(0);
$node->start;
value(<<'SQL');
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.define_usage_limit('photos', 'photo', 10, 'lifetime', NULL);
SQL

my %stories = (
    'nobody comes by'      => '',
    'somebody looks'       => "SELECT usage.check_usage_limit('%s', 'photos')",
    'somebody cannot wait' => "SET lock_timeout = '50ms'; SELECT usage.consume_usage('%s', 'photo', 5)",
);
my %user_of;
foreach my $story (sort keys %stories)
{
    foreach my $used (0, 1)
    {
        my $id = sprintf '00000000-0000-4000-8000-%012d', 1 + keys %user_of;
        value("SELECT usage.track_usage('$id', 'photo', $used)") if $used > 0;
        value("BEGIN; SELECT usage.consume_usage('$id', 'photo', 8); PREPARE TRANSACTION '$id'");
        $user_of{"$story, $used used before"} = [ $id, $used, sprintf($stories{$story}, $id) ];
    }
}

memory_is(64);
$node->restart;
foreach my $story (sort keys %user_of)
{
    my ($id, $used, $sql) = @{ $user_of{$story} };
    $node->psql('postgres', $sql) if $sql ne '';
    value("COMMIT PREPARED '$id'");
    is(value("SELECT trim_scale(used) FROM usage.check_usage_limit('$id', 'photos')"), $used + 8, "$story: what was prepared is used");
    is(value("SELECT reason FROM usage.consume_usage('$id', 'photo', 3)"), 'limit_reached', "$story: there is not more than is left");
}
is(value('SELECT * FROM usage.reconcile_usage()'), '', 'rows agree');
done_testing();

sub value { return $node->safe_psql('postgres', $_[0]) }

sub memory_is
{
    my ($slots) = @_;
    $node->append_conf('postgresql.conf', "usage_tracking.counter_slots = $slots");
    return;
}
