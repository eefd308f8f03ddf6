/*
 * credits_ledger.c -- whatever changed a user's credits, one row each.
 *
 * Rows are only ever added, by whoever holds the lock of the account.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "credits.h"
#include "numbers.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

static Statement insert_row = {
	"INSERT INTO @extschema@.credit_ledger (user_id, id, action, amount, balance_after, transaction_type, description,"
	" reference_id, metadata, effective_at, recorded_at, refunds, event_id, grants, amounts)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
	15, {USER_ID, INT8OID, TEXTOID, NUMERICOID, NUMERICOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TIMESTAMPTZOID,
	TIMESTAMPTZOID, INT8OID, INT8OID, INT8ARRAYOID, NUMERICARRAYOID}
};

Datum
grants_of(const Parts *parts)
{
	Datum	   *grants = palloc(parts->n * sizeof(Datum) + 1);

	for (int i = 0; i < parts->n; i++)
		grants[i] = Int64GetDatum(parts->all[i].grant);
	return PointerGetDatum(construct_array(grants, parts->n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static Datum
amounts_of(const Parts *parts)
{
	Datum	   *amounts = palloc(parts->n * sizeof(Datum) + 1);

	for (int i = 0; i < parts->n; i++)
		amounts[i] = NumericGetDatum(parts->all[i].amount);
	return PointerGetDatum(construct_array(amounts, parts->n, NUMERICOID, -1, false, TYPALIGN_INT));
}

/* The balance is that of the account with the entry in it. */
void
write_entry(Account *account, LedgerEntry *entry)
{
	char		nulls[16] = "               ";
	Datum		args[15];

	entry->id = nextval_internal(get_relname_relid("credit_ledger_id_seq", account->home->schema), false);
	entry->balance_after = balance_at(account, Min(entry->effective_at, account->now));
	args[0] = account->user_id;
	args[1] = Int64GetDatum(entry->id);
	args[2] = CStringGetTextDatum(entry->action);
	args[3] = NumericGetDatum(entry->amount);
	args[4] = NumericGetDatum(entry->balance_after);
	args[5] = CStringGetTextDatum(entry->type);
	args[6] = text_or_null(entry->description, &nulls[6]);
	args[7] = text_or_null(entry->reference_id, &nulls[7]);
	args[8] = PointerGetDatum(entry->metadata);
	nulls[8] = entry->metadata == NULL ? 'n' : ' ';
	args[9] = TimestampTzGetDatum(entry->effective_at);
	args[10] = TimestampTzGetDatum(account->now);
	args[11] = Int64GetDatum(entry->refunds);
	nulls[11] = entry->refunds == 0 ? 'n' : ' ';
	args[12] = Int64GetDatum(entry->event_id);
	nulls[12] = entry->event_id == 0 ? 'n' : ' ';
	args[13] = grants_of(&entry->parts);
	args[14] = amounts_of(&entry->parts);
	statement_write(&insert_row, args, nulls);
}

/* ---- finding one again ---- */

#define ENTRY_COLUMNS "id, action, amount, transaction_type, refunds, event_id, grants, amounts"

static Statement find_by_id = {
	"SELECT " ENTRY_COLUMNS " FROM @extschema@.credit_ledger"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
	2, {USER_ID, INT8OID}
};

static Statement find_by_event = {
	"SELECT " ENTRY_COLUMNS " FROM @extschema@.credit_ledger"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND event_id OPERATOR(pg_catalog.=) $2",
	2, {USER_ID, INT8OID}
};

static Statement find_by_reference = {
	"SELECT " ENTRY_COLUMNS " FROM @extschema@.credit_ledger"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND action OPERATOR(pg_catalog.=) $2"
	" AND reference_id OPERATOR(pg_catalog.=) $3",
	3, {USER_ID, TEXTOID, TEXTOID}
};

static Statement find_refunds = {
	"SELECT " ENTRY_COLUMNS " FROM @extschema@.credit_ledger"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND refunds OPERATOR(pg_catalog.=) $2",
	2, {USER_ID, INT8OID}
};

static int64
int64_or_zero(uint64 row, int column)
{
	bool		isnull;
	Datum		value = result_datum(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static Parts
read_parts(uint64 row, int column)
{
	bool		isnull;
	Parts		parts;
	Datum	   *grants;
	Datum	   *amounts;

	deconstruct_array(DatumGetArrayTypePCopy(result_datum(row, column, &isnull)), INT8OID, 8, FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &grants, NULL, &parts.n);
	deconstruct_array(DatumGetArrayTypePCopy(result_datum(row, column + 1, &isnull)), NUMERICOID, -1, false,
					  TYPALIGN_INT, &amounts, NULL, &parts.n);
	parts.all = palloc(parts.n * sizeof(Part) + 1);
	for (int i = 0; i < parts.n; i++)
		parts.all[i] = (Part) {DatumGetInt64(grants[i]), DatumGetNumeric(amounts[i])};
	return parts;
}

static LedgerEntry
read_entry(uint64 row)
{
	LedgerEntry entry = {result_int64(row, 1)};

	entry.action = result_text(row, 2);
	entry.amount = result_numeric(row, 3);
	entry.type = result_text(row, 4);
	entry.refunds = int64_or_zero(row, 5);
	entry.event_id = int64_or_zero(row, 6);
	entry.parts = read_parts(row, 7);
	return entry;
}

static bool
find(Statement *statement, Datum *args, LedgerEntry *entry)
{
	if (statement_look_afresh(statement, args, NULL) == 0)
		return false;
	*entry = read_entry(0);
	return true;
}

bool
find_entry(Datum user_id, int64 id, LedgerEntry *entry)
{
	return find(&find_by_id, (Datum[]) {user_id, Int64GetDatum(id)}, entry);
}

/* What a use cost. */
bool
find_entry_of_event(Datum user_id, int64 event_id, LedgerEntry *entry)
{
	return find(&find_by_event, (Datum[]) {user_id, Int64GetDatum(event_id)}, entry);
}

/* What the caller did before under this reference. */
bool
find_entry_by_reference(Datum user_id, const char *action, const char *reference_id, LedgerEntry *entry)
{
	Datum		args[] = {user_id, CStringGetTextDatum(action), CStringGetTextDatum(reference_id)};

	return find(&find_by_reference, args, entry);
}

/* ---- refunds ---- */

static void
take_off(Parts *left, const Parts *refunded)
{
	for (int i = 0; i < refunded->n; i++)
		for (int k = 0; k < left->n; k++)
			if (left->all[k].grant == refunded->all[i].grant)
				left->all[k].amount = num_trim(num_sub(left->all[k].amount, refunded->all[i].amount));
}

/* What it took from each grant and did not get back, as positive amounts. */
Parts
parts_not_refunded(Datum user_id, const LedgerEntry *entry)
{
	Datum		args[] = {user_id, Int64GetDatum(entry->id)};
	Parts		left = {palloc(entry->parts.n * sizeof(Part) + 1), entry->parts.n};
	uint64		n;

	for (int i = 0; i < left.n; i++)
		left.all[i] = (Part) {entry->parts.all[i].grant, num_sub(num_zero, entry->parts.all[i].amount)};
	n = statement_look_afresh(&find_refunds, args, NULL);
	for (uint64 row = 0; row < n; row++)
	{
		Parts		refunded = read_parts(row, 7);

		take_off(&left, &refunded);
	}
	return left;
}

Numeric
sum_of_parts(const Parts *parts)
{
	Numeric		sum = num_zero;

	for (int i = 0; i < parts->n; i++)
		sum = num_add(sum, parts->all[i].amount);
	return num_trim(sum);
}

/* Gives back to the grants of a locked account, and says how. */
LedgerEntry
refund_entry(Account *account, const LedgerEntry *of, const Parts *left, Numeric amount)
{
	LedgerEntry entry = {.action = "refund", .type = "refund"};

	load_grants(account, left);
	entry.amount = amount;
	entry.effective_at = account->now;
	entry.refunds = of->id;
	entry.parts = give_back(account, left, amount);
	account->updated_at = account->now; /* what comes back to a grant that is over ends now */
	return entry;
}
