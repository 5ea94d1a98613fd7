"""Salesforce: what it should hold, what it accepted last, and the bulk jobs in between."""
