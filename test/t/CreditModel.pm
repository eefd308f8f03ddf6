# Credits as their page says they work, and nothing else: lists of grants and of
# what changed them, one user after the other, time in minutes, amounts in
# thousandths.
package CreditModel;
use strict;
use warnings;
use integer;

# $refills: plan => { amount, rollover, minutes } of each period.
sub new
{
    my ($class, %args) = @_;
    return bless { now => 0, next => { grant => 1, entry => 1 }, users => {}, refills => {}, history => {}, costs => {}, %args }, $class;
}

sub add_user
{
    my ($self, $user, %args) = @_;
    $self->{users}{$user} = { plan => 'free', plans => [], offset => 0, overdraft => 0, owed => 0, anchor => undef,
        touched => undef, grants => [], changes => [], entries => {}, holds => {}, events => {}, %args };
    return;
}

sub least { return $_[0] < $_[1] ? $_[0] : $_[1] }
sub most  { return $_[0] > $_[1] ? $_[0] : $_[1] }

# ---- what a grant is worth ----

sub usable
{
    my ($grant, $left, $at) = @_;
    return 0 if $at < $grant->{begins};
    return $left if !defined $grant->{ends} || $at < $grant->{ends};
    return least($left, $grant->{rollover}) if $at < $grant->{rolls_until};
    return 0;
}

# ---- refills ----

sub period
{
    my ($self, $user, $at, $refill) = @_;
    my $length = $refill->{minutes};
    my $local = $at + $user->{offset};
    my $start = $local - ($local % $length + $length) % $length - $user->{offset};
    return ($start, $start + $length);
}

sub refill_grant
{
    my ($amount, $begins, $ends, $rollover, $rolls_until) = @_;
    return { refill => 1, amount => $amount, left => $amount, priority => 0, begins => $begins, ends => $ends,
        rollover => $rollover, rolls_until => $rollover > 0 ? $rolls_until : $ends };
}

# The last of [ since, what ] that is not later.
sub last_before
{
    my ($history, $at) = @_;
    my ($last) = grep { $_->[0] <= $at } reverse @$history;
    return defined $last ? $last->[1] : undef;
}

sub refill_at
{
    my ($self, $user, $at) = @_;
    return last_before($self->{history}{ last_before($user->{plans}, $at) // 'free' } // [], $at);
}

# When what he was given may have changed, from an instant to another.
sub steps
{
    my ($self, $user, $begin, $last) = @_;
    my %times = map { $_->[0] => 1 } @{ $user->{plans} }, map { @$_ } values %{ $self->{history} };
    return ($begin, sort { $a <=> $b } grep { $_ > $begin && $_ <= $last } keys %times);
}

sub due_in_period
{
    my ($self, $user, $grants, $touched, $start, $end, $last, $rolls_until) = @_;
    my $begin = $start;
    $begin = most($begin, $_) for grep { defined && $_ <= $last } $touched, map { $_->{ends} } grep { $_->{refill} } @$grants;
    my ($made, $rollover) = (0, 0);
    for my $grant (grep { $_->{refill} && $_->{ends} > $last } @$grants)
    {
        $made += $grant->{amount};
        $rollover += $grant->{rollover};
    }
    my @due;
    for my $since ($self->steps($user, $begin, $last))
    {
        my $refill = $self->refill_at($user, $since);
        next if !$refill || $refill->{amount} <= $made || $refill->{minutes} != $end - $start;
        push @due, refill_grant($refill->{amount} - $made, $since, $end, most(0, $refill->{rollover} - $rollover), $rolls_until);
        $made = $refill->{amount};
        $rollover += $due[-1]{rollover};
    }
    return @due;
}

# What nobody has written down yet, among these grants, at this instant.
sub due
{
    my ($self, $user, $grants, $touched, $at) = @_;
    my $refill = $self->refill_at($user, $at);
    my $anchor = $user->{anchor} // $self->{now};
    return if !$refill || $refill->{amount} == 0 || (!defined $touched && $at < $anchor);
    my ($start, $end) = $self->period($user, $at, $refill);
    my @due;
    if ($anchor < $start && !(defined $touched && $touched >= $start))
    {
        my ($former) = $self->period($user, $start - 1, $refill);
        my $then = $self->refill_at($user, $start - 1);
        push @due, $self->due_in_period($user, $grants, $touched, $former, $start, $start - 1, $end)
            if $then && $then->{minutes} == $refill->{minutes} && $then->{rollover} > 0;
    }
    return (@due, $self->due_in_period($user, [ @$grants, @due ], $touched, $start, $end, $at, ($self->period($user, $end, $refill))[1]));
}

# ---- looking ----

sub balance
{
    my ($self, $user) = @_;
    my $sum = -$user->{owed};
    $sum += usable($_, $_->{left}, $self->{now}) for @{ $user->{grants} }, $self->due($user, $user->{grants}, $user->{touched}, $self->{now});
    return $sum;
}

sub balance_then
{
    my ($self, $user, $at) = @_;
    my %left;
    my $owed = 0;
    my $touched;
    for my $change (@{ $user->{changes} })
    {
        my ($effective, $recorded, $grant, $amount) = @$change;
        $touched = $recorded if $recorded <= $at && (!defined $touched || $recorded > $touched);
        next if $effective > $at;
        if ($grant == 0) { $owed -= $amount }
        else { $left{$grant} += $amount }
    }
    my @grants = grep { exists $left{ $_->{id} } } @{ $user->{grants} };
    my $sum = -$owed;
    $sum += usable($_, $left{ $_->{id} }, $at) for @grants;
    $sum += usable($_, $_->{left}, $at) for $self->due($user, \@grants, $touched, $at);
    return $sum;
}

sub held
{
    my ($self, $user) = @_;
    my $sum = 0;
    $sum += $_->{credits} for grep { $_->{state} eq 'held' && $_->{ends} > $self->{now} } values %{ $user->{holds} };
    return $sum;
}

sub available
{
    my ($self, $user) = @_;
    return most(0, $self->balance($user) + $user->{owed} + most(0, $user->{overdraft} - $user->{owed}) - $self->held($user));
}

# ---- changing ----

sub change
{
    my ($self, $user, $effective, $grant, $amount) = @_;
    push @{ $user->{changes} }, [ $effective, $self->{now}, $grant, $amount ] if $amount != 0;
    return;
}

# Writes down what happened by itself.
sub settle
{
    my ($self, $user) = @_;
    my $changes = @{ $user->{changes} };
    for my $grant ($self->due($user, $user->{grants}, $user->{touched}, $self->{now}))
    {
        $grant->{id} = $self->{next}{grant}++;
        push @{ $user->{grants} }, $grant;
        $self->change($user, $grant->{begins}, $grant->{id}, $grant->{amount});
    }
    for my $grant (@{ $user->{grants} })
    {
        for my $end ('ends', 'rolls_until')
        {
            next if !defined $grant->{$end} || $grant->{$end} > $self->{now} || $grant->{left} == 0;
            my $at = defined $user->{touched} ? most($grant->{$end}, $user->{touched}) : $grant->{$end};
            my $stays = $end eq 'ends' && $at < $grant->{rolls_until} ? least($grant->{left}, $grant->{rollover}) : 0;
            next if $end eq 'ends' && $grant->{left} <= $grant->{rollover} && $grant->{rolls_until} > $grant->{ends};
            $self->change($user, $at, $grant->{id}, $stays - $grant->{left});
            $grant->{left} = $stays;
        }
    }
    $user->{touched} = $self->{now} if @{ $user->{changes} } > $changes;
    return;
}

sub ends_at
{
    my ($grant, $now) = @_;
    return 1 << 40 if !defined $grant->{ends};
    return $now < $grant->{ends} ? $grant->{ends} : $grant->{rolls_until};
}

sub take
{
    my ($self, $user, $amount) = @_;
    my @order = sort { $a->{priority} <=> $b->{priority} || ends_at($a, $self->{now}) <=> ends_at($b, $self->{now}) || $a->{id} <=> $b->{id} }
        grep { usable($_, $_->{left}, $self->{now}) > 0 } @{ $user->{grants} };
    my @parts;
    my $rest = $amount;
    for my $grant (@order)
    {
        my $part = least($rest, $grant->{left});
        next if $part == 0;
        $grant->{left} -= $part;
        $rest -= $part;
        push @parts, [ $grant->{id}, $part ];
        $self->change($user, $self->{now}, $grant->{id}, -$part);
    }
    if ($rest > 0)
    {
        $user->{owed} += $rest;
        push @parts, [ 0, $rest ];
        $self->change($user, $self->{now}, 0, -$rest);
    }
    return \@parts;
}

sub give_back
{
    my ($self, $user, $parts, $amount) = @_;
    for my $part (reverse @$parts)
    {
        my $back = least($amount, $part->[1]);
        next if $back == 0;
        $amount -= $back;
        $part->[1] -= $back;
        $self->change($user, $self->{now}, $part->[0], $back);
        if ($part->[0] == 0) { $user->{owed} -= $back; next }
        my ($grant) = grep { $_->{id} == $part->[0] } @{ $user->{grants} };
        $grant->{left} += $back;
    }
    $user->{touched} = $self->{now};
    $self->settle($user);
    return;
}

sub left_of
{
    my ($entry) = @_;
    my $sum = 0;
    $sum += $_->[1] for @{ $entry->{parts} };
    return $sum;
}

sub grant
{
    my ($self, $name, $tag, %grant) = @_;
    my $user = $self->{users}{$name};
    $self->settle($user);
    $grant{id} = $self->{next}{grant}++;
    $grant{begins} //= $self->{now};
    $grant{rolls_until} = $grant{ends} if !$grant{rollover};
    my $paid = $grant{begins} <= $self->{now} ? least($grant{amount}, most(0, $user->{owed})) : 0;
    $grant{left} = $grant{amount} - $paid;
    $user->{owed} -= $paid;
    push @{ $user->{grants} }, \%grant;
    $self->change($user, $grant{begins}, $grant{id}, $grant{left});
    $self->change($user, $grant{begins}, 0, $paid);
    $user->{touched} = $self->{now};
    return;
}

# What is answered: whether, why, and what is left.
sub spend
{
    my ($self, $name, $tag, $amount) = @_;
    my $user = $self->{users}{$name};
    return (0, 'insufficient_credits', $self->available($user)) if $self->available($user) < $amount;
    $self->settle($user);
    $user->{entries}{$tag} = { parts => $self->take($user, $amount) };
    $user->{touched} = $self->{now};
    return (1, 'ok', $self->available($user));
}

# undef: more than is left, or nothing is.
sub refund
{
    my ($self, $name, $tag, $amount) = @_;
    my $user = $self->{users}{$name};
    my $left = left_of($user->{entries}{$tag});
    return if $left == 0 || (defined $amount && $amount > $left);
    $self->settle($user);
    $self->give_back($user, $user->{entries}{$tag}{parts}, $amount // $left);
    return 1;
}

sub price
{
    my ($self, $type, $quantity) = @_;
    return ($self->{costs}{$type} // 0) * $quantity;
}

sub first_use
{
    my ($self, $user) = @_;
    $user->{anchor} //= $self->{now};
    return;
}

# A use, or a fact, which is never refused: what it takes and what it owes.
sub record
{
    my ($self, $name, $tag, $type, $quantity, $may_refuse) = @_;
    my $user = $self->{users}{$name};
    my $price = $self->price($type, $quantity);
    my $used = least($price, $self->available($user));
    return (0, 'insufficient_credits', $self->available($user)) if $may_refuse && $used < $price;
    $self->settle($user) if $price > 0;
    $self->first_use($user);
    $user->{events}{$tag} = { quantity => $quantity, used => $used, owed => $price - $used, parts => $self->take($user, $used) };
    $user->{touched} = $self->{now} if $price > 0;
    return (1, $price > $used ? 'overage' : 'unlimited', undef);
}

sub reserve
{
    my ($self, $name, $tag, $type, $quantity, $minutes) = @_;
    my $user = $self->{users}{$name};
    my $price = $self->price($type, $quantity);
    return (0, 'insufficient_credits', $self->available($user)) if $self->available($user) < $price;
    $self->settle($user) if $price > 0;
    $self->first_use($user);
    $user->{touched} = $self->{now} if $price > 0;
    $user->{holds}{$tag} = { type => $type, quantity => $quantity, credits => $price, state => 'held', ends => $self->{now} + $minutes };
    return (1, 'unlimited', undef);
}

sub commit
{
    my ($self, $name, $tag, $quantity) = @_;
    my $hold = $self->{users}{$name}{holds}{$tag};
    return @{ $hold->{answer} } if $hold->{state} eq 'committed';
    return (0, 'expired', undef) if $hold->{state} eq 'released';
    $hold->{state} = 'committed';
    $hold->{answer} = [ $self->record($name, $tag, $hold->{type}, $quantity // $hold->{quantity}, 0) ];
    return @{ $hold->{answer} };
}

sub release
{
    my ($self, $name, $tag) = @_;
    my $hold = $self->{users}{$name}{holds}{$tag};
    $hold->{state} = 'released' if $hold->{state} eq 'held';
    return;
}

# Quantities are whole, and so is the price of one; undef: more than is left.
sub reverse_use
{
    my ($self, $name, $tag, $quantity) = @_;
    my $user = $self->{users}{$name};
    my $event = $user->{events}{$tag};
    return if defined $quantity && $quantity > $event->{quantity};
    return 1 if $event->{quantity} == 0;
    $quantity //= $event->{quantity};
    my $share = ($event->{used} + $event->{owed}) * $quantity / $event->{quantity};
    my $owed = least($share, $event->{owed});
    my $back = least($share - $owed, left_of($event));
    $event->{quantity} -= $quantity;
    $event->{owed} -= $owed;
    $event->{used} -= $share - $owed;
    return 1 if $share == $owed;
    $self->settle($user);
    $self->give_back($user, $event->{parts}, $back) if $back > 0;
    return 1;
}

1;
