/* dashboards: what user_dashboard() and admin_dashboard() could give, made by hand.
 *
 *   user, admin          ordinary figures
 *   new user, new admin  nothing happened yet
 *   bare user, bare admin  only what says which kind it is
 *   hostile user, hostile admin  every text is an attack, figures are extreme
 */
CREATE TEMP TABLE dashboard (name text PRIMARY KEY, value jsonb NOT NULL);

/* What is put wherever a text of a user goes. */
CREATE TEMP TABLE hostile (name text PRIMARY KEY, value text NOT NULL);
INSERT INTO hostile VALUES
    ('script', '<script>document.title = "taken"; fetch("https://example.com/")</script><img src="https://example.com/x" onerror="document.title=1"/>'),
    ('quotes', '"''><svg onload="document.title=1"> style="position:fixed" &lt; &amp; ]]> <!-- </style></title>'),
    ('direction', U&'invoice \202Egnp.exe\202C \2067x\2069\2069\2069 \200F \0645\0631\062D\0628\0627'),
    ('emoji', U&'\+01F469\200D\+01F469\200D\+01F467 \+01F3F3\FE0F\200D\+01F308 e' || repeat(U&'\0301', 60)),
    ('control', E'\x1b[31mred\x1b[0m \x07\x08\x7f' || U&'\009B31m' || E'\r\n\tx \x01'),
    ('long', repeat('Lorem', 2000)),
    ('wide', repeat(U&'\6F22\5B57', 5000));

CREATE FUNCTION pg_temp.days_used(first_day date, last_day date, factor numeric) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_agg(jsonb_build_object('day', day::date, 'usage_type', usage_type, 'events', round(n * factor), 'quantity', round(n * factor),
                                        'tokens', round(n * factor * 812), 'cost', round(n * factor * price, 6), 'users', round(n * 2)) ORDER BY day, place)
      FROM generate_series(first_day, last_day, interval '1 day') AS day,
           (VALUES (1, 'prompt', 0.0021), (2, 'image', 0.04), (3, 'video', 0.35)) AS t (place, usage_type, price),
           LATERAL (SELECT (12 + 5 * (extract(isodow FROM day)::int < 6)::int + extract(day FROM day)::int * (7 + 4 * place) % 9) / place) AS u (n)
     WHERE (extract(day FROM day)::int + place) % 11 <> 3
$$;

INSERT INTO dashboard VALUES ('user', jsonb_build_object(
    'kind', 'user', 'generated_at', '2026-03-10T12:00:00+00:00', 'time_zone', 'Europe/Vienna', 'first_day', '2026-02-09', 'last_day', '2026-03-10',
    'user', '{"id": "00000000-0000-0000-0000-00000000000a", "email": "ann@example.com", "is_admin": true}'::jsonb,
    'plan', '{"plan": "demo", "name": "Demo Plan - Unlimited Access", "description": "Everything, while we try it out", "status": "active",
              "expires_at": null, "billing_period_start": "2026-03-01T00:00:00+00:00", "billing_period_end": "2026-04-01T00:00:00+00:00"}'::jsonb,
    'notice', U&'\+01F389 Demo Mode: You have unlimited access to all features. What you use is counted all the same.',
    'limits', '[
        {"limit_type": "prompts_daily", "description": "AI generations a day", "usage_type": "prompt", "measure": "events", "used": 12, "held": 0,
         "max_usage": 50, "remaining": 38, "percent": 24.0, "state": "ok", "window_start": "2026-03-10T00:00:00+00:00",
         "reset_at": "2026-03-10T16:12:00+00:00", "reset_in": 15120, "enforcement": "hard", "is_enforced": true},
        {"limit_type": "images_daily", "description": "Images a day", "usage_type": "image", "measure": "quantity", "used": 17, "held": 2,
         "max_usage": 20, "remaining": 3, "percent": 85.0, "state": "near", "window_start": "2026-03-10T00:00:00+00:00",
         "reset_at": "2026-03-10T16:12:00+00:00", "reset_in": 15120, "enforcement": "hard", "is_enforced": true},
        {"limit_type": "videos_monthly", "description": null, "usage_type": "video", "measure": "events", "used": 5, "held": 0,
         "max_usage": 5, "remaining": 0, "percent": 100.0, "state": "reached", "window_start": "2026-03-01T00:00:00+00:00",
         "reset_at": "2026-04-01T00:00:00+00:00", "reset_in": 1857600, "enforcement": "hard", "is_enforced": true},
        {"limit_type": "tokens_monthly", "description": "Tokens a month", "usage_type": null, "measure": "tokens", "used": 1234567, "held": 0,
         "max_usage": 5000000, "remaining": 3765433, "percent": 24.7, "state": "ok", "window_start": "2026-03-01T00:00:00+00:00",
         "reset_at": "2026-04-01T00:00:00+00:00", "reset_in": 1857600, "enforcement": "soft", "is_enforced": true},
        {"limit_type": "budget_monthly", "description": "What calls may cost", "usage_type": null, "measure": "cost", "used": 8.2154, "held": 0,
         "max_usage": 10, "remaining": 1.7846, "percent": 82.2, "state": "near", "window_start": "2026-03-01T00:00:00+00:00",
         "reset_at": "2026-04-01T00:00:00+00:00", "reset_in": 1857600, "enforcement": "hard", "is_enforced": false},
        {"limit_type": "exports_ever", "description": "Exports", "usage_type": "export", "measure": "events", "used": 41, "held": 0,
         "max_usage": -1, "remaining": null, "percent": null, "state": "unlimited", "window_start": null,
         "reset_at": null, "reset_in": null, "enforcement": "hard", "is_enforced": true}]'::jsonb,
    'costs', '{"this_month": 8.2154, "lifetime": 1043.5, "unpriced": 3}'::jsonb,
    'credits', '{"balance": 12450}'::jsonb,
    'runs', '{"monthlyUsage": {"month": "2026-03-01T00:00:00.000Z", "total_runs": 42, "successful_runs": 38, "failed_runs": 3, "total_tokens": 102003,
              "total_cost_usd": 0.01620045, "unpriced_runs": 0, "last_run_at": "2026-03-10T11:48:00.000Z"}, "canRunMore": true, "monthlyLimit": 50}'::jsonb,
    'usage', '[{"usage_type": "prompt", "events": 1204, "failed": 17, "quantity": 1204, "tokens": 977648, "cost": 2.5284, "unpriced": 0},
               {"usage_type": "image", "events": 96, "failed": 2, "quantity": 131, "tokens": 0, "cost": 5.24, "unpriced": 3},
               {"usage_type": "video", "events": 5, "failed": 0, "quantity": 37.5, "tokens": 0, "cost": 0.4466, "unpriced": 0}]'::jsonb,
    'days', pg_temp.days_used('2026-02-09', '2026-03-10', 2),
    'models', '[{"provider": "openai", "model": "gpt-image-1", "events": 96, "tokens": 0, "cost": 5.24, "percent": 63.8, "unpriced": 3},
                {"provider": "anthropic", "model": "claude-sonnet-4-5", "events": 640, "tokens": 702112, "cost": 2.1063, "percent": 25.6, "unpriced": 0},
                {"provider": "runway", "model": "gen-4-turbo", "events": 5, "tokens": 0, "cost": 0.4466, "percent": 5.4, "unpriced": 0},
                {"provider": "openai", "model": "gpt-4o-mini", "events": 563, "tokens": 275534, "cost": 0.4221, "percent": 5.1, "unpriced": 0},
                {"provider": null, "model": null, "events": 1, "tokens": 12, "cost": 0.0004, "percent": 0.0, "unpriced": 0}]'::jsonb,
    'recent', '[{"id": 910, "occurred_at": "2026-03-10T11:58:12+00:00", "usage_type": "prompt", "event_subtype": "chat", "status": "success",
                 "provider": "anthropic", "model": "claude-sonnet-4-5", "quantity": 1, "tokens": 1843, "cost": 0.005529, "duration_ms": 2410, "error_message": null},
                {"id": 909, "occurred_at": "2026-03-10T11:57:40+00:00", "usage_type": "image", "event_subtype": null, "status": "failed",
                 "provider": "openai", "model": "gpt-image-1", "quantity": 1, "tokens": 0, "cost": null, "duration_ms": 30000,
                 "error_message": "The request was refused by the safety system."},
                {"id": 908, "occurred_at": "2026-03-10T11:51:02+00:00", "usage_type": "prompt", "event_subtype": null, "status": "rate_limited",
                 "provider": "openai", "model": "gpt-4o-mini", "quantity": 1, "tokens": 0, "cost": 0, "duration_ms": 85, "error_message": "429"},
                {"id": 907, "occurred_at": "2026-03-10T11:40:00+00:00", "usage_type": "prompt", "event_subtype": null, "status": "success",
                 "provider": "openai", "model": "gpt-4o-mini", "quantity": 1, "tokens": 402, "cost": 0.0004, "duration_ms": 640, "error_message": null},
                {"id": 906, "occurred_at": "2026-03-10T10:05:59+00:00", "usage_type": "video", "event_subtype": "1080p", "status": "success",
                 "provider": "runway", "model": "gen-4-turbo", "quantity": 7.5, "tokens": 0, "cost": 0.0893, "duration_ms": 48211, "error_message": null},
                {"id": 905, "occurred_at": "2026-03-09T22:30:00+00:00", "usage_type": "video", "event_subtype": null, "status": "cancelled",
                 "provider": null, "model": null, "quantity": 1, "tokens": 0, "cost": 0, "duration_ms": null, "error_message": null}]'::jsonb,
    'alerts', '[{"limit_type": "videos_monthly", "threshold": 100}]'::jsonb));

INSERT INTO dashboard VALUES ('admin', jsonb_build_object(
    'kind', 'admin', 'generated_at', '2026-03-10T12:00:00+00:00', 'time_zone', 'UTC', 'days', 30, 'first_day', '2026-02-09', 'last_day', '2026-03-10',
    'totals', '{"registered": 12345, "active_users": 5678, "events": 1043221, "failed": 8120, "tokens": 845201776, "cost": 10432.118, "unpriced": 12}'::jsonb,
    'forecast', '{"month": "2026-03-01", "month_to_date": 3310.25, "elapsed_share": 0.306452, "forecast": 10801.86}'::jsonb,
    'funnel', '[{"step": 0, "name": "registered", "users": 12345, "percent": 100.0, "percent_of_previous": 100.0},
                {"step": 1, "name": "created a project", "users": 8021, "percent": 65.0, "percent_of_previous": 65.0},
                {"step": 2, "name": "generated a scene", "users": 5333, "percent": 43.2, "percent_of_previous": 66.5},
                {"step": 3, "name": "exported a video", "users": 987, "percent": 8.0, "percent_of_previous": 18.5}]'::jsonb,
    'trends', pg_temp.days_used('2026-02-09', '2026-03-10', 913) ||
              '[{"day": "2026-03-01", "usage_type": "audio", "events": 4500, "cost": 3.2}, {"day": "2026-03-04", "usage_type": "search", "events": 3100, "cost": 0},
                {"day": "2026-03-05", "usage_type": "export", "events": 2100, "cost": 0}, {"day": "2026-03-05", "usage_type": "import", "events": 1900, "cost": 0}]'::jsonb,
    'models', (SELECT value -> 'models' FROM dashboard WHERE name = 'user'),
    'error_rates', '[{"usage_type": "video", "provider": "runway", "model": "gen-4-turbo", "events": 12, "failed": 3, "cancelled": 1, "rate_limited": 0,
                      "error_rate": 25.00, "is_small_sample": true, "duration_ms_mean": 48211.125},
                     {"usage_type": "image", "provider": "openai", "model": "gpt-image-1", "events": 40211, "failed": 1005, "cancelled": 12, "rate_limited": 431,
                      "error_rate": 2.50, "is_small_sample": false, "duration_ms_mean": 8123.4},
                     {"usage_type": "prompt", "provider": "openai", "model": "gpt-4o-mini", "events": 801022, "failed": 99, "cancelled": 0, "rate_limited": 7,
                      "error_rate": 0.01, "is_small_sample": false, "duration_ms_mean": 640.5}]'::jsonb,
    'top_users', (SELECT jsonb_agg(jsonb_build_object('user_id', '00000000-0000-0000-0000-00000000000' || to_hex(n), 'email',
                              CASE WHEN n % 4 <> 0 THEN format('someone.%s@example.com', n) END, 'events', 9000 / n, 'quantity', 9100 / n, 'tokens', 7300000 / n,
                              'cost', round(93.21 / n, 4), 'last_used', '2026-03-10') ORDER BY n) FROM generate_series(1, 10) AS n),
    'near_limits', '[{"user_id": "00000000-0000-0000-0000-00000000000b", "email": "bob@example.com", "plan": "free", "limit_type": "videos_monthly",
                      "measure": "events", "used": 5, "max_usage": 5, "percent": 100.0, "reset_at": "2026-04-01T00:00:00+00:00", "state": "reached"},
                     {"user_id": "00000000-0000-0000-0000-00000000000c", "email": null, "plan": "pro", "limit_type": "budget_monthly",
                      "measure": "cost", "used": 8.2154, "max_usage": 10, "percent": 82.2, "reset_at": null, "state": "near"}]'::jsonb,
    'unit_costs', '[{"usage_type": "prompt", "users": 5600, "events": 801022, "quantity": 801022, "cost": 1682.15, "cost_per_user": 0.300384, "cost_per_event": 0.0021,
                     "cost_per_unit": 0.0021},
                    {"usage_type": "image", "users": 912, "events": 40211, "quantity": 52004, "cost": 2080.16, "cost_per_user": 2.280877, "cost_per_event": 0.051731,
                     "cost_per_unit": 0.04},
                    {"usage_type": "export", "users": 0, "events": 0, "quantity": 0, "cost": 0, "cost_per_user": null, "cost_per_event": null, "cost_per_unit": null}]'::jsonb));

INSERT INTO dashboard VALUES
    ('new user', '{"kind": "user", "generated_at": "2026-03-10T12:00:00+00:00", "time_zone": "UTC", "first_day": "2026-02-09", "last_day": "2026-03-10",
      "user": {"id": "00000000-0000-0000-0000-00000000000d", "email": null, "is_admin": false}, "plan": {"plan": "free", "name": null, "status": "active"},
      "notice": null, "limits": [], "costs": {"this_month": 0, "lifetime": 0, "unpriced": 0}, "credits": null, "runs": null,
      "usage": [], "days": [], "models": [], "recent": [], "alerts": []}'),
    ('new admin', '{"kind": "admin", "generated_at": "2026-03-10T12:00:00+00:00", "time_zone": "UTC", "days": 30, "first_day": "2026-02-09", "last_day": "2026-03-10",
      "totals": {"registered": null, "active_users": 0, "events": 0, "failed": 0, "tokens": 0, "cost": 0, "unpriced": 0},
      "forecast": {"month": "2026-03-01", "month_to_date": 0, "elapsed_share": 0.322581, "forecast": null},
      "funnel": [], "trends": [], "models": [], "error_rates": [], "top_users": [], "near_limits": [], "unit_costs": []}'),
    ('bare user', '{"kind": "user"}'), ('bare admin', '{"kind": "admin"}');

/* Every text but those that are times, days or words of ours becomes an attack, and every list has one object for each attack. */
CREATE FUNCTION pg_temp.made_hostile(key text, value jsonb, attack text) RETURNS jsonb LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    RETURN CASE jsonb_typeof(value)
        WHEN 'object' THEN (SELECT jsonb_object_agg(e.key, pg_temp.made_hostile(e.key, e.value, attack)) FROM jsonb_each(value) AS e)
        WHEN 'array' THEN (SELECT jsonb_agg(pg_temp.made_hostile(key, CASE key WHEN 'days' THEN value -> 3 WHEN 'trends' THEN value -> 3 ELSE value -> 0 END, h.value)
                                            ORDER BY h.name) FROM hostile AS h)
        WHEN 'string' THEN CASE WHEN key = ANY ('{kind,time_zone,generated_at,first_day,last_day,day,month,last_used,occurred_at,last_run_at,expires_at,window_start,reset_at,billing_period_start,billing_period_end}')
                                THEN value ELSE to_jsonb(attack) END
        WHEN 'number' THEN CASE WHEN key = ANY ('{tokens,total_tokens}') THEN '99999999999999999999999999999.999999999'::jsonb
                                WHEN key = ANY ('{cost,lifetime}') THEN '0.000000000000000000000000000001'::jsonb
                                WHEN key = ANY ('{percent,error_rate,percent_of_previous}') THEN '123456789.1'::jsonb ELSE value END
        ELSE value END;
END
$$;
INSERT INTO dashboard
SELECT 'hostile ' || d.name, pg_temp.made_hostile('', d.value, h.value) FROM dashboard AS d, hostile AS h
 WHERE d.name = ANY ('{user,admin}') AND h.name = 'script';
