/* reports, pages: a dashboard as HTML that needs nothing else, or as text.
 */
