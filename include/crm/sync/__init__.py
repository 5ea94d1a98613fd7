"""The sync to Salesforce: what changed, in which order, by which jobs, and the outcome of every row."""
