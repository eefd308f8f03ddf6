/*
 * users.h -- who calls, whom he may act for, and the application's own table of users.
 */
#ifndef UT_USERS_H
#define UT_USERS_H

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

extern bool is_app_admin(const Installation *home);
extern bool is_user_id(const Installation *home, Datum value);
extern Datum user_id_argument(const Installation *home, FunctionCallInfo fcinfo);
extern void check_may_act_for(const Installation *home, FunctionCallInfo fcinfo);
extern Datum user_to_see(const Installation *home, FunctionCallInfo fcinfo);
extern void check_may_act_for_or_admin(const Installation *home, FunctionCallInfo fcinfo);
extern void check_sees_all_users(const Installation *home);
extern void check_is_server(const Installation *home);
extern void check_is_admin(const Installation *home);
extern void check_is_admin_or_server(const Installation *home);
extern void give_role(const Installation *home, Datum user_id, const char *role);
extern void check_may_manage_roles(const Installation *home);
extern bool same_user(const Installation *home, Datum a, Datum b);

/* users_identity.c */
extern bool current_user_datum(const Installation *home, Datum *user_id);
extern const char *text_member(const char *json, const char *name);

/* users_table.c */
extern bool find_users_table(const Installation *home, UsersTable *users);
extern void check_attached(bool attached);
extern Oid	lock_users_table(Oid relid, LOCKMODE mode);

#endif							/* UT_USERS_H */
