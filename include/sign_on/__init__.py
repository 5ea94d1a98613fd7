"""Rules of sign-on that need no Airflow: the password policy, the identity provider's settings, and the log of sign-ons."""
