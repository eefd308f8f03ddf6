# `make release` freezes what is built, and only what may be frozen; `make dist`
# and `make clean` keep what is frozen.
use strict;
use warnings FATAL => 'all';

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

use lib $FindBin::RealBin;
use SourceTree;

plan skip_all => 'there is no git' if !has_git();

my $root = "$FindBin::RealBin/../..";
my $tree = PostgreSQL::Test::Utils::tempdir() . '/tree';
my $current = version_of($root);
my @scripts = map { "sql/$_--$current.sql" } @names;
my @now = map { "$tree/sql/released/$_--$current.sql" } @names;

sub release { return run_in($tree, 'make', '-s', 'release'); }

sub refused
{
    my ($why, $title) = @_;
    my ($ok, $output) = release();
    ok(!$ok && $output =~ $why, "make release refuses $title") or diag($output);
    return;
}

# What is frozen in this tree: whole, and for the present version what is built.
my @frozen = frozen_versions($root);
foreach my $version (@frozen)
{
    is(join(' ', grep { !-e "$root/sql/released/$_--$version.sql" } @names), '', "version $version is frozen under all three names");
}
like(join(' ', @frozen, $current), qr/^(\d+\.\d+\.\d+( |$))+$/, 'versions are three numbers');
is((grep { by_version($_, $current) > 0 } @frozen), 0, 'no frozen version is newer than the present one');
copy_tree($root, $tree);
make_in($tree, @scripts);
my ($same, $said) = run_in($tree, 'sql/release.sh', '--check');
ok($same, "what is frozen as $current, if anything, is what is built") or diag($said);

# A release of it, in the copy.
unlink @now;
refused(qr/no git repository/, 'outside git');
git($tree, 'init', '-q');
edit("$tree/CHANGELOG.md", sub { $_[0] =~ s/^## \Q$current\E.*$/## $current (not yet released)/mr . "\n" });
commit_all($tree);
refused(qr/CHANGELOG.md has no heading/, 'a version without its day in CHANGELOG.md');
edit("$tree/CHANGELOG.md", sub { $_[0] =~ s/^(## \Q$current\E) .*$/$1 (2026-01-31)/mr });
refused(qr/not everything is committed/, 'what is not committed');
write_file("$tree/src/new.h", '');
refused(qr/not everything is committed/, 'a file that git does not know');
commit_all($tree);
unlink "$tree/src/new.h";
refused(qr/not everything is committed/, 'a file removed and not committed');
edit("$tree/META.json", sub { $_[0] =~ s/("version": ")\Q$current\E/${1}9.9.9/r });
commit_all($tree);
refused(qr/META.json does not say/, 'another version in META.json');
edit("$tree/META.json", sub { $_[0] =~ s/9\.9\.9/$current/r });
commit_all($tree);
is(join(' ', grep { -e } @now), '', 'nothing was frozen so far');
my ($ok, $output) = release();
ok($ok, 'make release') or diag($output);
is(join(' ', grep { -e $_ && slurp_file($_) eq slurp_file(s{/released/}{/}r) } @now), "@now", 'it freezes what is built, under three names');
($ok, $output) = release();
ok($ok, 'make release again, before that is committed') or diag($output);
commit_all($tree);
edit("$tree/sql/upkeep.sql", sub { "$_[0]\n-- changed\n" });
make_in($tree, @scripts);
refused(qr/differs from what is built/, 'to freeze a version twice');
($same) = run_in($tree, 'sql/release.sh', '--check');
ok(!$same, 'a script changed after it was frozen is found');

# The next version.
my $next = $current =~ s/(\d+)$/$1 + 1/er;
edit("$tree/usage_tracking.control", sub { $_[0] =~ s/^(default_version = ')[^']*/$1$next/mr });
edit("$tree/META.json", sub { $_[0] =~ s/("version": ")\Q$current\E/$1$next/gr });
edit("$tree/CHANGELOG.md", sub { $_[0] =~ s/^(## \Q$current\E)/## $next (2026-02-28)\n\n- More.\n\n$1/mr });
commit_all($tree);
refused(qr{sql/updates/\Q$current--$next\E\.sql is missing}, 'a version to which there is no update');
mkdir "$tree/sql/updates";
write_file("$tree/sql/updates/$current--$next.sql", "-- nothing\n");
commit_all($tree);
($ok, $output) = release();
ok($ok, 'make release of the next one') or diag($output);
commit_all($tree);
is(join(' ', frozen_versions($tree)), join(' ', sort { by_version($a, $b) } $next, $current, grep { $_ ne $current } @frozen), 'both are frozen');

make_in($tree, 'dist');
my $archive = slurp_file("$tree/usage_tracking-$next.zip");
is(join(' ', grep { index($archive, "usage_tracking-$next/sql/$_") < 0 } 'events.sql', "updates/$current--$next.sql", map { ("released/$_--$current.sql", "released/$_--$next.sql") } @names),
    '', 'make dist has frozen versions and updates');
make_in($tree, 'clean');
my (undef, $dirt) = run_in($tree, 'git', 'status', '--porcelain', '--ignored');
is($dirt, '', 'make clean leaves what is kept, and nothing else');
done_testing();
