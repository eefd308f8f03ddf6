# A session that stays open: psql on a pipe.
package OpenSession;

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;

my $marker = '-- answered --';

# connection: what psql takes for a database
sub new
{
    my ($class, $connection) = @_;
    my $self = bless { in => '', out => '', err => '' }, $class;

    $self->{timer} = IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default);
    $self->{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', $connection ],
        '<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err}, $self->{timer});
    return $self;
}

# Sends it; the answer is for answer(), when it comes.
sub send
{
    my ($self, $sql) = @_;
    $self->{timer}->start;
    $self->{in} .= "$sql;\n\\echo $marker\n\\warn $marker\n";
    $self->{run}->pump while length $self->{in};
    return;
}

# Rows, or "ERROR SQLSTATE" for each error.
sub answer
{
    my ($self) = @_;
    $self->{run}->pump until $self->{out} =~ /^\Q$marker\E$/m && $self->{err} =~ /^\Q$marker\E$/m;
    my $answer = $self->{out} . join '', map { "ERROR $_\n" } $self->{err} =~ /(?:ERROR|FATAL):  (\w{5}):/g;
    @$self{qw(out err)} = ('', '');
    $answer =~ s/^\Q$marker\E\n//mg;
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
    $self->{in} .= "\\q\n";
    $self->{run}->finish;
    return;
}

1;
