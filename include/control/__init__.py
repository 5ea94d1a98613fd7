"""The integration database (schema `control`): ledger, dead letters, inbox, calls, rate budgets, fences of writers, and more."""
