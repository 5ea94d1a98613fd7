"""Benchmarks of the vendor's day, the CRM load, the rules, identity resolution and the gateway: speed and memory."""
