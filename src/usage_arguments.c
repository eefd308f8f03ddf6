/*
 * usage_arguments.c -- what the functions of the door are given.
 */
#include "compat.h"

#include "arguments.h"
#include "numbers.h"
#include "usage.h"
#include "users.h"
#include "utils/builtins.h"

void
amount_arguments(const Installation *home, FunctionCallInfo fcinfo, Event *event, const char *name)
{
	event->user_id = user_id_argument(home, fcinfo);
	event->usage_type = name_argument(fcinfo, 1, name);
	event->quantity = amount_argument(fcinfo, 2, "quantity", QUANTITY_DECIMALS);
	event->tokens = count_argument(fcinfo, 3, "tokens");
	event->cost = amount_argument(fcinfo, 4, "cost", MONEY_DECIMALS);
	event->status = "success";
	event->events = 1;
}

bool
takes_nothing(const Event *event)
{
	return num_sign(event->quantity) == 0 && event->tokens == 0 && num_sign(event->cost) == 0;
}

void
check_takes_something(const Event *event)
{
	if (takes_nothing(event))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("quantity, tokens, and cost must not all be zero")));
}
