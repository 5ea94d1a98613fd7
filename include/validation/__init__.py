"""Validate a staged vendor-day with Great Expectations: refuse bad rows with their reasons; stop a bad day."""
