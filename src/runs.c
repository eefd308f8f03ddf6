/*
 * runs.c -- long work: running, and then success, failed or cancelled.
 *
 * A run is a reservation that says what it is for, under the same id.  Whether it
 * may start, and what it counts for when it ends, the door decides; the run's row
 * remembers how it went.  A run that expired can still end: what it used is a
 * fact.  But it cannot go on: its room may be somebody else's by now.
 *
 * Locking: the user's clock, then the run's row, its reservation, and the rest as in
 * locks.c.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "locks.h"
#include "numbers.h"
#include "runs.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define USECS_PER_MSEC INT64CONST(1000)

static Datum
jsonb_or_null(Jsonb *value, char *null)
{
	*null = value == NULL ? 'n' : ' ';
	return PointerGetDatum(value);
}

/* ---- the row ---- */

static Statement insert_row = {
	"INSERT INTO @extschema@.usage_runs (user_id, id, usage_type, counts, started_at, expires_at, updated_at,"
	" resource_type, resource_id, configuration_id, configuration_snapshot, progress)"
	" VALUES ($1, $2, $3, $4, $5, $6, $5, $7, $8, $9, $10, $11)",
	11, {USER_ID, INT8OID, TEXTOID, BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID}
};

static void
insert_run(const Event *event, const RunSubject *subject)
{
	char		nulls[12] = "           ";
	Datum		args[] = {
		event->user_id,
		Int64GetDatum(event->id),
		CStringGetTextDatum(event->usage_type),
		BoolGetDatum(event->events > 0),
		TimestampTzGetDatum(event->occurred_at),
		TimestampTzGetDatum(event->occurred_at + event->hold_for),
		text_or_null(event->resource_type, &nulls[6]),
		text_or_null(event->resource_id, &nulls[7]),
		text_or_null(subject->configuration_id, &nulls[8]),
		jsonb_or_null(subject->configuration, &nulls[9]),
		jsonb_or_null(subject->progress, &nulls[10])
	};

	statement_write(&insert_row, args, nulls);
}

static Statement lock_row = {
	"SELECT usage_type, status, counts, started_at, expires_at, completed_at, event_id, resource_type, resource_id,"
	" delivery_attempts FROM @extschema@.usage_runs"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2 FOR NO KEY UPDATE",
	2, {USER_ID, INT8OID}
};

static Statement find_row = {
	"SELECT FROM @extschema@.usage_runs WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
	2, {USER_ID, INT8OID}
};

/* "No such run" and "not his" look the same. */
static Run
lock_run(const Installation *home, Datum user_id, int64 id)
{
	Datum		args[] = {user_id, Int64GetDatum(id)};
	Run			run = {user_id, id};
	bool		isnull;

	lock_counting(home, user_id);	/* who forgets him locks his rows after it, too */
	if (statement_write_or_fail(&lock_row, &find_row, args, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("run " INT64_FORMAT " of this user does not exist", id)));
	run.usage_type = result_text(0, 1);
	run.status = result_text(0, 2);
	run.counts = result_bool(0, 3);
	run.started_at = result_time(0, 4, 0);
	run.expires_at = result_time(0, 5, 0);
	run.completed_at = result_time(0, 6, DT_NOEND);
	run.event_id = result_int64(0, 7);
	run.resource_type = result_text(0, 8);
	run.resource_id = result_text(0, 9);
	run.attempts = DatumGetInt32(result_datum(0, 10, &isnull));
	return run;
}

static bool
is_in(const Run *run, const char *status)
{
	return strcmp(run->status, status) == 0;
}

static void
check_is_running(const Run *run)
{
	if (!is_in(run, "running"))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("run " INT64_FORMAT " is over", run->id),
				 errdetail("Its status is %s, which does not change any more.", run->status)));
}

/* ---- its start ---- */

Decision
start_run(const Installation *home, Event *event, const RunSubject *subject)
{
	Decision	decision = record_use(home, event, true);

	if (event->id != 0 && decision.id == event->id)	/* else it is refused, or was started before */
		insert_run(event, subject);
	return decision;
}

/* ---- while it runs ---- */

static Statement set_progress = {
	"UPDATE @extschema@.usage_runs SET progress = COALESCE($3, progress), expires_at = $4, updated_at = $5"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
	5, {USER_ID, INT8OID, JSONBOID, TIMESTAMPTZOID, TIMESTAMPTZOID}
};

static void
refuse_expired(const Run *run)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("run " INT64_FORMAT " has expired", run->id),
			 errhint("What it used can still be recorded, by succeed_run(), fail_run(), or cancel_run().")));
}

/* hold_for: 0 if it expires when it did. */
void
update_run(const Installation *home, Datum user_id, int64 id, int64 hold_for, Jsonb *progress)
{
	char		nulls[6] = "     ";
	Run			run = lock_run(home, user_id, id);
	Datum		args[] = {
		user_id,
		Int64GetDatum(id),
		jsonb_or_null(progress, &nulls[2]),
		TimestampTzGetDatum(run.expires_at),
		(Datum) 0
	};

	check_is_running(&run);
	if (hold_for > 0 && !renew_hold(home, user_id, id, hold_for, &run.expires_at))
		refuse_expired(&run);
	args[3] = TimestampTzGetDatum(run.expires_at);
	args[4] = TimestampTzGetDatum(usage_now());
	if (run.expires_at <= DatumGetTimestampTz(args[4]))
		refuse_expired(&run);
	statement_write(&set_progress, args, nulls);
}

/* ---- its end ---- */

/* The use that it was, at the instant of its start. */
static void
complete_event(const Run *run, Event *event, const char *status)
{
	event->user_id = run->user_id;
	event->usage_type = run->usage_type;
	event->occurred_at = run->started_at;
	event->has_own_time = true;
	event->status = status;
	event->events = run->counts ? 1 : 0;
	event->quantity = num_from(event->events);
	event->has_duration = true;
	event->duration_ms = Max(run->completed_at - run->started_at, 0) / USECS_PER_MSEC;
	event->resource_type = run->resource_type;
	event->resource_id = run->resource_id;
	event->run_id = run->id;
}

/*
 * The id of the event, 0 if nothing is recorded now.  Its reservation may be gone:
 * maintenance deletes those that expired long ago.
 */
static int64
record_end(const Installation *home, const Run *run, Event *event)
{
	bool		success = strcmp(event->status, "success") == 0;
	Hold		hold;
	FirstAnswer answer;
	Decision	decision;

	event->settles_hold = lock_hold(run->user_id, run->id, &hold);
	if (event->settles_hold)
		settle_hold(run->user_id, run->id, success ? "committed" : "released");
	decision = record_fact(home, event);
	answer = answer_to_keep(&decision);
	if (event->settles_hold && success)
		keep_answer_of_hold(run->user_id, run->id, decision.reason, &answer);
	return decision.id;
}

static Statement set_end = {
	"UPDATE @extschema@.usage_runs SET status = $3, completed_at = $4, updated_at = $4, event_id = $5,"
	" output = $6, output_format = $7, progress = COALESCE($8, progress), error_code = $9, error_message = $10"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
	10, {USER_ID, INT8OID, TEXTOID, TIMESTAMPTZOID, INT8OID, TEXTOID, TEXTOID, JSONBOID, TEXTOID, TEXTOID}
};

static void
write_end(const Run *run, const Event *event, const RunEnd *end)
{
	char		nulls[11] = "          ";
	Datum		args[] = {
		run->user_id,
		Int64GetDatum(run->id),
		CStringGetTextDatum(end->status),
		TimestampTzGetDatum(run->completed_at),
		Int64GetDatum(run->event_id),
		text_or_null(end->output, &nulls[5]),
		text_or_null(end->output_format, &nulls[6]),
		jsonb_or_null(end->progress, &nulls[7]),
		text_or_null(event->call->error_code, &nulls[8]),
		text_or_null(event->error_message, &nulls[9])
	};

	nulls[4] = run->event_id == 0 ? 'n' : ' ';
	statement_write(&set_end, args, nulls);
}

/* Again, it changes nothing. */
void
end_run(const Installation *home, Datum user_id, int64 id, Event *event, const RunEnd *end)
{
	Run			run = lock_run(home, user_id, id);

	if (is_in(&run, end->status))
		return;
	check_is_running(&run);
	run.completed_at = usage_now();
	complete_event(&run, event, end->status);
	run.event_id = record_end(home, &run, event);
	write_end(&run, event, end);
}

/* ---- what becomes of it ---- */

static Statement find_delivery = {
	"SELECT FROM @extschema@.usage_run_deliveries WHERE user_id OPERATOR(pg_catalog.=) $1"
	" AND run_id OPERATOR(pg_catalog.=) $2 AND delivery_id OPERATOR(pg_catalog.=) $3",
	3, {USER_ID, INT8OID, TEXTOID}
};

static Statement insert_delivery = {
	"INSERT INTO @extschema@.usage_run_deliveries"
	" (user_id, run_id, attempt, attempted_at, delivered, response_status, error, delivery_id)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
	8, {USER_ID, INT8OID, INT4OID, TIMESTAMPTZOID, BOOLOID, INT4OID, TEXTOID, TEXTOID}
};

/* The first six are those of insert_delivery. */
static Statement show_delivery = {
	"UPDATE @extschema@.usage_runs SET delivery_attempts = $3, last_delivery_at = $4, updated_at = $4,"
	" delivered = $5, last_delivery_status = $6"
	" WHERE user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2",
	6, {USER_ID, INT8OID, INT4OID, TIMESTAMPTZOID, BOOLOID, INT4OID}
};

static bool
is_recorded(const Run *run, const Delivery *delivery)
{
	Datum		args[] = {run->user_id, Int64GetDatum(run->id), (Datum) 0};

	if (delivery->delivery_id == NULL)
		return false;
	args[2] = CStringGetTextDatum(delivery->delivery_id);
	return statement_look_afresh(&find_delivery, args, NULL) > 0;
}

void
record_delivery(const Installation *home, Datum user_id, int64 id, const Delivery *delivery)
{
	Run			run = lock_run(home, user_id, id);
	char		nulls[9] = "        ";
	Datum		args[] = {
		user_id,
		Int64GetDatum(id),
		Int32GetDatum(run.attempts + 1),
		TimestampTzGetDatum(usage_now()),
		BoolGetDatum(delivery->delivered),
		Int32GetDatum(delivery->response_status),
		text_or_null(delivery->error, &nulls[6]),
		text_or_null(delivery->delivery_id, &nulls[7])
	};

	if (is_recorded(&run, delivery))
		return;
	nulls[5] = delivery->has_response ? ' ' : 'n';
	statement_write(&insert_delivery, args, nulls);
	statement_write(&show_delivery, args, nulls);
}
