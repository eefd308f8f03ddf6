/* 0.2.0: what did it cost? */

@new prices@
@changed access _audience@
@changed access usage_security_check@
