# The pages are true: every example prints what its page shows, and every public
# object, signature, setting and error code has its place.
#
# An example is a ```sql block directly followed by a ```text block. The text is
# what `psql -X -q` prints, errors included; only trailing white space is not
# compared. The examples of a page run in one session (as the superuser, with
# TimeZone UTC), in their order, in a database of their own, after the SQL in the
# page's first <!-- setup ... --> comment.
use strict;
use warnings;

use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my @pages = grep { -e "$root/$_" } 'README.md', map { s{^\Q$root/\E}{}r } sort glob "$root/doc/*.md";
my %text_of = map { $_ => slurp_file("$root/$_") } @pages;
my %examples_of = map { $_ => [ examples($text_of{$_}) ] } @pages;

my $of_extension = q{
    FROM pg_depend AS d
    JOIN pg_extension AS x ON x.oid = d.refobjid AND x.extname = 'usage_tracking'
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'};

my $node = PostgreSQL::Test::Cluster->new('examples');
$node->init(extra => [ '--no-locale', '--encoding=UTF8' ]);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'usage_tracking'\n");    # 15 and 16 have rates only so
$node->start;

check_examples($_) foreach grep { @{ $examples_of{$_} } } @pages;

$node->safe_psql('postgres',
    'CREATE SCHEMA usage; CREATE EXTENSION usage_tracking SCHEMA usage');
my %section_of = sections();
check_functions();
check_relations();
check_settings();
check_error_codes();
done_testing();

# ---- examples ----

sub trimmed
{
    my ($text) = @_;
    $text =~ s/[ \t]+$//mg;
    $text =~ s/\s+\z//;
    return $text;
}

# Each example as [line, sql, output].
sub examples
{
    my ($page) = @_;
    my @found;
    while ($page =~ /^```sql\n(.*?)^```\n```text\n(.*?)^```$/msg)
    {
        my ($sql, $output, $line) = ($1, $2, 1 + (substr($page, 0, $-[0]) =~ tr/\n//));
        push @found, [ $line, $sql, $output ];
    }
    return @found;
}

# What psql prints for each example of a page.
sub outputs
{
    my ($database, $setup, @sql) = @_;
    my $script = "SET TimeZone = 'UTC';\n\\set ON_ERROR_STOP on\n$setup\n;\\set ON_ERROR_STOP off\n"
      . join('', map { "\\echo '== example'\n$_\n" } @sql)
      . "\\echo '== example'\n";
    my $printed = '';

    IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr($database) ],
        '<', \$script, '>&', \$printed);
    my ($setup_printed, @rest) = split /^== example\n/m, $printed, -1;
    diag("the setup printed:\n$setup_printed") if @rest != @sql + 1;
    return @rest;
}

sub check_examples
{
    my ($page) = @_;
    my @examples = @{ $examples_of{$page} };
    my ($setup) = $text_of{$page} =~ /^<!-- setup$(.*?)^-->$/ms;

    $node->safe_psql('postgres', 'CREATE DATABASE page');
    my @printed = outputs('page', $setup // '', map { $_->[1] } @examples);
    foreach my $example (@examples)
    {
        my ($line, $sql, $shown) = @$example;
        is(trimmed(shift(@printed) // 'not run'), trimmed($shown), "$page:$line: example");
    }
    $node->safe_psql('postgres', 'DROP DATABASE page');
    drop_roles();
}

# A page may create roles, which belong to the cluster.
sub drop_roles
{
    my $roles = $node->safe_psql('postgres',
        "SELECT quote_ident(rolname) FROM pg_roles WHERE NOT rolsuper AND rolname !~ '^pg_'");
    $node->safe_psql('postgres', "DROP OWNED BY $_; DROP ROLE $_") foreach split /\n/, $roles;
    return;
}

# ---- the reference ----

sub rows
{
    my ($sql) = @_;
    my $printed = $node->safe_psql('postgres', $sql);
    return map { [ split /\|/, $_, -1 ] } split /\n/, $printed;
}

# What stands below each "### name" of doc/.
sub sections
{
    my (%found, @twice);
    foreach my $page (grep { m{^doc/} } @pages)
    {
        while ($text_of{$page} =~ /^### (\w+)\n(.*?)(?=^##|\z)/msg)
        {
            push @twice, $1 if $found{$1};
            $found{$1} = $2;
        }
    }
    is("@twice", '', 'nothing has two sections');
    return %found;
}

sub section
{
    my ($name) = @_;
    ok($section_of{$name}, "$name has a section");
    return $section_of{$name} // '';
}

# "name(arguments) returns type" as a page spells it: without the schema and
# without the casts that PostgreSQL shows after defaults.
sub spelled
{
    my ($signature) = @_;
    $signature =~ s/\busage\.//g;
    $signature =~ s/::[a-z ]+(\[\])?//g;
    $signature =~ s/timestamp with time zone/timestamptz/g;
    $signature =~ s/\s+/ /g;
    $signature =~ s/\( | \z//g;
    return $signature;
}

sub check_functions
{
    my @functions = rows(qq{
        SELECT p.proname, pg_get_function_result(p.oid),
               format('%s(%s) returns %s', p.proname, pg_get_function_arguments(p.oid),
                      pg_get_function_result(p.oid))
          FROM pg_proc AS p
         WHERE p.oid IN (SELECT d.objid $of_extension AND d.classid = 'pg_proc'::regclass)
         ORDER BY p.proname});
    my $examples = join '', map { map { $_->[1] } @{ $examples_of{$_} } } @pages;
    my $reference = join '', map { $text_of{$_} } grep { m{^doc/} } @pages;

    foreach my $function (@functions)
    {
        my ($name, $result, $signature) = @$function;
        if ($name =~ /^_/)
        {
            like($reference, qr/^- `$name\(/m, "$name has its line");
            next;
        }
        my ($synopsis) = section($name) =~ /\A\s*^```\n(.*?)^```$/ms;
        is(spelled($synopsis // ''), spelled($signature), "$name has its signature") if $result ne 'trigger';
        like($examples, qr/\b$name\s*\(/, "$name is used in an example") if $result ne 'trigger';
    }
    return;
}

# Tables, views and types: a row of the section's table for each column, or for some.
sub check_relations
{
    my @relations = rows(qq{
        SELECT c.relname, string_agg(a.attname, ',' ORDER BY a.attnum)
          FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
         WHERE c.relkind IN ('r', 'p', 'v', 'c') AND NOT c.relispartition
           AND (c.oid IN (SELECT d.objid $of_extension AND d.classid = 'pg_class'::regclass)
                OR c.reltype IN (SELECT d.objid $of_extension AND d.classid = 'pg_type'::regclass))
         GROUP BY c.relname ORDER BY c.relname});

    foreach my $relation (@relations)
    {
        my ($name, $columns) = @$relation;
        my ($like) = section($name) =~ /columns are those of \[`(\w+)`\]/;
        my @described = map { /`(\w+)`/g } section($like // $name) =~ /^\| (`\w+`(?:, `\w+`)*) \|/mg;
        is(join(',', @described), $columns, "$name has all its columns");
    }
    return;
}

# A row "| `setting` | `default` | who may set it | ..." for each.
sub check_settings
{
    my %context = (superuser => 'superuser', user => 'anybody', sighup => 'server', postmaster => 'server');
    my @settings = rows(q{
        LOAD 'usage_tracking';
        SELECT name, current_setting(name), context FROM pg_settings
         WHERE name LIKE 'usage\_tracking.%' ORDER BY name});
    my $page = $text_of{'doc/operations.md'};

    foreach my $setting (@settings)
    {
        my ($name, $default, $who) = @$setting;
        $default = "''" if $default eq '';
        my ($row) = $page =~ /^(\| `\Q$name\E` \| .*)$/m;
        like($row // '', qr/^\| `\Q$name\E` \| `\Q$default\E` \| $context{$who} \|/,
            "$name has its default and who may set it");
    }
    my %described = map { $_ => 1 } $page =~ /^\| `(usage_tracking\.\w+)` \|/mg;
    is(join(' ', sort keys %described), join(' ', map { $_->[0] } @settings), 'all settings and no other');
    return;
}

sub check_error_codes
{
    my $table = $text_of{'doc/errors.md'};
    my %documented = map { $_ => 1 } $table =~ /^\| `(\w{5})` \|/mg;
    my @ours = slurp_file("$root/src/errors.h") =~ /MAKE_SQLSTATE\((.*?)\)/g;
    s/[',]//g foreach @ours;

    is(join(' ', sort grep { /^UT/ } keys %documented), join(' ', sort @ours),
        'the codes of class UT are those of src/errors.h');

    my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
    chomp(my $include = qx{$pg_config --includedir-server});
    my %code_of = slurp_file("$include/utils/errcodes.h") =~ /define ERRCODE_(\w+) MAKE_SQLSTATE\((.*?)\)/g;
    s/[',]//g foreach values %code_of;
    my %used;
    foreach my $file (glob("$root/src/*.c"), grep { !/--/ } glob("$root/sql/*.sql"))
    {
        $used{$_}++ foreach map { uc } slurp_file($file) =~ /ERRCODE(?:_| = ')(\w+)/g;
    }
    my @missing = grep { $code_of{$_} && !$documented{ $code_of{$_} } } sort keys %used;
    cmp_ok(scalar(grep { $code_of{$_} } keys %used), '>', 5, 'errors were found in the source');
    is("@missing", '', 'every error raised in src/ and sql/ is in the table');
    return;
}
