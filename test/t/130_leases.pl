# A lease of a session is over when its connection is, however that ends; and it
# is nobody's in another server.
#
# The place is one of one, so whether it is free shows by acquiring it.  A session is
# ended by itself, by pg_terminate_backend(), by kill -9 (after which the server
# starts all others anew), and by the end of the server, in both ways.  A prepared
# transaction may bring the lease of a session that is still there, or is not.  A
# standby takes the primary's word for it; once promoted it knows none of its
# sessions, while these are still connected to the primary.
#
# Not tested here: dumps (030), many at once (stress: leases).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $user = "'aaaaaaaa-0000-4000-8000-000000000000'";
my $take = "SELECT allowed, reason FROM usage.acquire_lease($user, 'renders', NULL)";
my $node = PostgreSQL::Test::Cluster->new('leases');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "max_prepared_transactions = 5\nrestart_after_crash = on\n");
$node->start;
$node->safe_psql('postgres', q{
    CREATE SCHEMA usage;
    CREATE EXTENSION usage_tracking SCHEMA usage;
    SELECT usage.define_usage_limit('renders', 'render', 1, 'gauge')});

sub session { return OpenSession->new($_[0]->connstr('postgres')) }

# Until whoever had the place last is gone, too.
sub await_free { return $node->poll_query_until('postgres', 'SELECT coalesce(sum(held), 0) = 0 FROM usage.user_usage') }

# A session that holds the place, and its process.
sub holder
{
    my $session = session($node);
    await_free();
    is($session->ask($take), 't|ok', "$_[0]: a session gets the place");
    is($node->safe_psql('postgres', $take), 'f|held', "$_[0]: and nobody else");
    my $pid = $session->ask('SELECT pg_backend_pid()');
    $pid =~ /\A[1-9][0-9]+\z/ or BAIL_OUT('no process id');    # it may be killed
    return ($session, $pid);
}

sub is_over
{
    my ($how) = @_;
    ok(await_free(), "$how: the lease is over");
    is($node->safe_psql('postgres', $take), 't|ok', "$how: and the place can be had");
    return;
}

# ---- connections that end ----

my ($session, $pid) = holder('closed');
$session->end;
is_over('closed');

($session, $pid) = holder('terminated');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
is_over('terminated');

($session, $pid) = holder('killed');
$node->command_ok([ 'pg_ctl', 'kill', 'KILL', $pid ], 'killed: its process is gone');
ok($node->poll_query_until('postgres', 'SELECT true'), 'killed: the server starts anew');
is_over('killed');

foreach my $how ('fast', 'immediate')
{
    ($session, $pid) = holder("stopped, $how");
    $node->stop($how);
    $node->start;
    is_over("stopped, $how");
}

# ---- prepared transactions ----

$session = session($node);
await_free();
is($session->ask("BEGIN; $take; PREPARE TRANSACTION 'there'"), 't|ok', 'prepared: a place is taken');
is($node->safe_psql('postgres', 'SELECT held FROM usage.user_usage'), 0, 'prepared: nobody sees it');
$node->safe_psql('postgres', "COMMIT PREPARED 'there'");
is($node->safe_psql('postgres', $take), 'f|held', 'prepared: it is held once it is committed, by whomever');
$session->end;
is_over('prepared, closed');

$session = session($node);
await_free();
is($session->ask("BEGIN; $take; PREPARE TRANSACTION 'gone'"), 't|ok', 'prepared: a place is taken');
$node->stop('immediate');
$node->start;
$node->safe_psql('postgres', "COMMIT PREPARED 'gone'");
is_over('prepared by a session that is gone');

# ---- a standby ----

$node->backup('start');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'start', has_streaming => 1);
$standby->start;
($session, $pid) = holder('primary');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', 'SELECT held FROM usage.user_usage'), 1, 'standby: it shows what the primary knows');
is($standby->safe_psql('postgres', "SELECT allowed, reason FROM usage.check_usage_limit($user, 'renders')"), 'f|held', 'standby: and answers so');
$standby->promote;
is($standby->safe_psql('postgres', 'SELECT held FROM usage.user_usage'), 0, 'promoted: no session of another server holds anything');
is($standby->safe_psql('postgres', $take), 't|ok', 'promoted: the place can be had');
is($node->safe_psql('postgres', $take), 'f|held', 'promoted: on the primary it is still held');
$session->end;

$standby->stop;
$node->stop;
done_testing();
