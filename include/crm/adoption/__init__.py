"""Adopt records that the org has from elsewhere: write our key onto them, instead of creating second records."""
