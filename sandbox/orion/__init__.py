"""Orion: login, lists and the synthetic firm's books as Orion's objects."""
