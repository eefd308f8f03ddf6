# What is displayed is what there is: after every few of 10 000 random statements,
# after a COPY of 100 000 rows, after clients that insert the same keys at once,
# after a dump and restore of any kind, and on a subscriber.
#
# Statements are INSERT of a row and of many, UPDATE of the key, the time and
# something else, DELETE, TRUNCATE, COPY, MERGE and ON CONFLICT, of a table, of a
# partitioned one and of its partitions, in transactions that commit, roll back,
# or roll back to a savepoint. Deletions of presets take their uses with them.
#
# They are random by a seed that is printed; UT_SEED repeats it.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{UT_SEED} || int(rand(2**31));
my $steps = $ENV{UT_TALLY_STEPS} || 10_000;
my $presets = 12;

diag("seed $seed");
srand($seed);

my $node = PostgreSQL::Test::Cluster->new('tallies');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "autovacuum = off\ntimezone = 'UTC'\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
CREATE TABLE presets (id integer PRIMARY KEY, usage_count integer NOT NULL DEFAULT 0, last_used_at timestamptz, views bigint);
CREATE TABLE uses (id bigserial PRIMARY KEY, preset integer REFERENCES presets ON DELETE CASCADE, at timestamptz, note text);
CREATE INDEX ON uses (preset, at);
CREATE TABLE views (id bigserial, preset integer) PARTITION BY RANGE (id);
CREATE TABLE views_1 PARTITION OF views FOR VALUES FROM (0) TO (3000);
CREATE TABLE views_2 PARTITION OF views DEFAULT;
INSERT INTO presets SELECT generate_series(1, 12);
SELECT usage.attach_usage_tally('presets', 'id', 'usage_count', 'uses', 'preset', 'last_used_at', 'at'),
       usage.attach_usage_tally('presets', 'id', 'views', 'views', 'preset');
CREATE FUNCTION wrong() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM presets AS p
     WHERE usage_count <> (SELECT count(*) FROM uses WHERE preset = p.id)
        OR views IS DISTINCT FROM (SELECT count(*) FROM views WHERE preset = p.id)
        OR last_used_at IS DISTINCT FROM (SELECT max(at) FROM uses WHERE preset = p.id)
$$;
SQL

# ---- random statements ----

sub one_of { return $_[ int rand @_ ]; }
sub preset { return rand() < 0.05 ? 'NULL' : 1 + int rand $presets; }
sub at { return rand() < 0.05 ? 'NULL' : sprintf "'2026-03-%02d %02d:00+00'", 1 + int rand 28, int rand 24; }
sub some { return sprintf 'id %% %d = %d', $_[0], int rand $_[0]; }

my %statements = (
    insert => sub { 'INSERT INTO uses (preset, at) VALUES (' . preset() . ', ' . at() . ')' },
    insert_many => sub { 'INSERT INTO uses (preset, at) VALUES '
          . join(', ', map { '(' . preset() . ', ' . at() . ')' } 1 .. 1 + rand 20) },
    insert_select => sub { 'INSERT INTO uses (preset, at) SELECT preset, at FROM uses WHERE ' . some(20) },
    move => sub { 'UPDATE uses SET preset = ' . preset() . ' WHERE ' . some(15) },
    swap => sub { "UPDATE uses SET preset = 1 + preset % $presets WHERE preset IN (SELECT id FROM presets WHERE id < $presets)"
          . " AND 1 + preset % $presets IN (SELECT id FROM presets) AND " . some(7) },
    time => sub { 'UPDATE uses SET at = ' . at() . ' WHERE ' . some(15) },
    other => sub { "UPDATE uses SET note = 'x' WHERE " . some(15) },
    delete => sub { 'DELETE FROM uses WHERE ' . some(10) },
    delete_last => sub { 'DELETE FROM uses AS u USING presets AS p WHERE p.id = u.preset AND p.last_used_at = u.at AND p.id = ' . preset() },
    merge => sub { 'MERGE INTO uses AS u USING (SELECT id, ' . preset() . '::integer AS preset FROM uses WHERE ' . some(12)
          . ') AS v ON u.id = v.id AND ' . one_of('true', 'u.id % 2 = 0')
          . ' WHEN MATCHED AND u.id % 4 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET preset = v.preset'
          . " WHEN NOT MATCHED THEN INSERT (preset, at) VALUES (v.preset, '2026-02-01 00:00+00')" },
    conflict => sub { 'INSERT INTO uses (id, preset, at) SELECT id, preset, at FROM uses WHERE ' . some(9)
          . ' ON CONFLICT (id) DO UPDATE SET preset = ' . preset() },
    truncate => sub { rand() < 0.2 ? 'TRUNCATE uses' : 'DELETE FROM uses WHERE id % 3 > 0' },
    copy => sub { "COPY uses (preset, at) FROM stdin;\n"
          . join('', map { preset() . "\t2026-03-0" . int(1 + rand 9) . "\n" } 1 .. rand 10) =~ s/NULL/\\N/gr . '\\.' },
    preset => sub { my $id = 1 + int rand $presets;
        "DELETE FROM presets WHERE id = $id; DELETE FROM views WHERE preset = $id; INSERT INTO presets VALUES ($id, 0, NULL, 0)" },
    view => sub { 'INSERT INTO ' . one_of('views', 'views', 'views_2') . ' (id, preset) VALUES '
          . join(', ', map { '(' . (3000 + int rand 3000) . ', ' . preset() . ')' } 1 .. 1 + rand 5) },
    view_1 => sub { 'INSERT INTO ' . one_of('views', 'views_1') . ' (id, preset) SELECT 1, preset FROM uses WHERE ' . some(20) },
    view_move => sub { 'UPDATE views SET id = 6000 - id, preset = ' . preset() . ' WHERE ' . some(5) },
    view_part => sub { 'UPDATE ' . one_of('views_1', 'views_2') . ' SET preset = ' . preset() . ' WHERE ' . some(5) },
    view_delete => sub { 'DELETE FROM ' . one_of('views', 'views_1', 'views_2') . ' WHERE ' . some(8) },
    view_truncate => sub { rand() < 0.1 ? 'TRUNCATE ' . one_of('views', 'views_1', 'views_2') : 'DELETE FROM views WHERE id > 5000' },
);
my @kinds = sort keys %statements;

# A few statements as one transaction; what a subtransaction did may be undone.
sub transaction
{
    my @lines;
    foreach (1 .. 1 + rand 4)
    {
        my $undone = rand() < 0.2;
        push @lines, 'SAVEPOINT s;' if $undone;
        push @lines, $statements{ one_of(@kinds) }->() =~ s/(?<!\\\.)\z/;/r;
        push @lines, 'ROLLBACK TO s;' if $undone;
    }
    return (scalar(grep { !/^(SAVEPOINT|ROLLBACK)/ } @lines),
        join("\n", 'BEGIN;', @lines, one_of('COMMIT', 'COMMIT', 'COMMIT', 'ROLLBACK') . ';') . "\n");
}

sub run_script
{
    my ($script) = @_;
    my $file = PostgreSQL::Test::Utils::tempdir() . '/script';
    append_to_file($file, $script);
    my ($out, $err) = run_command([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $file, $node->connstr('postgres') ]);
    unlink $file;
    return ($out, $err);
}

my ($done, $script) = (0, '');
while ($done < $steps)
{
    my ($n, $text) = transaction();
    $done += $n;
    $script .= $text;
    $script .= "SELECT 'after $done', wrong();\n" if rand() < 0.2;
}
my ($out, $err) = run_script($script);
my @checks = split /\n/, $out;
is($err, '', "$done random statements run");
cmp_ok(scalar(@checks), '>', $steps / 100, 'and were looked at often');
is(join(' ', grep { !/\|0$/ } @checks), '', 'what is displayed is what there is, each time');
cmp_ok($node->safe_psql('postgres', 'SELECT sum(usage_count) + sum(views) FROM presets'), '>', 0, 'and that is not nothing');

# The look can fail.
is($node->safe_psql('postgres', 'BEGIN; UPDATE presets SET usage_count = usage_count + 1 WHERE id = 1; SELECT wrong(); ROLLBACK'), 1,
    'one more displayed is found');

# ---- many rows at once ----

my $rows = join '', map { preset() . "\t2026-04-01\n" } 1 .. 100_000;
$rows =~ s/NULL/\\N/g;
($out, $err) = run_script("COPY uses (preset, at) FROM stdin;\n$rows\\.\nSELECT wrong(), sum(usage_count) > 90000 FROM presets;");
is("$out$err", '0|t', 'after a COPY of 100 000 rows');
is($node->safe_psql('postgres', 'UPDATE uses SET preset = 13 - preset; SELECT wrong(); DELETE FROM uses WHERE id % 10 > 0; SELECT wrong()'),
    "0\n0", 'after all of them moved, and most of them went');

# ---- clients with the same keys; each change of a preset takes a while, so that they meet ----

$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.001); RETURN NEW; END $$;
CREATE TRIGGER slow BEFORE UPDATE ON presets FOR EACH ROW EXECUTE FUNCTION slow();
SQL

my @clients;
foreach my $n (1 .. 4)
{
    my $script = PostgreSQL::Test::Utils::tempdir() . "/client_$n";
    append_to_file($script, join '', map { $statements{insert_many}->() . ";\n" } 1 .. 40);
    my %client = (err => '');
    $client{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', $script ], '2>', \$client{err});
    push @clients, \%client;
}
$_->{run}->finish foreach @clients;
is(join('', map { $_->{err} } @clients), '', 'clients that insert the same keys in any order never deadlock');
is($node->safe_psql('postgres', 'SELECT wrong(); DROP TRIGGER slow ON presets'), 0, 'and are all counted');

# ---- restored ----

my $file = PostgreSQL::Test::Utils::tempdir() . '/dump';
my $shown = 'SELECT * FROM presets ORDER BY id';
my $expected = $node->safe_psql('postgres', $shown);

sub check_restored
{
    my ($title, @commands) = @_;
    $node->safe_psql('postgres', 'CREATE DATABASE restored');
    $node->command_ok($_, "$title: @$_[0]") foreach @commands;
    is($node->safe_psql('restored', $shown), $expected, "$title: nothing is counted twice");
    is($node->safe_psql('restored', "INSERT INTO uses (preset, at) VALUES (1, '2030-01-01'); INSERT INTO views_2 VALUES (5000, 2); SELECT wrong()"),
        0, "$title: and what comes is counted");
    is($node->safe_psql('restored', "SELECT count(*) FROM pg_trigger WHERE tgname ~ '^usage_tally'"), 16, "$title: by the same triggers");
    $node->safe_psql('postgres', 'DROP DATABASE restored');
    return;
}

check_restored('plain', [ 'pg_dump', '-f', $file, 'postgres' ], [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $file, 'restored' ]);
check_restored('custom', [ 'pg_dump', '-Fc', '-f', $file, 'postgres' ], [ 'pg_restore', '--exit-on-error', '-d', 'restored', $file ]);
check_restored('data into tables that have their triggers',
    [ 'pg_dump', '-Fc', '-f', $file, 'postgres' ],
    [ 'pg_restore', '--exit-on-error', '--schema-only', '-d', 'restored', $file ],
    [ 'pg_restore', '--exit-on-error', '--data-only', '-t', 'presets', '-d', 'restored', $file ],
    [ 'pg_restore', '--exit-on-error', '--data-only', '-t', 'uses', '-d', 'restored', $file ],
    [ 'pg_restore', '--exit-on-error', '--data-only', '-t', 'views_1', '-t', 'views_2', '-t', 'uses_id_seq', '-d', 'restored', $file ]);

# ---- replicated: rows arrive with their counts, and the tally does not count them again ----

my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->start;
$node->command_ok([ 'pg_dump', '--schema-only', '-f', $file, 'postgres' ], 'the schema');
$subscriber->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $file, 'postgres' ], 'goes to the subscriber');
$node->safe_psql('postgres', 'CREATE PUBLICATION app FOR TABLE presets, uses, views');
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION app CONNECTION '" . $node->connstr . " dbname=postgres' PUBLICATION app");
$subscriber->wait_for_subscription_sync($node, 'app');
is($subscriber->safe_psql('postgres', 'SELECT wrong()'), 0, 'a subscriber shows what there is');
$node->safe_psql('postgres', $statements{insert_many}->()) foreach 1 .. 10;
$node->safe_psql('postgres', 'DELETE FROM uses WHERE id % 3 = 0');
$node->wait_for_catchup('app');
is($subscriber->safe_psql('postgres', 'SELECT wrong()'), 0, 'also when it changed');
is($subscriber->safe_psql('postgres', $shown), $node->safe_psql('postgres', $shown), 'and that is what the publisher shows');
done_testing();
