"""Tamarac: login, lists, bulk reports, and its own households."""
