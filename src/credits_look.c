/*
 * credits_look.c -- what a user has or had, for who may know it.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "credits.h"
#include "funcapi.h"
#include "numbers.h"
#include "settings.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

static Numeric
balance_of(const Installation *home, Datum user_id, TimestampTz at)
{
	UserTerms	terms = terms_of_user(user_id, usage_now(), false);
	Account		account;

	if (!TIMESTAMP_IS_NOEND(at))
		return balance_then(home, user_id, &terms, at);
	account = look_at_account(home, user_id, &terms, false);
	return balance_at(&account, account.now);
}

/* ---- everything below only translates between SQL and the above ---- */

static TimestampTz
past_argument(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		return DT_NOEND;
	check_finite_time(PG_GETARG_TIMESTAMPTZ(n), "at");
	if (PG_GETARG_TIMESTAMPTZ(n) > usage_now())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"at\" must not be in the future")));
	return PG_GETARG_TIMESTAMPTZ(n);
}

PG_FUNCTION_INFO_V1(ut_credit_balance);
Datum
ut_credit_balance(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	Datum		user_id;
	TimestampTz at;
	Numeric		balance;
	Disguise	before;
	Datum		result;

	user_id = user_to_see(home, fcinfo);
	at = past_argument(fcinfo, 1);
	become_owner(home, &before);
	balance = balance_of(home, user_id, at);
	MemoryContextSwitchTo(caller);
	result = NumericGetDatum(num_trim(balance));
	become_caller(&before);
	PG_RETURN_DATUM(result);
}

#define USER_CREDITS_COLUMNS 9

static void
put_time(Datum *values, bool *nulls, int column, TimestampTz time)
{
	values[column] = TimestampTzGetDatum(time);
	nulls[column] = TIMESTAMP_NOT_FINITE(time);
}

/* With what is due, though nobody has written it down. */
static void
put_account(ReturnSetInfo *result, const Account *account)
{
	Numeric		earned = account->earned;
	TimestampTz last_refill_at = account->last_refill_at;
	Datum		values[USER_CREDITS_COLUMNS];
	bool		nulls[USER_CREDITS_COLUMNS] = {false};

	for (int i = 0; i < account->ngrants; i++)
		if (account->grants[i].id == 0)
		{
			earned = num_add(earned, account->grants[i].amount);
			last_refill_at = Max(last_refill_at, account->grants[i].effective_at);
		}
	values[0] = NumericGetDatum(balance_at(account, account->now));
	values[1] = NumericGetDatum(num_trim(account->held));
	values[2] = NumericGetDatum(account->overdraft);
	values[3] = NumericGetDatum(num_trim(earned));
	values[4] = NumericGetDatum(account->spent);
	put_time(values, nulls, 5, next_refill(account));
	put_time(values, nulls, 6, last_refill_at);
	put_time(values, nulls, 7, account->created_at);
	put_time(values, nulls, 8, account->updated_at);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(ut_credits_of_user);
Datum
ut_credits_of_user(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id;
	UserTerms	terms;
	Account		account;
	Disguise	before;

	user_id = user_to_see(home, fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	become_owner(home, &before);
	terms = terms_of_user(user_id, usage_now(), false);
	account = look_at_account(home, user_id, &terms, false);
	if (account.is_known || account.ngrants > 0)
		put_account((ReturnSetInfo *) fcinfo->resultinfo, &account);
	become_caller(&before);
	return (Datum) 0;
}

static Statement transactions = {
	"SELECT id, amount, balance_after, transaction_type, description,"
	" COALESCE(reference_id, CAST(event_id AS pg_catalog.text)), metadata, effective_at"
	" FROM @extschema@.credit_ledger WHERE user_id OPERATOR(pg_catalog.=) $1",
	1, {USER_ID}
};

PG_FUNCTION_INFO_V1(ut_credit_transactions_of_user);
Datum
ut_credit_transactions_of_user(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id;
	Disguise	before;

	user_id = user_to_see(home, fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	become_owner(home, &before);
	statement_answer(&transactions, &user_id, NULL, (ReturnSetInfo *) fcinfo->resultinfo);
	become_caller(&before);
	return (Datum) 0;
}
