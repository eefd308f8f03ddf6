# ServerTree.pm: programs of PostgreSQL in a folder of the test's own, so that
# versions of the extension can be installed there without being root.
#
# PostgreSQL finds its files relative to its programs. What starts others or
# looks for files is copied, everything else is a symbolic link, and the folders
# of libraries and extensions are the tree's own, without usage_tracking.
package ServerTree;

use strict;
use warnings FATAL => 'all';

use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use File::Path qw(make_path);

sub asked_of
{
    my ($pg_config, $what) = @_;
    my $answer = qx{"$pg_config" --$what};
    die "$pg_config has no $what" if $? != 0;
    chomp $answer;
    return $answer;
}

# Links of everything in one folder to another, but for some names.
sub link_all
{
    my ($from, $to, $but) = @_;
    make_path($to);
    foreach my $file (glob "$from/*")
    {
        my $name = basename($file);
        next if $name =~ $but || -e "$to/$name";
        symlink($file, "$to/$name") or die "cannot link $to/$name: $!";
    }
    return;
}

# {pg_config, bindir, pkglibdir, extensions}, below the folder.
sub make
{
    my ($folder) = @_;
    my $real = $ENV{PG_CONFIG} // 'pg_config';
    my %of = map { $_ => asked_of($real, $_) } qw(bindir pkglibdir sharedir libdir includedir includedir-server);

    make_path("$folder$of{bindir}");
    foreach my $program (qw(postgres initdb pg_ctl pg_config))
    {
        copy("$of{bindir}/$program", "$folder$of{bindir}/$program") or die "cannot copy $program: $!";
        chmod 0755, "$folder$of{bindir}/$program";
    }
    link_all($of{bindir}, "$folder$of{bindir}", qr/^(postgres|initdb|pg_ctl|pg_config)$/);
    link_all($of{pkglibdir}, "$folder$of{pkglibdir}", qr/^(usage_tracking\.so|bitcode)$/);
    link_all("$of{sharedir}/extension", "$folder$of{sharedir}/extension", qr/^usage_tracking/);
    link_all($of{sharedir}, "$folder$of{sharedir}", qr/^extension$/);
    foreach my $more ('includedir', 'includedir-server', 'libdir')
    {
        next if -e "$folder$of{$more}";
        make_path(dirname("$folder$of{$more}"));
        symlink($of{$more}, "$folder$of{$more}") or die "cannot link $of{$more}: $!";
    }
    my $pg_config = "$folder$of{bindir}/pg_config";
    foreach my $place (qw(bindir pkglibdir sharedir))
    {
        my $here = asked_of($pg_config, $place);
        die "$place is $here, not below $folder" if index($here, $folder) != 0;
    }
    return {
        pg_config => $pg_config,
        bindir => "$folder$of{bindir}",
        pkglibdir => "$folder$of{pkglibdir}",
        extensions => "$folder$of{sharedir}/extension"
    };
}

1;
