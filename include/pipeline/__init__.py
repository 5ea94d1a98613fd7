"""What strings the steps together: the vendor's day, the inbox, incremental polls, replay, documents."""
