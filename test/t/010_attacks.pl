# Attacks that need a login of their own, or several at once: 13-15, 41-43, 46,
# 47, 52 and 55 of the suite. The others are in test/pgtap/attacks_*.sql.
#
# Each attacker is a role that logs in: authenticated is user A by a token, the
# gateway names users by usage_tracking.user_id. After each attack the SQLSTATE
# is the expected one, all tables of the extension are as they were, and neither
# output nor messages say anything of victim B, whose data is marked "secret".
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($a, $b) = ('aaaaaaaa-0000-4000-8000-00000000000a', 'bbbbbbbb-0000-4000-8000-00000000000b');
my $claims = qq({"sub": "$a", "role": "authenticated"});

my $node = PostgreSQL::Test::Cluster->new('attacked');
$node->init;
$node->append_conf('postgresql.conf', "max_connections = 70\nautovacuum = off");
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
CREATE SCHEMA app;
CREATE TABLE app.users (id uuid PRIMARY KEY, email text);
REVOKE ALL ON app.users FROM anon, authenticated;
INSERT INTO app.users VALUES ('$a', 'a\@example.com'), ('$b', 'secret.b\@example.com');
SELECT usage.attach_users('app.users'), usage.create_usage_partition('2031-01-01');
SELECT usage.define_usage_limit('calls_daily', 'call', 3), usage.set_plan_limit('pro', 'calls_daily', 100);
SELECT usage.consume_usage('$b', 'call', 2, resource_id => 'secret resource', idempotency_key => 'secret key');
UPDATE usage.user_subscriptions SET stripe_customer_id = 'cus_secret' WHERE user_id = '$b';
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
sub attack {
	my ($title, $role, $sql, $expected, $output, %options) = @_;
	my $before = fingerprint();
	my ($state, $out, $err) = session($role, $sql, %options);
	my @wrong;
	push @wrong, "SQLSTATE $state, not $expected" if " $expected " !~ / $state /;
	push @wrong, 'something changed' if fingerprint() ne $before && !$options{may_change};
	push @wrong, "output \"$out\"" if defined $output && $out !~ $output;
	push @wrong, 'it told about B' if "$out$err" =~ /secret/i || $out =~ /$b/;
	is(join(', ', @wrong), '', "$title, by $role") or diag("$sql\n$out\n$err");
	return;
}

my $as_a = "SET request.jwt.claims = '$claims';";
my @relations = split /\n/, $node->safe_psql('postgres', 'SELECT relation FROM app.relations ORDER BY 1');
cmp_ok(scalar(@relations), '>=', 15, 'relations to attack: ' . join(' ', @relations));
ok((grep { $_ eq 'usage.usage_events_2031_01' } @relations), 'a partition made at run time is one of them');

# 13
for my $role (qw(anon authenticated)) {
	for my $relation (@relations) {
		my $own = $relation eq 'usage.user_usage' && $role eq 'authenticated';
		my $kind = $node->safe_psql('postgres', "SELECT relkind FROM app.relations WHERE relation = '$relation'::regclass");
		attack("13 COPY $relation", $role, "$as_a COPY $relation TO STDOUT", $kind =~ /[rpm]/ ? '42501' : '42501 42809', qr/^$/);
		attack("13 COPY (SELECT) of $relation", $role, "$as_a COPY (SELECT * FROM $relation) TO STDOUT",
			$own ? '00000' : '42501', $own ? qr/^$a\t/ : qr/^$/);
	}
}
attack('13 COPY of what he may read', 'authenticated',
	"$as_a COPY usage.user_subscriptions (user_id, status) TO STDOUT", '42501 0A000 00000', qr/^($a\tactive)?$/);

# 14
for my $role (qw(anon authenticated)) {
	for my $extra ([], ['--enable-row-security'], [ '--schema', 'usage', '--data-only' ], [ '--table', 'usage.user_subscriptions' ]) {
		my $before = fingerprint();
		my ($out, $err) = ('', '');
		my $ok = IPC::Run::run([ 'pg_dump', '-U', $role, '-h', $node->host, '-p', $node->port, @$extra, 'postgres' ], '>', \$out, '2>', \$err);
		ok(!$ok && $err =~ /permission denied/ && "$out$err" !~ /secret|$b/ && fingerprint() eq $before,
			"14 pg_dump @$extra, by $role") or diag($err);
	}
}

# 15
attack('15 lastval() after a use of his own', 'authenticated',
	"$as_a BEGIN; SELECT allowed FROM usage.consume_usage('$a', 'call'); SELECT lastval();", '42501', qr/^t$/, may_change => 1);

# 41-43: roles and what only a superuser may set
for my $role (qw(anon authenticated regress_ut_gateway)) {
	attack("41 $_", $role, "$_; SELECT usage.track_usage('$a', 'call')", '42501', qr/^$/)
	  for 'SET ROLE service_role', "SET ROLE $superuser", 'SET SESSION AUTHORIZATION service_role', "SET SESSION AUTHORIZATION $superuser",
	  "SELECT set_config('role', 'service_role', false)";
	attack("43 $_", $role, $_, '42501', qr/^$/)
	  for 'SET session_replication_role = replica', "SELECT set_config('session_replication_role', 'replica', false)";
}

# 46, 47: what was set before the library is loaded is set by nobody who may.
# Each session is new; the first call of a function of ours loads the library.
for my $setting ([ 'user_id', $b ], [ 'identity', 'setting' ], [ 'user_id_setting', 'app.user_id' ], [ 'default_plan', 'pro' ],
	[ 'enabled', 'off' ], [ 'enforce_limits', 'off' ], [ 'clock', '2030-01-01 00:00+00' ], [ 'max_event_age', '100000000' ])
{
	my ($name, $value) = @$setting;
	my $is_a = "SET app.user_id = '$b'; $as_a SELECT usage.current_user_id(); SELECT reason FROM usage.check_usage_limit('$a', 'call', 4);";
	attack("46 SET $name before the library is there", 'authenticated', "SET usage_tracking.$name = '$value'; $is_a", '00000', qr/^$a\nlimit_reached$/);
	attack("46 set_config($name) before the library is there", 'authenticated',
		"SELECT set_config('usage_tracking.$name', '$value', false) \\g /dev/null\n$is_a", '00000', qr/^$a\nlimit_reached$/);
	attack("46 SET LOCAL $name before the library is there", 'authenticated',
		"BEGIN; SET LOCAL usage_tracking.$name = '$value'; $is_a COMMIT;", '00000', qr/^$a\nlimit_reached$/);
	(my $quoted = $value) =~ s/ /\\ /g;
	attack("46 $name as an option of the connection", 'authenticated', $is_a, '00000', qr/^$a\nlimit_reached$/,
		pgoptions => "-c usage_tracking.$name=$quoted");
	attack("46 $name for his role, before the library is there", 'authenticated',
		"ALTER ROLE authenticated SET usage_tracking.$name = '$value'", '42501', qr/^$/);
	attack("46 SET $name once the library is there", 'authenticated',
		"SELECT usage.current_user_id() \\g /dev/null\nSET usage_tracking.$name = '$value';", '42501', qr/^$/);
	attack("46 $name in a preloaded session", 'authenticated', 'SELECT 1', '42501 00000 08P01', undef,
		pgoptions => "-c usage_tracking.$name=$quoted");
}
attack('46 a name of ours that is no setting', 'authenticated', "SELECT usage.current_user_id() \\g /dev/null\nSET usage_tracking.user = '$b'", '42602', qr/^$/);

# The strong mode, for a gateway that lets users send SQL.
$node->safe_psql('postgres', "ALTER DATABASE postgres SET usage_tracking.identity = 'user_id'");
attack('46 user_id alone: a forged token is nobody', 'authenticated', "$as_a SELECT usage.current_user_id() IS NULL", '00000', qr/^t$/);
attack('46 user_id alone: a forged token uses nothing', 'authenticated', "$as_a SELECT usage.consume_usage('$a', 'call')", '42501', qr/^$/);
attack('46 user_id alone: set before the library is there', 'authenticated',
	"SET usage_tracking.user_id = '$b'; SET usage_tracking.identity = 'user_id,jwt'; $as_a SELECT usage.current_user_id() IS NULL", '00000', qr/^t$/);
my $gateway = "SET usage_tracking.user_id = '$a'; SET ROLE authenticated; SET request.jwt.claims = '{\"sub\": \"$b\"}';";
attack('46 behind the gateway one is whom it named', 'regress_ut_gateway', "$gateway SELECT usage.current_user_id()", '00000', qr/^$a$/);
attack('46 behind the gateway one uses one\'s own', 'regress_ut_gateway', "$gateway SELECT allowed FROM usage.consume_usage('$a', 'call')",
	'00000', qr/^t$/, may_change => 1);
attack("46 behind the gateway: $_", 'regress_ut_gateway', "$gateway $_", '42501', qr/^$/)
  for "SET usage_tracking.user_id = '$b'", "SELECT set_config('usage_tracking.user_id', '$b', true)", 'RESET usage_tracking.user_id',
  "SET usage_tracking.identity = 'jwt'", 'RESET usage_tracking.identity', "SELECT usage.consume_usage('$b', 'call')",
  "ALTER ROLE CURRENT_USER SET usage_tracking.user_id = '$b'",
  "CREATE FUNCTION pg_temp.f() RETURNS uuid LANGUAGE sql SET usage_tracking.user_id = '$b' AS 'SELECT usage.current_user_id()'; SELECT pg_temp.f()";
attack("46 behind the gateway: $_ makes one nobody, not another", 'regress_ut_gateway', "$gateway $_; $as_a SELECT usage.current_user_id() IS NULL", '00000', qr/^t$/)
  for 'RESET ALL';

# 42: who may send RESET ROLE has the gateway's rights back, whatever we do; so
# the operations page tells gateways to keep it from users. Known, not refused.
attack('42 RESET ROLE gives back the gateway\'s rights', 'regress_ut_gateway',
	"$gateway RESET ROLE; SET usage_tracking.user_id = '$b'; SELECT current_setting('usage_tracking.user_id') = '$b'", '00000', qr/^t$/);
attack('42 and with them nothing more', 'regress_ut_gateway', "$gateway RESET ROLE; SELECT usage.consume_usage('$b', 'call')", '42501', qr/^$/);
attack('42 RESET ROLE where the login is the user', 'authenticated', "RESET ROLE; SET usage_tracking.user_id = '$b'; SELECT usage.current_user_id() IS NULL", '00000', qr/^t$/);
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET usage_tracking.identity');

# 52: no admin yet, 50 callers at once: none of them is the first.
my $script = $node->basedir . '/first_admin.sql';
append_to_file($script, "SET request.jwt.claims = '$claims';\nSELECT usage.make_admin_by_email('a\@example.com');\n");
for my $role (qw(authenticated service_role)) {
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'pgbench', '-n', '-c', 50, '-j', 2, '-t', 1, '-f', $script, '-U', $role, '-h', $node->host, '-p', $node->port, 'postgres' ], '>', \$out, '2>', \$err);
	my $refused = () = $err =~ /permission denied for this user or function/g;
	is($refused, 50, "52 50 callers at once are refused, as $role") or diag($err);
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM usage.user_roles'), '0', '52 and nobody is admin');

# 55: two admins remove each other. One is in the middle of it when the other
# comes, waits, and must find that he is now the last.
sub as_admin { my ($id) = @_; return "SET request.jwt.claims = '{\"sub\": \"$id\"}';"; }
sub wait_until { my ($condition) = @_; return "DO \$\$ BEGIN WHILE NOT ($condition) LOOP PERFORM pg_sleep(0.02); END LOOP; END \$\$;"; }
sub start_session {
	my ($sql) = @_;
	my %session = (out => '', err => '', in => $sql);
	$session{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-U', 'authenticated', '-h', $node->host, '-p', $node->port, 'postgres' ],
		'<', \$session{in}, '>', \$session{out}, '2>', \$session{err}, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return \%session;
}
my $locked = "SELECT FROM pg_locks WHERE relation = 'usage.user_roles'::regclass AND mode = 'ShareRowExclusiveLock'";
for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') {
	$node->safe_psql('postgres', "DELETE FROM usage.user_roles; SELECT usage.grant_role('$a', 'admin'), usage.grant_role('$b', 'admin')");
	my $first = start_session(as_admin($a) . "BEGIN ISOLATION LEVEL $level; SELECT usage.revoke_role('$b', 'admin');"
		  . wait_until("EXISTS ($locked AND NOT granted)") . 'COMMIT;');
	my $second = start_session(as_admin($b) . "BEGIN ISOLATION LEVEL $level; SELECT usage.is_admin();" . wait_until("EXISTS ($locked AND granted)")
		  . "SELECT usage.revoke_role('$a', 'admin'); COMMIT;");
	$_->{run}->finish for $first, $second;
	is($first->{err}, '', "55 the first admin removes the second, at $level");
	like($second->{err}, qr/ERROR:  (55000|42501|40001)/, "55 the second, who waited, is refused, at $level");
	is($node->safe_psql('postgres', 'SELECT user_id FROM usage.user_roles'), $a, "55 one admin is left, at $level");
}

# 38: an admin whose role is revoked while his transaction is open.
for my $level ('READ COMMITTED', 'REPEATABLE READ') {
	$node->safe_psql('postgres', "DELETE FROM usage.user_roles; SELECT usage.grant_role('$a', 'admin'), usage.grant_role('$b', 'admin')");
	my $admin = start_session(as_admin($a) . "BEGIN ISOLATION LEVEL $level; SELECT usage.is_admin();\n");
	$admin->{run}->pump until $admin->{out} =~ /t/;
	$node->safe_psql('postgres', "SELECT usage.revoke_role('$a', 'admin')");
	$admin->{in} .= "SELECT usage.define_usage_type('too_late');\n\\q\n";
	$admin->{run}->finish;
	local $TODO = 'rights are read with the snapshot of the transaction' if $level ne 'READ COMMITTED';
	like($admin->{err}, qr/ERROR:  42501/, "38 an admin revoked while his transaction is open is none, at $level");
}

$node->stop;
done_testing();
