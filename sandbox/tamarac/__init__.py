"""Tamarac: login, lists, bulk reports and an office of its own."""
