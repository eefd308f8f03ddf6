# Sums by day against events, after every step of a random history: uses, late
# ones, calls of an API, reversals, rollbacks, savepoints, sessions that stay open
# for a while, prepared transactions, refreshes of any size, gaps in the ids,
# retention, another time zone, users who are erased.
#
# Beside it the test keeps each event it ever saw, in a table of its own, with the
# day it had when retention took it.  After each step all answers about days must be
# sums over that table, and reconcile_usage() must find nothing.
#
# The history is random by a seed that is printed; UT_SEED repeats it.
#
# At the end, a dump: into another database of the cluster, where counting goes
# on, and into another cluster, where it begins again.
#
# Not tested here: who waits for whom (specs refresh_while_writing,
# refresh_at_once), upkeep under load (110_upkeep.pl).
use strict;
use warnings;

use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{UT_SEED} || int(rand(2**31));
my $steps = $ENV{UT_ROLLUP_STEPS} || 120;

diag("seed $seed");
srand($seed);

my $config = <<CONF;
usage_tracking.clock = '2026-06-15 12:00+00'
usage_tracking.max_event_age = '400d'
usage_tracking.event_retention = '0'
max_prepared_transactions = 5
timezone = 'UTC'
autovacuum = off
lock_timeout = '100ms'
CONF

my $node = PostgreSQL::Test::Cluster->new('rollups');
$node->init;
$node->append_conf('postgresql.conf', $config);
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.define_usage_type('photo'), usage.define_usage_type('film'), usage.create_usage_partition('2026-03-01'),
       usage.create_usage_partition('2026-05-01'), usage.create_usage_partition('2026-06-01');
CREATE FUNCTION person(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(n::text)::uuid $$;
CREATE TABLE facts (id bigint PRIMARY KEY, user_id uuid, occurred_at timestamptz, final_day date, usage_type text,
    provider text, model text, campaign_id text, status text, events bigint, quantity numeric, tokens numeric,
    input_tokens numeric, output_tokens numeric, cost numeric, unpriced bigint, duration_ms bigint);
CREATE PROCEDURE see_events() LANGUAGE sql AS $$
    INSERT INTO facts
    SELECT id, user_id, occurred_at, NULL, usage_type, provider, model, campaign_id, coalesce(corrected_status, status),
           coalesce(corrected_events, 1), quantity, tokens, coalesce(input_tokens, 0), coalesce(output_tokens, 0),
           coalesce(cost, 0), CASE WHEN cost IS NULL AND NOT EXISTS (SELECT FROM usage.usage_events AS c
               WHERE c.corrects = e.id AND c.user_id = e.user_id AND (c.price_id IS NOT NULL OR c.corrected_events < 0)) THEN 1 ELSE 0 END, duration_ms
      FROM usage.usage_events AS e WHERE corrected_limit IS NULL
        ON CONFLICT (id) DO UPDATE SET user_id = EXCLUDED.user_id, duration_ms = EXCLUDED.duration_ms,
           campaign_id = EXCLUDED.campaign_id, unpriced = EXCLUDED.unpriced;
$$;
CREATE PROCEDURE see_retention() LANGUAGE sql AS $$
    UPDATE facts SET final_day = (occurred_at AT TIME ZONE p.zone)::date FROM usage._rollup_progress() AS p
     WHERE final_day IS NULL AND id NOT IN (SELECT id FROM usage.usage_events);
$$;
CREATE VIEW days AS
    SELECT f.*, coalesce(f.final_day, (f.occurred_at AT TIME ZONE p.zone)::date) AS day
      FROM facts AS f, usage._rollup_progress() AS p;
CREATE VIEW expected (user_id, day, usage_type, provider, model, campaign_id, status, events, quantity, tokens,
    input_tokens, output_tokens, cost, unpriced, mean, longest) AS
    SELECT user_id, day, usage_type, provider, model, campaign_id, status, sum(events), sum(quantity), sum(tokens),
           sum(input_tokens), sum(output_tokens), sum(cost), sum(unpriced), round(avg(duration_ms), 3), max(duration_ms)
      FROM days GROUP BY 1, 2, 3, 4, 5, 6, 7;
CREATE VIEW answered AS
    SELECT u.user_id, a.* FROM (SELECT DISTINCT user_id FROM facts) AS u,
           usage.get_user_aggregations(u.user_id, 'day', '2024-01-01', '2027-12-31') AS a;
CREATE VIEW expected_totals (day, usage_type, provider, model, status, events, quantity, tokens,
    input_tokens, output_tokens, cost, unpriced) AS
    SELECT day, usage_type, provider, model, status, sum(events), sum(quantity), sum(tokens),
           sum(input_tokens), sum(output_tokens), sum(cost), sum(unpriced)
      FROM days GROUP BY 1, 2, 3, 4, 5;
CREATE VIEW answered_totals AS
    SELECT period, usage_type, provider, model, status, events, quantity, tokens, input_tokens, output_tokens, cost,
           unpriced
      FROM usage.get_usage_totals('2024-01-01', '2027-12-31');
CREATE VIEW expected_costs AS
    SELECT user_id, coalesce(sum(cost) FILTER (WHERE date_trunc('month', day::timestamp) = '2026-06-01'), 0) AS this_month,
           sum(cost) AS lifetime, sum(unpriced) AS unpriced
      FROM days GROUP BY 1;
CREATE VIEW answered_costs AS
    SELECT u.user_id, a.* FROM (SELECT DISTINCT user_id FROM facts) AS u, usage.get_user_costs(u.user_id) AS a;
CREATE VIEW expected_types (user_id, usage_type, events, failed, quantity, tokens, input_tokens, output_tokens, cost,
    unpriced, mean, longest) AS
    SELECT user_id, usage_type, sum(events), coalesce(sum(events) FILTER (WHERE status <> 'success'), 0), sum(quantity),
           sum(tokens), sum(input_tokens), sum(output_tokens), sum(cost), sum(unpriced), round(avg(duration_ms), 3), max(duration_ms)
      FROM days WHERE day BETWEEN '2026-05-20' AND '2026-06-10' GROUP BY 1, 2;
CREATE VIEW answered_types AS
    SELECT u.user_id, a.* FROM (SELECT DISTINCT user_id FROM facts) AS u,
           usage.get_user_usage(u.user_id, '2026-05-20', '2026-06-10') AS a;
CREATE VIEW windows AS
    SELECT w.last_day - w.days + 1 AS first_day, w.last_day, w.days
      FROM (VALUES (30, '2026-06-15'::date), (9, '2026-05-20'), (33, '2026-05-17')) AS w (days, last_day);
CREATE VIEW expected_trends (days, day, usage_type, events, failed, quantity, tokens, cost, users) AS
    SELECT w.days, d.day, d.usage_type, sum(d.events), coalesce(sum(d.events) FILTER (WHERE d.status <> 'success'), 0), sum(d.quantity),
           sum(d.tokens), sum(d.cost), count(DISTINCT d.user_id)
      FROM windows AS w JOIN days AS d ON d.day BETWEEN w.first_day AND w.last_day GROUP BY 1, 2, 3;
CREATE VIEW answered_trends AS
    SELECT w.days, t.* FROM windows AS w, usage.get_usage_trends(w.days, w.last_day) AS t;
CREATE VIEW expected_top AS
    SELECT * FROM (
        SELECT w.days, d.user_id, coalesce(sum(d.events) FILTER (WHERE d.status = 'success'), 0) AS uses,
               coalesce(sum(d.events) FILTER (WHERE d.status <> 'success'), 0) AS failed, sum(d.quantity) AS quantity, sum(d.tokens) AS tokens,
               sum(d.cost) AS cost
          FROM windows AS w JOIN days AS d ON d.day BETWEEN w.first_day AND w.last_day AND d.usage_type = 'photo' GROUP BY 1, 2) AS t
     WHERE ROW(uses, failed, quantity, tokens, cost) <> ROW(0, 0, 0, 0, 0);
CREATE VIEW answered_top AS
    SELECT w.days, t.user_id, t.uses, t.failed, t.quantity, t.tokens, t.cost
      FROM windows AS w, usage.get_top_users('photo', w.days, 'tokens', 1000, w.last_day) AS t;
CREATE VIEW expected_units (days, usage_type, users, events, quantity, cost, unpriced) AS
    SELECT w.days, d.usage_type, count(DISTINCT d.user_id), sum(d.events), sum(d.quantity), sum(d.cost), sum(d.unpriced)
      FROM windows AS w JOIN days AS d ON d.day BETWEEN w.first_day AND w.last_day GROUP BY GROUPING SETS ((1, 2), (1));
CREATE VIEW answered_units AS
    SELECT w.days, u.usage_type, u.users, u.events, u.quantity, u.cost, u.unpriced
      FROM windows AS w, usage.get_unit_costs(w.days, w.last_day) AS u;
CREATE VIEW expected_funnel AS
    WITH taken AS (
        SELECT w.days, w.first_day, d.user_id, d.usage_type, d.day
          FROM windows AS w JOIN days AS d ON d.day BETWEEN w.first_day AND w.last_day WHERE d.status = 'success'
    ), one AS (SELECT days, user_id, min(day) AS day FROM taken WHERE usage_type = 'film' GROUP BY 1, 2),
      two AS (SELECT o.days, o.user_id, min(t.day) AS day FROM one AS o JOIN taken AS t
                 ON t.days = o.days AND t.user_id = o.user_id AND t.usage_type = 'photo' AND t.day >= o.day GROUP BY 1, 2),
      three AS (SELECT o.days, o.user_id FROM two AS o JOIN taken AS t
                 ON t.days = o.days AND t.user_id = o.user_id AND t.usage_type = 'film' AND t.day >= o.day GROUP BY 1, 2)
    SELECT w.days, s.step, CASE s.step WHEN 1 THEN (SELECT count(*) FROM one AS o WHERE o.days = w.days)
                                       WHEN 2 THEN (SELECT count(*) FROM two AS o WHERE o.days = w.days)
                                       ELSE (SELECT count(*) FROM three AS o WHERE o.days = w.days) END AS users
      FROM windows AS w, generate_series(1, 3) AS s (step);
CREATE VIEW answered_funnel AS
    SELECT w.days, f.step, f.users
      FROM windows AS w, usage.get_conversion_funnel('{film,photo,film}', w.days, w.last_day) AS f WHERE f.step > 0;
SQL

my @differences = map { my ($one, $other) = @$_; "(SELECT '$one', t::text FROM (TABLE $one EXCEPT ALL TABLE $other) AS t)" }
    map { (["expected$_", "answered$_"], ["answered$_", "expected$_"]) } '', '_totals', '_costs', '_types', '_trends', '_top', '_units', '_funnel';
my $differences = join ' UNION ALL ', @differences, "(SELECT 'reconcile', r::text FROM usage.reconcile_usage() AS r)";

# ---- what can happen ----

sub pick { return $_[ int(rand(@_)) ] }
sub quoted { return defined $_[0] ? "'$_[0]'" : 'NULL' }
sub person { return 'person(' . int(rand(6)) . ')' }

# Mostly near the ends of days and months, which differ between zones.
sub instant
{
    my $back = pick(0, 0, 1, 14, 15, 16, 45, 46, int(rand(100)));
    return "'2026-06-15 11:59+00'::timestamptz - '$back days'::interval - '" . pick(0, 11, 12, 13, int(rand(24))) . " hours'::interval";
}

sub use_it
{
    return sprintf q{SELECT usage.track_usage(%s, '%s', %d.%d, %d, 0.%09d, status => '%s', duration_ms => %s, occurred_at => %s)},
        person(), pick('photo', 'film'), rand(10), rand(10), rand(1000), rand(1e9), pick('success', 'success', 'failed', 'cancelled'),
        pick('NULL', int(rand(5000))), instant();
}

# What the functions for calls of an API will write.
sub call
{
    return sprintf q{SELECT pg_current_xact_id(); INSERT INTO usage.usage_events
(id, user_id, usage_type, status, quantity, tokens, cost, occurred_at, provider, model, campaign_id, input_tokens, output_tokens, duration_ms)
SELECT nextval('usage.usage_events_id_seq'), %s, 'photo', '%s', 1, 30, %s, %s, 'openai', %s, %s, 10, 20, %d},
        person(), pick('success', 'failed'), pick('NULL', '0.000000000001'), instant(), quoted(pick(undef, 'GPT-X')),
        quoted(pick(undef, 'spring')), rand(9000);
}

sub reverse_it
{
    return q{SELECT usage.reverse_usage(user_id, id, } . pick('NULL', 'quantity / 2') . q{) FROM usage.usage_events}
        . q{ WHERE status <> 'correction' AND quantity > 0 ORDER BY md5(id::text || '}
        . int(rand(1e9)) . q{') LIMIT 1};
}

sub work { return pick(\&use_it, \&use_it, \&call, \&reverse_it)->() }

my %open = map { $_ => undef } 1 .. 3;
my $prepared = 0;
my $refresh = 'SELECT usage.refresh_usage_aggregations';

sub sql { $node->safe_psql('postgres', "SET client_min_messages = error; $_[0]"); return }

# An event to be reversed may have been already; an open session may be in the way.
sub try_sql { $node->psql('postgres', "SET client_min_messages = error; $_[0]"); return }

sub finish
{
    my ($name) = @_;
    my $session = $open{$name} or return;
    $session->send(pick('COMMIT', 'COMMIT', 'ROLLBACK'));
    $session->answer;
    $session->end;
    $open{$name} = undef;
    return;
}

my @happenings = (
    [ 14, works => sub { try_sql(work()) } ],
    [ 3, 'many works' => sub { try_sql(join ';', map { work() } 1 .. 20) } ],
    [ 2, 'rolled back' => sub { try_sql('BEGIN; ' . work() . '; ROLLBACK') } ],
    [ 3, savepoints => sub { try_sql('BEGIN; ' . join(';', work(), 'SAVEPOINT a', work(), pick('ROLLBACK TO a', 'RELEASE a'), work()) . '; COMMIT') } ],
    [ 2, 'used and refreshed in one' => sub { try_sql('BEGIN; ' . join(';', use_it(), 'SAVEPOINT a', "$refresh()", pick('ROLLBACK TO a', 'RELEASE a'), use_it()) . '; ' . pick('COMMIT', 'ROLLBACK')) } ],
    [ 10, refreshed => sub { $node->psql('postgres', "$refresh(" . (1 + int(rand(20))) . ')') } ],
    [ 10, 'refreshed whole' => sub { $node->psql('postgres', "$refresh()") } ],
    [ 6, opened => sub {
        my $name = pick(keys %open);
        finish($name);
        $open{$name} = OpenSession->new($node->connstr('postgres'));
        $open{$name}->send(join ';', 'BEGIN', pick('SELECT pg_current_xact_id()', use_it(), call()));
        $open{$name}->answer;
    } ],
    # Nothing is over after it began, so no snapshot tells of it.
    [ 3, 'refreshed beside the last one' => sub {
        finish(1);
        $open{1} = OpenSession->new($node->connstr('postgres'));
        $open{1}->ask('BEGIN; ' . use_it());
        $node->psql('postgres', "BEGIN; $refresh(); ROLLBACK; $refresh(); $refresh()");
    } ],
    [ 6, 'worked in an open one' => sub {
        my $name = pick(keys %open);
        return unless $open{$name};
        $open{$name}->send(pick(\&use_it, \&call)->());
        $open{$name}->answer;
    } ],
    [ 6, finished => sub { finish(pick(keys %open)) } ],
    [ 2, prepared => sub { $node->psql('postgres', $prepared++ % 2 ? pick('COMMIT', 'ROLLBACK') . " PREPARED 'p'" : 'BEGIN; ' . use_it() . "; PREPARE TRANSACTION 'p'") } ],
    [ 2, recosted => sub {
        try_sql(sprintf q{SELECT usage.import_model_prices('{"GPT-X": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 0.%06d, "output_cost_per_token": 0.1}}', '2025-01-%02d')}, rand(1e6), 1 + int(rand(28)));
        try_sql(q{SELECT usage.recost_usage('2026-01-01', '2026-07-01')});
    } ],
    [ 1, 'ids skipped' => sub { sql(q{SELECT setval('usage.usage_events_id_seq', nextval('usage.usage_events_id_seq') + 30000)}) } ],
    [ 2, upkeep => sub { sql('SELECT usage.usage_maintenance()') } ],
    [ 2, retired => sub {
        finish($_) foreach keys %open;
        $node->psql('postgres', "COMMIT PREPARED 'p'") if $prepared % 2;
        $prepared += $prepared % 2;
        my $old = OpenSession->new($node->connstr('postgres'));    # so that something is not counted
        $old->ask('BEGIN; SELECT pg_current_xact_id()') if pick(0, 1);
        try_sql(work());
        sql('CALL see_events()');
        sql(q{SET usage_tracking.event_retention = '} . pick(20, 50, 80) . q{d'; SET usage_tracking.max_event_age = '1d'; SELECT usage.usage_maintenance(600)});
        sql('CALL see_retention()');
        $old->end;
    } ],
    [ 1, 'another zone' => sub { sql(q{ALTER DATABASE postgres SET usage_tracking.time_zone = '} . pick('UTC', 'Asia/Tokyo', 'America/New_York', 'Pacific/Kiritimati') . q{'}) } ],
    [ 1, erased => sub {
        my $who = person();
        my ($failed, $id) = $node->psql('postgres', "SELECT usage.track_usage($who, 'photo', 1)");
        return if $failed;
        sql('CALL see_events()');
        $node->psql('postgres', "SELECT usage.erase_user($who)");
        sql("UPDATE facts SET user_id = e.user_id, duration_ms = NULL, campaign_id = NULL FROM usage.usage_events AS e WHERE facts.user_id = $who AND e.id = $id AND e.user_id <> $who");
    } ],
    [ 1, 'state lost' => sub { sql('DELETE FROM usage.usage_rollup_state') } ],
);
my @choices = map { my $happening = $_; ($happening) x $happening->[0] } @happenings;

# Each of them once at least, when there is something to happen to.
my @story = map { pick(@choices) } 1 .. $steps;
splice @story, @story / 2 + int(rand(@story / 2)), 1, $_ foreach @happenings;
my %told = map { $_->[1] => 1 } @story;
push @story, grep { !$told{ $_->[1] } } @happenings;

my %seen;
my $good = 1;
my $step = 0;
foreach my $happening (@story)
{
    my ($weight, $name, $do) = @$happening;
    $step++;
    $do->();
    $seen{$name}++;
    sql('CALL see_events()');
    my $found = $node->safe_psql('postgres', "$differences LIMIT 20");
    next if $found eq '';
    fail("step $step, $name, UT_SEED=$seed");
    diag($found, "\n", $node->safe_psql('postgres', 'TABLE usage.usage_rollup_state'));
    $good = 0;
    last;
}
ok($good, "answers are the sums of events after each step");
is_deeply([ grep { !$seen{ $_->[1] } } @happenings ], [], 'everything happened') if $good;

# ---- at the end ----

finish($_) foreach keys %open;
$node->psql('postgres', "COMMIT PREPARED 'p'") if $prepared % 2;
sql("$refresh(); $refresh()");
is($node->safe_psql('postgres', 'SELECT count(*) FROM usage._rollup_progress() AS p, usage.usage_events AS e WHERE usage._is_uncounted(e.id, e.xact_id, p.floor_id, p.base_id, p.through, p.done_id, p.next_through)'),
    0, 'when nobody is at work, two refreshes count everything');
# Chance may have had no month go, so one that has events goes now.  What is in use is left for a later call.
sql(q{SELECT usage.track_usage(person(1), 'photo', 7, occurred_at => '2026-04-10 12:00+00'); CALL see_events()});
my $retired = 0;
for (my $try = 0; $try < 50 && !$retired; $try++)
{
    sql(q{SET usage_tracking.event_retention = '20d'; SET usage_tracking.max_event_age = '1d'; SELECT usage.usage_maintenance(600); CALL see_retention()});
    $retired = $node->safe_psql('postgres', q{SELECT count(*) FROM usage.usage_aggregations WHERE is_final});
}
is($node->safe_psql('postgres', "$differences LIMIT 20"), '', 'when a month has gone, answers are what they were');
cmp_ok($retired, '>', 0, 'events were retired');

# ---- a dump with events that are not counted ----

sql(join ';', map { pick(\&use_it, \&call)->() } 1 .. 30);
my $elsewhere = PostgreSQL::Test::Cluster->new('elsewhere');
$elsewhere->init;
$elsewhere->append_conf('postgresql.conf', $config);
$elsewhere->start;
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'dumped');
foreach my $there ([ $node, 'in another database of the cluster' ], [ $elsewhere, 'in another cluster' ])
{
    my ($server, $where) = @$there;
    $server->safe_psql('postgres', 'CREATE DATABASE restored');
    $server->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $server->connstr('restored'), '-f', $dump ], "restored $where");
    my $zone = $node->safe_psql('postgres', 'SHOW usage_tracking.time_zone');
    $server->safe_psql('postgres', "ALTER DATABASE restored SET usage_tracking.time_zone = '$zone'");
    my $check = sub {
        is($server->safe_psql('restored', 'CALL see_events()') . $server->safe_psql('restored', "$differences LIMIT 20"), '', "$where, $_[0]");
    };
    is($server->safe_psql('restored', 'SELECT is_current FROM usage._rollup_progress()'), 'f', "$where, counting begins anew");
    $check->('as restored');
    $server->safe_psql('restored', "SET client_min_messages = error; SELECT usage.track_usage(person(1), 'photo', 5)");
    $check->('with new events');
    $server->safe_psql('restored', "$refresh(10)");
    $check->('amid the first count');
    $server->safe_psql('restored', "$refresh(); $refresh()");
    $check->('counted');
    is($server->safe_psql('restored', 'SELECT is_current FROM usage._rollup_progress()'), 't', "$where, counting goes on");
}

done_testing();
