"""The keys of the firms that tests invent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from include.control.inbox import place_of
from include.keys.keyring import PURPOSES, Key, Keyring

if TYPE_CHECKING:
    from tests.conftest import Database


def write_keyring(secret: str = "only for tests", key_id: str = "test") -> str:
    """Return the text of a keyring whose keys are derived from a word."""
    keys = {purpose: hashlib.sha256(f"{purpose} {secret}".encode()).hexdigest() for purpose in PURPOSES}
    return " ".join(f"{purpose}:{key_id}:{key}" for purpose, key in keys.items())


KEYRING = Keyring.parse(write_keyring())


def register_inbox_key(database: Database) -> None:
    """Register the inbox key of `KEYRING`, as the first task of a firm does. Without it, no delivery is accepted."""
    database.do(
        "insert into control.key (purpose, key_id, fingerprint, place) values ('inbox', 'test', :fingerprint, 1) on conflict do nothing",
        fingerprint=KEYRING.receiving_key.fingerprint,
    )


def open_body(row: Mapping[str, Any]) -> bytes:
    """Return the body of a row of `control.inbox` as it was received; a withdrawal has none."""
    body = bytes(row["body"])
    return KEYRING.inbox.open(body, place_of(row["sender"], row["content_hash"])) if body else body


GOLDEN = Keyring(
    [
        Key("hash", "golden", b"golden"),
        *(Key(purpose, "golden", bytes(32)) for purpose in PURPOSES if purpose != "hash"),
    ]
)
"""The hashes in the goldens are under this key."""
