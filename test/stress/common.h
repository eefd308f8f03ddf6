/*
 * common.h -- what every stress test needs.
 */
#ifndef UT_COMMON_H
#define UT_COMMON_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define USER_ID_FORMAT "00000000-0000-4000-8000-%012d"

/* How the children came to their ends. */
typedef struct Ending
{
	int			crashed;
	int			stuck;
} Ending;

/* What was seen while it ran. */
typedef struct Snapshots
{
	long		snapshots;
	long		bad;
	char		first[500];		/* of the bad ones, its rows */
} Snapshots;

typedef void (*child_work) (void *shared, int number);

extern int64_t now_ms(void);
extern uint64_t mix(uint64_t seed, uint64_t number);
extern const char *setting(const char *name);
extern uint64_t choose_seed(void);

extern PGresult *must_get(PGconn *conn, const char *sql);
extern void must(PGconn *conn, const char *sql);
extern long value_of(PGconn *conn, const char *sql);
extern PGconn *must_connect(const char *name);
extern void describe(PGconn *conn, const char *sql, char *into, size_t size);

extern void take_snapshot(PGconn *conn, const char *of_bad_rows, Snapshots *watch);
extern void report_snapshots(const Snapshots *watch, const char *promise);
extern void add_up(long *sum, const long *figures, int clients, int n);
extern bool all_happened(const long *figures, int n);

extern void *shared_memory(size_t size);
extern pid_t start_child(child_work work, void *shared, int number);
extern void await_children(const pid_t *pids, int n, int seconds, Ending *ending);

extern bool ok(bool passed, const char *format,...) __attribute__((format(printf, 2, 3)));
extern void none(PGconn *conn, const char *view, const char *promise);
extern bool finish_tests(uint64_t seed);

#endif							/* UT_COMMON_H */
