"""Sign-on of users: the password policy, the settings of an identity provider, and the record of sign-ons."""
