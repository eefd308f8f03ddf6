# Logical replication of the extension's tables: the subscriber has the same
# usage, counts nothing a second time, and its open sessions learn of every
# change of the configuration.
#
# Once with publish_via_partition_root, where the subscriber files events in its
# own partitions, and once without, where it must have the publisher's.  What is
# published comes from the catalog.
#
# At the end the subscriber takes over, which needs its sequences to be set, as
# for any other table (doc/operations.md).
#
# Not tested here: writing to both sides, which PostgreSQL does not merge.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
foreach my $node ($publisher, $subscriber)
{
    $node->init(allows_streaming => 'logical');
    # no window ends while two servers are compared
    $node->append_conf('postgresql.conf', "max_connections = 40\nusage_tracking.clock = '2026-02-10 12:00+00'\nusage_tracking.credits_enabled = on\ntimezone = 'UTC'\n");
    $node->start;
}

my ($ann, $bob, $cyd) = map { "'$_$_$_$_$_$_$_${_}-0000-4000-8000-000000000000'" } qw(a b c);

# Something in every table, before anybody subscribes.
my $before = <<"SQL";
SELECT usage.install_default_plans();
CREATE TABLE app_users (id uuid PRIMARY KEY, email text);
INSERT INTO app_users VALUES ($ann, 'ann\@example.com'), ($cyd, 'cyd\@example.com');
SELECT usage.attach_users('app_users');
DELETE FROM app_users WHERE id = $cyd;
SELECT usage.make_admin_by_email('ann\@example.com');
SELECT usage.define_usage_limit('photos', 'photo', 10, 'lifetime', NULL);
SELECT usage.define_usage_limit('calls_daily', NULL, 100, measure => 'events');
SELECT usage.set_plan_limit('pro', 'photos', 20), usage.set_user_limit($bob, 'photos', 12, reason => 'asked nicely');
SELECT usage.define_usage_alert('photos', 20);
SELECT usage.set_credit_cost('photo', 2), usage.set_credit_refill('free', 30), usage.set_credit_refill('pro', 90), usage.grant_credits($ann, 50, reference_id => 'order');
SELECT usage.set_stripe_price('price_1', 'team'), usage.apply_stripe_event(format('{"id": "evt_1", "type": "customer.subscription.created", "created": 1770681600,
    "data": {"object": {"id": "sub_1", "customer": "cus_1", "status": "active", "metadata": {"user_id": %s}, "items": {"data": [{"price": {"id": "price_1"}}]}}}}', to_jsonb($cyd\::text))::jsonb);
SELECT usage.define_usage_limit('places', 'photo', 3, 'gauge'), usage.set_usage_level($bob, 'places', 1.5), usage.acquire_lease($bob, 'places', '1 day');
SELECT usage.consume_usage($ann, 'photo', 2, idempotency_key => 'first');
SELECT usage.consume_usage($bob, 'photo', 3);
SELECT usage.reserve_usage($ann, 'call', 1) FROM (SELECT usage.define_usage_type('call')) AS d;
SELECT usage.record_delivery($ann, r.id, false, 503), usage.fail_run($ann, r.id, 'no luck', cost => 0.5) FROM usage.start_run($ann, 'call') AS r;
SELECT usage.set_temporary_limit('calls_daily', 50, '2026-01-01', '2026-02-01');
SELECT usage.define_rate_limit('api', 10, '1 minute'), usage.define_rate_limit('api', 20, '1 minute', plan => 'pro');
INSERT INTO usage.model_prices (provider, model, prices, valid_from) VALUES ('openai', 'gpt', '{"input": 1}', '2026-01-01');
INSERT INTO usage.model_aliases VALUES ('azure', 'ours', 'openai', 'gpt');
SELECT usage.define_campaign($bob, 'spring', budget => 5);
SELECT usage.track_api_usage($bob, 'call', 'azure', 'ours', input_tokens => 3, status => 'failed', campaign_id => 'spring', ip => '10.0.0.1');
INSERT INTO usage.usage_imports (user_id, usage_type, occurred_at) VALUES ($bob, 'call', '2020-01-01 00:00+00');
INSERT INTO usage.usage_carried VALUES ($bob, 'call', 'success', 0, '2025-01-01 00:00+00', 1, 1, 0, 0);
INSERT INTO usage.usage_partition_log VALUES ('usage_events_2025_01', 'dropped', 1);
SELECT usage.track_usage($bob, 'photo', occurred_at => '2026-01-20 10:00+00');
SQL

# Uses of every kind; functions of later rooms go here too.
my $uses = <<"SQL";
SELECT usage.consume_usage($ann, 'photo', 2, idempotency_key => 'first');
SELECT usage.consume_usage($ann, 'photo', 3, 17, 0.5, 'second');
SELECT usage.consume_usage($ann, 'photo', 100);
SELECT usage.require_usage($bob, 'photo', 4);
SELECT usage.track_usage($bob, 'photo', 9, status => 'failed');
SELECT usage.track_usage($cyd, 'photo', 15);
BEGIN;
SELECT usage.consume_usage($ann, 'photo');
SAVEPOINT s;
SELECT usage.consume_usage($ann, 'photo', 2);
ROLLBACK TO s;
COMMIT;
SELECT usage.set_user_clock($ann, 'Asia/Tokyo', '2026-01-31 10:00+00');
SELECT usage.consume_usage($ann, 'photo', 1);
SELECT usage.set_user_plan($bob, 'pro');
SELECT usage.spend_credits($bob, 7), usage.add_usage_level($bob, 'places', 0.5);
SELECT usage.revoke_role($ann, 'nobody'), usage.grant_role($bob, 'support');
SQL

story('by_root', 'true');
story('by_leaf', 'false');
take_over('by_root');
done_testing();

sub story
{
    my ($db, $by_root) = @_;
    foreach my $node ($publisher, $subscriber)
    {
        $node->safe_psql('postgres', "CREATE DATABASE $db");
        $node->safe_psql($db, 'CREATE SCHEMA usage; CREATE EXTENSION usage_tracking SCHEMA usage; SELECT usage.usage_maintenance()');
    }
    $publisher->safe_psql($db, $before);
    my $tables = $publisher->safe_psql($db, q{
        SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.oid::regclass::text) FROM pg_class AS c
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
           AND c.relname NOT IN ('usage_rollup_state', 'usage_aggregations', 'usage_daily_totals', 'usage_user_months')
           AND c.oid IN (SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype = 'e'
                            AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'usage_tracking'))});
    $publisher->safe_psql($db, "CREATE PUBLICATION p FOR TABLE $tables, usage.usage_aggregations WHERE (is_final), usage.usage_daily_totals WHERE (is_final) WITH (publish_via_partition_root = $by_root)");
    my $connection = $publisher->connstr($db) =~ s/'/''/gr;
    $subscriber->safe_psql($db, "CREATE SUBSCRIPTION $db CONNECTION '$connection' PUBLICATION p");
    $subscriber->wait_for_subscription_sync($publisher, $db, $db);

    compare($db, 'copied', split /, /, $tables);
    $publisher->safe_psql($db, $uses);
    compare($db, 'followed', split /, /, $tables);
    check_open_session($db);
    my $sums = 'SELECT usage_type, status, events, tokens, cost FROM usage.get_usage_totals(\'2025-01-01\', \'2027-01-01\', \'month\')';
    is($subscriber->safe_psql($db, "SELECT done, \"left\" FROM usage.refresh_usage_aggregations()"), '0|0', "$db: the subscriber counts nothing by day");
    is($subscriber->safe_psql($db, $sums), $publisher->safe_psql($db, "SELECT usage.refresh_usage_aggregations() \\g /dev/null\n$sums"), "$db: and says the same");
    compare($db, 'after changes', split /, /, $tables);

    # a new month
    $_->safe_psql($db, "SELECT usage.create_usage_partition('2026-05-01')") foreach $publisher, $subscriber;
    $subscriber->safe_psql($db, "ALTER SUBSCRIPTION $db REFRESH PUBLICATION") if $by_root eq 'false';
    $publisher->safe_psql($db, "SET usage_tracking.max_event_lead = '120d'; SELECT usage.track_usage($ann, 'photo', occurred_at => '2026-05-03')");
    compare($db, 'with another partition', split /, /, $tables);
    is($subscriber->safe_psql($db, 'SELECT count(*) FROM usage.usage_events_2026_05'), 1, "$db: an event of its month is there");
    is($subscriber->safe_psql($db, "SELECT count(*), sum(value::bigint) FROM pg_stat_subscription_stats AS s, jsonb_each_text(to_jsonb(s))
         WHERE subname = '$db' AND key ~ '_error_count\$' AND value <> '0'"), '0|',
        "$db: nothing had to be tried again");
    return;
}

sub compare
{
    my ($db, $when, @tables) = @_;
    $publisher->wait_for_catchup($db);
    my $rows = join ' UNION ALL ', map { "SELECT '$_', count(*), md5(string_agg(t::text, ';' ORDER BY t::text)) FROM $_ AS t" } @tables;
    my ($here, $there) = map { $_->safe_psql($db, $rows) } $publisher, $subscriber;
    unlike($here =~ s/^usage\.usage_events_moving\|0\|$//mr, qr/\|0\|/, "$db: $when: something is in every table");
    is($there, $here, "$db: $when: and all of it on the subscriber");
    is($subscriber->safe_psql($db, 'SELECT * FROM usage.reconcile_usage()'), '', "$db: $when: counters are equal to events");
    my $answers = q{SELECT u.*, c.* FROM usage.user_usage AS u
        CROSS JOIN LATERAL usage.check_usage_limit(u.user_id, u.limit_type, 3) AS c ORDER BY u.user_id, u.limit_type};
    is($subscriber->safe_psql($db, $answers), $publisher->safe_psql($db, $answers), "$db: $when: users are told the same");
    my $credits = 'SELECT * FROM usage.user_credits ORDER BY user_id';
    is($subscriber->safe_psql($db, $credits), $publisher->safe_psql($db, $credits), "$db: $when: and what they have");
    return;
}

# Each change on the publisher, a question about it, and the answer that a session
# on the subscriber gives, which asked all of them before, and this one right before.
sub check_open_session
{
    my ($db) = @_;
    my $dan = "'dddddddd-0000-4000-8000-000000000000'";
    my @changes = (
        [ 'a limit is raised', "SELECT usage.define_usage_limit('photos', 'photo', 11, 'lifetime', NULL)",
          "SELECT max_usage FROM usage.check_usage_limit($dan, 'photos')", '11' ],
        [ 'a type is new', q{SELECT usage.define_usage_type('visit')},
          "SELECT reason FROM usage.check_usage_limit($dan, 'visit')", 'ok' ],
        [ 'a limit is new', q{SELECT usage.define_usage_limit('films', 'film', 2, 'lifetime', NULL)},
          "SELECT max_usage FROM usage.check_usage_limit($dan, 'films')", '2' ],
        [ 'a limit is inactive', q{UPDATE usage.usage_limits SET is_active = false WHERE limit_type = 'photos'},
          "SELECT reason FROM usage.check_usage_limit($dan, 'photos', 50)", 'not_enforced' ],
        [ 'and active again', q{UPDATE usage.usage_limits SET is_active = true WHERE limit_type = 'photos'},
          "SELECT reason FROM usage.check_usage_limit($dan, 'photos', 50)", 'limit_reached' ],
        [ 'a limit counts something else', q{SELECT usage.define_usage_limit('photos', 'photo', 11, 'lifetime', NULL, measure => 'events')},
          "SELECT used, max_usage FROM usage.check_usage_limit($bob, 'photos')", '3|12' ],
        [ 'a plan has another maximum', q{SELECT usage.set_plan_limit('pro', 'photos', 33); SELECT usage.set_user_limit(}. $bob . q{, 'photos', NULL)},
          "SELECT max_usage FROM usage.check_usage_limit($bob, 'photos')", '33' ],
        [ 'a plan has none', q{SELECT usage.set_plan_limit('pro', 'photos', NULL)},
          "SELECT max_usage FROM usage.check_usage_limit($bob, 'photos')", '11' ],
        [ 'a plan has one', q{SELECT usage.set_plan_limit('pro', 'photos', 15)},
          "SELECT max_usage FROM usage.check_usage_limit($bob, 'photos')", '15' ],
        [ 'a limit is gone', q{DELETE FROM usage.usage_limits WHERE limit_type = 'films'},
          "SELECT max_usage FROM usage.check_usage_limit($dan, 'films')", 'ERROR UT004' ],
        [ 'a model has another price', q{UPDATE usage.model_prices SET prices = '{"input": 2}'},
          "SELECT input_cost FROM usage.calculate_llm_cost('azure', 'ours', 1, 0)", '2' ],
        [ 'a model has another name', q{INSERT INTO usage.model_aliases VALUES ('azure', 'yours', 'openai', 'gpt')},
          "SELECT input_cost FROM usage.calculate_llm_cost('azure', 'yours', 1, 0)", '2' ],
        [ 'something is reserved', "SELECT usage.reserve_usage($dan, 'photo', 4, expires_in => '1 day')",
          "SELECT used FROM usage.check_usage_limit($dan, 'photos')", '1' ],
        [ 'and released', "SELECT usage.release_usage($dan, id) FROM usage.usage_reservations WHERE user_id = $dan",
          "SELECT used FROM usage.check_usage_limit($dan, 'photos')", '0' ],
        [ 'a user has his own', "SELECT usage.set_user_limit($dan, 'photos', 7)",
          "SELECT max_usage FROM usage.check_usage_limit($dan, 'photos')", '7' ],
        [ 'a rate is new', q{SELECT usage.define_rate_limit('reels', 2, '1 hour', plan => 'team')},
          "SELECT reason FROM usage.check_rate_limit($dan, 'reels')", 'unlimited' ],
        [ 'a rate is gone', q{DELETE FROM usage.api_rate_limits WHERE name = 'reels'},
          "SELECT reason FROM usage.check_rate_limit($dan, 'reels')", 'ERROR UT004' ],
        [ 'plans have none', 'TRUNCATE usage.plan_limits',
          "SELECT max_usage FROM usage.check_usage_limit($bob, 'photos')", '11' ],
        [ 'plans have maxima again', q{SELECT usage.set_plan_limit('pro', 'photos', 20)},
          "SELECT max_usage FROM usage.check_usage_limit($bob, 'photos')", '20' ],
    );
    my $session = OpenSession->new($subscriber->connstr($db));
    $session->ask($_->[2]) foreach @changes;
    foreach my $change (@changes)
    {
        my ($title, $sql, $question, $answer) = @$change;
        $session->ask($question);
        $publisher->safe_psql($db, $sql);
        $publisher->wait_for_catchup($db);
        is($session->ask($question), $answer, "$db: $title: a session of the subscriber knows");
    }
    $session->end;
    return;
}

# It becomes the one that writes.
sub take_over
{
    my ($db) = @_;
    $subscriber->safe_psql($db, "DROP SUBSCRIPTION $db");
    my ($told) = slurp_file("$FindBin::RealBin/../../doc/operations.md") =~ /^(DELETE FROM usage\.usage_rollup_state;.*?\)\);)$/ms;
    is(join(' ', sort $told =~ /setval\('usage\.(\w+)'/g),
        $subscriber->safe_psql($db, q{SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'usage'::regnamespace}),
        'the page names every sequence');
    $subscriber->safe_psql($db, $told);
    is($subscriber->safe_psql($db, "SELECT reason FROM usage.consume_usage($ann, 'photo', 2, idempotency_key => 'first')"), 'replayed',
        'taken over: keys are known');
    is($subscriber->safe_psql($db, <<"SQL"), 't|20', 'taken over: a limit is used to its last unit');
DO \$\$ BEGIN WHILE (usage.consume_usage($bob, 'photo')).allowed LOOP NULL; END LOOP; END \$\$;
SELECT used = (SELECT count(*) FROM usage.usage_events WHERE user_id = $bob AND status = 'success'), used
  FROM usage.check_usage_limit($bob, 'photos');
SQL
    $subscriber->safe_psql($db, q{SELECT usage.define_usage_limit('songs', 'song', 1)});
    is($subscriber->safe_psql($db, "SELECT usage.grant_credits($ann, 2) > max(id) FROM usage.credit_ledger;
        SELECT allowed FROM usage.spend_credits($ann, 52)"), "t\nt", 'taken over: credits are granted and spent');
    is($subscriber->safe_psql($db, 'SELECT count(*) - count(DISTINCT id) FROM usage.usage_events'), 0, 'taken over: ids of events go on');
    is($subscriber->safe_psql($db, 'SELECT * FROM usage.reconcile_usage()'), '', 'taken over: counters are equal to events');
    return;
}
