"""The firm's secret keys for hashing and encryption, checked against the database before anything is written with them."""
