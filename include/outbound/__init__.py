"""Outbound events: signed webhooks to subscribers.

Database triggers write events to `control.outbox`; `deliver` creates deliveries for them and sends those that are due.
"""
