"""Check the connections, our own parts and the Salesforce org before a run. Each finding describes a mismatch and its correction."""
