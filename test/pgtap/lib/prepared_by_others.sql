/* One part of attacks_side.sql: statements prepared by who sees everything, run
 * by him and then by each attacker; with generic plans, and with custom ones. */
SELECT ok(attack.seen('EXECUTE ' || statement), format('37, 39 it does show B: %s, %s', statement, :mode)) FROM unnest(:see::text[]) AS statement;
SELECT attack.seen('EXECUTE export_of_b'), attack.seen('EXECUTE change_of_b') \g /dev/null
SELECT attack.by_all('37 prepared by who sees everything, ' || :mode,
       ARRAY['EXECUTE see', format('EXECUTE see_one(%L)', :b), 'EXECUTE see_calls'], '00000', '00000 42501');
SELECT attack.by_all('39 inlined for who sees everything, ' || :mode,
       ARRAY['EXECUTE see_inlined', 'EXECUTE see_with', 'SELECT * FROM workshop.known()', 'SELECT * FROM workshop.used()'], '00000', '00000 42501');
SELECT attack.by_all('37 prepared by who may, ' || :mode,
       ARRAY['EXECUTE see_events', 'EXECUTE see_campaigns', 'EXECUTE see_alerts', 'EXECUTE calls_of_b', 'EXECUTE alerts_of_b', 'EXECUTE see_metadata', 'EXECUTE recost', 'EXECUTE track_of_b', 'EXECUTE campaign_of_b', 'EXECUTE see_changes', 'EXECUTE see_holds', 'EXECUTE take_of_b', 'EXECUTE hold_of_b',
             'EXECUTE export_of_b', 'EXECUTE adjust_of_b', 'EXECUTE change_of_b']);
SELECT ok(attack.seen('EXECUTE ' || statement), format('37, 39 and again after them: %s, %s', statement, :mode)) FROM unnest(:see::text[]) AS statement;
