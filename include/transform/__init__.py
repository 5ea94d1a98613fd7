"""Staged rows of a vendor to canonical entities, as the vendor's maps declare."""
