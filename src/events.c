/*
 * events.c -- what happened?
 *
 * Events are only ever inserted: triggers refuse to change or remove one (but see
 * events_amend.c).  A key is kept with the answer it got, in the transaction of its event; a key
 * whose event was rolled back or refused was never there.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "errors.h"
#include "events.h"
#include "miscadmin.h"
#include "numbers.h"
#include "rows.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

static TimestampTz
seconds_from(TimestampTz at, int64 seconds)
{
	return at + seconds * USECS_PER_SEC;
}

void
check_event_lead(TimestampTz occurred_at)
{
	if (occurred_at > seconds_from(usage_now(), setting_max_event_lead))
		ereport(ERROR,
				(errcode(ERRCODE_UT_EVENT_TIME),
				 errmsg("event is too far ahead"),
				 errdetail("Events may lie ahead %d seconds, which is usage_tracking.max_event_lead.", setting_max_event_lead)));
}

void
check_event_time(TimestampTz occurred_at)
{
	if (occurred_at < seconds_from(usage_now(), -(int64) setting_max_event_age))
		ereport(ERROR,
				(errcode(ERRCODE_UT_EVENT_TIME),
				 errmsg("event is too old"),
				 errdetail("Events may lie back %d seconds, which is usage_tracking.max_event_age.", setting_max_event_age),
				 errhint("Raise the setting in the session that loads history.")));
	check_event_lead(occurred_at);
}

/*
 * The transaction has its own id first, and what has counted events relies on it:
 * a transaction that got its id after an instant has no event with a number that
 * was taken before (sql/rollups.sql).
 */
int64
next_event_id(const Installation *home)
{
	PreventCommandDuringRecovery("recording usage");	/* which asking for an id would not tell */
	(void) GetTopFullTransactionId();
	return nextval_internal(get_relname_relid("usage_events_id_seq", home->schema), false);
}

/* ---- finding one again ---- */

/*
 * By the index on (id, recorded_at): OFFSET 0 keeps the planner from reading all
 * events of the user instead.
 */
static Statement find_by_id = {
	"SELECT usage_type, status, quantity, tokens, cost, occurred_at,"
	" provider, model, campaign_id, input_cost, output_cost, credits_used, credits_owed, run_id,"
	" COALESCE(corrected_events, 1)"
	" FROM (SELECT user_id, usage_type, status, quantity, tokens, cost, occurred_at,"
	" provider, model, campaign_id, input_cost, output_cost, credits_used, credits_owed, run_id, corrected_events"
	" FROM @extschema@.usage_events WHERE id OPERATOR(pg_catalog.=) $2 OFFSET 0) AS e"
	" WHERE user_id OPERATOR(pg_catalog.=) $1",
	2, {USER_ID, INT8OID}
};

/* One who corrects it at a time; the row itself never changes. */
static Statement lock_row = {
	"SELECT FROM @extschema@.usage_events WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND occurred_at OPERATOR(pg_catalog.=) $2 AND id OPERATOR(pg_catalog.=) $3 FOR NO KEY UPDATE",
	3, {USER_ID, TIMESTAMPTZOID, INT8OID}
};

static Statement find_row = {
	"SELECT FROM @extschema@.usage_events WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND occurred_at OPERATOR(pg_catalog.=) $2 AND id OPERATOR(pg_catalog.=) $3",
	3, {USER_ID, TIMESTAMPTZOID, INT8OID}
};

/* Corrections have the instant of what they correct. */
static Statement sum_corrections = {
	"SELECT COALESCE(pg_catalog.sum(quantity), 0), COALESCE(pg_catalog.sum(tokens), 0)::pg_catalog.int8,"
	" COALESCE(pg_catalog.sum(cost), 0), COALESCE(pg_catalog.sum(corrected_events), 0)::pg_catalog.int8,"
	" COALESCE(pg_catalog.sum(input_cost), 0), COALESCE(pg_catalog.sum(output_cost), 0),"
	" pg_catalog.count(price_id) OPERATOR(pg_catalog.>) 0,"
	" COALESCE(pg_catalog.sum(credits_used), 0), COALESCE(pg_catalog.sum(credits_owed), 0)"
	" FROM @extschema@.usage_events WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND occurred_at OPERATOR(pg_catalog.=) $2 AND corrects OPERATOR(pg_catalog.=) $3",
	3, {USER_ID, TIMESTAMPTZOID, INT8OID}
};

/* Unknown is nothing, here. */
static Numeric
sum_of_costs(Numeric cost, Numeric corrections)
{
	return num_trim(cost == NULL ? corrections : num_add(cost, corrections));
}

static void
take_off_corrections(Event *event)
{
	Datum		args[] = {event->user_id, TimestampTzGetDatum(event->occurred_at), Int64GetDatum(event->id)};

	statement_write_or_fail(&lock_row, &find_row, args, NULL);
	statement_look_afresh(&sum_corrections, args, NULL);
	event->quantity = num_trim(num_add(event->quantity, result_numeric(0, 1)));
	event->tokens += result_int64(0, 2);
	event->cost = sum_of_costs(event->cost, result_numeric(0, 3));
	event->events += result_int64(0, 4);
	event->is_priced = event->is_priced || result_bool(0, 7);
	if (event->credits_used != NULL)
	{
		event->credits_used = num_trim(num_add(event->credits_used, result_numeric(0, 8)));
		event->credits_owed = num_trim(num_add(event->credits_owed, result_numeric(0, 9)));
	}
	if (event->call != NULL)
	{
		event->call->input_cost = sum_of_costs(event->call->input_cost, result_numeric(0, 5));
		event->call->output_cost = sum_of_costs(event->call->output_cost, result_numeric(0, 6));
	}
}

static ApiCall *
found_call(void)
{
	ApiCall    *call = palloc0(sizeof(ApiCall));

	call->provider = result_text(0, 7);
	call->model = result_text(0, 8);
	call->campaign_id = result_text(0, 9);
	call->input_cost = result_numeric(0, 10);
	call->output_cost = result_numeric(0, 11);
	return call->provider == NULL && call->model == NULL && call->campaign_id == NULL ? NULL : call;
}

/* The user's event as it was recorded, but for what only describes it. */
bool
find_event(Datum user_id, int64 id, Event *event)
{
	Datum		args[] = {user_id, Int64GetDatum(id)};
	bool		isnull;

	if (statement_look_afresh(&find_by_id, args, NULL) == 0)
		return false;
	memset(event, 0, sizeof(*event));
	event->id = id;
	event->user_id = user_id;
	event->usage_type = result_text(0, 1);
	event->status = result_text(0, 2);
	event->quantity = result_numeric(0, 3);
	event->tokens = result_int64(0, 4);
	event->cost = result_numeric(0, 5);
	event->occurred_at = result_time(0, 6, 0);
	event->events = result_int64(0, 15);
	event->is_priced = event->cost != NULL;
	event->call = found_call();
	event->credits_used = result_numeric(0, 12);
	event->credits_owed = result_numeric(0, 13);
	if (event->credits_used != NULL && event->credits_owed == NULL)
		event->credits_owed = num_zero;
	event->run_id = DatumGetInt64(result_datum(0, 14, &isnull));
	event->run_id = isnull ? 0 : event->run_id;
	return true;
}

/* What is left of the user's event, which nobody else corrects until we end. */
bool
lock_event(Datum user_id, int64 id, Event *event)
{
	if (!find_event(user_id, id, event))
		return false;
	take_off_corrections(event);
	return true;
}

/* ---- idempotency keys ---- */

/* Keys older than this are forgotten; a late event's key is still known. */
TimestampTz
oldest_key(void)
{
	return seconds_from(usage_now(), -(int64) Max(setting_idempotency_retention, setting_max_event_age));
}

static Statement find_key = {
	"SELECT event_id, limit_type, used, max_usage, reset_at,"
	" function OPERATOR(pg_catalog.=) $4 AND usage_type OPERATOR(pg_catalog.=) $5"
	" AND quantity OPERATOR(pg_catalog.=) $6 AND tokens OPERATOR(pg_catalog.=) $7"
	" AND ((occurred_at IS NULL AND $8 IS NULL) OR occurred_at OPERATOR(pg_catalog.=) $8) IS TRUE"
	" FROM @extschema@.usage_keys WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND idempotency_key OPERATOR(pg_catalog.=) $2 AND recorded_at OPERATOR(pg_catalog.>=) $3",
	8, {USER_ID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, NUMERICOID, INT8OID, TIMESTAMPTZOID}
};

static Statement put_key = {
	"INSERT INTO @extschema@.usage_keys AS k (user_id, idempotency_key, recorded_at, function,"
	" usage_type, quantity, tokens, occurred_at, event_id, limit_type, used, max_usage, reset_at)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
	" ON CONFLICT (user_id, idempotency_key) DO UPDATE SET recorded_at = EXCLUDED.recorded_at,"
	" function = EXCLUDED.function, usage_type = EXCLUDED.usage_type,"
	" quantity = EXCLUDED.quantity, tokens = EXCLUDED.tokens, occurred_at = EXCLUDED.occurred_at,"
	" event_id = EXCLUDED.event_id, limit_type = EXCLUDED.limit_type, used = EXCLUDED.used,"
	" max_usage = EXCLUDED.max_usage, reset_at = EXCLUDED.reset_at"
	" WHERE k.recorded_at OPERATOR(pg_catalog.<) $14",
	14, {USER_ID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, NUMERICOID, INT8OID, TIMESTAMPTZOID,
	INT8OID, TEXTOID, NUMERICOID, NUMERICOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static void
refuse_other_content(void)
{
	Refusal		refusal = {
		.sqlstate = ERRCODE_UT_KEY_REUSED,
		.http_status = 409,
		.http_text = "Conflict",
		.message = "idempotency key was used for another request",
		.detail = "Its function, usage type, quantity, tokens, or time differs from the first use.",
		.hint = "Use a new key for every request; repeat a key only to repeat the request."
	};

	raise_refusal(&refusal);
}

/* False if the key is new; an error if it stands for something else. */
bool
find_first_answer(const Event *event, FirstAnswer *answer)
{
	char		nulls[9] = "        ";
	Datum		args[] = {
		event->user_id,
		CStringGetTextDatum(event->idempotency_key),
		TimestampTzGetDatum(oldest_key()),
		CStringGetTextDatum(event->function),
		CStringGetTextDatum(event->usage_type),
		NumericGetDatum(event->quantity),
		Int64GetDatum(event->tokens),
		TimestampTzGetDatum(event->occurred_at)
	};

	nulls[7] = event->has_own_time ? ' ' : 'n';
	if (statement_look_afresh(&find_key, args, nulls) == 0)
		return false;
	if (!result_bool(0, 6))
		refuse_other_content();
	answer->event_id = result_int64(0, 1);
	answer->limit_type = result_text(0, 2);
	answer->used = result_numeric(0, 3);
	answer->max_usage = result_numeric(0, 4);
	answer->reset_at = result_time(0, 5, DT_NOEND);
	return true;
}

/* False if somebody else recorded the key meanwhile: his answer counts. */
bool
keep_first_answer(const Event *event, const FirstAnswer *answer)
{
	char		nulls[15] = "              ";
	Datum		args[] = {
		event->user_id,
		CStringGetTextDatum(event->idempotency_key),
		TimestampTzGetDatum(usage_now()),
		CStringGetTextDatum(event->function),
		CStringGetTextDatum(event->usage_type),
		NumericGetDatum(event->quantity),
		Int64GetDatum(event->tokens),
		TimestampTzGetDatum(event->occurred_at),
		Int64GetDatum(answer->event_id),
		text_or_null(answer->limit_type, &nulls[9]),
		NumericGetDatum(answer->used),
		NumericGetDatum(answer->max_usage),
		TimestampTzGetDatum(answer->reset_at),
		TimestampTzGetDatum(oldest_key())
	};

	nulls[7] = event->has_own_time ? ' ' : 'n';
	nulls[10] = answer->used == NULL ? 'n' : ' ';
	nulls[12] = answer->reset_at == DT_NOEND ? 'n' : ' ';
	return statement_write(&put_key, args, nulls) > 0;
}

typedef struct Probe
{
	const Event *event;
	bool		is_free;
} Probe;

static bool
probe_key(void *argument)
{
	Probe	   *probe = argument;
	FirstAnswer none = {0, NULL, NULL, num_from(-1), DT_NOEND};

	probe->is_free = keep_first_answer(probe->event, &none);
	return false;				/* a refusal leaves no key behind */
}

/* Whether nobody records this key: waits for whoever is about to. */
bool
key_is_free(const Event *event)
{
	Probe		probe = {event};

	in_subtransaction(probe_key, &probe);
	return probe.is_free;
}
