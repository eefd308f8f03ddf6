/*
 * credits_calls.c -- giving, spending and refunding credits.
 */
#include "compat.h"

#include "access/xact.h"
#include "arguments.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "credits.h"
#include "errors.h"
#include "locks.h"
#include "miscadmin.h"
#include "numbers.h"
#include "plans.h"
#include "settings.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

static void
refuse_other_reference(void)
{
	Refusal		refusal = {
		.sqlstate = ERRCODE_UT_KEY_REUSED,
		.http_status = 409,
		.http_text = "Conflict",
		.message = "reference was used for another transaction",
		.detail = "Its amount, type, or what it refunds differs from the first one.",
		.hint = "Use a new reference for every transaction; repeat one only to repeat the transaction."
	};

	raise_refusal(&refusal);
}

/* True if this was done before under the same reference. */
static bool
is_repeated(const Account *account, LedgerEntry *entry)
{
	LedgerEntry first;

	if (entry->reference_id == NULL ||
		!find_entry_by_reference(account->user_id, entry->action, entry->reference_id, &first))
		return false;
	if ((entry->amount != NULL && num_cmp(first.amount, entry->amount) != 0) ||
		strcmp(first.type, entry->type) != 0 || first.refunds != entry->refunds)
		refuse_other_reference();
	entry->id = first.id;
	return true;
}

/* ---- giving ---- */

static void
grant_once(const Installation *home, Datum user_id, const Grant *wanted, LedgerEntry *entry)
{
	Account		account = account_to_change(home, user_id);
	Grant	   *grant;

	if (!is_repeated(&account, entry))
	{
		grant = add_grant(&account);
		*grant = *wanted;
		grant->id = nextval_internal(get_relname_relid("credit_grants_id_seq", home->schema), false);
		if (TIMESTAMP_IS_NOBEGIN(grant->effective_at))
			grant->effective_at = account.now;
		entry->effective_at = grant->effective_at;
		entry->parts = give(&account, grant);
		write_entry(&account, entry);
		write_account(&account);
	}
}

/* ---- spending ---- */

static Decision
decision_about(const Account *account, const char *reason, int64 id)
{
	Decision	decision = {true, reason, id, NULL, NULL, NULL, DT_NOEND};

	decision.credits_left = available(account);
	return decision;
}

static Decision
spend(Account *account, Numeric amount, LedgerEntry *entry)
{
	if (is_repeated(account, entry))
		return decision_about(account, "replayed", entry->id);
	if (num_cmp(available(account), amount) < 0)
		return decide_credits(account, NULL);
	entry->effective_at = account->now;
	entry->parts = draw(account, amount);
	write_entry(account, entry);
	write_account(account);
	return decision_about(account, "ok", entry->id);
}

/* What can be refused on sight leaves no trace. */
static Decision
spend_once(const Installation *home, Datum user_id, Numeric amount, LedgerEntry *entry)
{
	UserTerms	terms;
	Account		account;

	entry->amount = num_sub(num_zero, amount);
	lock_counting(home, user_id);
	terms = terms_of_user(user_id, usage_now(), true);
	account = look_at_account(home, user_id, &terms, true);
	if (!is_repeated(&account, entry) && num_cmp(available(&account), amount) < 0)
		return decide_credits(&account, NULL);
	account = account_to_change(home, user_id);
	return spend(&account, amount, entry);
}

/* ---- refunding ---- */

static void
check_refundable(bool found, const LedgerEntry *entry, int64 id)
{
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("credit transaction " INT64_FORMAT " of this user does not exist", id)));
	if (strcmp(entry->action, "spend") != 0 && strcmp(entry->action, "use") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("credit transaction " INT64_FORMAT " took nothing that could be refunded", id)));
}

static void
check_amount_left(Numeric amount, Numeric left)
{
	if (num_sign(left) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("nothing is left to be refunded")));
	if (num_cmp(amount, left) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"amount\" is more than is left to be refunded"),
				 errdetail("%s is left.", num_text(left))));
}

/* "amount" NULL is all that is left. */
static void
refund_once(const Installation *home, Datum user_id, int64 id, LedgerEntry *entry)
{
	Account		account = account_to_change(home, user_id);
	LedgerEntry spent;
	LedgerEntry refund;
	Parts		left;
	Numeric		all;

	check_refundable(find_entry(user_id, id, &spent), &spent, id);
	if (is_repeated(&account, entry))
		return;
	left = parts_not_refunded(user_id, &spent);
	all = sum_of_parts(&left);
	check_amount_left(entry->amount == NULL ? all : entry->amount, all);
	refund = refund_entry(&account, &spent, &left, entry->amount == NULL ? all : entry->amount);
	refund.reference_id = entry->reference_id;
	refund.description = entry->description;
	refund.metadata = entry->metadata;
	write_entry(&account, &refund);
	settle_account(&account);
	write_account(&account);
	entry->id = refund.id;
}

/* ---- everything below only translates between SQL and the above ---- */

static Numeric
credits_argument(FunctionCallInfo fcinfo, int n, const char *argument)
{
	Numeric		amount = amount_argument(fcinfo, n, argument, CREDIT_DECIMALS);

	if (num_sign(amount) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be greater than zero", argument)));
	return amount;
}

static void
describe_entry(FunctionCallInfo fcinfo, LedgerEntry *entry, int reference, int description, int metadata)
{
	entry->reference_id = text_argument(fcinfo, reference, "reference_id");
	entry->description = description_argument(fcinfo, description, "description");
	entry->metadata = metadata_argument(fcinfo, metadata);
}

static TimestampTz
time_or(FunctionCallInfo fcinfo, int n, const char *argument, TimestampTz if_null)
{
	if (PG_ARGISNULL(n))
		return if_null;
	return DatumGetTimestampTz(time_argument(fcinfo, n, argument));
}

enum
{
	GRANT_USER, GRANT_AMOUNT, GRANT_TYPE, GRANT_REFERENCE, GRANT_EXPIRES_AT, GRANT_EFFECTIVE_AT, GRANT_PRIORITY,
	GRANT_MAX_ROLLOVER, GRANT_ROLLOVER_UNTIL, GRANT_DESCRIPTION, GRANT_METADATA
};

/* now() is the transaction's beginning, and means now. */
static void
take_begin(FunctionCallInfo fcinfo, Grant *grant)
{
	grant->effective_at = time_or(fcinfo, GRANT_EFFECTIVE_AT, "effective_at", DT_NOBEGIN);
	if (grant->effective_at >= GetCurrentTransactionStartTimestamp() && grant->effective_at < usage_now())
		grant->effective_at = DT_NOBEGIN;
}

static void
check_grant_times(const Grant *grant)
{
	TimestampTz now = usage_now();	/* once: time goes on */
	TimestampTz begin = TIMESTAMP_IS_NOBEGIN(grant->effective_at) ? now : grant->effective_at;

	if (begin < now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"effective_at\" must not be in the past")));
	if (grant->expires_at <= begin)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"expires_at\" must be later than \"effective_at\"")));
	if (num_sign(grant->max_rollover) > 0 && grant->rollover_until <= grant->expires_at)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"rollover_until\" must be later than \"expires_at\"")));
}

static Grant
grant_arguments(FunctionCallInfo fcinfo)
{
	Grant		grant = {0};

	grant.is_open = grant.is_new = true;
	grant.amount = credits_argument(fcinfo, GRANT_AMOUNT, "amount");
	grant.expires_at = time_or(fcinfo, GRANT_EXPIRES_AT, "expires_at", DT_NOEND);
	take_begin(fcinfo, &grant);
	check_not_null(PG_ARGISNULL(GRANT_PRIORITY), "priority");
	grant.priority = PG_GETARG_INT32(GRANT_PRIORITY);
	grant.max_rollover = amount_argument(fcinfo, GRANT_MAX_ROLLOVER, "max_rollover", CREDIT_DECIMALS);
	grant.rollover_until = time_or(fcinfo, GRANT_ROLLOVER_UNTIL, "rollover_until", grant.expires_at);
	check_grant_times(&grant);
	if (num_sign(grant.max_rollover) == 0)
		grant.rollover_until = grant.expires_at;
	return grant;
}

PG_FUNCTION_INFO_V1(ut_grant_credits);
Datum
ut_grant_credits(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	LedgerEntry entry = {.action = "grant"};
	Datum		user_id;
	Grant		grant;
	Disguise	before;

	check_is_admin_or_server(home);
	user_id = user_id_argument(home, fcinfo);
	grant = grant_arguments(fcinfo);
	entry.amount = grant.amount;
	entry.type = name_argument(fcinfo, GRANT_TYPE, "transaction_type");
	describe_entry(fcinfo, &entry, GRANT_REFERENCE, GRANT_DESCRIPTION, GRANT_METADATA);
	become_owner(home, &before);
	grant_once(home, user_id, &grant, &entry);
	become_caller(&before);
	PG_RETURN_INT64(entry.id);
}

PG_FUNCTION_INFO_V1(ut_spend_credits);
Datum
ut_spend_credits(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	MemoryContext caller = CurrentMemoryContext;
	LedgerEntry entry = {.action = "spend"};
	Datum		user_id;
	Numeric		amount;
	Decision	decision;
	Disguise	before;
	Datum		result;

	check_is_admin_or_server(home);
	user_id = user_id_argument(home, fcinfo);
	amount = credits_argument(fcinfo, 1, "amount");
	describe_entry(fcinfo, &entry, 2, 3, 4);
	entry.type = name_argument(fcinfo, 5, "transaction_type");
	become_owner(home, &before);
	decision = setting_enabled ? spend_once(home, user_id, amount, &entry) : decision_not_made();
	MemoryContextSwitchTo(caller);
	result = decision_datum(fcinfo, &decision);
	become_caller(&before);
	return result;
}

PG_FUNCTION_INFO_V1(ut_refund_credits);
Datum
ut_refund_credits(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	LedgerEntry entry = {.action = "refund", .type = "refund"};
	Datum		user_id;
	Disguise	before;

	check_is_admin_or_server(home);
	user_id = user_id_argument(home, fcinfo);
	check_not_null(PG_ARGISNULL(1), "transaction_id");
	entry.refunds = PG_GETARG_INT64(1);
	if (!PG_ARGISNULL(2))
		entry.amount = credits_argument(fcinfo, 2, "amount");
	describe_entry(fcinfo, &entry, 3, 4, 5);
	become_owner(home, &before);
	refund_once(home, user_id, PG_GETARG_INT64(1), &entry);
	become_caller(&before);
	PG_RETURN_INT64(entry.id);
}
