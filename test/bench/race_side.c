/*
 * race_side.c -- a side of a race: its file, and one run of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "race.h"

#define MOST 65536				/* of a file */

void
die(const char *what, const char *why)
{
	fprintf(stderr, "race: %s: %s\n", what, why);
	exit(1);
}

/* ---- reading ---- */

/* header returns what follows "-- NAME: " on a line of its own, or NULL. */
static char *
header(const char *text, const char *name)
{
	char		wanted[32];
	const char *line;

	snprintf(wanted, sizeof(wanted), "-- %s: ", name);
	line = strstr(text, wanted);
	if (line == NULL || (line != text && line[-1] != '\n'))
		return NULL;
	line += strlen(wanted);
	return strndup(line, strcspn(line, "\n"));
}

static StepKind
kind_of(const char *text)
{
	if (strstr(text, "-- redis\n") != NULL)
		return REDIS_SCRIPT;
	while (strncmp(text, "--", 2) == 0)
		text += strcspn(text, "\n") + 1;
	return strncmp(text, "COPY ", 5) == 0 ? COPY_IN : STATEMENT;
}

static void
add_step(Side *side, char *text)
{
	static int	number = 0;
	Step	   *step = &side->steps[side->nsteps++];

	if (side->nsteps > MAX_STEPS)
		die(side->name, "has too many steps");
	snprintf(step->name, sizeof(step->name), "step_%d", ++number);
	step->text = text;
	step->kind = kind_of(text);
	step->has_parameter = strstr(text, "$1") != NULL;
}

void
read_side(Side *side, char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *text = calloc(1, MOST);
	char	   *slash = strrchr(path, '/');
	char	   *calls;

	if (file == NULL || fread(text, 1, MOST - 1, file) == 0)
		die(path, "cannot be read");
	fclose(file);
	side->name = slash == NULL ? path : slash + 1;
	path[strlen(path) - strlen(".sql")] = '\0';
	calls = header(text, "calls");
	side->calls = calls == NULL ? 1 : atoi(calls);
	side->input = header(text, "input");
	side->database = header(text, "database");
	while (text != NULL)
	{
		char	   *end = strstr(text, "\n--;\n");

		if (end != NULL)
			end[1] = '\0';
		add_step(side, text);
		text = end == NULL ? NULL : end + strlen("\n--;\n");
	}
}

/* ---- running ---- */

static void
check(const Link *link, PGresult *result)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		die(link->side->name, PQerrorMessage(link->conn));
	PQclear(result);
}

PGconn *
connect_to_server(const char *database)
{
	const char *names[] = {"dbname", NULL};
	const char *values[] = {database, NULL};
	PGconn	   *conn = PQconnectdbParams(names, values, 0);

	if (PQstatus(conn) != CONNECTION_OK)
		die("cannot connect", PQerrorMessage(conn));
	return conn;
}

void
prepare_side(Link *link)
{
	Side	   *side = link->side;

	for (int i = 0; i < side->nsteps; i++)
	{
		Step	   *step = &side->steps[i];

		if (step->kind == STATEMENT)
			check(link, PQprepare(link->conn, step->name, step->text, 0, NULL));
		else if (step->kind == REDIS_SCRIPT)
		{
			if (link->redis == NULL)
				link->redis = redis_connect(getenv("RACE_REDIS"));
			redis_load(link->redis, step->text, step->sha);
		}
	}
	if (side->input == NULL)
		return;
	link->input = PQexec(link->conn, side->input);
	if (PQresultStatus(link->input) != PGRES_TUPLES_OK || PQntuples(link->input) == 0)
		die(side->input, PQerrorMessage(link->conn));
}

static void
copy_in(const Link *link, const char *query, const char *rows)
{
	PGresult   *result = PQexec(link->conn, query);

	if (PQresultStatus(result) != PGRES_COPY_IN ||
		PQputCopyData(link->conn, rows, strlen(rows)) != 1 || PQputCopyEnd(link->conn, NULL) != 1)
		die(link->side->name, PQerrorMessage(link->conn));
	PQclear(result);
	while ((result = PQgetResult(link->conn)) != NULL)
		check(link, result);
}

static void
run_script(const Link *link, const Step *step, const char *user_id)
{
	char		key[64];

	snprintf(key, sizeof(key), "rate:%s", user_id);
	redis_run(link->redis, step->sha, key);
}

void
run_side(Link *link, const char *user_id)
{
	const Side *side = link->side;
	const char *values[] = {user_id};

	if (side->input != NULL)
		values[0] = PQgetvalue(link->input, link->next_input++ % PQntuples(link->input), 0);
	for (int i = 0; i < side->nsteps; i++)
	{
		const Step *step = &side->steps[i];

		if (step->kind == STATEMENT)
			check(link, PQexecPrepared(link->conn, step->name, step->has_parameter, values, NULL, NULL, 0));
		else if (step->kind == COPY_IN)
			copy_in(link, step->text, values[0]);
		else
			run_script(link, step, user_id);
	}
}
