/* leases.sql: one user, three places, and what must be true of them. */
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT :'library' <> '' AS other_library \gset
\if :other_library
UPDATE pg_proc SET probin = :'library' WHERE probin = '$libdir/usage_tracking';
\connect
\endif

SELECT usage.define_usage_limit('renders', 'render', 3, 'gauge');

CREATE SCHEMA leases;

CREATE VIEW leases.over AS
SELECT used, held FROM usage.user_usage WHERE used > 3;

CREATE VIEW leases.held AS
SELECT held FROM usage.user_usage WHERE held > 0;

CREATE VIEW leases.left_behind AS
SELECT application_name, state FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid();
