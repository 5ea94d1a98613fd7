"""What the Operations pages show: read from the integration database, and put in words. The pages themselves are in `plugins/`."""
