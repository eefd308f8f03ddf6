/*
 * reports_dashboard.c -- who may see which dashboard.
 *
 * What is on them is in sql/reports_dashboard.sql, for the owner.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "limits.h"
#include "reports.h"
#include "settings.h"
#include "users.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static UserTerms
terms_as_owner(const Installation *home, Datum user_id)
{
	Disguise	before;
	UserTerms	terms;

	become_owner(home, &before);
	terms = terms_of_user(user_id, usage_now(), false);
	become_caller(&before);
	return terms;
}

/* ---- everything below only translates between SQL and the above ---- */

static Statement of_user = {
	"SELECT @extschema@._user_dashboard($1, $2, $3, $4)", 4, {USER_ID, TEXTOID, TEXTOID, TIMESTAMPTZOID}, .plans_within = true
};

PG_FUNCTION_INFO_V1(ut_user_dashboard);
Datum
ut_user_dashboard(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		user_id = user_to_see(home, fcinfo);
	UserTerms	terms = terms_as_owner(home, user_id);
	Datum		args[] = {
		user_id,
		CStringGetTextDatum(terms.plan),
		CStringGetTextDatum(pg_get_timezone_name(zone_of_user(&terms))),
		TimestampTzGetDatum(terms.now)
	};

	PG_RETURN_DATUM(answer_value(home, &of_user, args, NULL));
}

static Statement of_all = {
	"SELECT @extschema@._admin_dashboard($1, $2, $3)", 3, {INT4OID, TEXTARRAYOID, TIMESTAMPTZOID}, .reads_much = true
};

PG_FUNCTION_INFO_V1(ut_admin_dashboard);
Datum
ut_admin_dashboard(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	Datum		args[3];

	check_may_analyze(home);
	args[0] = number_argument(fcinfo, 0, "days", 1, MAX_DAYS);
	args[1] = default_steps(home);
	args[2] = TimestampTzGetDatum(usage_now());
	PG_RETURN_DATUM(answer_value(home, &of_all, args, NULL));
}
