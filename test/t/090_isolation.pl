# At REPEATABLE READ and SERIALIZABLE a use fails with 40001 or not at all, and
# whoever repeats his transaction gets through: every fact is recorded once, and
# limits are used to the last unit and no further.
#
# Eight clients of pgbench, which repeats what failed, meet at one user's limit, at
# users nobody has seen before, and at the same keys; also where each is at another
# isolation level.
#
# Not tested here: which of two comes first (specs), and what else goes wrong
# meanwhile (stress).
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $clients = 8;
my $each = 25;
my $max = 120;      # of the one user: more than half of what they want

my $node = PostgreSQL::Test::Cluster->new('isolation');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = none\n");
$node->start;

my %levels = (read => 'READ COMMITTED', repeatable => 'REPEATABLE READ', serializable => 'SERIALIZABLE');
foreach my $mix ([ 'repeatable' ], [ 'serializable' ], [ 'read', 'repeatable', 'serializable' ])
{
    my $title = join ' and ', map { $levels{$_} } @$mix;
    my $db = join '_', @$mix;
    $node->safe_psql('postgres', "CREATE DATABASE $db");
    $node->safe_psql($db, <<"SQL");
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.define_usage_limit('photos', 'photo', $max, 'lifetime', NULL), usage.define_usage_type('visit'),
       usage.define_usage_limit('calls', NULL, 1000000, 'anchored', '7 days', 'events');
CREATE TABLE tried (client integer, number bigint);
SQL
    my ($status, $out, $err) = run_clients($db, map { script($db, $levels{$_}) } @$mix);
    my $all = $clients * $each;
    like($out, qr{processed: $all/$all\n.*failed transactions: 0 }s, "$title: everybody gets through") or diag("$out$err");
    my @errors = $err =~ /ERROR:  (.*)/g;
    is(join("\n", grep { !/^could not serialize access/ } @errors), '', "$title: nobody meets another error");
    cmp_ok(scalar(@errors), '>', 0, "$title: and " . @errors . ' times somebody had to repeat');

    is($node->safe_psql($db, 'SELECT count(*), count(DISTINCT (client, number)) FROM tried'), "$all|$all", "$title: each is done once");
    is($node->safe_psql($db, q{SELECT count(*) FROM usage.usage_events WHERE usage_type = 'photo'}), $max, "$title: the limit is used up, and not exceeded");
    is($node->safe_psql($db, q{SELECT count(*), count(DISTINCT resource_id), count(DISTINCT id) FROM usage.usage_events WHERE resource_type = 'fact'}),
        "$all|$all|$all", "$title: every fact is there, once");
    is($node->safe_psql($db, q{SELECT count(*) > 0, count(*) - count(DISTINCT (user_id, resource_id)) FROM usage.usage_events WHERE resource_type = 'key'}), 't|0',
        "$title: every key is used once");
    is($node->safe_psql($db, 'SELECT * FROM usage.reconcile_usage()'), '', "$title: counters are equal to events");
}
done_testing();

sub script
{
    my ($db, $level) = @_;
    my $file = $node->basedir . "/$db-$level.sql" =~ tr/ /_/r;
    append_to_file($file, <<"SQL");
\\set new random(100000, 100039)
\\set key random(1, 40)
\\set number random(1, 1000000000000)
BEGIN ISOLATION LEVEL $level;
SELECT usage.consume_usage('00000000-0000-4000-8000-000000000000', 'photo');
SELECT usage.track_usage('00000000-0000-4000-8000-000000:new', 'visit', resource_type => 'fact', resource_id => ':client_id :number');
SELECT usage.consume_usage('00000000-0000-4000-8000-000000200000', 'visit', idempotency_key => ':key', resource_type => 'key', resource_id => ':key');
INSERT INTO tried VALUES (:client_id, :number);
COMMIT;
SQL
    return ('-f', $file);
}

sub run_clients
{
    my ($db, @scripts) = @_;
    my ($out, $err) = ('', '');
    my $ok = IPC::Run::run(
        [ 'pgbench', '-n', '-c', $clients, '-j', 2, '-t', $each, '--max-tries=10000', '--verbose-errors', @scripts, $node->connstr($db) ],
        '>', \$out, '2>', \$err, IPC::Run::timeout(4 * $PostgreSQL::Test::Utils::timeout_default));
    return ($ok, $out, $err);
}
