/*
 * rates_pre_request.c -- rate limits before any request, for PostgREST.
 *
 * db-pre-request calls pre_request() in the request's own transaction, in its role
 * and READ ONLY for a GET.  So nothing is written, and who may send requests at all
 * must be able to call it: whom it counts, and under which rate, is by settings and
 * the request alone.
 */
#include "compat.h"

#include <arpa/inet.h>

#include "arguments.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "rates_limits.h"
#include "settings.h"
#include "users.h"
#include "utils/guc.h"

/* ---- the client's address ---- */

/* The one so many commas from the end, or the first. */
static char *
address_in_list(const char *list, int from_end)
{
	const char *end = list + strlen(list);
	const char *start = end;

	for (;;)
	{
		while (start > list && start[-1] != ',')
			start--;
		if (start == list || --from_end == 0)
			break;
		end = --start;
	}
	start += strspn(start, " \t");
	while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return pnstrdup(start, Max(end - start, 0));
}

static bool
is_mapped(const struct in6_addr *address)
{
	static const unsigned char prefix[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(address->s6_addr, prefix, sizeof(prefix)) == 0;
}

/* Some proxies add the client's port, another one for each connection. */
static char *
without_port(char *address)
{
	char	   *end = strchr(address, *address == '[' ? ']' : ':');

	if (end == NULL || (*address != '[' && strchr(end + 1, ':') != NULL))
		return address;			/* of IPv6 two colons at least are not before a port */
	*end = '\0';
	return *address == '[' ? address + 1 : address;
}

/*
 * One spelling for each.  Of IPv6 a client has a network of 64 bits to choose from,
 * so that is what is counted.
 */
static const char *
canonical_address(const char *address)
{
	char		text[INET6_ADDRSTRLEN];
	struct in6_addr v6;

	if (inet_pton(AF_INET6, address, &v6) != 1)
		return address;
	if (is_mapped(&v6))
		return pstrdup(inet_ntop(AF_INET, &v6.s6_addr[12], text, sizeof(text)));
	for (int i = 8; i < 16; i++)
		v6.s6_addr[i] = 0;
	return psprintf("%s/64", inet_ntop(AF_INET6, &v6, text, sizeof(text)));
}

/* Who has none shares a place with all others who have none. */
static const char *
client_address(void)
{
	const char *headers = GetConfigOption("request.headers", true, false);
	const char *list = headers == NULL ? NULL : text_member(headers, setting_client_address_header);
	const char *address = list == NULL ? "" : canonical_address(without_port(address_in_list(list, setting_trusted_proxies)));

	if (*address == '\0' || strlen(address) > MAX_TEXT)
		return "unknown";
	return address;
}

/* ---- the headers of the answer ---- */

/* PostgREST wants a list of objects with a member each; others may have begun it. */
static void
add_headers(const Decision *decision)
{
	const char *before = GetConfigOption("response.headers", true, false);
	char	   *list = before == NULL ? "" : pstrdup(before);
	char	   *end = strrchr(list, ']');
	char	   *rest = list + strspn(list, "[ \t\n\r");
	const char *ours = decision_headers(decision, "},{");

	if (*ours == '\0')
		return;
	if (end == NULL || end <= rest)
		list = "[";
	else
		strcpy(end, ",");
	(void) set_config_option("response.headers", psprintf("%s{%s}]", list, ours), PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/* ---- everything below only translates between SQL and the above ---- */

PG_FUNCTION_INFO_V1(ut_pre_request);
Datum
ut_pre_request(PG_FUNCTION_ARGS)
{
	const Installation *home = installation_of(fcinfo);
	RateRequest request = {.requests = 1};
	Decision	decision;

	request.has_user = current_user_datum(home, &request.user_id);
	request.name = request.has_user ? setting_pre_request_rate : setting_pre_request_anonymous_rate;
	if (*request.name == '\0')
		PG_RETURN_VOID();
	if (!request.has_user)
		request.key = client_address();
	decision = decide_rate(home, &request);
	if (!decision.allowed)
		raise_denial(&decision);
	add_headers(&decision);
	PG_RETURN_VOID();
}
