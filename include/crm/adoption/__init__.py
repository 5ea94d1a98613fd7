"""Adopt existing Salesforce records: write our key to them, so that a sync updates them instead of creating duplicates.

In this package, an org record is a record in Salesforce, and our record is the warehouse's record of the same kind of thing.
"""
