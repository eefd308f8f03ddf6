# MemoryStories.pm: users who may use 50, what they are told, and what events say.
package MemoryStories;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Test::More;

our @EXPORT = qw($helpers stories_on value new_user agrees is_exact told);

# What every database of a story has.
our $helpers = <<'SQL';
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT usage.define_usage_limit('ever', 'photo', 50, 'lifetime', NULL);
SELECT usage.define_usage_limit('calls', NULL, 1000, 'lifetime', NULL, 'events');
SELECT usage.define_usage_limit('weekly', 'photo', 1000, 'anchored', '7 days');
SELECT usage.usage_maintenance();

/* What he is told and events do not say. */
CREATE FUNCTION faults(who uuid) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s: %s of %s used', l, c.used, e.used), ', ')
      FROM unnest('{ever,calls,weekly}'::text[]) AS l, usage.check_usage_limit(who, l) AS c,
           LATERAL (SELECT CASE l WHEN 'calls' THEN count(*) ELSE coalesce(sum(quantity), 0) END AS used
                      FROM usage.usage_events
                     WHERE user_id = who
                       AND (corrected_limit IS NULL OR corrected_limit = (SELECT limit_id FROM usage.usage_limits WHERE limit_type = l))) AS e
     WHERE c.used <> e.used
$$;
CREATE FUNCTION use_up(who uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer usage.usage_decision;
BEGIN
    LOOP
        answer := usage.consume_usage(who, 'photo');
        EXIT WHEN NOT answer.allowed;
    END LOOP;
    RETURN concat_ws(' ', answer.reason, answer.limit_type, trim_scale(answer.used));
END
$$;
CREATE FUNCTION somebody(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid;
SQL

my $node;
my $users = 0;

sub stories_on { ($node) = @_; return }
sub value { return $node->safe_psql('postgres', $_[0]) }

# An id, of whom so much is used.
sub new_user
{
    my ($used) = @_;
    my $id = sprintf '%08x-0000-4000-8000-000000000000', 1_000_000 + ++$users;
    value("SELECT usage.consume_usage('$id', 'photo', $used)") if $used;
    return $id;
}

sub agrees
{
    my ($when, @ids) = @_;
    my $list = join ', ', map { "('$_'::uuid)" } @ids;
    is(value("SELECT faults(id) FROM (VALUES $list) AS u (id) WHERE faults(id) IS NOT NULL"), '', "$when: users are told what events say");
    is(value('SELECT * FROM usage.reconcile_usage()'), '', "$when: rows agree");
    return;
}

sub is_exact
{
    my ($when, @ids) = @_;
    agrees($when, @ids);
    is(value("SELECT use_up('$_')"), 'limit_reached ever 50', "$when: used to the last unit and no further") foreach @ids;
    agrees("$when, used up", @ids);
    return;
}

# What another session is told, in one word.
sub told
{
    my ($id, $quantity) = @_;
    my ($status, $out, $err) = $node->psql('postgres', <<"SQL", on_error_stop => 0);
SET lock_timeout = '20ms';
BEGIN;
SELECT d.reason FROM usage.consume_usage('$id', 'photo', $quantity) AS d; \\echo :SQLSTATE
ROLLBACK;
SQL
    return $out =~ s/^(?:\w+\n)?(?!00000)(\w+)$/$1/r =~ s/\n00000$//r;
}

1;
