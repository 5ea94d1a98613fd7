"""Validate a staged vendor-day with Great Expectations: bad rows become dead letters with their reasons, and a bad day is stopped."""
