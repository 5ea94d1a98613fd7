"""Receive changes that users make in Salesforce as they happen: change data capture and platform events of the Pub/Sub API."""
