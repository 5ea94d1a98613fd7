"""The reporting warehouse: schema, loads with history, marts, reconciliation."""
