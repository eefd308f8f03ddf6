# Upkeep under load: months move out of the DEFAULT partition, old ones are
# dropped, keys, counters and reservations go, users are anonymized and erased,
# while everybody uses, reserves, commits, reverses, comes late and looks.
#
# Each use writes a row of the application's own in the same transaction.  At the
# end all of these, events and carried sums add up to the same, by type and month;
# counters agree; and of users who left there is only what they did after that.
# While it runs, reconcile_usage() finds no difference.
#
# The numbers of pgbench are random by a seed that is printed; UT_SEED repeats it,
# as far as the order of things repeats.
#
# Not tested here: who waits for whom, one by one (specs retention_while_writing,
# moving_while_writing, forgetting_while_using).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{UT_SEED} || int(rand(2**31));
my $users = 40;
my $transactions = $ENV{UT_TRANSACTIONS} || 300;    # of each of 6 clients

diag("seed $seed");

my $node = PostgreSQL::Test::Cluster->new('upkeep');
$node->init;
$node->append_conf('postgresql.conf', <<CONF);
usage_tracking.clock = '2026-06-15 12:00+00'
usage_tracking.idempotency_retention = '0'
usage_tracking.event_retention = '40d'
timezone = 'UTC'
CONF
$node->start;
$node->safe_psql('postgres', <<SQL);
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
CREATE TABLE people (id uuid PRIMARY KEY, email text);
CREATE TABLE uses (usage_type text, month timestamptz, quantity numeric);
CREATE FUNCTION person(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS \$\$ SELECT md5(n::text)::uuid \$\$;
INSERT INTO people SELECT person(n), n FROM generate_series(1, $users) AS n;
SELECT usage.define_usage_limit('ever', 'photo', -1, 'lifetime'), usage.define_usage_limit('daily', NULL, -1, statuses => '{success,failed}'),
       usage.define_usage_limit('monthly', 'film', -1, 'anchored', '30 days', 'events', time_zone => 'Asia/Tokyo');
SELECT usage.attach_users('people');
SQL

my %scripts = (
    'use@10' => qq{
BEGIN;
SELECT usage.consume_usage(person(:n), 'photo', :q, idempotency_key => 'k' || :key);
INSERT INTO uses SELECT 'photo', '2026-06-01', :q;
COMMIT;
},
    'late@12' => qq{
BEGIN;
SET LOCAL usage_tracking.max_event_age = '400d';
SELECT usage.track_usage(person(:n), 'film', :q, status => CASE :q % 3 WHEN 0 THEN 'failed' ELSE 'success' END, metadata => to_jsonb(person(:n)),
                         occurred_at => '2026-06-15 11:00+00'::timestamptz - :days * interval '1 day');
INSERT INTO uses SELECT 'film', date_trunc('month', '2026-06-15 11:00+00'::timestamptz - :days * interval '1 day'), :q;
COMMIT;
},
    'reserve@6' => qq{
BEGIN;
SELECT id FROM usage.reserve_usage(person(:n), 'photo', :q) \\gset
SELECT usage.commit_usage(person(:n), :id);
INSERT INTO uses SELECT 'photo', '2026-06-01', :q;
COMMIT;
},
    'adjust@2' => qq{
BEGIN;
SELECT usage.define_usage_type('clip');
SELECT usage.track_usage(person(:n), 'clip', :q) AS id \\gset
SELECT usage.reverse_usage(person(:n), :id);
INSERT INTO uses VALUES ('clip', '2026-06-01', 0);
COMMIT;
},
    'look@6' => q{
SELECT usage.check_usage_limit(person(:n), 'ever');
SELECT count(*) AS usages FROM usage._usage_of_user(person(:n)) \gset
},
    # one in two comes back before upkeep sees that he went
    'leave@2' => qq{
DELETE FROM people WHERE id = person(:n);
SELECT pg_sleep(:q * 0.002);
INSERT INTO people SELECT person(:n) WHERE :q % 2 = 0 ON CONFLICT DO NOTHING;
},
    'erase@1' => q{SELECT usage.erase_user(person(:n));},
    'upkeep@3' => q{SELECT * FROM usage.usage_maintenance();},
    'compare@1' => q{SELECT 1 / (count(*) = 0)::integer AS no_difference FROM usage.reconcile_usage();},
);
my $numbers = "\\set n random(1, $users)\n\\set q random(1, 9)\n\\set days random(0, 300)\n\\set key random(1, 1000000000)\n";
my %files = map { $_ => "$numbers$scripts{$_}" } keys %scripts;

$node->pgbench("--no-vacuum --client=6 --jobs=2 --transactions=$transactions --random-seed=$seed --max-tries=100",
    0, [qr/number of failed transactions: 0 /], [qr/\A(?:pgbench: setting random seed.*\n|WARNING:  sign-up was not recorded.*\n|HINT:  attach_users.*\n)*\z/], 'uses and upkeep at once', \%files);

# What is left to do is done; then nothing is.
my $left = 1;
for my $round (1 .. 20)
{
    last if !$left;
    $left = value(q{SELECT sum("left") FROM usage.usage_maintenance(600)});
}
is($left, 0, 'in the end nothing is left to do');

is(value('SELECT count(*) FROM usage.reconcile_usage()'), 0, 'counters agree with events and carried sums');
is(value('SELECT count(*) FROM usage.usage_security_check()'), 0, 'and nothing was given away');
is(value('SELECT count(*) FROM usage.usage_events_default') . ' ' . value('SELECT count(*) FROM usage.usage_events_moving'), '0 0',
    'the DEFAULT partition is empty, and no copies are left');
is(value(q{SELECT string_agg(partition, ' ' ORDER BY partition) FROM (
        SELECT DISTINCT tableoid::regclass::text AS partition FROM usage.usage_events WHERE occurred_at < '2026-04-01') AS p}), '',
    'no event is older than retention and late windows allow');
cmp_ok(value(q{SELECT count(*) FROM usage.usage_partition_log WHERE action = 'dropped'}), '>', 5, 'months were dropped');
cmp_ok(value('SELECT count(*) FROM usage.usage_carried'), '>', 0, 'and carried');

my $sums = q{SELECT string_agg(concat_ws(' ', usage_type, month::date, trim_scale(quantity)), ', ' ORDER BY usage_type, month) FROM (
    SELECT usage_type, month, sum(quantity) AS quantity FROM (%s) AS f (usage_type, month, quantity) GROUP BY 1, 2) AS s};
is(value(sprintf $sums, q{SELECT usage_type, date_trunc('month', occurred_at), quantity FROM usage.usage_events
        UNION ALL SELECT usage_type, month, quantity FROM usage.usage_carried}),
    value(sprintf $sums, 'TABLE uses'), 'nothing was lost and nothing counted twice, in any month');

is(value('SELECT sum(used) FROM usage._counted_usage() JOIN usage.usage_limits USING (limit_id) WHERE limit_type = \'ever\''),
    value("SELECT sum(quantity) FROM uses WHERE usage_type = 'photo'"), 'nor by the lifetime limit');
is(value(q{SELECT count(*) FROM usage.deleted_users}), 0, 'no mark is left');
is(value(q{SET usage_tracking.clock = '2026-07-20 12:00:01+00'; SELECT done FROM usage.usage_maintenance(600) WHERE task = 'keys' AND done > 0;
        SELECT count(*) + (SELECT count(*) FROM usage.usage_reservations) FROM usage.usage_keys}) =~ s/.*\n//sr, 0,
    'when they are old, no key and no reservation is left');

value('CREATE TABLE leaving AS TABLE people; DELETE FROM people');
value('SELECT * FROM usage.usage_maintenance(600)') while value('SELECT count(*) FROM usage.deleted_users') > 0;
is(value(q{SELECT count(*) FROM (SELECT user_id FROM usage.usage_events UNION ALL SELECT user_id FROM usage.usage_counters
        UNION ALL SELECT user_id FROM usage.usage_carried UNION ALL SELECT user_id FROM usage.user_subscriptions
        UNION ALL SELECT user_id FROM usage.usage_reservations) AS u WHERE user_id IN (SELECT id FROM leaving)}), 0,
    'of those who leave now nothing is left');
is(value('SELECT count(*) FROM usage.reconcile_usage()'), 0, 'and all still agrees');
is(value("SELECT used FROM (SELECT sum(quantity) AS used FROM usage.usage_events WHERE usage_type = 'photo') AS e"),
    value("SELECT sum(quantity) FROM uses WHERE usage_type = 'photo'"), 'with what was used');
done_testing();

sub value
{
    my ($sql) = @_;
    return $node->safe_psql('postgres', $sql);
}
