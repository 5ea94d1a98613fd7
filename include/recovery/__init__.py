"""What a database that was restored from a backup needs before anything runs on it."""
