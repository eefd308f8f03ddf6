# A sign-up never fails because of us.
#
# Whatever is wrong with the extension (its library is gone, a table of ours is
# altered, locked or renamed, a function has lost its name or its rights), a new
# row of the application's users table is stored, the server's log says in a
# WARNING why it was not recorded, and attach_users() adds the missing row when
# all is well again.  The same for what the application's own transaction brings
# along: odd rows, settings, isolation levels.
#
# Each breakage runs on Supabase's shape, auth.users owned by a role that has no
# right on us, and on a plain application's table.  Locks are held by prepared
# transactions, so nothing here depends on time.
#
# What attach_users() takes and refuses is test/pgtap/attach_users.sql's.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('signups');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
log_line_prefix = '%e '
max_prepared_transactions = 5
autovacuum = off
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE supabase_auth_admin LOGIN; CREATE ROLE regress_ut_nobody');

my %shape = (
    supabase => {
        table => 'auth.users', owner => 'supabase_auth_admin',
        sql => <<'SQL' },
CREATE SCHEMA auth AUTHORIZATION supabase_auth_admin;
SET ROLE supabase_auth_admin;
CREATE TABLE auth.users (instance_id uuid, id uuid NOT NULL PRIMARY KEY, email varchar(255), email_confirmed_at timestamptz);
SQL
    plain => {
        table => 'public.members', owner => 'postgres',
        sql => 'CREATE TABLE public.members (email text, id uuid)' });

# name, what breaks it, what mends it, the SQLSTATE of the warning ('' for none)
my @breakages = (
    [ 'the library is missing',
        q{UPDATE pg_proc SET probin = '$libdir/nope' WHERE probin = '$libdir/usage_tracking'},
        q{UPDATE pg_proc SET probin = '$libdir/usage_tracking' WHERE probin = '$libdir/nope'}, '58P01' ],
    [ 'a column is renamed',
        'ALTER TABLE usage.user_subscriptions RENAME started_at TO began_at',
        'ALTER TABLE usage.user_subscriptions RENAME began_at TO started_at', '42703' ],
    [ 'a column is dropped',
        'ALTER TABLE usage.user_subscriptions DROP anchor CASCADE',
        'ALTER TABLE usage.user_subscriptions ADD anchor timestamptz NOT NULL DEFAULT clock_timestamp()', '42703' ],
    [ 'a column is added that must be given',
        'ALTER TABLE usage.user_subscriptions ADD region text; UPDATE usage.user_subscriptions SET region = 1;
         ALTER TABLE usage.user_subscriptions ALTER region SET NOT NULL',
        'ALTER TABLE usage.user_subscriptions DROP region', '23502' ],
    [ 'a check is added that refuses everybody',
        'ALTER TABLE usage.user_subscriptions ADD CONSTRAINT nobody CHECK (false) NOT VALID',
        'ALTER TABLE usage.user_subscriptions DROP CONSTRAINT nobody', '23514' ],
    [ 'a trigger is added that fails',
        q{CREATE FUNCTION public.fails() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE division_by_zero; END';
          CREATE TRIGGER fails BEFORE INSERT ON usage.user_subscriptions FOR EACH ROW EXECUTE FUNCTION public.fails()},
        'DROP FUNCTION public.fails() CASCADE', '22012' ],
    [ 'the table is renamed',
        'ALTER TABLE usage.user_subscriptions RENAME TO customers',
        'ALTER TABLE usage.customers RENAME TO user_subscriptions', '!' ],
    [ 'the table of deletions is renamed',
        'ALTER TABLE usage.deleted_users RENAME TO leavers',
        'ALTER TABLE usage.leavers RENAME TO deleted_users', '42P01' ],
    [ 'a function is renamed',
        'ALTER FUNCTION usage._record_signup(uuid) RENAME TO gone', 'ALTER FUNCTION usage.gone(uuid) RENAME TO _record_signup', '42883' ],
    [ 'the trigger function has an owner without rights',
        'ALTER FUNCTION usage.handle_new_user() OWNER TO regress_ut_nobody',
        'ALTER FUNCTION usage.handle_new_user() OWNER TO postgres', '42501' ],
    [ 'row security is forced',
        'ALTER TABLE usage.user_subscriptions FORCE ROW LEVEL SECURITY; ALTER TABLE usage.deleted_users FORCE ROW LEVEL SECURITY',
        'ALTER TABLE usage.user_subscriptions NO FORCE ROW LEVEL SECURITY; ALTER TABLE usage.deleted_users NO FORCE ROW LEVEL SECURITY', '' ],
    [ 'the table is locked',
        q{BEGIN; LOCK TABLE usage.user_subscriptions; PREPARE TRANSACTION 'lock'},
        q{ROLLBACK PREPARED 'lock'}, '55P03' ],
    [ 'the table of deletions is locked',
        q{BEGIN; LOCK TABLE usage.deleted_users; PREPARE TRANSACTION 'lock'},
        q{ROLLBACK PREPARED 'lock'}, '55P03' ],
    [ 'his row is being made by somebody else, who then gives up',
        q{BEGIN; INSERT INTO usage.user_subscriptions (user_id) VALUES (:id); PREPARE TRANSACTION 'lock'},
        q{ROLLBACK PREPARED 'lock'}, '55P03' ],
    [ 'a limit is being defined and uses are held up',
        q{BEGIN; SELECT usage.define_usage_limit('l', 't', 1); PREPARE TRANSACTION 'lock'},
        q{ROLLBACK PREPARED 'lock'}, '' ],
    [ 'recording is switched off',
        q{LOAD 'usage_tracking'; ALTER ROLE ALL SET usage_tracking.enabled = off},
        q{LOAD 'usage_tracking'; ALTER ROLE ALL RESET usage_tracking.enabled}, '' ],
);

# name, what is sent before the sign-up in its session, the SQLSTATE or ''
my @sessions = (
    [ 'lock_timeout of a moment', 'SET lock_timeout = 1', '' ],
    [ 'no search_path', q{SET search_path = ''}, '' ],
    [ 'a search_path full of traps', q{
        CREATE TEMP TABLE user_subscriptions (user_id int); CREATE TEMP TABLE deleted_users (x int);
        CREATE FUNCTION pg_temp.format(text, text) RETURNS text LANGUAGE sql AS 'SELECT 1/0';
        SET search_path = pg_temp, public, pg_catalog}, '' ],
    [ 'REPEATABLE READ', 'SET default_transaction_isolation = "repeatable read"', '' ],
    [ 'SERIALIZABLE', 'SET default_transaction_isolation = serializable', '' ],
    [ 'errors kept from the client', 'SET client_min_messages = error', '' ],
    [ 'row_security off', 'SET row_security = off', '' ],
    [ 'odd formats', q{SET DateStyle = 'Postgres, DMY'; SET IntervalStyle = iso_8601; SET TimeZone = 'Asia/Kathmandu'; SET bytea_output = escape}, '' ],
);

my $n = 0;

sub new_id { return sprintf("'%08x-0000-4000-8000-000000000000'", ++$n) }

# Signs somebody up as the table's owner and returns the SQLSTATEs of the
# warnings in the log, 'FAILED ...' if that is what it did.
sub sign_up
{
    my ($db, $s, $id, $before) = @_;
    my $from = -s $node->logfile;
    my ($rc, $out, $err) = $node->psql($db, ($before // '') . "; INSERT INTO $s->{table} (id) VALUES ($id)",
        extra_params => [ '-U', $s->{owner} ], timeout => 60, timed_out => \my $hangs);
    return "FAILED $err" if $hangs || $rc != 0;
    return join ' ', slurp_file($node->logfile, $from) =~ /^(\w{5}) WARNING: +sign-up was not recorded for usage tracking/mg;
}

sub count
{
    my ($db, $table, $column, $id) = @_;
    return $node->safe_psql($db, "SELECT count(*) FROM $table WHERE $column = $id");
}

foreach my $name (sort keys %shape)
{
    my $s = $shape{$name};
    $node->safe_psql('postgres', "CREATE DATABASE $name");
    $node->safe_psql($name, 'CREATE SCHEMA usage; CREATE EXTENSION usage_tracking SCHEMA usage');
    $node->safe_psql($name, $s->{sql});
    is($node->safe_psql($name, "SELECT usage.attach_users('$s->{table}')"), 0, "$name: attached");

    foreach my $case (@breakages)
    {
        my ($what, $break, $mend, $state) = @$case;
        my $id = new_id();
        $break =~ s/:id/$id/;
        $node->safe_psql($name, $break);
        my $warned = sign_up($name, $s, $id);
        if ($state eq '!') { like($warned, qr/^\w{5}$/, "$name: $what: a sign-up is a warning") }
        else { is($warned, $state, "$name: $what: a sign-up is " . ($state ? "a warning $state" : 'no matter')) }
        is(count($name, $s->{table}, 'id', $id), 1, "$name: $what: the user is there");
        $node->safe_psql($name, $mend);
        is($node->safe_psql($name, "SELECT usage.attach_users('$s->{table}')"), $state ? 1 : 0,
            "$name: $what: attach_users() adds who is missing");
        is(count($name, 'usage.user_subscriptions', 'user_id', $id), 1, "$name: $what: he is known then");
        is(sign_up($name, $s, my $next = new_id()), '', "$name: $what: the next one is no matter");
        is(count($name, 'usage.user_subscriptions', 'user_id', $next), 1, "$name: $what: and is known");
    }

    foreach my $case (@sessions)
    {
        my ($what, $set, $state) = @$case;
        my $id = new_id();
        is(sign_up($name, $s, $id, $set), $state, "$name: a session with $what");
        is(count($name, 'usage.user_subscriptions', 'user_id', $id), 1, "$name: $what: the user is known");
    }
}

# A row without an id is nobody; those before and after it in the statement are
# known, and the transaction goes on.
my ($one, $two, $three) = (new_id(), new_id(), new_id());
my $from = -s $node->logfile;
$node->safe_psql('plain', "BEGIN; INSERT INTO members (id) VALUES ($one), (NULL), ($two);
    INSERT INTO members (id) VALUES ($three); COMMIT");
like(slurp_file($node->logfile, $from), qr/^22004 WARNING: +sign-up was not recorded/m, 'a row without an id: a warning');
is($node->safe_psql('plain', "SELECT count(*) FROM usage.user_subscriptions WHERE user_id IN ($one, $two, $three)"), 3,
    'a row without an id: the others are known');

# A key conflict nobody can see: at REPEATABLE READ it is a serialization
# failure inside the trigger, and still no matter for the sign-up.
my $seen = new_id();
$from = -s $node->logfile;
$node->safe_psql('plain', "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;
\\! psql -Xqc \"INSERT INTO usage.user_subscriptions (user_id) VALUES ($seen)\" plain
INSERT INTO members (id) VALUES ($seen); COMMIT");
is(count('plain', 'members', 'id', $seen), 1, 'a serialization failure in the trigger: the user is there');
like(slurp_file($node->logfile, $from), qr/^40001 WARNING: +sign-up was not recorded/m, 'and it was a warning');

# Our schema is renamed, and somebody else has its name now: the triggers call
# our functions all the same, and never his.
my $moved = new_id();
$node->safe_psql('plain', 'ALTER SCHEMA usage RENAME TO usage_old; GRANT CREATE ON DATABASE plain TO regress_ut_nobody;
    SET ROLE regress_ut_nobody; CREATE SCHEMA usage; GRANT USAGE ON SCHEMA usage TO public;
    CREATE TABLE usage.called (by name); GRANT INSERT ON usage.called TO public;
    CREATE FUNCTION usage._check_id_column(oid, text) RETURNS void LANGUAGE sql AS $$ INSERT INTO usage.called VALUES (current_user) $$;
    CREATE FUNCTION usage._record_signup(uuid) RETURNS void LANGUAGE sql AS $$ INSERT INTO usage.called VALUES (current_user) $$');
$node->safe_psql('plain', "INSERT INTO members (id) VALUES ($moved)");
is(count('plain', 'usage_old.user_subscriptions', 'user_id', $moved), 1, 'the schema is renamed: the sign-up is recorded');
$node->safe_psql('plain', "DELETE FROM members WHERE id = $moved");
is(count('plain', 'usage_old.deleted_users', 'user_id', $moved), 1, 'and the deletion is marked');
is($node->safe_psql('plain', 'SELECT count(*) FROM usage.called'), 0, 'nothing of whoever took the name was called');
$node->safe_psql('plain', 'DROP SCHEMA usage CASCADE; ALTER SCHEMA usage_old RENAME TO usage');

# The id column is renamed: sign-ups go on, and detaching and attaching mends it.
$node->safe_psql('plain', 'ALTER TABLE members RENAME id TO uid');
$from = -s $node->logfile;
$node->safe_psql('plain', 'INSERT INTO members (uid) VALUES (' . new_id() . ')');
like(slurp_file($node->logfile, $from), qr/^42703 WARNING: +sign-up was not recorded/m, 'the id column is renamed: a warning');
is($node->safe_psql('plain', "SELECT usage.detach_users(); SELECT usage.attach_users('members', 'uid')"), "\n1",
    'attached anew, he is added');

# Deletions need no library, and fail rather than lose their mark.
$node->safe_psql('plain', $breakages[0][1]);
$node->safe_psql('plain', "DELETE FROM members WHERE uid = $one");
is(count('plain', 'usage.deleted_users', 'user_id', $one), 1, 'a deletion without the library writes its mark');
$node->safe_psql('plain', $breakages[0][2]);
$node->safe_psql('plain', 'ALTER TABLE usage.deleted_users RENAME TO leavers');
my ($rc) = $node->psql('plain', "DELETE FROM members WHERE uid = $two");
isnt($rc, 0, 'a deletion that cannot be marked fails');
is(count('plain', 'members', 'uid', $two), 1, 'and the user is still there');
$node->safe_psql('plain', 'ALTER TABLE usage.leavers RENAME TO deleted_users');

$node->stop;
done_testing();
