/*
 * installation.h -- where the extension whose function was called lives.
 */
#ifndef UT_INSTALLATION_H
#define UT_INSTALLATION_H

#include "postgres.h"

#include "fmgr.h"

/* The installation whose function was called; found from its namespace. */
typedef struct Installation
{
	uint64		generation;		/* another one: whatever was found is elsewhere now */
	Oid			schema;
	NameData	schema_name;
	Oid			owner;
	Oid			user_id_type;
	Oid			usage_events;
	Oid			events_come;	/* the trigger function of rows that are not ours */
	Oid			config_tables[11];
} Installation;

typedef void (*config_changed_callback) (void);

extern void installation_init(void);
extern const Installation *installation_of(FunctionCallInfo fcinfo);
extern const Installation *installation_of_function(Oid function);
extern const Installation *present_installation(void);
extern const Installation *installation_of_any_version(FunctionCallInfo fcinfo);
extern bool installation_remains(Oid usage_events);
extern void on_config_change(config_changed_callback callback);

#endif							/* UT_INSTALLATION_H */
