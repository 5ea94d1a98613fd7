"""The sync to Salesforce: find the changes, get approval for large ones, send them in order, and record the outcome of every row."""
