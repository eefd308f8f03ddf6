/*
 * race_redis.c -- as much of Redis' protocol as a race needs: a command goes out
 * as an array of strings in one write, and one line comes back, or a string.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "race.h"

#define MOST 4096				/* of a command or an answer */

struct Redis
{
	int			socket;
	char		answer[MOST];
};

Redis *
redis_connect(const char *path)
{
	Redis	   *redis = calloc(1, sizeof(Redis));
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (path == NULL || strlen(path) >= sizeof(address.sun_path))
		die("redis", "RACE_REDIS has to be the path of its socket");
	strcpy(address.sun_path, path);
	redis->socket = socket(AF_UNIX, SOCK_STREAM, 0);
	if (redis->socket < 0 || connect(redis->socket, (struct sockaddr *) &address, sizeof(address)) != 0)
		die("redis", "cannot connect");
	return redis;
}

/* The first line's end is the answer's, but of a string ($), which has another. */
static bool
is_whole(const char *answer)
{
	const char *end = strstr(answer, "\r\n");

	return end != NULL && (answer[0] != '$' || strstr(end + 2, "\r\n") != NULL);
}

static void
ask(Redis *redis, int nwords, const char **words)
{
	char		command[MOST];
	int			length = snprintf(command, MOST, "*%d\r\n", nwords);
	int			got = 0;

	for (int i = 0; i < nwords && length < MOST; i++)
		length += snprintf(command + length, MOST - length, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
	if (length >= MOST || write(redis->socket, command, length) != length)
		die("redis", "cannot write");
	do
	{
		ssize_t		more = read(redis->socket, redis->answer + got, MOST - 1 - got);

		if (more <= 0)
			die("redis", "cannot read");
		got += more;
		redis->answer[got] = '\0';
	} while (!is_whole(redis->answer));
	if (redis->answer[0] == '-')
		die("redis", redis->answer);
}

void
redis_load(Redis *redis, const char *script, char *sha)
{
	const char *words[] = {"SCRIPT", "LOAD", script};

	ask(redis, 3, words);
	if (sscanf(redis->answer, "$40 %40[0-9a-f]", sha) != 1)
		die("redis: not the hash of a script", redis->answer);
}

void
redis_run(Redis *redis, const char *sha, const char *key)
{
	const char *words[] = {"EVALSHA", sha, "1", key};

	ask(redis, 4, words);
}

void
redis_close(Redis *redis)
{
	close(redis->socket);
	free(redis);
}
