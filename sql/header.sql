\echo Use "CREATE EXTENSION usage_tracking" to load this file. \quit

/* Rooms follow in the order of their dependencies; see doc/architecture.md. */
