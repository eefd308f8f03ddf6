# Random credits against a plain model (CreditModel.pm), the same answer at each step.
#
# Grants of all kinds, uses that cost credits, facts, reservations, reversals, refunds,
# overdrafts, references that come again, plans that change and refills of days and
# hours, while time goes on by minutes or days or stops at the instant at which
# something ends.  At the end, and now and then, balances of past instants, the ledger's
# sums and reconcile_usage() too.
#
# UT_CREDIT_OPS (3000) is how many operations there are, UT_CREDIT_SEED repeats a run.
# One session at a time; test/stress/credits.c has many.
use strict;
use warnings;
use integer;
use CreditModel;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant STEPS_PER_ROUND => 1000;

my $operations = $ENV{UT_CREDIT_OPS} || 3000;
my $seed = $ENV{UT_CREDIT_SEED} || int(CORE::time() ^ $$ << 10) % 1_000_000_000;
diag("UT_CREDIT_SEED=$seed UT_CREDIT_OPS=$operations");
srand($seed);

my $node = PostgreSQL::Test::Cluster->new('credits');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nusage_tracking.credits_enabled = on\ntimezone = 'UTC'");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.install_default_plans(), usage.define_usage_type(t) FROM unnest(ARRAY['prompt', 'export', 'clip', 'free_of_credits']) AS t;
SELECT usage.set_credit_cost('prompt', 10), usage.set_credit_cost('export', 50), usage.set_credit_cost('clip', 2.5);
SELECT usage.create_usage_partition(('2026-01-01'::date + make_interval(months => n))::date) FROM generate_series(0, 24) AS n;
CREATE SCHEMA model;
CREATE FUNCTION model.say(d usage.usage_decision) RETURNS text LANGUAGE sql AS
$$ SELECT concat_ws('|', d.allowed::int, d.reason, coalesce(trim_scale(d.remaining)::text, '-')) $$;
SQL

my $model = CreditModel->new(costs => { prompt => 10_000, export => 50_000, clip => 2_500 });
my @steps;    # [ SQL, what it answers ], undef: an error of a bad value
my ($tags, $round) = (0, 0);
my @users;

sub any { return $_[ int rand @_ ] }
sub amount { return any(500, 1000, 2500, 10_000, 33_333, 50_000, 100_000, 250_000) }
sub decimal { my $n = shift; my $s = sprintf '%s%d.%03d', $n < 0 ? '-' : '', abs($n) / 1000, abs($n) % 1000; $s =~ s/\.?0+$// if $s =~ /\./; return $s }
sub instant { return sprintf "'2026-01-01 00:00+00'::timestamptz + '%d minutes'", shift }
sub id_of { return "'" . $_[0] . "'" }
sub step { push @steps, [@_]; return }
sub decision { my ($allowed, $reason, $left) = @_; return join '|', $allowed, $reason, defined $left ? decimal($left) : '-' }

sub new_round
{
    $round++;
    $model->{users} = {};
    @users = map { sprintf '00000000-0000-0000-%04x-%012x', $round, $_ } 1 .. 3;
    for my $user (@users)
    {
        my $offset = any(0, 0, 300, -480);
        my $zone = $offset == 0 ? 'UTC' : $offset > 0 ? 'Etc/GMT-5' : 'Etc/GMT+8';
        $model->add_user($user, offset => $offset, anchor => $model->{now});
        step("SELECT usage.set_user_clock('$user', '$zone', usage._usage_now()), usage.set_user_plan('$user', 'free')", '|');
    }
    return;
}

sub pass_time
{
    my $user = $model->{users}{ any(@users) };
    my @ends = grep { defined && $_ > $model->{now} } map { ($_->{begins}, $_->{ends}, $_->{rolls_until}) } @{ $user->{grants} };
    my $to = $model->{now} + any(1, 10, 60, 500, 1440, 3000, 5 * 1440);
    $to = any(@ends) if @ends && rand() < 0.3;
    $model->{now} = $to < $model->{now} + 30 * 1440 ? $to : $model->{now} + 1440;
    my $now = instant($model->{now});
    step("SELECT set_config('usage_tracking.clock', ($now)::text, false) IS NULL", 'f');
    return;
}

sub set_refill
{
    my $plan = any('free', 'pro', 'team');
    my ($period, $minutes) = @{ any([ '1 day', 1440 ], [ '1 day', 1440 ], [ '1 hour', 60 ]) };
    # a shorter or longer period begins with the next one of the old; both sides agree on that only from there on
    $minutes = $model->{refills}{$plan}{minutes} and $period = $minutes == 60 ? '1 hour' : '1 day' if $model->{refills}{$plan};
    my %refill = (amount => any(0, 20_000, 100_000, 100_000), rollover => any(0, 0, 15_000, 60_000), minutes => $minutes);
    $model->{refills}{$plan} = \%refill;
    push @{ $model->{history}{$plan} }, [ $model->{now}, \%refill ];
    step("SELECT usage.set_credit_refill('$plan', @{[decimal($refill{amount})]}, '$period', @{[decimal($refill{rollover})]})", '');
    return;
}

sub set_plan
{
    my $name = any(@users);
    my $plan = any('free', 'pro', 'team');
    my ($old, $new) = map { exists $model->{refills}{$_} ? $model->{refills}{$_}{minutes} : 0 } $model->{users}{$name}{plan}, $plan;
    return if $old != $new;
    $model->{users}{$name}{plan} = $plan;
    push @{ $model->{users}{$name}{plans} }, [ $model->{now}, $plan ];
    step("SELECT usage.set_user_plan('$name', '$plan')", '');
    return;
}

sub grant
{
    my $name = any(@users);
    my $tag = 't' . ++$tags;
    my $now = $model->{now};
    my %grant = (amount => amount(), priority => any(-1, 0, 0, 0, 7), rollover => 0);
    $grant{begins} = $now + any(5, 1440, 4000) if rand() < 0.2;
    $grant{ends} = ($grant{begins} // $now) + any(1, 60, 1440, 20_000) if rand() < 0.6;
    if ($grant{ends} && rand() < 0.4)
    {
        $grant{rollover} = amount();
        $grant{rolls_until} = $grant{ends} + any(1, 600, 3000);
    }
    my $sql = "usage.grant_credits('$name', @{[decimal($grant{amount})]}, reference_id => '$tag', priority => $grant{priority}"
        . (defined $grant{ends} ? ', expires_at => ' . instant($grant{ends}) : '')
        . (defined $grant{begins} ? ', effective_at => ' . instant($grant{begins}) : '')
        . ($grant{rollover} ? ", max_rollover => @{[decimal($grant{rollover})]}, rollover_until => " . instant($grant{rolls_until}) : '') . ')';
    $model->grant($name, $tag, %grant);
    step("SELECT $sql > 0" . (rand() < 0.2 ? ", $sql IS NULL" : ''), 't');
    $steps[-1][1] .= '|f' if $steps[-1][0] =~ /IS NULL/;
    return;
}

sub spend
{
    my $name = any(@users);
    my $tag = 't' . ++$tags;
    my $amount = amount();
    my @answer = $model->spend($name, $tag, $amount);
    my $sql = "model.say(usage.spend_credits('$name', @{[decimal($amount)]}, '$tag'))";
    step("SELECT $sql", decision(@answer));
    step("SELECT $sql", decision($answer[0], $answer[0] ? 'replayed' : $answer[1], $answer[2])) if rand() < 0.1;
    return;
}

sub refund
{
    my $name = any(@users);
    my @spent = sort keys %{ $model->{users}{$name}{entries} };
    return if !@spent;
    my $tag = any(@spent);
    my $amount = rand() < 0.4 ? undef : amount();
    my $done = $model->refund($name, $tag, $amount);
    step("SELECT usage.refund_credits('$name', (SELECT id FROM usage.credit_ledger WHERE user_id = '$name' AND action = 'spend' AND reference_id = '$tag')"
            . (defined $amount ? ', ' . decimal($amount) : '') . ') > 0', $done ? 't' : undef);
    return;
}

sub use_something
{
    my ($function, $may_refuse) = @{ any([ 'consume_usage', 1 ], [ 'consume_usage', 1 ], [ 'track_usage', 0 ], [ 'track_usage_batch', 0 ]) };
    my $name = any(@users);
    my $tag = 'e' . ++$tags;
    my ($type, $quantity) = (any(qw(prompt export clip free_of_credits)), any(1, 1, 1, 2, 3, 7));
    my @answer = $model->record($name, $tag, $type, $quantity, $may_refuse);
    if ($function eq 'consume_usage')
    {
        step("SELECT model.say(usage.consume_usage('$name', '$type', $quantity, resource_id => '$tag'))", decision(@answer));
    }
    elsif ($function eq 'track_usage')
    {
        step("SELECT usage.track_usage('$name', '$type', $quantity, resource_id => '$tag') > 0", 't');
    }
    else
    {
        step("SELECT (usage.track_usage_batch('[{\"user_id\": \"$name\", \"usage_type\": \"$type\", \"quantity\": $quantity, \"resource_id\": \"$tag\"}]')).recorded", 1);
    }
    delete $model->{users}{$name}{events}{$tag} if !$answer[0];
    return;
}

sub reverse_something
{
    my $name = any(@users);
    my @events = sort keys %{ $model->{users}{$name}{events} };
    return if !@events;
    my $tag = any(@events);
    return if $tag !~ /^e/;
    my $quantity = rand() < 0.5 ? undef : any(1, 1, 2, 3);
    my $done = $model->reverse_use($name, $tag, $quantity);
    step("SELECT usage.reverse_usage('$name', (SELECT id FROM usage.usage_events WHERE user_id = '$name' AND resource_id = '$tag' AND status = 'success')"
            . (defined $quantity ? ", $quantity" : '') . ')', $done ? '' : undef);
    return;
}

sub reserve_something
{
    my $name = any(@users);
    my $tag = 'h' . ++$tags;
    my ($type, $quantity, $minutes) = (any(qw(prompt export clip)), any(1, 2, 3), any(1, 10, 2000));
    my @answer = $model->reserve($name, $tag, $type, $quantity, $minutes);
    step("SELECT model.say(usage.reserve_usage('$name', '$type', $quantity, cost => $tags, expires_in => '$minutes minutes'))", decision(@answer));
    $model->{users}{$name}{holds}{$tag}{cost} = $tags if $answer[0];
    return;
}

sub settle_something
{
    my $name = any(@users);
    my $holds = $model->{users}{$name}{holds};
    return if !%$holds;
    my $tag = any(sort keys %$holds);
    my $id = "(SELECT id FROM usage.usage_reservations WHERE user_id = '$name' AND cost = $holds->{$tag}{cost})";
    if (rand() < 0.3)
    {
        $model->release($name, $tag);
        step("SELECT usage.release_usage('$name', $id)", '');
        return;
    }
    my $quantity = rand() < 0.5 ? undef : any(1, 2, 5);
    my @answer = $model->commit($name, $tag, $quantity);
    step("SELECT model.say(usage.commit_usage('$name', $id" . (defined $quantity ? ", $quantity" : '') . '))', decision(@answer));
    return;
}

sub set_overdraft
{
    my $name = any(@users);
    my $user = $model->{users}{$name};
    $user->{overdraft} = any(0, 0, 5000, 40_000);
    $model->settle($user);
    $user->{touched} = $model->{now};
    step("SELECT usage.set_credit_overdraft('$name', @{[decimal($user->{overdraft})]})", '');
    return;
}

sub look
{
    my $name = any(@users);
    my $user = $model->{users}{$name};
    if (rand() < 0.4)
    {
        my @changes = grep { $_->[0] <= $model->{now} } @{ $user->{changes} };
        my $at = @changes && rand() < 0.7 ? any(@changes)->[ any(0, 1) ] - any(0, 0, 1) : $model->{now} - any(0, 1, 60, 1440, 10_000);
        step("SELECT usage.credit_balance('$name', @{[instant($at)]})", decimal($model->balance_then($user, $at)));
        return;
    }
    step("SELECT usage.credit_balance('$name'), (SELECT trim_scale(held) FROM usage.user_credits WHERE user_id = '$name')",
        decimal($model->balance($user)) . '|' . decimal($model->held($user)))
        if defined $user->{touched};
    return;
}

sub check_all
{
    step('SELECT count(*) FROM usage.reconcile_usage()', 0);
    step('SELECT count(*) FROM (SELECT user_id, sum(amount) FROM usage.credit_ledger WHERE effective_at <= usage._usage_now() GROUP BY user_id'
            . ' EXCEPT SELECT a.user_id, coalesce((SELECT sum(g.remaining) FROM usage.credit_grants AS g WHERE g.user_id = a.user_id'
            . ' AND g.effective_at <= usage._usage_now()), 0) - a.owed FROM usage.credit_accounts AS a) AS wrong', 0);
    step('SELECT count(*) FROM usage.credit_accounts WHERE owed > greatest(overdraft, 40)', 0);
    return;
}

my @kinds = ((\&pass_time) x 12, (\&grant) x 10, (\&spend) x 12, (\&refund) x 10, (\&use_something) x 20, (\&reverse_something) x 10,
    (\&reserve_something) x 6, (\&settle_something) x 7, \&set_plan, \&set_refill, \&set_overdraft, (\&look) x 25);

sub run_steps
{
    my @round = @_;
    my $script = join '', map { "$_->[0];\n\\echo =:SQLSTATE\n" } @round;
    my ($out, $err) = ('', '');
    IPC::Run::run([ 'psql', '-XqAt', '-d', $node->connstr('postgres'), '-f', '-' ], '<', \$script, '>', \$out, '2>', \$err)
        or BAIL_OUT("psql: $err");
    my @answers = split /^=([0-9A-Z]{5})\n/m, $out;
    return map { [ $answers[ 2 * $_ ] // '', $answers[ 2 * $_ + 1 ] // 'nothing' ] } 0 .. $#round;
}

my $done = 0;
while ($done < $operations)
{
    @steps = ();
    step("SELECT set_config('usage_tracking.clock', (@{[instant($model->{now})]})::text, false) IS NULL", 'f');
    new_round() if $round == 0 || rand() < 0.3;
    set_refill() if !%{ $model->{refills} };
    while (@steps < STEPS_PER_ROUND && $done++ < $operations) { any(@kinds)->() }
    check_all();
    my @answers = run_steps(@steps);
    my ($wrong) = grep {
        my ($text, $state) = @{ $answers[$_] };
        (defined $steps[$_][1] ? "$steps[$_][1]\n" : '22023') ne ($state eq '00000' ? $text : $state)
    } 0 .. $#steps;
    is($wrong, undef, "the same answers, up to operation $done") or do
    {
        diag("after:\n" . join "\n", map { "$steps[$_][0];" . ' -- ' . ($steps[$_][1] // 'an error') } grep { $_ >= 0 } $wrong - 12 .. $wrong);
        diag("got: @{ $answers[$wrong] }");
        last;
    };
}

done_testing();
