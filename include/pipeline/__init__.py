"""Run the steps of extraction, validation, transformation and loading for a vendor's day, the inbox, incremental polls and replays."""
