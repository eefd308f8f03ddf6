# SourceTree.pm: copies of the source tree, to be changed, built and released.
package SourceTree;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(@names %type_of write_file edit copy_tree version_of by_version frozen_versions run_in make_in git commit_all has_git);

our %type_of = (usage_tracking => 'uuid', usage_tracking_text => 'text', usage_tracking_bigint => 'bigint');
our @names = sort keys %type_of;

# What a make above us would hand down is not for those below.
delete @ENV{qw(MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS)};

sub write_file
{
    my ($file, $text) = @_;
    open(my $handle, '>', $file) or die "cannot write $file: $!";
    print $handle $text;
    close $handle;
    return;
}

# Changes a file by a function of its text, which must change something.
sub edit
{
    my ($file, $change) = @_;
    my $text = slurp_file($file);
    my $new = $change->($text);
    die "nothing to change in $file" if $new eq $text;
    write_file($file, $new);
    return;
}

sub copy_tree
{
    my ($from, $to) = @_;
    my $parts = join ' ', grep { -e "$from/$_" }
        qw(Makefile usage_tracking.control META.json CHANGELOG.md README.md LICENSE .gitignore .gitattributes sql src doc);
    mkdir $to or die "cannot make $to: $!";
    system_or_bail('sh', '-c', "cd '$from' && tar -cf - --exclude='*.o' --exclude='*.bc' $parts | tar -xf - -C '$to' && rm -f '$to'/sql/usage_tracking*--*.sql");
    return;
}

sub version_of { return slurp_file("$_[0]/usage_tracking.control") =~ /^default_version *= *'(.*)'/m ? $1 : die "no version in $_[0]"; }

# (status, output of both kinds) of a command in a tree.
sub run_in
{
    my ($tree, @command) = @_;
    my $output = '';
    my $ok = IPC::Run::run([ 'sh', '-c', 'cd "$0" && exec "$@"', $tree, @command ], '>&', \$output);
    return ($ok, $output);
}

sub make_in
{
    my ($tree, @targets) = @_;
    my ($ok, $output) = run_in($tree, 'make', '-s', '-j2', @targets);
    $ok or BAIL_OUT("make @targets: $output");
    return;
}

sub git
{
    my ($tree, @words) = @_;
    my ($ok, $output) = run_in($tree, 'git', '-c', 'user.name=t', '-c', 'user.email=t@example.com', '-c', 'core.hooksPath=', @words);
    $ok or die "git @words: $output";
    return;
}

sub commit_all { my ($tree) = @_; git($tree, 'add', '-A'); git($tree, 'commit', '-qm', 'x', '--allow-empty'); return; }

sub frozen_versions
{
    my ($tree) = @_;
    my %seen = map { m{usage_tracking\w*--([^/]*)\.sql$} ? ($1 => 1) : () } glob "$tree/sql/released/*.sql";
    return sort { by_version($a, $b) } keys %seen;
}

sub by_version
{
    my @one = split /\./, $_[0];
    my @other = split /\./, $_[1];
    while (@one && @other)
    {
        my $order = shift(@one) <=> shift(@other);
        return $order if $order;
    }
    return @one <=> @other;
}

sub has_git { my ($ok) = run_in('.', 'git', '--version'); return $ok; }

1;
