# A restored database is the database that was dumped.
#
# A database with something in every table of the extension (see Life.pm) is
# dumped and restored.  Rows, sequences, rights, row security, triggers and
# definitions are compared, and so is the dump of the restored database with the
# first one; then the restored one goes on where the other stopped: limits to the
# last unit, keys, ids, sign-ups.
#
# pg_upgrade is test/upgrade.sh's.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Life;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('restore');
$node->init;
$node->append_conf('postgresql.conf', $settings);
$node->start;
$node->safe_psql('postgres', $roles);

# --disable-triggers switches all triggers on again as ordinary ones.
my $always = q{SELECT format('ALTER TABLE %s ENABLE %s TRIGGER %I', tgrelid::regclass, CASE tgname WHEN 'event_comes' THEN 'REPLICA' ELSE 'ALWAYS' END, tgname)
  FROM pg_trigger WHERE tgname IN ('config_changed', 'config_emptied', 'counting_begins', 'counting_changed', 'clock_begins', 'clock_changed', 'clock_ends', 'terms_changed', 'holds_changed',
                                   'events_come', 'event_comes') \gexec};
my $enable_always = "psql -Xq -v ON_ERROR_STOP=1 -d \"\$0\" <<'SQL'\n$always\nSQL\n";
# The schema, and how a dump is made and restored; %f is the dump, %d the database.
my @plain = ([qw(pg_dump -Fp -f %f %d)], [qw(psql -X -q -v ON_ERROR_STOP=1 -f %f %d)]);
my @stories = (
    [ 'plain', 'usage', @plain ],
    [ 'plain, odd name',  '"Usage %d odd"', @plain ],
    [ 'plain, public',    'public', @plain ],
    [ 'custom, in one transaction', 'usage', [qw(pg_dump -Fc -f %f %d)], [qw(pg_restore --single-transaction --exit-on-error -d %d %f)] ],
    [ 'directory, in parallel', 'usage', [qw(pg_dump -Fd -j 2 -f %f %d)],
      # our tables reference one another, so data that arrives in any order needs triggers off
      [ 'sh', '-ec', 'pg_restore --exit-on-error --schema-only -d "$0" "$1"
        pg_restore --exit-on-error --data-only --disable-triggers -j 2 -d "$0" "$1"
        ' . $enable_always, '%d', '%f' ] ],
    [ 'plain, --inserts', 'usage', [qw(pg_dump -Fp --inserts -f %f %d)], $plain[1] ],
    [ 'data only, without triggers', 'usage',
      [ 'sh', '-ec', 'pg_dump --schema-only -f "$1.schema" "$0"; pg_dump --data-only --disable-triggers -f "$1" "$0"', '%d', '%f' ],
      [ 'sh', '-ec', 'psql -Xq -v ON_ERROR_STOP=1 -d "$0" -f "$1.schema"
        psql -Xq -v ON_ERROR_STOP=1 -d "$0" -f "$1"
        ' . $enable_always, '%d', '%f' ] ],
);

# What the answer would be in a database dumped in plain text; keys are random.
sub plain_dump_of
{
    my ($db) = @_;
    my ($out, $err) = run_command([ 'pg_dump', '-h', $node->host, '-p', $node->port, $db ]);
    is($err, '', "$db: pg_dump has nothing to say");
    return join "\n", grep { !/^\\(un)?restrict / } split /\n/, $out;
}

sub run_story
{
    my ($title, $schema, $dump, $restore) = @{ $_[0] };
    my ($db, $file) = ($_[1], $node->basedir . "/$_[1].dump");
    my $sql = sub { $node->safe_psql($_[0], in_schema($schema, $_[1])) };
    my $command = sub { my ($on, @words) = @_; s/^%f$/$file/, s/^%d$/$on/ foreach @words; return [ @words, '-h', $node->host, '-p', $node->port ] };
    my $copy = "${db}_restored";

    my $rows = begin_life($node, $db, $schema, $title);
    $node->command_ok($command->($db, @$dump), "$title: dumped");

    $node->safe_psql('postgres', "CREATE DATABASE $copy");
    ok($node->run_log($command->($copy, @$restore)), "$title: restored") or return;
    is_deeply(rows_of($node, $copy, $schema), $rows, "$title: every row is there");
    is(ask($node, $copy, $schema, $questions{$_}), ask($node, $db, $schema, $questions{$_}), "$title: same $_")
        foreach sort keys %questions;
    is(plain_dump_of($copy), plain_dump_of($db), "$title: the dump of the restored database is the same");
    is($sql->($copy, 'SELECT * FROM @.reconcile_usage()'), '', "$title: counters agree with events");
    is($sql->($copy, 'SELECT * FROM @.usage_security_check()'), '', "$title: nothing is open that was closed");

    # it goes on
    is($sql->($copy, "SELECT \@.attach_users('app.users', on_delete => 'erase')"), 0, "$title: nobody is missing");
    is_deeply(rows_of($node, $copy, $schema), $rows, "$title: and nothing is added, a plan that was thrown away neither");
    check_use($node, $_, $schema, $_) foreach $db, $copy;    # the one that was dumped answers the same
    check_future($node, $copy, $schema, $title);

    # A table that is restored gets the default rights of its new home.
    $node->safe_psql('postgres', "CREATE DATABASE ${db}_open");
    $node->safe_psql("${db}_open", 'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC');
    $node->command_ok($command->("${db}_open", @$restore), "$title: restored where default rights give everything away");
    is(join(' ', sort split /\n/, $sql->("${db}_open", 'SELECT object FROM @.usage_security_check()')),
        join(' ', grep { /2026/ } partitions_of($node, $copy, $schema)), "$title: usage_security_check() tells");
}

# A database that has nothing but the extension, the users table and the months:
# data only, once without triggers and once with them.  Nothing is attached there
# yet, so triggers have no row to add, and none of ours may add one either.
sub run_data_only
{
    my ($title, $db, @how) = @_;
    my $file = $node->basedir . "/$db.dump";
    my $rows = begin_life($node, $db, 'usage', $title);
    $node->command_ok([ 'pg_dump', '--data-only', @how, '-f', $file, $db, '-h', $node->host, '-p', $node->port ], "$title: dumped");
    my $fresh = "${db}_fresh";
    $node->safe_psql('postgres', "CREATE DATABASE $fresh");
    my $restore = [ 'psql', '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '-d', $fresh, '-h', $node->host, '-p', $node->port, '-f', $file ];
    $node->safe_psql($fresh, "CREATE SCHEMA usage; CREATE EXTENSION usage_tracking SCHEMA usage;
        CREATE SCHEMA app; CREATE TABLE app.users (id uuid PRIMARY KEY, email text); CREATE TABLE app.projects (id integer PRIMARY KEY, owner uuid)");
    my $empty = rows_of($node, $fresh, 'usage');
    $node->command_fails_like($restore, qr/relation "usage.usage_events_2026_0\d" does not exist/, "$title: without the months' partitions it fails");
    is_deeply(rows_of($node, $fresh, 'usage'), $empty, "$title: and in one transaction leaves nothing");

    $node->safe_psql($fresh, 'SELECT usage.create_usage_partition(month) FROM unnest($${2026-02-01,2026-03-01}$$::date[]) AS month');
    $node->command_ok($restore, "$title: restored");
    $node->safe_psql($fresh, $always);
    is_deeply(rows_of($node, $fresh, 'usage'), $rows, "$title: every row is there, once");
    is(ask($node, $fresh, 'usage', $questions{$_}), ask($node, $db, 'usage', $questions{$_}), "$title: same $_") foreach 'sequences', 'partitions';
    is($node->safe_psql($fresh, 'SELECT * FROM usage.reconcile_usage()'), '', "$title: counters agree with events");
    is($node->safe_psql($fresh, 'SELECT * FROM usage.usage_security_check()'), '', "$title: nothing is open that was closed");
    is($node->safe_psql($fresh, "SELECT usage.attach_users('app.users', on_delete => 'erase')"), 0, "$title: nobody is missing");
    $node->safe_psql($fresh, "SELECT usage.grant_usage_access('regress_ut_app'), usage.grant_usage_access('regress_ut_server', server => true)");
    # what was attached is not data, so this was the first time, which installs plans
    my $attached = rows_of($node, $fresh, 'usage');
    is(join(' ', grep { $attached->{$_} ne $rows->{$_} } sort keys %$rows), 'usage.plans usage.usage_changes', "$title: and nothing is added but a plan");
    is($node->safe_psql($fresh, "SELECT action, new->>'plan' FROM usage.usage_changes ORDER BY id DESC LIMIT 1"), 'INSERT|demo', "$title: that was thrown away");
    is($node->safe_psql($fresh, "SELECT usage.attach_usage_gauge('app.projects', 'projects', 'owner')"), 2, "$title: of two users there are rows");
    check_use($node, $fresh, 'usage', $title);
    check_future($node, $fresh, 'usage', $title);
    return;
}

# The operations page: --data-only needs --disable-triggers. This is why.
sub run_data_with_triggers
{
    my $file = $node->basedir . '/triggers.dump';
    begin_life($node, 'triggers', 'usage', 'with triggers');
    my @to = ('-h', $node->host, '-p', $node->port);
    $node->command_ok([ 'pg_dump', '--schema-only', '-f', "$file.schema", 'triggers', @to ], 'with triggers: the schema');
    $node->command_ok([ 'pg_dump', '--data-only', '-f', $file, 'triggers', @to ], 'with triggers: the data');
    $node->safe_psql('postgres', 'CREATE DATABASE triggers_copy');
    $node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', 'triggers_copy', '-f', "$file.schema", @to ], 'with triggers: restored the schema');
    my $empty = rows_of($node, 'triggers_copy', 'usage');
    $node->command_fails_like([ 'psql', '-Xq', '-1', '-v', 'ON_ERROR_STOP=1', '-d', 'triggers_copy', '-f', $file, @to ],
        qr/usage limit "projects" does not exist/, 'with triggers: rows that a gauge counts come before the gauge');
    is_deeply(rows_of($node, 'triggers_copy', 'usage'), $empty, 'with triggers: in one transaction nothing is left');
    return;
}

run_story($stories[$_], "story$_") foreach 0 .. $#stories;
run_data_only('data only, into a new one', 'data', '--disable-triggers');
run_data_only('data only, with triggers, into a new one', 'data_triggers');
run_data_with_triggers();
$node->stop;
done_testing();
