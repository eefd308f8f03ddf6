/* credits.sql: the users of the test "credits", and what must be true of them.
 *
 *   user 0, the purse   all clients spend it; it is granted some more now and then
 *   user 1, the wallet  grants that end within the run, spends, uses, refunds
 *
 * Whoever spends writes down what he meant, in the same transaction or, where he
 * names a reference, once he has an answer.
 */
CREATE SCHEMA usage;
CREATE EXTENSION usage_tracking SCHEMA usage;
SELECT :'library' <> '' AS other_library \gset
\if :other_library
UPDATE pg_proc SET probin = :'library' WHERE probin = '$libdir/usage_tracking';
\connect
\endif

SELECT format('ALTER DATABASE %I SET usage_tracking.credits_enabled = on', current_database()) \gexec
SELECT usage.define_usage_type('unit'), usage.set_credit_cost('unit', 2.5), usage.define_usage_type('clip'), usage.set_credit_cost('clip', 0.1);
SELECT usage.define_usage_limit('clips_ever', 'clip', 1000000, 'lifetime', NULL);
SELECT usage.grant_credits('00000000-0000-4000-8000-000000000000', 100, priority => 1),
       usage.grant_credits('00000000-0000-4000-8000-000000000001', 100, priority => 1);

CREATE SCHEMA credits;
CREATE TABLE credits.meant (reference text PRIMARY KEY DEFAULT gen_random_uuid()::text, amount numeric);
CREATE FUNCTION credits.mean(d usage.usage_decision, amount numeric, reference text DEFAULT gen_random_uuid()::text) RETURNS boolean LANGUAGE sql AS $$
    INSERT INTO credits.meant SELECT reference, CASE WHEN (d).allowed THEN amount ELSE 0 END RETURNING meant.amount > 0
$$;

CREATE VIEW credits.below_zero AS
SELECT user_id, balance, held FROM usage.user_credits
 WHERE balance < 0 OR (balance < held AND user_id = '00000000-0000-4000-8000-000000000000');

/* What all clients together meant to spend is what was spent. */
CREATE VIEW credits.miscounted AS
SELECT c.lifetime_spent, m.amount, c.balance, c.lifetime_earned
  FROM usage.user_credits AS c, (SELECT sum(amount) AS amount FROM credits.meant) AS m
 WHERE c.user_id = '00000000-0000-4000-8000-000000000000'
   AND (c.lifetime_spent <> m.amount OR c.balance <> c.lifetime_earned - c.lifetime_spent);

/* Which reference was told to be charged and is not, or the other way round. */
CREATE VIEW credits.untrue AS
SELECT m.reference, m.amount AS told, COALESCE(l.amount, 0) AS charged
  FROM credits.meant AS m
  LEFT JOIN (SELECT l.reference_id, - sum(l.amount) AS amount FROM usage.credit_ledger AS l WHERE l.action = 'spend' GROUP BY 1
              UNION ALL
             SELECT k.idempotency_key, - sum(l.amount) FROM usage.usage_keys AS k JOIN usage.credit_ledger AS l USING (user_id, event_id) GROUP BY 1) AS l
    ON l.reference_id = m.reference
 WHERE m.reference LIKE 'r%' AND m.amount <> COALESCE(l.amount, 0);

CREATE VIEW credits.refunded_too_much AS
SELECT s.id, s.amount, sum(r.amount) AS refunded FROM usage.credit_ledger AS s JOIN usage.credit_ledger AS r ON r.user_id = s.user_id AND r.refunds = s.id
 GROUP BY s.user_id, s.id, s.amount HAVING sum(r.amount) > - s.amount;

CREATE VIEW credits.not_empty AS
SELECT balance, held FROM usage.user_credits WHERE user_id = '00000000-0000-4000-8000-000000000000' AND balance <> 0;

/* Right after each row, by the rows up to it: one after the other, as if alone. */
CREATE VIEW credits.overdrawn AS
SELECT user_id, id, balance_after FROM usage.credit_ledger WHERE balance_after < 0;
