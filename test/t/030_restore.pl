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
my $enable_always = <<'SH';
echo "SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', tgrelid::regclass, tgname) FROM pg_trigger
       WHERE tgname IN ('config_changed', 'config_emptied', 'counting_begins', 'counting_changed', 'clock_begins', 'clock_changed', 'clock_ends') \\\\gexec" |
    psql -Xq -v ON_ERROR_STOP=1 -d "$0"
SH
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

run_story($stories[$_], "story$_") foreach 0 .. $#stories;
$node->stop;
done_testing();
