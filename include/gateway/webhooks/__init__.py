"""Webhooks in: each sender's route, and how a delivery proves who sent it."""
