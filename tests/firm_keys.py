"""The keys of the firms that tests invent."""

from __future__ import annotations

import hashlib

from include.keys.keyring import PURPOSES, Key, Keyring


def write_keyring(secret: str = "only for tests", key_id: str = "test") -> str:
    """Return the text of a keyring whose keys are derived from a word."""
    keys = {purpose: hashlib.sha256(f"{purpose} {secret}".encode()).hexdigest() for purpose in PURPOSES}
    return " ".join(f"{purpose}:{key_id}:{key}" for purpose, key in keys.items())


KEYRING = Keyring.parse(write_keyring())
GOLDEN = Keyring(
    [
        Key("hash", "golden", b"golden"),
        *(Key(purpose, "golden", bytes(32)) for purpose in PURPOSES if purpose != "hash"),
    ]
)
"""The hashes in the goldens are under this key."""
