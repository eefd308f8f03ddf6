/*
 * credits_account.c -- a user's credits as they stand in the tables.
 *
 * Locking: the clock of the user, then his row of credit_accounts, before any counter.
 * Whoever changes his grants, or reserves credits, holds that row and changes
 * it; so what is read after the lock stays true, and a transaction with an older
 * snapshot fails.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "credits.h"
#include "locks.h"
#include "numbers.h"
#include "settings.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

/* ---- reading ---- */

#define ACCOUNT_COLUMNS "overdraft, owed, earned, spent, last_refill_at, created_at, updated_at"

static Statement find_account = {
	"SELECT " ACCOUNT_COLUMNS " FROM @extschema@.credit_accounts WHERE user_id OPERATOR(pg_catalog.=) $1",
	1, {USER_ID}
};

static Statement lock_row = {
	"SELECT " ACCOUNT_COLUMNS " FROM @extschema@.credit_accounts WHERE user_id OPERATOR(pg_catalog.=) $1"
	" FOR NO KEY UPDATE",
	1, {USER_ID}
};

static Statement make_account = {
	"INSERT INTO @extschema@.credit_accounts (user_id, created_at, updated_at) VALUES ($1, $2, $2)"
	" ON CONFLICT (user_id) DO NOTHING",
	2, {USER_ID, TIMESTAMPTZOID}
};

#define GRANT_COLUMNS \
	"id, is_refill, amount, remaining, priority, effective_at, expires_at, max_rollover, rollover_until, is_open"

static Statement find_open_grants = {
	"SELECT " GRANT_COLUMNS " FROM @extschema@.credit_grants WHERE user_id OPERATOR(pg_catalog.=) $1 AND is_open",
	1, {USER_ID}
};

static Statement find_grants = {
	"SELECT " GRANT_COLUMNS " FROM @extschema@.credit_grants"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) ANY ($2)",
	2, {USER_ID, INT8ARRAYOID}
};

static Statement sum_held = {
	"SELECT COALESCE(pg_catalog.sum(credits), 0) FROM @extschema@.usage_reservations"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND state OPERATOR(pg_catalog.=) 'held'"
	" AND expires_at OPERATOR(pg_catalog.>) $2",
	2, {USER_ID, TIMESTAMPTZOID}
};

static void
read_row(Account *account)
{
	account->is_known = true;
	account->overdraft = result_numeric(0, 1);
	account->owed = result_numeric(0, 2);
	account->earned = result_numeric(0, 3);
	account->spent = result_numeric(0, 4);
	account->last_refill_at = result_time(0, 5, DT_NOBEGIN);
	account->created_at = result_time(0, 6, 0);
	account->updated_at = result_time(0, 7, 0);
}

/* Of the last look.  Only a second one can bring what is known, and most have one. */
void
read_grants(Account *account, uint64 n)
{
	bool		is_first = account->ngrants == 0;

	for (uint64 row = 0; row < n; row++)
	{
		Grant	   *grant;
		bool		isnull;

		if (!is_first && find_grant(account, result_int64(row, 1)) != NULL)
			continue;
		grant = add_grant(account);
		grant->is_changed = false;
		grant->id = result_int64(row, 1);
		grant->is_refill = result_bool(row, 2);
		grant->amount = result_numeric(row, 3);
		grant->remaining = result_numeric(row, 4);
		grant->priority = DatumGetInt32(result_datum(row, 5, &isnull));
		grant->effective_at = result_time(row, 6, 0);
		grant->expires_at = result_time(row, 7, DT_NOEND);
		grant->max_rollover = result_numeric(row, 8);
		grant->rollover_until = result_time(row, 9, DT_NOEND);
		grant->is_open = result_bool(row, 10);
	}
}

Account
empty_account(const Installation *home, Datum user_id)
{
	Account		account = {home, user_id};

	account.overdraft = account.owed = account.earned = account.spent = account.held = num_zero;
	account.last_refill_at = account.created_at = account.updated_at = DT_NOBEGIN;
	return account;
}

static void
read_what_belongs(Account *account, const UserTerms *terms)
{
	Datum		args[] = {account->user_id, TimestampTzGetDatum(account->now)};

	read_grants(account, statement_look(&find_open_grants, args, NULL));
	statement_look(&sum_held, args, NULL);
	account->held = result_numeric(0, 1);
	account->refill = refill_of_plan(terms->plan);
	add_due_refills(account, terms);
}

/* As they are now, without a lock. */
Account
look_at_account(const Installation *home, Datum user_id, const UserTerms *terms, bool afresh)
{
	Account		account = empty_account(home, user_id);

	(void) refill_of_plan(terms->plan); /* configuration is read with a view of its own */
	account.now = usage_now();
	if (afresh)
		begin_fresh_view();
	if (statement_look(&find_account, &user_id, NULL) > 0)
		read_row(&account);
	read_what_belongs(&account, terms);
	if (afresh)
		end_fresh_view();
	return account;
}

/* Locked to the end of the transaction, with what has ended taken off. */
Account
lock_account(const Installation *home, Datum user_id, const UserTerms *terms)
{
	Account		account = empty_account(home, user_id);
	Datum		args[] = {user_id, TimestampTzGetDatum(usage_now())};
	bool		is_new = false;

	(void) refill_of_plan(terms->plan);
	while (statement_write(&lock_row, args, NULL) == 0)
		is_new = statement_write(&make_account, args, NULL) > 0;
	read_row(&account);
	if (is_new)
		account.updated_at = DT_NOBEGIN;
	account.now = usage_now();
	begin_fresh_view();
	read_what_belongs(&account, terms);
	end_fresh_view();
	if (settle_account(&account))
		write_account(&account);
	return account;
}

/* For what is no use: waits as a use does, and then locks. */
Account
account_to_change(const Installation *home, Datum user_id)
{
	UserTerms	terms;

	lock_counting(home, user_id);
	terms = known_terms(user_id, usage_now());
	return lock_account(home, user_id, &terms);
}

static Datum
grant_ids(const Parts *parts)
{
	Datum	   *ids = palloc(parts->n * sizeof(Datum) + 1);

	for (int i = 0; i < parts->n; i++)
		ids[i] = Int64GetDatum(parts->all[i].grant);
	return PointerGetDatum(construct_array(ids, parts->n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Closed ones as well, because something is given back to them. */
void
load_grants(Account *account, const Parts *parts)
{
	Datum		args[] = {account->user_id, grant_ids(parts)};

	read_grants(account, statement_look_afresh(&find_grants, args, NULL));
}

/* ---- what happened by itself ---- */

/* When the next of its ends is to be taken off; DT_NOEND: it is not time. */
static TimestampTz
end_to_write(const Account *account, const Grant *grant)
{
	TimestampTz end = grant->rollover_until;

	if (grant->expires_at > account->now || num_sign(grant->remaining) == 0)
		return DT_NOEND;
	if (num_cmp(grant->remaining, grant->max_rollover) > 0 || end < grant->expires_at)
		end = grant->expires_at;
	return end <= account->now ? Max(end, account->updated_at) : DT_NOEND;
}

static TimestampTz
time_to_write(const Account *account, const Grant *grant)
{
	return grant->id == 0 ? grant->effective_at : end_to_write(account, grant);
}

static void
write_refill(Account *account, Grant *grant)
{
	LedgerEntry entry = {.action = "refill"};
	bool		is_daily = account->refill.period.day == 1;

	grant->id = nextval_internal(get_relname_relid("credit_grants_id_seq", account->home->schema), false);
	entry.type = is_daily ? "daily_refill" : "refill";
	entry.amount = grant->amount;
	entry.effective_at = grant->effective_at;
	entry.parts = (Parts) {&(Part) {grant->id, grant->amount}, 1};
	account->earned = num_trim(num_add(account->earned, grant->amount));
	account->last_refill_at = Max(account->last_refill_at, grant->effective_at);
	write_entry(account, &entry);
}

static void
write_end(Account *account, Grant *grant, TimestampTz at)
{
	LedgerEntry entry = {.action = "expiry", .type = "expiry"};
	Numeric		stays = at < grant->rollover_until ? num_least(grant->remaining, grant->max_rollover) : num_zero;

	entry.amount = num_trim(num_sub(stays, grant->remaining));
	entry.effective_at = at;
	entry.parts = (Parts) {&(Part) {grant->id, entry.amount}, 1};
	grant->remaining = stays;
	grant->is_changed = true;
	write_entry(account, &entry);
}

static Grant *
next_to_write(const Account *account)
{
	Grant	   *next = NULL;
	TimestampTz first = DT_NOEND;

	for (int i = 0; i < account->ngrants; i++)
	{
		Grant	   *grant = &account->grants[i];
		TimestampTz time = time_to_write(account, grant);

		if (time < first)
		{
			first = time;
			next = grant;
		}
	}
	return next;
}

/* Writes down what happened by itself, in the order in which it did.  False: nothing. */
bool
settle_account(Account *account)
{
	Grant	   *grant;
	bool		any = false;

	for (; (grant = next_to_write(account)) != NULL; any = true)
		if (grant->id == 0)
			write_refill(account, grant);
		else
			write_end(account, grant, end_to_write(account, grant));
	return any;
}

/* ---- writing ---- */

static Statement put_grants = {
	"INSERT INTO @extschema@.credit_grants AS g (user_id, " GRANT_COLUMNS ")"
	" SELECT $1, n.* FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4),"
	" pg_catalog.unnest($5), pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9),"
	" pg_catalog.unnest($10), pg_catalog.unnest($11)) AS n"
	" ON CONFLICT (user_id, id) DO UPDATE SET remaining = EXCLUDED.remaining, is_open = EXCLUDED.is_open",
	11, {USER_ID, INT8ARRAYOID, BOOLARRAYOID, NUMERICARRAYOID, NUMERICARRAYOID, INT4ARRAYOID, TIMESTAMPTZARRAYOID,
	TIMESTAMPTZARRAYOID, NUMERICARRAYOID, TIMESTAMPTZARRAYOID, BOOLARRAYOID}
};

static Statement put_account = {
	"UPDATE @extschema@.credit_accounts SET owed = $2, earned = $3, spent = $4, last_refill_at = $5,"
	" updated_at = $6, overdraft = $7 WHERE user_id OPERATOR(pg_catalog.=) $1",
	7, {USER_ID, NUMERICOID, NUMERICOID, NUMERICOID, TIMESTAMPTZOID, TIMESTAMPTZOID, NUMERICOID}
};

#define GRANT_COLUMN(name, value) \
	static Datum name(const void *row, bool *isnull) \
	{ \
		const Grant *grant = row; \
		*isnull = false; \
		return value; \
	}

GRANT_COLUMN(grant_id, Int64GetDatum(grant->id))
GRANT_COLUMN(grant_is_refill, BoolGetDatum(grant->is_refill))
GRANT_COLUMN(grant_amount, NumericGetDatum(grant->amount))
GRANT_COLUMN(grant_remaining, NumericGetDatum(grant->remaining))
GRANT_COLUMN(grant_priority, Int32GetDatum(grant->priority))
GRANT_COLUMN(grant_effective_at, TimestampTzGetDatum(grant->effective_at))
GRANT_COLUMN(grant_expires_at, TimestampTzGetDatum(grant->expires_at))
GRANT_COLUMN(grant_max_rollover, NumericGetDatum(grant->max_rollover))
GRANT_COLUMN(grant_rollover_until, TimestampTzGetDatum(grant->rollover_until))
GRANT_COLUMN(grant_is_open, BoolGetDatum(grant->is_open))

/* Used up; a refill still says that it was made. */
static bool
is_over(const Account *account, const Grant *grant)
{
	return num_sign(grant->remaining) == 0 && (!grant->is_refill || grant->rollover_until <= account->now);
}

static int
changed_grants(Account *account, void **changed)
{
	int			n = 0;

	for (int i = 0; i < account->ngrants; i++)
	{
		Grant	   *grant = &account->grants[i];
		bool		was_open = grant->is_open;

		grant->is_open = !is_over(account, grant);
		if (grant->is_changed || grant->is_open != was_open)
			changed[n++] = grant;
	}
	return n;
}

static void
write_grants(Account *account)
{
	void	  **changed = palloc(account->ngrants * sizeof(void *) + 1);
	int			n = changed_grants(account, changed);
	Datum		args[] = {
		account->user_id,
		column_array(changed, n, grant_id, INT8OID),
		column_array(changed, n, grant_is_refill, BOOLOID),
		column_array(changed, n, grant_amount, NUMERICOID),
		column_array(changed, n, grant_remaining, NUMERICOID),
		column_array(changed, n, grant_priority, INT4OID),
		column_array(changed, n, grant_effective_at, TIMESTAMPTZOID),
		column_array(changed, n, grant_expires_at, TIMESTAMPTZOID),
		column_array(changed, n, grant_max_rollover, NUMERICOID),
		column_array(changed, n, grant_rollover_until, TIMESTAMPTZOID),
		column_array(changed, n, grant_is_open, BOOLOID)
	};

	if (n > 0)
		statement_write(&put_grants, args, NULL);
}

/* The last step of every change of a locked account. */
void
write_account(Account *account)
{
	char		nulls[8] = "       ";
	Datum		args[] = {
		account->user_id,
		NumericGetDatum(account->owed),
		NumericGetDatum(account->earned),
		NumericGetDatum(account->spent),
		TimestampTzGetDatum(account->last_refill_at),
		TimestampTzGetDatum(account->now),
		NumericGetDatum(account->overdraft)
	};

	nulls[4] = TIMESTAMP_IS_NOBEGIN(account->last_refill_at) ? 'n' : ' ';
	write_grants(account);
	statement_write(&put_account, args, nulls);
	account->updated_at = account->now;
}

TimestampTz
next_refill(const Account *account)
{
	bool		none = account->refill.amount == NULL || num_sign(account->refill.amount) == 0;

	return none ? DT_NOEND : account->period.end;
}
