/*
 * user_key.c -- a user id of a fixed size, for shared memory.
 */
#include "compat.h"

#include "miscadmin.h"
#include "user_key.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

/* Longer ones than fit are represented by a digest, which no other text has. */
static void
put_text(UserKey *key, Datum user_id)
{
	text	   *id = DatumGetTextPP(user_id);
	int			length = VARSIZE_ANY_EXHDR(id);

	if (length < USER_KEY_LENGTH)
	{
		key->length = length;
		memcpy(key->bytes, VARDATA_ANY(id), length);
		return;
	}
	key->length = USER_KEY_LENGTH;
	memcpy(key->bytes, VARDATA_ANY(DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, PointerGetDatum(id)))), 32);
}

UserKey
key_of_user(const Installation *home, Datum user_id)
{
	UserKey		key;
	int16		length;
	bool		byval;

	memset(&key, 0, sizeof(key));
	key.database = MyDatabaseId;
	key.usage_events = home->usage_events;
	get_typlenbyval(home->user_id_type, &length, &byval);
	if (length < 0)
		put_text(&key, user_id);
	else
	{
		key.length = length;
		memcpy(key.bytes, byval ? (char *) &user_id : DatumGetPointer(user_id), length);
	}
	return key;
}
