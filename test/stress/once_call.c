/*
 * once_call.c -- what a client says to the server, and whether the answer was to be
 * expected.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "once.h"

#define MOST_BYTES 300			/* of an element */

unsigned
draw(Client *me, unsigned below)
{
	return mix(me->shared->seed ^ ((uint64_t) (me->number + 1) << 40), me->draws++) % below;
}

bool
chance(Client *me, unsigned per_mille)
{
	return draw(me, 1000) < per_mille;
}

void
count(Client *me, Figure figure, int n)
{
	me->shared->figures[me->number].of[figure] += n;
}

void
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

static void
format_time(const Thing *thing, char *text, size_t size)
{
	time_t		time = thing->time;

	strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", gmtime(&time));
}

void
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
void
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

void
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

void
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

void
complain(Client *me, const char *what)
{
	fault(me, "%s: %s %s", what, me->link.state, me->link.message);
}

bool
say(Client *me, const char *sql)
{
	if (tell(&me->link, sql) == ANSWERED)
		return true;
	complain(me, sql);
	return false;
}
