/*
 * arguments.c -- guards at the border between SQL and C.
 *
 * Each returns a good value or raises an error that names the argument and
 * changes nothing.
 */
#include "compat.h"

#include "access/xact.h"
#include "arguments.h"
#include "access/detoast.h"
#include "errors.h"
#include "mb/pg_wchar.h"
#include "numbers.h"
#include "settings.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define PLAIN_NAME_CHARACTERS LOWER DIGITS "_-"
#define NAME_CHARACTERS PLAIN_NAME_CHARACTERS ".:"

static bool
is_name_of(const char *name, const char *characters)
{
	return strlen(name) < NAMEDATALEN && *name != '\0' && strchr(LOWER, *name) != NULL &&
		strspn(name, characters) == strlen(name);
}

bool
is_name(const char *name)
{
	return is_name_of(name, NAME_CHARACTERS);
}

bool
is_plain_name(const char *name)
{
	return is_name_of(name, PLAIN_NAME_CHARACTERS);
}

static void
check_name_of(const char *name, const char *argument, const char *characters)
{
	if (is_name_of(name, characters))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" is not a valid name", argument),
			 errhint("A name starts with a lower-case letter, continues with lower-case letters, digits and \"%s\", and has up to %d bytes.",
					 characters + strlen(LOWER DIGITS), NAMEDATALEN - 1)));
}

/* Names of usage types and limits. */
static void
check_name(const char *name, const char *argument)
{
	check_name_of(name, argument, NAME_CHARACTERS);
}

/* Names of plans and roles. */
static void
check_plain_name(const char *name, const char *argument)
{
	check_name_of(name, argument, PLAIN_NAME_CHARACTERS);
}

/*
 * The text, or NULL if it is too long.  Measured before it is detoasted whole:
 * it may be of any size.
 */
static text *
text_up_to(Datum value, int max)
{
	text	   *t;

	if (toast_raw_datum_size(value) - VARHDRSZ > max * MAX_MULTIBYTE_CHAR_LEN)
		return NULL;
	t = DatumGetTextPP(value);
	return pg_mbstrlen_with_len(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t)) <= max ? t : NULL;
}

static char *
short_text(Datum value, const char *argument, int max)
{
	text	   *t = text_up_to(value, max);

	if (t == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" is too long", argument),
				 errdetail("It may have up to %d characters.", max)));
	return text_to_cstring(t);
}

/* Whether text_argument() would take it. */
bool
is_key_text(Datum value)
{
	text	   *t = text_up_to(value, MAX_TEXT);

	return t != NULL && VARSIZE_ANY_EXHDR(t) > 0;
}

/* NULL, or a text of 1 to 255 characters. */
char *
text_argument(FunctionCallInfo fcinfo, int n, const char *argument)
{
	char	   *value;

	if (PG_ARGISNULL(n))
		return NULL;
	value = short_text(PG_GETARG_DATUM(n), argument, MAX_TEXT);
	if (*value == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must not be empty", argument)));
	return value;
}

char *
required_text_argument(FunctionCallInfo fcinfo, int n, const char *argument)
{
	check_not_null(PG_ARGISNULL(n), argument);
	return short_text(PG_GETARG_DATUM(n), argument, MAX_TEXT);
}

/* NULL, or a text a person reads. */
char *
description_argument(FunctionCallInfo fcinfo, int n, const char *argument)
{
	return PG_ARGISNULL(n) ? NULL : short_text(PG_GETARG_DATUM(n), argument, MAX_DESCRIPTION);
}

char *
name_argument(FunctionCallInfo fcinfo, int n, const char *argument)
{
	char	   *name = required_text_argument(fcinfo, n, argument);

	check_name(name, argument);
	return name;
}

char *
plain_name_argument(FunctionCallInfo fcinfo, int n, const char *argument)
{
	char	   *name = required_text_argument(fcinfo, n, argument);

	check_plain_name(name, argument);
	return name;
}

static void
refuse_value(const char *argument, const char *demand)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" must be %s", argument, demand)));
}

/* A finite number of no more digits than anybody needs. */
static Numeric
check_storable(Numeric value, const char *argument, int decimals)
{
	if (numeric_is_nan(value) || numeric_is_inf(value))
		refuse_value(argument, "a finite number");
	if (num_cmp(value, num_too_large) >= 0 ||
		DatumGetInt32(DirectFunctionCall1(numeric_min_scale, NumericGetDatum(value))) > decimals)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("argument \"%s\" is out of range", argument),
				 errdetail("It may have up to %d digits before and %d after the decimal point.",
						   MAX_WHOLE_DIGITS, decimals)));
	return num_trim(value);
}

/* An amount to use up: zero or more. */
Numeric
amount_argument(FunctionCallInfo fcinfo, int n, const char *argument, int decimals)
{
	Numeric		value;

	check_not_null(PG_ARGISNULL(n), argument);
	value = PG_GETARG_NUMERIC(n);
	if (!numeric_is_nan(value) && num_sign(value) < 0)
		refuse_value(argument, "greater than or equal to zero");
	return check_storable(value, argument, decimals);
}

/* A change of an amount, up or down. */
Numeric
delta_argument(FunctionCallInfo fcinfo, int n, const char *argument, int decimals)
{
	Numeric		value;

	check_not_null(PG_ARGISNULL(n), argument);
	value = PG_GETARG_NUMERIC(n);
	if (!numeric_is_nan(value) && !numeric_is_inf(value) && num_sign(value) < 0)
		(void) check_storable(num_sub(num_zero, value), argument, decimals);
	return check_storable(value, argument, decimals);
}

/* A maximum: zero or more, or -1 for unlimited. */
Numeric
max_usage_argument(FunctionCallInfo fcinfo, int n)
{
	Numeric		value = PG_GETARG_NUMERIC(n);

	if (!numeric_is_nan(value) && num_sign(value) < 0 && num_cmp(value, num_from(-1)) != 0)
		refuse_value("max_usage", "greater than or equal to zero, or -1 for unlimited");
	return check_storable(value, "max_usage", QUANTITY_DECIMALS);
}

int64
count_argument(FunctionCallInfo fcinfo, int n, const char *argument)
{
	check_not_null(PG_ARGISNULL(n), argument);
	if (PG_GETARG_INT64(n) < 0)
		refuse_value(argument, "greater than or equal to zero");
	return PG_GETARG_INT64(n);
}

Datum
number_argument(FunctionCallInfo fcinfo, int n, const char *argument, int least, int most)
{
	check_not_null(PG_ARGISNULL(n), argument);
	if (PG_GETARG_INT32(n) < least || PG_GETARG_INT32(n) > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be between %d and %d", argument, least, most)));
	return PG_GETARG_DATUM(n);
}

/* For what must see all there is: an old snapshot would not show it. */
void
check_isolation(const char *function)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("%s must be called at isolation level READ COMMITTED", function)));
}

void
check_finite_time(TimestampTz at, const char *argument)
{
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("argument \"%s\" must be a finite time", argument)));
}

/* NULL, or the zone's name as the time zone library spells it. */
char *
zone_argument(FunctionCallInfo fcinfo, int n)
{
	pg_tz	   *zone;

	if (PG_ARGISNULL(n))
		return NULL;
	zone = find_time_zone(required_text_argument(fcinfo, n, "time_zone"));
	if (zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"time_zone\" is not a recognized time zone"),
				 errhint("See the names in pg_timezone_names.")));
	return pstrdup(pg_get_timezone_name(zone));
}

/* NULL stays NULL: the caller asks PG_ARGISNULL for it. */
Datum
time_argument(FunctionCallInfo fcinfo, int n, const char *argument)
{
	if (PG_ARGISNULL(n))
		return (Datum) 0;
	check_finite_time(PG_GETARG_TIMESTAMPTZ(n), argument);
	return PG_GETARG_DATUM(n);
}

/* A day has 24 hours and a month 30 days here, as when intervals are compared. */
static int64
whole_days(const Interval *interval)
{
	return (int64) interval->month * DAYS_PER_MONTH + interval->day + interval->time / USECS_PER_DAY;
}

/* In microseconds, of no more than some years. */
int64
span_of(const Interval *interval)
{
	return whole_days(interval) * USECS_PER_DAY + interval->time % USECS_PER_DAY;
}

/* More than nothing, and no more than so many days; in microseconds. */
int64
span_argument(FunctionCallInfo fcinfo, int n, const char *argument, int max_days)
{
	const Interval *given;
	int64		span = 0;

	check_not_null(PG_ARGISNULL(n), argument);
	given = PG_GETARG_INTERVAL_P(n);
	if (whole_days(given) >= -max_days && whole_days(given) <= max_days)
		span = span_of(given);
	if (span <= 0 || span > max_days * USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be greater than zero and at most %d days", argument, max_days)));
	return span;
}

static const DateADT first_possible_day = -(POSTGRES_EPOCH_JDATE - 1721426);	/* 0001-01-01 */
static const DateADT last_possible_day = 5373484 - POSTGRES_EPOCH_JDATE;	/* 9999-12-31 */

/* NULL is the default, which depends on the day. */
Datum
day_argument(FunctionCallInfo fcinfo, int n, const char *argument, char *null)
{
	*null = PG_ARGISNULL(n) ? 'n' : ' ';
	if (PG_ARGISNULL(n))
		return (Datum) 0;
	if (PG_GETARG_DATEADT(n) < first_possible_day || PG_GETARG_DATEADT(n) > last_possible_day)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("argument \"%s\" is out of range", argument)));
	return PG_GETARG_DATUM(n);
}

/* One of a few words; "said" lists them for people. */
char *
choice_argument(FunctionCallInfo fcinfo, int n, const char *argument, const char *const *choices, const char *said)
{
	char	   *value = required_text_argument(fcinfo, n, argument);

	for (; *choices != NULL; choices++)
		if (strcmp(value, *choices) == 0)
			return value;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" must be %s", argument, said)));
}
