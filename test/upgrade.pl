# A database that pg_upgrade took to a newer PostgreSQL is the database it was.
#
# VERSIONS="15 17 18" are upgraded each to the next one, and the first to the
# last, with copied files and with linked ones; UT_QUICK=1 does the first of these
# alone.  test/upgrade.sh brings the versions.
# Three databases, with the extension in schemas of three kinds of names, have
# something in every table (see t/Life.pm).  After each step rows and catalogs
# are compared; a database that came by way of another version was used there;
# at the end limits, keys, ids and sign-ups go on.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/t";
use Life;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @versions = split ' ', $ENV{VERSIONS} // '15 17 18';
my %schema_of = (plain => 'usage', odd => '"Usage %d odd"', open => 'public');

# What a newer PostgreSQL says of the same thing: 17 has one more privilege, 18
# has constraints for NOT NULL.
my %news_of = (
    'rights on relations' => qr/\|postgres MAINTAIN [tf]$/,
    'default rights' => qr/(?<=[a-zD])m(?=\/)/,
    'constraints' => qr/\|NOT NULL \S+$/);

sub make_node
{
    my ($name, $version) = @_;
    my $node = PostgreSQL::Test::Cluster->new("${name}_$version", install_path => "/usr/lib/postgresql/$version");
    # 18 has checksums of pages unless told otherwise, and all must be alike.
    $node->init(extra => [ '--no-locale', '--encoding=UTF8', '--data-checksums' ]);
    $node->append_conf('postgresql.conf', $settings);
    return $node;
}

# {database => {question => answer}}
sub state_of
{
    my ($node) = @_;
    my %state;
    while (my ($db, $schema) = each %schema_of)
    {
        $state{$db} = { rows => rows_of($node, $db, $schema) };
        foreach my $question (keys %questions)
        {
            my @lines = split /\n/, ask($node, $db, $schema, $questions{$question});
            if (my $news = $news_of{$question})
            {
                @lines = grep { $question eq 'default rights' || $_ !~ $news } @lines;
                s/$news// foreach @lines;
            }
            $state{$db}{$question} = join "\n", @lines;
        }
    }
    return \%state;
}

sub sql
{
    my ($node, $db, $text) = @_;
    return $node->safe_psql($db, in_schema($schema_of{$db}, $text));
}

sub upgrade_command
{
    my ($old, $new, @options) = @_;
    return ('pg_upgrade', '--no-sync', '--old-datadir', $old->data_dir, '--new-datadir', $new->data_dir,
        '--old-bindir', $old->config_data('--bindir'), '--new-bindir', $new->config_data('--bindir'),
        '--socketdir', $new->host, '--old-port', $old->port, '--new-port', $new->port, @options);
}

sub run_logged
{
    my ($node, @command) = @_;
    # pg_upgrade writes where it is
    chdir $node->basedir or die;
    return $node->run_log(\@command);
}

sub plain_upgrade_works
{
    my ($like, $version) = @_;
    my $old = make_node('plain_old', $like->pg_version->major);
    $old->start;
    $old->safe_psql('postgres', 'CREATE TABLE t (a integer)');
    $old->stop;
    my $new = make_node('plain_new', $version);
    return run_logged($new, upgrade_command($old, $new, '--copy'));
}

# upgrade OLD, a running node, to another version; the new one runs then.
sub upgrade
{
    my ($old, $name, $version, $mode) = @_;
    my $title = $old->name . " to $version, $mode";
    my $before = state_of($old);
    $old->stop;
    my $new = make_node($name, $version);
    unless (ok(run_logged($new, upgrade_command($old, $new, $mode)), "$title: pg_upgrade"))
    {
        diag(grep { /error: |ERROR: |^Command was/ } map { slurp_file($_) =~ /^.*\n/mg } glob $new->data_dir . '/pg_upgrade_output.d/*/log/*.log');
        diag('A database without the extension:');
        diag(plain_upgrade_works($old, $version) ? 'works: this is ours' : "fails too: not ours, choose other minor versions of PostgreSQL");
        BAIL_OUT('an upgrade failed');
    }
    $new->start;
    my $after = state_of($new);
    foreach my $db (sort keys %schema_of)
    {
        is_deeply($after->{$db}{$_}, $before->{$db}{$_}, "$title, $db: same $_") foreach sort keys %{ $before->{$db} };
        is(sql($new, $db, 'SELECT * FROM @.reconcile_usage()'), '', "$title, $db: counters agree with events");
        is(sql($new, $db, 'SELECT * FROM @.usage_security_check()'), '', "$title, $db: nothing is open that was closed");
        is(sql($new, $db, 'SELECT @.attach_users(\'app.users\', on_delete => \'erase\')'), 0, "$title, $db: nobody is missing");
        is(sql($new, $db, q{SELECT extversion = default_version FROM pg_extension JOIN pg_available_extensions ON name = extname
            WHERE extname LIKE 'usage\_tracking%'}), 't', "$title, $db: the extension is what it was");
    }
    return $new;
}

sub begin
{
    my ($name, $version) = @_;
    my $node = make_node($name, $version);
    $node->start;
    $node->safe_psql('postgres', $roles);
    begin_life($node, $_, $schema_of{$_}, "$version, $_") foreach sort keys %schema_of;
    return $node;
}

# Between two upgrades: what is recorded in one version counts in the next.
sub live_on
{
    my ($node) = @_;
    foreach my $db (sort keys %schema_of)
    {
        is(sql($node, $db, "SELECT d.allowed, d.used FROM \@.consume_usage($dan, 'call', idempotency_key => 'on the way') AS d"), 't|1',
            $node->name . ", $db: a new user's first use");
        is(sql($node, $db, "SELECT \@.create_usage_partition('2026-05-01')"), 't', $node->name . ", $db: a new partition");
    }
}

sub end
{
    my ($node, $lived_on) = @_;
    foreach my $db (sort keys %schema_of)
    {
        my ($schema, $title) = ($schema_of{$db}, $node->name . ", $db");
        my ($id, $xact) = split /\|/, sql($node, $db, 'SELECT max(id), max(xact_id) FROM @.usage_events');
        is(sql($node, $db, "SELECT d.reason, d.used FROM \@.consume_usage($dan, 'call', idempotency_key => 'on the way') AS d"),
            $lived_on ? 'replayed|1' : 'ok|1', "$title: what came on the way");
        check_use($node, $db, $schema, $title);
        check_future($node, $db, $schema, $title);
        is(sql($node, $db, "SELECT bool_and(xact_id > '$xact') FROM \@.usage_events WHERE id > $id"), 't',
            "$title: transactions are numbered on");

        my $extension = extension_of($node, $db);
        my ($rc, $out, $err) = $node->psql($db, "DROP EXTENSION $extension");
        like($err, qr/cannot drop extension .* because other objects depend on it/, "$title: not dropped while users are attached");
        sql($node, $db, "SELECT \@.detach_users(); DROP EXTENSION $extension");
        is(sql($node, $db, q{SELECT oid::regclass FROM pg_class WHERE oid >= 16384 AND relname ~ '^usage_'}), '',
            "$title: dropped, run-time partitions too");
        sql($node, $db, "CREATE EXTENSION $extension SCHEMA \@;");
        is(sql($node, $db, "SELECT \@.attach_users('app.users'); SELECT \@.define_usage_limit('photos', 'photo', 1);
            SELECT d.allowed FROM \@.consume_usage($ada, 'photo') AS d; SELECT d.allowed FROM \@.consume_usage($ada, 'photo') AS d"),
            "3\n\nt\nf", "$title: and made again");
    }
}

sub extension_of
{
    my ($node, $db) = @_;
    return $node->safe_psql($db, q{SELECT extname FROM pg_extension WHERE extname LIKE 'usage\_tracking%'});
}

# Without the library pg_upgrade must say so before it has changed anything.
sub check_without_library
{
    my ($from, $to) = @_;
    my $old = begin('bare', $from);
    $old->stop;
    my $new = make_node('bare', $to);
    my $library = $new->config_data('--pkglibdir') . '/usage_tracking.so';
    rename $library, "$library.away" or die "cannot move $library: $!";
    chdir $new->basedir or die;
    $new->command_checks_all([ upgrade_command($old, $new, '--check') ], 1, [qr/references loadable libraries that are missing/], [],
        "$from to $to: pg_upgrade misses the library");
    rename "$library.away", $library or die;
    my ($list) = glob $new->data_dir . '/pg_upgrade_output.d/*/loadable_libraries.txt';
    like(slurp_file($list), qr{could not load library "\$libdir/usage_tracking"}, "$from to $to: and names it");
    $old->start;
    is(sql($old, $_, 'SELECT * FROM @.reconcile_usage()'), '', "$from, $_: and the old one is as it was") foreach sort keys %schema_of;
    $old->stop;
}

foreach my $mode ('--copy', $ENV{UT_QUICK} ? () : '--link')
{
    my $name = $mode =~ tr/-//dr;
    my $node = begin($name, $versions[0]);
    foreach my $i (1 .. $#versions)
    {
        live_on($node) if $i == 2;
        $node = upgrade($node, $name, $versions[$i], $mode);
    }
    end($node, @versions > 2);
    $node->stop;
}
if (@versions > 2 && !$ENV{UT_QUICK})
{
    my $node = upgrade(begin('direct', $versions[0]), 'direct', $versions[-1], '--copy');
    end($node);
    $node->stop;
}
check_without_library(@versions[ 0, -1 ]) unless $ENV{UT_QUICK};
done_testing();
