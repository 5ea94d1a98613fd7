"""Keys that are too long for a key field of Salesforce are replaced by their hash: the same rule in SQL and in Python."""

from __future__ import annotations

import hashlib

_LONGEST = 64


def shorten_sql(key: str) -> str:
    """Return the SQL of `shorten`, given the SQL of the key."""
    return f"case when length({key}) > {_LONGEST} then md5({key}) else {key} end"


def shorten(key: str) -> str:
    """Return the key under which Salesforce has a record: our key, or the hash of a long one."""
    return hashlib.md5(key.encode(), usedforsecurity=False).hexdigest() if len(key) > _LONGEST else key
