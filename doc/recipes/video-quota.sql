/* video-quota: how many videos may a user make in 30 days, and who is an admin?
 *
 *   psql -v schema=app -f video-quota.sql
 *
 *   -v users=auth.users   the application's users, attached if no table is
 *   -v role=web           a role of end users that is to use it
 *   -v from=public        a schema with tables user_usage and user_roles to take over
 *
 * All or nothing; see video-quota.md. */
\set ON_ERROR_STOP on
\if :{?users} \else \set users auth.users \endif
BEGIN;
SET LOCAL TimeZone = 'UTC'; SET LOCAL client_min_messages = warning;  -- a timestamp without zone is one of UTC
SELECT x.extnamespace::regnamespace AS usage FROM pg_extension AS x WHERE x.extname ~ '^usage_tracking' \gset
CREATE OR REPLACE FUNCTION pg_temp.refuse(reason text, what text) RETURNS void LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION '%: %', reason, what; END$$;
\if :{?from}
    LOCK TABLE :"from".user_usage, :"from".user_roles IN ACCESS EXCLUSIVE MODE;
    DROP FUNCTION IF EXISTS :"from".handle_new_user(), :"from".reset_user_usage() CASCADE;  -- and their triggers
    DROP FUNCTION IF EXISTS :"from".make_admin_by_email(text);
\endif
CREATE SCHEMA IF NOT EXISTS :"schema";
SELECT pg_temp.refuse('there is another limit of this name', l::text) FROM :usage.usage_limits AS l
 WHERE l.limit_type = 'videos_monthly' AND (l.usage_type, l.window_kind, l.period) <> ('video', 'anchored', '30 days');
SELECT :usage.define_usage_limit('videos_monthly', 'video', 5, 'anchored', '30 days')
 WHERE NOT EXISTS (SELECT FROM :usage.usage_limits AS l WHERE l.limit_type = 'videos_monthly');
SELECT :usage.attach_users(:'users'::text::regclass)
 WHERE NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgfoid = (:'usage' || '.handle_new_user()')::regprocedure);

SET LOCAL search_path = :"schema";

/* ---- views: a row a user, and one a role; who sees which is decided by the extension ---- */

CREATE VIEW new_user_usage WITH (security_invoker = true, security_barrier = true) AS
    SELECT md5('user_usage:' || u.user_id::text)::uuid AS id, u.user_id,
           LEAST(ceil(u.used), 2147483647)::integer AS videos_generated,
           LEAST(floor(u.max_usage), 2147483647)::integer AS videos_limit,
           u.window_start AS last_reset_date, u.reset_at AS next_reset_date,
           COALESCE(s.started_at, u.window_start) AS created_at,
           GREATEST(s.started_at, u.window_start,
                    (SELECT h.occurred_at FROM :usage.get_user_usage_history(u.user_id, max_rows => 1) AS h)) AS updated_at
      FROM :usage.user_usage AS u
      LEFT JOIN :usage.user_subscriptions AS s ON s.user_id = u.user_id
     WHERE u.limit_type = 'videos_monthly';
COMMENT ON VIEW new_user_usage IS 'Videos of each user you may see: how many in this period, of how many';
CREATE VIEW new_user_roles WITH (security_invoker = true, security_barrier = true) AS
    SELECT md5('user_roles:' || u.user_id::text || ':' || r.role)::uuid AS id, u.user_id, r.role, r.granted_at AS created_at
      FROM :usage.visible_users() AS u (user_id)
     CROSS JOIN LATERAL :usage.get_user_roles(u.user_id) AS r;
COMMENT ON VIEW new_user_roles IS 'Roles of each user you may see';

/* ---- what writing them means: our functions check who may, and keep the history ---- */

CREATE FUNCTION handle_new_user() RETURNS trigger
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, :usage, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM user_subscriptions AS s WHERE s.user_id = NEW.user_id) THEN
        RETURN NULL;  -- D0-11: he has his row and keeps it
    END IF;
    PERFORM set_user_clock(NEW.user_id);
    EXECUTE format('UPDATE %s AS u SET videos_generated = COALESCE($1.videos_generated, u.videos_generated),'
                   ' videos_limit = COALESCE($1.videos_limit, u.videos_limit) WHERE u.user_id = $1.user_id RETURNING u.*',
                   TG_RELID::regclass) INTO NEW USING NEW;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION handle_new_user() IS 'Trigger of view user_usage: gives a user his row, if he has none';
CREATE FUNCTION reset_user_usage() RETURNS trigger
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, :usage, pg_temp AS $$
DECLARE
    moved boolean := (NEW.last_reset_date, NEW.next_reset_date) IS DISTINCT FROM (OLD.last_reset_date, OLD.next_reset_date);
BEGIN
    IF (NEW.id, NEW.user_id, NEW.created_at) IS DISTINCT FROM (OLD.id, OLD.user_id, OLD.created_at) THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = 'a row of user_usage stays its user''s';
    ELSIF moved THEN  -- D0-13: NULL keeps what is
        PERFORM set_user_clock(OLD.user_id, anchor => CASE WHEN NEW.last_reset_date <> OLD.last_reset_date
                               THEN NEW.last_reset_date ELSE NEW.next_reset_date - interval '30 days' END);
    END IF;
    UPDATE user_usage AS u  -- the extension's: set_user_limit() and adjust_usage()
       SET max_usage = CASE WHEN NEW.videos_limit IS DISTINCT FROM OLD.videos_limit THEN NEW.videos_limit ELSE u.max_usage END,
           used = CASE WHEN moved OR NEW.videos_generated IS DISTINCT FROM OLD.videos_generated
                       THEN NEW.videos_generated ELSE u.used END
     WHERE u.user_id = OLD.user_id AND u.limit_type = 'videos_monthly';
    EXECUTE format('SELECT * FROM %s WHERE user_id = $1', TG_RELID::regclass) INTO NEW USING OLD.user_id;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION reset_user_usage() IS 'Trigger of view user_usage: sets a user''s limit, count and period';
CREATE FUNCTION manage_user_roles() RETURNS trigger
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, :usage, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM grant_role(NEW.user_id, NEW.role);
        RETURN NEW;
    END IF;
    PERFORM revoke_role(OLD.user_id, OLD.role);
    RETURN OLD;
END $$;
COMMENT ON FUNCTION manage_user_roles() IS 'Trigger of view user_roles: grants and revokes, for admins';
CREATE FUNCTION make_admin_by_email(email text) RETURNS void
LANGUAGE plpgsql VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SET search_path = pg_catalog, :usage, pg_temp
AS $$BEGIN PERFORM make_admin_by_email($1); END$$;
COMMENT ON FUNCTION make_admin_by_email(text) IS 'Makes a user an admin: for the owner of the database and admins';
REVOKE ALL ON FUNCTION handle_new_user(), reset_user_usage(), manage_user_roles(), make_admin_by_email(text) FROM PUBLIC;
CREATE TRIGGER handle_new_user INSTEAD OF INSERT ON new_user_usage FOR EACH ROW EXECUTE FUNCTION handle_new_user();
CREATE TRIGGER reset_user_usage INSTEAD OF UPDATE ON new_user_usage FOR EACH ROW EXECUTE FUNCTION reset_user_usage();
CREATE TRIGGER manage_user_roles INSTEAD OF INSERT OR DELETE ON new_user_roles FOR EACH ROW EXECUTE FUNCTION manage_user_roles();
\ir video-quota-policies.sql
\if :{?role}
    SELECT :usage.grant_usage_access(:'role');
    GRANT USAGE ON SCHEMA :"schema" TO :"role";
    GRANT SELECT, INSERT, UPDATE ON new_user_usage TO :"role";
    GRANT SELECT, INSERT, DELETE ON new_user_roles TO :"role";
    GRANT EXECUTE ON FUNCTION make_admin_by_email(text) TO :"role";
\endif

/* ---- moving in ----
 *
 * What an old row is to show: a period that is over began anew every 30 days since (D0-8), and one without an end ends
 * after 30 days (D0-13).  Whatever else would differ, in either direction, undoes it all. */
\if :{?from}
    CREATE TEMPORARY TABLE old_usage ON COMMIT DROP AS
    SELECT o.user_id, o.videos_limit, o.created_at::timestamptz, p.ends + p.over * interval '30 days' AS next_reset_date,
           CASE WHEN p.over > 0 THEN 0 ELSE o.videos_generated END AS videos_generated,
           CASE WHEN p.over > 0 OR o.last_reset_date IS NULL THEN p.ends + (p.over - 1) * interval '30 days'
                ELSE o.last_reset_date END::timestamptz AS last_reset_date
      FROM :"from".user_usage AS o
     CROSS JOIN LATERAL (SELECT COALESCE(o.next_reset_date, o.last_reset_date + interval '30 days')::timestamptz) AS e (ends)
     CROSS JOIN LATERAL (SELECT e.ends, GREATEST(1 + floor(extract(epoch FROM n.now - e.ends) / 2592000), 0) AS over
                           FROM :usage._usage_now() AS n (now)) AS p;
    UPDATE :usage.user_subscriptions AS s SET started_at = o.created_at FROM old_usage AS o WHERE s.user_id = o.user_id;
    UPDATE new_user_usage AS n
       SET videos_generated = o.videos_generated, videos_limit = o.videos_limit, last_reset_date = o.last_reset_date
      FROM old_usage AS o WHERE n.user_id = o.user_id;
    CREATE TEMPORARY TABLE old_roles ON COMMIT DROP AS
    SELECT o.user_id, o.role, min(o.created_at)::timestamptz AS created_at FROM :"from".user_roles AS o GROUP BY 1, 2;
    INSERT INTO :usage.user_roles AS r (user_id, role, granted_at) SELECT o.user_id, o.role, o.created_at FROM old_roles AS o
        ON CONFLICT (user_id, role) DO UPDATE SET granted_at = EXCLUDED.granted_at;
    SELECT :usage.prove_same_rows('TABLE old_usage', format('SELECT user_id, videos_limit, created_at, next_reset_date,'
               ' videos_generated, last_reset_date FROM %I.new_user_usage WHERE user_id IN (SELECT user_id FROM old_usage)',
               :'schema'), 'rows of user_usage') AS users_with_usage,
           :usage.prove_same_rows('TABLE old_roles', format('SELECT user_id, role, created_at FROM %I.new_user_roles'
               ' WHERE user_id IN (SELECT user_id FROM old_roles)', :'schema'), 'rows of user_roles') AS roles;
    ALTER TABLE :"from".user_usage RENAME TO user_usage_before;
    ALTER TABLE :"from".user_roles RENAME TO user_roles_before;
\endif
ALTER VIEW new_user_usage RENAME TO user_usage;
ALTER VIEW new_user_roles RENAME TO user_roles;
COMMIT;
