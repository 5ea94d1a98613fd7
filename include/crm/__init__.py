"""Salesforce: mappings of the warehouse to its objects, the sync that sends changes, and the subscription to changes made there."""
