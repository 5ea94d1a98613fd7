"""Orion: login, lists and the invented firm's books in its words."""
