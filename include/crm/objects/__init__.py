"""Mappings of the warehouse to Salesforce: one mapping per object, one field per line."""
