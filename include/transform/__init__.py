"""Transform a vendor's staged rows to canonical entities, as its maps declare."""
