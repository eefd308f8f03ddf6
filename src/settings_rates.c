/*
 * settings_rates.c -- the settings of rate limits.
 */
#include "compat.h"

#include "arguments.h"
#include "miscadmin.h"
#include "settings.h"

int			setting_rate_slots = 65536;
char	   *setting_pre_request_rate = NULL;
char	   *setting_pre_request_anonymous_rate = NULL;
char	   *setting_client_address_header = NULL;
int			setting_trusted_proxies = 1;

static bool
check_rate_name(char **newval, void **extra, GucSource source)
{
	if (**newval == '\0' || is_name(*newval))
		return true;
	GUC_check_errdetail("The setting is either empty or the name of a rate limit.");
	return false;
}

/* As PostgREST spells them. */
static bool
check_header_name(char **newval, void **extra, GucSource source)
{
	if (strspn(*newval, "abcdefghijklmnopqrstuvwxyz0123456789_-") == strlen(*newval))
		return true;
	GUC_check_errdetail("The name of a header has lower-case letters, digits, \"-\" and \"_\".");
	return false;
}

/* The memory is made with the server, if the library is there by then. */
void
define_rate_settings(void)
{
	DefineCustomIntVariable("usage_tracking.rate_slots",
							"Sets for how many users and keys rates are remembered at the same time.",
							"Zero has no rate limits. It takes effect when the memory is made.",
							&setting_rate_slots, 65536, 0, MAX_RATE_SLOTS,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP,
							0, NULL, NULL, NULL);
	DefineCustomStringVariable("usage_tracking.pre_request_rate",
							   "Names the rate limit that pre_request() takes from for signed-in users.",
							   "Empty for none.",
							   &setting_pre_request_rate, "", PGC_SUSET, 0, check_rate_name, NULL, NULL);
	DefineCustomStringVariable("usage_tracking.pre_request_anonymous_rate",
							   "Names the rate limit that pre_request() takes from for addresses of others.",
							   "Empty for none.",
							   &setting_pre_request_anonymous_rate, "", PGC_SUSET, 0, check_rate_name, NULL, NULL);
	DefineCustomStringVariable("usage_tracking.client_address_header",
							   "Names the header of a request that has the client's address.",
							   "In lower case.",
							   &setting_client_address_header, "x-forwarded-for", PGC_SUSET, 0,
							   check_header_name, NULL, NULL);
	DefineCustomIntVariable("usage_tracking.trusted_proxies",
							"Sets which address in that header is the client's, counted from the end.",
							"Each proxy adds the address that it was called from.",
							&setting_trusted_proxies, 1, 1, 100, PGC_SUSET, 0, NULL, NULL, NULL);
}
