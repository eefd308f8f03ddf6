/* reports, pages: a dashboard as HTML that needs nothing else.
 */
CREATE FUNCTION @extschema@._page_kind(dashboard jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF dashboard IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'argument "dashboard" must not be null';
    ELSIF COALESCE(dashboard ->> 'kind', '') NOT IN ('user', 'admin') THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'this is not a dashboard',
            HINT = 'user_dashboard() and admin_dashboard() give one.';
    END IF;
    RETURN dashboard ->> 'kind';
END
$$;
COMMENT ON FUNCTION @extschema@._page_kind(jsonb) IS
'Internal: of whom a dashboard is; refuses what is none';

CREATE FUNCTION @extschema@.dashboard_page(dashboard jsonb) RETURNS @extschema@."text/html"
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE @extschema@._page_kind(dashboard) WHEN 'user' THEN @extschema@._page_of_user(dashboard)
                                                  ELSE @extschema@._page_of_admin(dashboard) END;
END;
COMMENT ON FUNCTION @extschema@.dashboard_page(jsonb) IS
'A dashboard as an HTML page';

CREATE FUNCTION @extschema@.user_page(user_id @user_id@ DEFAULT @extschema@.current_user_id()) RETURNS @extschema@."text/html"
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT @extschema@.dashboard_page(@extschema@.user_dashboard(user_id));
END;
COMMENT ON FUNCTION @extschema@.user_page(@user_id@) IS
'A user''s dashboard as an HTML page';

CREATE FUNCTION @extschema@.admin_page(days integer DEFAULT 30) RETURNS @extschema@."text/html"
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT @extschema@.dashboard_page(@extschema@.admin_dashboard(days));
END;
COMMENT ON FUNCTION @extschema@.admin_page(integer) IS
'The administrators'' dashboard as an HTML page';
