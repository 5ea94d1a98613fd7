"""Great Expectations over a staged vendor-day: bad rows out with their reasons, a bad day stopped."""
