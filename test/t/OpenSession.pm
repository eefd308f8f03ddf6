# A session that stays open: psql on a pipe, which answers into files.
package OpenSession;

use strict;
use warnings;

use File::Temp;
use IO::Handle;
use IPC::Open3;
use PostgreSQL::Test::Utils;

my $marker = '-- answered --';

# connection: what psql takes for a database
sub new
{
    my ($class, $connection) = @_;
    my %self = map { $_ => File::Temp->new } qw(out err);

    $self{pid} = open3($self{in}, map({ '>&' . fileno $self{$_} } qw(out err)),
        'psql', '-XAtq', '-v', 'VERBOSITY=verbose', $connection);
    $self{in}->autoflush(1);
    return bless \%self, $class;
}

# Sends it; the answer is for answer(), when it comes.
sub send
{
    my ($self, $sql) = @_;
    local $SIG{PIPE} = 'IGNORE';
    print { $self->{in} } "$sql;\n\\echo $marker\n\\warn $marker\n";
    return;
}

# What came since the last answer, if it is complete.
sub _read
{
    my ($self, $name) = @_;
    my $text = slurp_file($self->{$name}->filename, $self->{"${name}_read"} // 0);
    return if $text !~ s/^\Q$marker\E\n\z//m;
    $self->{"${name}_read"} = -s $self->{$name}->filename;
    return $text;
}

# Rows, and "ERROR SQLSTATE" for each error or warning.
sub answer
{
    my ($self) = @_;
    my ($out, $err);
    foreach (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
    {
        $err //= $self->_read('err');
        $out //= $self->_read('out') if defined $err;
        last if defined $out;
        select(undef, undef, undef, 0.01);
    }
    die "no answer\n" unless defined $out;
    my $answer = $out . join '', map { "ERROR $_\n" } $err =~ /(?:WARNING|ERROR|FATAL):  (\w{5}):/g;
    chomp $answer;
    return $answer;
}

sub ask
{
    my ($self, $sql) = @_;
    $self->send($sql);
    return $self->answer;
}

sub end
{
    my ($self) = @_;
    close $self->{in};
    waitpid $self->{pid}, 0;
    return;
}

1;
