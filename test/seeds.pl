#!/usr/bin/perl
# seeds.pl FOLDER: is every SQL statement that the seed documents print run by
# the test of its recipe?
#
# A seed is FOLDER/NNN_*.txt.  Its statements are those of its ```sql blocks, and
# those in `backticks` with a semicolon at their end.  A test runs one if it has the
# same text: white space and comments do not count, letter case does, and where
# the seed has an email address or YOUR_SOMETHING the test may have any quoted
# word or psql variable.
#
# Prints each statement that no test runs, and how many there are; the exit status
# is 1 if one is missing, or an exception below is for nothing.
use strict;
use warnings;
use FindBin;

my %recipe_of = ('000' => 'video_quota', '001' => 'ai_gateway', '002' => 'tiered_limits',
    '003' => 'preset_counters', '004' => 'report_runs');

# What need not run: seed, how it begins, why.
my @exceptions = (
    [ '002', qr/^CREATE TABLE /, "the seed's own object, which the recipe makes" ],
    [ '002', qr/^CREATE INDEX /, "the seed's own object, which the recipe makes" ],
    [ '003', qr/^CREATE TRIGGER /, "the seed's own object, which the recipe makes" ],
    [ '003', qr/^CREATE UNIQUE INDEX /, 'cannot run (D3-5); the page gives one that can' ],
    [ '004', qr/^CREATE TABLE /, "the seed's own object, which the recipe makes" ],
    [ '004', qr/^\\i /, 'includes a file that is not printed' ],
);

# One piece of SQL: white space, a comment, something quoted, a word, or one character.
my $space = qr/\s+|--[^\n]*|(\/\*(?:[^\/*]++|\/(?!\*)|\*(?!\/)|(?-1))*\*\/)/;
my $quoted = qr/[eE]?'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$\w*\$).*?\g{-1}/s;
my $piece = qr/(?<space>$space)|(?<meta>\\[^\n]*)|(?<other>$quoted|\w+|.)/s;

sub slurp
{
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$in>;
}

# Each statement, and each line of psql's own, as [line, text].
sub statements
{
    my ($sql, $line) = @_;
    my ($text, $begin, @found) = ('');
    my $end = sub {
        $text =~ s/\s+\z//;
        push @found, [ $begin, $text ] if $text ne '';
        $text = '';
    };
    while ($sql =~ /\G$piece/gc)
    {
        my ($space, $meta, $other) = @+{qw(space meta other)};
        if (defined $space)
        {
            $text .= ' ' if $text ne '' && $text !~ / \z/;
        }
        elsif (defined $meta)    # \gset ends a statement; another command is one
        {
            my $sends = $text ne '';
            $end->();
            push @found, [ $line, $meta ] unless $sends;
        }
        elsif ($other eq ';')
        {
            $end->();
        }
        else
        {
            $begin = $line if $text eq '';
            $text .= $other;
        }
        $line += ($space // $meta // $other) =~ tr/\n//;
    }
    $end->();
    return @found;
}

my $verb = qr/(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|WITH)/;

sub printed_in
{
    my ($seed) = @_;
    my $text = slurp($seed);
    my @found;
    while ($text =~ /^[ \t]*```(\w*)[^\n]*\n(.*?)^[ \t]*```|`($verb\b[^`\n]+;)`/msg)
    {
        my $sql = defined $3 ? $3 : $1 eq 'sql' ? $2 : next;
        my $at = defined $3 ? $-[3] : $-[2];
        push @found, statements($sql, 1 + (substr($text, 0, $at) =~ tr/\n//));
    }
    return @found;
}

# What the test must have, as a pattern.
sub pattern_of
{
    my ($text) = @_;
    my $pattern = join '', map { /^'(?:[^'\@]+\@[^'\@]+|YOUR_\w+)'$/ ? q{(?:'[^']*'|:'?\w+'?)} : quotemeta }
      split /('[^']*')/, $text;
    return qr/^$pattern$/;
}

sub run_by
{
    my ($recipe) = @_;
    my @tests = glob "\Q$FindBin::RealBin\E/sql/recipe_$recipe*.sql";
    return map { $_->[1] } map { statements(slurp($_), 1) } @tests;
}

die "usage: seeds.pl FOLDER\n" unless @ARGV == 1;
my @seeds = sort glob "\Q$ARGV[0]\E/[0-9][0-9][0-9]_*.txt";
die "seeds.pl: no seeds in $ARGV[0]\n" unless @seeds;

my %sum = map { $_ => 0 } qw(statements run excepted missing);
my %used;
foreach my $seed (@seeds)
{
    my ($number) = $seed =~ m{/(\d{3})_[^/]*$};
    my $recipe = $recipe_of{$number} or die "seeds.pl: no recipe is named for $seed\n";
    my @run = run_by($recipe);
    foreach my $statement (printed_in($seed))
    {
        my ($line, $text) = @$statement;
        my $pattern = pattern_of($text);
        my @why = grep { $_->[0] eq $number && $text =~ $_->[1] } @exceptions;
        my $is = (grep { $_ =~ $pattern } @run) ? 'run' : @why ? 'excepted' : 'missing';
        $used{$_} = 1 foreach @why;
        $sum{statements}++;
        $sum{$is}++;
        print "$number:$line: $is: $text" . ($is eq 'excepted' ? " ($why[0][2])" : " (recipe_$recipe*.sql)") . "\n" if $is ne 'run';
    }
}
my @idle = grep { !$used{$_} } @exceptions;
print "seeds.pl: no statement of $_->[0] is $_->[1]\n" foreach @idle;
print "$sum{statements} statements, $sum{run} run, $sum{excepted} excepted, $sum{missing} missing\n";
exit($sum{missing} || @idle ? 1 : 0);
