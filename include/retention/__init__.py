"""Retention: how long each kind of data is stored and why, its disposal, and forgetting a person."""
