/*
 * events_campaigns.c -- campaigns, which events name.
 */
#include "compat.h"

#include "arguments.h"
#include "catalog/pg_type.h"
#include "errors.h"
#include "query.h"
#include "users.h"
#include "utils/builtins.h"

static Statement put_campaign = {
	"INSERT INTO @extschema@.campaigns AS c (user_id, campaign_id, name, budget, description)"
	" VALUES ($1, $2, $3, $4, $5) ON CONFLICT (user_id, campaign_id) DO UPDATE"
	" SET name = EXCLUDED.name, budget = EXCLUDED.budget, description = EXCLUDED.description"
	" WHERE (ROW(c.name, c.budget, c.description) OPERATOR(pg_catalog.=)"
	" ROW(EXCLUDED.name, EXCLUDED.budget, EXCLUDED.description)) IS NOT TRUE",
	5, {USER_ID, TEXTOID, TEXTOID, NUMERICOID, TEXTOID}
};

PG_FUNCTION_INFO_V1(ut_define_campaign);
Datum
ut_define_campaign(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	char		nulls[6] = "     ";
	Datum		args[5];
	Disguise	before;

	check_is_admin_or_server(home);
	args[0] = user_id_argument(home, fcinfo);
	check_not_null(PG_ARGISNULL(1), "campaign_id");
	args[1] = CStringGetTextDatum(text_argument(fcinfo, 1, "campaign_id"));
	for (int i = 2; i < lengthof(args); i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		args[i] = PG_GETARG_DATUM(i);
	}
	(void) text_argument(fcinfo, 2, "name");
	if (!PG_ARGISNULL(3))
		(void) amount_argument(fcinfo, 3, "budget", QUANTITY_DECIMALS);
	(void) description_argument(fcinfo, 4, "description");
	become_owner(home, &before);
	statement_write(&put_campaign, args, nulls);
	become_caller(&before);
	PG_RETURN_VOID();
}
