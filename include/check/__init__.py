"""Check the connections, our own parts and the Salesforce org before a run: findings that say what does not fit, and what to do."""
