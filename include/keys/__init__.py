"""The firm's keys: one list for each purpose, checked against the database before anything is written with them."""
