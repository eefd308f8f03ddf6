/*
 * faults.c -- lets something go wrong, in test builds only.
 *
 * The setting usage_tracking.fault says where and what: "PLACE ACTION", ACTION one of
 * error, fatal, die (as by SIGKILL), a number of milliseconds to wait, or "until FILE",
 * which makes FILE.here and waits for FILE to be made, but not for ever.  It
 * happens each time the session comes by; usage_tracking.faults says how often it
 * has waited.
 */
#include "compat.h"

#include "faults.h"

#ifdef UT_FAULTS

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"
#include "utils/guc.h"

static char *setting_fault = NULL;
static int	setting_faults = 0;

void
faults_init(void)
{
	DefineCustomStringVariable("usage_tracking.fault", "Lets something go wrong at a place.", NULL,
							   &setting_fault, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("usage_tracking.faults", "How often this session has waited.", NULL,
							&setting_faults, 0, 0, INT_MAX, PGC_USERSET, 0, NULL, NULL, NULL);
}

/* What is to be done here; NULL: nothing. */
static const char *
action_at(const char *place)
{
	size_t		length = strlen(place);

	if (setting_fault == NULL || strncmp(setting_fault, place, length) != 0 || setting_fault[length] != ' ')
		return NULL;
	return setting_fault + length + 1;
}

#define LONGEST 30000			/* milliseconds */

static void
wait_for_file(const char *file)
{
	char		here[MAXPGPATH];

	snprintf(here, sizeof(here), "%s.here", file);
	close(open(here, O_CREAT | O_WRONLY, 0600));
	for (int i = 0; i < LONGEST && access(file, F_OK) != 0; i++)
		pg_usleep(1000L);
}

static void
wait_or_die(const char *action)
{
	if (strcmp(action, "die") == 0)
		kill(getpid(), SIGKILL);
	else
	{
		setting_faults++;
		if (strncmp(action, "until ", 6) == 0)
			wait_for_file(action + 6);
		else
			pg_usleep(strtol(action, NULL, 10) * 1000L);
	}
}

void
stall(const char *place)
{
	const char *action = action_at(place);

	if (action != NULL)
		wait_or_die(action);
}

void
fault(const char *place)
{
	const char *action = action_at(place);

	if (action == NULL)
		return;
	if (strcmp(action, "error") == 0 || strcmp(action, "fatal") == 0)
		ereport(*action == 'e' ? ERROR : FATAL,
				(errmsg("fault at \"%s\"", place)));
	wait_or_die(action);
	CHECK_FOR_INTERRUPTS();
}

#endif
