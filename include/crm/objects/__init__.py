"""What Salesforce should hold: one mapping an object, one field a line."""
