# Upkeep in the background: it is done, and nothing that happens to a database
# stops it, is kept from happening by it, or fills the log.
#
# Each database has a clock of its own, which is set ahead: the months that upkeep
# makes then say that it was there, and after what.  A database that does not exist
# is told of once: with a new name in the list the log says that a round has begun.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use OpenSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $preload = "shared_preload_libraries = 'usage_tracking'\nusage_tracking.worker_interval = '1s'\n";
my $node = PostgreSQL::Test::Cluster->new('worker');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "${preload}restart_after_crash = on\nmax_worker_processes = 8\n");
$node->start;

my $launchers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'usage_tracking launcher' AND datid IS NULL};
my $workers = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'usage_tracking worker' AND wait_event = 'PgSleep'};
my ($year, $ghosts) = (2031, 0);

sub sql { my ($database, @commands) = @_; $node->safe_psql($database, $_) foreach @commands; return }
sub ask { return $node->safe_psql(@_) }

# It begins to look after these databases, and no others.
sub look_after
{
    my ($of, @names) = @_;
    my $ghost = 'ghost' . ++$ghosts;
    my $list = join ', ', map({ qq{"$_"} } @names), $ghost;
    my $offset = -s $of->logfile;
    $of->safe_psql('postgres', "ALTER SYSTEM SET usage_tracking.worker_databases = '$list'");
    $of->reload;
    return $of->wait_for_log(qr/database "$ghost": it does not exist/, $offset);
}

# It is later in that database; true when upkeep has made the months of then.
sub later
{
    my ($of, $database) = @_;
    $of->safe_psql('postgres', sprintf q{ALTER DATABASE "%s" SET usage_tracking.clock = '%d-05-10 12:00+00'}, $database, ++$year);
    return;
}

sub has_months
{
    my ($of, $database, $schema) = @_;
    return $of->poll_query_until($database, qq{SELECT to_regclass('"$schema".usage_events_${year}_07') IS NOT NULL});
}

sub is_maintained
{
    my ($of, $database, $schema) = @_;
    later($of, $database);
    return has_months($of, $database, $schema);
}

sub times_logged
{
    my ($what) = @_;
    my @times = slurp_file($node->logfile) =~ /$what/g;
    return scalar @times;
}

# What is done makes it say something.
sub tells
{
    my ($told, $done) = @_;
    my $offset = -s $node->logfile;
    $done->();
    return ok(eval { $node->wait_for_log($told, $offset); 1 }, "it says $told");
}

# ---- it works ----

is(ask('postgres', 'SHOW usage_tracking.worker_databases'), '', 'off by default');
ok($node->poll_query_until('postgres', $launchers, '1'), 'the launcher is there, connected to no database');

sql('postgres', 'CREATE ROLE keeper SUPERUSER', 'CREATE DATABASE one', 'CREATE DATABASE "Odd Two"', 'CREATE DATABASE bare',
    'CREATE DATABASE closed ALLOW_CONNECTIONS false',
    q{ALTER DATABASE one SET default_transaction_isolation = 'serializable'}, q{ALTER DATABASE one SET search_path = nowhere});
sql('one', 'SET ROLE keeper; CREATE SCHEMA usage; CREATE EXTENSION usage_tracking SCHEMA usage');
sql('Odd Two', 'CREATE SCHEMA "Usage of two"; CREATE EXTENSION usage_tracking_text SCHEMA "Usage of two"');

# Something of the application's that runs at the end of upkeep: who is it, and can
# it become somebody else?  It waits while there is a role gate: roles are of all
# databases, so nobody has to be connected to the one for that.
sub ask_at_end
{
    my ($database, $schema) = @_;
    sql($database, <<SQL);
CREATE TABLE IF NOT EXISTS public.asked (who text, answer text);
CREATE OR REPLACE FUNCTION public.at_end() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
    WHILE EXISTS (SELECT FROM pg_roles WHERE rolname = 'gate') LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
    BEGIN
        SET SESSION AUTHORIZATION DEFAULT;
        INSERT INTO public.asked VALUES (current_user, 'became somebody');
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO public.asked VALUES (current_user, SQLERRM);
    END;
    RETURN NULL;
END \$\$;
CREATE CONSTRAINT TRIGGER at_end AFTER DELETE ON "$schema".usage_keys DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.at_end();
SQL
    return;
}
ask_at_end('one', 'usage');

# It leaves a key of long ago.
sub use_with_key
{
    my ($database, $schema) = @_;
    sql($database, qq{SET usage_tracking.clock = '2029-01-02 12:00+00'; SET search_path = "$schema"; SELECT define_usage_limit('calls', 'call', 9),
        consume_usage('00000000-0000-0000-0000-000000000007', 'call', idempotency_key => 'k')});
    return;
}
use_with_key('one', 'usage');
is(ask('one', 'SELECT count(*) FROM usage.usage_keys'), '1', 'a key is there');

look_after($node, qw(one missing bare closed), 'Odd Two');
ok(is_maintained($node, 'one', 'usage'), 'months are made, by the clock of the database');
ok($node->poll_query_until('one', 'SELECT count(*) = 0 FROM usage.usage_keys'), 'old keys go');
ok(is_maintained($node, 'Odd Two', 'Usage of two'), 'in the other database too, where other names and types are');
is(ask('one', 'SELECT DISTINCT who, answer FROM public.asked'), 'keeper|cannot set parameter "session_authorization" within security-definer function',
    'it runs as the owner of the extension to the very end, and can become nobody else');

# Several rounds later.
look_after($node, qw(one missing bare closed), 'Odd Two') foreach 1 .. 3;
is(times_logged(qr/"missing": it does not exist/), 1, 'a database that is missing is told of once');
is(times_logged(qr/"bare": the extension is not installed there/), 1, 'one without the extension too');
is(times_logged(qr/"closed": it is not accepting connections/), 1, 'and one that takes no connections');
is(times_logged(qr/FATAL:|exited with exit code|ERROR:.*usage_tracking/), 0, 'no worker failed');

tells(qr/usage_tracking maintains database "bare" again/, sub { sql('bare', 'CREATE SCHEMA u; CREATE EXTENSION usage_tracking_bigint SCHEMA u') });
ok(is_maintained($node, 'bare', 'u'), 'a database that has it now is looked after');

look_after($node, 'one');
later($node, 'bare');
look_after($node, 'one') foreach 1 .. 2;
is(ask('bare', "SELECT to_regclass('u.usage_events_${year}_07') IS NULL"), 't', 'one that is not in the list any more is not');

# ---- whatever happens to the extension ----

tells(qr/"one": the extension is not installed there/, sub { sql('one', 'DROP EXTENSION usage_tracking') });
tells(qr/"one": extension "usage_tracking" has version 0.1.0, but its library has version/,
    sub { sql('one', q{CREATE EXTENSION usage_tracking SCHEMA usage VERSION '0.1.0'}) });
tells(qr/usage_tracking maintains database "one" again/, sub { sql('one', 'ALTER EXTENSION usage_tracking UPDATE') });
ok(is_maintained($node, 'one', 'usage'), 'it is dropped, made again in an old version, and updated');

# A step that fails, and warns: who looks into the log is told, but not each time.
sql('one', q{
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'a warning'; RAISE 'a trigger says no'; END $$;
    CREATE TRIGGER refuse BEFORE DELETE ON usage.usage_keys FOR EACH ROW EXECUTE FUNCTION public.refuse()});
tells(qr/could not maintain database "one": a trigger says no/, sub { use_with_key('one', 'usage') });
look_after($node, 'one') foreach 1 .. 3;
is(times_logged(qr/could not maintain database "one": a trigger says no/), 1, 'a step that fails is told of once');
cmp_ok(times_logged(qr/WARNING:  a warning/), '<=', 1, 'and its warnings are not repeated');
tells(qr/maintains database "one" again/, sub { sql('one', 'DROP TRIGGER refuse ON usage.usage_keys') });
ok($node->poll_query_until('one', 'SELECT count(*) = 0 FROM usage.usage_keys'), 'what had failed is done');

tells(qr/could not maintain database "one"/, sub { sql('one', 'ALTER SCHEMA usage RENAME TO "else"') });
tells(qr/maintains database "one" again/, sub { sql('one', 'ALTER SCHEMA "else" RENAME TO usage') });

# ---- whatever happens to its processes, and to its databases ----

# A worker that waits at the end of its work.
sub waiting_worker
{
    my ($database, $schema) = @_;
    sql('postgres', 'CREATE ROLE gate');
    later($node, $database);
    use_with_key($database, $schema);
    for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
    {
        my $pid = ask('postgres', "$workers AND datname = '$database'");    # it wakes up now and then
        return $pid if $pid =~ /^\d+$/;
        usleep(100_000);
    }
    die 'no worker waits';
}
sub let_it_go { return sql('postgres', 'DROP ROLE gate') }

ask_at_end($_->[0], $_->[1]) foreach [ 'one', 'usage' ], [ 'Odd Two', 'Usage of two' ];
my $pid = waiting_worker('one', 'usage');
tells(qr/FATAL:  terminating background worker "usage_tracking worker"/, sub { sql('postgres', "SELECT pg_terminate_backend($pid)") });
let_it_go();
ok(has_months($node, 'one', 'usage'), 'a worker is terminated, and another comes');

my $first = ask('postgres', $launchers =~ s/count\(\*\)/pid/r);
sql('postgres', "SELECT pg_terminate_backend($first)");
ok($node->poll_query_until('postgres', "$launchers AND pid <> $first", '1'), 'the launcher is terminated, and another comes');
ok(is_maintained($node, 'one', 'usage'), 'which goes on');

$pid = waiting_worker('one', 'usage');
tells(qr/database system is ready to accept connections/, sub { kill 'KILL', $pid });
$node->poll_query_until('postgres', 'SELECT true');
let_it_go();
ok(has_months($node, 'one', 'usage'), 'a worker is killed, the server begins again, and so does the launcher');

look_after($node, 'one', 'Odd Two');
waiting_worker('Odd Two', 'Usage of two');
my $session = OpenSession->new($node->connstr('postgres'));
$session->send('DROP DATABASE "Odd Two"');
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_locks WHERE classid = 'pg_database'::regclass AND mode = 'AccessExclusiveLock' AND granted})
  or die 'nothing is dropped';
let_it_go();
is($session->answer, '', 'a database is dropped while upkeep is at work there');
ok($node->wait_for_log(qr/"Odd Two": it does not exist/), 'which is noticed');

sql('postgres', 'CREATE DATABASE copy TEMPLATE one');
pass('a database is copied while it is looked after');
look_after($node, qw(copy one));
waiting_worker('copy', 'usage');
is(ask('postgres', 'DROP DATABASE copy WITH (FORCE)'), '', 'a database is dropped by force');
let_it_go();
ok(is_maintained($node, 'one', 'usage'), 'and nothing of that concerns the others');

# ---- a server without room for it, and others ----

my ($status, $out, $err) = $node->psql('postgres', q{ALTER SYSTEM SET usage_tracking.worker_databases = 'one,,two'});
like($err, qr/invalid value for parameter "usage_tracking.worker_databases"/, 'what is no list is refused');

$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
tells(qr/usage_tracking cannot start a worker: too many background workers/, sub { $node->restart });
look_after($node, 'one') foreach 1 .. 3;
is(times_logged(qr/too many background workers/), 1, 'that there is no room for a worker is told of once');
$node->append_conf('postgresql.conf', 'max_worker_processes = 8');
$node->restart;
ok(is_maintained($node, 'one', 'usage'), 'where there is room it works');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$node->backup('base');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $launchers), '0', 'a standby has no launcher');
$node->stop;
$standby->promote;
ok($standby->poll_query_until('postgres', $launchers, '1'), 'until it is promoted');
ok(is_maintained($standby, 'one', 'usage'), 'and then it is maintained');
$standby->stop;

my $plain = PostgreSQL::Test::Cluster->new('plain');
$plain->init;
$plain->append_conf('postgresql.conf', "shared_preload_libraries = ''\nusage_tracking.worker_databases = 'postgres'");
$plain->start;
is($plain->safe_psql('postgres', "LOAD 'usage_tracking'; SHOW usage_tracking.worker_databases; SHOW usage_tracking.worker_interval"), "postgres\n1min",
    'without preloading the settings are there');
is($plain->safe_psql('postgres', q{CREATE SCHEMA usage; CREATE EXTENSION usage_tracking SCHEMA usage;
    SELECT done FROM usage.usage_maintenance() WHERE task = 'partitions'}), '3', 'and everything else');
is($plain->safe_psql('postgres', $launchers), '0', 'but no launcher');
$plain->stop;
done_testing();
