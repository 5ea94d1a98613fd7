"""The audit trail: entries about who did what, the chain that proves them, and its heads, which are published outside the database."""
