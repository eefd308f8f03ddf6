# The library calls nothing of the server but what test/symbols.txt lists.
#
# What an extension is compiled against may be inlined, or change in a minor
# release: the minors of November 2026 gave tuples a version, so that a library
# with heap_getattr() in it, built there, does not load on an older minor, and one
# built before misreads composite values. So what is new is looked at first, and
# then listed.
use strict;
use warnings FATAL => 'all';

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
my %of = map { $_ => asked_of($_) } qw(pkglibdir includedir-server version);
my ($major) = $of{version} =~ /^PostgreSQL (\d+)/;

sub asked_of
{
    my ($what) = @_;
    chomp(my $answer = qx{"$pg_config" --$what});
    return $answer;
}

# Fetches columns of a tuple, or came with versioned tuples.
my $never = qr/^(heap_getattr|fastgetattr|nocachegetattr|getmissingattr|heap_getsysattr|heap_attisnull|heap_deform_tuple
    |heap_datum_check|heap_tuple_set_datum|heap_datum_update_type|heap_copy_tuple_as_datum|HasVersionedAttributes
    |GetAttributeByName|GetAttributeByNum)$/x;

# Lines of "symbol", or "symbol from-to" with majors of PostgreSQL.
my %allowed;
foreach my $line (split /\n/, slurp_file("$root/test/symbols.txt"))
{
    next if $line =~ /^(#.*)?$/;
    my ($symbol, $from, $to) = $line =~ /^(\w+)(?: (\d*)-(\d*))?$/ or die "symbols.txt: $line";
    $allowed{$symbol} = 1 if $major >= ($from || 0) && $major <= ($to || 99);
}

# What a library leaves to the server and to the C library; weak symbols are the linker's.
sub called_by
{
    my ($library) = @_;
    my @lines = split /\n/, scalar qx{nm -D --undefined-only "$library"};
    return sort map { /^ *U (\w+)/ ? $1 : () } @lines;
}

# What sanitizers, coverage and fortified builds add is the compiler's.
sub unlisted { return join ' ', grep { !$allowed{$_} && !/^__(ubsan|asan|gcov)_|_chk$/ } @_; }

is(join(' ', grep { /$never/ } sort keys %allowed), '', 'the list has nothing that it must not have');
my @called = called_by("$of{pkglibdir}/usage_tracking.so");
cmp_ok(scalar(@called), '>', 100, 'the library calls the server');
is(unlisted(@called), '', 'and nothing but what is listed; if that is as stable, add it to test/symbols.txt');
is(join(' ', grep { /$never/ } @called), '', 'it fetches no columns by heap_getattr() and takes no composite arguments');

# This test can fail.
my $canary = PostgreSQL::Test::Utils::tempdir() . '/canary';
append_to_file("$canary.c", <<'C');
#include "postgres.h"
#include "access/htup_details.h"
Datum canary(HeapTuple tuple, TupleDesc desc);
Datum canary(HeapTuple tuple, TupleDesc desc) { bool isnull; return heap_getattr(tuple, 1, desc, &isnull); }
C
system_or_bail('gcc', '-O2', '-shared', '-fPIC', "-I$of{'includedir-server'}", '-o', "$canary.so", "$canary.c");
like(unlisted(called_by("$canary.so")), qr/\bnocachegetattr\b/, 'a library with heap_getattr() in it is found out');
done_testing();
