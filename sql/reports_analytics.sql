/* reports, what administrators ask: who uses most, what comes of it, what it costs.
 */
