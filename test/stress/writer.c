/*
 * writer.c -- clients that live through crashes and write down what they were told.
 *
 *   writer DIRECTORY SEED
 *
 * WRITERS clients use things at random, each use with a row of the application
 * (crash.orders) in the same transaction, in a database that writer.sql has made
 * ready.  Whatever happens to the server or to their connections, they connect
 * again and go on.  Each writes DIRECTORY/N.log, a line for a use:
 *
 *   transaction  request  user  type  quantity  tokens  event  fate
 *
 * recorded: its COMMIT was answered.  unknown: its COMMIT was on its way when the
 * connection went away.  gone: asked again with the same key, it was refused, so
 * it had not been recorded.  A use without a line must not be in the database.
 *
 * Commands come on standard input, a line each, and each is answered by a line
 * that begins with "ok", or with "stuck" after a minute; the rest are figures.
 *
 *   go        the clients begin, or go on
 *   wait N    until N more uses are recorded
 *   pause     until no client has anything under way; the logs are complete
 *   end       the same, and they disconnect; so does the end of the input
 *
 * test/t/Writers.pm gives the commands and judges the outcome.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "writer.h"

#define TRIES_PER_MINUTE 6000

static bool
all_idle(Shared *shared)
{
	for (int i = 0; i < WRITERS; i++)
		if (!shared->idle[i])
			return false;
	return true;
}

static bool
pause_all(Shared *shared)
{
	shared->paused = true;
	for (int i = 0; i < TRIES_PER_MINUTE && !all_idle(shared); i++)
		usleep(10000);
	return all_idle(shared);
}

static bool
wait_for(Shared *shared, long more)
{
	long		until = shared->did.recorded + more;

	for (int i = 0; i < 2 * TRIES_PER_MINUTE && shared->did.recorded < until; i++)
		usleep(5000);
	return shared->did.recorded >= until;
}

static bool
go(Shared *shared)
{
	if (shared->paused)
		shared->round++;
	shared->paused = false;
	return true;
}

static void
answer(Shared *shared, bool ok)
{
	Figures    *did = &shared->did;
	const char *first = "";
	int			connected = 0;

	for (int i = 0; i < WRITERS; i++)
	{
		connected += shared->connected[i];
		if (shared->fault[i][0] != '\0')
			first = shared->fault[i];
	}
	printf("%s recorded=%ld unknown=%ld resolved=%ld denied=%ld undone=%ld cancelled=%ld lost=%ld cut=%ld jobs=%ld connected=%d fault=%s\n",
		   ok ? "ok" : "stuck", did->recorded, did->unknown, did->resolved, did->denied, did->undone,
		   did->cancelled, did->lost, did->cut, did->jobs, connected, first);
	fflush(stdout);
}

static void
obey(Shared *shared)
{
	char		command[100];

	while (!shared->ended && fgets(command, sizeof(command), stdin) != NULL)
	{
		if (strcmp(command, "go\n") == 0)
			answer(shared, go(shared));
		else if (strncmp(command, "wait ", 5) == 0)
			answer(shared, wait_for(shared, atol(command + 5)));
		else if (strcmp(command, "pause\n") == 0)
			answer(shared, pause_all(shared));
		else if (strcmp(command, "end\n") == 0)
			shared->ended = true;
		else
			fprintf(stderr, "writer: what is %s", command);
	}
	shared->ended = true;
}

int
main(int argc, char **argv)
{
	Shared	   *shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t		parent = getpid();
	bool		ok = true;
	int			status;

	if (argc != 3 || shared == MAP_FAILED)
	{
		fprintf(stderr, "usage: writer DIRECTORY SEED\n");
		return 2;
	}
	shared->paused = true;
	for (int i = 0; i < WRITERS; i++)
	{
		pid_t		child = fork();

		if (child < 0)
		{
			perror("fork");
			return 1;
		}
		if (child == 0)
		{
			run_client(shared, i, argv[1], atol(argv[2]), parent);
			_exit(0);
		}
	}
	obey(shared);
	while (wait(&status) > 0)
		ok = ok && status == 0;
	answer(shared, ok);
	return ok ? 0 : 1;
}
