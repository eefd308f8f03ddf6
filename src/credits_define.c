/*
 * credits_define.c -- what uses cost, what plans give, and what users may owe.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "credits.h"
#include "errors.h"
#include "miscadmin.h"
#include "plans.h"
#include "users.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(ut_set_credit_overdraft);
Datum
ut_set_credit_overdraft(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Account		account;
	Datum		user_id;
	Numeric		overdraft;
	Disguise	before;

	check_is_admin_or_server(home);
	user_id = user_id_argument(home, fcinfo);
	overdraft = amount_argument(fcinfo, 1, "overdraft", CREDIT_DECIMALS);
	become_owner(home, &before);
	account = account_to_change(home, user_id);
	account.overdraft = overdraft;
	write_account(&account);
	become_caller(&before);
	PG_RETURN_VOID();
}

/* ---- what uses cost ---- */

static Statement put_cost = {
	"INSERT INTO @extschema@.credit_costs AS c (usage_type, credits) VALUES ($1, $2)"
	" ON CONFLICT (usage_type) DO UPDATE SET credits = EXCLUDED.credits"
	" WHERE c.credits OPERATOR(pg_catalog.<>) EXCLUDED.credits",
	2, {TEXTOID, NUMERICOID}
};

#define THAT_COST " FROM @extschema@.credit_costs WHERE usage_type OPERATOR(pg_catalog.=) $1"

static Statement drop_cost = {"DELETE" THAT_COST, 2, {TEXTOID, NUMERICOID}};
static Statement find_cost = {"SELECT" THAT_COST, 2, {TEXTOID, NUMERICOID}};

PG_FUNCTION_INFO_V1(ut_set_credit_cost);
Datum
ut_set_credit_cost(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char	   *usage_type;
	Datum		args[2];
	char		nulls[3] = "  ";
	Disguise	before;

	check_is_admin(home);
	args[0] = CStringGetTextDatum(usage_type = name_argument(fcinfo, 0, "usage_type"));
	nulls[1] = PG_ARGISNULL(1) ? 'n' : ' ';
	args[1] = PG_ARGISNULL(1) ? (Datum) 0 : NumericGetDatum(amount_argument(fcinfo, 1, "credits", CREDIT_DECIMALS));
	become_owner(home, &before);
	check_usage_type(current_config(), usage_type);
	if (PG_ARGISNULL(1))
		statement_write_or_fail(&drop_cost, &find_cost, args, nulls);
	else
		statement_write(&put_cost, args, NULL);
	become_caller(&before);
	PG_RETURN_VOID();
}

/* ---- what a plan gives ---- */

static Statement put_refill = {
	"INSERT INTO @extschema@.credit_refills AS r (plan, amount, period, max_rollover) VALUES ($1, $2, $3, $4)"
	" ON CONFLICT (plan) DO UPDATE SET amount = EXCLUDED.amount, period = EXCLUDED.period,"
	" max_rollover = EXCLUDED.max_rollover"
	" WHERE r.amount OPERATOR(pg_catalog.<>) EXCLUDED.amount OR r.period OPERATOR(pg_catalog.<>) EXCLUDED.period"
	" OR r.max_rollover OPERATOR(pg_catalog.<>) EXCLUDED.max_rollover",
	4, {TEXTOID, NUMERICOID, INTERVALOID, NUMERICOID}
};

#define THAT_REFILL " FROM @extschema@.credit_refills WHERE plan OPERATOR(pg_catalog.=) $1"

static Statement drop_refill = {"DELETE" THAT_REFILL, 1, {TEXTOID}};
static Statement find_refill = {"SELECT" THAT_REFILL, 1, {TEXTOID}};

static void
refill_arguments(FunctionCallInfo fcinfo, Datum *args)
{
	args[1] = NumericGetDatum(amount_argument(fcinfo, 1, "amount", CREDIT_DECIMALS));
	check_not_null(PG_ARGISNULL(2), "period");
	args[2] = PG_GETARG_DATUM(2);
	if (!period_fits_kind(WINDOW_CALENDAR, PG_GETARG_INTERVAL_P(2)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"period\" must be one hour, day, week, month, quarter, or year")));
	args[3] = NumericGetDatum(amount_argument(fcinfo, 3, "max_rollover", CREDIT_DECIMALS));
}

PG_FUNCTION_INFO_V1(ut_set_credit_refill);
Datum
ut_set_credit_refill(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char	   *plan;
	Datum		args[4];
	Disguise	before;

	check_is_admin(home);
	args[0] = CStringGetTextDatum(plan = plain_name_argument(fcinfo, 0, "plan"));
	if (!PG_ARGISNULL(1))
		refill_arguments(fcinfo, args);
	become_owner(home, &before);
	check_plan_exists(plan);
	if (PG_ARGISNULL(1))
		statement_write_or_fail(&drop_refill, &find_refill, args, NULL);
	else
		statement_write(&put_refill, args, NULL);
	become_caller(&before);
	PG_RETURN_VOID();
}
