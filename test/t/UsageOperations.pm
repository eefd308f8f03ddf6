# UsageOperations.pm -- operations at random, and what the model says to each.
#
# For 100_model.pl.  A step is an SQL text and what psql is to print for it.
package UsageOperations;

use strict;
use warnings;
use integer;
use UsageCalendar;
use UsageModel;
use UsageText;

use constant { UNIT => UsageModel::UNIT, MINUTE => UsageCalendar::MINUTE, HOUR => UsageCalendar::HOUR, DAY => UsageCalendar::DAY };

# name, type, maximum, window kind, period, measure, hard?, zone, active?, statuses
my @limits = (
    [ 'a_chat_hour',    'chat',  6,   'calendar', [ 1,  'hours' ],  'quantity', 1, 'Asia/Kolkata',     1, 'success' ],
    [ 'b_chat_day',     'chat',  12,  'calendar', [ 1,  'days' ],   'quantity', 1, undef,              1, 'success' ],
    [ 'c_chat_words',   'chat',  900, 'calendar', [ 1,  'months' ], 'tokens',   1, undef,              1, 'success' ],
    [ 'd_chat_failed',  'chat',  3,   'calendar', [ 1,  'days' ],   'events',   1, undef,              1, 'failed' ],
    [ 'e_image_days',   'image', 9,   'anchored', [ 30, 'days' ],   'quantity', 1, undef,              1, 'success' ],
    [ 'f_image_month',  'image', 7,   'anchored', [ 1,  'months' ], 'events',   0, undef,              1, 'success' ],
    [ 'g_image_week',   'image', -1,  'calendar', [ 7,  'days' ],   'quantity', 1, 'America/Phoenix',  1, 'success' ],
    [ 'h_call_ever',    'call',  15,  'lifetime', [ 0,  'days' ],   'events',   1, undef,              1, 'success' ],
    [ 'i_call_day',     'call',  4,   'calendar', [ 1,  'days' ],   'quantity', 1, undef,              0, 'success' ],
    [ 'j_call_tries',   'call',  5,   'anchored', [ 36, 'hours' ],  'events',   1, undef,              1, 'success,failed,rate_limited' ],
    [ 'k_call_quarter', 'call',  -1,  'calendar', [ 3,  'months' ], 'tokens',   1, 'Pacific/Honolulu', 1, 'success' ],
    [ 'l_every_day',    undef,   14,  'calendar', [ 1,  'days' ],   'events',   1, 'Asia/Kolkata',     1, 'success' ],
    [ 'm_every_word',   undef,   700, 'lifetime', [ 0,  'days' ],   'tokens',   0, undef,              1, 'success,cancelled' ],
    [ 'n_nothing',      'never', 0,   'calendar', [ 12, 'months' ], 'quantity', 1, undef,              1, 'success' ],
);
my @types = qw(chat chat chat image image image call call call ride never);
my @plans = qw(free pro team);

our %seen;    # reasons and errors, and how often
my $model = UsageModel->new;

# The limits are the model's too; the answer is the SQL that makes them.
sub begin
{
    my @sql = "SELECT usage.define_usage_type('ride')";
    $model->{types}{$_} = 1 for @types;
    for my $row (@limits)
    {
        my ($name, $type, $max, $kind, $period, $measure, $hard, $zone, $active, $statuses) = @$row;
        $model->{limits}{$name} = { name => $name, id => $model->{next_limit}++, type => $type, max => $max * UNIT, kind => $kind,
            period => $period, measure => $measure, is_hard => $hard, zone => $zone, is_active => $active,
            statuses => { map { $_ => 1 } split /,/, $statuses } };
        push @sql, sprintf "SELECT usage.define_usage_limit('%s', %s, %s, '%s', %s, '%s', '%s', %s, %s, NULL, '{%s}')",
            $name, literal($type), $max, $kind, $kind eq 'lifetime' ? 'NULL' : "'$period->[0] $period->[1]'", $measure,
            $hard ? 'hard' : 'soft', literal($zone), $active ? 'true' : 'false', $statuses;
    }
    return @sql;
}

# ---- chances ----

sub chance { my ($percent) = @_; return rand(100) < $percent }
sub one_of { return $_[ rand @_ ] }
sub between { my ($low, $high) = @_; return $low + int(rand($high - $low + 1)) }

sub quantity
{
    my $kind = between(1, 10);
    return UNIT * between(1, 4) if $kind <= 6;
    return UNIT / 4 * between(1, 12) if $kind <= 8;
    return UNIT * between(0, 1) + between(1, 9) if $kind == 9;
    return UNIT * between(5, 20);
}

sub tokens { return chance(50) ? 0 : between(1, 120) }

# ---- one round: its users, its operations, their expected answers ----

our $id;
my (@users, @steps, $tag, @savepoints, $in_transaction, %keys);

# What psql is to print: undef for nothing, '' for an empty line.
sub step { my ($sql, $expected) = @_; push @steps, [ $sql, $expected ]; return }

sub rows { my ($sql, @rows) = @_; return step($sql, @rows ? join "\n", @rows : undef) }

# Calls the model; what it dies with is the SQLSTATE to expect.
sub expect
{
    my ($sql, $ask) = @_;
    my $answer = eval { $ask->() };
    if ($@)
    {
        die $@ if $@ !~ /^([0-9A-Z]{5})\n$/;
        $seen{$1}++;
        return step($sql, "!$1");
    }
    return step($sql, $answer // '');
}

sub expect_decision
{
    my ($sql, $ask) = @_;
    return expect($sql, sub {
        my $decision = $ask->();
        $seen{ $decision->{reason} }++;
        return answer($model, $decision);
    });
}

sub new_event
{
    my ($function) = @_;
    my $event = { function => $function, type => one_of(@types), status => 'success', events => 1,
        quantity => quantity(), tokens => tokens(), cost => UNIT * ++$tag, tag => $tag };
    $event->{type} = 'nope' if chance(1.5);
    $event->{quantity} = 0 if chance(3) && $event->{tokens};
    return $event if !chance(25);
    $event->{key} = "k$tag";
    push @{ $keys{$id} }, { %$event };
    return $event;
}

# A key that was used before, mostly for the same again.
sub old_event
{
    my ($function) = @_;
    my @used = grep { $_->{function} eq $function || chance(2) } @{ $keys{$id} // [] };
    return new_event($function) if !@used;
    my $event = { %{ one_of(@used) }, cost => UNIT * ++$tag, tag => $tag, function => $function };
    ($event->{status}) = ('success', delete $event->{own_time}) if $function ne 'track';
    $event->{quantity} += 1 if chance(8);
    $event->{tokens} += 1 if chance(3);
    return $event;
}

sub event_for { my ($function) = @_; return chance(12) ? old_event($function) : new_event($function) }

# The arguments that all of them begin with.
sub arguments
{
    my ($event) = @_;
    return sprintf "'%s', '%s', %s, %s, %s", $id, $event->{type}, number($event->{quantity}), $event->{tokens}, $event->{tag};
}

sub key_argument { my ($event) = @_; return defined $event->{key} ? ", idempotency_key => '$event->{key}'" : '' }

# An instant at which something of the user begins or ends, or one next to it.
sub edge
{
    my $limit = one_of($model->limits_by_name);
    my ($start, $end) = $model->window_of($id, $limit, $model->{now}, $model->{now});
    my @instants = map { $_->{expires} } $model->live_holds($id);
    push @instants, $start, $end if $limit->{kind} ne 'lifetime';
    return (@instants ? one_of(@instants) : $model->{now}) + between(-1, 1);
}

sub late_time
{
    return if chance(60);
    return edge() if chance(30);
    return $model->{now} - between(0, 3) * DAY - between(0, DAY - 1) if chance(80);
    return $model->{now} + between(-36 * 24 * 60, 10) * MINUTE;
}

my %operation = (
    consume => sub {
        my $event = event_for('consume');
        $event->{$_} = 0 for chance(1) ? qw(quantity tokens cost tag) : ();
        expect_decision("SELECT model.say_event('$id', usage.consume_usage(" . arguments($event) . key_argument($event) . '))',
            sub { $model->use_or_refuse($id, $event) });
    },
    require => sub {
        my $event = event_for('require');
        expect_decision("SELECT model.say_event('$id', usage.require_usage(" . arguments($event) . key_argument($event) . '))',
            sub { $model->use_or_refuse($id, $event) });
    },
    # All that is left, or a hair more; and if it is reserved, something else.
    rest => sub {
        my $event = new_event('consume');
        my ($room) = sort { $a <=> $b } map { $_->{max} - $_->{recorded} - $_->{held} }
            grep { $_->{limit}{measure} eq 'quantity' && $model->refuses({ %$_, amount => UNIT * 100_000 }) }
            $model->stakes($id, { %$event, at => $model->{now} });
        return if !defined $room || $room <= 0;
        $event->{quantity} = $room + (chance(30) ? 1 : 0);
        $event->{tokens} = 0;
        delete $event->{key};
        return expect_decision("SELECT model.say_event('$id', usage.consume_usage(" . arguments($event) . '))',
            sub { $model->use_or_refuse($id, $event) }) if chance(40);
        $event->{hold_for} = 30 * HOUR;
        expect_decision("SELECT model.say_hold('$id', usage.reserve_usage(" . arguments($event) . ", expires_in => '30 hours'))",
            sub { $model->use_or_refuse($id, $event) });
        my $next = { %{ new_event('consume') }, type => $event->{type}, key => undef };
        expect_decision("SELECT model.say_event('$id', usage.consume_usage(" . arguments($next) . '))',
            sub { $model->use_or_refuse($id, $next) });
    },
    track => sub {
        my $event = event_for('track');
        my $again = exists $event->{own_time};
        $event->{own_time} = late_time() if !$again;
        $event->{status} = one_of(qw(success success success failed cancelled rate_limited)) if !$again;
        $keys{$id}[-1]{$_} = $event->{$_} for defined $event->{key} && !$again ? qw(own_time status) : ();
        expect("SELECT model.tag_of_event('$id', usage.track_usage(" . arguments($event) . ", '$event->{status}', occurred_at => "
                . moment($event->{own_time}) . key_argument($event) . '))',
            sub { $model->track($id, $event)->{tag} // '-' });
    },
    reserve => sub {
        my $event = event_for('reserve');
        $event->{quantity} *= 3 if chance(30) && !exists $event->{hold_for};
        $keys{$id}[-1]{quantity} = $event->{quantity} if defined $event->{key} && $keys{$id}[-1]{tag} == $event->{tag};
        $event->{hold_for} = one_of(MINUTE * between(1, 600), HOUR * between(10, 90), HOUR * between(10, 90), between(1, 999_999_999));
        expect_decision("SELECT model.say_hold('$id', usage.reserve_usage(" . arguments($event)
                . sprintf(", expires_in => '%d microseconds'", $event->{hold_for}) . key_argument($event) . '))',
            sub { $model->use_or_refuse($id, $event) });
    },
    commit => sub {
        my $hold = some_hold();
        my %given = (quantity => quantity()) x chance(40);
        $given{tokens} = tokens() if chance(20);
        my @arguments = map { defined $_ ? $_ : 'NULL' } defined $given{quantity} ? number($given{quantity}) : undef, $given{tokens};
        expect_decision("SELECT model.say_event('$id', usage.commit_usage('$id', model.hold_id('$id', $hold), " . join(', ', @arguments) . '))',
            sub { $model->commit($id, $hold, \%given) });
    },
    release => sub {
        my $hold = some_hold();
        expect("SELECT usage.release_usage('$id', model.hold_id('$id', $hold))", sub { $model->release($id, $hold) });
    },
    reverse => sub {
        my ($event) = one_of(@{ $model->{events}{$id} // [] });
        return if !$event || $event->{status} eq 'correction' && !chance(5);
        my $number = $event->{status} eq 'correction' ? 0 : $event->{tag};
        my $quantity = chance(50) ? undef : chance(80) ? 1 + int(rand($event->{quantity})) : quantity();
        $quantity = 1 if defined $quantity && $quantity <= 0;
        expect(sprintf("SELECT usage.reverse_usage('%s', coalesce(model.event_id('%s', %d), 0), %s, 'reason %d')", $id, $id, $number,
                defined $quantity ? number($quantity) : 'NULL', ++$tag),
            sub { $model->reverse_event($id, $number, $quantity, "reason $tag") });
    },
    adjust => sub {
        my $limit = one_of($model->limits_by_name);
        my $used = $limit->{measure} eq 'quantity' && chance(70) ? quantity() : UNIT * between(0, 20);
        $used += 1 if chance(3);
        my $at = late_time();
        my $name = chance(1) ? 'nope' : $limit->{name};
        $tag++;
        expect(sprintf("SELECT usage.adjust_usage('%s', '%s', %s, %s, 'reason %d')", $id, $name, number($used),
                moment($at), $tag),
            sub { $model->adjust($id, $name, $used, $at, "reason $tag") });
    },
    reset => sub {
        my $limit = one_of($model->limits_by_name);
        expect("SELECT usage.reset_user_usage('$id', '$limit->{name}')", sub { $model->adjust($id, $limit->{name}, 0) });
    },
    batch => sub {
        my (@elements, @texts);
        for (1 .. between(0, 7))
        {
            local $id = one_of(@users);
            my $event = event_for('track');
            $event->{own_time} = late_time() if !exists $event->{own_time};
            $keys{$id}[-1]{own_time} = $event->{own_time} if defined $event->{key} && $keys{$id}[-1]{tag} == $event->{tag};
            $event->{status} = one_of(qw(success success failed));
            $event->{quantity} = -UNIT() if chance(2);
            push @elements, [ $id, $event ];
            my %text = (user_id => "\"$id\"", usage_type => "\"$event->{type}\"", quantity => number($event->{quantity}),
                tokens => $event->{tokens}, cost => $event->{tag}, status => "\"$event->{status}\"");
            $text{occurred_at} = '"' . UsageCalendar::timestamp($event->{own_time}) . '"' if defined $event->{own_time};
            $text{idempotency_key} = "\"$event->{key}\"" if defined $event->{key};
            push @texts, '{' . join(', ', map { "\"$_\": $text{$_}" } sort keys %text) . '}';
        }
        push @elements, $elements[0] if @elements && chance(10);
        push @texts, $texts[0] if @texts < @elements;
        my @copies = map { [ $_->[0], { %{ $_->[1] } } ] } @elements;
        expect("SELECT recorded, replayed, (SELECT string_agg(concat(e->>'index', ':', e->>'code'), ' ' ORDER BY (e->>'index')::integer)"
                . " FROM jsonb_array_elements(errors) AS e) FROM usage.track_usage_batch('[" . join(', ', @texts) . "]')",
            sub {
                my ($recorded, $replayed, $errors) = @{ $model->batch(@copies) };
                $seen{batch} += $recorded;
                return join '|', $recorded, $replayed, $errors eq '' ? '-' : $errors;
            });
    },
    check => sub {
        my $event = new_event('check');
        my @unlimited = grep { $model->max_usage($id, $_) < 0 } $model->limits_by_name;
        my $name = chance(50) ? $event->{type} : one_of(@unlimited && chance(30) ? @unlimited : $model->limits_by_name)->{name};
        $event->{$_} = 0 for chance(20) ? qw(quantity tokens cost) : ();
        expect_decision(sprintf("SELECT model.say(usage.check_usage_limit('%s', '%s', %s, %s, %s))", $id, $name, number($event->{quantity}),
                $event->{tokens}, number($event->{cost})),
            sub { $model->check($id, $name, $event) });
    },
    begin => sub { return if $in_transaction; $in_transaction = 1; $model->forget_undo; step('BEGIN', undef) },
    savepoint => sub { return if !$in_transaction; push @savepoints, $model->mark; step('SAVEPOINT s' . @savepoints, undef) },
    back => sub {
        return if !@savepoints;
        my $to = between(1, scalar @savepoints);
        $model->undo_to($savepoints[ $to - 1 ]);
        $#savepoints = $to - 1;
        step("ROLLBACK TO SAVEPOINT s$to", undef);
    },
    end => sub {
        return if !$in_transaction;
        my $rollback = chance(35);
        $model->undo_to(0) if $rollback;
        ($in_transaction, @savepoints) = (0);
        step($rollback ? 'ROLLBACK' : 'COMMIT', undef);
    },
    limit => sub {
        my $limit = one_of($model->limits_by_name);
        my $what = between(1, 10);
        my $max = chance(15) ? -UNIT() : UNIT * between(0, $limit->{measure} eq 'tokens' ? 900 : 20);
        if ($what <= 6)    { change($limit, 'max_usage = ' . number($max), max => $max) }
        elsif ($what <= 7) { change($limit, 'is_active = ' . ($limit->{is_active} ? 'false' : 'true'), is_active => 1 - $limit->{is_active}) }
        elsif ($what <= 8) { change($limit, "enforcement = '" . ($limit->{is_hard} ? 'soft' : 'hard') . "'", is_hard => 1 - $limit->{is_hard}) }
        else               { redefine() }
    },
    plan => sub {
        my $name = one_of($model->limits_by_name)->{name};
        my $plan = one_of(@plans);
        my $max = chance(30) ? undef : chance(10) ? -UNIT() : UNIT * between(0, 20);
        $model->put($model->{plan_limits}{$plan} //= {}, $name, $max);
        step("SELECT usage.set_plan_limit('$plan', '$name', " . max_text($max) . ')', '');
    },
    plan_of_user => sub {
        my ($plan, $expires) = (one_of(@plans), some_end());
        $model->set_plan($id, $plan, $expires);
        step("SELECT usage.set_user_plan('$id', '$plan', " . moment($expires) . ')', '');
    },
    override => sub {
        my ($name, $expires) = (one_of($model->limits_by_name)->{name}, some_end());
        my $max = chance(30) ? undef : chance(10) ? -UNIT() : UNIT * between(0, 20);
        $model->set_own_limit($id, $name, $max, $expires);
        step("SELECT usage.set_user_limit('$id', '$name', " . max_text($max) . ', '
                . moment($expires) . ')', '');
    },
    clock_of_user => sub {
        my $zone = chance(60) ? one_of(sort keys %UsageCalendar::ZONES) : undef;
        my $anchor = chance(50) ? $model->{now} - between(0, 60 * DAY) : undef;
        $model->set_clock($id, $zone, $anchor);
        step("SELECT usage.set_user_clock('$id', " . literal($zone) . ', ' . moment($anchor) . ')', '');
    },
    time => sub {
        my $kind = between(1, 100);
        my $to = $kind <= 25 ? edge() : $model->{now} + ($kind <= 65 ? between(1, 30 * MINUTE) : $kind <= 90 ? between(1, 12 * HOUR)
            : $kind <= 97 ? between(1, 3 * DAY) : between(10, 45) * DAY);
        set_time($to) if $to > $model->{now};
    },
    switch => sub {
        my ($name, $key) = chance(70) ? qw(enforce_limits enforce) : qw(enabled enabled);
        $model->put($model, $key, 1 - $model->{$key});
        step("SET usage_tracking.$name = " . ($model->{$key} ? 'on' : 'off'), undef);
    },
);
my %weight = (consume => 18, require => 5, track => 13, reserve => 15, commit => 7, release => 3, reverse => 7, adjust => 3, reset => 1,
    batch => 5, check => 6, begin => 3, savepoint => 3, back => 2, end => 2, limit => 2, plan => 1, plan_of_user => 1, override => 2, rest => 3,
    clock_of_user => 1, time => 11, switch => 0);
my @deck = map { ($_) x $weight{$_} } sort keys %weight;

# One that is there, mostly one that is not settled; or one that was refused or
# rolled back, or never was.
sub some_hold
{
    my %there = %{ $model->{holds}{$id} // {} };
    my @open = grep { $there{$_}{state} eq 'held' } sort keys %there;
    return one_of(@open) if @open && chance(75);
    return one_of(sort keys %there) if %there && chance(90);
    return between(0, $tag);
}

sub some_end { return chance(50) ? undef : chance(20) ? $model->{now} : $model->{now} + between(-1, 20) * DAY / 4 }

sub set_time
{
    my ($to) = @_;
    $model->put($model, 'now', $to);
    return step("SET usage_tracking.clock = " . moment($to), undef);
}

sub change
{
    my ($limit, $set, %change) = @_;
    $model->change_limit($limit->{name}, %change);
    return step("UPDATE usage.usage_limits SET $set WHERE limit_type = '$limit->{name}'", undef);
}

# From now on it counts something else, from all that there is.
sub redefine
{
    my $what = between(1, 4);
    my %limit = %{ $model->{limits} };
    if ($what == 1)
    {
        my $measure = $limit{b_chat_day}{measure} eq 'quantity' ? 'events' : 'quantity';
        return change($limit{b_chat_day}, "measure = '$measure'", measure => $measure);
    }
    elsif ($what == 2)
    {
        my $days = $limit{e_image_days}{period}[0] == 30 ? 20 : 30;
        return change($limit{e_image_days}, "period = '$days days'", period => [ $days, 'days' ]);
    }
    elsif ($what == 3)
    {
        my @statuses = $limit{j_call_tries}{statuses}{cancelled} ? qw(success failed rate_limited) : qw(success cancelled);
        return change($limit{j_call_tries}, "statuses = '{" . join(',', @statuses) . "}'", statuses => { map { $_ => 1 } @statuses });
    }
    my $zone = $limit{l_every_day}{zone} eq 'UTC' ? 'Asia/Kolkata' : 'UTC';
    return change($limit{l_every_day}, "time_zone = '$zone'", zone => $zone);
}

# ---- all that is recorded ----

sub compare_records
{
    for my $who (@users)
    {
        rows("SELECT e.usage_type, e.status, trim_scale(e.quantity), e.tokens, trim_scale(e.cost), (SELECT string_agg(o.key || '='"
                . " || trim_scale(o.value::numeric), ',' ORDER BY o.key COLLATE \"C\") FROM jsonb_each_text(e.overage) AS o),"
                . " model.tag_of_event(e.user_id, e.corrects), e.corrected_status, e.corrected_events, e.corrected_limit IS NOT NULL,"
                . " l.limit_type, e.reason, e.occurred_at FROM usage.usage_events AS e LEFT JOIN usage.usage_limits AS l"
                . " ON l.limit_id = e.corrected_limit WHERE e.user_id = '$who' ORDER BY e.id",
            map { event_line($model, $_) } @{ $model->{events}{$who} // [] });
        rows("SELECT trim_scale(cost), usage_type, trim_scale(quantity), tokens, state, occurred_at, expires_at,"
                . " model.tag_of_event(user_id, event_id) FROM usage.usage_reservations WHERE user_id = '$who' ORDER BY cost",
            map { hold_line($_) } map { $model->{holds}{$who}{$_} } sort { $a <=> $b } keys %{ $model->{holds}{$who} // {} });
        rows("SELECT limit_type, used, held, trim_scale(max_usage), trim_scale(remaining), trim_scale(percent), window_start, reset_at,"
                . " enforcement, is_enforced, plan FROM usage.user_usage WHERE user_id = '$who' ORDER BY limit_type COLLATE \"C\"",
            map { usage_line($model, $who, $_) } $model->usage_of($who));
        step("SELECT count(*) FROM usage.usage_keys WHERE user_id = '$who'", scalar keys %{ $model->{keys}{$who} // {} });
        step("SELECT * FROM usage.reconcile_usage() WHERE user_id = '$who'", undef);
    }
    return;
}

# ---- rounds ----

sub begin_round
{
    my ($round) = @_;
    (@steps, @savepoints, %keys) = ();
    $model->{$_} = {} for qw(users events holds keys);
    @users = map { sprintf '00000000-0000-4000-8000-%012d', 10 * $round + $_ } 1 .. 4;
    set_time(20_483 * DAY + between(0, 1200 * DAY));    # since 30 January 2026
    return;
}

# The steps of a round: each an SQL text, and what psql is to print.
sub steps_of_round
{
    my ($round, $wanted) = @_;
    begin_round($round);
    while ($wanted-- > 0)
    {
        $id = one_of(@users);
        my $name = chance(0.4) || !($model->{enforce} && $model->{enabled}) && chance(10) ? 'switch' : one_of(@deck);
        $operation{$name}->();
        compare_records() if chance(0.4) && !$in_transaction;
    }
    $operation{end}->();
    $model->put($model, $_, 1) for qw(enforce enabled);
    step('RESET usage_tracking.enabled; RESET usage_tracking.enforce_limits', undef);
    compare_records();
    $model->forget_undo;
    return @steps;
}

1;
