/*
 * signups.h -- the application's own table of users.
 */
#ifndef UT_SIGNUPS_H
#define UT_SIGNUPS_H

#include "postgres.h"

#include "query.h"
#include "storage/lockdefs.h"

/* The application's table of users, as our trigger names it. */
typedef struct UsersTable
{
	Oid			relation;
	char	   *id_column;
	char	   *email_column;
	char	   *on_delete;
} UsersTable;

/* signups_table.c */
extern bool find_users_table(const Installation *home, UsersTable *users);
extern void check_attached(bool attached);
extern Oid	lock_users_table(Oid relid, LOCKMODE mode);

#endif							/* UT_SIGNUPS_H */
