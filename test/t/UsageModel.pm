# UsageModel.pm -- what the reference pages say, in plain Perl.
#
# For 100_model.pl.  Nothing is counted ahead: each question is answered from the
# list of events and the list of reservations of one user.  Amounts are whole
# numbers of 1e-9, so nothing is ever rounded.
#
# What was done can be undone, back to a mark: each change pushes its opposite.
package UsageModel;

use strict;
use warnings;
use integer;
use Math::BigInt;

use UsageCalendar;

use constant { UNIT => 1_000_000_000, MINUTE => UsageCalendar::MINUTE, DAY => UsageCalendar::DAY, FOREVER => UsageCalendar::FOREVER };

my $retention = 35 * DAY;    # of keys, and how late an event may be
my $lead = 5 * MINUTE;

sub new
{
    my ($class) = @_;
    return bless {
        now => 0, enforce => 1, enabled => 1, types => {}, limits => {}, plan_limits => {}, users => {},
        events => {}, holds => {}, keys => {}, next_limit => 1, undo => []
    }, $class;
}

# ---- what can be undone ----

sub mark { return scalar @{ $_[0]{undo} } }

sub undo_to
{
    my ($self, $mark) = @_;
    (pop @{ $self->{undo} })->() while @{ $self->{undo} } > $mark;
    return;
}

sub forget_undo { $_[0]{undo} = []; return }

# Sets a value of a hash, or with undef takes it out.
sub put
{
    my ($self, $hash, $key, $value) = @_;
    my ($had, $old) = (exists $hash->{$key}, $hash->{$key});
    push @{ $self->{undo} }, sub { if ($had) { $hash->{$key} = $old } else { delete $hash->{$key} } };
    if (defined $value) { $hash->{$key} = $value }
    else                { delete $hash->{$key} }
    return;
}

sub append
{
    my ($self, $list, $value) = @_;
    push @$list, $value;
    push @{ $self->{undo} }, sub { pop @$list };
    return;
}

# ---- what is counted ----

sub user
{
    my ($self, $id) = @_;
    return $self->{users}{$id} //= { limits => {}, zone => undef, plan => undef };
}

# From his first use on, if he is not known yet.
sub know
{
    my ($self, $id, $at) = @_;
    my $user = $self->user($id);
    $self->put($user, 'anchor', $at) if !defined $user->{anchor};
    return;
}

sub plan
{
    my ($self, $id) = @_;
    my $user = $self->user($id);
    return 'free' if !defined $user->{plan} || $self->{now} >= $user->{plan_expires};
    return $user->{plan};
}

sub max_usage
{
    my ($self, $id, $limit) = @_;
    my $own = $self->user($id)->{limits}{ $limit->{name} };
    return $own->{max} if $own && $own->{expires} > $self->{now};
    return $self->{plan_limits}{ $self->plan($id) }{ $limit->{name} } // $limit->{max};
}

sub window_of
{
    my ($self, $id, $limit, $at, $anchor) = @_;
    my $user = $self->user($id);
    my $zone = $limit->{zone} // $user->{zone} // 'UTC';
    return UsageCalendar::window($limit->{kind}, $limit->{period}, $UsageCalendar::ZONES{$zone}, $user->{anchor} // $anchor, $at);
}

sub counts
{
    my ($limit, $event) = @_;
    return $event->{corrected_limit} == $limit->{id} if $event->{corrected_limit};
    my $status = $event->{corrected_status} // $event->{status};
    return (!defined $limit->{type} || $limit->{type} eq $event->{type}) && $limit->{statuses}{$status};
}

sub amount
{
    my ($limit, $event) = @_;
    return $event->{quantity} if $limit->{measure} eq 'quantity';
    return $event->{ $limit->{measure} } * UNIT;
}

sub sum_in_window
{
    my ($limit, $start, $end, $events) = @_;
    my $sum = 0;
    for my $event (@$events)
    {
        next if $event->{at} < $start || $event->{at} >= $end;
        $sum += amount($limit, $event) if counts($limit, $event);
    }
    return $sum;
}

sub live_holds
{
    my ($self, $id) = @_;
    my $holds = $self->{holds}{$id} // {};
    return grep { $_->{state} eq 'held' && $_->{expires} > $self->{now} } map { $holds->{$_} } sort keys %$holds;
}

# What stands at a limit for an event, or without one.
sub stake
{
    my ($self, $id, $limit, $at, $anchor, $event) = @_;
    my ($start, $end) = $self->window_of($id, $limit, $at, $anchor);
    return {
        limit => $limit, start => $start, end => $end, max => $self->max_usage($id, $limit),
        amount => $event ? amount($limit, $event) : 0,
        recorded => sum_in_window($limit, $start, $end, $self->{events}{$id} // []),
        held => sum_in_window($limit, $start, $end, [ $self->live_holds($id) ]),
    };
}

sub limits_by_name { my ($self) = @_; return map { $self->{limits}{$_} } sort keys %{ $self->{limits} } }

sub stakes
{
    my ($self, $id, $event) = @_;
    return map { $self->stake($id, $_, $event->{at}, $event->{at}, $event) }
        grep { counts($_, $event) } $self->limits_by_name;
}

# ---- decisions ----

sub fits
{
    my ($stake, $others) = @_;
    return $stake->{max} < 0 || $stake->{amount} <= 0 || $others + $stake->{amount} <= $stake->{max};
}

sub fits_all { my ($stake) = @_; return fits($stake, $stake->{recorded} + $stake->{held}) }

sub refuses
{
    my ($self, $stake) = @_;
    return $self->{enforce} && $stake->{limit}{is_hard} && $stake->{limit}{is_active} && !fits_all($stake);
}

sub reason
{
    my ($self, $stake) = @_;
    return 'unlimited' if $stake->{max} < 0;
    return 'ok' if fits_all($stake);
    return 'not_enforced' if !$stake->{limit}{is_active};
    return 'overage' if !$stake->{limit}{is_hard};
    return 'not_enforced' if !$self->{enforce};
    return fits($stake, $stake->{recorded}) ? 'held' : 'limit_reached';
}

sub at_least_zero { my ($n) = @_; return $n < 0 ? 0 : $n }

# Exceeded without refusing, active, not active, unlimited; then by what is left.
sub compare_tightness
{
    my ($one, $other, $taken) = @_;
    my @class = map { !fits_all($_) ? 0 : $_->{max} < 0 ? 3 : $_->{limit}{is_active} ? 1 : 2 } $one, $other;
    return $class[0] <=> $class[1] if $class[0] != $class[1] || $class[0] == 3;
    my @rest = map { at_least_zero($_->{max} - $_->{recorded} - $_->{held} - ($taken ? $_->{amount} : 0)) } $one, $other;
    my @max = map { $_->{max} } $one, $other;
    for my $i (0, 1)    # of a maximum of 0 nothing is left, whatever it is divided by
    {
        ($rest[$i], $max[$i]) = (0, 1) if $max[$i] == 0;
    }
    return Math::BigInt->new($rest[0])->bmul($max[1])->bcmp(Math::BigInt->new($rest[1])->bmul($max[0]));
}

sub decision
{
    my ($self, $taken, @stakes) = @_;
    return { allowed => 1, reason => 'unlimited', max => -UNIT() } if !@stakes;
    my @refusing = grep { $self->refuses($_) } @stakes;
    my $binding = $stakes[0];
    if (@refusing)
    {
        $binding = $refusing[0];
        for my $stake (@refusing) { $binding = $stake if $stake->{end} > $binding->{end} }
    }
    else
    {
        for my $stake (@stakes) { $binding = $stake if compare_tightness($stake, $binding, $taken) < 0 }
    }
    return {
        allowed => !@refusing, reason => $self->reason($binding), limit => $binding->{limit}{name},
        used => $binding->{recorded} + $binding->{held} + ($taken ? $binding->{amount} : 0),
        max => $binding->{max}, reset => $binding->{end}
    };
}

# What of it is beyond which limit; what is only reserved plays no part.
sub overage
{
    my (@stakes) = @_;
    my %beyond;
    for my $stake (@stakes)
    {
        next if fits($stake, $stake->{recorded}) || !$stake->{limit}{is_active};
        my $over = $stake->{recorded} + $stake->{amount} - $stake->{max};
        $beyond{ $stake->{limit}{name} } = $over < $stake->{amount} ? $over : $stake->{amount};
    }
    return %beyond ? \%beyond : undef;
}

sub not_made { return { allowed => 1, reason => 'not_enforced', max => -UNIT() } }

sub known_key
{
    my ($self, $id, $event) = @_;
    return if !defined $event->{key};
    my $key = $self->{keys}{$id}{ $event->{key} };
    return if !$key || $key->{recorded} < $self->{now} - $retention;
    for my $what (qw(function type quantity tokens own_time))
    {
        die "UT005\n" if ($key->{event}{$what} // '-') ne ($event->{$what} // '-');
    }
    return $key->{answer};
}

sub is_live
{
    my ($self, $id, $tag) = @_;
    return scalar grep { $_->{tag} == $tag } $self->live_holds($id);
}

# A use, a fact, a correction or (with hold_for) a reservation.
sub record
{
    my ($self, $id, $event, $may_refuse) = @_;
    return not_made() if !$self->{enabled};
    if (my $answer = $self->known_key($id, $event))
    {
        my $over = $event->{hold_for} && !$self->is_live($id, $answer->{tag});
        return { %$answer, allowed => !$over, reason => $over ? 'expired' : 'replayed' };
    }
    $event->{at} //= $self->{now};
    my @stakes = $self->stakes($id, $event);
    my $decision = $self->decision(0, @stakes);
    return $decision if $may_refuse && !$decision->{allowed};

    $decision = $self->decision(1, @stakes);
    $event->{overage} = overage(@stakes);
    $decision->{reason} = $event->{overage} ? 'overage' : 'ok' if !$decision->{allowed};
    $decision->{allowed} = 1;
    $decision->{tag} = $event->{tag};
    $self->know($id, $event->{at});
    if ($event->{hold_for})
    {
        $self->put($self->{holds}{$id} //= {}, $event->{tag},
            { %$event, state => 'held', expires => $event->{at} + $event->{hold_for} });
    }
    else { $self->append($self->{events}{$id} //= [], $event) }
    $self->put($self->{keys}{$id} //= {}, $event->{key}, { event => $event, answer => $decision, recorded => $self->{now} })
        if defined $event->{key};
    return $decision;
}

# ---- calls; an error is died with, by its SQLSTATE ----

sub check_type { my ($self, $type) = @_; die "UT004\n" if !$self->{types}{$type}; return }

sub check_time
{
    my ($self, $at) = @_;
    die "UT006\n" if defined $at && ($at < $self->{now} - $retention || $at > $self->{now} + $lead);
    return;
}

sub check_takes
{
    my ($event) = @_;
    die "22023\n" if !$event->{quantity} && !$event->{tokens} && !$event->{cost};
    return;
}

sub use_or_refuse
{
    my ($self, $id, $event) = @_;
    check_takes($event);
    $self->check_type($event->{type});
    my $decision = $self->record($id, $event, 1);
    die "UT001\n" if $event->{function} eq 'require' && !$decision->{allowed};
    return $decision;
}

sub track
{
    my ($self, $id, $event) = @_;
    die "22023\n" if $event->{quantity} < 0;
    $self->check_time($event->{own_time});
    $self->check_type($event->{type});
    $event->{at} = $event->{own_time};
    return $self->record($id, $event, 0);
}

# [recorded, replayed, "index:state …"]
sub batch
{
    my ($self, @elements) = @_;
    my @sums = (0, 0);
    my @errors;
    for my $i (0 .. $#elements)
    {
        my ($id, $event) = @{ $elements[$i] };
        my $decision = eval { $self->track($id, $event) };
        if ($@) { push @errors, "$i:" . substr($@, 0, 5) }
        elsif ($self->{enabled}) { $sums[ $decision->{reason} eq 'replayed' ]++ }
    }
    return [ @sums, join ' ', @errors ];
}

# By a limit's name that one alone, else all that count the type.
sub check
{
    my ($self, $id, $name, $event) = @_;
    my $limit = $self->{limits}{$name};
    $event->{type} = $limit ? undef : $name;
    $self->check_type($name) if !$limit;
    return not_made() if !$self->{enabled};
    $event->{at} = $self->{now};
    $event->{events} = $event->{quantity} || $event->{tokens} || $event->{cost} ? 1 : 0;
    return $self->decision(0, $self->stakes($id, $event)) if !$limit;
    return $self->decision(0, $self->stake($id, $limit, $event->{at}, $event->{at}, $limit->{statuses}{success} ? $event : undef));
}

sub commit
{
    my ($self, $id, $tag, $given) = @_;
    my $hold = $self->{holds}{$id}{$tag} or die "22023\n";
    return $hold->{answer} if $hold->{state} eq 'committed';
    return { allowed => 0, reason => 'expired', max => -UNIT() } if $hold->{state} ne 'held';
    $self->put($hold, 'state', 'committed');
    my $event = {
        tag => $hold->{tag}, type => $hold->{type}, status => 'success', at => $hold->{at}, events => 1,
        quantity => $given->{quantity} // $hold->{quantity}, tokens => $given->{tokens} // $hold->{tokens},
        cost => $given->{cost} // $hold->{cost},
    };
    my $decision = $self->record($id, $event, 0);
    $self->put($hold, 'answer', $decision);
    return $decision;
}

sub release
{
    my ($self, $id, $tag) = @_;
    my $hold = $self->{holds}{$id}{$tag} or die "22023\n";
    $self->put($hold, 'state', 'released') if $hold->{state} eq 'held';
    return;
}

sub find_event
{
    my ($self, $id, $tag) = @_;
    my ($event) = grep { $_->{status} ne 'correction' && $_->{tag} == $tag } @{ $self->{events}{$id} // [] };
    return $event;
}

sub reverse_event
{
    my ($self, $id, $tag, $quantity, $reason) = @_;
    return if !$self->{enabled};
    my $event = $self->find_event($id, $tag) or die "22023\n";
    my %left = map { $_ => $event->{$_} } qw(quantity tokens cost events);
    for my $correction (grep { ($_->{corrects} // '') eq $tag } @{ $self->{events}{$id} })
    {
        $left{$_} += $correction->{$_} for keys %left;
    }
    die "22023\n" if defined $quantity && $quantity > $left{quantity};
    return if !grep { $_ } values %left;
    %left = (quantity => $quantity, tokens => 0, cost => 0, events => 0) if defined $quantity && $quantity < $left{quantity};
    $self->append($self->{events}{$id}, {
        type => $event->{type}, status => 'correction', at => $event->{at}, corrects => $tag, reason => $reason,
        corrected_status => $event->{status}, map { $_ => -$left{$_} } keys %left });
    return;
}

sub adjust
{
    my ($self, $id, $name, $used, $at, $reason) = @_;
    $self->check_time($at);
    $at //= $self->{now};
    return if !$self->{enabled};
    my $limit = $self->{limits}{$name} or die "UT004\n";
    die "22023\n" if $limit->{measure} ne 'quantity' && $used % UNIT;
    $self->know($id, $at);
    my $delta = $used - $self->stake($id, $limit, $at)->{recorded};
    return if !$delta;
    my %amounts = (quantity => 0, tokens => 0, events => 0);
    $amounts{ $limit->{measure} } = $limit->{measure} eq 'quantity' ? $delta : $delta / UNIT;
    $self->append($self->{events}{$id} //= [], {
        type => $limit->{type} // '*', status => 'correction', at => $at, cost => 0, reason => $reason,
        corrected_limit => $limit->{id}, %amounts });
    return;
}

# ---- what is asked of the limits and of the user ----

sub change_limit
{
    my ($self, $name, %change) = @_;
    my $limit = $self->{limits}{$name};
    $self->put($limit, $_, $change{$_}) for keys %change;
    $self->put($limit, 'id', $self->{next_limit}++) if grep { !/^(max|is_hard|is_active)$/ } keys %change;
    return;
}

sub set_plan
{
    my ($self, $id, $plan, $expires) = @_;
    $self->know($id, $self->{now});
    $self->put($self->user($id), 'plan', $plan);
    $self->put($self->user($id), 'plan_expires', $expires // FOREVER);
    return;
}

sub set_clock
{
    my ($self, $id, $zone, $anchor) = @_;
    $self->know($id, $self->{now});
    $self->put($self->user($id), 'zone', $zone) if defined $zone;
    $self->put($self->user($id), 'anchor', $anchor) if defined $anchor;
    return;
}

sub set_own_limit
{
    my ($self, $id, $name, $max, $expires) = @_;
    $self->put($self->user($id)->{limits}, $name, defined $max ? { max => $max, expires => $expires // FOREVER } : undef);
    return;
}

# Every limit of a user who is known, as it stands now.
sub usage_of
{
    my ($self, $id) = @_;
    return if !defined $self->user($id)->{anchor};
    return map { $self->stake($id, $_, $self->{now}) } $self->limits_by_name;
}

1;
