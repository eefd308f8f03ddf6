# UsageText.pm -- how UsageModel's things look in SQL, and in psql's answers.
package UsageText;

use strict;
use warnings;
use integer;
use Exporter qw(import);
use UsageCalendar;
use UsageModel;

our @EXPORT = qw(number literal moment max_text answer event_line hold_line usage_line);

use constant UNIT => UsageModel::UNIT;

sub number
{
    my ($nano) = @_;
    return '-' if !defined $nano;
    my $text = ($nano < 0 ? '-' : '') . sprintf '%d.%09d', abs($nano) / UNIT, abs($nano) % UNIT;
    $text =~ s/\.?0+$//;
    return $text;
}

sub literal { my ($text) = @_; return defined $text ? "'$text'" : 'NULL' }

sub moment { my ($at) = @_; return literal(defined $at ? UsageCalendar::timestamp($at) : undef) }

sub max_text { my ($max) = @_; return defined $max ? number($max) : 'NULL' }

# Everything of a usage_decision; retry_after is what is left until the reset.
sub answer
{
    my ($model, $d) = @_;
    my $resets = defined $d->{reset} && $d->{reset} < UsageCalendar::FOREVER;
    my $left = $resets ? ($d->{reset} - $model->{now} + 999_999) / 1_000_000 : 0;
    return join '|', $d->{allowed} ? 't' : 'f', $d->{reason}, $d->{tag} // '-', $d->{limit} // '-', number($d->{used}), number($d->{max}),
        defined $d->{limit} && $d->{max} >= 0 ? number(UsageModel::at_least_zero($d->{max} - $d->{used})) : '-',
        UsageCalendar::timestamp($d->{reset}), $d->{allowed} || !$resets ? '-' : $left < 0 ? 0 : $left;
}

# ---- rows of what is recorded ----

sub tagged { my ($tag) = @_; return defined $tag ? $tag : '-' }

sub event_line
{
    my ($model, $event) = @_;
    my %over = %{ $event->{overage} // {} };
    my ($limit) = grep { $_->{id} == ($event->{corrected_limit} // 0) } values %{ $model->{limits} };
    return join '|', $event->{type}, $event->{status}, number($event->{quantity}), $event->{tokens}, number($event->{cost}),
        join(',', map { "$_=" . number($over{$_}) } sort keys %over) || '-', tagged($event->{corrects}), $event->{corrected_status} // '-',
        $event->{status} eq 'correction' ? $event->{events} : '-', $event->{corrected_limit} ? 't' : 'f', $limit ? $limit->{name} : '-',
        $event->{reason} // '-', UsageCalendar::timestamp($event->{at});
}

sub usage_line
{
    my ($model, $who, $stake) = @_;
    my ($used, $max) = ($stake->{recorded} + $stake->{held}, $stake->{max});
    my $tenths = $max == 0 ? 1000 : $max < 0 ? 0 : (2000 * abs($used) + $max) / (2 * $max) * ($used < 0 ? -1 : 1);
    return join '|', $stake->{limit}{name}, number($used), number($stake->{held}), number($max),
        $max < 0 ? ('-', '-') : (number(UsageModel::at_least_zero($max - $used)), number($tenths * UNIT / 10)),
        UsageCalendar::timestamp($stake->{start}), UsageCalendar::timestamp($stake->{end}), $stake->{limit}{is_hard} ? 'hard' : 'soft',
        $stake->{limit}{is_active} && $model->{enforce} && $model->{enabled} ? 't' : 'f', $model->plan($who);
}

sub hold_line
{
    my ($hold) = @_;
    my $event = $hold->{answer} && $hold->{answer}{tag};
    return join '|', number($hold->{cost}), $hold->{type}, number($hold->{quantity}), $hold->{tokens}, $hold->{state},
        UsageCalendar::timestamp($hold->{at}), UsageCalendar::timestamp($hold->{expires}), tagged($event);
}

1;
