/*
 * once_keys.c -- keys that come again.
 */
#include <stdio.h>
#include <string.h>

#include "once.h"

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
void
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
void
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
