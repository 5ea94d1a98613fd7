"""The content of the Operations pages, read from the integration database. The pages themselves are in `plugins/`."""
