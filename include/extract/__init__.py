"""Turn a vendor's HTTP responses into typed rows: sessions, paging, parsing."""
