"""Orion: login, lists and the synthetic firm's books in its words."""
