/* 0.4.0: analytics, dashboards, and pages to look at */

@new reports_analytics@
@new reports_dashboard@
@new reports_html@
@new reports_html_lines@
@new reports_html_page@
@new reports_html_sections_admin@
@new reports_html_sections_user@
@new reports_page@
@new reports_text@

@changed access _audience@
