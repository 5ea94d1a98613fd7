"""Incoming webhooks: one route per sender, and the authenticity check of deliveries."""
