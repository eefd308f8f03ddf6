# Attacks that need a login of their own, or several at once: 13-15, 41-43, 46,
# 47, 52, 55, 61, 62 and 64 of the suite. The others are in test/pgtap/attacks_*.sql.
#
# Each attacker is a role that logs in: authenticated is user A by a token, the
# gateway names users by usage_tracking.user_id. After each attack the SQLSTATE
# is the expected one, all tables of the extension are as they were, and neither
# output nor messages say anything of victim B, whose data is marked "secret".
use strict;
use warnings FATAL => 'all';

use FindBin;
use IPC::Run;
use lib $FindBin::RealBin;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($alice, $bob) = ('aaaaaaaa-0000-4000-8000-00000000000a', 'bbbbbbbb-0000-4000-8000-00000000000b');
my $claims = qq({"sub": "$alice", "role": "authenticated"});

my $node = PostgreSQL::Test::Cluster->new('attacked');
$node->init;
# Sessions begin without the library, as attackers would like it.
$node->append_conf('postgresql.conf', "max_connections = 70\nautovacuum = off\nshared_preload_libraries = ''");
$node->start;
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

$node->safe_psql('postgres', <<"SQL");
CREATE ROLE anon LOGIN; CREATE ROLE authenticated LOGIN; CREATE ROLE service_role LOGIN;
CREATE ROLE regress_ut_gateway LOGIN NOINHERIT;
GRANT authenticated TO regress_ut_gateway;
CREATE SCHEMA usage;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO anon, authenticated;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon, authenticated;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.grant_usage_access('authenticated'), usage.grant_usage_access('service_role', true);
GRANT SET ON PARAMETER usage_tracking.user_id TO regress_ut_gateway;
-- an application whose every user has a role of his own
CREATE ROLE regress_ut_app LOGIN;
SELECT usage.grant_usage_access('regress_ut_app');
ALTER ROLE regress_ut_app SET usage_tracking.user_id = '$alice';
CREATE SCHEMA app;
CREATE TABLE app.users (id uuid PRIMARY KEY, email text);
REVOKE ALL ON app.users FROM anon, authenticated;
INSERT INTO app.users VALUES ('$alice', 'a\@example.com'), ('$bob', 'secret.b\@example.com');
SELECT usage.attach_users('app.users'), usage.create_usage_partition('2031-01-01');
SELECT usage.define_usage_limit('calls_daily', 'call', 3), usage.set_plan_limit('pro', 'calls_daily', 100);
SELECT usage.define_campaign('$bob', 'secret campaign', 'secret name');
SELECT usage.grant_credits('$bob', 31337, reference_id => 'secret payment', description => 'secret gift');
SELECT usage.track_api_usage('$bob', 'call', 'acme', 'secret model', '/secret', 'secret request', 1, status => 'failed', ip => '10.0.0.1', user_agent => 'secret agent');
SELECT usage.consume_usage('$bob', 'call', 2, resource_id => 'secret resource', idempotency_key => 'secret key');
UPDATE usage.user_subscriptions SET stripe_customer_id = 'cus_secret' WHERE user_id = '$bob';
-- Members of the extension and the partitions made since: what a new object is found by.
CREATE VIEW app.relations AS
    SELECT c.oid::regclass AS relation, c.relkind FROM pg_class c
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
       AND (c.oid IN (SELECT objid FROM pg_depend JOIN pg_extension x ON refobjid = x.oid
                       WHERE extname = 'usage_tracking' AND deptype = 'e' AND classid = 'pg_class'::regclass)
            OR c.oid IN (SELECT relid FROM pg_partition_tree('usage.usage_events')));
CREATE FUNCTION app.fingerprint() RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
    one   regclass;
    part  text;
    whole text := '';
BEGIN
    FOR one IN SELECT relation FROM app.relations WHERE relkind IN ('r', 'S') ORDER BY relation::text LOOP
        EXECUTE format('SELECT md5(string_agg(t::text, '';'' ORDER BY t::text)) FROM (SELECT * FROM %s) t', one) INTO part;
        whole := whole || one || COALESCE(part, '-');
    END LOOP;
    RETURN md5(whole || (SELECT string_agg(relname || COALESCE(relacl::text, ''), ';' ORDER BY relname) FROM pg_class)
                     || (SELECT COALESCE(string_agg(s::text, ';'), '') FROM pg_db_role_setting s));
END
\$\$;
SQL

sub fingerprint { return $node->safe_psql('postgres', 'SELECT app.fingerprint()'); }

# One session of a role: (SQLSTATE of what failed or 00000, output, messages).
sub session {
	my ($role, $sql, %options) = @_;
	local $ENV{PGOPTIONS} = $options{pgoptions} // '';
	my ($status, $out, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose' ]);
	my ($state) = $err =~ /(?:ERROR|FATAL):  (\w{5}):/;
	return ($state // ($status == 0 ? '00000' : "status $status"), $out, $err);
}

# What a session must end with; a pattern for its output, if that matters.
my $untouched = fingerprint();

sub attack {
	my ($title, $role, $sql, $expected, $output, %options) = @_;
	my ($state, $out, $err) = session($role, $sql, %options);
	my @wrong;
	push @wrong, "SQLSTATE $state, not $expected" if $state ne $expected;
	push @wrong, 'something changed' if fingerprint() ne $untouched && !$options{may_change};
	push @wrong, "output \"$out\"" if defined $output && $out !~ $output;
	push @wrong, 'it told about B' if "$out$err" =~ /secret/i || $out =~ /$bob/;
	is(join(', ', @wrong), '', "$title, by $role") or diag("$sql\n$out\n$err");
	$untouched = fingerprint() if $options{may_change};
	return;
}

my $as_a = "SET request.jwt.claims = '$claims';";
my @relations = map { [ split /\|/ ] } split /\n/, $node->safe_psql('postgres', 'SELECT relation, relkind FROM app.relations ORDER BY relation::text');
cmp_ok(scalar(@relations), '>=', 15, 'relations to attack: ' . join(' ', map { $_->[0] } @relations));
ok((grep { $_->[0] eq 'usage.usage_events_2031_01' } @relations), 'a partition made at run time is one of them');

# 13: all relations in one session, which goes on after errors.
for my $role (qw(anon authenticated regress_ut_app)) {
	my $copies = '';
	my $refused = 0;
	for (@relations) {
		my ($relation, $kind) = @$_;
		my $own = $role ne 'anon' && $relation =~ /^usage\.(user_usage|api_usage|user_credits|credit_transactions|user_monthly_usage|usage_memory)$/;
		$copies .= "COPY (SELECT * FROM $relation) TO STDOUT;\n";
		$refused += !$own;
		next if $kind eq 'S' || $kind eq 'v';
		$copies .= "COPY $relation TO STDOUT;\n";
		$refused += !$own;
	}
	my ($status, $out, $err) = $node->psql('postgres', "$as_a\n$copies", on_error_stop => 0, extra_params => [ '-U', $role, '-v', 'VERBOSITY=verbose' ]);
	my $errors = () = $err =~ /ERROR:  42501:/g;
	is($errors, $refused, "13 COPY of every relation is refused, by $role") or diag($err);
	like($out, $role eq 'anon' ? qr/^$/ : qr/^$alice\t[^\n]*$/, "13 but for his own usage, by $role");
	unlike("$out$err", qr/secret|$bob/, "13 nothing of B, by $role");
}

# 14
for my $role (qw(anon authenticated regress_ut_app)) {
	for my $extra ([], ['--enable-row-security'], [ '--schema', 'usage', '--data-only' ], [ '--table', 'usage.user_subscriptions' ]) {
		my ($out, $err) = ('', '');
		my $ok = IPC::Run::run([ 'pg_dump', '-U', $role, '-h', $node->host, '-p', $node->port, @$extra, 'postgres' ], '>', \$out, '2>', \$err);
		ok(!$ok && $err =~ /permission denied/ && "$out$err" !~ /secret|$bob/,
			"14 pg_dump @$extra, by $role") or diag($err);
	}
}

# 15
attack('15 lastval() after a use of his own', $_,
	"$as_a BEGIN; SELECT allowed FROM usage.consume_usage('$alice', 'call'); SELECT lastval();", '42501', qr/^t$/, may_change => 1)
  for qw(authenticated regress_ut_app);
attack('15 lastval() after no use', 'anon', "$as_a BEGIN; SELECT usage.consume_usage('$alice', 'call'); SELECT lastval();", '42501', qr/^$/);

# 41-43: roles and what only a superuser may set
for my $role (qw(anon authenticated regress_ut_gateway)) {
	attack("41 $_", $role, "$_; SELECT usage.track_usage('$alice', 'call')", '42501', qr/^$/)
	  for 'SET ROLE service_role', "SET ROLE $superuser", 'SET SESSION AUTHORIZATION service_role', "SET SESSION AUTHORIZATION $superuser",
	  "SELECT set_config('role', 'service_role', false)";
	attack("43 $_", $role, $_, '42501', qr/^$/)
	  for 'SET session_replication_role = replica', "SELECT set_config('session_replication_role', 'replica', false)";
}

# 46, 47: what was set before the library is loaded was set by nobody who may.
# Each session is new; the first call of a function of ours loads the library.
# Any of these settings that counted would change the answer.
my %settings = (
	user_id => $bob, identity => 'setting', user_id_setting => 'app.user_id', default_plan => 'pro', enabled => 'off',
	enforce_limits => 'off', max_event_age => '100000000', idempotency_retention => '0');
my $who = "SET app.user_id = '$bob'; $as_a SELECT usage.current_user_id(); SELECT reason FROM usage.check_usage_limit('$alice', 'call', 4);";
my $answer = qr/^$alice\nlimit_reached$/;
my $set = join '', map { "SET usage_tracking.$_ = '$settings{$_}';" } sort keys %settings;
(my $set_local = $set) =~ s/SET /SET LOCAL /g;
(my $set_config = $set) =~ s/SET (\S+) = ('[^']*')/SELECT set_config('$1', $2, false) \\g \/dev\/null\n/g;
attack('46 the answer with no setting', 'authenticated', $who, '00000', $answer);
attack('46 SET before the library is there', 'authenticated', "$set $who", '00000', $answer);
attack('46 SET LOCAL before the library is there', 'authenticated', "BEGIN; $set_local $who COMMIT;", '00000', $answer);
attack('46 set_config() before the library is there', 'authenticated', "$set_config $who", '00000', $answer);
attack('46 options of the connection', 'authenticated', $who, '00000', $answer,
	pgoptions => join(' ', map { "-c usage_tracking.$_=$settings{$_}" } sort keys %settings));
for my $name (sort keys %settings) {
	attack("46 SET $name once the library is there", 'authenticated',
		"SELECT usage.current_user_id() \\g /dev/null\nSET usage_tracking.$name = '$settings{$name}';", '42501', qr/^$/);
	attack("46 $name for his role, before the library is there", 'authenticated',
		"ALTER ROLE authenticated SET usage_tracking.$name = '$settings{$name}'", '42501', qr/^$/);
}
attack('46 a name of ours that is no setting', 'authenticated', "SELECT usage.current_user_id() \\g /dev/null\nSET usage_tracking.me = '$bob'", '42602', qr/^$/);

# The strong mode, for a gateway that lets users send SQL.
$node->safe_psql('postgres', "ALTER DATABASE postgres SET usage_tracking.identity = 'user_id'");
$untouched = fingerprint();
attack('46 user_id alone: a forged token is nobody', 'authenticated', "$as_a SELECT usage.current_user_id() IS NULL", '00000', qr/^t$/);
attack('46 user_id alone: a forged token uses nothing', 'authenticated', "$as_a SELECT usage.consume_usage('$alice', 'call')", '42501', qr/^$/);
attack('46 user_id alone: set before the library is there', 'authenticated',
	"SET usage_tracking.user_id = '$bob'; SET usage_tracking.identity = 'user_id,jwt'; $as_a SELECT usage.current_user_id() IS NULL", '00000', qr/^t$/);
my $gateway = "SET usage_tracking.user_id = '$alice'; SET ROLE authenticated; SET request.jwt.claims = '{\"sub\": \"$bob\"}';";
attack('46 behind the gateway one is whom it named', 'regress_ut_gateway', "$gateway SELECT usage.current_user_id()", '00000', qr/^$alice$/);
attack('46 behind the gateway one uses one\'s own', 'regress_ut_gateway', "$gateway SELECT allowed FROM usage.consume_usage('$alice', 'call')",
	'00000', qr/^t$/, may_change => 1);
attack("46 behind the gateway: $_", 'regress_ut_gateway', "SELECT usage.current_user_id() \\g /dev/null\n$gateway $_", '42501', qr/^$/)
  for "SET usage_tracking.user_id = '$bob'", "SELECT set_config('usage_tracking.user_id', '$bob', true)", 'RESET usage_tracking.user_id',
  "SET usage_tracking.identity = 'jwt'", 'RESET usage_tracking.identity', "SELECT usage.consume_usage('$bob', 'call')",
  "ALTER ROLE CURRENT_USER SET usage_tracking.user_id = '$bob'",
  "CREATE FUNCTION pg_temp.f() RETURNS uuid LANGUAGE sql SET usage_tracking.user_id = '$bob' AS 'SELECT usage.current_user_id()'; SELECT pg_temp.f()";
attack("46 behind the gateway: $_ does not make one another", 'regress_ut_gateway',
	"$gateway $_; $as_a SELECT COALESCE(usage.current_user_id(), '$alice') = '$alice'", '00000', qr/^t$/)
  for 'RESET ALL', "SET usage_tracking.user_id = '$bob'", "BEGIN; SET LOCAL usage_tracking.user_id = '$bob'",
  "SET usage_tracking.user_id = '$bob'; SET usage_tracking.identity = 'jwt'";

# 42: who may send RESET ROLE has the gateway's rights back, whatever we do; so
# the operations page tells gateways to keep it from users. Known, not refused.
attack('42 RESET ROLE gives back the gateway\'s rights', 'regress_ut_gateway',
	"$gateway RESET ROLE; SET usage_tracking.user_id = '$bob'; SELECT current_setting('usage_tracking.user_id') = '$bob'", '00000', qr/^t$/);
attack('42 and with them nothing more', 'regress_ut_gateway', "$gateway RESET ROLE; SELECT usage.consume_usage('$bob', 'call')", '42501', qr/^$/);
attack('42 RESET ROLE where the login is the user', 'authenticated', "RESET ROLE; SET usage_tracking.user_id = '$bob'; SELECT usage.current_user_id() IS NULL", '00000', qr/^t$/);
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET usage_tracking.identity');

# 61, 62, 64: A's session stays open, with all the locks he can get; B, servers
# and upkeep go on beside it. What hangs ends with 57014.
sub open_session {
	my ($role, $sql) = @_;
	my $session = OpenSession->new(sprintf 'host=%s port=%s dbname=postgres user=%s', $node->host, $node->port, $role);
	$session->ask("SET statement_timeout = '60s'; $sql");
	return $session;
}
my $attacker = open_session('authenticated', $as_a);
is($attacker->ask("SELECT count(pg_advisory_lock(n)) + count(pg_advisory_lock(n, 0)) + count(pg_advisory_lock(0, n)) FROM generate_series(0, 300) AS n"), 903,
	'61 A holds advisory locks on small numbers');
is($attacker->ask("SELECT count(pg_advisory_lock(c.oid::bigint)) + count(pg_advisory_lock(c.oid::int, 0)) FROM pg_class AS c WHERE relnamespace = 'usage'::regnamespace"),
	$node->safe_psql('postgres', "SELECT 2 * count(*) FROM pg_class WHERE relnamespace = 'usage'::regnamespace"), '61 and on numbers of tables');
is($attacker->ask("SELECT count(pg_advisory_lock(hashtextextended(t, 0))) + count(pg_advisory_lock(hashtext(t))) FROM unnest('{$alice,$bob,call,calls_daily,usage_tracking}'::text[]) AS t"),
	10, '61 and on what names become');
$attacker->ask("BEGIN");
is($attacker->ask("SELECT allowed FROM usage.consume_usage('$alice', 'call', idempotency_key => 'open')"), 't', '62 A has used something, and goes on in the same transaction');
is($attacker->ask("SELECT count(*) FROM (SELECT FROM usage.user_usage FOR UPDATE) AS u"), 1, '62 he locks what he can see');
is($attacker->ask("SELECT count(*) FROM usage.user_subscriptions"), 1, '62 and looks at the rest');

my $other = open_session($superuser, "SELECT 'ready'");
my $hold = "SELECT id FROM usage.usage_reservations WHERE user_id = '$bob' ORDER BY id DESC LIMIT 1";
my $event = "SELECT max(id) FROM usage.usage_events WHERE user_id = '$bob' AND corrects IS NULL";
for (
	[ 'consume_usage', "SELECT allowed FROM usage.consume_usage('$bob', 'call', idempotency_key => 'open')", 't' ],
	[ 'check_usage_limit', "SELECT used FROM usage.check_usage_limit('$bob', 'call')", 3 ],
	[ 'track_usage', "SELECT usage.track_usage('$bob', 'call') > 0", 't' ],
	[ 'track_usage_batch', qq(SELECT recorded FROM usage.track_usage_batch('[{"user_id": "$bob", "usage_type": "call"}]')), 1 ],
	[ 'import_usage, of nothing', 'SELECT recorded + refused FROM usage.import_usage()', 0 ],
	[ 'reverse_usage', "SELECT usage.reverse_usage('$bob', ($event))", '' ],
	[ 'adjust_usage', "SELECT usage.adjust_usage('$bob', 'calls_daily', 1)", '' ],
	[ 'reserve_usage', "SELECT allowed FROM usage.reserve_usage('$bob', 'call', 1)", 't' ],
	[ 'commit_usage', "SELECT allowed FROM usage.commit_usage('$bob', ($hold))", 't' ],
	[ 'release_usage', "SELECT usage.release_usage('$bob', ($hold))", '' ],
	[ 'reset_user_usage', "SELECT usage.reset_user_usage('$bob', 'calls_daily')", '' ],
	[ 'UPDATE user_usage', "UPDATE usage.user_usage SET used = 2, max_usage = 9 WHERE user_id = '$bob'", '' ],
	[ 'set_user_plan', "SELECT usage.set_user_plan('$bob', 'pro')", '' ],
	[ 'set_plan_limit', "SELECT usage.set_plan_limit('pro', 'calls_daily', 90)", '' ],
	[ 'set_temporary_limit', "SELECT usage.set_temporary_limit('calls_daily', 95, '2020-01-01', '2100-01-01', 'pro')", '' ],
	[ 'define_usage_limit, which only changes its maximum', "SELECT usage.define_usage_limit('calls_daily', 'call', 4)", '' ],
	[ 'export_user_data', "SELECT usage.export_user_data('$bob') ->> 'user_id'", $bob ],
	[ 'erase_user', "SELECT usage.erase_user('cccccccc-0000-4000-8000-00000000000c')", '' ],
	[ 'a sign-up', "INSERT INTO app.users VALUES ('dddddddd-0000-4000-8000-00000000000d', 'd\@example.com')", '' ],
	[ 'usage_maintenance', 'SELECT count(*) > 0 FROM usage.usage_maintenance(1)', 't' ],
	[ 'reconcile_usage', 'SELECT count(*) FROM usage.reconcile_usage()', 0 ],
	# a new limit has to count all there is, so it waits 2 s and gives up; a month's
	# own partition waits as long as one lets it; both are documented
	[ 'create_usage_partition', "BEGIN; SET LOCAL lock_timeout = '200ms'; SELECT usage.create_usage_partition('2032-01-01'); ROLLBACK", 'ERROR 55P03' ],
	[ 'a new limit', "SELECT usage.define_usage_limit('calls_ever', 'call', 50, 'lifetime', NULL)", 'ERROR 55P03' ])
{
	my ($what, $sql, $answer) = @$_;
	is($other->ask($sql), $answer, "61, 62 beside it: $what");
}
is((session($superuser, "SET lock_timeout = '200ms'; SELECT usage.consume_usage('$alice', 'call', 3)"))[0], '55P03', '62 A himself has to wait for himself, where it hangs on that');

# 64
my $pid = $other->ask('SELECT pg_backend_pid()');
is($other->ask("SELECT '$bob secret' IS NOT NULL"), 't', '64 a session of the owner, whose query names B');
my $server = open_session('service_role', "SELECT '$bob secret' IS NOT NULL");
my $server_pid = $server->ask("SELECT pg_backend_pid() AS \"$bob secret\"");
$untouched = fingerprint();
for my $role (qw(anon authenticated regress_ut_app)) {
	attack("64 $_", $role, $_, '42501', qr/^$/) for map { ("SELECT pg_terminate_backend($_)", "SELECT pg_cancel_backend($_)") } $pid, $server_pid;
	attack('64 queries of others', $role, "SELECT * FROM pg_stat_activity WHERE pid IN ($pid, $server_pid)", '00000', qr/insufficient privilege/);
	attack('64 forged news', $role, "NOTIFY usage_tracking, 'forged'; SELECT pg_notify('usage_tracking', 'all of it is free')", '00000');
}
is($_->ask('SELECT 1'), 1, '64 both sessions are there still') for $other, $server;
is($attacker->ask('COMMIT'), '', '62 A commits at last');
is($other->ask("SELECT used FROM usage.check_usage_limit('$alice', 'call')"), $other->ask("SELECT sum(quantity) FROM usage.usage_events WHERE user_id = '$alice'"),
	'62 and what he used is counted');
is($other->ask("SELECT usage.define_usage_limit('calls_ever', 'call', 50, 'lifetime', NULL)"), '', '62 the new limit is there at the second try');
is($other->ask('SELECT count(*) FROM usage.reconcile_usage()'), 0, '62 counters agree with events');
$_->end for $attacker, $other, $server;
$node->safe_psql('postgres', 'DELETE FROM usage.user_roles');
$untouched = fingerprint();

# 52: no admin yet, 50 callers at once: none of them is the first.
my $script = $node->basedir . '/first_admin.sql';
append_to_file($script, "SET request.jwt.claims = '$claims';\nSELECT usage.make_admin_by_email('a\@example.com');\n");
for my $role (qw(anon authenticated regress_ut_app service_role)) {
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'pgbench', '-n', '-c', 50, '-j', 2, '-t', 1, '-f', $script, '-U', $role, '-h', $node->host, '-p', $node->port, 'postgres' ], '>', \$out, '2>', \$err);
	my $refused = () = $err =~ /aborted in command 1 .* ERROR: /g;
	is($refused, 50, "52 50 callers at once are refused, as $role") or diag($err);
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM usage.user_roles'), '0', '52 and nobody is admin');

# 55: two admins remove each other. One is in the middle of it when the other
# comes, waits, and must find that he is now the last.
sub as_admin { my ($id) = @_; return "SET statement_timeout = '60s'; SET request.jwt.claims = '{\"sub\": \"$id\"}';\n"; }

sub wait_until {
	my ($condition) = @_;
	return "DO \$\$ BEGIN WHILE NOT ($condition) LOOP PERFORM pg_sleep(0.02); END LOOP; END \$\$;\n";
}

# Its input is what it is sent; what it answers is read by pump and finish.
sub start_session {
	my %session = (in => '', out => '', err => '');
	$session{run} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-U', 'authenticated', '-h', $node->host, '-p', $node->port, 'postgres' ],
		'<', \$session{in}, '>', \$session{out}, '2>', \$session{err});
	return \%session;
}

sub send_to {
	my ($session, $sql, $answer) = @_;
	$session->{in} .= $sql;
	for (1 .. 50 * $PostgreSQL::Test::Utils::timeout_default) {
		$session->{run}->pump_nb;
		return if $session->{in} eq '' && (!defined $answer || $session->{out} =~ $answer);
		select(undef, undef, undef, 0.02);
	}
	die "no answer to $sql: $session->{out}$session->{err}";
}

my $locked = "SELECT FROM pg_locks WHERE relation = 'usage.user_roles'::regclass AND mode = 'ShareRowExclusiveLock'";
for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') {
	$node->safe_psql('postgres', "DELETE FROM usage.user_roles; SELECT usage.grant_role('$alice', 'admin'), usage.grant_role('$bob', 'admin')");
	my ($first, $second) = (start_session(), start_session());
	send_to($second, as_admin($bob) . "BEGIN ISOLATION LEVEL $level; SELECT usage.is_admin();\n", qr/t/);
	send_to($first, as_admin($alice) . "BEGIN ISOLATION LEVEL $level; SELECT usage.revoke_role('$bob', 'admin') IS NULL;\n", qr/f/);
	send_to($first, wait_until("EXISTS ($locked AND NOT granted)") . "COMMIT;\n\\q\n");
	send_to($second, "SELECT usage.revoke_role('$alice', 'admin');\nCOMMIT;\n\\q\n");
	$_->{run}->finish for $first, $second;
	is($first->{err}, '', "55 the first admin removes the second, at $level");
	like($second->{err}, qr/ERROR:  (55000|42501|40001)/, "55 the second, who waited, is refused, at $level");
	is($node->safe_psql('postgres', 'SELECT user_id FROM usage.user_roles'), $alice, "55 one admin is left, at $level");
}

# 38: an admin whose role is revoked while his transaction is open.
for my $level ('READ COMMITTED', 'REPEATABLE READ') {
	$node->safe_psql('postgres', "DELETE FROM usage.user_roles; SELECT usage.grant_role('$alice', 'admin'), usage.grant_role('$bob', 'admin')");
	my $admin = start_session();
	send_to($admin, as_admin($alice) . "BEGIN ISOLATION LEVEL $level; SELECT usage.is_admin();\n", qr/t/);
	$node->safe_psql('postgres', "SELECT usage.revoke_role('$alice', 'admin')");
	send_to($admin, "SELECT usage.define_usage_type('too_late');\n\\q\n");
	$admin->{run}->finish;
	like($admin->{err}, qr/ERROR:  42501/, "38 an admin revoked while his transaction is open is none, at $level");
}

# 53: addresses that look alike, in a database whose lower() knows all of Unicode:
# a Kelvin sign or a dotted capital I is not the letter it becomes.
SKIP: {
	my ($status) = $node->psql('postgres', "CREATE DATABASE unicode TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'");
	skip 'no locale C.UTF-8', 2 if $status != 0;
	$node->safe_psql('unicode', <<'SQL');
CREATE SCHEMA usage; CREATE EXTENSION usage_tracking SCHEMA usage;
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text);
INSERT INTO users (email) VALUES (U&'\212Aim@example.com'), (U&'\0130nfo@example.com'), ('Ops@Example.com');
SELECT usage.attach_users('users');
SQL
	$node->psql('unicode', "SELECT usage.make_admin_by_email('$_')") for 'kim@example.com', 'info@example.com', 'ops@example.com';
	is($node->safe_psql('unicode', 'SELECT email FROM users JOIN usage.user_roles ON user_id = id'), 'Ops@Example.com',
		'53 an address that only looks alike makes nobody admin');
	($status, my $out, my $err) = $node->psql('unicode', "SELECT usage.make_admin_by_email('kim\@example.com')", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	like($err, qr/ERROR:  P0002/, '53 it is no such user');
}

$node->stop;
done_testing();
