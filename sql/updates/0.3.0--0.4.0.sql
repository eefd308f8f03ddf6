/* 0.4.0: analytics, dashboards, and pages to look at */

@new users _email_of@
@new users _registered_users@

@new reports_analytics@
@new reports_dashboard@
@new reports_page@

@changed access _audience@
