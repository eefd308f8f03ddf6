/* reports, HTML: how a page looks, and the sections that both kinds of pages have.
 *
 * A section is a function of the dashboard's object; it is empty where the object has
 * nothing for it. */

/* Colours are pairs of contrast 4.5 and more, marks 3 and more, in both schemes; what
 * a colour says, a word, stripes or dashes say too.  */
CREATE FUNCTION @extschema@._page_style() RETURNS text
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '
:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--ink:#16191d;--soft:#59616c;--rule:#e2e5ea;--track:#e6e9ee;--stripe:#fff;
--ok:#2f6fde;--near:#b45309;--reached:#c02626;--okbg:#e6effd;--nearbg:#fdf0db;--reachedbg:#fde8e8;--okink:#1d4fa8;--nearink:#8a3f06;--reachedink:#a01b1b;
--s1:#2f6fde;--s2:#0b7d69;--s3:#b45309;--s4:#8b3fc7;--s5:#c0266b;--s6:#5d6673}
@media (prefers-color-scheme:dark){:root{--page:#0e1114;--card:#171b20;--ink:#e9ecf0;--soft:#a2abb7;--rule:#2a3038;--track:#2b323b;--stripe:#171b20;
--ok:#6aa1ff;--near:#f0a63c;--reached:#ff7b7b;--okbg:#1b2c4a;--nearbg:#3b2a10;--reachedbg:#451c1f;--okink:#a9c9ff;--nearink:#fccb83;--reachedink:#ffb3b3;
--s1:#6aa1ff;--s2:#3fc7ab;--s3:#f0a63c;--s4:#c79bff;--s5:#ff86b8;--s6:#a2abb7}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
header,main,footer{max-width:76rem;margin:0 auto;padding:0 clamp(1rem,3vw,2rem)}
header{padding-top:clamp(1.5rem,4vw,3rem)}
header p{margin:0;color:var(--soft)}
h1{margin:.1rem 0 .35rem;font-size:clamp(1.5rem,1.1rem + 1.8vw,2.2rem);line-height:1.2;letter-spacing:-.015em;font-weight:650}
h2{margin:0 0 1rem;font-size:1.06rem;line-height:1.3;font-weight:650}
h3{margin:0;font-size:.95rem;line-height:1.35;font-weight:600}
bdi{display:inline-block;max-width:100%;overflow:hidden;vertical-align:bottom}
small{font-size:.82rem;color:var(--soft)}
main{display:grid;grid-template-columns:repeat(12,minmax(0,1fr));gap:1.25rem;padding-top:1.5rem;padding-bottom:1rem}
main>*{grid-column:1/-1}
section{background:var(--card);border:1px solid var(--rule);border-radius:14px;padding:clamp(1rem,2.4vw,1.6rem);min-width:0}
.notice,.alerts{margin:0;padding:.85rem 1.1rem;border-radius:12px;background:var(--okbg);color:var(--okink)}
.alerts{background:var(--nearbg);color:var(--nearink)}
.badge{display:inline-block;padding:.1rem .6rem;border-radius:99px;font-size:.8rem;line-height:1.5;font-weight:600;white-space:nowrap;background:var(--okbg);color:var(--okink);vertical-align:middle}
.badge.near{background:var(--nearbg);color:var(--nearink)}
.badge.reached{background:var(--reachedbg);color:var(--reachedink)}
.badge.quiet{background:var(--track);color:var(--ink)}
dl{margin:0}dd{margin:0}dt{color:var(--soft);font-size:.86rem}
.tiles{display:flex;flex-wrap:wrap;gap:1px;background:var(--rule);border:1px solid var(--rule);border-radius:14px;overflow:hidden}
.tiles>div{flex:1 1 9rem;min-width:0;background:var(--card);padding:1rem 1.2rem 1.1rem}
.tiles dd{font-size:clamp(1.15rem,.95rem + .9vw,1.6rem);line-height:1.25;font-weight:600;letter-spacing:-.02em;overflow-wrap:break-word}
.tiles bdi{font-size:1.1rem;line-height:1.3;letter-spacing:-.01em;margin-top:.25rem;overflow-wrap:anywhere}
.tiles small{display:block;letter-spacing:0;font-weight:400;margin-top:.2rem}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));column-gap:3rem;margin-top:1rem}
h2+.facts{margin-top:-.5rem}
.facts>div{display:flex;justify-content:space-between;gap:1rem;padding:.5rem 0;border-bottom:1px solid var(--rule)}
.facts dt{flex:0 0 auto;max-width:55%}.facts dd{text-align:right;min-width:0;font-weight:500}
.facts small{display:block;font-weight:400}
.cards{list-style:none;margin:0;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:1.75rem 2.25rem}
.cards li{min-width:0}
.head{display:flex;justify-content:space-between;align-items:flex-start;gap:.75rem;min-height:1.6rem}
.head .badge{flex:none}
.amount{margin:.15rem 0 .5rem;display:flex;justify-content:space-between;align-items:baseline;gap:.75rem;color:var(--soft)}
.amount>:last-child:not(:first-child){flex:none}
.amount h3{color:var(--ink)}
.amount strong{font-size:1.5rem;line-height:1.25;font-weight:600;letter-spacing:-.02em;color:var(--ink)}
.below{margin:.5rem 0 0;font-size:.86rem;color:var(--soft)}
.bar{display:block}
.bar .track{fill:var(--track)}.bar .fill{fill:var(--ok)}.bar.near .fill{fill:var(--near)}.bar.reached .fill{fill:var(--reached)}
.bar .stripes{display:none;stroke:var(--stripe);stroke-width:10;opacity:.55}
.bar.near .stripes{display:inline;stroke-dasharray:2 7}.bar.reached .stripes{display:inline;stroke-dasharray:2 3}
.scroll{overflow-x:auto;margin:0 -.4rem;padding:0 .4rem}
.scroll:focus-visible,summary:focus-visible{outline:3px solid var(--ok);outline-offset:2px;border-radius:6px}
table{border-collapse:collapse;width:100%;font-size:.92rem}
caption{text-align:left;color:var(--soft);font-size:.86rem;padding-bottom:.5rem}
th,td{padding:.5rem .9rem .5rem 0;text-align:left;vertical-align:top;border-top:1px solid var(--rule)}
thead th,thead td{border-top:0;border-bottom:1px solid var(--rule);color:var(--soft);font-size:.82rem;font-weight:500;white-space:nowrap;vertical-align:bottom}
tbody tr:first-child>*{border-top:0}
th:last-child,td:last-child{padding-right:0}
tbody th{font-weight:500}
.n{text-align:right;white-space:nowrap}
.t{min-width:8.5rem}.w{min-width:14rem}.d{white-space:nowrap}.b{min-width:8rem;width:9rem}.models .b{width:30%}td.b .bar{margin-top:.45rem}
td small{display:block}
figure{margin:0}figure+figure{margin-top:2rem}
figcaption{font-size:.92rem;font-weight:600;margin-bottom:.6rem}
.plot{display:grid;grid-template-columns:auto minmax(0,1fr);gap:.4rem .7rem}
.plot svg{width:100%;height:clamp(9rem,22vw,14rem);overflow:visible}
.scale{display:flex;flex-direction:column;justify-content:space-between;text-align:right;font-size:.78rem;line-height:1;color:var(--soft);margin:-.39rem 0}
.days{grid-column:2;display:flex;justify-content:space-between;font-size:.78rem;color:var(--soft)}
.grid{fill:none;stroke:var(--rule);stroke-width:1;vector-effect:non-scaling-stroke}
.line{fill:none;stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round;vector-effect:non-scaling-stroke}
.s1{stroke:var(--s1)}.s2{stroke:var(--s2);stroke-dasharray:7 5}.s3{stroke:var(--s3);stroke-dasharray:1 5}.s4{stroke:var(--s4);stroke-dasharray:10 4 1 4}.s5{stroke:var(--s5);stroke-dasharray:3 4}.s6{stroke:var(--s6);stroke-dasharray:14 6}
.legend{list-style:none;margin:.9rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.35rem 1.4rem;font-size:.88rem}
.legend li{display:flex;align-items:center;gap:.5rem;min-width:0}.legend data{color:var(--soft);flex:none;max-width:60%}.key{flex:none}
details{margin-top:.9rem}summary{cursor:pointer;color:var(--soft);font-size:.88rem;padding:.2rem 0}details .scroll{margin-top:.5rem;max-height:24rem;overflow-y:auto}
.funnel{list-style:none;margin:0;padding:0;display:grid;gap:1rem}
.empty{margin:0;color:var(--soft)}
footer{padding-bottom:2.5rem;color:var(--soft);font-size:.86rem}footer p{margin:.5rem 0}
@media (min-width:60rem){main>.runs,main>.runs+.plan{grid-column:span 6}main>.forecast{grid-column:span 5}main>.funnel-of{grid-column:span 7}}
@media print{body{background:#fff}section{break-inside:avoid}}
';
END;
COMMENT ON FUNCTION @extschema@._page_style() IS
'Internal: how pages look';

/* A page that says itself that nothing may be loaded or run: what came into it
 * unescaped, were that possible, would still do nothing. */
CREATE FUNCTION @extschema@._page(title text, header text, main text, footer text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<!DOCTYPE html>' || E'\n'
           || '<html lang="en"><head><meta charset="utf-8"/>'
           '<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''sha256-'
           || pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(s.style, 'UTF8')), 'base64')
           || '''; base-uri ''none''; form-action ''none''"/>'
           '<meta name="viewport" content="width=device-width, initial-scale=1"/><meta name="color-scheme" content="light dark"/>'
           '<meta name="referrer" content="no-referrer"/><title>' || @extschema@._html_escape(title) || '</title><style>' || s.style
           || '</style></head>' || E'\n' || '<body><header>' || header || '</header>' || E'\n' || '<main>' || main || '</main>' || E'\n'
           || '<footer>' || footer || '</footer></body></html>' || E'\n'
      FROM (SELECT @extschema@._page_style() AS style) AS s;
END;
COMMENT ON FUNCTION @extschema@._page(text, text, text, text) IS
'Internal: a whole page';

CREATE FUNCTION @extschema@._page_footer(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT '<p>' || COALESCE('As of ' || @extschema@._html_time((dashboard ->> 'generated_at')::timestamptz, dashboard ->> 'time_zone') || '. ', '')
           || 'Times are in the time zone ' || @extschema@._html_text(COALESCE(dashboard ->> 'time_zone', 'UTC')) || '.</p>';
END;
COMMENT ON FUNCTION @extschema@._page_footer(jsonb) IS
'Internal: when a page was made, and by which clocks';

CREATE FUNCTION @extschema@._page_days(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT COALESCE('<p>' || @extschema@._text_period((dashboard ->> 'first_day')::date, (dashboard ->> 'last_day')::date) || '</p>', '');
END;
COMMENT ON FUNCTION @extschema@._page_days(jsonb) IS
'Internal: which days a page is about';

/* ---- both kinds ---- */

CREATE FUNCTION @extschema@._page_trends(dashboard jsonb, key text) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('trends', 'Day by day',
        CASE WHEN @extschema@._page_list(dashboard, key) IS NOT NULL
             THEN COALESCE(@extschema@._html_trend(dashboard, key, 'events', 'Uses') || COALESCE(@extschema@._html_trend(dashboard, key, 'cost', 'Cost'), ''),
                           '<p class="empty">Nothing yet.</p>') END);
END;
COMMENT ON FUNCTION @extschema@._page_trends(jsonb, text) IS
'Internal: the section of lines over days';

CREATE FUNCTION @extschema@._page_models(dashboard jsonb) RETURNS text
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE
BEGIN ATOMIC
    SELECT @extschema@._html_section('models', 'Cost by model',
        CASE WHEN l.models IS NOT NULL THEN @extschema@._html_table('What calls of each model cost', '{Model,Provider,Cost,Share,"",Uses,Tokens}', 'ttnnbnn',
            (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                        COALESCE(@extschema@._html_text(m.model), 'no model'), @extschema@._html_text(m.provider),
                        @extschema@._html_cost(m.cost, m.unpriced, dashboard ->> 'currency'),
                        @extschema@._html_percent(m.percent), @extschema@._html_bar(m.percent, 'ok'),
                        @extschema@._html_number(m.events), @extschema@._html_number(m.tokens)) ORDER BY m.place)
               FROM ROWS FROM (pg_catalog.jsonb_to_recordset(l.models) AS (
                        provider text, model text, events numeric, tokens numeric, cost numeric, percent numeric, unpriced numeric))
                    WITH ORDINALITY AS m (provider, model, events, tokens, cost, percent, unpriced, place))) END)
      FROM (SELECT @extschema@._page_list(dashboard, 'models') AS models) AS l;
END;
COMMENT ON FUNCTION @extschema@._page_models(jsonb) IS
'Internal: the section of costs by model';
