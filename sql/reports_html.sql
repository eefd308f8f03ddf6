/* reports, HTML: the pieces that pages are made of.
 *
 * What begins with _text_ gives text, which nobody may take for markup; what begins
 * with _html_ gives markup, in which every text is escaped.  So a text goes through
 * _html_text() or _html_escape(), once, and nothing else puts one into a page.  The
 * markup is XML too, so that a test can read it back.  Whatever is not there is
 * NULL, all the way up to the section that is left out. */
CREATE DOMAIN @extschema@."text/html" AS text;
COMMENT ON DOMAIN @extschema@."text/html" IS
'A page; PostgREST serves what returns one as HTML';

/* ---- text ---- */

/* Control characters would reach a terminal, and those for the direction of writing
 * would turn around what stands beside them.  The upper ones are letters in some
 * encodings. */
CREATE FUNCTION @extschema@._text_plain(value text, max_length integer) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.regexp_replace(
               pg_catalog.translate(pg_catalog.left(value, max_length), E'\t\n\r', '   '),
               '[\u0001-\u001f\u007f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\uffff'
               || CASE WHEN pg_catalog.getdatabaseencoding() ~ '^(UTF8|LATIN|ISO)' THEN '\u0080-\u009f' ELSE '' END || ']', '?', 'g')
           || CASE WHEN pg_catalog.length(value) > max_length THEN '...' ELSE '' END;
END;
COMMENT ON FUNCTION @extschema@._text_plain(text, integer) IS
'Internal: a text in one line, not too long, without characters that do something';

/* Two decimals, and of what is small three digits that say something: 0.0004 is not 0. */
CREATE FUNCTION @extschema@._text_number(value numeric, min_scale integer DEFAULT 0) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN n.rounded = 0 AND value <> 0 THEN '<0.000000000001'
                WHEN pg_catalog.abs(value) >= 1e24 THEN pg_catalog.btrim(pg_catalog.to_char(value, '9.999EEEE'))
                ELSE pg_catalog.regexp_replace(pg_catalog.split_part(t.digits, '.', 1), '(\d)(?=(\d\d\d)+$)', '\1,', 'g')
                     || COALESCE("substring"(t.digits, '\..*'), '') END
      FROM (SELECT pg_catalog.trim_scale(pg_catalog.round(value,
                       CASE WHEN value = 0 OR pg_catalog.abs(value) >= 0.1 THEN 2
                            ELSE LEAST(12, 2 - pg_catalog.floor(pg_catalog.log(pg_catalog.abs(value))))::integer END)) AS rounded) AS n,
           LATERAL (SELECT pg_catalog.round(n.rounded, GREATEST(min_scale, pg_catalog.scale(n.rounded)))::text AS digits) AS t;
END;
COMMENT ON FUNCTION @extschema@._text_number(numeric, integer) IS
'Internal: a number as people read it';

CREATE FUNCTION @extschema@._text_money(amount numeric, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN amount < 0 THEN '-' ELSE '' END
           || CASE COALESCE(currency, 'USD') WHEN 'USD' THEN '$' ELSE @extschema@._text_plain(currency, 3) || ' ' END
           || @extschema@._text_number(pg_catalog.abs(amount), 2);
END;
COMMENT ON FUNCTION @extschema@._text_money(numeric, text) IS
'Internal: an amount of money as people read it';

/* An amount in the measure of its limit. */
CREATE FUNCTION @extschema@._text_amount(amount numeric, measure text, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE measure WHEN 'cost' THEN @extschema@._text_money(amount, currency) ELSE @extschema@._text_number(amount) END;
END;
COMMENT ON FUNCTION @extschema@._text_amount(numeric, text, text) IS
'Internal: how much of a limit, as text';

CREATE FUNCTION @extschema@._text_percent(percent numeric) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_number(percent) || '%';
END;
COMMENT ON FUNCTION @extschema@._text_percent(numeric) IS
'Internal: a percentage as people read it';

CREATE FUNCTION @extschema@._text_time(at timestamptz, zone text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN pg_catalog.isfinite(at)
                THEN pg_catalog.to_char(at AT TIME ZONE COALESCE(zone, 'UTC'), 'FMDD Mon YYYY, HH24:MI') END;
END;
COMMENT ON FUNCTION @extschema@._text_time(timestamptz, text) IS
'Internal: an instant by the clocks of a zone';

CREATE FUNCTION @extschema@._text_day(day date) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.to_char(day, 'FMDD Mon YYYY');
END;
COMMENT ON FUNCTION @extschema@._text_day(date) IS
'Internal: a day as people read it';

CREATE FUNCTION @extschema@._text_span(seconds numeric) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN seconds < 60 THEN 'less than a minute'
                WHEN seconds < 3600 THEN pg_catalog.div(seconds, 60) || 'm'
                WHEN seconds < 86400 THEN pg_catalog.div(seconds, 3600) || 'h ' || pg_catalog.div(seconds, 60) % 60 || 'm'
                ELSE pg_catalog.div(seconds, 86400) || 'd ' || pg_catalog.div(seconds, 3600) % 24 || 'h' END;
END;
COMMENT ON FUNCTION @extschema@._text_span(numeric) IS
'Internal: how long until something, in its two largest units';

CREATE FUNCTION @extschema@._text_duration(milliseconds numeric) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN milliseconds < 1000 THEN @extschema@._text_number(milliseconds) || ' ms'
                ELSE @extschema@._text_number(milliseconds / 1000) || ' s' END;
END;
COMMENT ON FUNCTION @extschema@._text_duration(numeric) IS
'Internal: how long something took';

CREATE FUNCTION @extschema@._text_period(first_day date, last_day date) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._text_day(first_day) || ' to ' || @extschema@._text_day(last_day);
END;
COMMENT ON FUNCTION @extschema@._text_period(date, date) IS
'Internal: days from one to another';

/* The two bounds are the colours' too; what does not say its state has that of its
 * percentage. */
CREATE FUNCTION @extschema@._text_state(state text, percent numeric) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN state = ANY ('{ok,near,reached,unlimited,uncounted}'::text[]) THEN state
                WHEN percent >= 100 THEN 'reached'
                WHEN percent >= 80 THEN 'near'
                WHEN percent IS NULL THEN 'unlimited'
                ELSE 'ok' END;
END;
COMMENT ON FUNCTION @extschema@._text_state(text, numeric) IS
'Internal: how full a limit is, as one of five words';

CREATE FUNCTION @extschema@._text_state_label(state text) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE state WHEN 'near' THEN 'Near the limit'
                      WHEN 'reached' THEN 'Limit reached'
                      WHEN 'unlimited' THEN 'Unlimited'
                      WHEN 'uncounted' THEN 'Not counted'
                      ELSE 'Within the limit' END;
END;
COMMENT ON FUNCTION @extschema@._text_state_label(text) IS
'Internal: how full a limit is, in words';

/* ---- what stands in a sentence or a cell ---- */

CREATE FUNCTION @extschema@._html_escape(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT replace(replace(replace(replace(replace(
               value, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;');
END;
COMMENT ON FUNCTION @extschema@._html_escape(text) IS
'Internal: a text as it is written into markup, attributes included';

CREATE FUNCTION @extschema@._html_text(value text, max_length integer DEFAULT 100) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<bdi>' || @extschema@._html_escape(@extschema@._text_plain(value, max_length)) || '</bdi>';
END;
COMMENT ON FUNCTION @extschema@._html_text(text, integer) IS
'Internal: a text of a user in a page';

CREATE FUNCTION @extschema@._html_data(value numeric, shown text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<data value="' || value || '">' || @extschema@._html_escape(shown) || '</data>';
END;
COMMENT ON FUNCTION @extschema@._html_data(numeric, text) IS
'Internal: a figure in a page, with its exact value beside what is shown';

CREATE FUNCTION @extschema@._html_number(value numeric) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_data(value, @extschema@._text_number(value));
END;
COMMENT ON FUNCTION @extschema@._html_number(numeric) IS
'Internal: a number in a page';

CREATE FUNCTION @extschema@._html_percent(percent numeric) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_data(percent, @extschema@._text_percent(percent));
END;
COMMENT ON FUNCTION @extschema@._html_percent(numeric) IS
'Internal: a percentage in a page';

CREATE FUNCTION @extschema@._html_money(amount numeric, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_data(amount, @extschema@._text_money(amount, currency));
END;
COMMENT ON FUNCTION @extschema@._html_money(numeric, text) IS
'Internal: an amount of money in a page';

CREATE FUNCTION @extschema@._html_amount(amount numeric, measure text, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE measure WHEN 'cost' THEN @extschema@._html_money(amount, currency) ELSE @extschema@._html_number(amount) END;
END;
COMMENT ON FUNCTION @extschema@._html_amount(numeric, text, text) IS
'Internal: how much of a limit, in a page';

/* A cost of which nobody knows a part is more than it says. */
CREATE FUNCTION @extschema@._html_cost(cost numeric, unpriced numeric, currency text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_money(cost, currency)
           || COALESCE(CASE WHEN unpriced > 0 THEN ' <small>+ ' || @extschema@._html_number(unpriced) || ' without a price</small>' END, '');
END;
COMMENT ON FUNCTION @extschema@._html_cost(numeric, numeric, text) IS
'Internal: a cost in a page, with how many uses are not in it';

CREATE FUNCTION @extschema@._html_time(at timestamptz, zone text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<time datetime="' || pg_catalog.to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '">'
           || @extschema@._text_time(at, zone) || '</time>';
END;
COMMENT ON FUNCTION @extschema@._html_time(timestamptz, text) IS
'Internal: an instant in a page';

CREATE FUNCTION @extschema@._html_badge(kind text, label text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<span class="badge ' || kind || '">' || @extschema@._html_escape(label) || '</span>';
END;
COMMENT ON FUNCTION @extschema@._html_badge(text, text) IS
'Internal: a word of ours in a frame';

/* ---- bars ---- */

/* The stripes say what the colour says.  No style attribute: a page forbids them. */
CREATE FUNCTION @extschema@._html_bar(percent numeric, state text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<svg class="bar ' || @extschema@._html_escape(state) || '" width="100%" height="10" aria-hidden="true" focusable="false">'
           '<rect class="track" width="100%" height="10" rx="5"/>'
           || CASE WHEN w.width > 0 THEN '<rect class="fill" width="' || w.width || '%" height="10" rx="5"/>'
                   '<line class="stripes" x1="5" y1="5" x2="' || w.width || '%" y2="5"/>' ELSE '' END || '</svg>'
      FROM (SELECT pg_catalog.round(GREATEST(0, LEAST(100, percent)), 2) AS width) AS w;
END;
COMMENT ON FUNCTION @extschema@._html_bar(numeric, text) IS
'Internal: a bar that shows a figure which stands beside it';

CREATE FUNCTION @extschema@._html_meter(label text, percent numeric, state text) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<div role="meter" aria-label="' || @extschema@._html_escape(@extschema@._text_plain(label, 100))
           || '" aria-valuemin="0" aria-valuemax="100" aria-valuenow="' || GREATEST(0, LEAST(100, percent))
           || '" aria-valuetext="' || @extschema@._html_escape(@extschema@._text_percent(percent)) || '">'
           || @extschema@._html_bar(percent, state) || '</div>';
END;
COMMENT ON FUNCTION @extschema@._html_meter(text, numeric, text) IS
'Internal: a bar that is a figure itself';

/* ---- tables ---- */

/* A cell is markup, or NULL.  Kinds have a letter for each column: t is text, which
 * stands on the left, d a time, n a figure, w a long text, b a bar. */
CREATE FUNCTION @extschema@._html_row(kinds text, cells jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<tr>' || pg_catalog.string_agg(
               CASE WHEN c.place = 1 THEN '<th scope="row" class="' ELSE '<td class="' END || "substring"(kinds, c.place::integer, 1) || '">'
               || COALESCE(c.cell, '&#8211;') || CASE WHEN c.place = 1 THEN '</th>' ELSE '</td>' END, '' ORDER BY c.place) || '</tr>'
      FROM pg_catalog.jsonb_array_elements_text(cells) WITH ORDINALITY AS c (cell, place);
END;
COMMENT ON FUNCTION @extschema@._html_row(text, jsonb) IS
'Internal: one row of a table in a page';

CREATE FUNCTION @extschema@._html_table(caption text, heads text[], kinds text, rows jsonb) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN rows IS NULL THEN '<p class="empty">Nothing yet.</p>' ELSE
           '<div class="scroll" role="group" tabindex="0" aria-label="' || @extschema@._html_escape(caption) || '"><table><caption>'
           || @extschema@._html_escape(caption) || '</caption><thead><tr>'
           || (SELECT pg_catalog.string_agg(CASE WHEN h.head = '' THEN '<td></td>'
                                                 ELSE '<th scope="col" class="' || "substring"(kinds, h.place::integer, 1) || '">' || h.head || '</th>' END,
                                            '' ORDER BY h.place)
                 FROM pg_catalog.unnest(heads) WITH ORDINALITY AS h (head, place))
           || '</tr></thead><tbody>'
           || (SELECT pg_catalog.string_agg(@extschema@._html_row(kinds, r.cells), '' ORDER BY r.place)
                 FROM pg_catalog.jsonb_array_elements(rows) WITH ORDINALITY AS r (cells, place))
           || '</tbody></table></div>' END;
END;
COMMENT ON FUNCTION @extschema@._html_table(text, text[], text, jsonb) IS
'Internal: a table in a page, which scrolls where it is wider than the screen';

/* ---- lists of figures, sections ---- */

CREATE FUNCTION @extschema@._html_fact(label text, value text, note text DEFAULT NULL) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE('<div><dt>' || label || '</dt><dd>' || value || COALESCE('<small>' || note || '</small>', '') || '</dd></div>', '');
END;
COMMENT ON FUNCTION @extschema@._html_fact(text, text, text) IS
'Internal: one figure with its name; nothing, if it is not there';

CREATE FUNCTION @extschema@._html_facts(kind text, facts text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN facts <> '' THEN '<dl class="' || kind || '">' || facts || '</dl>' END;
END;
COMMENT ON FUNCTION @extschema@._html_facts(text, text) IS
'Internal: figures with their names; NULL, if there is none';

CREATE FUNCTION @extschema@._html_section(id text, title text, body text) RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE('<section class="' || id || '" aria-labelledby="' || id || '"><h2 id="' || id || '">' || title || '</h2>' || body || '</section>', '');
END;
COMMENT ON FUNCTION @extschema@._html_section(text, text, text) IS
'Internal: a section of a page; nothing, if it has no body';

/* The objects of one of a dashboard's lists; NULL where there is no such list. */
CREATE FUNCTION @extschema@._page_list(dashboard jsonb, key text) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE pg_catalog.jsonb_typeof(dashboard -> key) WHEN 'array' THEN dashboard -> key END;
END;
COMMENT ON FUNCTION @extschema@._page_list(jsonb, text) IS
'Internal: a list of a dashboard';
