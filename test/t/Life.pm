# A database with something in every table of the extension (events in two
# run-time partitions and in DEFAULT, a plan of one's own, an edited one and one
# that was thrown away, keys, overrides, roles, rights, attached users), questions
# that tell whether another one is the same, and how such a database goes on.
#
# Objects come from the catalog, so a new table is compared without an edit here.
# In SQL, @ is the extension's schema.
package Life;

use strict;
use warnings;
use Exporter 'import';
use Test::More;

our @EXPORT = qw(%questions $settings $roles $ada $bob $cyd $dan
    in_schema begin_life ask rows_of partitions_of check_use check_future);

our $ada = "'aaaaaaaa-0000-4000-8000-000000000000'";
our $bob = "'bbbbbbbb-0000-4000-8000-000000000000'";
our $cyd = "'cccccccc-0000-4000-8000-000000000000'";
our $dan = "'dddddddd-0000-4000-8000-000000000000'";

our $settings = "usage_tracking.clock = '2026-02-10 12:00+00'\ntimezone = 'UTC'\n";
our $roles = 'CREATE ROLE anon; CREATE ROLE regress_ut_app; CREATE ROLE regress_ut_server';

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
SELECT \@.define_usage_alert('photos', 80, '1 hour', description => 'soon'), \@.define_usage_alert(NULL, 95.5);
SELECT \@.set_temporary_limit('photos', 5, '2026-01-01', '2026-02-10 12:00', 'gold', 'over');
SELECT \@.set_temporary_limit('photos', 1, '2026-03-01', '2026-04-01');
INSERT INTO \@.model_prices (provider, model, mode, prices, valid_from, valid_to, source) VALUES ('openai', 'gpt', 'chat', '{"input": 1e-12, "output>200000": 2.50}', '-infinity', '2026-01-01', 'a list');
SELECT \@.import_model_prices('{"gpt": {"litellm_provider": "openai", "input_cost_per_token": 2.5e-06}}', '2026-01-01');
INSERT INTO \@.model_aliases VALUES ('azure', 'ours', 'openai', 'gpt');
SELECT \@.define_campaign($bob, 'spring', 'Spring', 2.5);
SELECT \@.set_user_plan($bob, 'gold', '2026-12-31', '2026-01-31', '2026-02-28');
SELECT \@.set_user_limit($cyd, 'photos', 2, '2027-01-01', 'asked nicely');
SELECT \@.set_user_clock($bob, 'Asia/Tokyo', '2026-01-31 10:00+00');
SELECT \@.set_stripe_price('price_1', 'gold'), \@.apply_stripe_event(format('{"id": "evt_1", "type": "customer.subscription.created", "created": 1770681600, "data": {"object": {"id": "sub_1", "customer": "cus_2",
    "status": "active", "metadata": {"user_id": %s}, "items": {"data": [{"price": {"id": "price_1"}, "current_period_start": 1770681600, "current_period_end": 1773100800}]}}}}', to_json('55555555-0000-4000-8000-000000000000'::text))::jsonb);
UPDATE \@.user_subscriptions SET stripe_customer_id = 'cus_1', metadata = '{"a": [1, null, "\\\\ \\n é"]}' WHERE user_id = $bob;
SELECT \@.make_admin_by_email('ada\@example.com');
SELECT \@.grant_role($bob, 'support');
SELECT \@.grant_usage_access('regress_ut_app');
SELECT \@.grant_usage_access('regress_ut_server', server => true);
INSERT INTO \@.usage_partition_log VALUES ('usage_events_2025_11', 'dropped', 1, '2026-01-20 10:00+00');
INSERT INTO \@.usage_carried VALUES ($bob, 'photo', 'success', 0, '2025-11-01 00:00+00', 1, 1.25, 6, 0.7);

SELECT \@.consume_usage($ada, 'photo', idempotency_key => 'first', metadata => '{"x": "y"}', resource_id => 'r	1');
SELECT \@.consume_usage($bob, 'photo', 2.5, 17, 0.000000001);
SELECT \@.consume_usage($cyd, 'photo', 2);
SELECT \@.consume_usage($ada, 'call') FROM generate_series(1, 4);
SELECT \@.track_usage($ada, 'call', status => 'failed', error_message => E'no\\n\\\\. luck', duration_ms => 12);
SELECT \@.track_usage($cyd, 'photo', 9, tokens => 999);
SELECT \@.track_api_usage($ada, 'visit', 'openai', 'gpt', '/v1', 'r1', 3, 4, campaign_id => 'spring', ip => '10.0.0.1', user_agent => 'é', idempotency_key => 'api');
SELECT \@.track_api_usage($ada, 'visit', 'openai', 'unknown', input_tokens => 3);
SELECT \@.track_usage($ada, 'visit', 3, occurred_at => '2026-01-15 10:00+00', idempotency_key => 'late');
SELECT \@.acknowledge_usage_alert($cyd, max(id)) FROM \@.usage_alerts WHERE user_id = $cyd;
SELECT \@._raise_unusual_use($ada, 'visit', '2026-02-09', 9, 2.5);
SELECT \@.set_credit_cost('call', 1.5), \@.set_credit_refill('gold', 20, '1 day', 5), \@.set_credit_overdraft($cyd, 3);
SELECT \@.grant_credits($cyd, 10, 'bonus', 'gift', '2026-02-11', priority => -1, max_rollover => 1, rollover_until => '2026-02-20'),
       \@.grant_credits($ada, 100, reference_id => 'order 1', description => 'ordered', metadata => '{"a": [1, null]}');
SELECT \@.refund_credits($ada, (\@.spend_credits($ada, 30, 'poster')).id, 12.5, 'late'), \@.spend_credits($bob, 4);
SET usage_tracking.credits_enabled = on;
SELECT \@.reserve_usage($cyd, 'call', 4, idempotency_key => 'held');
RESET usage_tracking.credits_enabled;
SELECT \@.reverse_usage($ada, \@.track_usage($ada, 'visit', 2), 1, 'counted twice');
INSERT INTO \@.usage_imports (user_id, usage_type, occurred_at, metadata) VALUES ($bob, 'photo', '2020-01-01 00:00+00', '{"x": "y"}');
SELECT \@.define_rate_limit('api', 10, '1 minute', 20, description => 'é\n'), \@.define_rate_limit('api', 7, '1 mon 1 day 00:00:00.000001', plan => 'gold');
SELECT \@.define_usage_limit('renders', 'render', 2, 'gauge'), \@.define_usage_limit('projects', 'project', 3, 'gauge');
SELECT \@.acquire_lease($ada, 'renders', '1 day'), \@.acquire_lease($ada, 'renders', NULL), \@.set_usage_level($bob, 'renders', 1.5);
CREATE TABLE app.projects (id integer PRIMARY KEY, owner uuid);
INSERT INTO app.projects VALUES (1, $ada), (2, NULL);
SELECT \@.attach_usage_gauge('app.projects', 'projects', 'owner');
INSERT INTO app.projects VALUES (3, $ada), (4, $bob);
SELECT \@.define_usage_limit('reports', 'report', 3, 'lifetime');
SELECT \@.succeed_run($bob, r.id, 'openai', 'gpt', 10, 5, output => E'# é\n\\.\t', output_format => 'markdown', progress => '{"commits_processed": 7}')
  FROM \@.start_run($bob, 'report', resource_id => 'r', configuration_snapshot => '{"secret": 1, "a": [null, "\\n é"]}') AS r;
SELECT \@.record_delivery($bob, max(id), false, 503, 'busy', 'd-1'), \@.record_delivery($bob, max(id), true, 200) FROM \@.usage_runs;
SELECT \@.fail_run($bob, r.id, 'no luck', 'E', cost => 0.5) FROM \@.start_run($bob, 'report', counts => false) AS r;
SELECT \@.start_run($bob, 'report', expires_in => '366 days', idempotency_key => 'run');
SELECT \@.refresh_usage_aggregations();
SET usage_tracking.max_event_lead = '60d';
SELECT \@.track_usage($ada, 'visit', 4, 100, occurred_at => '2026-03-15 10:00+00');
SQL

# Questions about a database, answered in sorted lines.
my $views = <<'SQL';
CREATE TEMP VIEW ours AS
SELECT c.* FROM pg_class AS c
 WHERE c.oid IN (SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype = 'e')
    OR c.oid IN (SELECT relid FROM pg_partition_tree('@.usage_events')) OR c.oid = ANY ('{app.users,app.projects}'::regclass[]);
CREATE FUNCTION pg_temp.grants(acl aclitem[], kind "char", owner oid) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type, is_grantable)
      FROM aclexplode(COALESCE(acl, acldefault(kind, owner)))
$$;
SQL
our %questions = (
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

# in_schema SQL: @ becomes the schema.
sub in_schema
{
    my ($schema, $sql) = @_;
    $sql =~ s/\@(?=\.|;)/$schema/g;
    return $sql;
}

# begin_life makes a database that has lived, and checks that it has.
sub begin_life
{
    my ($node, $db, $schema, $title) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $db");
    $node->safe_psql($db, "CREATE SCHEMA IF NOT EXISTS $schema");
    $node->safe_psql($db, in_schema($schema, $life));
    my $rows = rows_of($node, $db, $schema);
    is(join(' ', grep { $rows->{$_} eq 'empty' } sort keys %$rows), '', "$title: something is in every table");
    is(scalar(partitions_of($node, $db, $schema)), 3, "$title: and in three partitions");
    return $rows;
}

sub ask
{
    my ($node, $db, $schema, $sql) = @_;
    return join "\n", sort split /\n/, $node->safe_psql($db, in_schema($schema, "$views; $sql"));
}

# {table => number of rows and checksum}; an empty one says so.
sub rows_of
{
    my ($node, $db, $schema) = @_;
    my @tables = split /\n/, ask($node, $db, $schema, q{SELECT oid::regclass FROM ours WHERE relkind = 'r'});
    my $sum = q{SELECT count(*) || ' ' || md5(string_agg(t::text, ';' ORDER BY t::text)) FROM ONLY};
    return { map { $_ => $node->safe_psql($db, "$sum $_ AS t") || 'empty' } @tables };
}

sub partitions_of
{
    my ($node, $db, $schema) = @_;
    my @partitions = grep { /usage_events_(default|2026_0[23])/ } sort keys %{ rows_of($node, $db, $schema) };
    return @partitions;
}

# check_use: keys, limits and plans answer as they must, once.
sub check_use
{
    my ($node, $db, $schema, $title) = @_;
    my $sql = sub { $node->safe_psql($db, in_schema($schema, $_[0])) };
    is($sql->("SELECT d.allowed, d.reason, d.id, d.used FROM \@.consume_usage($ada, 'photo', idempotency_key => 'first') AS d"),
        't|replayed|1|1', "$title: a key is replayed");
    is($sql->("SELECT d.allowed, d.reason, d.used, d.max_usage FROM \@.consume_usage($ada, 'photo') AS d"), $_,
        "$title: the limit to its last unit") foreach 't|ok|2|3', 't|ok|3|3', 'f|limit_reached|3|3';
    is($sql->("SELECT d.allowed, trim_scale(d.used), d.max_usage FROM \@.consume_usage($bob, 'photo', 3.25) AS d"),
        't|7|7', "$title: the plan's last units");
    is($sql->("SELECT d.allowed, d.reason, d.max_usage FROM \@.consume_usage($bob, 'photo', 0.1) AS d"), 'f|limit_reached|7',
        "$title: and no more");
    is($sql->("SELECT d.allowed, d.limit_type, d.used, d.max_usage FROM \@.consume_usage($cyd, 'photo') AS d"), 'f|photos|11|2',
        "$title: the override holds");
    is($sql->("SELECT d.allowed, d.used, d.max_usage FROM \@.consume_usage($cyd, 'call', 2) AS d"), 'f|4|5', "$title: what is held is held");
    my $credits = "SELECT balance, held FROM \@.user_credits WHERE user_id IN ($ada, $bob, $cyd) ORDER BY user_id";
    is($sql->($credits), "82.5|0\n16|0\n10|6", "$title: balances");
    is($sql->("SELECT reason, remaining FROM \@.spend_credits($ada, 30, 'poster')"), 'replayed|82.5', "$title: a reference is known");
    is($sql->("SELECT \@.grant_credits($ada, 100, reference_id => 'order 1') < max(id) FROM \@.credit_ledger"), 't', "$title: and paid once");
    is($sql->("SET usage_tracking.clock = '2026-02-11 12:00+00'; $credits"), "82.5|0\n25|0\n1|0", "$title: what ends and what rolls over");
    is($sql->("SET usage_tracking.clock = '2026-02-11 12:00+00'; SELECT remaining FROM \@.spend_credits($bob, 6);
        SELECT count(*), count(DISTINCT effective_at), count(*) - count(DISTINCT id) FROM \@.credit_ledger WHERE action = 'refill'"), "19\n2|2|0",
        "$title: nothing is refilled twice");
    is($sql->("SELECT d.allowed, d.used FROM \@.usage_reservations AS r, \@.commit_usage(r.user_id, r.id, 5) AS d WHERE NOT r.is_run"), 't|5',
        "$title: and can be committed");
    is($sql->("SELECT d.allowed, d.reason, d.used FROM \@.start_run($bob, 'report', idempotency_key => 'run') AS d"), 't|replayed|2', "$title: a run is under way");
    is($sql->("SELECT d.allowed, d.reason, d.used FROM \@.start_run($bob, 'report') AS d"), $_, "$title: runs to the last place") foreach 't|ok|3', 'f|held|3';
    is($sql->("SELECT r.status, r.event_id > 0 FROM \@.start_run($bob, 'report', idempotency_key => 'run') AS s, \@.succeed_run($bob, s.id, 'openai', 'gpt', 4) AS r"),
        'success|t', "$title: and it ends");
    is($sql->("SELECT status, counts, cost, delivery_attempts, error_code FROM \@.list_runs($bob) ORDER BY id"),
        "success|t|" . $sql->("SELECT cost FROM \@.get_run($bob, (SELECT min(id) FROM \@.usage_runs))") . "|2|\nfailed|f|0.5|0|E\nsuccess|t|0.00001|0|\nrunning|t||0|",
        "$title: runs are shown");
    is($sql->("SELECT d.allowed, d.used, d.reset_at FROM \@.consume_usage($ada, 'call') AS d"), 'f|5|' . $sql->(
        "SELECT anchor + '7 days' FROM \@.user_subscriptions WHERE user_id = $ada"), "$title: a failed call counts where it did");
    is($sql->("SELECT d.allowed, d.reason, d.used FROM \@.acquire_lease($ada, 'renders') AS d"), $_,
        "$title: a lease is held, but none of a session that was") foreach 't|ok|2', 'f|held|2';
    $sql->(q{SELECT @.define_rate_limit('more', 1, '1 day'), @.define_rate_limit('api', 7, '1 mon 1 day 00:00:00.000001', plan => 'gold')});
    is($sql->('SELECT name, plan, max_requests, per, burst FROM @.api_rate_limits ORDER BY id'),
        "api||10|00:01:00|20\napi|gold|7|1 mon 1 day 00:00:00.000001|\nmore||1|1 day|", "$title: rates go on");
    is($sql->("SELECT d.allowed, d.used FROM \@.add_usage_level($bob, 'renders', 0.5) AS d"), 't|2', "$title: a level goes on");
    is($sql->("INSERT INTO app.projects VALUES (5, $ada); SELECT * FROM \@.verify_usage_gauge('projects')"), '', "$title: and one that follows a table");
    my ($rc, $out, $err) = $node->psql($db, "INSERT INTO app.projects VALUES (6, $ada)");
    like($err, qr/usage limit "projects" reached/, "$title: to the last row");
}

# check_future: everything else that has to go on after a move.
sub check_future
{
    my ($node, $db, $schema, $title) = @_;
    my $sql = sub { $node->safe_psql($db, in_schema($schema, $_[0])) };
    is($sql->('SELECT count(*) - count(DISTINCT id) FROM @.usage_events'), 0, "$title: ids of events go on");
    like($sql->('SELECT count(*) - count(DISTINCT id), count(*) FROM @.usage_changes'), qr/^0\|[1-9]\d/, "$title: history is there, once");
    $sql->(q{SELECT @.define_usage_limit('more', 'photo', 1)});
    is($sql->(q{SELECT action, new->>'limit_type', id > ALL (SELECT id FROM @.usage_changes WHERE table_name <> 'usage_limits')
        FROM @.usage_changes ORDER BY id DESC LIMIT 1}), 'INSERT|more|t', "$title: and goes on");
    is($sql->(q{SELECT limit_id > ALL (SELECT limit_id FROM @.usage_limits WHERE limit_type <> 'more')
        FROM @.usage_limits WHERE limit_type = 'more'}), 't', "$title: numbers of limits go on");
    $sql->("INSERT INTO app.users VALUES ($dan, 'dan\@example.com'); DELETE FROM app.users WHERE id = $cyd");
    is($sql->("SELECT user_id FROM \@.deleted_users"), $cyd =~ tr/'//dr, "$title: the triggers of the users table work");
    is($sql->("SELECT count(*) FROM \@.user_subscriptions WHERE user_id = $dan"), 1, "$title: who signs up is known");
    is($sql->(q{SELECT @.create_usage_partition('2026-03-01'), @.create_usage_partition('2026-04-01')}), 'f|t',
        "$title: the next month gets its partition");
    foreach my $change (map { ("DELETE FROM $_", "UPDATE $_ SET quantity = 0", "TRUNCATE $_") } partitions_of($node, $db, $schema))
    {
        my ($rc, $out, $err) = $node->psql($db, $change);
        like($err, qr/cannot be changed or removed/, "$title: history is kept from $change");
    }
    is($sql->("SET usage_tracking.user_id = $bob; SET ROLE regress_ut_app;
        SELECT trim_scale(used) FROM \@.user_usage WHERE limit_type = 'photos'"), '7', "$title: a user sees his own");
    is($sql->("SET ROLE regress_ut_server; SELECT \@.track_usage($bob, 'visit') > 0"), 't', "$title: a server records");
    is($sql->('SELECT * FROM @.reconcile_usage()'), '', "$title: counters still agree");
}

1;
