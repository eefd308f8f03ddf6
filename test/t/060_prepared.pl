# Uses in a prepared transaction count when it is committed, not before, and
# nobody is admitted into their room meanwhile; whatever happens to the server
# between PREPARE TRANSACTION and its end.
#
# One prepared transaction for each user in %users: by how it will end, whether
# the user was there before, and by isolation level.  While they are open, while
# the server is restarted, stopped at once and started again, everybody else gets
# the same answers:
#
#   what fits whether it commits or not may be admitted, or waits;
#   what fits only if it rolls back waits, as at a row lock;
#   what does not fit anyway is refused at once, or waits if he is new;
#   what is looked at is what is committed.
#
# Each waits for lock_timeout, so nothing here depends on time.
#
# Not tested here: what keeps a prepared transaction from being forgotten
# (doc/operations.md, Locks to watch), sign-ups (020).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $max = 5;
my $before = 1;      # used by those who were there before
my $prepared = 3;

my $node = PostgreSQL::Test::Cluster->new('prepared');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 40\nmax_wal_size = 32MB\n"
    . "usage_tracking.alert_channel = 'alerts'\n");    # which must not keep a transaction from being prepared
$node->start;

$node->safe_psql('postgres', <<"SQL");
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.define_usage_limit('photos', 'photo', $max, 'lifetime', NULL);
SELECT usage.define_usage_limit('calls', NULL, 100, 'anchored', '7 days', 'events');
SELECT usage.usage_maintenance();
CREATE TABLE orders (user_id uuid, event_id bigint);
SQL

# At SERIALIZABLE PostgreSQL itself refuses a second one (40001).
my %users;
add_user($_, 'COMMIT', 1), add_user($_, 'COMMIT', 0), add_user($_, 'ROLLBACK', 1), add_user($_, 'ROLLBACK', 0)
  foreach 'READ COMMITTED', 'REPEATABLE READ';
add_user('SERIALIZABLE', 'COMMIT', 0);
my $all = keys %users;
my $bystander = 'ffffffff-0000-4000-8000-000000000000';

prepare($_) foreach each_user();
is(value('SELECT count(*) FROM pg_prepared_xacts'), $all, "$all transactions are prepared");
is(value("SELECT count(*) FROM usage.usage_alerts WHERE used > $before"), 0, 'nobody is told of what is prepared');
check_meanwhile('no restart');
$node->restart;
check_meanwhile('restarted');
$node->stop('immediate');
$node->start;
check_meanwhile('stopped at once');
value('CHECKPOINT');
my ($waiting, $repeating) = map { OpenSession->new($node->connstr('postgres')) } 1 .. 2;
check_end($_) foreach each_user();

$_->end foreach $waiting, $repeating;
is(value('SELECT count(*) FROM pg_prepared_xacts'), 0, 'all are over');
is(value(q{SELECT count(*) FROM pg_locks WHERE relation = 'usage.usage_events'::regclass OR classid = 'usage.usage_events'::regclass}),
    0, 'and leave no lock');
value("SELECT usage.define_usage_limit('photos_too', 'photo', $max, 'lifetime', NULL)");
is(value(q{SELECT count(*) FILTER (WHERE c.used <> e.used), count(*) FROM (
        SELECT user_id, sum(quantity) AS used FROM usage.usage_events GROUP BY user_id) AS e
    CROSS JOIN LATERAL usage.check_usage_limit(e.user_id, 'photos_too') AS c}),
    '0|' . ($all + 1), 'a limit that is made now counts what was prepared');
agree('at the end');
is(value(q{SELECT count(*) FILTER (WHERE a.user_id IS NULL), count(*) FILTER (WHERE r.user_id IS NULL), count(*) > 0 FROM (
        SELECT user_id, limit_id, window_start, threshold FROM usage._counted_usage() JOIN usage.usage_limits USING (limit_id),
               (VALUES (80), (100)) AS t (threshold) WHERE used * 100 >= threshold * max_usage) AS r
    FULL JOIN usage.usage_alerts AS a USING (user_id, limit_id, window_start, threshold)}),
    '0|0|t', 'who reached a part of a limit has an alert, and nobody else');
done_testing();

sub add_user
{
    my ($level, $end, $known) = @_;
    my $id = sprintf '%08x-0000-4000-8000-000000000000', 1 + keys %users;
    $users{$id} = { id => $id, level => $level, end => $end, used => $known * $before,
        title => "$level, " . ($known ? 'known' : 'new') . ", then $end" };
    return;
}

sub each_user { return map { $users{$_} } sort keys %users }

sub value { return $node->safe_psql('postgres', $_[0]) }

sub agree
{
    my ($when) = @_;
    is(value('SELECT * FROM usage.reconcile_usage()'), '', "$when: counters are equal to events");
    return;
}

# What one transaction may do with usage goes here, functions of later rooms too.
sub prepare
{
    my ($user) = @_;
    my $id = $user->{id};
    value("SELECT usage.consume_usage('$id', 'photo', $user->{used})") if $user->{used};
    value(<<"SQL");
BEGIN ISOLATION LEVEL $user->{level};
INSERT INTO orders SELECT '$id', d.id FROM usage.consume_usage('$id', 'photo', 2, idempotency_key => 'prepared') AS d;
SAVEPOINT s;
SELECT usage.consume_usage('$id', 'photo', idempotency_key => 'undone');
ROLLBACK TO s;
SAVEPOINT s;
INSERT INTO orders SELECT '$id', usage.track_usage('$id', 'photo');
RELEASE s;
PREPARE TRANSACTION '$id';
SQL
    return;
}

# What others are told while it is open, in one session: a line for each question.
# A use that would be allowed is rolled back, so that the questions stay the same.
sub meanwhile
{
    my ($user) = @_;
    my $id = $user->{id};
    my ($fits_if_rolled_back, $never_fits) = ($max - $user->{used} - $prepared + 1, $max - $user->{used} + 1);
    my $either = $max - $user->{used} - $prepared;
    my ($status, $out, $err) = $node->psql('postgres', <<"SQL", on_error_stop => 0);
SET lock_timeout = '10ms';
SELECT used, remaining FROM usage.check_usage_limit('$id', 'photos');
BEGIN; SELECT true FROM usage.consume_usage('$id', 'photo', $either) AS d WHERE NOT d.allowed; \\echo :SQLSTATE
ROLLBACK;
SELECT * FROM usage.consume_usage('$id', 'photo', $fits_if_rolled_back); \\echo :SQLSTATE
SELECT * FROM usage.consume_usage('$id', 'photo', 2, idempotency_key => 'prepared'); \\echo :SQLSTATE
SELECT allowed, reason, used FROM usage.consume_usage('$id', 'photo', $never_fits);
SELECT usage.set_user_clock('$id', 'Asia/Tokyo'); \\echo :SQLSTATE
SQL
    return $out;
}

sub check_meanwhile
{
    my ($when) = @_;
    foreach my $user (each_user())
    {
        my ($left, $used) = ($max - $user->{used}, $user->{used});
        # in shared memory a new user's windows may wait for his clock
        my $refused = $used ? "f\\|limit_reached\\|$used\n" : "(?:f\\|limit_reached\\|0\n)?";
        like(meanwhile($user), qr/^$used\|$left\n(?:00000|55P03)\n55P03\n55P03\n${refused}55P03$/,
            "$when: $user->{title}: others wait for it, or are refused");
    }
    my ($status, $out, $err) = $node->psql('postgres', <<"SQL", on_error_stop => 0);
SET lock_timeout = '10ms';
SELECT usage.define_usage_limit('videos', 'video', 1); \\echo :SQLSTATE
SELECT usage.create_usage_partition((now() + interval '1 year')::date); \\echo :SQLSTATE
SELECT allowed FROM usage.consume_usage('$bystander', 'photo', 0.0001);
SQL
    is($out, "55P03\n55P03\nt", "$when: no limit is made and no partition, others use what they may");
    agree($when);
    return;
}

# Somebody is waiting for it when it ends.
sub check_end
{
    my ($user) = @_;
    my ($id, $title) = ($user->{id}, $user->{title});
    my $commits = $user->{end} eq 'COMMIT';
    my $wanted = $max - $user->{used} - $prepared + 1;
    $waiting->send("SELECT allowed, reason, trim_scale(used) FROM usage.consume_usage('$id', 'photo', $wanted)");
    $repeating->send("SELECT reason FROM usage.consume_usage('$id', 'photo', 2, idempotency_key => 'prepared')");
    $node->poll_query_until('postgres', 'SELECT count(DISTINCT pid) = 2 FROM pg_locks WHERE NOT granted') or die 'nobody waits';

    value("$user->{end} PREPARED '$id'");
    my ($answer, $repeated) = map { $_->answer } $waiting, $repeating;
    my $used = $user->{used} + ($commits ? $prepared : 0);
    if ($commits)
    {
        is("$answer $repeated", "f|limit_reached|$used replayed", "$title: who waited is refused, who repeats the key gets its answer");
    }
    else
    {
        # both want the room, and may come in either order
        like("$answer $repeated", qr/^t\|ok\|\d (ok|limit_reached)$|^f\|limit_reached\|\d ok$/, "$title: who waited gets the room");
    }
    is(value("SELECT count(*) FROM orders WHERE user_id = '$id'"), $commits ? 2 : 0, "$title: rows of the application go with it");
    is(value(<<"SQL"), "t|$max", "$title: the rest can be used to the last unit");
DO \$\$ BEGIN WHILE (usage.consume_usage('$id', 'photo')).allowed LOOP NULL; END LOOP; END \$\$;
SELECT c.used = (SELECT sum(quantity) FROM usage.usage_events WHERE user_id = '$id'), trim_scale(c.used)
  FROM usage.check_usage_limit('$id', 'photos') AS c;
SQL
    return;
}
