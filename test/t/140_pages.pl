# Pages in a browser: on a phone and on a desk, light and dark, with ordinary data,
# none, and hostile data.
#
# Nothing is loaded, run or complained about, nothing is wider than the window,
# whatever scrolls can be reached by keyboard, and axe-core finds no breach of WCAG A
# and AA (labels, contrast, headings, landmarks, tables). axe-core is fetched from the
# npm registry, in the version below and no other; where it cannot be, that part is
# skipped. UT_PAGES=folder keeps pages and pictures of them there.
use strict;
use warnings;

use Digest::SHA;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'JSON::PP is not installed' unless eval { require Browser; 1 };
plan skip_all => 'chromium is not installed' unless Browser::program();

my $axe_url = 'https://registry.npmjs.org/axe-core/-/axe-core-4.14.1.tgz';
my $axe_sha512 = '1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b73'
  . '4f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5';

my $node = PostgreSQL::Test::Cluster->new('pages');
$node->init(extra => [ '--no-locale', '--encoding=UTF8' ]);
$node->start;
$node->safe_psql('postgres', 'CREATE SCHEMA usage; CREATE EXTENSION usage_tracking SCHEMA usage');

my $folder = $ENV{UT_PAGES} // PostgreSQL::Test::Utils::tempdir();
my %page_of = map { $_ => "$folder/" . (s/ /_/r) . '.html' }
  map { ("$_", "new $_", "bare $_", "hostile $_") } qw(user admin);
write_pages();

my $browser = Browser->new;
my $axe = fetched_axe();
notices_what_is_wrong();
looks_well($_) foreach sort keys %page_of;
shows_attacks_as_text();
$browser->stop;
done_testing();

# Each dashboard of lib/dashboards.sql as a page.
sub write_pages
{
    my $sql = "\\i $FindBin::RealBin/../pgtap/lib/dashboards.sql\n";
    $sql .= "\\o $page_of{$_}\nSELECT usage.dashboard_page(value) FROM dashboard WHERE name = '$_';\n" foreach keys %page_of;
    IPC::Run::run([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ], '<', \$sql)
      or BAIL_OUT('no pages could be written');
    return;
}

sub fetched_axe
{
    my $archive = PostgreSQL::Test::Utils::tempdir() . '/axe.tgz';
    system("{ curl -fsSL --max-time 60 -o $archive $axe_url || wget -q -T 60 -O $archive $axe_url; } 2>/dev/null");
    return if !-s $archive;
    my $sum = Digest::SHA->new(512)->addfile($archive, 'b')->hexdigest;
    is($sum, $axe_sha512, 'axe-core is the one we know') or return;
    return scalar qx{tar -xzOf $archive package/axe.min.js};
}

# What one look at what is shown finds to be wrong, one line each.
sub problems
{
    my ($width) = @_;
    my $open = q{document.querySelectorAll('details').forEach(e => { e.open = true })};
    my $checks = q{
(() => {
    const found = [], root = document.documentElement;
    const rgb = text => text.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
                                          .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
    const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05) };
    if (root.scrollWidth > WIDTH) found.push('the page is ' + root.scrollWidth + ' wide');
    for (const e of document.querySelectorAll('body *')) {
        const style = getComputedStyle(e), name = e.tagName + '.' + e.getAttribute('class');
        if (/auto|scroll/.test(style.overflowX) && e.scrollWidth > e.clientWidth && e.tabIndex < 0) found.push(name + ' scrolls, but not by keyboard');
        if ([...e.attributes].some(a => /^(on|style|src|href)/.test(a.name))) found.push(name + ' has an attribute that it should not have');
        if (/^(SCRIPT|IMG|IFRAME|OBJECT|LINK|FORM|A|STYLE)$/i.test(e.tagName)) found.push(name + ' should not be there');
        const paint = e.matches('.line') ? style.stroke : e.matches('.bar .fill') ? style.fill : null;
        const card = e.closest('section');
        if (paint && card && contrast(rgb(paint), rgb(getComputedStyle(card).backgroundColor)) < 3) found.push(name + ' is hard to see');
    }
    if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
    if (/taken|^1$/.test(document.title) && !document.title.includes('<')) found.push('the title was taken');
    return found;
})()};
    $checks =~ s/WIDTH/$width/;    # a phone's own innerWidth grows with what is in it
    my $axe_run = q{axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
        .then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ': ' + n.html.slice(0, 200) + ' ' + n.failureSummary)))};

    my @found = map { "closed: $_" } @{ $browser->evaluate($checks) };
    $browser->evaluate($open);
    push @found, @{ $browser->evaluate($checks) };
    if ($axe)
    {
        $browser->evaluate("$axe; 0");
        push @found, @{ $browser->evaluate($axe_run) };
    }
    return (@found, $browser->complaints);
}

# A test that cannot fail shows nothing.
sub notices_what_is_wrong
{
    my $bad = PostgreSQL::Test::Utils::tempdir() . '/bad.html';
    append_to_file($bad, '<!DOCTYPE html><html><head><title>x</title></head><body><h2>y</h2><section style="background:#fff">'
          . '<svg class="bar"><rect class="fill" fill="#eee"/></svg><p style="color:#aaa;width:2000px">pale</p>'
          . '<div style="overflow:auto;width:9px"><p style="width:99px">z</p></div></section>'
          . '<img src="https://example.com/x"/><script>console.error("no"); document.title = "taken"; nothing()</script></body></html>');
    $browser->show($bad, width => 390);
    my $found = join "\n", problems(390);
    like($found, qr/$_/, "it would be noticed: $_")
      foreach 'the page is 2\d\d\d wide', 'scrolls, but not by keyboard', 'IMG.* should not be there', 'an attribute that',
      'not one h1', 'the title was taken', 'hard to see', 'console: ', 'exception: ', 'request: https';
  SKIP:
    {
        skip 'axe-core could not be fetched', 3 if !$axe;
        like($found, qr/$_/m, "axe-core notices $_") foreach '^color-contrast: ', '^html-has-lang: ', '^image-alt: ';
    }
    return;
}

sub looks_well
{
    my ($name) = @_;
    foreach my $width (390, 1280)
    {
        foreach my $dark (0, 1)
        {
            my $scheme = $dark ? 'dark' : 'light';
            $browser->show($page_of{$name}, width => $width, dark => $dark);
            $browser->picture(($page_of{$name} =~ s/\.html$//r) . "-$width-$scheme.png") if $ENV{UT_PAGES};
            is(join("\n", problems($width)), '', "$name, $width wide, $scheme");
        }
    }
    return;
}

sub shows_attacks_as_text
{
    foreach my $name ('hostile user', 'hostile admin')
    {
        $browser->show($page_of{$name}, width => 1280);
        my $text = $browser->evaluate('document.body.textContent');
        like($text, qr{<script>document\.title = "taken"}, "$name: a script is text");
        like($text, qr{onload="document\.title=1"> style=}, "$name: quotes are text");
        unlike($text, qr/[\x{202a}-\x{202e}\x{2066}-\x{2069}\x00-\x09\x0b-\x1f\x7f-\x9f]/, "$name: nothing controls what is beside it");
        unlike($text, qr/(?:Lorem){110}/, "$name: long texts are cut");
    }
    return;
}
