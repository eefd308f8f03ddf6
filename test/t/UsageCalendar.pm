# UsageCalendar.pm -- windows, by the calendar of UsageModel.pm.
#
# Times are whole microseconds since 1970 in UTC; zones are those that have no
# summer time.
package UsageCalendar;

use strict;
use warnings;
use integer;

use constant {
    SECOND  => 1_000_000,
    MINUTE  => 60 * 1_000_000,
    HOUR    => 3600 * 1_000_000,
    DAY     => 86400 * 1_000_000,
    FOREVER => 9_000_000_000_000_000_000,
};

our %ZONES = (
    'UTC' => 0, 'Asia/Tokyo' => 9 * HOUR, 'Asia/Kolkata' => 5 * HOUR + 30 * MINUTE,
    'Pacific/Honolulu' => -10 * HOUR, 'America/Phoenix' => -7 * HOUR);

sub floor_div { my ($n, $by) = @_; return $n % $by < 0 ? $n / $by - 1 : $n / $by }

sub floor_mod { my ($n, $by) = @_; return $n - floor_div($n, $by) * $by }

# Days since 1970-01-01 of a month's first day; months are counted from year 0.
sub first_day
{
    my ($month) = @_;
    my $y = floor_div($month, 12);
    my $m = floor_mod($month, 12) + 1;
    $y-- if $m <= 2;
    my $era = floor_div($y, 400);
    my $year = $y - $era * 400;
    my $day = (153 * ($m > 2 ? $m - 3 : $m + 9) + 2) / 5;
    return $era * 146097 + $year * 365 + $year / 4 - $year / 100 + $day - 719468;
}

sub month_of_day
{
    my ($day) = @_;
    my $month = floor_div($day, 31) + 1970 * 12;
    $month++ while first_day($month + 1) <= $day;
    return $month;
}

sub timestamp
{
    my ($at) = @_;
    return '-' if !defined $at || $at >= FOREVER || $at <= -FOREVER();
    my $day = floor_div($at, DAY);
    my $left = floor_mod($at, DAY);
    my $month = month_of_day($day);
    my $text = sprintf '%04d-%02d-%02d %02d:%02d:%02d', $month / 12, $month % 12 + 1, $day - first_day($month) + 1,
        $left / HOUR, $left / MINUTE % 60, $left / SECOND % 60;
    my $fraction = $left % SECOND;
    $text .= sprintf '.%06d', $fraction if $fraction;
    $text =~ s/0+$// if $fraction;
    return "$text+00";
}

# The window that holds an instant: its first instant, and that of the next one.
sub window
{
    my ($kind, $period, $zone, $anchor, $at) = @_;
    my ($count, $unit) = @$period;
    return (-FOREVER(), FOREVER) if $kind eq 'lifetime';
    my $local = $at + $zone;
    if ($unit ne 'months')
    {
        my $length = $count * { hours => HOUR, days => DAY }->{$unit};
        my $first = $kind eq 'anchored' ? $anchor + $zone : $count == 7 ? 4 * DAY : 0;    # a Monday
        my $start = $first + floor_div($local - $first, $length) * $length;
        return ($start - $zone, $start + $length - $zone);
    }
    my ($first_month, $month_day, $time_of_day) = (0, 0, 0);
    if ($kind eq 'anchored')
    {
        my $day = floor_div($anchor + $zone, DAY);
        $first_month = month_of_day($day);
        $month_day = $day - first_day($first_month);
        $time_of_day = floor_mod($anchor + $zone, DAY);
    }
    my $boundary = sub {
        my $month = $first_month + $_[0] * $count;
        my $last = first_day($month + 1) - 1;
        my $day = first_day($month) + $month_day;
        return ($day < $last ? $day : $last) * DAY + $time_of_day - $zone;
    };
    my $k = floor_div(month_of_day(floor_div($local, DAY)) - $first_month, $count) - 1;
    $k++ while $boundary->($k + 1) <= $at;
    return ($boundary->($k), $boundary->($k + 1));
}

1;
