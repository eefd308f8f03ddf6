# A call that is cancelled while it waits leaves nothing behind: no use, no lock,
# no open transaction; and its transaction, or the savepoint or PL/pgSQL block
# around it, ends as if the call had been any other statement.
#
# Each call waits where it can wait, for a prepared transaction, until its
# lock_timeout or statement_timeout: so nothing here depends on time.
#
# Not tested here: cancelling at any other moment (050).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('cancelled');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 5\nautovacuum = off\n");
$node->start;

my $ann = "'aaaaaaaa-0000-4000-8000-000000000000'";
my $new = "'bbbbbbbb-0000-4000-8000-000000000000'";
$node->safe_psql('postgres', <<"SQL");
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.define_usage_limit('photos', 'photo', 5, 'lifetime', NULL), usage.define_usage_type('visit');
SELECT usage.consume_usage($ann, 'photo');
CREATE TABLE note (text text);
SQL

# What it waits for, who holds that, and the call.  Calls of later rooms go here too.
my $keyed = "usage.consume_usage($ann, 'photo', idempotency_key => 'k')";
my @waits = (
    [ 'a change of what is counted', 'LOCK TABLE usage.usage_events IN SHARE ROW EXCLUSIVE MODE', "usage.consume_usage($ann, 'photo')" ],
    [ 'a change of the clock', "SELECT usage.set_user_clock($ann, 'Asia/Tokyo')", "usage.consume_usage($ann, 'photo')" ],
    [ 'the configuration', 'LOCK TABLE usage.usage_limits', "usage.consume_usage($ann, 'photo')" ],
    [ "the user's first use", "INSERT INTO usage.user_subscriptions (user_id) VALUES ($new)", "usage.consume_usage($new, 'photo')" ],
    [ 'the counter', "SELECT usage.consume_usage($ann, 'photo', 4)", "usage.consume_usage($ann, 'photo')" ],
    [ 'the counter', "SELECT usage.consume_usage($ann, 'photo', 4)", "usage.require_usage($ann, 'photo')" ],
    [ 'the counter', "SELECT usage.consume_usage($ann, 'photo', 4)", "usage.track_usage($ann, 'photo')" ],
    [ 'the key', "SELECT usage.consume_usage($ann, 'visit', idempotency_key => 'k')", "usage.consume_usage($ann, 'visit', idempotency_key => 'k')" ],
    [ 'the key', "SELECT usage.consume_usage($ann, 'visit', idempotency_key => 'k')", "usage.track_usage($ann, 'visit', idempotency_key => 'k')" ],
    [ 'the key, to be refused', "SELECT $keyed", "usage.consume_usage($ann, 'photo', 6, idempotency_key => 'k')" ],
    [ 'the key, to be refused', "SELECT $keyed", "usage.require_usage($ann, 'photo', 6, idempotency_key => 'k')" ],
    [ 'the partition', 'LOCK TABLE usage.usage_events_default', "usage.consume_usage($ann, 'photo')" ],
    [ 'uses in flight', "SELECT usage.consume_usage($ann, 'photo')", "usage.define_usage_limit('videos', 'video', 1)" ],
    [ 'uses in flight', "SELECT usage.consume_usage($ann, 'photo')", "usage.set_user_clock($ann, 'Asia/Tokyo')" ],
);

# Around the call: what is sent, and the notes that others see afterwards.
my @contexts = (
    [ 'on its own', 'SELECT %s;', '' ],
    [ 'in a transaction', q{BEGIN; INSERT INTO note VALUES ('undone'); SELECT %s; COMMIT;}, '' ],
    [ 'after a savepoint', q{
        BEGIN; INSERT INTO note VALUES ('kept'); SAVEPOINT s; INSERT INTO note VALUES ('undone');
        SELECT %s; ROLLBACK TO s; INSERT INTO note VALUES ('kept'); COMMIT;}, 'kept,kept' ],
    [ 'in a PL/pgSQL block', q{
        DO $$
        BEGIN
            INSERT INTO note VALUES ('kept');
            BEGIN
                INSERT INTO note VALUES ('undone');
                PERFORM %s;
            EXCEPTION WHEN lock_not_available OR query_canceled THEN
                RAISE WARNING USING ERRCODE = SQLSTATE, MESSAGE = 'caught';
                INSERT INTO note VALUES ('kept');
            END;
        END
        $$;}, 'kept,kept' ],
);

# In the same session, when it is over; notes are read through another one.
$node->safe_psql('postgres', q{
CREATE VIEW aftermath AS
SELECT now() <> statement_timestamp() AS transaction,
       (SELECT count(*) FROM pg_locks AS l JOIN pg_class AS c ON c.oid IN (l.relation, l.classid)
         WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'usage'::regnamespace) AS locks,
       current_setting('lock_timeout') AS lock_timeout, current_setting('statement_timeout') AS statement_timeout});

foreach my $wait (@waits)
{
    my ($for, $held, $call) = @$wait;
    my $title = ($call =~ /(\w+)\(/)[0] . " waits for $for";
    my $before = recorded();
    $node->safe_psql('postgres', "BEGIN; $held; PREPARE TRANSACTION 'held'");
    cancel($title, $call, 'lock_timeout', '20ms', '55P03', @contexts);
    # takes longer, and what is done is the same wherever it waits
    cancel($title, $call, 'statement_timeout', '200ms', '57014', @contexts[ 0, 3 ]) if $title =~ /consume/ && $for =~ /counter|key/;
    $node->safe_psql('postgres', "ROLLBACK PREPARED 'held'");
    is(recorded(), $before, "$title: nothing was recorded");
    is($node->safe_psql('postgres', "BEGIN; SELECT count(*) FROM (SELECT $call) AS c; ROLLBACK"), 1, "$title: and can be done, when that is over")
      unless $call =~ /require_usage.*6/;
}
is($node->safe_psql('postgres', 'SELECT * FROM usage.reconcile_usage()'), '', 'counters are equal to events');
done_testing();

sub cancel
{
    my ($title, $call, $setting, $value, $expected, @where) = @_;
    my $settings = $setting eq 'lock_timeout' ? "$value|0" : "0|$value";
    my $session = OpenSession->new($node->connstr('postgres'));
    $session->ask("SET $setting = '$value'");
    foreach my $context (@where)
    {
        my ($where, $sql, $notes) = @$context;
        my $answer = $session->ask(sprintf $sql, $call);
        is(join(', ', $answer, $session->ask('TABLE aftermath'), 'notes ' . notes()), "ERROR $expected, f|0|$settings, notes $notes",
            "$title, $where, to its $setting");
    }
    $session->end;
    return;
}

sub recorded
{
    return $node->safe_psql('postgres', 'SELECT (SELECT count(*) FROM usage.usage_events), (SELECT sum(used) FROM usage._counted_usage()),
        (SELECT count(*) FROM usage.usage_keys), (SELECT count(*) FROM usage.user_subscriptions), (SELECT count(*) FROM usage.usage_limits)');
}

# What the others see, and then no more.
sub notes
{
    return $node->safe_psql('postgres', q{WITH gone AS (DELETE FROM note RETURNING text) SELECT string_agg(text, ',') FROM gone});
}
