/* reports, HTML: lines over days. */

/* Days by type, without gaps.  A type has the same place in all pictures of the same
 * days: by its share of uses or of cost, whichever is larger; from the sixth on they
 * are one, if they are more.  Not more days than a dashboard can have.  The planner
 * takes this for thousands of rows, and would compile it for a tenfold of what it takes. */
CREATE FUNCTION @extschema@._page_trend(
    rows jsonb, figure text, first_day date, last_day date,
    OUT place bigint, OUT name text, OUT day date, OUT amount numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE ROWS 100
SET jit = off
BEGIN ATOMIC
    WITH used AS MATERIALIZED (
        SELECT r.day, COALESCE(r.usage_type, '') AS usage_type, COALESCE(r.events, 0) AS events, COALESCE(r.cost, 0) AS cost,
               COALESCE(CASE figure WHEN 'cost' THEN r.cost ELSE r.events END, 0) AS amount
          FROM pg_catalog.jsonb_to_recordset(rows) AS r (day date, usage_type text, events numeric, cost numeric)
         WHERE r.day IS NOT NULL),
    types AS (
        SELECT s.usage_type, s.amount, pg_catalog.row_number() OVER (ORDER BY s.share DESC NULLS LAST, s.usage_type) AS rank
          FROM (SELECT u.usage_type, pg_catalog.sum(u.amount) AS amount,
                       GREATEST(pg_catalog.sum(u.events) / NULLIF(pg_catalog.sum(pg_catalog.sum(u.events)) OVER (), 0),
                                pg_catalog.sum(u.cost) / NULLIF(pg_catalog.sum(pg_catalog.sum(u.cost)) OVER (), 0)) AS share
                  FROM used AS u GROUP BY u.usage_type) AS s),
    lines AS (
        SELECT LEAST(t.rank, 6) AS place,
               CASE WHEN pg_catalog.count(*) = 1 THEN pg_catalog.min(t.usage_type) ELSE pg_catalog.count(*) || ' others' END AS name
          FROM types AS t WHERE t.amount <> 0 GROUP BY 1),
    bounds AS (
        SELECT COALESCE(first_day, pg_catalog.min(u.day)) AS first_day, COALESCE(last_day, pg_catalog.max(u.day)) AS last_day FROM used AS u),
    days AS (
        SELECT b.last_day - n.n AS day
          FROM bounds AS b, LATERAL pg_catalog.generate_series(LEAST(b.last_day - b.first_day, 3660), 0, -1) AS n (n)),
    sums AS (
        SELECT u.day, LEAST(t.rank, 6) AS place, pg_catalog.sum(u.amount) AS amount FROM used AS u JOIN types AS t USING (usage_type) GROUP BY 1, 2)
    SELECT l.place, l.name, d.day, COALESCE(s.amount, 0)
      FROM lines AS l CROSS JOIN days AS d LEFT JOIN sums AS s ON s.place = l.place AND s.day = d.day
     ORDER BY l.place, d.day;
END;
COMMENT ON FUNCTION @extschema@._page_trend(jsonb, text, date, date) IS
'Internal: what lines over days show';

/* The end of a scale: the next digit with zeros. */
CREATE FUNCTION @extschema@._page_scale_end(value numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE(pg_catalog.min(pg_catalog.trim_scale(m * t.ten)), 1)
      FROM (SELECT 10 ^ pg_catalog.floor(pg_catalog.log(value)) AS ten WHERE value > 0) AS t, pg_catalog.unnest('{1,2,3,4,5,6,8,10}'::numeric[]) AS m
     WHERE m * t.ten >= value;
END;
COMMENT ON FUNCTION @extschema@._page_scale_end(numeric) IS
'Internal: where the scale of a picture ends';

CREATE FUNCTION @extschema@._page_trend_lines(rows jsonb, figure text, first_day date, last_day date, top numeric) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.string_agg('<path class="line s' || l.place || '" d="M' || l.points || CASE WHEN l.days = 1 THEN 'h0' ELSE '' END || '"/>',
                                 '' ORDER BY l.place DESC)
      FROM (SELECT p.place, pg_catalog.count(*) AS days, pg_catalog.string_agg(p.x || ' ' || p.y, 'L' ORDER BY p.x) AS points
              FROM (SELECT t.place, pg_catalog.round(1000.0 * (pg_catalog.row_number() OVER line - 1)
                                                     / GREATEST(pg_catalog.count(*) OVER whole_line - 1, 1), 1) AS x,
                           pg_catalog.round(100 - 100 * GREATEST(t.amount, 0) / top, 2) AS y
                      FROM @extschema@._page_trend(rows, figure, first_day, last_day) AS t
                    WINDOW line AS (PARTITION BY t.place ORDER BY t.day), whole_line AS (PARTITION BY t.place)) AS p
             GROUP BY p.place) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_trend_lines(jsonb, text, date, date, numeric) IS
'Internal: a line for each type';

/* Scales are outside the picture, so that it can be stretched and they are not. */
CREATE FUNCTION @extschema@._page_trend_svg(title text, lines text, first_day date, last_day date, top text, middle text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<div class="plot"><div class="scale" aria-hidden="true"><span>' || @extschema@._html_escape(top) || '</span><span>'
           || @extschema@._html_escape(middle) || '</span><span>0</span></div>'
           '<svg role="img" aria-label="' || @extschema@._html_escape(title) || ' by day, '
           || @extschema@._text_period(first_day, last_day) || '. The scale ends at ' || @extschema@._html_escape(top)
           || '. The figures are in the table below." viewBox="0 0 1000 100" preserveAspectRatio="none">'
           '<path class="grid" d="M0 0H1000M0 50H1000M0 100H1000"/>' || lines || '</svg>'
           '<div class="days" aria-hidden="true"><span>' || @extschema@._text_day(first_day) || '</span><span>'
           || CASE WHEN last_day > first_day THEN @extschema@._text_day(last_day) ELSE '' END || '</span></div></div>';
END;
COMMENT ON FUNCTION @extschema@._page_trend_svg(text, text, date, date, text, text) IS
'Internal: lines over days with their scales';

CREATE FUNCTION @extschema@._page_trend_legend(rows jsonb, figure text, first_day date, last_day date, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<ul class="legend">' || pg_catalog.string_agg(
               '<li><svg class="key" width="28" height="10" aria-hidden="true" focusable="false"><path class="line s' || l.place || '" d="M2 5H26"/></svg>'
               || @extschema@._html_text(l.name, 60) || ' '
               || CASE figure WHEN 'cost' THEN @extschema@._html_money(l.amount, currency) ELSE @extschema@._html_number(l.amount) END || '</li>',
               '' ORDER BY l.place) || '</ul>'
      FROM (SELECT t.place, t.name, pg_catalog.sum(t.amount) AS amount
              FROM @extschema@._page_trend(rows, figure, first_day, last_day) AS t GROUP BY t.place, t.name) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_trend_legend(jsonb, text, date, date, text) IS
'Internal: which line is whose, and its sum';

CREATE FUNCTION @extschema@._page_trend_table(rows jsonb, figure text, title text, first_day date, last_day date, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    WITH cells AS MATERIALIZED (SELECT t.* FROM @extschema@._page_trend(rows, figure, first_day, last_day) AS t)
    SELECT '<details><summary>' || title || ' by day, as a table</summary>'
           || @extschema@._html_table(title || ' by day; days without use are left out',
                  (SELECT ARRAY['Day'] || pg_catalog.array_agg(@extschema@._html_text(h.name, 60) ORDER BY h.place)
                     FROM (SELECT DISTINCT c.place, c.name FROM cells AS c) AS h),
                  't' || pg_catalog.repeat('n', (SELECT pg_catalog.count(DISTINCT c.place) FROM cells AS c)::integer),
                  (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(@extschema@._text_day(d.day)) || d.figures ORDER BY d.day DESC)
                     FROM (SELECT c.day, pg_catalog.jsonb_agg(CASE figure WHEN 'cost' THEN @extschema@._html_money(c.amount, currency)
                                                                          ELSE @extschema@._html_number(c.amount) END ORDER BY c.place) AS figures
                             FROM cells AS c GROUP BY c.day HAVING pg_catalog.bool_or(c.amount <> 0)) AS d))
           || '</details>';
END;
COMMENT ON FUNCTION @extschema@._page_trend_table(jsonb, text, text, date, date, text) IS
'Internal: what the lines show, as a table';

CREATE FUNCTION @extschema@._html_trend(dashboard jsonb, key text, figure text, title text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<figure><figcaption>' || title || '</figcaption>'
           || @extschema@._page_trend_svg(title, @extschema@._page_trend_lines(r.rows, figure, b.first_day, b.last_day, b.top), b.first_day, b.last_day,
                  CASE figure WHEN 'cost' THEN @extschema@._text_money(b.top, r.currency) ELSE @extschema@._text_number(b.top) END,
                  CASE figure WHEN 'cost' THEN @extschema@._text_money(b.top / 2, r.currency) ELSE @extschema@._text_number(b.top / 2) END)
           || @extschema@._page_trend_legend(r.rows, figure, b.first_day, b.last_day, r.currency)
           || @extschema@._page_trend_table(r.rows, figure, title, b.first_day, b.last_day, r.currency) || '</figure>'
      FROM (SELECT @extschema@._page_list(dashboard, key) AS rows, dashboard ->> 'currency' AS currency,
                   (dashboard ->> 'first_day')::date AS first_day, (dashboard ->> 'last_day')::date AS last_day) AS r,
           LATERAL (SELECT pg_catalog.min(t.day) AS first_day, pg_catalog.max(t.day) AS last_day,
                           @extschema@._page_scale_end(pg_catalog.max(t.amount)) AS top
                      FROM @extschema@._page_trend(r.rows, figure, r.first_day, r.last_day) AS t) AS b;
END;
COMMENT ON FUNCTION @extschema@._html_trend(jsonb, text, text, text) IS
'Internal: how something went over the days, as a picture and as a table; NULL, if it did not';
