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
#include "utils/lsyscache.h"

/* ---- reading ---- */

#define GRANT_COLUMNS(g) \
	g "id, " g "is_refill, " g "amount, " g "remaining, " g "priority, " g "effective_at, " g "expires_at, " \
	g "max_rollover, " g "rollover_until, " g "is_open"

/* What is reserved, the account, and a row for each grant that is open; at least one row. */
static Statement find_all = {
	"SELECT h.held, a.overdraft, a.owed, a.earned, a.spent, a.last_refill_at, a.created_at, a.updated_at, "
	GRANT_COLUMNS("g.") " FROM (SELECT COALESCE(pg_catalog.sum(credits), 0) AS held FROM @extschema@.usage_reservations"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND state OPERATOR(pg_catalog.=) 'held'"
	" AND expires_at OPERATOR(pg_catalog.>) $2) AS h"
	" LEFT JOIN @extschema@.credit_accounts AS a ON a.user_id OPERATOR(pg_catalog.=) $1"
	" LEFT JOIN @extschema@.credit_grants AS g ON g.user_id OPERATOR(pg_catalog.=) $1 AND g.is_open",
	2, {USER_ID, TIMESTAMPTZOID}
};

static Statement find_grants = {
	"SELECT " GRANT_COLUMNS("") " FROM @extschema@.credit_grants"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) ANY ($2)",
	2, {USER_ID, INT8ARRAYOID}
};

static Statement lock_row = {
	"SELECT FROM @extschema@.credit_accounts WHERE user_id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE",
	1, {USER_ID}
};

static Statement make_account = {
	"INSERT INTO @extschema@.credit_accounts (user_id, created_at, updated_at) VALUES ($1, $2, $2)"
	" ON CONFLICT (user_id) DO NOTHING",
	2, {USER_ID, TIMESTAMPTZOID}
};

static void
read_row(Account *account)
{
	account->held = result_numeric(0, 1);
	account->is_known = result_numeric(0, 2) != NULL;
	if (!account->is_known)
		return;
	account->overdraft = result_numeric(0, 2);
	account->owed = result_numeric(0, 3);
	account->earned = result_numeric(0, 4);
	account->spent = result_numeric(0, 5);
	account->last_refill_at = result_time(0, 6, DT_NOBEGIN);
	account->created_at = result_time(0, 7, 0);
	account->updated_at = result_time(0, 8, 0);
}

static void
read_grant(Grant *grant, uint64 row, int column)
{
	bool		isnull;

	grant->is_new = false;
	grant->id = result_int64(row, column);
	grant->is_refill = result_bool(row, column + 1);
	grant->amount = result_numeric(row, column + 2);
	grant->remaining = result_numeric(row, column + 3);
	grant->priority = DatumGetInt32(result_datum(row, column + 4, &isnull));
	grant->effective_at = result_time(row, column + 5, 0);
	grant->expires_at = result_time(row, column + 6, DT_NOEND);
	grant->max_rollover = result_numeric(row, column + 7);
	grant->rollover_until = result_time(row, column + 8, DT_NOEND);
	grant->is_open = result_bool(row, column + 9);
}

/* Of the last look, from this column on.  Only a second one can bring what is known, and most have one. */
void
read_grants(Account *account, uint64 n, int column)
{
	bool		is_first = account->ngrants == 0;

	for (uint64 row = 0; row < n; row++)
	{
		bool		isnull;
		int64		id = DatumGetInt64(result_datum(row, column, &isnull));

		if (!isnull && (is_first || find_grant(account, id) == NULL))
			read_grant(add_grant(account), row, column);
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

static Account
read_account(const Installation *home, Datum user_id, const UserTerms *terms, bool is_new)
{
	Account		account = empty_account(home, user_id);
	Datum		args[] = {user_id, (Datum) 0};
	uint64		rows;

	account.now = usage_now();
	args[1] = TimestampTzGetDatum(account.now);
	rows = statement_look(&find_all, args, NULL);
	read_row(&account);
	if (is_new)
		account.updated_at = DT_NOBEGIN;
	read_grants(&account, rows, 9);
	account.refill = refill_of_plan(terms->plan);
	add_due_refills(&account, terms);
	return account;
}

/* As they are now, without a lock. */
Account
look_at_account(const Installation *home, Datum user_id, const UserTerms *terms, bool afresh)
{
	Account		account;

	(void) refill_of_plan(terms->plan); /* configuration is read with a view of its own */
	if (afresh)
		begin_fresh_view();
	account = read_account(home, user_id, terms, false);
	if (afresh)
		end_fresh_view();
	return account;
}

/* Locked to the end of the transaction, with what has ended taken off. */
Account
lock_account(const Installation *home, Datum user_id, const UserTerms *terms)
{
	Account		account;
	Datum		args[] = {user_id, TimestampTzGetDatum(usage_now())};
	bool		is_new = false;

	(void) refill_of_plan(terms->plan);
	while (statement_write(&lock_row, args, NULL) == 0)
		is_new = statement_write(&make_account, args, NULL) > 0;
	begin_fresh_view();
	account = read_account(home, user_id, terms, is_new);
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

/* Closed ones as well, because something is given back to them. */
void
load_grants(Account *account, const Parts *parts)
{
	Datum		args[] = {account->user_id, grants_of(parts)};

	read_grants(account, statement_look_afresh(&find_grants, args, NULL), 1);
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

static Statement insert_grant = {
	"INSERT INTO @extschema@.credit_grants (user_id, " GRANT_COLUMNS("") ")"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
	11, {USER_ID, INT8OID, BOOLOID, NUMERICOID, NUMERICOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, NUMERICOID,
	TIMESTAMPTZOID, BOOLOID}
};

static Statement update_grant = {
	"UPDATE @extschema@.credit_grants SET remaining = $3, is_open = $4"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
	4, {USER_ID, INT8OID, NUMERICOID, BOOLOID}
};

static Statement put_account = {
	"UPDATE @extschema@.credit_accounts SET owed = $2, earned = $3, spent = $4, last_refill_at = $5,"
	" updated_at = $6, overdraft = $7 WHERE user_id OPERATOR(pg_catalog.=) $1",
	7, {USER_ID, NUMERICOID, NUMERICOID, NUMERICOID, TIMESTAMPTZOID, TIMESTAMPTZOID, NUMERICOID}
};

/* Used up; a refill still says that it was made. */
static bool
is_over(const Account *account, const Grant *grant)
{
	return num_sign(grant->remaining) == 0 && (!grant->is_refill || grant->rollover_until <= account->now);
}

static void
write_new_grant(Datum user_id, const Grant *grant)
{
	Datum		args[] = {
		user_id,
		Int64GetDatum(grant->id),
		BoolGetDatum(grant->is_refill),
		NumericGetDatum(grant->amount),
		NumericGetDatum(grant->remaining),
		Int32GetDatum(grant->priority),
		TimestampTzGetDatum(grant->effective_at),
		TimestampTzGetDatum(grant->expires_at),
		NumericGetDatum(grant->max_rollover),
		TimestampTzGetDatum(grant->rollover_until),
		BoolGetDatum(grant->is_open)
	};

	statement_write(&insert_grant, args, NULL);
}

static void
write_changed_grant(Datum user_id, const Grant *grant)
{
	Datum		args[] = {
		user_id, Int64GetDatum(grant->id), NumericGetDatum(grant->remaining), BoolGetDatum(grant->is_open)
	};

	statement_write(&update_grant, args, NULL);
}

static void
write_grant(const Account *account, Grant *grant)
{
	bool		is_open = !is_over(account, grant);

	grant->is_changed |= is_open != grant->is_open;
	grant->is_open = is_open;
	if (grant->is_new)
		write_new_grant(account->user_id, grant);
	else if (grant->is_changed)
		write_changed_grant(account->user_id, grant);
	grant->is_new = grant->is_changed = false;
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
	for (int i = 0; i < account->ngrants; i++)
		write_grant(account, &account->grants[i]);
	statement_write(&put_account, args, nulls);
	account->updated_at = account->now;
}

TimestampTz
next_refill(const Account *account)
{
	bool		none = account->refill.amount == NULL || num_sign(account->refill.amount) == 0;

	return none ? DT_NOEND : account->period.end;
}
