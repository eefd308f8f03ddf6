# A browser without a screen, for tests of pages: Chromium, told what to do over a
# pair of pipes in its DevTools protocol (JSON objects that end in a zero byte).
package Browser;

use strict;
use warnings;

use Cwd ();
use File::Temp ();
use IO::Select;
use JSON::PP;
use MIME::Base64;
use POSIX ();

# How long an answer may take before the browser counts as dead.
my $patience = 120;

sub program
{
    foreach my $name (qw(chromium chromium-browser google-chrome))
    {
        my ($found) = grep { -x } map { "$_/$name" } split /:/, $ENV{PATH} . ':/usr/bin';
        return $found if $found;
    }
    return;
}

# Where a container forbids what the browser's sandbox is made of, it does without:
# the pages are ours.
sub new
{
    my ($class) = @_;
    my $problem = '';
    foreach my $more ([], ['--no-sandbox'])
    {
        my $self = bless { next_id => 1, events => [], unread => '', folder => File::Temp->newdir }, $class;
        $self->_begin(@$more);
        return $self if eval { $self->_call('Browser.getVersion'); 1 };
        $problem = $@;
        $self->stop;
    }
    die "the browser does not start: $problem";
}

sub _begin
{
    my ($self, @more) = @_;
    my $folder = $self->{folder}->dirname;
    local $^F = 64;    # what the browser inherits is not closed by exec
    pipe(my $its_input, my $to_it) or die $!;
    pipe(my $from_it, my $its_output) or die $!;
    $self->{pid} = fork() // die $!;
    if (!$self->{pid})
    {
        close $to_it;
        close $from_it;
        # Two descriptors out of the way, then to the numbers that it expects.
        POSIX::dup2(fileno $its_input, 60);
        POSIX::dup2(fileno $its_output, 61);
        POSIX::dup2(60, 3);
        POSIX::dup2(61, 4);
        POSIX::close($_) foreach 60, 61;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$folder/log";
        open STDERR, '>&', \*STDOUT;
        $ENV{HOME} = $folder;
        exec { program() } program(), '--headless', '--remote-debugging-pipe', '--disable-gpu', '--disable-dev-shm-usage',
          '--no-first-run', '--no-default-browser-check', '--disable-background-networking', '--disable-sync',
          '--disable-component-update', '--hide-scrollbars', "--user-data-dir=$folder/profile", @more, 'about:blank';
        die "exec: $!";
    }
    close $its_input;
    close $its_output;
    @$self{qw(to_it from_it)} = ($to_it, $from_it);
    $to_it->autoflush(1);
    return;
}

sub stop
{
    my ($self) = @_;
    return if !$self->{pid};
    local $SIG{PIPE} = 'IGNORE';
    eval { $self->_call('Browser.close') };
    close $self->{to_it};
    close $self->{from_it};
    waitpid($self->{pid}, 0);
    $self->{pid} = 0;
    return;
}

sub DESTROY { local ($?, $@) = ($?, $@); $_[0]->stop; return }

sub _receive
{
    my ($self) = @_;
    my $end;
    while (($end = index $self->{unread}, "\0") < 0)
    {
        IO::Select->new($self->{from_it})->can_read($patience) or die "no answer\n";
        sysread($self->{from_it}, $self->{unread}, 65536, length $self->{unread}) or die "it ended\n";
    }
    my $message = substr $self->{unread}, 0, $end + 1, '';
    chop $message;
    return decode_json($message);
}

sub _call
{
    my ($self, $method, %params) = @_;
    my $id = $self->{next_id}++;
    local $SIG{PIPE} = 'IGNORE';
    print { $self->{to_it} } encode_json({ id => $id, method => $method, params => \%params,
        $self->{session} ? (sessionId => $self->{session}) : () }), "\0";
    while (1)
    {
        my $message = $self->_receive;
        push @{ $self->{events} }, $message if $message->{method};
        next if ($message->{id} // 0) != $id;
        die "$method: $message->{error}{message}\n" if $message->{error};
        return $message->{result};
    }
    return;
}

# show a file, in a window of that width: show($path, width => 390, dark => 1)
sub show
{
    my ($self, $path, %how) = @_;
    $self->{session} = undef;
    $self->_call('Target.closeTarget', targetId => $self->{target}) if $self->{target};
    $self->{events} = [];
    $self->{target} = $self->_call('Target.createTarget', url => 'about:blank')->{targetId};
    $self->{session} = $self->_call('Target.attachToTarget', targetId => $self->{target}, flatten => JSON::PP::true)->{sessionId};
    $self->_call($_) foreach qw(Page.enable Runtime.enable Log.enable Network.enable);
    $self->_call('Emulation.setDeviceMetricsOverride', width => $how{width}, height => 800, deviceScaleFactor => 1,
        mobile => $how{width} < 600 ? JSON::PP::true : JSON::PP::false);
    $self->_call('Emulation.setEmulatedMedia',
        features => [ { name => 'prefers-color-scheme', value => $how{dark} ? 'dark' : 'light' } ]);
    $self->{url} = 'file://' . Cwd::abs_path($path);
    $self->_call('Page.navigate', url => $self->{url});
    until (grep { $_->{method} eq 'Page.loadEventFired' } @{ $self->{events} })
    {
        push @{ $self->{events} }, $self->_receive;
    }
    return;
}

# What a script in the page gives, a promise's value included.
sub evaluate
{
    my ($self, $script) = @_;
    my $answer = $self->_call('Runtime.evaluate', expression => $script, returnByValue => JSON::PP::true,
        awaitPromise => JSON::PP::true);
    die "script: $answer->{exceptionDetails}{exception}{description}\n" if $answer->{exceptionDetails};
    return $answer->{result}{value};
}

# What the page said to the console, what it asked for besides itself, and dialogs.
sub complaints
{
    my ($self) = @_;
    $self->_call('Runtime.evaluate', expression => '0');    # what came before it is here now
    my @found;
    foreach my $event (@{ $self->{events} })
    {
        my ($method, $told) = @$event{qw(method params)};
        push @found, "console: $told->{entry}{text}" if $method eq 'Log.entryAdded';
        push @found, 'console: ' . encode_json($told->{args}) if $method eq 'Runtime.consoleAPICalled';
        push @found, "exception: $told->{exceptionDetails}{text}" if $method eq 'Runtime.exceptionThrown';
        push @found, "dialog: $told->{message}" if $method eq 'Page.javascriptDialogOpening';
        push @found, "request: $told->{request}{url}"
          if $method eq 'Network.requestWillBeSent' && $told->{request}{url} ne $self->{url};
    }
    return @found;
}

# The whole page as a picture.
sub picture
{
    my ($self, $path) = @_;
    my $size = $self->_call('Page.getLayoutMetrics')->{cssContentSize};
    my $answer = $self->_call('Page.captureScreenshot', format => 'png', captureBeyondViewport => JSON::PP::true,
        clip => { x => 0, y => 0, width => $size->{width}, height => $size->{height}, scale => 1 });
    open my $file, '>:raw', $path or die "$path: $!";
    print $file decode_base64($answer->{data});
    close $file;
    return;
}

1;
