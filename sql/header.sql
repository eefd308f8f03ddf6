\echo Use "CREATE EXTENSION usage_tracking" to load this file. \quit

/* Rooms follow in the order of their dependencies; see doc/architecture.md. */

/* Every name below says its schema; whoever may create in ours gets no say in
 * what an operator means. */
SET LOCAL search_path = pg_catalog, pg_temp;
