/*
 * version.h -- do the library and the installed script belong together?
 */
#ifndef UT_VERSION_H
#define UT_VERSION_H

#include "postgres.h"

extern bool script_fits(Oid schema);
extern uint32 script_version_hash(Oid schema);
extern void refuse_script(Oid schema, Oid function);

#endif							/* UT_VERSION_H */
