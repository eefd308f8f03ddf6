/* What the events' layout costs: the same rows into a table without an index,
 * and each time into a table with one thing more.
 */
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET synchronous_commit = off;

CREATE SCHEMA layout;
CREATE SEQUENCE layout.id;
CREATE TABLE layout.heap (LIKE usage.usage_events INCLUDING DEFAULTS);
CREATE TABLE layout.btree (LIKE layout.heap INCLUDING DEFAULTS);
ALTER TABLE layout.btree ADD PRIMARY KEY (user_id, occurred_at, id);
CREATE TABLE layout.brin (LIKE layout.heap INCLUDING DEFAULTS);
ALTER TABLE layout.brin ADD PRIMARY KEY (user_id, occurred_at, id);
CREATE INDEX ON layout.brin USING brin (id, recorded_at) WITH (autosummarize);

-- Users in no order, of whom a statement takes 100.
CREATE TABLE layout.users AS
    SELECT row_number() OVER (ORDER BY hashint8(n)) AS place, bench.user_id(n) AS user_id
      FROM generate_series(1, greatest(:keys, 200)) AS n;
CREATE UNIQUE INDEX ON layout.users (place);

CREATE FUNCTION layout.some_users(user_id uuid) RETURNS SETOF uuid
LANGUAGE sql STABLE STRICT
AS $$
    SELECT u.user_id FROM layout.users AS u
     WHERE u.place > (SELECT (hashtext($1::text) & 1048575) % (max(place) - 100) FROM layout.users)
     ORDER BY u.place LIMIT 100
$$;
