"""The audit trail: entries about who did what, the chain of seals that proves them, and published heads: copies of the chain's end."""
