"""Simulated vendors and CRM in one local server, with faults on demand, for the demo and the tests."""
