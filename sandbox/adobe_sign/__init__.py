"""Adobe Acrobat Sign: REST v6, its login and its webhooks."""
