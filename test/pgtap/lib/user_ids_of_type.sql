/* One part of user_ids.sql: all of it for one :type, :extension and :schema. */
CREATE EXTENSION :extension SCHEMA :schema;
SET LOCAL search_path = :schema, public;
SET LOCAL usage_tracking.clock = '2026-03-10 12:00+00';
SELECT format('%s in %s: ', :'type', :'schema') AS title, :'type' = 'text' AS is_text,
       CASE :'type' WHEN 'uuid' THEN '00000000-0000-0000-0000-000000000007' ELSE '7' END AS one,
       CASE :'type' WHEN 'uuid' THEN '00000000-0000-0000-0000-000000000008' ELSE '8' END AS two \gset
SELECT define_usage_limit('calls_daily', 'call', 3), define_usage_type('view'), grant_usage_access('regress_ut_user') \g /dev/null
SELECT is(pg_typeof(current_user_id())::text, :'type', :'title' || 'the type of user ids');

-- A database has one of the three
SELECT is(test.refusal(format('CREATE EXTENSION %I SCHEMA elsewhere', other)),
          CASE other WHEN :'extension' THEN format('42710 extension "%s" already exists', other)
                     ELSE '42710 another extension of usage_tracking is installed in this database'
                          ' | They differ in the type of user ids; a database has one of them.' END,
          :'title' || other || ' is refused beside it')
  FROM unnest('{usage_tracking,usage_tracking_text,usage_tracking_bigint}'::text[]) AS other;

-- Who is it?
SELECT is(string_agg(format('%L is %s', left(form, 40), coalesce(left(said, 40), 'nobody')), ', ') FILTER (WHERE said IS DISTINCT FROM id), NULL,
          format('%s%s forms of an id in %s', :'title', count(*), source))
  FROM test.forms, unnest('{user_id,jwt,setting}'::text[]) AS source, LATERAL test.identity_of(form, source) AS said
 WHERE type = :'type' GROUP BY source;
SELECT is(test.identity_of(claims, 'claims'), NULL, :'title' || claims || ' is nobody')
  FROM unnest('{"{\"sub\": 7}","{\"sub\": 7.0}","{\"sub\": 1e400}","{\"sub\": \"\"}","{\"sub\": true}"}'::text[]) AS claims;

-- Each is a user of his own, from a row that keeps its ids as far away as it can
CREATE TABLE test.people (id :type, filler text);
ALTER TABLE test.people ALTER filler SET STORAGE PLAIN;
\if :is_text
ALTER TABLE test.people ALTER id SET STORAGE EXTERNAL, SET (toast_tuple_target = 128);
\endif
INSERT INTO test.people SELECT CAST(id AS :type), repeat('x', 1900) FROM test.forms WHERE type = :'type' AND id IS NOT NULL GROUP BY id;
GRANT SELECT ON test.people TO regress_ut_user;
\if :is_text
SELECT cmp_ok(pg_relation_size(reltoastrelid), '>', 0::bigint, :'title' || 'ids are kept elsewhere') FROM pg_class WHERE oid = 'test.people'::regclass;
\endif
SELECT is(string_agg(format('%L as %L: %s', left(he.id::text, 40), left(me.id::text, 40), answer), ', ')
              FILTER (WHERE answer <> CASE WHEN me.ctid = he.ctid THEN 'ok' ELSE '42501' END), NULL,
          format('%s%s calls, for each as each', :'title', count(*)))
  FROM test.people AS me, test.people AS he,
       LATERAL test.as_user(me.id::text, format('SELECT (consume_usage(id, ''call'')).reason FROM test.people WHERE ctid = %L', he.ctid)) AS answer;
SELECT is(array_agg(DISTINCT (consume_usage(id, 'call')).used), '{2}', :'title' || 'each has used one before') FROM test.people;
SELECT is(array_agg(DISTINCT (consume_usage(id, 'call')).used), '{3}', :'title' || 'and two') FROM test.people;
SELECT is(array_agg(DISTINCT (consume_usage(id, 'call')).reason), '{limit_reached}', :'title' || 'and three, which is all') FROM test.people;
SELECT is(string_agg(DISTINCT test.as_user(id::text, 'SELECT (user_id = current_user_id())::text || used FROM user_usage'), ', '), 'true3', :'title' || 'each sees his own')
  FROM test.people;
SELECT is(array_agg(DISTINCT (consume_usage(id, 'view', idempotency_key => 'k')).reason), '{unlimited}', :'title' || 'keys are his own') FROM test.people;
SELECT is(array_agg(DISTINCT (consume_usage(id, 'view', idempotency_key => 'k')).reason), '{replayed}', :'title' || 'and found again') FROM test.people;
SELECT results_eq($$SELECT recorded, replayed, errors::text FROM track_usage_batch((SELECT jsonb_agg(jsonb_build_object('user_id', id::text, 'usage_type', 'view'))
                                                                                     FROM test.people, generate_series(1, 3)))$$,
                  'SELECT 3 * count(*), 0::bigint, ''[]'' FROM test.people', :'title' || 'a batch of all');
SELECT is((commit_usage(id, (reserve_usage(id, 'view')).id)).allowed, true, :'title' || 'a reservation') FROM test.people ORDER BY id LIMIT 1;
SELECT set_user_limit(id, 'calls_daily', 5), set_user_clock(id, 'Asia/Tokyo'), grant_role(id, 'support') FROM test.people \g /dev/null
SELECT is(count(*) FILTER (WHERE has_role(id, 'support') AND (check_usage_limit(id, 'call')).remaining = 2), count(*), :'title' || 'a role, a limit and a zone of his own') FROM test.people;
SELECT results_eq('SELECT user_id::text COLLATE "C", count(*) FROM usage_events GROUP BY 1 ORDER BY 1',
                  'SELECT id::text COLLATE "C", 7 + (row_number() OVER (ORDER BY id) = 1)::integer::bigint FROM test.people ORDER BY 1', :'title' || 'events under each id as it is written');
SELECT track_api_usage(id, 'view', 'acme', 'm1', request_id => md5(id::text)) FROM test.people \g /dev/null
SELECT is(string_agg(test.as_user(id::text, 'SELECT string_agg((user_id = current_user_id())::text || request_id, '' '') FROM api_usage'), ', ' ORDER BY id), string_agg('true' || md5(id::text), ', ' ORDER BY id), :'title' || 'each sees his own calls')
  FROM test.people;
SELECT is(string_agg(format('%L as %L: %s', left(he.id::text, 40), left(me.id::text, 40), answer), ', ')
              FILTER (WHERE answer <> CASE WHEN me.ctid = he.ctid THEN '1' ELSE '42501' END), NULL,
          format('%s%s questions for calls, for each as each', :'title', count(*)))
  FROM test.people AS me, test.people AS he,
       LATERAL test.as_user(me.id::text, format('SELECT c.calls FROM test.people, LATERAL (SELECT count(*) AS calls FROM _calls_of_user(id)) AS c WHERE people.ctid = %L', he.ctid)) AS answer;
SELECT is_empty('SELECT * FROM reconcile_usage()', :'title' || 'counters agree with events');

-- Columns of a users table
SELECT is(CASE WHEN fits = :'extension' THEN test.sign_up(column_type, :'one', :'two') ELSE test.refusal(format(
              'CREATE TABLE test.users (id %s, email text); SELECT attach_users(''test.users'')', column_type)) END,
          CASE WHEN fits = :'extension' THEN format('1 backfilled, %s %s known, %1$s marked, %2$s admin', :'one', :'two')
               ELSE format('42804 column "id" of table "users" has type %s, but user ids of this extension have type %s | ', base, :'type')
                    || CASE WHEN fits IS NULL THEN 'User ids have type uuid, text, character varying, bigint, integer, or smallint.'
                            ELSE format('The extension for such a table is "%s".', fits) END END,
          :'title' || 'a users table with ids of type ' || column_type)
  FROM test.columns;

-- A text that is too long is nobody's id, wherever it comes from
\if :is_text
SELECT is(test.refusal(format('SELECT %s(%s)', p.oid::regproc,
              (SELECT string_agg(CASE WHEN n = 1 THEN 'repeat(''x'', 1000000)' WHEN t = 'text'::regtype THEN '''pro''' ELSE 'NULL' END, ', ')
                 FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n) WHERE n <= greatest(p.pronargs - p.pronargdefaults, 1)))),
          '22023 argument "user_id" is too long', format('%s%s() takes no id of 1 MB', :'title', p.proname))
  FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
  JOIN pg_extension AS x ON x.oid = d.refobjid AND x.extname = :'extension' AND d.refclassid = 'pg_extension'::regclass
 WHERE p.proargnames[1] = 'user_id' AND p.pronargs > 0
   AND (p.proname !~ '^_' OR p.proname = ANY ('{_usage_of_user,_calls_of_user,_record_signup}'));  -- the others are called by ours
SELECT is(test.as_user('ann', format('SELECT %s(repeat(%L, 1000000), ''call'')', function, letter)), '42501', format('%s%s() for an end user: %s', :'title', function, letter))
  FROM unnest('{consume_usage,require_usage,check_usage_limit,has_role}'::text[]) AS function, unnest('{x,🎬}'::text[]) AS letter;
CREATE TABLE test.users (id text, email text);
INSERT INTO test.users SELECT id, 'ann@example.com' FROM unnest(ARRAY['', repeat('x', 256), 'ann', repeat('🎬', 256), repeat('x', 1000000)]) AS id;
TRUNCATE user_subscriptions;
SELECT is(attach_users('test.users'), 1::bigint, :'title' || 'a users table with texts that are no ids: the others are backfilled');
SET LOCAL client_min_messages = error;
INSERT INTO test.users SELECT id FROM unnest(ARRAY['', repeat('x', 256), 'bob', repeat('🎬', 256), repeat('x', 1000000)]) AS id;
SET LOCAL client_min_messages = warning;
SELECT is(string_agg(user_id, ' ' ORDER BY user_id), 'ann bob', :'title' || 'or sign up') FROM user_subscriptions;
UPDATE test.users SET email = length(id) || '@example.com' WHERE id <> 'ann' AND email IS NOT NULL;
SELECT is(test.refusal(format('SELECT make_admin_by_email(%L)', email)), '22023 the id of this user cannot be a user id', :'title' || 'of those nobody is made admin: ' || email)
  FROM test.users WHERE email IN ('0@example.com', '1000000@example.com') GROUP BY email;
DELETE FROM test.users;
SELECT is(string_agg(user_id, ' ' ORDER BY user_id), 'ann bob', :'title' || 'and are marked when they go') FROM deleted_users;
DROP TABLE test.users;
\endif

SET LOCAL search_path = public;
DROP TABLE test.people;
SELECT lives_ok(format('DROP EXTENSION %I', :'extension'), :'title' || 'it goes and leaves room for the next');
