# Real calls, and very many very cheap ones: nothing is lost to rounding.
#
# The requests of Azure's traces are tracked as calls of 50 users and 3 models of
# LiteLLM's list. What they cost, each, by user and by model, what of it is beyond
# which budget, and who is refused in the end is worked out here in whole
# picodollars. The files lie in UT_DATA, by default ../shared/data beside the
# project; without them that part is skipped. UT_CALLS is how many cheap calls
# there are.
use strict;
use warnings;

use FindBin;
use JSON::PP;
use Math::BigFloat;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $calls = $ENV{UT_CALLS} || 20_000;
my $data = $ENV{UT_DATA} || "$FindBin::RealBin/../../../shared/data";
my $prices = "$data/model_prices_and_context_window.json";
my @traces = map { "$data/AzureLLMInferenceTrace_$_.csv" } qw(code conv);

my $node = PostgreSQL::Test::Cluster->new('calls');
$node->init(extra => [ '--no-locale', '--encoding=UTF8' ]);
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'\nusage_tracking.clock = '2023-11-16 20:00+00'\n");
$node->start;
sub ask { my ($sql) = @_; return $node->safe_psql('postgres', $sql) }
ask('CREATE SCHEMA usage; CREATE EXTENSION usage_tracking SCHEMA usage');

# ---- very many, very cheap ----

ask(q{
    INSERT INTO usage.model_prices (provider, model, prices, valid_from) VALUES ('acme', 'tiny', '{"input": 1e-12, "output": 1e-9}', '2020-01-01');
    SELECT usage.define_usage_limit('tiny_ever', 'tiny', -1, window_kind => 'lifetime', period => NULL, measure => 'cost');
    SELECT usage.define_usage_type('call')});
my $user = "00000000-0000-0000-0000-00000000000a";
ask("DO \$\$ BEGIN
         FOR n IN 1 .. $calls LOOP
             PERFORM usage.track_api_usage('$user', 'tiny', 'acme', 'tiny', input_tokens => 1, output_tokens => n % 2);
             IF n % 500 = 0 THEN COMMIT; END IF;  -- a row with many versions is slow
         END LOOP;
     END \$\$");
my $sum = Math::BigFloat->new($calls) * Math::BigFloat->new('1e-12') + Math::BigFloat->new(int(($calls + 1) / 2)) * Math::BigFloat->new('1e-9');
is(ask("SELECT sum(cost) = $sum, sum(input_cost) + sum(output_cost) = $sum FROM usage.usage_events"), 't|t', "$calls calls cost what the closed form says");
is(ask("SELECT used = $sum FROM usage.check_usage_limit('$user', 'tiny_ever')"), 't', 'and so much is counted');

SKIP:
{
    skip "there are no files in $data", 1 if grep { !-r $_ } $prices, @traces;
    trace_calls();
}
is(ask('SELECT * FROM usage.reconcile_usage()'), '', 'counters are equal to events');
$node->stop;
done_testing();

# ---- real ones ----

# Prices of a token in picodollars, of models without thresholds.
sub models
{
    my ($list) = @_;
    my @models;
    delete @$list{qw(sample_spec fallback_generalizations last_updated)};
    foreach my $provider (qw(openai anthropic mistral))
    {
        foreach my $name (sort grep { ($list->{$_}{litellm_provider} // '') eq $provider } keys %$list)
        {
            my $entry = $list->{$name};
            next if grep { /_above_|tiered/ } keys %$entry;
            my @pico = map { Math::BigFloat->new($entry->{$_} // 0) * 10**12 } qw(input_cost_per_token output_cost_per_token);
            next if grep { $_ <= 0 || !$_->is_int } @pico;
            push @models, { provider => $provider, name => $name, pico => [ map { $_->numify } @pico ] };
            last;
        }
    }
    return @models;
}

sub pico { my ($value) = @_; return sprintf '%.0f', Math::BigFloat->new($value) * 10**12 }

sub trace_calls
{
    my $text = slurp_file($prices);
    my @models = models(JSON::PP->new->utf8->allow_bignum->decode($text));
    is(@models, 3, 'three models: ' . join(', ', map { $_->{name} } @models));
    ask("SELECT count(*) FROM usage.import_model_prices(\$list\$$text\$list\$, '2023-01-01')");
    my (@rows, @costs, %used, %of_model, $total);
    foreach my $line (map { my @lines = split /\r?\n/, slurp_file($_); @lines[ 1 .. $#lines ] } @traces)
    {
        my ($at, $in, $out) = split /,/, $line;
        my $n = @rows;
        my $model = $models[ $n % 3 ];
        my $who = $n % 50;
        my $cost = $in * $model->{pico}[0] + $out * $model->{pico}[1];
        $total += $cost;
        $of_model{ $model->{name} } += $cost;
        $used{$who} += $cost;
        push @costs, $cost;
        push @rows, join("\t", $n, sprintf('00000000-0000-0000-0000-%012d', 100 + $who), $model->{provider}, $model->{name}, $at, $in, $out, $cost);
    }

    # a budget that half of them exceed
    my $budget = int((sort { $a <=> $b } values %used)[25] / 10**10) * 10**10;
    my (%so_far, %mark);
    foreach my $n (0 .. $#costs)
    {
        my $beyond = ($so_far{ $n % 50 } += $costs[$n]) - $budget;
        $mark{$n} = $beyond < $costs[$n] ? $beyond : $costs[$n] if $beyond > 0;
    }
    ask("SELECT usage.define_usage_limit('budget', 'call', $budget / 1e12, period => '1 month', measure => 'cost')");
    ask("CREATE TABLE call (n integer, user_id uuid, provider text, model text, at timestamptz, input bigint, output bigint, pico numeric);
COPY call FROM stdin;
" . join("\n", @rows) . "\n\\.\n");
    ask(q{CREATE TABLE told (n integer, input_cost numeric, output_cost numeric, total_cost numeric, priced boolean);
        DO $$ BEGIN
            FOR low IN 0 .. (SELECT max(n) FROM call) BY 500 LOOP
                INSERT INTO told SELECT n, (t).input_cost, (t).output_cost, (t).total_cost, (t).priced
                  FROM (SELECT n, usage.track_api_usage(user_id, 'call', provider, model, request_id => n::text, input_tokens => input, output_tokens => output, occurred_at => at) AS t
                          FROM call WHERE n BETWEEN low AND low + 499 ORDER BY n OFFSET 0) AS c;
                COMMIT;
            END LOOP;
        END $$});
    is(ask('SELECT count(*), count(*) FILTER (WHERE total_cost = pico / 1e12 AND total_cost = input_cost + output_cost AND priced) FROM call LEFT JOIN told USING (n)'),
        @rows . '|' . @rows, 'each call costs what the list says');
    is(pico(ask("SELECT sum(cost) FROM usage.usage_events WHERE usage_type = 'call'")), $total, 'all together');
    is_deeply({ map { my ($name, $cost) = split /\|/; $name => pico($cost) } split /\n/, ask("SELECT model, sum(total_cost) FROM usage.api_usage WHERE service_type = 'call' GROUP BY 1") },
        \%of_model, 'by model, as the view says');
    # sums by day: none counted yet, all counted, and some of each
    my $wanted = ask(q{SELECT model, count(*), sum(tokens), trim_scale(sum(cost)) FROM usage.usage_events WHERE usage_type = 'call' GROUP BY 1 ORDER BY 1});
    my $days = q{SELECT model, sum(events), sum(tokens), trim_scale(sum(cost)) FROM %s WHERE usage_type = 'call' GROUP BY 1 ORDER BY 1};
    my $totals = sprintf $days, 'usage.get_usage_totals()';
    my $of_users = sprintf $days, '(SELECT DISTINCT user_id FROM call) AS u, LATERAL usage.get_user_aggregations(u.user_id)';
    is(ask($totals), $wanted, 'the last 30 days, none of it counted');
    is(ask($of_users), $wanted, 'and of each user');
    ask('SELECT usage.refresh_usage_aggregations(10000)');
    is(ask($totals), $wanted, 'some of it counted');
    is(ask($of_users), $wanted, 'and of each user');
    my $left = 1;
    $left = ask('SELECT "left" FROM usage.refresh_usage_aggregations()') while $left;
    is(ask($totals), $wanted, 'all of it counted');
    is(ask($of_users), $wanted, 'and of each user');
    is(pico(ask('SELECT sum(c.lifetime) FROM (SELECT DISTINCT user_id FROM call) AS u, LATERAL usage.get_user_costs(u.user_id) AS c')), $total, 'lifetime costs');
    my %marked = map { my ($n, $cost) = split /\|/; $n => pico($cost) } split /\n/, ask("SELECT request_id, overage ->> 'budget' FROM usage.usage_events WHERE overage IS NOT NULL");
    is_deeply(\%marked, \%mark, scalar(keys %mark) . ' calls are beyond a budget, by so much');
    my @over = sort { $a <=> $b } grep { $used{$_} >= $budget } keys %used;
    cmp_ok(scalar(@over), '>', 5, scalar(@over) . ' users have used theirs up');
    cmp_ok(scalar(@over), '<', 50, 'others have not');
    is(ask(q{SELECT string_agg(who::text, ' ' ORDER BY who) FROM generate_series(0, 49) AS who,
        LATERAL (SELECT ('00000000-0000-0000-0000-' || lpad((100 + who)::text, 12, '0'))::uuid AS id) AS u
        WHERE NOT (usage.consume_usage(id, 'call')).allowed AND NOT (usage.reserve_usage(id, 'call')).allowed AND NOT (usage.check_usage_limit(id, 'budget')).allowed}),
        join(' ', @over), 'they are refused, and nobody else');
    return;
}
