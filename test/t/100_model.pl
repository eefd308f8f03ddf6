# Random operations against a plain model, the same answer at each step.
#
# Uses, facts (late ones too), reservations and what becomes of them, reversals,
# adjustments, batches, keys that come again, savepoints and rollbacks, changes of
# limits, plans, overrides and clocks, while time goes on by minutes or months, or
# stops at the very instant at which something ends.  Each answer is compared with
# that of UsageModel.pm, which knows nothing but lists of events and reservations;
# each few hundred operations all that was recorded, the view user_usage and
# reconcile_usage() as well.
#
# UT_MODEL_OPS (2000) is how many operations there are, UT_MODEL_SEED repeats a
# run.  One session at a time, so nothing here is about concurrency (test/specs,
# test/stress).
use strict;
use warnings;
use integer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use UsageOperations;

use constant OPERATIONS_PER_ROUND => 400;    # then other users come

my $operations = $ENV{UT_MODEL_OPS} || 2000;
my $seed = $ENV{UT_MODEL_SEED} || int(CORE::time() ^ $$ << 10) % 1_000_000_000;
diag("UT_MODEL_SEED=$seed UT_MODEL_OPS=$operations");
srand($seed);

# An event is known by its cost, which no limit counts: a number of its own.
my $setup = <<'SQL';
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.install_default_plans();
SELECT usage.create_usage_partition(('2026-01-01'::date + make_interval(months => n))::date) FROM generate_series(0, 60, 2) AS n;
CREATE SCHEMA model;
CREATE FUNCTION model.event_id(who uuid, tag numeric) RETURNS bigint LANGUAGE sql AS
$$ SELECT id FROM usage.usage_events WHERE user_id = who AND status <> 'correction' AND cost = tag $$;
CREATE FUNCTION model.hold_id(who uuid, tag numeric) RETURNS bigint LANGUAGE sql AS
$$ SELECT coalesce((SELECT id FROM usage.usage_reservations WHERE user_id = who AND cost = tag), 0) $$;
CREATE FUNCTION model.tag_of_event(who uuid, event bigint) RETURNS numeric LANGUAGE plpgsql AS
$$ BEGIN RETURN (SELECT cost FROM usage.usage_events WHERE user_id = who AND id = event); END $$;
CREATE FUNCTION model.tag_of_hold(who uuid, hold bigint) RETURNS numeric LANGUAGE plpgsql AS
$$ BEGIN RETURN (SELECT cost FROM usage.usage_reservations WHERE user_id = who AND id = hold); END $$;
CREATE FUNCTION model.say(d usage.usage_decision, tag numeric DEFAULT NULL) RETURNS text LANGUAGE sql AS
$$ SELECT array_to_string(ARRAY[d.allowed::text::char, d.reason, tag::text, d.limit_type, trim_scale(d.used)::text, trim_scale(d.max_usage)::text,
     trim_scale(d.remaining)::text, d.reset_at::text, d.retry_after::text], '|', '-') $$;
CREATE FUNCTION model.say_event(who uuid, d usage.usage_decision) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN RETURN model.say(d, model.tag_of_event(who, d.id)); END $$;
CREATE FUNCTION model.say_hold(who uuid, d usage.usage_decision) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN RETURN model.say(d, model.tag_of_hold(who, d.id)); END $$;
SQL

# What psql prints for each step, and the SQLSTATE it ends with.
sub run_steps
{
    my ($node, @steps) = @_;
    my $script = join '', map { "$_->[0];\n\\echo =:SQLSTATE\n" } @steps;
    my ($out, $err) = ('', '');
    IPC::Run::run([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-v', 'ON_ERROR_ROLLBACK=on', '-P', 'null=-', '-f', '-' ],
        '<', \$script, '>', \$out, '2>', \$err)
        or BAIL_OUT("psql: $err");
    my @answers = split /^=([0-9A-Z]{5})\n/m, $out;
    return map { [ $answers[ 2 * $_ ] // '', $answers[ 2 * $_ + 1 ] // 'nothing' ] } 0 .. $#steps;
}

sub first_difference
{
    my ($steps, $answers) = @_;
    for my $i (0 .. $#$steps)
    {
        my ($text, $state) = @{ $answers->[$i] };
        my $got = $state eq '00000' ? $text : "!$state\n";
        return $i if $got ne (defined $steps->[$i][1] ? "$steps->[$i][1]\n" : '');
    }
    return;
}

sub show
{
    my ($i, $steps, $answers) = @_;
    diag("step $_: $steps->[$_][0]\nexpected: " . ($steps->[$_][1] // '') . "\ngot: $answers->[$_][0] $answers->[$_][1]")
        for ($i < 12 ? 0 : $i - 12) .. $i;
    return;
}

my $node = PostgreSQL::Test::Cluster->new('model');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'\ndatestyle = 'ISO, YMD'\nautovacuum = off\njit = off\nstatement_timeout = '60s'\n");
$node->start;
$node->safe_psql('postgres', $setup);

$node->safe_psql('postgres', join ';', UsageOperations::begin());

my ($done, $asked) = (0, 0);
for (my $round = 1; $done < $operations; $round++)
{
    my @steps = UsageOperations::steps_of_round($round, OPERATIONS_PER_ROUND);
    my @answers = run_steps($node, @steps);
    my $i = first_difference(\@steps, \@answers);
    $done += OPERATIONS_PER_ROUND;
    $asked += @steps;
    next if !defined $i;
    show($i, \@steps, \@answers);
    fail("round $round: the model and the extension differ, with UT_MODEL_SEED=$seed");
    last;
}
ok($done >= $operations, "$done operations, $asked questions");
is($node->safe_psql('postgres', 'SELECT count(*) FROM usage.reconcile_usage()'), 0, 'counters are equal to events');
my %seen = %UsageOperations::seen;
is(join(' ', grep { !$seen{$_} } qw(ok unlimited overage replayed not_enforced limit_reached held expired UT001 UT004 UT005 UT006 22023 batch)),
    '', 'there was something of everything: ' . join ', ', map { "$seen{$_} $_" } sort keys %seen);
$node->stop;
done_testing();
