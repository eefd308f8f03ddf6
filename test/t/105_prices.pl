# LiteLLM's whole price list, imported and computed with.
#
# Random models with random tokens, and every model that has thresholds: what the
# calculators say is what this test works out from the list itself, field by
# field, in exact decimals, knowing nothing of how the book keeps it. Images and
# video too. And a session that is open notices what another one changes.
#
# The list is model_prices_and_context_window.json in UT_DATA, by default
# ../shared/data beside the project. UT_PRICES_SEED repeats a run.
use strict;
use warnings;

use FindBin;
use JSON::PP;
use List::Util qw(shuffle);
use Math::BigFloat;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib $FindBin::RealBin;
use OpenSession;

my $file = ($ENV{UT_DATA} || "$FindBin::RealBin/../../../shared/data") . '/model_prices_and_context_window.json';
plan skip_all => "there is no $file" if !-r $file;

my $seed = $ENV{UT_PRICES_SEED} || int(time() ^ $$ << 10) % 1_000_000_000;
diag("UT_PRICES_SEED=$seed");
srand($seed);

my $text = slurp_file($file);
my $list = JSON::PP->new->utf8->allow_bignum->decode($text);
delete @$list{qw(sample_spec fallback_generalizations last_updated)};

my $node = PostgreSQL::Test::Cluster->new('prices');
$node->init(extra => [ '--no-locale', '--encoding=UTF8' ]);
$node->start;
sub ask { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
sub rows { return map { [ split /\|/, $_, -1 ] } split /\n/, ask(@_) }
sub quoted { my ($value) = @_; return defined $value ? "'" . $value =~ s/'/''/gr . "'" : 'NULL' }

ask('CREATE SCHEMA usage; CREATE EXTENSION usage_tracking SCHEMA usage; CREATE TABLE list (prices jsonb)');
ask("INSERT INTO list VALUES (\$list\$$text\$list\$)");

# ---- the import ----

my $import = "SELECT i.* FROM list, usage.import_model_prices(prices, '2026-07-24', 'LiteLLM') AS i";
is(ask("SELECT action, count(*) FROM ($import) AS i GROUP BY action"), 'added|' . keys(%$list), 'every model is taken');
is(ask($import), '', 'the same list again changes nothing');
my (%listed, %kept);
$listed{ $_->{mode} // '' }++ foreach values %$list;
%kept = map { @$_ } rows("SELECT coalesce(mode, ''), count(*) FROM usage.model_prices GROUP BY 1");
is_deeply(\%kept, \%listed, 'models by mode');

# ---- what a call costs, from the list ----

my @classes = qw(input output cache_read cache_write cache_write_1h reasoning audio_input audio_cache_read audio_output image_input image_output);
my %fields_of = (
    input => ['input_cost_per_token'], output => ['output_cost_per_token'],
    cache_read => [ 'cache_read_input_token_cost', 'input_cost_per_token_cache_hit' ], cache_write => ['cache_creation_input_token_cost'],
    cache_write_1h => ['cache_creation_input_token_cost_above_1hr'], reasoning => ['output_cost_per_reasoning_token'],
    audio_input => ['input_cost_per_audio_token'], audio_cache_read => ['cache_read_input_audio_token_cost'],
    audio_output => ['output_cost_per_audio_token'], image_input => ['input_cost_per_image_token'], image_output => ['output_cost_per_image_token']);
my %instead = (cache_read => 'input', cache_write => 'input', cache_write_1h => 'cache_write', reasoning => 'output', audio_input => 'input',
    audio_cache_read => 'audio_input', audio_output => 'output', image_input => 'input', image_output => 'output');
my %suffix_of = (standard => [''], batch => [ '_batches', '' ], flex => [ '_flex', '' ], priority => [ '_priority', '' ]);

sub thresholds
{
    my ($entry) = @_;
    my %found = map { /_above_(\d+)k_tokens/ ? (1000 * $1 => 1) : () } keys %$entry;
    $found{ 0 + $_->{range}[0]->numify }++ foreach grep { ref $_->{range} && ref $_->{range}[0] } @{ $entry->{tiered_pricing} // [] };
    my @above = sort { $b <=> $a } grep { $_ > 0 } keys %found;
    return @above;
}

# A price as the list has it for this many input tokens; undef if it has none.
sub listed_price
{
    my ($entry, $class, $tier, $input) = @_;
    foreach my $above ((grep { $input > $_ } thresholds($entry)), 0)
    {
        my ($range) = grep { ref $_->{range} && $_->{range}[0] == $above } @{ $entry->{tiered_pricing} // [] };
        my $k = $above / 1000;
        foreach my $suffix (@{ $suffix_of{$tier} })
        {
            foreach my $field (@{ $fields_of{$class} })
            {
                my $price = $entry->{ $field . ($above ? "_above_${k}k_tokens" : '') . $suffix };
                return $price if defined $price;
                return $range->{$field} if $suffix eq '' && $range && defined $range->{$field};
            }
        }
    }
    return $instead{$class} ? listed_price($entry, $instead{$class}, $tier, $input) : undef;
}

# (input, output, total) as numbers, or undef for what is unknown
sub listed_cost
{
    my ($entry, $tokens, $tier) = @_;
    my %cost = map { $_ => Math::BigFloat->new(0) } qw(in out);
    my $input = 0;
    $input += $tokens->{$_} foreach grep { !/output|reasoning/ } @classes;
    foreach my $class (grep { $tokens->{$_} } @classes)
    {
        my $side = $class =~ /output|reasoning/ ? 'out' : 'in';
        my $price = listed_price($entry, $class, $tier, $input);
        $cost{$side} = defined $price && defined $cost{$side} ? $cost{$side} + Math::BigFloat->new($tokens->{$class}) * $price : undef;
    }
    $cost{in} += $entry->{input_cost_per_request} if defined $cost{in} && defined $entry->{input_cost_per_request};
    return ($cost{in}, $cost{out}, defined $cost{in} && defined $cost{out} ? $cost{in} + $cost{out} : undef);
}

sub same
{
    my ($said, $wanted) = @_;
    return $said eq '' if !defined $wanted;
    return $said ne '' && $wanted->bcmp($said) == 0;
}

my @models = sort keys %$list;
my @chosen = ((shuffle(@models))[ 0 .. 299 ], grep { thresholds($list->{$_}) } @models);
my (@calls, %seen);
foreach my $model (@chosen)
{
    my $size = thresholds($list->{$model}) && rand() < 0.5 ? 10**6 : 10**(1 + int rand 6);
    my $few = rand() < 0.5;    # text alone, or a bit of everything
    push @calls, {
        model => $model,
        tier => (qw(standard batch flex priority))[ int rand 4 ],
        tokens => { map { $_ => rand() < ($few && !/^(input|output|cache_read)$/ ? 0 : 0.7) ? int rand $size : 0 } @classes } };
}
my $values = join ",\n", map { my $call = $_; sprintf "(%d, %s, %s, '%s', '{%s}'::bigint[])", $_, quoted($list->{ $calls[$_]{model} }{litellm_provider}),
    quoted($calls[$_]{model}), $calls[$_]{tier}, join(',', @{ $calls[$_]{tokens} }{@classes}) } 0 .. $#calls;
my @said = rows("SELECT c.* FROM (VALUES $values) AS v (n, provider, model, tier, t),
    usage.calculate_llm_cost(provider, model, " . join(', ', map { "t[$_]" } 1 .. @classes) . ", service_tier => tier, at => '2026-08-01') AS c ORDER BY n");
my @wrong;
foreach my $n (0 .. $#calls)
{
    my ($call, $said) = ($calls[$n], $said[$n]);
    my $entry = $list->{ $call->{model} };
    my @wanted = listed_cost($entry, $call->{tokens}, $call->{tier});
    $seen{ defined $wanted[2] ? 'priced' : 'unknown' }++;
    $seen{$_}++ foreach grep { defined $wanted[2] && $call->{tokens}{$_} } @classes;
    my $input = 0;
    $input += $call->{tokens}{$_} foreach grep { !/output|reasoning/ } @classes;
    $seen{above}++ if defined $wanted[2] && grep { $input > $_ } thresholds($entry);
    next if same($said->[0], $wanted[0]) && same($said->[1], $wanted[1]) && same($said->[2], $wanted[2])
      && $said->[3] eq (defined $wanted[2] ? 't' : 'f');
    push @wrong, "$call->{model} ($call->{tier}, " . join(' ', map { "$_=$call->{tokens}{$_}" } grep { $call->{tokens}{$_} } @classes)
      . '): said ' . join('|', @$said) . ', should be ' . join('|', map { $_ // '' } @wanted);
}
is(join("\n", @wrong), '', 'the cost of ' . @calls . " calls is what the list says, with UT_PRICES_SEED=$seed");
diag(join ', ', map { "$_: $seen{$_}" } sort keys %seen);
cmp_ok($seen{$_} // 0, '>', 10, "$_: was among them") foreach qw(priced above), @classes;

# ---- images and video ----

my @made;
foreach my $model (@models)
{
    my $entry = $list->{$model};
    my $provider = $entry->{litellm_provider};
    next if ($entry->{mode} // '') !~ /^(image_generation|image_edit|video_generation)$/;
    my $image = $entry->{output_cost_per_image} // $entry->{input_cost_per_image};
    my $second = $entry->{output_cost_per_video_per_second} // $entry->{output_cost_per_second};
    if ($1 eq 'video_generation')
    {
        push @made, [ "video_cost(" . quoted($provider) . ', ' . quoted($model) . ', 7.25)', defined $second ? $second * Math::BigFloat->new('7.25') : undef ];
        next;
    }
    push @made, [ "image_cost(" . quoted($provider) . ', ' . quoted($model) . ', 3)', defined $image ? Math::BigFloat->new($image) * 3 : undef ];
    next if $model !~ m{^(?:(\w+)/)??(?:(low|medium|high|standard|hd)/)?(\d+)-x-(\d+)/([^/]+)$} || ($1 // $provider) ne $provider;
    my ($quality, $width, $height, $name) = ($2, $3, $4, $5);
    $image //= Math::BigFloat->new($width * $height) * (($entry->{input_cost_per_pixel} // 0) + ($entry->{output_cost_per_pixel} // 0))
      if defined $entry->{input_cost_per_pixel} || defined $entry->{output_cost_per_pixel};
    push @made, [ "image_cost(" . quoted($provider) . ', ' . quoted($name) . ", 3, '${width}x$height', " . quoted($quality) . ')', defined $image ? Math::BigFloat->new($image) * 3 : undef ];
}
my @answers = rows(join ' UNION ALL ', map { "SELECT $_ AS n, c.* FROM usage.calculate_" . ($made[$_][0] =~ s/\)$/, at => '2026-08-01')/r) . ' AS c' } 0 .. $#made);
@wrong = map { my ($n, $said, $priced) = @$_; same($said, $made[$n][1]) && $priced eq (defined $made[$n][1] ? 't' : 'f') ? () : "$made[$n][0]: said $said, should be " . ($made[$n][1] // '') } @answers;
is(scalar(@answers), scalar(@made), 'every one is answered');
is(join("\n", @wrong), '', @made . ' prices of images and video are what the list says');
cmp_ok(scalar(grep { $_->[0] =~ /x\d/ } @made), '>', 20, 'by size and quality too');

# ---- other sessions ----

my $price = "SELECT input_cost FROM usage.calculate_llm_cost('acme', 'm', 1, 0)";
ask("INSERT INTO usage.model_prices (provider, model, prices, valid_from) VALUES ('acme', 'm', '{\"input\": 1}', '2026-01-01')");
my ($one, $other) = map { OpenSession->new($node->connstr('postgres')) } 1, 2;
is($one->ask($price), '1', 'a session knows a price');
is($one->ask("SELECT priced FROM usage.calculate_llm_cost('acme', 'new', 1, 0)"), 'f', 'and that there is none');
is($one->ask("BEGIN ISOLATION LEVEL REPEATABLE READ; $price"), '1', 'in a transaction');
is($other->ask("BEGIN; UPDATE usage.model_prices SET prices = '{\"input\": 2}' WHERE model = 'm'; $price"), '2', 'another one changes it');
is($one->ask($price), '1', 'not before it commits');
is($other->ask("COMMIT; INSERT INTO usage.model_aliases VALUES ('acme', 'new', 'acme', 'm')"), '', 'it does, and adds a name');
is($one->ask($price), '2', 'then it counts, in the same transaction too');
is($one->ask("COMMIT; SELECT input_cost FROM usage.calculate_llm_cost('acme', 'new', 1, 0)"), '2', 'and so does the name');
is($one->ask("SELECT count(*) FILTER (WHERE priced) FROM generate_series(1, 5000) AS n, usage.calculate_llm_cost('acme', 'none-' || n, 1, 0)"), '0',
    'more names than a session keeps');
is($one->ask($price), '2', 'and it still knows the price');
is($other->ask("BEGIN; TRUNCATE usage.model_prices; $price; ROLLBACK; $price"), "\n2", 'taken back, nothing has changed');
is($one->ask('ALTER SCHEMA usage RENAME TO moved; ' . $price =~ s/usage\./moved./r), '2', 'in another schema it is the same');
$_->quit foreach grep { $_->can('quit') } $one, $other;
$node->stop;
done_testing();
