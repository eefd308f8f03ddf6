# A restored database is the database that was dumped.
#
# A database with something in every table of the extension (events in two
# run-time partitions and in DEFAULT, a plan of one's own, an edited one and one
# that was thrown away, keys, overrides, roles, rights, attached users) is dumped
# and restored.  Rows, sequences, rights, row security, triggers and definitions
# are compared, and so is the dump of the restored database with the first one;
# then the restored one goes on where the other stopped: limits to the last
# unit, keys, ids, sign-ups.
#
# Objects come from the catalog, so a new table is compared without an edit here.
#
# Not tested here: pg_upgrade, and --data-only (see doc/operations.md).
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('restore');
$node->init;
$node->append_conf('postgresql.conf', "usage_tracking.clock = '2026-02-10 12:00+00'\ntimezone = 'UTC'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE anon; CREATE ROLE regress_ut_app; CREATE ROLE regress_ut_server');

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
        echo "SELECT format(\'ALTER TABLE %s ENABLE ALWAYS TRIGGER %I\', tgrelid::regclass, tgname) FROM pg_trigger
               WHERE tgname IN (\'config_changed\', \'counting_begins\', \'counting_changed\', \'clock_begins\', \'clock_changed\', \'clock_ends\') \\\\gexec" | psql -Xq -v ON_ERROR_STOP=1 -d "$0"',
        '%d', '%f' ] ],
);

my $ada = "'aaaaaaaa-0000-4000-8000-000000000000'";
my $bob = "'bbbbbbbb-0000-4000-8000-000000000000'";
my $cyd = "'cccccccc-0000-4000-8000-000000000000'";
my $dan = "'dddddddd-0000-4000-8000-000000000000'";

# All that a user of the extension leaves in it.
my $life = <<SQL;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon;
CREATE EXTENSION usage_tracking SCHEMA \@;
CREATE SCHEMA app;
CREATE TABLE app.users (id uuid PRIMARY KEY, email text);
INSERT INTO app.users VALUES ($ada, 'ada\@example.com'), ($bob, 'bob\@example.com');
SELECT \@.attach_users('app.users', on_delete => 'erase');
INSERT INTO app.users VALUES ($cyd, 'cyd\@example.com'), ($dan, 'dan\@example.com');
DELETE FROM app.users WHERE id = $dan;

INSERT INTO \@.plans VALUES ('gold', 'Gold', 'Our own');
UPDATE \@.plans SET name = 'Professional', description = 'Edited' WHERE plan = 'pro';
DELETE FROM \@.plans WHERE plan = 'demo';
SELECT \@.define_usage_type('visit', 'A look at a page');
SELECT \@.define_usage_limit('photos', 'photo', 3, 'lifetime');
SELECT \@.define_usage_limit('tokens_monthly', NULL, 1000, 'calendar', '1 month', 'tokens');
SELECT \@.define_usage_limit('calls', 'call', 5, 'calendar', '1 day', time_zone => 'Europe/Berlin');
SELECT \@.define_usage_limit('calls', 'call', 5, 'anchored', '7 days', statuses => '{success,failed}', description => 'Again');
SELECT \@.set_plan_limit('gold', 'photos', 7);
SELECT \@.set_user_plan($bob, 'gold', '2026-12-31');
SELECT \@.set_user_limit($cyd, 'photos', 2, '2027-01-01', 'asked nicely');
SELECT \@.set_user_clock($bob, 'Asia/Tokyo', '2026-01-31 10:00+00');
UPDATE \@.user_subscriptions SET stripe_customer_id = 'cus_1', metadata = '{"a": [1, null, "\\\\ \\n é"]}' WHERE user_id = $bob;
SELECT \@.make_admin_by_email('ada\@example.com');
SELECT \@.grant_role($bob, 'support');
INSERT INTO \@.usage_carried VALUES ($bob, 'photo', 'success', 0, '2025-01-01 00:00+00', 1, 1, 0, 0);
SELECT \@.reserve_usage($ada, 'photo', 0.5);
SELECT \@.grant_usage_access('regress_ut_app');
SELECT \@.grant_usage_access('regress_ut_server', server => true);

SELECT \@.consume_usage($ada, 'photo', idempotency_key => 'first', metadata => '{"x": "y"}', resource_id => 'r	1');
SELECT \@.consume_usage($bob, 'photo', 2.5, 17, 0.000000001);
SELECT \@.consume_usage($cyd, 'photo', 2);
SELECT \@.consume_usage($ada, 'call') FROM generate_series(1, 4);
SELECT \@.track_usage($ada, 'call', status => 'failed', error_message => E'no\\n\\\\. luck', duration_ms => 12);
SELECT \@.track_usage($cyd, 'photo', 9, tokens => 999);
SELECT \@.track_usage($ada, 'visit', 3, occurred_at => '2026-01-15 10:00+00', idempotency_key => 'late');
SET usage_tracking.max_event_lead = '60d';
SELECT \@.track_usage($ada, 'visit', 4, 100, occurred_at => '2026-03-15 10:00+00');
SQL

# Questions about a database, answered in sorted lines.
my $views = <<'SQL';
CREATE TEMP VIEW ours AS
SELECT c.* FROM pg_class AS c
 WHERE c.oid IN (SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype = 'e')
    OR c.oid IN (SELECT relid FROM pg_partition_tree('@.usage_events')) OR c.oid = 'app.users'::regclass;
CREATE FUNCTION pg_temp.grants(acl aclitem[], kind "char", owner oid) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type, is_grantable)
      FROM aclexplode(COALESCE(acl, acldefault(kind, owner)))
$$;
SQL
my %questions = (
    'partitions' => q{SELECT relid::regclass, pg_get_expr(relpartbound, oid) FROM pg_partition_tree('@.usage_events') JOIN ours ON oid = relid},
    'row security and owners' => 'SELECT oid::regclass, relkind, relrowsecurity, relforcerowsecurity, relowner::regrole, reloptions FROM ours',
    'policies' => 'SELECT * FROM pg_policies',
    'triggers' => 'SELECT pg_get_triggerdef(t.oid), tgenabled, tgparentid <> 0
        FROM ours AS o JOIN pg_trigger AS t ON tgrelid = o.oid WHERE NOT tgisinternal OR tgparentid <> 0',
    'keys and indexes' => 'SELECT pg_get_indexdef(indexrelid) FROM ours JOIN pg_index ON indrelid = oid',
    'constraints' => 'SELECT conrelid::regclass, conname, pg_get_constraintdef(n.oid) FROM ours AS o JOIN pg_constraint AS n ON conrelid = o.oid',
    'columns' => 'SELECT o.oid::regclass, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
               attcollation::regcollation, pg_get_expr(adbin, adrelid)
        FROM ours AS o JOIN pg_attribute ON attrelid = o.oid AND attnum > 0 LEFT JOIN pg_attrdef ON adrelid = o.oid AND adnum = attnum',
    'rights on relations' => q{SELECT oid::regclass, g
        FROM ours, pg_temp.grants(relacl, CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner) AS g},
    'rights on columns' => q{SELECT o.oid::regclass, attname, g
        FROM ours AS o JOIN pg_attribute ON attrelid = o.oid, pg_temp.grants(attacl, 'c', relowner) AS g WHERE attacl IS NOT NULL},
    'rights on functions' => q{SELECT p.oid::regprocedure, g FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = objid,
               pg_temp.grants(proacl, 'f', proowner) AS g WHERE d.classid = 'pg_proc'::regclass AND deptype = 'e'},
    'rights on schemas' => q{SELECT nspname, g FROM pg_namespace, pg_temp.grants(nspacl, 'n', nspowner) AS g WHERE nspname !~ '^pg_'},
    'default rights' => 'SELECT defaclrole::regrole, defaclobjtype, defaclacl FROM pg_default_acl',
    'comments' => q{SELECT oid::regclass, objsubid, description
        FROM ours JOIN pg_description ON objoid = oid AND classoid = 'pg_class'::regclass},
    'sequences' => 'SELECT schemaname, sequencename, last_value, increment_by FROM pg_sequences',
);

sub ask
{
    my ($db, $schema, $sql) = @_;
    s/\@(?=\.)/$schema/g foreach $sql, (my $before = $views);
    return join "\n", sort split /\n/, $node->safe_psql($db, "$before; $sql");
}

# {table => number of rows and checksum}; an empty one says so.
sub rows_of
{
    my ($db, $schema) = @_;
    my @tables = split /\n/, ask($db, $schema, q{SELECT oid::regclass FROM ours WHERE relkind = 'r'});
    my $sum = q{SELECT count(*) || ' ' || md5(string_agg(t::text, ';' ORDER BY t::text)) FROM ONLY};
    return { map { $_ => $node->safe_psql($db, "$sum $_ AS t") || 'empty' } @tables };
}

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
    my $sql = sub { my ($on, $text) = @_; $text =~ s/\@(?=\.|;)/$schema/g; return $node->safe_psql($on, $text) };
    my $command = sub { my ($on, @words) = @_; s/^%f$/$file/, s/^%d$/$on/ foreach @words; return [ @words, '-h', $node->host, '-p', $node->port ] };
    my $copy = "${db}_restored";

    $node->safe_psql('postgres', "CREATE DATABASE $db");
    $node->safe_psql($db, "CREATE SCHEMA IF NOT EXISTS $schema");
    $sql->($db, $life);
    my $rows = rows_of($db, $schema);
    is(join(' ', grep { $rows->{$_} eq 'empty' } sort keys %$rows), '', "$title: something is in every table");
    my @partitions = grep { /usage_events_(default|2026_0[23])/ } keys %$rows;
    is(@partitions, 3, "$title: and in three partitions");
    $node->command_ok($command->($db, @$dump), "$title: dumped");

    $node->safe_psql('postgres', "CREATE DATABASE $copy");
    ok($node->run_log($command->($copy, @$restore)), "$title: restored") or return;
    is_deeply(rows_of($copy, $schema), $rows, "$title: every row is there");
    is(ask($copy, $schema, $questions{$_}), ask($db, $schema, $questions{$_}), "$title: same $_") foreach sort keys %questions;
    is(plain_dump_of($copy), plain_dump_of($db), "$title: the dump of the restored database is the same");
    is($sql->($copy, 'SELECT * FROM @.reconcile_usage()'), '', "$title: counters agree with events");
    is($sql->($copy, 'SELECT * FROM @.usage_security_check()'), '', "$title: nothing is open that was closed");

    # it goes on
    is($sql->($copy, "SELECT \@.attach_users('app.users', on_delete => 'erase')"), 0, "$title: nobody is missing");
    is_deeply(rows_of($copy, $schema), $rows, "$title: and nothing is added, a plan that was thrown away neither");
    foreach my $on ($db, $copy)    # the one that was dumped answers the same
    {
        is($sql->($on, "SELECT d.allowed, d.reason, d.id, d.used FROM \@.consume_usage($ada, 'photo', idempotency_key => 'first') AS d"),
            't|replayed|1|1', "$on: a key is replayed");
        is($sql->($on, "SELECT d.allowed, d.reason, d.used, d.max_usage FROM \@.consume_usage($ada, 'photo') AS d"), $_,
            "$on: the limit to its last unit") foreach 't|ok|2|3', 't|ok|3|3', 'f|limit_reached|3|3';
        is($sql->($on, "SELECT d.allowed, trim_scale(d.used), d.max_usage FROM \@.consume_usage($bob, 'photo', 4.5) AS d"),
            't|7|7', "$on: the plan's last units");
        is($sql->($on, "SELECT d.allowed, d.reason, d.max_usage FROM \@.consume_usage($bob, 'photo', 0.1) AS d"), 'f|limit_reached|7',
            "$on: and no more");
        is($sql->($on, "SELECT d.allowed, d.limit_type, d.used, d.max_usage FROM \@.consume_usage($cyd, 'photo') AS d"), 'f|photos|11|2',
            "$on: the override holds");
        is($sql->($on, "SELECT d.allowed, d.used, d.reset_at FROM \@.consume_usage($ada, 'call') AS d"), 'f|5|' . $sql->($on,
            "SELECT anchor + '7 days' FROM \@.user_subscriptions WHERE user_id = $ada"), "$on: a failed call counts where it did");
    }
    is($sql->($copy, 'SELECT count(*) - count(DISTINCT id) FROM @.usage_events'), 0, "$title: ids of events go on");
    $sql->($copy, q{SELECT @.define_usage_limit('more', 'photo', 1)});
    is($sql->($copy, q{SELECT limit_id > ALL (SELECT limit_id FROM @.usage_limits WHERE limit_type <> 'more')
        FROM @.usage_limits WHERE limit_type = 'more'}), 't', "$title: numbers of limits go on");
    $sql->($copy, "INSERT INTO app.users VALUES ($dan, 'dan\@example.com'); DELETE FROM app.users WHERE id = $cyd");
    is($sql->($copy, "SELECT user_id FROM \@.deleted_users"), $cyd =~ tr/'//dr, "$title: the triggers of the users table work");
    is($sql->($copy, "SELECT count(*) FROM \@.user_subscriptions WHERE user_id = $dan"), 1, "$title: who signs up is known");
    is($sql->($copy, q{SELECT @.create_usage_partition('2026-03-01'), @.create_usage_partition('2026-04-01')}), 'f|t',
        "$title: the next month gets its partition");
    foreach my $change (map { ("DELETE FROM $_", "UPDATE $_ SET quantity = 0", "TRUNCATE $_") } @partitions)
    {
        my ($rc, $out, $err) = $node->psql($copy, $change);
        like($err, qr/cannot be changed or removed/, "$title: history is kept from $change");
    }
    is($sql->($copy, "SET usage_tracking.user_id = $bob; SET ROLE regress_ut_app;
        SELECT trim_scale(used) FROM \@.user_usage WHERE limit_type = 'photos'"), '7', "$title: a user sees his own");
    is($sql->($copy, "SET ROLE regress_ut_server; SELECT \@.track_usage($bob, 'visit') > 0"), 't', "$title: a server records");
    is($sql->($copy, 'SELECT * FROM @.reconcile_usage()'), '', "$title: counters still agree");

    # A table that is restored gets the default rights of its new home.
    $node->safe_psql('postgres', "CREATE DATABASE ${db}_open");
    $node->safe_psql("${db}_open", 'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC');
    $node->command_ok($command->("${db}_open", @$restore), "$title: restored where default rights give everything away");
    is(join(' ', sort split /\n/, $sql->("${db}_open", 'SELECT object FROM @.usage_security_check()')),
        join(' ', sort grep { /2026/ } @partitions), "$title: usage_security_check() tells");
}

run_story($stories[$_], "story$_") foreach 0 .. $#stories;
$node->stop;
done_testing();
