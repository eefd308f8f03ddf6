-- Moving in, for tiered-limits.sql, which includes it: what the tables of schema :from have, told to the views of :schema.
-- The tables are called ..._before by then.
-- What was counted counts: of a day's successes as many as user_usage says; what it has beyond them gets an event.
\if :{?zone} \else \set zone UTC \endif
SELECT current_setting('usage_tracking.time_zone') AS days_of FROM :usage._usage_now() \gset
SELECT set_config(s.name, s.value, true)
  FROM (VALUES ('TimeZone', :'zone'), ('usage_tracking.max_event_age', '24000d'), ('usage_tracking.credits_enabled', 'off'),
               ('usage_tracking.credit_refills', ''), ('usage_tracking.alert_thresholds', '')) AS s (name, value) \g /dev/null
INSERT INTO :"schema".usage_limits_config (limit_type, free_tier_limit, pro_tier_limit, team_tier_limit, description, is_active)
SELECT limit_type, free_tier_limit, pro_tier_limit, team_tier_limit, description, COALESCE(is_active, false)
  FROM :"from".usage_limits_config_before ORDER BY id;
INSERT INTO :"schema".user_subscriptions (user_id, tier, stripe_customer_id, stripe_subscription_id, status, started_at,
                                          expires_at, metadata)
SELECT CAST(user_id AS :user_id), tier, stripe_customer_id, stripe_subscription_id, COALESCE(status, 'active'),
       COALESCE(started_at, created_at), expires_at, metadata FROM :"from".user_subscriptions_before ORDER BY id;
SELECT :usage.define_usage_type(t.usage_type)
  FROM (SELECT usage_type FROM :"from".user_usage_before UNION SELECT event_type FROM :"from".usage_events_before) AS t
 WHERE t.usage_type NOT IN (SELECT usage_type FROM :usage.usage_types) \g /dev/null
INSERT INTO :"schema".usage_events (user_id, event_type, event_subtype, project_id, scene_id, tokens_used, duration_ms, status,
                                    error_message, metadata, created_at, quantity)
SELECT CAST(e.user_id AS :user_id), e.event_type, e.event_subtype, e.project_id, e.scene_id, e.tokens_used, e.duration_ms,
       e.outcome, e.error_message, e.metadata, e.created_at, CASE WHEN e.outcome <> 'success' OR e.n <= u.count THEN 1 ELSE 0 END
  FROM (SELECT b.*, d.*, row_number() OVER (PARTITION BY b.user_id, b.event_type, d.day, d.outcome ORDER BY b.id) AS n
          FROM :"from".usage_events_before AS b, LATERAL (
               SELECT (b.created_at::timestamptz AT TIME ZONE :'days_of')::date, COALESCE(b.status, 'success')
             ) AS d (day, outcome)) AS e
  LEFT JOIN :"from".user_usage_before AS u ON (u.user_id, u.usage_type, u.usage_date) = (e.user_id, e.event_type, e.day)
 ORDER BY e.id;
INSERT INTO :"schema".usage_events (user_id, event_type, event_subtype, created_at, quantity)
SELECT CAST(u.user_id AS :user_id), u.usage_type, 'moved_in', u.usage_date::timestamp AT TIME ZONE :'days_of',
       u.count - COALESCE(v.count, 0)
  FROM :"from".user_usage_before AS u LEFT JOIN :"schema".user_usage AS v
    ON (v.user_id, v.usage_type, v.usage_date) = (CAST(u.user_id AS :user_id), u.usage_type, u.usage_date)
 WHERE u.count > COALESCE(v.count, 0) ORDER BY u.id;
-- Each at its time, on the extension's clock; a balance of which no transaction tells was there from the beginning.
SELECT set_config('usage_tracking.clock', t.created_at::timestamptz::text, true),
       CASE WHEN t.amount > 0 THEN :usage.grant_credits(CAST(t.user_id AS :user_id), t.amount, t.transaction_type, t.reference_id,
                                                        description => t.description, metadata => t.metadata)
            ELSE (:usage.spend_credits(CAST(t.user_id AS :user_id), - t.amount, t.reference_id, t.description, t.metadata,
                                       t.transaction_type)).id END
  FROM (SELECT b.user_id, b.amount, b.transaction_type, b.reference_id, b.description, b.metadata, b.created_at, b.id
          FROM :"from".credit_transactions_before AS b
         UNION ALL
        SELECT c.user_id, sum(c.balance) - COALESCE(max(b.sum), 0), 'moved_in', NULL, NULL, NULL,
               LEAST(min(c.created_at), max(b.min)), 0
          FROM :"from".user_credits_before AS c LEFT JOIN (SELECT user_id, sum(amount), min(created_at)
                 FROM :"from".credit_transactions_before GROUP BY 1) AS b USING (user_id)
         GROUP BY c.user_id HAVING sum(c.balance) <> COALESCE(max(b.sum), 0)
         ORDER BY created_at, id) AS t \g /dev/null
-- Nothing of this stays unless every view shows what its table did, but for some columns and for what moving in added.
SELECT :usage.prove_same_rows(
           format('SELECT %L || jsonb_strip_nulls(to_jsonb(%s)) - %L::text[] AS row FROM (%s) AS b',
                  t.defaults, b.row, t.without, b.query),
           format('SELECT jsonb_strip_nulls(to_jsonb(v)) - %L::text[] AS row FROM %I.%I AS v'
                  ' WHERE v.%I IN (SELECT (%5$s).%4$I FROM (%6$s) AS b)'
                  ' AND concat(to_jsonb(v) ->> ''event_subtype'', to_jsonb(v) ->> ''transaction_type'') <> ''moved_in''',
                  t.without, :'schema', t.name, t.key, b.row, b.query), 'rows of ' || t.name)
  FROM (VALUES
    ('usage_limits_config', 'limit_type', '{"is_active": false}',
     '{id,created_at,updated_at,enterprise_tier_limit,usage_type}', NULL),
    ('user_subscriptions', 'user_id', '{"status": "active", "metadata": {}}', '{id,created_at,updated_at}', NULL),
    ('usage_events', 'user_id', '{"status": "success", "tokens_used": 0}', '{id,quantity}', NULL),
    ('user_usage', 'user_id', '{}', '{id,metadata,created_at}', NULL),
    ('credit_transactions', 'user_id', '{}', '{id}', NULL),
    ('user_credits', 'user_id', '{}',
     '{id,lifetime_earned,lifetime_spent,last_refill_at,created_at,updated_at,held,overdraft,next_refill_at}',
     format('SELECT user_id, sum(balance) AS balance FROM %I.user_credits_before GROUP BY 1 HAVING sum(balance) <> 0', :'from'))
  ) AS t (name, key, defaults, without, query), LATERAL (
    SELECT format('jsonb_populate_record(NULL::%I.%I, to_jsonb(b))', :'schema', t.name),
           COALESCE(t.query, format('TABLE %I.%I', :'from', t.name || '_before'))) AS b (row, query) \g /dev/null
