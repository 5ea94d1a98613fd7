"""Benchmarks of speed and memory: a vendor's daily load, the Salesforce sync, the rules, identity resolution and the gateway."""
