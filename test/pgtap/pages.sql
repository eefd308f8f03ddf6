/* pages: a dashboard as HTML and as text says what the dashboard says, whatever is in it.
 *
 * Pages are read back as XML.  Dashboards are made by hand (lib/dashboards.sql), and
 * at the end come from user_dashboard() and admin_dashboard(). */
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;
SELECT no_plan();
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SET TimeZone = 'Asia/Tokyo';  -- which must not matter
SET DateStyle = 'German';
SET usage_tracking.clock = '2026-03-10 12:00+00';
\set ann '00000000-0000-0000-0000-00000000000a'
\ir lib/dashboards.sql

/* A page as XML. */
CREATE FUNCTION pg_temp.parsed(page text) RETURNS xml LANGUAGE sql AS $$
    SELECT xmlparse(DOCUMENT regexp_replace(page, '^<!DOCTYPE html>\n', ''))
$$;
CREATE TEMP TABLE page AS
SELECT name, value AS dashboard, usage.dashboard_page(value)::text AS source, pg_temp.parsed(usage.dashboard_page(value)) AS page FROM dashboard;

/* Texts that a path finds, and the exact figures below what it finds. */
CREATE FUNCTION pg_temp.texts(page xml, path text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT xpath_string.t FROM unnest(xpath(path, page)) WITH ORDINALITY AS x (node, n),
           LATERAL (SELECT array_to_string(xpath('//text()', node), '')) AS xpath_string (t) ORDER BY n
$$;
CREATE FUNCTION pg_temp.figures(page xml, path text) RETURNS numeric[] LANGUAGE sql AS $$
    SELECT array_agg(v::text::numeric ORDER BY n) FROM unnest(xpath(path || '//data/@value', page)) WITH ORDINALITY AS x (v, n)
$$;
CREATE FUNCTION pg_temp.numbers(list jsonb, keys text[]) RETURNS numeric[] LANGUAGE sql AS $$
    SELECT array_agg((e ->> k)::numeric ORDER BY n, m) FROM jsonb_array_elements(list) WITH ORDINALITY AS l (e, n),
           unnest(keys) WITH ORDINALITY AS x (k, m) WHERE e ->> k IS NOT NULL AND NOT (k = 'unpriced' AND e ->> k = '0')
$$;

-- ---- how figures are written ----

SELECT is(usage._text_number(n), shown, format('%s is written %s', n, shown)) FROM (VALUES
    (0, '0'), (1, '1'), (999, '999'), (1000, '1,000'), (1234567, '1,234,567'), (-1234567.891, '-1,234,567.89'), (2.50, '2.5'), (99.999, '100'),
    (0.1, '0.1'), (0.0004, '0.0004'), (0.00012345, '0.000123'), (-0.0004, '-0.0004'), (1e-30, '<0.000000000001'),
    (9223372036854775807, '9,223,372,036,854,775,807'), (123456789012345678901234::numeric, '123,456,789,012,345,678,901,234'),
    (1e30, '1.000e+30')) AS v (n, shown);
SELECT is(usage._text_money(n, currency), shown, format('%s %s is written %s', n, currency, shown)) FROM (VALUES
    (0, NULL, '$0.00'), (1.5, 'USD', '$1.50'), (1043.5, NULL, '$1,043.50'), (0.0004, NULL, '$0.0004'), (0.5, NULL, '$0.50'), (0.00075, NULL, '$0.00075'),
    (-2, NULL, '-$2.00'), (12.3, 'EUR', 'EUR 12.30'), (NULL, 'EUR', NULL)) AS v (n, currency, shown);
SELECT is(usage._text_span(n), shown, format('%s seconds are %s', n, shown)) FROM (VALUES
    (0, 'less than a minute'), (59, 'less than a minute'), (60, '1m'), (3599, '59m'), (15120, '4h 12m'), (86399, '23h 59m'), (86400, '1d 0h'), (1857600, '21d 12h')) AS v (n, shown);
SELECT is(usage._text_time('2026-03-10 23:30+00', 'Asia/Tokyo'), '11 Mar 2026, 08:30', 'times are by the clocks of the dashboard''s zone');
SELECT is(usage._text_time(t, 'UTC'), NULL, 'and there is none of ' || t) FROM unnest('{infinity,-infinity}'::timestamptz[]) AS t;
SELECT is(usage._text_state(state, percent), found, format('%s at %s%% is %s', state, percent, found)) FROM (VALUES
    (NULL, 79.9, 'ok'), (NULL, 80, 'near'), (NULL, 99.9, 'near'), (NULL, 100, 'reached'), (NULL, NULL, 'unlimited'), ('uncounted', NULL, 'uncounted'),
    ('near', 10, 'near'), ('x" onload="', 10, 'ok')) AS v (state, percent, found);
SELECT is(usage._html_text(U&'a<b> & "c" ''d'' \202E\0007'), '<bdi>a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39; ??</bdi>', 'texts are escaped, and control nothing');
SELECT is(usage._page_scale_end(n), shown::numeric, format('a scale over %s ends at %s', n, shown)) FROM (VALUES
    (0, 1), (1, 1), (7, 8), (10, 10), (11, 20), (23000, 30000), (0.0023, 0.003)) AS v (n, shown);

-- ---- the page of a user ----

SELECT is(array_agg(t), '{Limits,"Day by day",Usage,Runs,Plan,"Cost by model","Recent activity"}', 'a user''s page has its sections')
  FROM page, pg_temp.texts(page, '//h2') AS t WHERE name = 'user';
SELECT is(array_agg(t), '{"ann@example.com Admin"}', 'it says whose it is, and that he is an admin') FROM page, pg_temp.texts(page, '//h1') AS t WHERE name = 'user';
SELECT matches((SELECT t FROM pg_temp.texts(page, '//p[@class="notice"]') AS t), 'Demo Mode: You have unlimited access', 'it has the notice') FROM page WHERE name = 'user';
SELECT is(pg_temp.figures(page, '//p[@class="alerts"]'), '{100}', 'and the alert') FROM page WHERE name = 'user';
SELECT is(pg_temp.figures(page, '//*[@class="limits"]//p[@class="amount"]'),
          (SELECT array_agg(f ORDER BY n, m) FROM jsonb_array_elements(dashboard -> 'limits') WITH ORDINALITY AS l (e, n),
                  unnest(ARRAY[(e ->> 'used')::numeric, NULLIF((e ->> 'max_usage')::numeric, -1), (e ->> 'percent')::numeric]) WITH ORDINALITY AS x (f, m)
            WHERE f IS NOT NULL), 'limits: used, maximum and percentage are those of the dashboard') FROM page WHERE name = 'user';
SELECT is(array_agg(t), '{"Near the limit","Limit reached","Near the limit",Unlimited}', 'limits: what is full says so in words')
  FROM page, pg_temp.texts(page, '//*[@class="limits"]//*[contains(@class, "badge")]') AS t WHERE name = 'user';
SELECT is(xpath('//*[@role="meter"]/svg/@class', page)::text[], '{"bar ok","bar near","bar reached","bar ok","bar near","bar near"}',
          'and by the kind of its bar; what is unlimited has none') FROM page WHERE name = 'user';
SELECT is(xpath('//*[@class="limits"]//*[@role="meter"]/@aria-valuenow', page)::text[], '{24.0,85.0,100,24.7,82.2}', 'limits: bars have their value') FROM page WHERE name = 'user';
SELECT is(xpath('//*[@class="limits"]//*[@role="meter"]//rect[@class="fill"]/@width', page)::text[], '{24.00%,85.00%,100.00%,24.70%,82.20%}', 'and are as long') FROM page WHERE name = 'user';
SELECT is((SELECT t FROM pg_temp.texts(page, '(//*[@class="limits"]//p[@class="below"])[2]') AS t), U&'3 left \00B7 2 reserved \00B7 Resets in 4h 12m (10 Mar 2026, 17:12)',
          'limits: what is left, reserved, and until when') FROM page WHERE name = 'user';
SELECT is((xpath('//*[@class="recent"]//tbody/tr[1]/th/time/@datetime', page))[1]::text, '2026-03-10T11:58:12Z', 'instants have their exact time') FROM page WHERE name = 'user';
SELECT is(pg_temp.figures(page, '//dl[@class="tiles"]'), '{8.2154,1043.5,3,12450}', 'costs and credits are those of the dashboard') FROM page WHERE name = 'user';
SELECT is(pg_temp.figures(page, '//*[@class="usage"]'), pg_temp.numbers(dashboard -> 'usage', '{events,failed,quantity,tokens,cost,unpriced}'), 'use by type is') FROM page WHERE name = 'user';
SELECT is(pg_temp.figures(page, '//*[@class="models"]'), pg_temp.numbers(dashboard -> 'models', '{cost,unpriced,percent,events,tokens}'), name || ': cost by model is')
  FROM page WHERE name IN ('user', 'admin');
SELECT is(pg_temp.figures(page, '//*[@class="recent"]'), pg_temp.numbers(dashboard -> 'recent', '{quantity,tokens,cost,duration_ms}'), 'the latest uses are') FROM page WHERE name = 'user';
SELECT is(pg_temp.figures(page, '//*[@class="runs"]'), '{42,50,8,38,3,102003,0.01620045}', 'runs are') FROM page WHERE name = 'user';
SELECT is(array_agg(t), '{"As of 10 Mar 2026, 13:00. Times are in the time zone Europe/Vienna."}', 'it says when it was made, and names the zone')
  FROM page, pg_temp.texts(page, '//footer/p') AS t WHERE name = 'user';

-- ---- the administrators' page ----

SELECT is(array_agg(t), '{Conversion,"Forecast for March 2026","Day by day","Near their limits","Top users","Cost by model","Unit costs","Error rates"}', 'the administrators'' page has its sections')
  FROM page, pg_temp.texts(page, '//h2') AS t WHERE name = 'admin';
SELECT is(pg_temp.figures(page, '//dl[@class="tiles"]'), '{12345,5678,1043221,8120,845201776,10432.118,12}', 'totals are those of the dashboard') FROM page WHERE name = 'admin';
SELECT is(pg_temp.figures(page, '//*[@class="forecast"]'), '{10801.86,3310.25,0.306452}', 'the forecast is, with its elapsed share') FROM page WHERE name = 'admin';
SELECT is(pg_temp.figures(page, '//*[@class="funnel-of"]'), '{12345,100,8021,65,65,5333,43.2,66.5,987,8,18.5}', 'the funnel is') FROM page WHERE name = 'admin';
SELECT is(pg_temp.figures(page, '//*[@class="errors"]'), pg_temp.numbers(dashboard -> 'error_rates', '{events,failed,rate_limited,cancelled,error_rate,duration_ms_mean}'), 'error rates are')
  FROM page WHERE name = 'admin';
SELECT is((SELECT array_agg(t) FROM pg_temp.texts(page, '//*[@class="errors"]//tr[td/small="few"]/th') AS t), '{video}', 'and what is few says so') FROM page WHERE name = 'admin';
SELECT is(pg_temp.figures(page, '//*[@class="top"]'), pg_temp.numbers(dashboard -> 'top_users', '{events,quantity,tokens,cost}'), 'top users are') FROM page WHERE name = 'admin';
SELECT is(pg_temp.figures(page, '//*[@class="near"]'), pg_temp.numbers(dashboard -> 'near_limits', '{used,max_usage,percent}'), 'users near limits are') FROM page WHERE name = 'admin';
SELECT is(pg_temp.figures(page, '//*[@class="unit"]'), pg_temp.numbers(dashboard -> 'unit_costs', '{users,events,quantity,cost,cost_per_user,cost_per_event,cost_per_unit}'), 'unit costs are')
  FROM page WHERE name = 'admin';

-- ---- lines over days ----

CREATE TEMP VIEW days_of AS
SELECT name, page, dashboard -> CASE dashboard ->> 'kind' WHEN 'user' THEN 'days' ELSE 'trends' END AS days FROM page WHERE name IN ('user', 'admin');
SELECT is(pg_temp.figures(page, format('(//figure)[%s]/ul', n)), wanted, format('%s: the legend has the sums of %s', name, figure))
  FROM days_of, (VALUES (1, 'events'), (2, 'cost')) AS f (n, figure),
       LATERAL (SELECT array_agg(total ORDER BY place) AS wanted FROM (
           SELECT LEAST(rank, 6) AS place, sum(CASE figure WHEN 'cost' THEN cost ELSE events END) AS total FROM (
               SELECT row_number() OVER (ORDER BY share DESC, usage_type) AS rank, events, cost FROM (
                   SELECT *, GREATEST(events / sum(events) OVER (), cost / sum(cost) OVER ()) AS share
                     FROM (SELECT d ->> 'usage_type' AS usage_type, sum((d ->> 'events')::numeric) AS events, sum((d ->> 'cost')::numeric) AS cost
                             FROM jsonb_array_elements(days) AS d GROUP BY 1) AS s) AS s) AS t GROUP BY 1) AS p WHERE total <> 0) AS w;
SELECT is((SELECT array_agg(DISTINCT class || ' ' || bdi) FROM unnest(xpath('//figure/ul/li', page)) AS li, LATERAL (SELECT (xpath('//path/@class', li))[1]::text, (xpath('//bdi/text()', li))[1]::text) AS x (class, bdi)),
          '{"line s1 video","line s2 prompt","line s3 image"}', 'a type has the same line in both pictures') FROM page WHERE name = 'user';
SELECT is((SELECT sum(f) FROM unnest(pg_temp.figures(page, format('(//figure)[%s]//tbody', n))) AS f),
          (SELECT sum((d ->> figure)::numeric) FROM jsonb_array_elements(days) AS d), format('%s: the table of %s has all of them', name, figure))
  FROM days_of, (VALUES (1, 'events'), (2, 'cost')) AS f (n, figure);
SELECT is(cardinality(xpath('(//figure)[1]//tbody/tr', page)), (SELECT count(DISTINCT d ->> 'day')::integer FROM jsonb_array_elements(days) AS d), name || ': it has every day of use') FROM days_of;
SELECT is((SELECT array_agg(regexp_count) FROM (SELECT cardinality(string_to_array(d::text, 'L')) AS regexp_count FROM unnest(xpath('(//figure)[1]/div/svg/path[starts-with(@class, "line")]/@d', page)) AS d) AS x),
          array_fill(30, ARRAY[lines]), name || ': a line has a point for every day') FROM days_of, (VALUES ('user', 3), ('admin', 6)) AS l (of, lines) WHERE name = of;
SELECT is(array_agg(to_char(t.day, 'YYYY-MM-DD ') || t.amount), '{"2026-03-01 0","2026-03-02 5","2026-03-03 0"}', 'a day without use is 0')
  FROM usage._page_trend('[{"day": "2026-03-02", "usage_type": "x", "events": 5}]', 'events', '2026-03-01', '2026-03-03') AS t;
SELECT is(count(*), 3661::bigint, 'no more days than there can be') FROM usage._page_trend('[{"day": "2026-03-02", "usage_type": "x", "events": 5}]', 'events', '0001-01-01', '9999-12-31');
SELECT matches(usage._page_trend_lines('[{"day": "2026-03-02", "usage_type": "x", "events": 5}]', 'events', '2026-03-01', '2026-03-03', 10), 'd="M0\.0 100\.00L500\.0 50\.00L1000\.0 100\.00"', 'a line is where its figures are');
SELECT matches(usage._page_trend_lines('[{"day": "2026-03-02", "usage_type": "x", "events": 5}]', 'events', '2026-03-02', '2026-03-02', 5), 'd="M0\.0 0\.00h0"', 'one day is a dot');

-- ---- what is not there ----

SELECT is(array_agg(t), NULL, name || ': what is not there has no section') FROM page LEFT JOIN LATERAL pg_temp.texts(page, '//h2') AS t ON true WHERE name ~ '^bare' AND t <> 'Forecast' GROUP BY name;
SELECT is(array_agg(t), '{"Nothing is limited.","Nothing yet.","Nothing yet.","Nothing yet.","Nothing yet."}', 'a new user: empty lists say so') FROM page, pg_temp.texts(page, '//*[@class="empty"]') AS t WHERE name = 'new user';
SELECT is(array_agg(t), '{00000000-0000-0000-0000-00000000000d}', 'without an address he is called by his id') FROM page, pg_temp.texts(page, '//h1') AS t WHERE name = 'new user';
SELECT ok(pg_temp.parsed(usage.dashboard_page(value - k)) IS DOCUMENT, format('%s without %s', name, k)) FROM dashboard, jsonb_object_keys(value) AS k WHERE name IN ('user', 'admin') AND k <> 'kind';
SELECT ok(pg_temp.parsed(usage.dashboard_page(value || jsonb_build_object(k, NULL))) IS DOCUMENT, format('%s with %s null', name, k)) FROM dashboard, jsonb_object_keys(value) AS k WHERE name IN ('user', 'admin') AND k <> 'kind';
SELECT ok((SELECT bool_and(pg_temp.parsed(usage.dashboard_page(jsonb_set(value, ARRAY[k, '0', f], 'null'))) IS DOCUMENT AND length((SELECT string_agg(r, '') FROM usage._text_report(jsonb_set(value, ARRAY[k, '0', f], 'null')) AS r)) > 0)
             FROM jsonb_object_keys(value -> k -> 0) AS f), format('%s with each key of the first of %s null', name, k))
  FROM dashboard, jsonb_object_keys(value) AS k WHERE name IN ('user', 'admin') AND jsonb_typeof(value -> k) = 'array';
SELECT ok(pg_temp.parsed(usage.dashboard_page(jsonb_set(value, ARRAY[k], '[{}]'))) IS DOCUMENT, format('%s with an empty object in %s', name, k))
  FROM dashboard, jsonb_object_keys(value) AS k WHERE name IN ('user', 'admin') AND jsonb_typeof(value -> k) = 'array';

-- ---- what is no dashboard ----

SELECT throws_ok(format('SELECT usage.%s(%L::jsonb)', f, d), '22023', 'this is not a dashboard', format('%s refuses %s', f, d))
  FROM unnest('{dashboard_page,_text_report}'::text[]) AS f, unnest(ARRAY['{}', '[]', 'null', '7', '"user"', '["kind"]', '{"kind": null}', '{"kind": "x"}', '{"kind": ["user"]}']) AS d;
SELECT throws_ok(format('SELECT usage.%s(NULL)', f), '22004', 'argument "dashboard" must not be null', f || ' refuses NULL') FROM unnest('{dashboard_page,_text_report}'::text[]) AS f;
SELECT throws_ok(format('SELECT usage.dashboard_page(%L)', d), code, NULL, 'refused: ' || d) FROM (VALUES
    ('{"kind": "user", "time_zone": "Nowhere/At_All"}', NULL), ('{"kind": "user", "generated_at": "2026-03-10 12:00+00", "time_zone": "Nowhere/At_All"}', '22023'),
    ('{"kind": "user", "generated_at": "soon"}', '22007'), ('{"kind": "user", "limits": [7]}', '22023'), ('{"kind": "admin", "top_users": [{"events": "many"}]}', '22P02')) AS v (d, code) WHERE code IS NOT NULL;

-- ---- hostile texts ----

SELECT is(xpath('//script | //img | //a | //link | //iframe | //object | //form | //@src | //@href | //@style | //@*[starts-with(name(), "on")]', page)::text[], '{}', name || ': nothing is run or loaded') FROM page;
SELECT is(cardinality(xpath('//style', page)), 1, name || ': one style, ours') FROM page;
SELECT matches(xpath_text, '^default-src ''none''; style-src ''sha256-' || replace(encode(sha256(convert_to(usage._page_style(), 'UTF8')), 'base64'), '+', '\+') || '''; base-uri ''none''; form-action ''none''$',
               'a page allows itself nothing but its style') FROM page, LATERAL (SELECT (xpath('//meta[@http-equiv]/@content', page))[1]::text) AS x (xpath_text) WHERE name = 'user';
SELECT is((SELECT string_agg(t, ' ') FROM unnest(xpath('//body//*[not(self::bdi)]/text()', page)::text[]) AS t WHERE t ~ 'Lorem|document.title|invoice'), NULL,
          name || ': every text of a user is in bdi') FROM page WHERE name ~ '^hostile';
SELECT unalike(source, '%' || h.c || '%', format('%s: no U+%s', p.name, lpad(to_hex(ascii(h.c)), 4, '0'))) FROM page AS p,
       (SELECT DISTINCT c FROM hostile, regexp_split_to_table(value, '') AS c WHERE c ~ '[\u0001-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]') AS h WHERE p.name ~ '^hostile';
SELECT ok(length(source) < 150000, format('%s is not long: %s', name, length(source))) FROM page WHERE name ~ '^hostile';
SELECT cmp_ok((SELECT count(*) FROM pg_temp.texts(page, '//bdi') AS t WHERE t ~ '^&lt;script&gt;document\.title = "taken"'), '>', 5::bigint, name || ': a script is there, as text') FROM page WHERE name ~ '^hostile';
SELECT is((SELECT string_agg(DISTINCT c, ' ') FROM unnest(xpath('//@class', page)::text[]) AS a, regexp_split_to_table(a, ' ') AS c WHERE c !~ '^[a-z][a-z0-9-]*$'), NULL, name || ': classes are ours') FROM page;
SELECT is((SELECT array_agg(i) FROM (SELECT i FROM unnest(xpath('//@id', page)::text[]) AS i GROUP BY i HAVING count(*) > 1) AS x), NULL, name || ': no id is there twice') FROM page;

-- ---- the report ----

CREATE TEMP TABLE report AS SELECT name, line, n FROM dashboard, usage._text_report(value) WITH ORDINALITY AS r (line, n);
SELECT is_empty('SELECT * FROM report WHERE length(line) > 100', 'no line is longer than 100');
SELECT is_empty($$SELECT * FROM report WHERE line ~ '[\u0001-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]'$$, 'no line has a character that does something');
SELECT is(line, wanted, 'a line of the report') FROM (VALUES
    ('user', 'prompts_daily', '  prompts_daily            [####................]     24%  12 of 50, resets in 4h 12m'),
    ('user', 'videos_monthly', '  videos_monthly           [####################]    100%  5 of 5, limit reached, resets in 21d 12h'),
    ('user', 'exports_ever', '  exports_ever                                          -  41, unlimited'),
    ('user', '[############........]', '  openai/gpt-image-1             [############........]   63.8%           $5.24          96 uses'),
    ('user', 'no model', '  no model                       [....................]      0%         $0.0004           1 uses'),
    ('user', 'lifetime', '  this month $8.22, lifetime $1,043.50, 3 uses without a price'),
    ('user', '42 of 50', '                           [################....]  42 of 50'),
    ('admin', 'exported', '  exported a video         [#...................]      8%           987 users'),
    ('admin', 'forecast', '  forecast for the month $10,801.86: $3,310.25 so far, with 30.65% of it over'),
    ('admin', 'active', '  5,678 active users of 12,345 registered'),
    ('admin', 'few', '  video            runway/gen-4-turbo         [###...........]     25% of         12 (few)'),
    ('new user', 'As of', 'As of 10 Mar 2026, 12:00, time zone UTC')) AS w (of, part, wanted)
  LEFT JOIN report ON name = of AND line LIKE '%' || part || '%' AND line !~ '^(Demo|USES)';

-- ---- with the real functions ----

SELECT usage.define_usage_limit('videos_daily', 'video', 5), usage.consume_usage(:'ann', 'video', 4) \g /dev/null
SELECT is(usage.user_page(:'ann')::text, usage.dashboard_page(usage.user_dashboard(:'ann'))::text, 'user_page() is the page of user_dashboard()');
SELECT is(usage.admin_page(7)::text, usage.dashboard_page(usage.admin_dashboard(7))::text, 'admin_page() of admin_dashboard()');
SELECT is(usage.admin_page()::text, usage.admin_page(30)::text, 'of 30 days, if none is said');
SELECT ok(pg_temp.parsed(p) IS DOCUMENT, 'and they are well formed') FROM unnest(ARRAY[usage.user_page(:'ann')::text, usage.admin_page()::text]) AS p;
SELECT results_eq(format('SELECT usage.usage_report(%L)', :'ann'), format('SELECT usage._text_report(usage.user_dashboard(%L))', :'ann'), 'usage_report(user) is his');
SELECT results_eq('SELECT usage.usage_report(days => 7)', 'SELECT usage._text_report(usage.admin_dashboard(7))', 'usage_report() of the owner is the administrators''');

DO $$ BEGIN IF to_regrole('regress_ut_reader') IS NULL THEN CREATE ROLE regress_ut_reader; END IF; END $$;
SELECT usage.grant_usage_access('regress_ut_reader') \g /dev/null
SET usage_tracking.user_id = :'ann';
CREATE TEMP TABLE mine AS SELECT array_agg(r) AS lines FROM usage._text_report(usage.user_dashboard(:'ann')) AS r;
GRANT SELECT ON mine TO regress_ut_reader;
SET ROLE regress_ut_reader;
SELECT is((SELECT array_agg(r) FROM usage.usage_report() AS r), lines, 'usage_report() of a user is his own') FROM mine;
SELECT ok(usage.user_page() LIKE '<!DOCTYPE html>%', 'user_page() of a user is his own');
SELECT throws_ok(format('SELECT usage.%s', call), '42501', NULL, 'a user may not ask: ' || call)
  FROM unnest('{admin_page(),admin_dashboard(),user_page(''00000000-0000-0000-0000-00000000000b''),usage_report(''00000000-0000-0000-0000-00000000000b'')}'::text[]) AS call;
RESET ROLE;
SELECT finish();
ROLLBACK;
