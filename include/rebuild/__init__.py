"""Rebuild: create the warehouse again from staging, through the same steps as the daily runs."""
