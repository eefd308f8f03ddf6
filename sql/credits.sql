/* credits: who pays?
 *
 * Credits come in grants, which may begin later, end, and keep a part beyond
 * their end.  The ledger has one row for whatever changed a balance, and is never
 * changed; what is left of each grant stands beside it, as counters stand beside
 * events.  What ends, and what a plan refills, needs no job: it is so at the
 * moment of reading, and written down by the next change (src/credits.c).
 */
CREATE TABLE @extschema@.credit_costs (
    usage_type text COLLATE "C" PRIMARY KEY
               REFERENCES @extschema@.usage_types ON UPDATE CASCADE ON DELETE CASCADE,
    credits    numeric NOT NULL
               CHECK (credits >= 0 AND credits < 1e29 AND pg_catalog.min_scale(credits) <= 9)
);
COMMENT ON TABLE @extschema@.credit_costs IS
'What one unit of a usage type costs in credits';
ALTER TABLE @extschema@.credit_costs ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_costs', '');
CREATE TRIGGER change_recorded AFTER INSERT OR UPDATE OR DELETE ON @extschema@.credit_costs
    FOR EACH ROW EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER truncation_recorded BEFORE TRUNCATE ON @extschema@.credit_costs
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.credit_costs
    FOR EACH ROW EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.credit_costs ENABLE ALWAYS TRIGGER config_changed;
CREATE TRIGGER config_emptied AFTER TRUNCATE ON @extschema@.credit_costs
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.credit_costs ENABLE ALWAYS TRIGGER config_emptied;

CREATE TABLE @extschema@.credit_refills (
    plan         text COLLATE "C" PRIMARY KEY
                 REFERENCES @extschema@.plans ON UPDATE CASCADE ON DELETE CASCADE,
    amount       numeric NOT NULL
                 CHECK (amount >= 0 AND amount < 1e29 AND pg_catalog.min_scale(amount) <= 9),
    period       interval NOT NULL DEFAULT '1 day'
                 /* to the byte: 24 hours are equal to a day, and no period of a calendar */
                 CHECK (pg_catalog.interval_send(period) = ANY (ARRAY[
                     pg_catalog.interval_send('1 hour'), pg_catalog.interval_send('1 day'), pg_catalog.interval_send('1 week'),
                     pg_catalog.interval_send('1 month'), pg_catalog.interval_send('3 months'), pg_catalog.interval_send('1 year')])),
    max_rollover numeric NOT NULL DEFAULT 0
                 CHECK (max_rollover >= 0 AND max_rollover < 1e29 AND pg_catalog.min_scale(max_rollover) <= 9)
);
COMMENT ON TABLE @extschema@.credit_refills IS
'What a plan gives its users in each hour, day, week, month, quarter or year of their calendar';
COMMENT ON COLUMN @extschema@.credit_refills.max_rollover IS
'How much of it may still be spent in the next period';
ALTER TABLE @extschema@.credit_refills ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_refills', '');
CREATE TRIGGER change_recorded AFTER INSERT OR UPDATE OR DELETE ON @extschema@.credit_refills
    FOR EACH ROW EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER truncation_recorded BEFORE TRUNCATE ON @extschema@.credit_refills
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._record_change();
CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE ON @extschema@.credit_refills
    FOR EACH ROW EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.credit_refills ENABLE ALWAYS TRIGGER config_changed;
CREATE TRIGGER config_emptied AFTER TRUNCATE ON @extschema@.credit_refills
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._config_changed();
ALTER TABLE @extschema@.credit_refills ENABLE ALWAYS TRIGGER config_emptied;

/* Whoever changes a user's credits locks this row first, and changes it. */
CREATE TABLE @extschema@.credit_accounts (
    user_id        @user_id_column@ PRIMARY KEY,
    overdraft      numeric NOT NULL DEFAULT 0
                   CHECK (overdraft >= 0 AND overdraft < 1e29),
    owed           numeric NOT NULL DEFAULT 0,
    earned         numeric NOT NULL DEFAULT 0,
    spent          numeric NOT NULL DEFAULT 0,
    last_refill_at timestamptz,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
) WITH (fillfactor = 70);
COMMENT ON TABLE @extschema@.credit_accounts IS
'One row for each user who ever had or spent credits';
COMMENT ON COLUMN @extschema@.credit_accounts.overdraft IS
'How far below zero he may go';
COMMENT ON COLUMN @extschema@.credit_accounts.owed IS
'How far he is: what was spent beyond all grants';
COMMENT ON COLUMN @extschema@.credit_accounts.earned IS
'All that was granted and refilled, ever';
COMMENT ON COLUMN @extschema@.credit_accounts.spent IS
'All that was spent and not refunded, ever';
ALTER TABLE @extschema@.credit_accounts ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_accounts', '');

CREATE SEQUENCE @extschema@.credit_grants_id_seq;
COMMENT ON SEQUENCE @extschema@.credit_grants_id_seq IS 'Ids of grants';
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_grants_id_seq', '');

CREATE TABLE @extschema@.credit_grants (
    user_id        @user_id_column@ NOT NULL,
    id             bigint NOT NULL,
    is_refill      boolean NOT NULL,
    amount         numeric NOT NULL,
    remaining      numeric NOT NULL,
    priority       integer NOT NULL,
    effective_at   timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    max_rollover   numeric NOT NULL,
    rollover_until timestamptz NOT NULL,
    is_open        boolean NOT NULL DEFAULT true,
    PRIMARY KEY (user_id, id)
) WITH (fillfactor = 70);
COMMENT ON TABLE @extschema@.credit_grants IS
'What was granted, and what is left of it; the ledger says the same';
COMMENT ON COLUMN @extschema@.credit_grants.remaining IS
'As of the last change; what has ended since is not taken off yet';
COMMENT ON COLUMN @extschema@.credit_grants.max_rollover IS
'How much of it may be spent between expires_at and rollover_until';
COMMENT ON COLUMN @extschema@.credit_grants.is_open IS
'Whether it can still matter without a refund';
CREATE INDEX credit_grants_open ON @extschema@.credit_grants (user_id) WHERE is_open;
COMMENT ON INDEX @extschema@.credit_grants_open IS 'Those that can be spent';
ALTER TABLE @extschema@.credit_grants ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_grants', '');

CREATE SEQUENCE @extschema@.credit_ledger_id_seq;
COMMENT ON SEQUENCE @extschema@.credit_ledger_id_seq IS 'Ids of credit transactions';
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_ledger_id_seq', '');

CREATE TABLE @extschema@.credit_ledger (
    user_id          @user_id_column@ NOT NULL,
    id               bigint NOT NULL,
    action           text NOT NULL,
    amount           numeric NOT NULL,
    balance_after    numeric NOT NULL,
    transaction_type text COLLATE "C" NOT NULL,
    description      text,
    reference_id     text COLLATE "C",
    metadata         jsonb,
    effective_at     timestamptz NOT NULL,
    recorded_at      timestamptz NOT NULL,
    refunds          bigint,
    event_id         bigint,
    grants           bigint[] NOT NULL,
    amounts          numeric[] NOT NULL,
    PRIMARY KEY (user_id, id)
);
COMMENT ON TABLE @extschema@.credit_ledger IS
'Whatever changed a user''s credits, one row each, never changed';
COMMENT ON COLUMN @extschema@.credit_ledger.action IS
'grant, refill, spend, use, refund or expiry; a reference_id is unique for each of the user''s';
COMMENT ON COLUMN @extschema@.credit_ledger.effective_at IS
'Since when it counts: a grant may begin later, and what ended did so before it was written down';
COMMENT ON COLUMN @extschema@.credit_ledger.refunds IS
'The transaction that a refund takes back, in whole or in part';
COMMENT ON COLUMN @extschema@.credit_ledger.grants IS
'From which grants it took, or to which it gave, what stands in amounts; 0 is what is owed';
CREATE UNIQUE INDEX credit_ledger_reference ON @extschema@.credit_ledger (user_id, action, reference_id)
    WHERE reference_id IS NOT NULL;
COMMENT ON INDEX @extschema@.credit_ledger_reference IS 'Nothing is granted, spent or refunded twice';
CREATE INDEX credit_ledger_refunds ON @extschema@.credit_ledger (user_id, refunds) WHERE refunds IS NOT NULL;
COMMENT ON INDEX @extschema@.credit_ledger_refunds IS 'What of a transaction was refunded';
CREATE INDEX credit_ledger_event ON @extschema@.credit_ledger (user_id, event_id) WHERE event_id IS NOT NULL;
COMMENT ON INDEX @extschema@.credit_ledger_event IS 'What a use cost';
ALTER TABLE @extschema@.credit_ledger ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.credit_ledger', '');
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE ON @extschema@.credit_ledger
    FOR EACH ROW EXECUTE FUNCTION @extschema@._history_is_kept();
CREATE TRIGGER history_is_not_truncated BEFORE TRUNCATE ON @extschema@.credit_ledger
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@._history_is_kept();

/* ---- what it costs, and what a plan gives ---- */

CREATE FUNCTION @extschema@.set_credit_cost(usage_type text, credits numeric) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_set_credit_cost';
COMMENT ON FUNCTION @extschema@.set_credit_cost(text, numeric) IS
'Sets what one unit of a usage type costs in credits; NULL makes it free of them again';

CREATE FUNCTION @extschema@.set_credit_refill(
    plan text, amount numeric, period interval DEFAULT '1 day', max_rollover numeric DEFAULT 0) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_set_credit_refill';
COMMENT ON FUNCTION @extschema@.set_credit_refill(text, numeric, interval, numeric) IS
'Sets the credits that users on a plan have anew in each period; NULL takes it back';

CREATE FUNCTION @extschema@.set_credit_overdraft(user_id @user_id@, overdraft numeric) RETURNS void
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'ut_set_credit_overdraft';
COMMENT ON FUNCTION @extschema@.set_credit_overdraft(@user_id@, numeric) IS
'Sets how far below zero a user''s credits may go';

/* ---- giving and taking ---- */

CREATE FUNCTION @extschema@.grant_credits(
    user_id @user_id@, amount numeric, transaction_type text DEFAULT 'purchase', reference_id text DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL, effective_at timestamptz DEFAULT NULL, priority integer DEFAULT 0,
    max_rollover numeric DEFAULT 0, rollover_until timestamptz DEFAULT NULL,
    description text DEFAULT NULL, metadata jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_grant_credits';
COMMENT ON FUNCTION @extschema@.grant_credits(@user_id@, numeric, text, text, timestamptz, timestamptz, integer, numeric, timestamptz, text, jsonb) IS
'Gives a user credits, once for each reference_id, and returns the id of the transaction';

CREATE FUNCTION @extschema@.spend_credits(
    user_id @user_id@, amount numeric, reference_id text DEFAULT NULL, description text DEFAULT NULL,
    metadata jsonb DEFAULT NULL, transaction_type text DEFAULT 'usage') RETURNS @extschema@.usage_decision
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_spend_credits';
COMMENT ON FUNCTION @extschema@.spend_credits(@user_id@, numeric, text, text, jsonb, text) IS
'Takes credits, once for each reference_id, or answers that there are not enough';

CREATE FUNCTION @extschema@.refund_credits(
    user_id @user_id@, transaction_id bigint, amount numeric DEFAULT NULL, reference_id text DEFAULT NULL,
    description text DEFAULT NULL, metadata jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_refund_credits';
COMMENT ON FUNCTION @extschema@.refund_credits(@user_id@, bigint, numeric, text, text, jsonb) IS
'Gives back what a transaction took, to the grants it came from, and returns the id of the refund';

/* ---- looking ---- */

CREATE FUNCTION @extschema@.credit_balance(user_id @user_id@, at timestamptz DEFAULT NULL) RETURNS numeric
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'ut_credit_balance';
COMMENT ON FUNCTION @extschema@.credit_balance(@user_id@, timestamptz) IS
'What a user can or could spend now or at an instant of the past, what is only reserved included';

CREATE FUNCTION @extschema@._credits_of_user(
    user_id @user_id@, OUT balance numeric, OUT held numeric, OUT overdraft numeric, OUT lifetime_earned numeric,
    OUT lifetime_spent numeric, OUT next_refill_at timestamptz, OUT last_refill_at timestamptz,
    OUT created_at timestamptz, OUT updated_at timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 1
AS 'MODULE_PATHNAME', 'ut_credits_of_user';
COMMENT ON FUNCTION @extschema@._credits_of_user(@user_id@) IS
'Internal: the credits of one user as they stand; read view user_credits instead';

CREATE FUNCTION @extschema@._credit_transactions_of_user(
    user_id @user_id@, OUT id bigint, OUT amount numeric, OUT balance_after numeric, OUT transaction_type text,
    OUT description text, OUT reference_id text, OUT metadata jsonb, OUT created_at timestamptz) RETURNS SETOF record
LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL UNSAFE COST 100 ROWS 1
AS 'MODULE_PATHNAME', 'ut_credit_transactions_of_user';
COMMENT ON FUNCTION @extschema@._credit_transactions_of_user(@user_id@) IS
'Internal: every credit transaction of one user; read view credit_transactions instead';

CREATE VIEW @extschema@.user_credits WITH (security_invoker = true, security_barrier = true) AS
    SELECT u.user_id, c.balance, c.lifetime_earned, c.lifetime_spent, c.last_refill_at, c.created_at, c.updated_at,
           c.held, c.overdraft, c.next_refill_at
      FROM (SELECT me.user_id
              FROM (SELECT @extschema@.current_user_id() AS user_id) AS me
             WHERE me.user_id IS NOT NULL AND NOT (SELECT @extschema@._sees_all_users())
             UNION ALL
            SELECT s.user_id
              FROM @extschema@.user_subscriptions AS s
             WHERE (SELECT @extschema@._sees_all_users())) AS u
     CROSS JOIN LATERAL @extschema@._credits_of_user(u.user_id) AS c;
COMMENT ON VIEW @extschema@.user_credits IS
'The credits of each user you may see, one row each, as they stand now';
COMMENT ON COLUMN @extschema@.user_credits.held IS 'How much of the balance is reserved';
COMMENT ON COLUMN @extschema@.user_credits.next_refill_at IS 'NULL if his plan has no refill';

CREATE VIEW @extschema@.credit_transactions WITH (security_invoker = true, security_barrier = true) AS
    SELECT t.id, u.user_id, t.amount, t.balance_after, t.transaction_type, t.description, t.reference_id,
           t.metadata, t.created_at
      FROM (SELECT me.user_id
              FROM (SELECT @extschema@.current_user_id() AS user_id) AS me
             WHERE me.user_id IS NOT NULL AND NOT (SELECT @extschema@._sees_all_users())
             UNION ALL
            SELECT s.user_id
              FROM @extschema@.user_subscriptions AS s
             WHERE (SELECT @extschema@._sees_all_users())) AS u
     CROSS JOIN LATERAL @extschema@._credit_transactions_of_user(u.user_id) AS t;
COMMENT ON VIEW @extschema@.credit_transactions IS
'Whatever changed the credits of each user you may see';
COMMENT ON COLUMN @extschema@.credit_transactions.amount IS 'Positive is given, negative is taken';
COMMENT ON COLUMN @extschema@.credit_transactions.balance_after IS
'What could be spent right after it, at the instant created_at';

/* What is left of grants, and what was earned and spent, against the ledger. */
CREATE FUNCTION @extschema@._reconcile_credits(
    OUT user_id @user_id@, OUT counted numeric, OUT recorded numeric) RETURNS SETOF record
LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE COST 1000000
BEGIN ATOMIC
    WITH parts AS MATERIALIZED (
        SELECT l.user_id, p.grant_id, pg_catalog.sum(p.amount) AS amount
          FROM @extschema@.credit_ledger AS l
         CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(l.grants), pg_catalog.unnest(l.amounts)) AS p (grant_id, amount)
         GROUP BY l.user_id, p.grant_id
    ), kept AS (
        SELECT g.user_id, g.id AS grant_id, g.remaining FROM @extschema@.credit_grants AS g
         UNION ALL
        SELECT a.user_id, 0, - a.owed FROM @extschema@.credit_accounts AS a
    ), sums AS (
        SELECT l.user_id,
               pg_catalog.sum(l.amount) FILTER (WHERE l.action = ANY (ARRAY['grant', 'refill'])) AS earned,
               - pg_catalog.sum(l.amount) FILTER (WHERE l.action = ANY (ARRAY['spend', 'use', 'refund'])) AS spent
          FROM @extschema@.credit_ledger AS l
         GROUP BY l.user_id
    )
    SELECT COALESCE(k.user_id, p.user_id), COALESCE(k.remaining, 0), COALESCE(p.amount, 0)
      FROM kept AS k FULL JOIN parts AS p ON p.user_id = k.user_id AND p.grant_id = k.grant_id
     WHERE COALESCE(k.remaining, 0) <> COALESCE(p.amount, 0)
     UNION ALL
    SELECT a.user_id, v.counted, COALESCE(v.recorded, 0)
      FROM @extschema@.credit_accounts AS a
      LEFT JOIN sums AS s ON s.user_id = a.user_id
     CROSS JOIN LATERAL (VALUES (a.earned, s.earned), (a.spent, s.spent)) AS v (counted, recorded)
     WHERE v.counted <> COALESCE(v.recorded, 0)
     UNION ALL
    SELECT l.user_id, l.amount, pg_catalog.sum(p.amount)
      FROM @extschema@.credit_ledger AS l CROSS JOIN LATERAL pg_catalog.unnest(l.amounts) AS p (amount)
     GROUP BY l.user_id, l.id, l.amount HAVING l.amount <> pg_catalog.sum(p.amount);
END;
COMMENT ON FUNCTION @extschema@._reconcile_credits() IS
'Internal: a row for each grant, account or transaction that is not what the ledger says';
