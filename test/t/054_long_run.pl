# What grows with the number of calls, or stands in the way of others: the memory of
# a session, locks on our tables, and versions of rows that are used again and again.
#
# UT_LONG_CALLS (10000) calls of each kind, each in a transaction of its own.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $calls = $ENV{UT_LONG_CALLS} // 10_000;
my $before = int($calls / 100);
my $allowed = 65536;

my $node = PostgreSQL::Test::Cluster->new('long_run');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = none\ntimezone = 'UTC'\nsynchronous_commit = off\n");
$node->start;
value(<<'SQL');
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.define_usage_limit('photos', 'photo', -1, 'lifetime', NULL), usage.define_usage_limit('monthly', NULL, 1000000000, 'calendar', '1 month'),
       usage.define_usage_limit('renders', 'render', 5, 'gauge'), usage.define_rate_limit('api', 1000000000000, '1 day');
SELECT usage.usage_maintenance();
SQL

sub value { return $node->safe_psql('postgres', $_[0]) }

# The user's number, and how he is used of.
my %calls = (
    check => [ 1, 'PERFORM usage.check_usage_limit(%1$s, \'photos\')' ],
    consume => [ 2, 'PERFORM usage.consume_usage(%1$s, \'photo\')' ],
    track => [ 3, 'PERFORM usage.track_usage(%1$s, \'photo\', tokens => 7)' ],
    'reserve and commit' => [ 4, 'PERFORM usage.commit_usage(%1$s, (usage.reserve_usage(%1$s, \'photo\')).id)' ],
    'rate limit' => [ 5, 'PERFORM usage.consume_rate_limit(%1$s, \'api\'), usage.check_rate_limit(%1$s, \'api\')' ],
);
sub user { return sprintf "'%08d-0000-4000-8000-000000000000'::uuid", $_[0] }

sub many
{
    my ($call, $n) = @_;
    return <<"SQL";
DO \$\$ BEGIN FOR i IN 1 .. $n LOOP $call; COMMIT; END LOOP; END \$\$;
SELECT sum(total_bytes) FROM pg_backend_memory_contexts;
SQL
}

# ---- memory of a session ----

foreach my $kind (sort keys %calls)
{
    my ($number, $call) = @{ $calls{$kind} };
    $call = sprintf $call, user($number);
    my ($few, $all) = split /\n/, value(many($call, $before) . many($call, $calls - $before));
    note("$kind: $few bytes after $before calls, $all after $calls");
    cmp_ok($all, '<=', $few + $allowed, "$kind: a session needs no more memory after $calls calls");
}
is(value('SELECT count(*) FROM usage.usage_events WHERE user_id = ' . user($_)), $calls, "and all of them were done, $_") foreach 2 .. 4;
is(value('SELECT * FROM usage.reconcile_usage()'), '', 'counters agree with events');

# This test can fail.
my ($few, $all) = split /\n/, value(many('PERFORM 1', 1) . q{SET lc_messages = 'C'; DO $$ BEGIN FOR i IN 1 .. 500 LOOP EXECUTE format('PREPARE p%s AS SELECT %s', i, i); END LOOP; END $$;} . many('PERFORM 1', 1));
cmp_ok($all, '>', $few + $allowed, 'a session that keeps something is found out');

# ---- versions of a row that many uses change ----

my $versions = value(q{SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'usage.usage_counters'::regclass});
my ($changed, $hot) = split /\|/, $versions;
note("usage_counters: $changed rows changed, $hot of them in their page");
cmp_ok($changed, '>', $calls / 50, 'rows of counters were changed');
cmp_ok($hot, '>', 0.9 * $changed, 'and hardly ever went to another page, or into indexes');

# ---- locks ----

my $strong = q{SELECT string_agg(DISTINCT relation::regclass || ' ' || mode, ', ')
  FROM pg_locks JOIN pg_class AS c ON c.oid = relation
 WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relnamespace = 'usage'::regnamespace
   AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')};
my $next = 100;
my %use = (
    'first use' => q{usage.consume_usage(%1$s, 'photo')},
    'first fact' => q{usage.track_usage(%1$s, 'photo')},
    'late fact' => q{usage.track_usage(%1$s, 'photo', occurred_at => clock_timestamp() - interval '1 minute')},
    batch => q{usage.track_usage_batch(jsonb_build_array(jsonb_build_object('user_id', %1$s, 'usage_type', 'photo')))},
    check => q{usage.check_usage_limit(%1$s, 'photos')},
    reservation => q{usage.reserve_usage(%1$s, 'photo')},
    'release' => q{usage.release_usage(%1$s, (usage.reserve_usage(%1$s, 'photo')).id)},
    'commit' => q{usage.commit_usage(%1$s, (usage.reserve_usage(%1$s, 'photo')).id)},
    lease => q{usage.release_lease(%1$s, (usage.acquire_lease(%1$s, 'renders')).id)},
    'rate' => q{usage.consume_rate_limit(%1$s, 'api')},
    'look at a rate' => q{usage.check_rate_limit(%1$s, 'api')},
);
foreach my $what (sort keys %use)
{
    my $call = sprintf $use{$what}, user($next++);
    foreach my $time ('first', 'again')
    {
        is(value("BEGIN; DO \$\$ BEGIN PERFORM $call; END \$\$; $strong; COMMIT"), '', "$what, $time: locks no table more than to write rows");
    }
}
is(value("BEGIN; LOCK TABLE usage.usage_events IN SHARE MODE; $strong; COMMIT") =~ /usage_events ShareLock/, 1, 'who does is found out');
done_testing();
