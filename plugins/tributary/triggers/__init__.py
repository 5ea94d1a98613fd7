"""What the triggerer waits for, in the database and in Salesforce."""
