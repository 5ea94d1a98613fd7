"""The vendors and the CRM as one local server, with faults on demand: for the demo and the tests."""
