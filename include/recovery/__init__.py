"""Recovery: make a database that was restored from a backup safe, and check it before anything runs on it."""
