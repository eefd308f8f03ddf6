# Behind pgbouncer in transaction mode, where a session serves one client after
# the other: identity never leaks, and the functions need no session of their own.
#
# UT_POOLER_TRANSACTIONS (2 000) of 40 clients go through 4 sessions of the server.
# Each says who its user is by SET LOCAL, or by a token, uses something and commits,
# rolls back, or rolls a savepoint back; inside it must be that user, and afterwards
# nobody.  Again in new sessions, where SET LOCAL comes before the library is
# loaded.  That the test can fail is shown by a plain SET, which leaks.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use IPC::Run;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
plan skip_all => 'pgbouncer is not installed' unless $pgbouncer;

my $clients = 40;
my $transactions = $ENV{UT_POOLER_TRANSACTIONS} // 2000;
my $sessions = 4;
my $role = 'regress_ut_gateway';

my $node = PostgreSQL::Test::Cluster->new('pooled');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = none\nmax_connections = 60\n");
$node->start;
my $owner = $node->safe_psql('postgres', 'SELECT current_user');
$node->safe_psql('postgres', <<"SQL");
CREATE ROLE $role LOGIN;
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.grant_usage_access('$role');
GRANT SET ON PARAMETER usage_tracking.user_id TO $role;
SELECT usage.define_usage_limit('calls', 'call', 1000000, 'lifetime', NULL);
SELECT usage.usage_maintenance();
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO $role;
CREATE FUNCTION app.must(met boolean, what text) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
    IF met IS NOT TRUE THEN
        RAISE 'not %, but %', what, usage.current_user_id();
    END IF;
END
\$\$;
SQL

my %pooler = start_pooler();
END { local $?; $pooler{run}->kill_kill if $pooler{run} }

# :no is one of 100 users; the event says whose it should be, and who served it.
my $me = '00000000-0000-4000-8000-000000:no';
my $nobody = "SELECT app.must(usage.current_user_id() IS NULL, 'nobody');";
my $use = "SELECT app.must(usage.current_user_id() = '$me', '$me');\n"
  . "SELECT app.must((usage.consume_usage(usage.current_user_id(), 'call', resource_id => '$me',"
  . " metadata => jsonb_build_object('client', :client_id, 'session', pg_backend_pid()))).allowed, 'allowed');";
my $set = "SET LOCAL usage_tracking.user_id = '$me';";
my @scripts = map { script($_->[0], $_->[1]) } (
    [ 'commit',   "BEGIN;\n$set\n$use\nCOMMIT;\n$nobody" ],
    [ 'rollback', "BEGIN;\n$set\n$use\nROLLBACK;\n$nobody" ],
    [ 'savepoint', "BEGIN;\nSAVEPOINT s;\n$set\n$use\nROLLBACK TO s;\n$nobody\nCOMMIT;\n$nobody" ],
    [ 'token', "BEGIN;\nSELECT set_config('request.jwt.claims', '{\"sub\": \"$me\"}', true);\n$use\nCOMMIT;\n$nobody" ]);

run_clients($clients, int($transactions / $clients));
my ($events, $owned, $served) = split /\|/, $node->safe_psql('postgres', q{
    SELECT count(*), bool_and(user_id::text = resource_id), count(DISTINCT metadata->>'session') FROM usage.usage_events});
cmp_ok($events, '>', $transactions / 4, "$events uses were recorded");    # half of the scripts commit
is($owned, 't', 'each as the use of him who was meant');
is($served, $sessions, "by $served sessions for $clients clients");

foreach (1 .. 10)
{
    $node->psql('pgbouncer', 'RECONNECT', connstr => connection('pgbouncer', $owner));
    run_clients($sessions, 1);
}
my $new;
($owned, $new) = split /\|/, $node->safe_psql('postgres', qq{
    SELECT bool_and(user_id::text = resource_id), count(DISTINCT metadata->>'session') - $served FROM usage.usage_events});
is($owned, 't', 'in new sessions too each is the use of him who was meant');
cmp_ok($new, '>=', 10, "$new sessions were new");
is($node->safe_psql('postgres', 'SELECT * FROM usage.reconcile_usage()'), '', 'counters are equal to events');

# Each statement meets another session, none of which knows what the others did.
my @open = map { OpenSession->new(connection('postgres', $owner)) } 1 .. $sessions;
$_->ask('BEGIN; SELECT usage.is_admin()') foreach @open;
$_->ask('COMMIT'), $_->end foreach @open;
my $story = join "\n", map { <<"SQL" } 1 .. 10;
SELECT usage.define_usage_limit('films', 'film', $_, 'lifetime', NULL);
SELECT max_usage FROM usage.check_usage_limit('$me', 'film');
SELECT allowed, used, max_usage FROM usage.consume_usage('$me', 'film');
SELECT allowed, reason FROM usage.consume_usage('$me', 'film');
SELECT used, max_usage FROM usage.user_usage WHERE limit_type = 'films' AND user_id = '$me';
SELECT usage.track_usage('$me', 'visit$_') > 0;
SELECT usage.define_usage_type('visit$_');
SELECT usage.track_usage('$me', 'visit$_', idempotency_key => 'k$_') > 0;
SELECT usage.track_usage('$me', 'visit$_', idempotency_key => 'k$_') > 0;
SELECT (usage.reserve_usage('$me', 'visit$_', idempotency_key => 'h$_')).allowed;
SELECT allowed FROM usage.commit_usage('$me', (usage.reserve_usage('$me', 'visit$_', idempotency_key => 'h$_')).id);
SELECT recorded, replayed FROM usage.track_usage_batch('[{"user_id": "$me", "usage_type": "visit$_", "idempotency_key": "k$_"}, {"user_id": "$me", "usage_type": "visit$_"}]');
SELECT pg_backend_pid() AS pid;
SQL
$story =~ s/:no/100000/g;
my ($status, $told, $complaints) = $node->psql('postgres', $story, on_error_stop => 0,
    connstr => connection('postgres', $owner));
my @lines = split /\n/, $told;
my %pids = map { $_ => 1 } grep { /^\d{2,}$/ && $_ > 10 } @lines;
is(join(' ', grep { !/^\d{3,}$/ && !/^$/ } @lines),
    join(' ', map { my $n = $_; ($n, "t|$n|$n", 'f|limit_reached', "$n|$n", 't', 't', 't', 't', '1|1') } 1 .. 10),
    'functions answer as in a session of their own');
my $unregistered = () = $complaints =~ /usage type "visit\d+" is not registered/g;
is($unregistered, 10, 'and so they do of what is not registered yet');
cmp_ok(scalar(keys %pids), '>', 1, 'though they were in several');

# The check is one that can fail.
my $gateway = connection('postgres', $role);
my $someone = $me =~ s/:no/100000/r;
$node->psql('postgres', "SET usage_tracking.user_id = '$someone'", connstr => $gateway) foreach 1 .. 2 * $sessions;
my ($leaked, $out, $err) = $node->psql('postgres', $nobody, connstr => $gateway);
like($err, qr/not nobody, but $someone/, 'a plain SET is met by the next client');

done_testing();

sub connection
{
    my ($db, $user) = @_;
    return sprintf 'host=%s port=%s dbname=%s user=%s', $node->host, $pooler{port}, $db, $user;
}

sub run_clients
{
    my ($count, $each) = @_;
    my ($out, $err) = ('', '');
    my $ok = IPC::Run::run(
        [ 'pgbench', '-n', '-c', $count, '-j', 2, '-t', $each, (map { ('-f', $_) } @scripts), connection('postgres', $role) ],
        '>', \$out, '2>', \$err, IPC::Run::timeout(10 * $PostgreSQL::Test::Utils::timeout_default));
    ok($ok && $err !~ /ERROR/ && $out =~ m{processed: (\d+)/\1\n}, "$count clients: inside one is oneself, and outside nobody")
      or diag("$out$err");
    return;
}

# A pooler of its own, in the foreground, so that it ends with this test.
sub start_pooler
{
    my $directory = $node->basedir . '/pooler';
    my $port = PostgreSQL::Test::Cluster::get_free_port();
    mkdir $directory or die "$directory: $!";
    append_to_file("$directory/users", qq{"$role" ""\n"$owner" ""\n});
    append_to_file("$directory/ini", <<"INI");
[databases]
postgres = host=@{[ $node->host ]} port=@{[ $node->port ]}
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = @{[ $node->host ]}
auth_type = trust
auth_file = $directory/users
pool_mode = transaction
default_pool_size = $sessions
max_client_conn = 200
server_round_robin = 1
logfile = $directory/log
admin_users = $owner
INI
    my %self = (port => $port, out => '');
    $self{run} = IPC::Run::start([ $pgbouncer, "$directory/ini" ], '>', \$self{out}, '2>&1');
    foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
    {
        return %self if -S $node->host . "/.s.PGSQL.$port";
        $self{run}->pump_nb;
        select(undef, undef, undef, 0.1);
    }
    die "no pooler: $self{out}";
}

sub script
{
    my ($name, $sql) = @_;
    my $file = $node->basedir . "/$name.sql";
    append_to_file($file, "\\set no random(100000, 100099)\n$sql\n");
    return $file;
}
