"""The HTTP front door: webhooks in."""
