"""From a vendor's HTTP answers to typed rows: sessions, paging, parsing."""
