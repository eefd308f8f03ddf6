-- A month of what the three went on to do, so that pages have something to show.
-- Nothing here is random: every run makes the same pages, but for the time, which
-- is that of the story: 31 days later.
\set QUIET on
SET client_min_messages = warning;
SELECT format('ALTER DATABASE %I SET usage_tracking.clock = %L', current_database(), clock_timestamp() + interval '31 days 1 hour')
\gexec
\c -
SET client_min_messages = warning;
SELECT usage.define_usage_type('image'),
       usage.define_usage_limit('chat_budget', 'chat', max_usage => 0.55, period => '1 month', measure => 'cost')
\g /dev/null
SELECT count(*)
FROM (SELECT id, row_number() OVER (ORDER BY email)::integer AS place FROM app_users) AS u,
     generate_series(0, 29) AS day, generate_series(1, 12) AS n,
     LATERAL (SELECT (day * 7 + n * 5 + place * 3) % 12 < 4 + (29 - day) / 6 AS happens) AS h,
     LATERAL usage.track_api_usage(u.id, CASE WHEN n % 4 = 0 THEN 'image' ELSE 'chat' END, 'openai',
                 CASE WHEN n % 4 = 0 THEN 'dall-e-3' WHEN n % 3 = 0 THEN 'gpt-5' ELSE 'gpt-4o-mini' END,
                 input_tokens => CASE WHEN n % 4 = 0 THEN 0 ELSE 300 * n + 40 * day END, output_tokens => CASE WHEN n % 4 = 0 THEN 0 ELSE 90 * n END,
                 status => CASE WHEN (day * n) % 41 = 40 THEN 'failed' ELSE 'success' END,
                 error_message => CASE WHEN (day * n) % 41 = 40 THEN 'the provider did not answer' END,
                 duration_ms => 400 + 37 * n + 11 * day,
                 occurred_at => usage._usage_now() - day * interval '1 day' - n * interval '17 minutes') AS c
WHERE h.happens
\g /dev/null
SELECT count(usage.track_usage(id, 'video', occurred_at => usage._usage_now() - place * interval '2 days'))
FROM (SELECT id, row_number() OVER (ORDER BY email) AS place FROM app_users) AS u, generate_series(1, 3)
\g /dev/null
SELECT usage.set_user_plan(id, 'pro') FROM app_users WHERE email = 'bob@example.com'
\g /dev/null
