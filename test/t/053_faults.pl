# Whatever happens at whichever point of what memory is used for: nothing is counted
# twice, nothing is lost, nobody hangs, and the limit is reached exactly.
#
# The library is built with its fault points (src/faults.h).  At each, an error is
# raised, the session ends, its process is killed, or it waits, in the shapes below;
# the list of points is read from the sources, and one that no story comes by is a
# failure.  With UT_FAULT_SHAPES=all each is tried in each of its shapes, else in two;
# UT_FAULT_PLACES is a pattern of some places.
# Each user of a story may use 50, and uses them up at the end.
use strict;
use warnings;

use FindBin;
use IPC::Run;
use lib $FindBin::RealBin;
use MemoryStories;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use ServerTree;
use SourceTree;
use Test::More;

plan skip_all => 'there is no compiler' if system('cc --version >/dev/null 2>&1') != 0;

my $all_shapes = ($ENV{UT_FAULT_SHAPES} // '') eq 'all';
my $only = $ENV{UT_FAULT_PLACES} // '';
my $turn = 0;
my $root = "$FindBin::RealBin/../..";
my $work = PostgreSQL::Test::Utils::tempdir();
my $server = ServerTree::make("$work/server");
$ENV{PATH} = "$server->{bindir}:$ENV{PATH}";
$ENV{PG_CONFIG} = $server->{pg_config};

copy_tree($root, "$work/tree");
my $version = version_of("$work/tree");
make_in("$work/tree", 'install', 'COPT=-O0', qq(PG_CPPFLAGS=-DUT_VERSION='"$version"' -DUT_FAULTS));

# PLACE => whether an error may be raised there
my %may_fail;
foreach my $file (glob "$root/src/*.c")
{
    my $text = slurp_file($file);
    while ($text =~ /^\s+(fault|stall)\(([^;]*)\);/mg)
    {
        my ($kind, $places) = ($1, $2);
        $may_fail{$_} = $kind eq 'fault' foreach $places =~ /"([^"]+)"/g;
    }
}
cmp_ok(scalar(keys %may_fail), '>', 30, 'there are fault points');

my $node = PostgreSQL::Test::Cluster->new('faults', install_path => dirname_of($server->{bindir}));
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
max_prepared_transactions = 40
restart_after_crash = on
autovacuum = off
timezone = 'UTC'
deadlock_timeout = 200ms
statement_timeout = 60s
usage_tracking.rate_slots = 16
CONF
$node->start;
memory_is(1000);
stories_on($node);
value($helpers . <<'SQL');
SELECT usage.define_usage_limit('renders', 'render', 2, 'gauge'), usage.define_rate_limit('api', 5, '1 day', 5);

/* Until somebody waits for the end of this transaction, or of a prepared one. */
CREATE FUNCTION await_waiter(who xid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid' AND transactionid = who) LOOP
        PERFORM pg_sleep(0.005);
    END LOOP;
END
$$;
CREATE PROCEDURE await_story(n integer) LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = n) LOOP
        PERFORM pg_sleep(0.005);
    END LOOP;
END
$$;

/* What is wrong after a story: reads, then takes all there is, then reads again. */
CREATE FUNCTION wrong(who uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text := faults(who);
    places integer;
BEGIN
    PERFORM use_up(who);
    WHILE (usage.consume_usage(who, 'photo', 0.01)).allowed LOOP
    END LOOP;
    result := concat_ws('; ', result, nullif(use_up(who), 'limit_reached ever 50'), faults(who));
    WHILE (usage.acquire_lease(who, 'renders')).allowed LOOP
    END LOOP;
    SELECT count(*) INTO places FROM usage.usage_leases WHERE user_id = who AND expires_at > clock_timestamp();
    IF places <> 2 THEN
        result := concat_ws('; ', result, places || ' leases');
    END IF;
    places := 0;
    WHILE (usage.consume_rate_limit(who, 'api')).allowed LOOP
        places := places + 1;
    END LOOP;
    IF places > 5 THEN
        result := concat_ws('; ', result, places || ' requests');
    END IF;
    RETURN nullif(result, '');
END
$$;
SQL

sub dirname_of { return $_[0] =~ s{/[^/]+$}{}r }
sub use_of { my ($id, $n, $more) = @_; return "SELECT (usage.consume_usage('$id', 'photo', $n" . ($more // '') . ')).reason;' }

sub memory_is
{
    my ($slots) = @_;
    $node->append_conf('postgresql.conf', "shared_preload_libraries = 'usage_tracking'\nusage_tracking.counter_slots = $slots");
    $node->restart;
    return;
}

# ---- stories ----
#
# op       comes by the places, for a user; before: what is committed by then
# ahead    is prepared by then as "h"; once the operation waits for it, it ends as said
# at       the way the transaction ends, if it is not COMMIT
# shapes   those in which it comes by
my @all = qw(alone savepoint deep prepared undone waiting);
my @to_the_end = qw(alone deep waiting);
my @prepared = qw(prepared undone);
my $used = sub { use_of($_[0], 2) };
my $once = sub { use_of($_[0], 1) };
my @stories = (
    { places => [ 'take', 'taking', 'taken' ], before => $used, op => $once },
    { places => [ 'read', 'brought', 'row begins', 'row', 'row made' ], op => $once },
    { places => [ 'late', 'counts to' ], before => $used,
      op => sub { "SELECT usage.track_usage('$_[0]', 'photo', 1, occurred_at => (SELECT min(occurred_at) FROM usage.usage_events WHERE user_id = '$_[0]'));" } },
    # Who brings events keeps uses out: who waits would wait for each other, and nobody else has used by then
    { places => [ 'forgotten', 'bypassing', 'bypass', 'whole', 'past' ], before => $used, shapes => [ qw(alone savepoint deep prepared undone) ], keeps_out => 1,
      op => sub { <<"SQL" . use_of($_[0], 1) } },
INSERT INTO usage.usage_events (id, user_id, usage_type, status, quantity, tokens, cost, occurred_at)
VALUES (nextval('usage.usage_events_id_seq'), '$_[0]', 'photo', 'success', 1, 0, 0, clock_timestamp());
SQL
    { places => [ 'folding', 'fold', 'folded' ], before => $used, shapes => \@to_the_end,
      op => sub { "SELECT count(usage.consume_usage('$_[0]', 'photo', 0.1)) FROM generate_series(1, 35);" } },
    { places => ['subtransaction aborted'], before => $used, op => sub { 'SAVEPOINT x; ' . use_of($_[0], 1) . 'ROLLBACK TO x;' } },
    { places => ['subtransaction committed'], before => $used, op => sub { 'SAVEPOINT x; ' . use_of($_[0], 1) . 'RELEASE x;' } },
    { places => ['hangs'], before => $used, op => sub { use_of($_[0], 20) }, ahead => sub { use_of($_[0], 29) }, then => 'ROLLBACK' },
    # four fifths of what there is are an alert
    { places => ['looking'], before => $used, op => sub { use_of($_[0], 15) }, ahead => sub { use_of($_[0], 29) }, then => 'ROLLBACK' },
    { places => [ 'giving back', 'given back' ], before => $used, op => sub { use_of($_[0], 1, ", idempotency_key => 'k'") },
      ahead => sub { use_of($_[0], 1, ", idempotency_key => 'k'") }, then => 'COMMIT' },
    { places => ['settled'], op => $once,
      before => sub { use_of($_[0], 2) . "BEGIN;" . use_of($_[0], 3) . "PREPARE TRANSACTION 's'; COMMIT PREPARED 's';" } },
    { places => [ 'commit', 'committed' ], before => $used, op => $once, shapes => \@to_the_end },
    { places => ['aborted'], before => $used, op => $once, at => 'ROLLBACK', shapes => \@to_the_end },
    { places => [ 'prepare', 'prepared', 'left prepared' ], before => $used, op => $once, shapes => \@prepared },
    { places => [ 'adding', 'added' ], before => $used, op => sub { "SELECT usage.adjust_usage('$_[0]', 'ever', 7);" } },
    { places => [ 'lease', 'lease written' ], op => sub { "SELECT (usage.acquire_lease('$_[0]', 'renders', '1 day')).reason;" } },
    { places => ['pulse'], op => sub { "SELECT (usage.acquire_lease('$_[0]', 'renders', NULL)).reason;" } },
    { places => ['lease locked'], before => sub { "SELECT usage.acquire_lease('$_[0]', 'renders', '1 day');" },
      op => sub { "SELECT usage.renew_lease(user_id, id, '2 days') FROM usage.usage_leases WHERE user_id = '$_[0]' AND released_at IS NULL;" } },
    { places => [ 'rate takes', 'rate taken' ], op => sub { "SELECT (usage.consume_rate_limit('$_[0]', 'api')).reason;" } },
    { places => ['rate leaves'], before => sub { "SELECT count(usage.consume_rate_limit(gen_random_uuid(), 'api')) FROM generate_series(1, 40);" },
      op => sub { "SELECT (usage.consume_rate_limit('$_[0]', 'api')).reason;" } },
);
my @little_room = (
    { places => [ 'evicted', 'brought', 'read' ], op => $once,
      before => sub { "SELECT count(usage.consume_usage(gen_random_uuid(), 'photo')) FROM generate_series(1, 4);" } },
    { places => [ 'take', 'taken', 'row' ], op => $once },
);

# ---- shapes: another user is used of before, and the transaction ends somehow ----

my $story_number = 0;
my %reached;

sub script
{
    my ($shape, $story, $fault, $other, $id) = @_;
    my $op = "SET usage_tracking.fault = '$fault'; " . $story->{op}->($id);
    my $after = "SET usage_tracking.fault = ''; " . use_of($id, 1);
    my $end = $story->{at} // 'COMMIT';
    return "BEGIN; SAVEPOINT s; $op ROLLBACK TO s; $after COMMIT;" if $shape eq 'savepoint';
    # What a subtransaction set is gone before the transaction aborts
    my $begin = ($story->{at} ? "SET usage_tracking.fault = '$fault'; " : '') . 'BEGIN; ' . ($shape eq 'alone' ? '' : use_of($other, 30));
    return "$begin $op PREPARE TRANSACTION 'p';" if $shape eq 'prepared' || $shape eq 'undone';
    $begin .= join '', map { "SAVEPOINT s$_; " . use_of($other, 0.01) } 1 .. 70 if $shape eq 'deep';
    $begin .= "SELECT pg_advisory_lock($story_number); SELECT await_waiter(pg_current_xact_id()::xid);" if $shape eq 'waiting';
    return "$begin $op $end;" if $shape ne 'deep' || $end ne 'COMMIT' || grep { /^commit|^fold/ } @{ $story->{places} };
    # An error undoes what was done since, in half of the subtransactions
    return "$begin $op \\if :ERROR\n ROLLBACK TO s30; $after \\endif\n COMMIT;";
}

sub begin_psql
{
    my @statements = @_;
    my %psql = (out => '', err => '');
    $psql{run} = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), map { ('-c', $_) } @statements ],
        '<', \undef, '>', \$psql{out}, '2>', \$psql{err}, IPC::Run::timeout(90));
    return \%psql;
}

sub end_psql
{
    my ($psql) = @_;
    ok(eval { $psql->{run}->finish; 1 }, 'nobody hangs') or $psql->{run}->kill_kill;
    return;
}

# Whoever asks too early is answered by the server that is about to end.
sub has_ended
{
    my ($from) = @_;
    foreach (1 .. 3000)
    {
        return 1 if slurp_file($node->logfile, $from) =~ /all server processes terminated/;
        select(undef, undef, undef, 0.01);
    }
    return 0;
}

sub quietly { $node->psql('postgres', $_[0], on_error_stop => 0); return }

# Runs one; returns the users it had.
sub run_story
{
    my ($story, $place, $action, $shape) = @_;
    my ($title, $n) = ("$place, $action, $shape", ++$story_number);
    my ($id, $other, $kept) = map { new_user(0) } 1 .. 3;
    my $begin = use_of($other, 2) . use_of($kept, 2) . ($story->{before} ? $story->{before}->($id) : '');
    $begin .= 'BEGIN; ' . $story->{ahead}->($id) . "PREPARE TRANSACTION 'h';" if $story->{ahead};
    my $is_kept = $action eq 'die' && !$story->{keeps_out};
    $begin .= 'BEGIN; ' . use_of($kept, 30) . "PREPARE TRANSACTION 'kept';" if $is_kept;
    value($begin);

    my (@beside, $waiter);
    push @beside, $waiter = begin_psql("CALL await_story($n)", use_of($other, 20)) if $shape eq 'waiting';
    # Only who comes by the place after he has waited needs it in time
    push @beside, begin_psql("SELECT await_waiter(transaction) FROM pg_prepared_xacts WHERE gid = 'h'", "$story->{then} PREPARED 'h'")
        if $story->{ahead} && ($action eq '5' || $story->{then} eq 'COMMIT');
    my $log_before = -s $node->logfile;
    my ($status, $out, $err) = $node->psql('postgres', script($shape, $story, "$place $action", $other, $id)
            . "\nSELECT 'waited ' || current_setting('usage_tracking.faults');", on_error_stop => 0, timeout => 90);
    my $came = $action eq '5' ? $out =~ /^waited [1-9]/m : $action eq 'die' ? $err =~ /closed the connection/
        : $err =~ /\U$action\E: .*fault at "\Q$place\E"/;
    ok($came, "$title: came by") or diag("$out\n$err");
    $reached{$place}{$action} = 1 if $came;
    ok(has_ended($log_before) && $node->poll_query_until('postgres', 'SELECT true'), "$title: the server starts anew") if $action eq 'die';
    end_psql($_) foreach @beside;
    quietly("$story->{then} PREPARED 'h'") if $story->{ahead};
    quietly(($shape eq 'undone' ? 'ROLLBACK' : 'COMMIT') . " PREPARED 'p'") if $shape eq 'prepared' || $shape eq 'undone';
    value("COMMIT PREPARED 'kept'") if $is_kept;
    if ($waiter && $action ne 'die')
    {
        my $sum = value("SELECT trim_scale(sum(quantity)) FROM usage.usage_events WHERE user_id = '$other'");
        is("$sum $waiter->{out}", $sum == 32 ? "32 limit_reached\n" : "22 ok\n", "$title: who waited is answered as it ended")
            or diag($waiter->{err});
    }
    return ($id, $other, $kept);
}

sub check
{
    my ($title, @ids) = @_;
    my $list = join ', ', map { "('$_'::uuid)" } @ids;
    is(value('SELECT * FROM usage.reconcile_usage()'), '', "$title: rows agree");
    is(value("SELECT id, wrong(id) FROM (VALUES $list) AS u (id) WHERE wrong(id) IS NOT NULL"), '', "$title: told what events say, and used to the last unit");
    is(value('SELECT * FROM usage.reconcile_usage()'), '', "$title: rows agree at the end");
    is(value('SELECT count(*) FROM pg_prepared_xacts'), 0, "$title: nothing is left prepared");
    return;
}

# Of many shapes the first and one of the others, by turns.
sub some_of
{
    my ($first, @others) = @_;
    return ($first, $all_shapes || @others < 2 ? @others : $others[ $turn++ % @others ]);
}

sub walk
{
    foreach my $story (@_)
    {
        my $shapes = $story->{shapes} // \@all;
        foreach my $place (@{ $story->{places} })
        {
            next if $place !~ /$only/;
            defined $may_fail{$place} or fail("there is a place \"$place\"");
            my @ids;
            foreach my $action ($may_fail{$place} ? ('error', 'fatal') : (), '5')
            {
                push @ids, run_story($story, $place, $action, $_) foreach some_of(@$shapes);
            }
            my ($last) = reverse @$shapes;
            push @ids, run_story($story, $place, 'die', $last);
            check($place, @ids);
        }
    }
    return;
}

walk(@stories);
memory_is(8);
walk(@little_room);
memory_is(8);
left_and_back();

foreach my $place (grep { /$only/ } sort keys %may_fail)
{
    is(join(' ', sort keys %{ $reached{$place} }), join(' ', sort $may_fail{$place} ? qw(error fatal) : (), '5', 'die'), "something came by \"$place\", whatever happens there");
}
unlike(slurp_file($node->logfile), qr/PANIC|TRAP:|not closed|leak|still referenced|signal (?!9)\d/, 'the log tells of no crash but those, and no leak');
done_testing();

# What a use has read of reservations belongs to a counter that leaves memory and
# comes back meanwhile, as often as it wants: it must notice what was reserved.
sub left_and_back
{
    my %meanwhile = (
        held => "SELECT (usage.reserve_usage('%1\$s', 'photo', 40)).reason;",
        recorded => "SELECT (usage.commit_usage('%1\$s', r.id)).reason FROM usage.reserve_usage('%1\$s', 'photo', 40) AS r;",
        released => "SELECT usage.release_usage('%1\$s', r.id) FROM usage.reserve_usage('%1\$s', 'photo', 40) AS r;",
    );
    my $others = 'SELECT count(usage.consume_usage(gen_random_uuid(), \'photo\')) FROM generate_series(1, 9);';
    foreach my $place ('take', 'read')
    {
        foreach my $what (sort keys %meanwhile)
        {
            foreach my $times (1 .. 3)
            {
                my $title = "$what while at \"$place\", $times times away";
                my $id = new_user(2);
                my $file = "$work/go." . ++$story_number;
                value($others) if $place eq 'read';
                my $use = begin_psql("SET usage_tracking.fault = '$place until $file'", use_of($id, 20));
                ok(wait_for("$file.here"), "$title: a use is there");
                value(sprintf $meanwhile{$what}, $id);
                value($others . "SELECT usage.consume_usage('$id', 'photo', 0.1);") foreach 1 .. $times;
                append_to_file($file, '');
                end_psql($use);
                is($use->{out}, { held => "held\n", recorded => "limit_reached\n", released => "ok\n" }->{$what}, "$title: is decided by what there is") or diag($use->{err});
                value("SELECT usage.release_usage(user_id, id) FROM usage.usage_reservations WHERE user_id = '$id' AND state = 'held'") if $what eq 'held';
                is(value("SELECT wrong('$id')"), '', "$title: exact");
            }
        }
    }
    return;
}

sub wait_for
{
    my ($file) = @_;
    foreach (1 .. 3000)
    {
        return 1 if -e $file;
        select(undef, undef, undef, 0.01);
    }
    return 0;
}
