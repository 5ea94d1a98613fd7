"""Orchestration of the steps: the vendor's day, the inbox, incremental polls, replay, documents."""
