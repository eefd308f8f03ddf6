# All recipes in one database: they get on with one another, outlive a dump, keep
# users apart, and go without a trace.
#
# Each recipe has a schema of its own; Ann and Bob use all of them, Cyd is an
# admin. The database is dumped and restored; the restored one gives the same
# answers, takes the same writes and sign-ups, and has the same dump. There Ann
# then tries, through every relation and function of every recipe, to see what is
# Bob's (his id, or what has the word "secret" in it) and to write what she may not.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $ann = "'aaaaaaaa-0000-4000-8000-00000000000a'";
my $bob = "'bbbbbbbb-0000-4000-8000-00000000000b'";
my $cyd = "'cccccccc-0000-4000-8000-00000000000c'";
my $dan = "'dddddddd-0000-4000-8000-00000000000d'";
my @new = (undef, "'eeeeeeee-0000-4000-8000-00000000000e'", "'ffffffff-0000-4000-8000-00000000000f'");
my $not_anns = qr/secret|\Q@{[ $bob =~ tr{'}{}dr ]}\E/;

my %schema_of = ('video-quota' => 'quota', 'ai-gateway' => 'gateway', 'tiered-limits' => 'tiers',
    'preset-counters' => 'gallery', 'report-runs' => 'reports');
my $ours = "(relnamespace::regnamespace)::text = ANY ('{" . join(',', sort values %schema_of) . "}')";

my $node = PostgreSQL::Test::Cluster->new('recipes');
$node->init(extra => [ '--no-locale', '--encoding=UTF8' ]);
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'\nusage_tracking.clock = '2026-03-10 12:00+00'\n");
$node->start;
my @to = ('-h', $node->host, '-p', $node->port);

sub sql { my ($db, $sql) = @_; return $node->safe_psql($db, $sql); }

# As a user of the web role, or of the server's.
sub by { my ($db, $user, $sql) = @_; return sql($db, "SET usage_tracking.user_id = $user; SET ROLE web; $sql"); }
sub by_server { my ($db, $sql) = @_; return sql($db, "SET ROLE backend; $sql"); }

sub relations
{
    my ($db, $where) = @_;
    return split /\n/, sql($db, "SELECT oid::regclass FROM pg_class WHERE relkind IN ('r', 'v') AND $where ORDER BY oid::regclass::text COLLATE \"C\"");
}

# A query for all that some relations have.
sub all_of { return join ' UNION ALL ', map { "SELECT '$_', (SELECT string_agg(r::text, E'\\n' ORDER BY r::text COLLATE \"C\") FROM $_ AS r)" } @_ }

# {who asks => all that the recipes' relations tell him}, but for some of them.
sub answers
{
    my ($db, $but) = @_;
    my ($all, $of_users) = map { all_of(grep { !$but || !/$but/ } relations($db, "$ours AND $_")) } 'true', "has_table_privilege('web', oid, 'SELECT')";
    return { owner => sql($db, $all), map { $_ => by($db, $_, $of_users) } $ann, $bob, $cyd };
}

sub plain_dump_of
{
    my ($db) = @_;
    my ($out, $err) = run_command([ 'pg_dump', @to, $db ]);
    is($err, '', "$db: pg_dump has nothing to say");
    return join "\n", grep { !/^\\(un)?restrict / } split /\n/, $out;
}

# The lines that one of two texts has more often.
sub differences
{
    my ($was, $is) = @_;
    my %more;
    $more{$_}++ foreach split /\n/, $is;
    $more{$_}-- foreach split /\n/, $was;
    return join "\n", map { ($more{$_} > 0 ? '+' : '-') . $_ } grep { $more{$_} } sort keys %more;
}

sub run_recipe
{
    my ($db, $file, @more) = @_;
    $node->command_ok([ 'psql', '-Xqt', '-v', 'ON_ERROR_STOP=1', @more, '-d', $db, @to, '-f', "$FindBin::RealBin/../../doc/recipes/$file" ], "$db: $file");
    return;
}

# ---- what users do; again, it gives the same in the restored database ----

sub use_recipes
{
    my ($db, $n) = @_;
    my $new = $new[$n];
    sql($db, "INSERT INTO app.users VALUES ($new, 'new$n\@example.com')");
    is(sql($db, "SELECT videos_limit, plan_type, image_generations_limit FROM quota.user_usage JOIN gateway.user_subscriptions USING (user_id) WHERE user_id = $new"),
        '5|demo|999999', "$db: who signs up is in all of them");

    is(by($db, $ann, "SELECT d.allowed FROM usage.consume_usage($ann, 'video') AS d; SELECT videos_generated FROM quota.user_usage"), "t\n$n", "$db: video-quota counts");
    is(by($db, $cyd, "UPDATE quota.user_usage SET videos_limit = 1$n WHERE user_id = $bob RETURNING videos_limit"), "1$n", "$db: an admin sets a limit");
    is(by($db, $cyd, "INSERT INTO quota.user_roles (user_id, role) VALUES ($bob, 'secret$n'); SELECT count(*) FROM quota.user_roles WHERE user_id = $bob"), $n, "$db: and gives a role");

    is(by_server($db, "SELECT total_cost FROM usage.track_api_usage($bob, 'content', 'openai', 'gpt-5', '/secret', 'secret-r$n', 1000, 100, campaign_id => 'secret', user_agent => 'secret')"),
        '0.0035', "$db: a call has its cost");
    is(by_server($db, "UPDATE gateway.user_subscriptions SET content_generations_limit = 7$n WHERE user_id = $bob RETURNING content_generations_limit, content_generations_used"),
        "7$n|$n", "$db: ai-gateway counts it, and sets a limit");

    is(sql($db, "INSERT INTO tiers.usage_limits_config (limit_type, free_tier_limit, pro_tier_limit, team_tier_limit) VALUES ('prompts_daily', 10, 100, 5$n), ('exports_daily', 1, -1, 5$n)
                 ON CONFLICT DO NOTHING RETURNING team_tier_limit") =~ tr/\n/ /r, "5$n 5$n", "$db: limits a tier");
    is(by_server($db, "INSERT INTO tiers.usage_events (user_id, event_type, event_subtype, error_message, status) VALUES ($bob, 'prompt', 'secret', NULL, 'success'),
                       ($bob, 'prompt', 'secret', 'secret', 'failed'), ($ann, 'export', 'mp4', NULL, 'success') RETURNING status") =~ tr/\n/ /r, 'success failed success', "$db: uses are told");
    is(by($db, $bob, "SELECT count FROM tiers.user_usage WHERE usage_type = 'prompt'; SELECT tiers.get_user_limits($bob) #> '{prompts,current}'"), "$n\n$n", "$db: and counted by the day");
    is(by($db, $ann, "SELECT tiers.check_action_allowed($ann, 'export_video') ->> 'message'"), "You've reached your exports_daily limit ($n/1). Resets at 2026-03-11 00:00:00+00.",
        "$db: who may not is told why");
    is(by_server($db, "SELECT usage.grant_credits($bob, 5, reference_id => 'secret$n') > 0; SELECT balance FROM tiers.user_credits WHERE user_id = $bob"), "t\n" . 5 * $n, "$db: credits");

    sql($db, "INSERT INTO gallery.presets (name) VALUES ('oil$n')");
    by($db, $_, q{SELECT gallery.track_preset_usage(id, 'use', '{"is": "secret"}') FROM gallery.presets}) foreach $bob, $bob;
    is(by($db, $ann, 'SELECT name, usage_count FROM gallery.presets ORDER BY name'), $n == 1 ? 'oil1|2' : "oil1|4\noil2|2", "$db: presets are counted");

    is(by_server($db, "INSERT INTO reports.report_runs (user_id, configuration_snapshot) VALUES ($bob, '{\"is\": \"secret\"}'), ($ann, NULL) RETURNING status"), "running\nrunning", "$db: runs begin");
    is(by_server($db, "UPDATE reports.report_runs SET status = 'success', report_content = 'secret', tokens_used = 9 WHERE user_id = $bob AND status = 'running' RETURNING status, tokens_used"),
        'success|9', "$db: and end");
    is(by($db, $bob, "SELECT successful_runs, reports.check_monthly_usage_limit($bob) FROM reports.user_monthly_usage"), "$n|t", "$db: and are counted by the month");

    is(sql($db, 'SELECT * FROM usage.reconcile_usage()'), '', "$db: counters agree with events");
    is(sql($db, 'SELECT * FROM usage.usage_security_check()'), '', "$db: nothing is open that was closed");
    is(sql($db, q{SELECT * FROM usage.verify_usage_tally('gallery.presets', 'usage_count')}), '', "$db: presets are counted right");
    return;
}

sql('postgres', 'CREATE ROLE web; CREATE ROLE backend; CREATE DATABASE apps; CREATE DATABASE again');
sql('apps', "CREATE SCHEMA usage; CREATE EXTENSION usage_tracking SCHEMA usage; CREATE SCHEMA app;
    CREATE TABLE app.users (id uuid PRIMARY KEY, email text);
    INSERT INTO app.users VALUES ($ann, 'ann\@example.com'), ($bob, 'bob\@example.com'), ($cyd, 'cyd\@example.com')");
run_recipe('apps', "$_.sql", '-v', "schema=$schema_of{$_}", '-v', 'users=app.users', '-v', 'role=web', '-v', 'server=backend')
    foreach 'video-quota', 'ai-gateway', 'tiered-limits', 'preset-counters', 'report-runs';
sql('apps', "SELECT quota.make_admin_by_email('cyd\@example.com'), usage.define_campaign($bob, 'secret', 'secret', 1), usage.define_usage_alert('videos_monthly', 10);
    UPDATE gateway.user_subscriptions SET stripe_customer_id = 'secret' WHERE user_id = $bob");
use_recipes('apps', 1);
my @relations = relations('apps', $ours);
cmp_ok(scalar(@relations), '>=', 20, 'recipes have relations: ' . join(' ', @relations));

# ---- dump and restore ----

my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', @to, '-f', $dump, 'apps' ], 'dumped');
$node->command_ok([ 'psql', '-Xq', '-1', '-v', 'ON_ERROR_STOP=1', '-d', 'again', @to, '-f', $dump ], 'restored');
is_deeply(answers('again'), answers('apps'), 'the same answers, to each user');
my ($first, $second) = map { plain_dump_of($_) } 'apps', 'again';
ok($second eq $first, 'the same dump') or diag(differences($first, $second));
my $policies = q{SELECT * FROM pg_policies WHERE schemaname = 'usage' AND policyname <> 'own_or_all' ORDER BY 1, 2, 3};
isnt(sql('again', $policies), sql('apps', $policies), 'no policies on tables of the extension');
run_recipe('again', 'video-quota-policies.sql');
is(sql('again', $policies), sql('apps', $policies), 'but with their file');
is_deeply(answers('again'), answers('apps'), 'which changes no answer');
use_recipes($_, 2) foreach 'apps', 'again';
# but for what is random, or of the real time
my @alike = map { my %of = %{ answers($_, qr/^gallery/) }; s/\d\d:\d\d:\d\d\.\d+/-/g foreach values %of; \%of } 'again', 'apps';
is_deeply($alike[0], $alike[1], 'they go on alike');

# ---- Ann is curious ----

# Row by row before any filter, where a view lets her function in first.
sql('again', q{CREATE FUNCTION public.told(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
    $$BEGIN RAISE NOTICE '%', $1; RETURN true; END$$; GRANT EXECUTE ON FUNCTION public.told TO web});
sub look_around
{
    my ($title) = @_;
    my $read = 0;
    foreach my $relation (@relations)
    {
        my $his = sql('again', "SELECT string_agg(r::text, ' ') FROM $relation AS r") =~ $not_anns;
        my ($status, $out, $err) = $node->psql('again', "SET usage_tracking.user_id = $ann; SET ROLE web; SELECT * FROM $relation AS r WHERE public.told(r::text)");
        unlike("$out $err", $not_anns, "$title, $relation: nothing of Bob's" . ($status ? ', it is not hers to read' : ''));
        $read++ if $his && !$status;
    }
    cmp_ok($read, '>=', 10, "$title: most of them have something of Bob");
    return;
}

# Every column of every relation, with values that are hers, his, or of another kind.
sub writes
{
    my @columns = split /\n/, sql('again', "SELECT attrelid::regclass || ' ' || quote_ident(attname) FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid
        WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'v') AND $ours ORDER BY attrelid, attnum");
    my @writes = map { ("DELETE FROM $_", "TRUNCATE $_", "INSERT INTO $_ DEFAULT VALUES", "INSERT INTO $_ SELECT * FROM $_") } @relations;
    foreach (@columns)
    {
        my ($relation, $column) = split / /;
        push @writes, "UPDATE $relation SET $column = $column", "UPDATE $relation SET $column = NULL", "UPDATE $relation SET $column = '9'";
        push @writes, map { ("INSERT INTO $relation ($column) VALUES ($_)", "UPDATE $relation SET $column = $_") } $ann, $bob, $dan if $column eq 'user_id';
    }
    push @writes, map { ("INSERT INTO quota.user_usage (user_id, videos_limit) VALUES ($_, 1000)", "INSERT INTO quota.user_roles (user_id, role) VALUES ($_, 'admin')",
        "INSERT INTO tiers.usage_events (user_id, event_type, quantity) VALUES ($_, 'prompt', 1)", "INSERT INTO tiers.user_subscriptions (user_id, tier) VALUES ($_, 'pro')",
        "UPDATE gateway.user_subscriptions SET plan_type = 'pro' WHERE user_id = $_", "UPDATE reports.report_runs SET status = 'failed' WHERE user_id = $_") } $ann, $bob;
    push @writes, "INSERT INTO tiers.usage_limits_config (limit_type, free_tier_limit) VALUES ('prompts_daily', 1000)",
        "INSERT INTO gallery.preset_usage (preset_id, user_id, usage_type) SELECT id, $bob, 'use' FROM gallery.presets";
    return @writes;
}

# Whatever she writes, all is as it was, also behind the recipes.
sub write_around
{
    my ($title, @writes) = @_;
    my $all = all_of(@relations, relations('again', "relnamespace IN ('usage'::regnamespace, 'app'::regnamespace) AND relkind = 'r'"));
    my $before = sql('again', $all);
    my ($status, $out, $err) = $node->psql('again', "SET usage_tracking.user_id = $ann; SET ROLE web;\n" . join(";\n", @writes), on_error_stop => 0);
    my $refused = () = $err =~ /^psql:.*ERROR:/mg;
    cmp_ok($refused, '>', @writes / 2, "$title: of " . scalar(@writes) . " writes $refused are refused");
    is(differences($before, sql('again', $all)), '', "$title: and none has written");
    return;
}

my @calls = ((map { "tiers.$_" } "check_action_allowed($bob, 'export_video')", "get_user_limits($bob)", "use_usage_limits($bob)"),
    "reports.check_monthly_usage_limit($bob)", "quota.make_admin_by_email('ann\@example.com')", 'gateway._keep_demo()', 'gallery.auto_increment_preset_usage_count()',
    "gallery.track_preset_usage((SELECT id FROM gallery.presets LIMIT 1), 'use', user_id => $bob)");
foreach my $call (@calls)
{
    my ($status, $out, $err) = $node->psql('again', "SET usage_tracking.user_id = $ann; SET ROLE web; SELECT $call");
    like("$out $err", qr/permission denied|must be an admin|must be|can only be called as trigger/i, "$call is refused");
    unlike("$out $err", $not_anns, 'and tells nothing') if $call !~ /$bob/;
}

look_around('curious');
write_around('curious', writes());

# What protects Bob is not only that the views are closed. (The gallery's tables are the application's own.)
sql('again', "GRANT ALL ON ALL TABLES IN SCHEMA $_ TO web") foreach grep { $_ ne 'gallery' } values %schema_of;
look_around('let in');
write_around('let in', grep { !/gallery/ } writes());

# ---- without them ----

sql('again', join ';', 'SET client_min_messages = warning', map { "DROP SCHEMA $_ CASCADE" } sort values %schema_of);
is(sql('again', "SELECT tgname FROM pg_trigger WHERE tgrelid = 'app.users'::regclass AND NOT tgisinternal AND tgfoid::regproc::text !~ '^usage[.]'"), '', 'no trigger is left');
is(by('again', $ann, "SELECT d.allowed, d.used FROM usage.consume_usage($ann, 'video') AS d; SELECT count(*) FROM usage.user_usage WHERE user_id = $bob"), "t|3\n0", 'the extension goes on counting');
is(sql('again', "INSERT INTO app.users VALUES ($dan, 'dan\@example.com'); SELECT count(*) FROM usage.user_subscriptions WHERE user_id = $dan"), '1', 'and users sign up');
is(sql('again', "DELETE FROM app.users WHERE id = $bob; SELECT FROM usage.usage_maintenance(600); SELECT count(*) FROM usage.usage_events WHERE user_id = $bob") =~ tr/\n//dr, '0', 'and leave');
is(sql('again', 'SELECT * FROM usage.reconcile_usage()'), '', 'counters agree with events');
is(sql('again', 'SELECT * FROM usage.usage_security_check()'), '', 'nothing is open');
$node->stop;
done_testing();
