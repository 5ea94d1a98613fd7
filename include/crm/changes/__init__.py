"""What people change in Salesforce, as it happens: change data capture and platform events, by the Pub/Sub API."""
