"""Receive what people change in Salesforce, as it happens: change data capture and platform events of the Pub/Sub API."""
