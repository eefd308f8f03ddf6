/*
 * once_client.c -- a client that sends its part of the attempts.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "once.h"

#define MOST_IN_BATCH 40
#define MOST_BYTES 300			/* of an element */

/* Attempts that are sent alike. */
typedef struct Queue
{
	int		   *attempts;
	int			n;
	bool		is_tracked;
	bool		is_killed;
} Queue;

typedef struct Client
{
	Shared	   *shared;
	int			number;
	uint64_t	draws;
	Link		link;
	Link		killer;			/* to cancel and terminate by */
	Queue		queues[4];
	int		   *answered;		/* things that are certainly recorded */
	int			nanswered;
	int			rounds;
} Client;

static unsigned
draw(Client *me, unsigned below)
{
	return mix(me->shared->seed ^ ((uint64_t) (me->number + 1) << 40), me->draws++) % below;
}

static bool
chance(Client *me, unsigned per_mille)
{
	return draw(me, 1000) < per_mille;
}

static void
count(Client *me, Figure figure, int n)
{
	me->shared->figures[me->number].of[figure] += n;
}

static void __attribute__((format(printf, 2, 3)))
fault(Client *me, const char *format,...)
{
	char	   *first = me->shared->fault[me->number];
	va_list		args;

	if (first[0] != '\0')
		return;
	va_start(args, format);
	vsnprintf(first, sizeof(me->shared->fault[0]), format, args);
	va_end(args);
}

/* ---- a call, of its own or in a batch ---- */

/* What is sent at once: one thing, or several. */
typedef struct Parcel
{
	int			attempts[MOST_IN_BATCH];
	int			n;
	bool		is_batch;
	char	   *json;			/* of a batch */
	char		errors[600];	/* that the batch must answer with */
} Parcel;

static void
format_time(const Thing *thing, char *text, size_t size)
{
	time_t		time = thing->time;

	strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", gmtime(&time));
}

static void
send_thing(Client *me, const Thing *thing)
{
	char		user_id[40];
	char		quantity[12];
	char		tokens[12];
	char		when[40];
	const char *values[] = {user_id, thing->usage_type, quantity, tokens, thing->request, thing->has_time ? when : NULL};

	snprintf(user_id, sizeof(user_id), USER_ID_FORMAT, thing->user);
	snprintf(quantity, sizeof(quantity), "%d", thing->quantity);
	snprintf(tokens, sizeof(tokens), "%d", thing->tokens);
	format_time(thing, when, sizeof(when));
	if (thing->is_tracked)
		send_query(&me->link, "SELECT 't', 'ok', usage.track_usage($1, $2, $3, $4, resource_id => $5, idempotency_key => $5,"
				   " occurred_at => $6), 0", 6, values);
	else
		send_query(&me->link, "SELECT allowed, reason, id, used FROM usage.consume_usage($1, $2, $3, $4,"
				   " resource_id => $5, idempotency_key => $5)", 5, values);
}

static int
print_element(char *into, const Thing *thing)
{
	char		when[40];
	int			length;

	format_time(thing, when, sizeof(when));
	length = sprintf(into, "{\"user_id\": \"" USER_ID_FORMAT "\", \"usage_type\": \"%s\", \"quantity\": %d, \"tokens\": %d,"
					 " \"resource_id\": \"%s\", \"idempotency_key\": \"%s\"", thing->user, thing->usage_type,
					 thing->quantity, thing->tokens, thing->request, thing->request);
	if (thing->has_time)
		length += sprintf(into + length, ", \"occurred_at\": \"%s\"", when);
	return length + sprintf(into + length, "}");
}

/* Elements of a batch; among them, if all goes well, some that must be refused. */
static void
write_batch(Client *me, Parcel *parcel, bool with_others)
{
	size_t		length = 1;
	int			errors = 0;
	int			elements = 0;

	parcel->json = malloc(2 * MOST_IN_BATCH * MOST_BYTES);
	strcpy(parcel->json, "[");
	parcel->errors[0] = '\0';
	for (int i = 0; i < parcel->n; i++)
	{
		Thing		thing = thing_number(me->shared, parcel->attempts[i] / ATTEMPTS);

		length += sprintf(parcel->json + length, "%s", elements++ > 0 ? ", " : "");
		length += print_element(parcel->json + length, &thing);
		if (!with_others || me->nanswered == 0 || !chance(me, 50))
			continue;
		thing = thing_number(me->shared, me->answered[draw(me, me->nanswered)]);
		thing.quantity++;
		errors += sprintf(parcel->errors + errors, "%s%d:UT005", errors > 0 ? " " : "", elements);
		length += sprintf(parcel->json + length, "%s", elements++ > 0 ? ", " : "");
		length += print_element(parcel->json + length, &thing);
		count(me, REFUSED_AS_OTHER, 1);
	}
	sprintf(parcel->json + length, "]");
}

static void
send_parcel(Client *me, const Parcel *parcel)
{
	const char *values[] = {parcel->json};
	Thing		thing = thing_number(me->shared, parcel->attempts[0] / ATTEMPTS);

	if (parcel->is_batch)
		send_query(&me->link, "SELECT recorded, replayed, (SELECT string_agg(concat(e->>'index', ':', e->>'code'), ' '"
				   " ORDER BY (e->>'index')::integer) FROM jsonb_array_elements(errors) AS e)"
				   " FROM usage.track_usage_batch($1)", 1, values);
	else
		send_thing(me, &thing);
}

/* ---- answers ---- */

/* What is known of a thing that was tracked is its event alone: the first may have been another's. */
static void
note_call(Client *me, int attempt, PGresult *result)
{
	Answer	   *answer = &me->shared->answers[attempt];
	Thing		thing = thing_number(me->shared, attempt / ATTEMPTS);
	const char *reason = PQgetvalue(result, 0, 1);

	answer->is_there = true;
	answer->is_replayed = thing.is_tracked || strcmp(reason, "replayed") == 0;
	answer->id = atoll(PQgetvalue(result, 0, 2));
	answer->used = atoll(PQgetvalue(result, 0, 3));
	if (strcmp(reason, "replayed") == 0)
		count(me, REPLAYED, 1);
	if (PQgetvalue(result, 0, 0)[0] != 't' || answer->id == 0)
		fault(me, "%s was answered with %s", thing.request, reason);
}

static void
note_parcel(Client *me, const Parcel *parcel, PGresult *result)
{
	if (!parcel->is_batch)
		note_call(me, parcel->attempts[0], result);
	else
	{
		count(me, REPLAYED, atoi(PQgetvalue(result, 0, 1)));
		if (atoi(PQgetvalue(result, 0, 0)) + atoi(PQgetvalue(result, 0, 1)) != parcel->n ||
			strcmp(PQgetvalue(result, 0, 2), parcel->errors) != 0)
			fault(me, "a batch of %d was answered with %s recorded, %s replayed, errors %s; those expected were %s", parcel->n,
				  PQgetvalue(result, 0, 0), PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2), parcel->errors);
	}
	for (int i = 0; i < parcel->n; i++)
		me->answered[me->nanswered++] = parcel->attempts[i] / ATTEMPTS;
}

static void
complain(Client *me, const char *what)
{
	fault(me, "%s: %s %s", what, me->link.state, me->link.message);
}

static bool
say(Client *me, const char *sql)
{
	if (tell(&me->link, sql) == ANSWERED)
		return true;
	complain(me, sql);
	return false;
}

/* ---- attempts that are let live ---- */

/* False: somebody else was faster, and our snapshot is too old to see it. */
static bool
send_once(Client *me, const Parcel *parcel, const char *begin)
{
	PGresult   *result;
	Reply		reply;
	bool		done = true;

	if (begin != NULL && !say(me, begin))
		return true;
	send_parcel(me, parcel);
	reply = read_reply(&me->link, &result);
	if (reply == REFUSED && begin != NULL && strcmp(me->link.state, "40001") == 0)
		done = false;
	else if (reply != ANSWERED)
		complain(me, parcel->is_batch ? "batch" : "call");
	if (begin != NULL)
		say(me, reply == ANSWERED ? "COMMIT" : "ROLLBACK");
	if (reply == ANSWERED)
		note_parcel(me, parcel, result);
	PQclear(result);
	return done;
}

static void
send_for_good(Client *me, const Parcel *parcel)
{
	unsigned	how = draw(me, 10);
	const char *begin = how < 7 ? NULL : how < 9 ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ";

	while (!send_once(me, parcel, begin))
		;
	count(me, parcel->is_batch ? IN_BATCHES : CALLED, parcel->n);
	count(me, BATCHES, parcel->is_batch);
}

/* ---- attempts that are not ---- */

static void
roll_back(Client *me, const Parcel *parcel)
{
	PGresult   *result;
	bool		to_savepoint = chance(me, 500);

	count(me, ROLLED_BACK, parcel->n);
	say(me, to_savepoint ? "BEGIN; SAVEPOINT s" : "BEGIN");
	send_parcel(me, parcel);
	if (read_reply(&me->link, &result) != ANSWERED)
		complain(me, "in a transaction");
	PQclear(result);
	say(me, to_savepoint ? "ROLLBACK TO s; COMMIT" : "ROLLBACK");
}

static void
cut_off(Client *me, const Parcel *parcel, bool at_commit)
{
	PGresult   *result;

	count(me, at_commit ? CUT_AT_COMMIT : CUT, parcel->n);
	if (at_commit)
		say(me, "BEGIN");
	send_parcel(me, parcel);
	if (at_commit)
	{
		if (read_reply(&me->link, &result) != ANSWERED)
			complain(me, "in a transaction");
		PQclear(result);
		if (chance(me, 600))
			send_query(&me->link, "COMMIT", 0, NULL);
	}
	usleep(draw(me, 3000));
	cut_link(&me->link);
}

static void
terminate(Client *me)
{
	char		sql[80];

	snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d)", PQbackendPID(me->link.conn));
	if (tell(&me->killer, sql) != ANSWERED)
		fault(me, "%s: %s %s", sql, me->killer.state, me->killer.message);
}

static void
cancel(Client *me)
{
	PGcancel   *request = PQgetCancel(me->link.conn);
	char		error[256];

	if (!PQcancel(request, error, sizeof(error)))
		fault(me, "cannot cancel: %s", error);
	PQfreeCancel(request);
}

/* Perhaps it was faster. */
static void
shoot_down(Client *me, const Parcel *parcel, bool dead)
{
	PGresult   *result;
	Reply		reply;

	count(me, dead ? TERMINATED : CANCELLED, parcel->n);
	send_parcel(me, parcel);
	usleep(draw(me, 3000));
	if (dead)
		terminate(me);
	else
		cancel(me);
	reply = read_reply(&me->link, &result);
	if (reply == ANSWERED)
	{
		note_parcel(me, parcel, result);
		count(me, SURVIVED, parcel->n);
	}
	else if (reply == REFUSED && strcmp(me->link.state, "57014") != 0 && strcmp(me->link.state, "57P01") != 0)
		complain(me, "shot down");
	PQclear(result);
	connect_link(&me->link);	/* a cancel request may come late */
}

static void
send_in_vain(Client *me, const Parcel *parcel)
{
	switch (draw(me, 5))
	{
		case 0:
			roll_back(me, parcel);
			break;
		case 1:
			cut_off(me, parcel, false);
			break;
		case 2:
			cut_off(me, parcel, true);
			break;
		case 3:
			shoot_down(me, parcel, true);
			break;
		default:
			shoot_down(me, parcel, false);
	}
}

/* ---- keys that come again ---- */

/* Its answer's reason, or the SQLSTATE of an error; and the event, if there is one. */
static void
use(Client *me, const Thing *thing, char *reason, char *id)
{
	PGresult   *result;
	Reply		reply;

	send_thing(me, thing);
	reply = read_reply(&me->link, &result);
	snprintf(reason, 24, "%s", reply == ANSWERED ? PQgetvalue(result, 0, 1) : reply == REFUSED ? me->link.state : "gone");
	if (id != NULL)
		snprintf(id, 24, "%s", reply == ANSWERED ? PQgetvalue(result, 0, 2) : "");
	PQclear(result);
}

static void
expect(Client *me, const Thing *thing, const char *wanted, char *id)
{
	char		reason[24];

	use(me, thing, reason, id);
	if (strcmp(reason, wanted) != 0)
		fault(me, "%s, %d of %s for user %d, was answered with %s, not %s", thing->request, thing->quantity,
			  thing->usage_type, thing->user, reason, wanted);
}

/* The same again is answered again; something else under the key is an error. */
static void
repeat_key(Client *me)
{
	Thing		thing;
	char		first[24];

	if (me->nanswered == 0)
		return;
	thing = thing_number(me->shared, me->answered[draw(me, me->nanswered)]);
	expect(me, &thing, thing.is_tracked ? "ok" : "replayed", first);
	switch (draw(me, 4))
	{
		case 0:
			thing.quantity++;
			break;
		case 1:
			thing.tokens++;
			break;
		case 2:
			thing.usage_type = strcmp(thing.usage_type, "unit") == 0 ? "extra" : "unit";
			break;
		default:
			thing.is_tracked = !thing.is_tracked;
			thing.has_time = false;
	}
	expect(me, &thing, "UT005", NULL);
	count(me, REFUSED_AS_OTHER, 1);
}

static void
take_back(Client *me, int user, const char *id)
{
	char		sql[100];

	snprintf(sql, sizeof(sql), "SELECT usage.reverse_usage('" USER_ID_FORMAT "', %s)", user, id);
	say(me, sql);
}

/* Keys whose first use was refused, or rolled back, stand for whatever comes next. */
static void
decide_anew(Client *me)
{
	Thing		thing = {.user = FIRST_POOR_USER + me->number, .usage_type = "poor", .quantity = 2};
	char		first[24];
	char		again[24];

	snprintf(thing.request, sizeof(thing.request), "d-%d-%d", me->number, me->rounds);
	expect(me, &thing, "limit_reached", NULL);
	thing.quantity = 1;
	expect(me, &thing, "ok", first);
	thing.quantity = 2;
	expect(me, &thing, "UT005", NULL);
	thing.quantity = 1;
	take_back(me, thing.user, first);
	expect(me, &thing, "replayed", again);
	if (strcmp(first, again) != 0)
		fault(me, "%s was event %s, and then %s", thing.request, first, again);

	snprintf(thing.request, sizeof(thing.request), "r-%d-%d", me->number, me->rounds);
	say(me, "BEGIN");
	expect(me, &thing, "ok", NULL);
	say(me, "ROLLBACK");
	thing.tokens = 7;
	expect(me, &thing, "ok", first);
	take_back(me, thing.user, first);

	/* all clients have these keys, each with its own content */
	thing.user = USER_WITHOUT_ROOM;
	thing.tokens = me->number;
	snprintf(thing.request, sizeof(thing.request), "s-%d", me->rounds);
	expect(me, &thing, "limit_reached", NULL);
	me->rounds++;
	count(me, DECIDED_ANEW, 3);
}

/* ---- all attempts of this client ---- */

static void
sort_attempts(Client *me)
{
	int			all = me->shared->nthings * ATTEMPTS;

	for (int q = 0; q < 4; q++)
	{
		me->queues[q].attempts = malloc((all / CLIENTS + 1) * sizeof(int));
		me->queues[q].is_tracked = q & 1;
		me->queues[q].is_killed = q & 2;
	}
	me->answered = malloc((all / CLIENTS + 1) * sizeof(int));
	for (int i = me->number; i < all; i += CLIENTS)
	{
		int			attempt = attempt_number(me->shared, i);
		Thing		thing = thing_number(me->shared, attempt / ATTEMPTS);
		Queue	   *queue = &me->queues[thing.is_tracked + 2 * is_to_be_killed(me->shared, attempt)];

		queue->attempts[queue->n++] = attempt;
	}
}

/* One of the queues, the longer the likelier; NULL if all are empty. */
static Queue *
choose_queue(Client *me)
{
	int			left = 0;
	int			chosen;

	for (int q = 0; q < 4; q++)
		left += me->queues[q].n;
	if (left == 0)
		return NULL;
	chosen = draw(me, left);
	for (int q = 0; q < 4; q++)
		if ((chosen -= me->queues[q].n) < 0)
			return &me->queues[q];
	return NULL;
}

static void
send_some(Client *me, Queue *queue)
{
	Parcel		parcel = {.is_batch = queue->is_tracked && chance(me, 100)};
	int			n = parcel.is_batch ? 1 + (int) draw(me, MOST_IN_BATCH) : 1;

	while (parcel.n < n && queue->n > 0)
		parcel.attempts[parcel.n++] = queue->attempts[--queue->n];
	if (parcel.is_batch)
		write_batch(me, &parcel, !queue->is_killed);
	if (queue->is_killed)
		send_in_vain(me, &parcel);
	else
		send_for_good(me, &parcel);
	free(parcel.json);
}

void
run_client(void *shared, int number)
{
	Client		me = {.shared = shared, .number = number};
	Queue	   *queue;

	connect_link(&me.link);
	connect_link(&me.killer);
	sort_attempts(&me);
	while ((queue = choose_queue(&me)) != NULL && getppid() == me.shared->parent)
	{
		send_some(&me, queue);
		if (chance(&me, 30))
			repeat_key(&me);
		if (chance(&me, 10) || me.rounds == 0)
			decide_anew(&me);
	}
	PQfinish(me.link.conn);
	PQfinish(me.killer.conn);
}
