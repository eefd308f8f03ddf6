# A standby answers what the primary answers, writes nothing, and takes over.
#
# While writers are at work (test/t/Writers.pm) a synchronous standby follows.
# When they pause it gives the same answers to everybody, in sessions that were
# open before a limit was changed as well; whatever would write says 25006.  Then
# the primary is killed under load and the standby promoted: every acknowledged
# use is there, limits hold, and ids of events go on.
#
# Which functions write comes from the catalog, so a new one needs a line here.
#
# Not tested here: asynchronous standbys, which lose what PostgreSQL loses, and
# logical replication (075).
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Writers;

my $seed = Writers::seed();
note("UT_CRASH_SEED=$seed");

my $primary = PostgreSQL::Test::Cluster->new('primary');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', Writers::log_settings() . "hot_standby_feedback = on\nmax_connections = 40\n");
$primary->start;
my $writers = Writers->new($primary, $seed, $standby);
$primary->safe_psql('postgres', <<'SQL');
CREATE ROLE regress_ut_app LOGIN;
SELECT usage.grant_usage_access('regress_ut_app');
CREATE TABLE app_users (id uuid PRIMARY KEY, email text);
INSERT INTO app_users VALUES (crash.user_id(0), 'hot@example.com');
SELECT usage.attach_users('app_users'), usage.make_admin_by_email('hot@example.com'), usage.install_default_plans();
SELECT usage.set_credit_refill('free', 20), usage.grant_credits(crash.user_id(0), 50, expires_at => '2100-01-01'), usage.spend_credits(crash.user_id(0), 30);
CREATE TABLE other_users (id uuid PRIMARY KEY, email text);
SELECT usage.define_usage_limit('places', 'place', 5, 'gauge', NULL), usage.define_usage_limit('rows_there', 'row', 5, 'gauge', NULL), usage.acquire_lease(crash.user_id(7000), 'places', '1 day');
CREATE TABLE followed (id uuid);
CREATE TABLE presets (id integer PRIMARY KEY, uses bigint, more bigint);
CREATE TABLE preset_uses (id integer);
SELECT usage.attach_usage_gauge('followed', 'rows_there', 'id'), usage.attach_usage_tally('presets', 'id', 'uses', 'preset_uses', 'id');
SQL
$primary->backup('base');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = '*'");
$primary->reload;

# ---- it follows ----

$writers->go;
ok($writers->order('wait 500'), 'writers write, and the standby confirms');
ok($writers->order('pause'), 'writers pause');
$writers->verify('primary');
$primary->wait_for_catchup($standby);

my $answers = <<'SQL';
SELECT u.*, c.allowed, c.reason, c.limit_type, c.used, c.max_usage, c.remaining, c.reset_at
  FROM usage.user_usage AS u CROSS JOIN LATERAL usage.check_usage_limit(u.user_id, u.limit_type, 3, 5) AS c
 ORDER BY user_id, u.limit_type;
SQL
$answers .= "SELECT * FROM usage.$_;\n" foreach 'get_usage_totals()', map { "$_(crash.user_id(0))" }
    qw(credit_balance get_user_usage get_user_costs get_user_usage_history get_user_aggregations get_campaigns get_usage_alerts list_runs check_monthly_usage_limit);
$answers .= "SELECT * FROM usage.$_;\n" foreach qw{get_usage_trends() get_top_users() get_conversion_funnel('{unit}') get_error_rates() get_cost_breakdown() get_unit_costs() get_users_near_limit(1)};
$answers .= "SELECT usage.admin_dashboard() - '{generated_at,forecast}'::text[], usage.user_dashboard(crash.user_id(0)) - '{generated_at,limits}'::text[],"
  . " length(usage.admin_page()) > 1000, count(*) FROM usage.usage_report(crash.user_id(0));\n";
$answers .= "TABLE usage.user_monthly_usage;\n";
$answers .= "SELECT * FROM usage.user_credits ORDER BY user_id; SELECT * FROM usage.credit_transactions ORDER BY user_id, id;\n";
my $own = sprintf "SET request.jwt.claims = '{\"sub\": \"%s\"}'; SELECT *, usage.is_admin(), usage.has_role(user_id, 'admin') FROM usage.user_usage;"
  . " SELECT allowed, reason, limit_type, used FROM usage.check_usage_limit(usage.current_user_id(), 'unit', 2)",
  $primary->safe_psql('postgres', 'SELECT max(user_id::text) FROM usage.user_subscriptions');

sub same_answers
{
    my ($when) = @_;
    my $told = $primary->safe_psql('postgres', $answers);
    cmp_ok(scalar(split /\n/, $told), '>', 100, "$when: the primary answers many questions");
    is($standby->safe_psql('postgres', $answers), $told, "$when: and the standby says the same");
    my ($here, $there) = map { $_->safe_psql('postgres', $own, extra_params => [ '-U', 'regress_ut_app' ]) } $primary, $standby;
    cmp_ok(scalar(split /\n/, $here), '>', 3, "$when: a user asks for himself");
    is($there, $here, "$when: and the standby says the same to him");
    return;
}
same_answers('followed');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM usage.reconcile_usage()'), 0, 'on the standby counters are equal to events');
is($standby->safe_psql('postgres', 'SELECT * FROM usage.usage_security_check()'), '', 'and nothing is open that was closed');

my $open = OpenSession->new($standby->connstr('postgres'));
my $ask = "SELECT max_usage, reason FROM usage.check_usage_limit(crash.user_id(5000), 'units_ever')";
is($open->ask($ask), '40|ok', 'a session on the standby knows a limit');
$primary->safe_psql('postgres', "UPDATE usage.usage_limits SET max_usage = 0 WHERE limit_type = 'units_ever'");
$primary->wait_for_catchup($standby);
is($open->ask($ask), '0|limit_reached', 'and learns that it was changed');
is($open->ask("SELECT usage.check_usage_limit(crash.user_id(5000), 'film')"), 'ERROR UT004', 'a type is not registered');
$primary->safe_psql('postgres', "UPDATE usage.usage_limits SET max_usage = 40 WHERE limit_type = 'units_ever';
    SELECT usage.define_usage_limit('films', 'film', 7)");
$primary->wait_for_catchup($standby);
is($open->ask("SELECT limit_type, max_usage FROM usage.check_usage_limit(crash.user_id(5000), 'film')"), 'films|7', 'and then it is, with a limit');
is($open->ask($ask), '40|ok', 'as it was before');
my $cost = "SELECT total_cost FROM usage.calculate_llm_cost('acme', 'm', 1, 0)";
is($open->ask($cost), '', 'nobody knows what a model costs');
$primary->safe_psql('postgres', "INSERT INTO usage.model_prices (provider, model, prices, valid_from) VALUES ('acme', 'm', '{\"input\": 1e-12}', '2020-01-01')");
$primary->wait_for_catchup($standby);
is($open->ask($cost), '0.000000000001', 'and then the standby knows too');
$open->end;

# ---- it writes nothing ----

my $who = 'crash.user_id(7000)';
my $event = "(SELECT min(id) FROM usage.usage_events WHERE user_id = crash.user_id(0))";
my %writes = (
    acknowledge_usage_alert => "usage.acknowledge_usage_alert($who, 1)",
    adjust_usage => "usage.adjust_usage($who, 'units_ever', 3)",
    commit_usage => "usage.commit_usage($who, 1)",
    erase_user => "usage.erase_user($who)",
    import_model_prices => q{usage.import_model_prices('{}')},
    define_campaign => "usage.define_campaign($who, 'spring')",
    install_demo_plan => 'usage.install_demo_plan()',
    recost_usage => q{usage.recost_usage('2020-01-01', '2100-01-01')},
    track_api_usage => "usage.track_api_usage($who, 'unit', 'acme', 'm')",
    install_default_limits => 'usage.install_default_limits()',
    install_seed_prices => 'usage.install_seed_prices()',
    release_usage => "usage.release_usage($who, 1)",
    reserve_usage => "usage.reserve_usage($who, 'unit')",
    grant_credits => "usage.grant_credits($who, 5)",
    spend_credits => "usage.spend_credits(crash.user_id(0), 5)",
    refund_credits => "usage.refund_credits(crash.user_id(0), (SELECT id FROM usage.credit_ledger WHERE action = 'spend'))",
    set_credit_cost => q{usage.set_credit_cost('unit', 2)},
    set_credit_overdraft => "usage.set_credit_overdraft($who, 5)",
    set_credit_refill => q{usage.set_credit_refill('free', 10)},
    reset_user_usage => "usage.reset_user_usage(crash.user_id(0), 'units_ever')",
    reverse_usage => "usage.reverse_usage(crash.user_id(0), $event)",
    set_temporary_limit => "usage.set_temporary_limit('units_ever', 3, '2026-01-01', '2036-01-01')",
    track_usage_batch => "usage.track_usage_batch(jsonb_build_array(jsonb_build_object('user_id', $who, 'usage_type', 'unit')))",
    import_usage => 'usage.import_usage()',
    attach_users => "usage.attach_users('other_users')",
    consume_usage => "usage.consume_usage($who, 'unit')",
    create_usage_partition => "usage.create_usage_partition('2035-01-01')",
    define_usage_alert => "usage.define_usage_alert('units_ever', 50)",
    define_usage_limit => "usage.define_usage_limit('songs', 'song', 1)",
    define_usage_type => "usage.define_usage_type('song')",
    define_rate_limit => "usage.define_rate_limit('api', 1, '1 day')",
    detach_users => 'usage.detach_users()',
    grant_role => "usage.grant_role($who, 'admin')",
    grant_usage_access => "usage.grant_usage_access('regress_ut_app', true)",
    install_default_plans => 'usage.install_default_plans()',
    make_admin_by_email => q{usage.make_admin_by_email('hot@example.com')},
    require_usage => "usage.require_usage($who, 'unit')",
    revoke_role => "usage.revoke_role(crash.user_id(0), 'admin')",
    set_plan_limit => "usage.set_plan_limit('pro', 'units_ever', 9)",
    set_user_clock => "usage.set_user_clock($who, 'Asia/Tokyo')",
    set_user_limit => "usage.set_user_limit($who, 'units_ever', 9)",
    set_user_plan => "usage.set_user_plan($who, 'pro')",
    track_usage => "usage.track_usage($who, 'unit')",
    refresh_usage_aggregations => 'usage.refresh_usage_aggregations()',
    acquire_lease => "usage.acquire_lease($who, 'places')",
    renew_lease => "usage.renew_lease($who, (SELECT max(id) FROM usage.usage_leases))",
    release_lease => "usage.release_lease($who, (SELECT max(id) FROM usage.usage_leases))",
    set_usage_level => "usage.set_usage_level($who, 'places', 2)",
    add_usage_level => "usage.add_usage_level($who, 'places', 2)",
    attach_usage_gauge => "usage.attach_usage_gauge('other_users', 'places', 'id')",
    detach_usage_gauge => "usage.detach_usage_gauge('followed', 'rows_there')",
    attach_usage_tally => "usage.attach_usage_tally('presets', 'id', 'more', 'preset_uses', 'id')",
    detach_usage_tally => "usage.detach_usage_tally('presets', 'uses')",
    detach_usage_tallies => "usage.detach_usage_tallies('preset_uses')",
    sync_usage_tally => "usage.sync_usage_tally('presets', 'uses')",
    apply_stripe_event => q{usage.apply_stripe_event('{"id": "evt_1", "type": "invoice.paid", "created": 1770681600, "data": {"object": {"subscription": "sub_1", "customer": "cus_1"}}}')},
    set_stripe_price => "usage.set_stripe_price('price_1', 'pro')",
    start_run => "usage.start_run($who, 'unit')",
    update_run => "usage.update_run($who, 1)",
    succeed_run => "usage.succeed_run($who, 1)",
    fail_run => "usage.fail_run($who, 1)",
    cancel_run => "usage.cancel_run($who, 1)",
    record_delivery => "usage.record_delivery($who, 1, true)",
    usage_maintenance => 'usage.usage_maintenance()',
);
my $volatile = $primary->safe_psql('postgres', q{
    SELECT DISTINCT p.proname FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.objid
     WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND p.provolatile = 'v' AND p.prorettype <> 'trigger'::regtype
       AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'usage_tracking') AND p.proname !~ '^_' 
       AND p.proname <> ALL ('{export_user_data,consume_rate_limit,require_rate_limit,pre_request}') ORDER BY 1});  # reads; memory alone, see 135
is(join("\n", sort keys %writes), $volatile, 'every function that may write has a call here');

sub state_of
{
    my ($sql) = @_;
    my ($status, $out, $err) = $standby->psql('postgres', $sql, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
    return $err =~ /ERROR:  (\w{5}):/ ? $1 : $out;
}
my %done = map { $_ => 1 } qw(install_default_plans make_admin_by_email);    # nothing is left to be written
foreach my $name (sort keys %writes)
{
    my $state = state_of("SELECT $writes{$name}");
    if ($done{$name}) { like($state, qr/^(25006|0|)$/, "$name writes nothing on a standby") }
    else { is($state, '25006', "$name is refused on a standby") }
}
is(state_of("SELECT allowed, reason, remaining FROM usage.spend_credits(crash.user_id(0), 41)"), 'f|insufficient_credits|40', 'a refusal for want of credits, too');
is(state_of("SELECT allowed, reason FROM usage.consume_usage($who, 'unit', 41)"), 'f|limit_reached', 'a refusal writes nothing and is told');
is(state_of("INSERT INTO app_users VALUES (gen_random_uuid())"), '25006', 'signing up is refused as well');

# ---- it takes over ----

$writers->go;
ok($writers->order('wait 500'), 'writers write on');
my $last = $primary->safe_psql('postgres', 'SELECT max(id) FROM usage.usage_events');
Writers::kill_server($primary);
ok($writers->order('pause'), 'no writer hangs when the primary is killed');
$standby->promote;
$writers->move_to($standby);
$writers->verify('promoted');
$writers->check_files('promoted');

$writers->go;
ok($writers->order('wait 300'), 'the writers find the new primary');
ok($writers->order('pause'), 'no writer hangs on it');
$writers->verify('went on');
ok($writers->end, 'every writer lived to its end');
is($standby->safe_psql('postgres', "SELECT count(*) > 1000, count(*) - count(DISTINCT id), max(id) > $last FROM usage.usage_events"), 't|0|t',
    'ids of events go on, and none is there twice');
note($writers->summary);
$writers->check_log('promoted', '08006 FATAL:', '25006 ERROR:', '40P01 ERROR:', '55P03 ERROR:', '57014 (?:ERROR|FATAL):', '57P01 FATAL:', 'UT001 ERROR:', 'UT004 ERROR:', '.{5} WARNING:');
done_testing();
