/* reports, dashboards: what a page shows of a user, or of everybody, as one JSON object.
 */
