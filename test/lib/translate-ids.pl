#!/usr/bin/perl
# translate-ids.pl TYPE FILE... rewrites tests, in place, for the extension whose
# user ids are of another type: text or bigint.
#
# Tests are written for uuid.  The rules look at words, not at SQL, and are the
# same for a test and for its expected output:
#
#   extension    usage_tracking after the word EXTENSION or extname =:
#                usage_tracking_TYPE
#   type         the word uuid: TYPE (so id_uuid stays)
#   id           itself in lower case; for bigint the number whose hexadecimal
#                digits are its first 8 and its last 7, so that ids keep their
#                order; two in a file that become one are an error
#   computed id  for bigint md5(x)::uuid becomes hashtextextended(x, 0)
#   random id    gen_random_uuid(): as text, or a random number
#   format       for bigint of what is like "0...-%012d" or "%08x-...0" the
#                constant part goes
#   collation    for text a parameter or NULL of type uuid, but for a default, is of
#                that of our columns
#   digits       for bigint left(user_id::text, n), right(...): of to_hex(user_id)
#
# Nothing is left of uuid by these rules, so a form they do not know fails in the
# other extension rather than pass by chance.
use strict;
use warnings;

my ($type, @files) = @ARGV;
die "translate-ids.pl: not another type of user ids\n" unless ($type // '') =~ /^(text|bigint)$/;

my $id   = qr/\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b/i;
my $call = qr/(\((?:[^()]++|(?1))*\))/;
my %id_of;    # number => the id it stands for in this file

sub number_of
{
    my ($id) = @_;
    no warnings 'portable';    # 60 bits
    my $number = hex(substr($id, 0, 8) . substr($id, -7));
    my $other = $id_of{$number} //= lc $id;
    die "translate-ids.pl: $id and $other both become $number\n" if $other ne lc $id;
    return $number;
}

sub as_bigint
{
    my ($text) = @_;
    $text =~ s/($id)/number_of($1)/ge;
    $text =~ s/%08x-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/%d/g;
    $text =~ s/\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}(?=%)//g;
    $text =~ s/\bmd5$call\::uuid\b/'hashtextextended(' . substr($1, 1, -1) . ', 0)'/ge;
    $text =~ s/\bgen_random_uuid\(\)/(random() * 1e18)::bigint/g;
    $text =~ s/\b(left|right)\(((?:\w+\.)?user_id|granted_by|current_user_id\(\)|u\.id)::text, /$1(to_hex($2), /g;
    return $text;
}

sub as_text
{
    my ($text) = @_;
    $text =~ s/($id)/lc $1/ge;
    $text =~ s/\bgen_random_uuid\(\)/gen_random_uuid()::text/g;
    $text =~ s/(%L|(?<!DEFAULT )\bNULL)::uuid\b(?!\[|::)/$1::text COLLATE "C"/g;
    return $text;
}

foreach my $file (@files)
{
    open my $in, '<', $file or die "$file: $!\n";
    my $text = do { local $/; <$in> };
    close $in;
    %id_of = ();
    $text = $type eq 'bigint' ? as_bigint($text) : as_text($text);
    $text =~ s/\buuid\b/$type/g;
    $text =~ s/(\b(?i:extension (?:if (?:not )?exists )?)|\bextname = '+)usage_tracking\b(?!\.)/$1usage_tracking_$type/g;
    open my $out, '>', $file or die "$file: $!\n";
    print $out $text;
    close $out or die "$file: $!\n";
}
