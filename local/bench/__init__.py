"""Benchmarks: how fast the flow, the CRM load, the rules, identity and the gateway are, and in how much memory."""
