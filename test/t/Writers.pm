# Clients that write down what a server told them, and the questions whether it
# kept its word: test/stress/writer.c and writer.sql, for the tests in this folder.
package Writers;

use strict;
use warnings;

use FindBin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $stress = "$FindBin::RealBin/../stress";

# A seed for what is drawn at random here and in the writers; to be printed.
sub seed { return $ENV{UT_CRASH_SEED} // int(rand(1 << 30)) }

# Makes the database ready on a running node, and clients that wait for "go". They
# look for a server that takes writes, there and on nodes given as successors.
sub new
{
    my ($class, $node, $seed, @successors) = @_;
    my $directory = $node->basedir . '/writers';
    my $self = bless {
        node => $node, directory => $directory, in => '', out => '', err => '', figures => {}
    }, $class;

    mkdir $directory or die "$directory: $!";
    system_or_bail('make', '-s', '--no-print-directory', '-C', $stress, 'writer');
    $node->safe_psql('postgres', slurp_file("$stress/writer.sql"));
    $self->{run} = IPC::Run::start(
        [ "$stress/writer", $directory, $seed ],
        '<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err},
        init => sub {
            $ENV{PGHOST} = join ',', map { $_->host } $node, @successors;
            $ENV{PGPORT} = join ',', map { $_->port } $node, @successors;
            @ENV{qw(PGDATABASE PGTARGETSESSIONATTRS)} = ('postgres', 'read-write');
        },
        $self->{timer} = IPC::Run::timeout(4 * $PostgreSQL::Test::Utils::timeout_default));
    return $self;
}

# From now on the questions are for a successor.
sub move_to { my ($self, $node) = @_; $self->{node} = $node; return; }

# A line "ok|stuck name=number ... fault=text".
sub _read_answer
{
    my ($self) = @_;
    my ($word, $figures, $fault) = $self->{out} =~ /^(\w+) (.*) fault=(.*)\n\z/
      or die "no answer from the writers: $self->{out}$self->{err}";
    $self->{out} = '';
    $self->{fault} = $fault;
    $self->{figures} = { $figures =~ /(\w+)=(\d+)/g };
    return $word eq 'ok';
}

# True if they could do it.
sub order
{
    my ($self, $command) = @_;
    $self->{timer}->start;
    $self->{in} .= "$command\n";
    $self->{run}->pump until $self->{out} =~ /\n/;
    return $self->_read_answer;
}

sub go
{
    my ($self) = @_;
    $self->{node}->safe_psql('postgres', 'SELECT crash.go_on()');
    return $self->order('go');
}

# True if every client lived to its end, and met nothing that it should not.
sub end
{
    my ($self) = @_;
    $self->{in} .= "end\n";
    $self->{run}->finish;
    return $self->_read_answer;
}

sub summary
{
    my ($self) = @_;
    return join ', ', map { "$self->{figures}{$_} $_" } sort keys %{ $self->{figures} };
}

# How many of the uses whose fate their writer never learned are there, and are not.
sub unknown_fates
{
    my ($self) = @_;
    return split /\|/, $self->{node}->safe_psql('postgres', q{
        SELECT count(e.id), count(*) - count(e.id)
          FROM (SELECT request FROM crash.log GROUP BY request HAVING bool_and(fate = 'unknown')) AS l
          LEFT JOIN crash.events AS e USING (request)});
}

# ---- how a server ends ----

# Postmaster and children, the postmaster first, so that it starts no others; it
# stands still while they are counted.
sub kill_server
{
    my ($node) = @_;
    my $postmaster = $node->{_pid};
    kill 'STOP', $postmaster;
    select(undef, undef, undef, 0.001) until (process($postmaster))[0] =~ /[TZ]/;    # it may be starting one
    my @children = grep { (process($_))[1] == $postmaster } map { m{(\d+)} } glob '/proc/[0-9]*';
    die 'the server has no children' unless @children;
    $node->kill9;
    kill 'KILL', @children;
    select(undef, undef, undef, 0.01) while grep { (process($_))[0] ne 'Z' } $postmaster, @children;
    # Where nobody waits for it, it has no successor while this file names it.
    foreach (1 .. 200) { kill 0, $postmaster or last; select(undef, undef, undef, 0.01) }
    unlink $node->data_dir . '/postmaster.pid' if kill 0, $postmaster;
    return;
}

# Its state and its parent; one that is over is like one that nobody waits for.
sub process
{
    my ($pid) = @_;
    open my $stat, '<', "/proc/$pid/stat" or return ('Z', 0);
    my $line = <$stat> // '';
    return $line =~ /\) (\w) (\d+) / ? ($1, $2) : ('Z', 0);
}

# ---- whether the server kept its word ----

my @promises = (
    [ 'crash.lost',              'every acknowledged use is there, under its id' ],
    [ 'crash.doubled',           'nothing is there twice, no id and no request' ],
    [ 'crash.unexplained',       'nothing is there that was rolled back or refused' ],
    [ 'crash.gone_but_there',    'what is refused under its key was not there' ],
    [ 'crash.torn',              'transactions are there as a whole or not at all' ],
    [ 'crash.without_order',     'uses and rows of the application go together' ],
    [ 'crash.without_key',       'keys and their events go together' ],
    [ 'crash.over',              'nobody is over a limit' ],
    [ 'usage.reconcile_usage()', 'counters are equal to events' ],
    [ 'crash.miscounted',        'users are told what the events say' ],
);

sub load_logs
{
    my ($self) = @_;
    my $copies = join '', map { "COPY crash.log FROM '$_';" } glob "$self->{directory}/*.log";
    $self->{node}->safe_psql('postgres', "TRUNCATE crash.log; $copies ANALYZE crash.log;");
    return;
}

# To be asked while the writers pause.
sub verify
{
    my ($self, $when) = @_;
    my $node = $self->{node};

    is($self->{fault} // '', '', "$when: writers met only what they expected");
    $self->load_logs;
    # Autovacuum and the checkpointer pin pages too, for a moment: what is left is what stays.
    ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM crash.left_behind'), "$when: no lock, pin, snapshot or transaction is left")
        or diag($node->safe_psql('postgres', 'SELECT * FROM crash.left_behind'));
    foreach my $promise (@promises)
    {
        my ($view, $title) = @$promise;
        my $rows = $node->safe_psql('postgres', "SELECT count(*) OVER () AS all, v.* FROM $view AS v LIMIT 5");
        is($rows, '', "$when: $title");
    }
    is($node->safe_psql('postgres', q{
        SELECT count(*) FILTER (WHERE fault IS NULL) > 0, string_agg(fault, '; ')
          FROM (SELECT crash.fill_up(user_id) AS fault FROM crash.room WHERE kind = 'hot'
                 UNION ALL
                SELECT crash.fill_up(user_id) FROM (SELECT user_id FROM crash.room WHERE kind = 'cold' AND least(units, calls) > 0
                 ORDER BY user_id DESC LIMIT 3) AS last) AS filled}), 't|', "$when: what is left can be used to the last unit");
    return;
}

# Whatever pg_amcheck says is corruption.
sub check_files
{
    my ($self, $when) = @_;
    my $node = $self->{node};
    my ($out, $err) = run_command([ 'pg_amcheck', '--no-strict-names', '--heapallindexed', '--parent-check',
        '-h', $node->host, '-p', $node->port, 'postgres' ]);
    is("$out$err", '', "$when: pg_amcheck finds nothing");
    return;
}

# The log says nothing of panic and leaks, and of errors only the expected ones.
# It has to begin each line with the SQLSTATE, as log_settings() does.
sub log_settings { return "log_line_prefix = '%e '\nlog_statement = none\nlog_min_messages = warning\n"; }

sub check_log
{
    my ($self, $when, @expected) = @_;
    my $log = slurp_file($self->{node}->logfile);
    # whoever gives up says ROLLBACK, whether or not anything is open
    my @odd = grep { my $line = $_; !grep { $line =~ /^$_ / } @expected, '25P01' }
      $log =~ /^(\w{5} (?:WARNING|ERROR|FATAL|PANIC): .*)$/mg;
    is(join("\n", @odd), '', "$when: the log has no other error than expected");
    unlike($log, qr/PANIC|TRAP:|not closed|leak|still referenced|was terminated by signal (?!9\b)/,
        "$when: nor panic, leak or crash of another kind");
    return;
}

1;
