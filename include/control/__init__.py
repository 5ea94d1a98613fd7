"""The integration database: ledger, dead letters, calls, rate budgets, writers' fences."""
