"""The register of key fingerprints in the database: it refuses a mistyped key before anything is written with it."""

from __future__ import annotations

import sqlalchemy as sa

from include.errors import ConfigurationError
from include.keys.keyring import Keyring

_READ = sa.text("select purpose, key_id, fingerprint from control.key")
_ADOPT = sa.text("""
select control.adopt_keys(cast(:purposes as text[]), cast(:key_ids as text[]), cast(:fingerprints as text[]))
""")
_ADD = sa.text("""
insert into control.key (purpose, key_id, fingerprint) values (:purpose, :key_id, :fingerprint)
on conflict (purpose, key_id) do nothing
""")


def check(engine: sa.Engine, keyring: Keyring) -> None:
    """Compare a keyring with the database's register. A purpose without registered keys adopts the keyring's keys.

    Raises:
        ConfigurationError: A key differs from the registered one or is not registered, or the hash key of the database is missing.
    """
    with engine.begin() as connection:
        registered = _read(connection)
        if not {purpose for purpose, _ in registered} >= {key.purpose for key in keyring.keys}:
            connection.execute(
                _ADOPT,
                {
                    "purposes": [key.purpose for key in keyring.keys],
                    "key_ids": [key.key_id for key in keyring.keys],
                    "fingerprints": [key.fingerprint for key in keyring.keys],
                },
            )
            registered = _read(connection)
    _compare(keyring, registered)


def add(engine: sa.Engine, keyring: Keyring) -> list[str]:
    """Register a keyring's new keys, before tasks use them; return them as `purpose:key_id`. Requires the migrating role.

    Raises:
        ConfigurationError: A key differs from the registered key of the same id, or the registered hash key is missing from the keyring.
    """
    with engine.begin() as connection:
        registered = _read(connection)
        new = [key for key in keyring.keys if (key.purpose, key.key_id) not in registered]
        for key in new:
            connection.execute(_ADD, {"purpose": key.purpose, "key_id": key.key_id, "fingerprint": key.fingerprint})
        _compare(keyring, _read(connection))
    return [f"{key.purpose}:{key.key_id}" for key in new]


def _read(connection: sa.Connection) -> dict[tuple[str, str], str]:
    return {(purpose, key_id): fingerprint for purpose, key_id, fingerprint in connection.execute(_READ)}


def _compare(keyring: Keyring, registered: dict[tuple[str, str], str]) -> None:
    for key in keyring.keys:
        known = registered.get((key.purpose, key.key_id))
        if known is None:
            raise ConfigurationError(
                "A key is not registered in this database: correct tributary_keys, or register the key with"
                " `python -m include.cli add-keys`",
                purpose=key.purpose, key_id=key.key_id,
            )  # fmt: skip
        if known != key.fingerprint:
            raise ConfigurationError(
                "A key differs from the one that this database was written with: correct it in tributary_keys",
                purpose=key.purpose, key_id=key.key_id,
            )  # fmt: skip
    held = {key.key_id for key in keyring.keys if key.purpose == "hash"}
    if missing := sorted(key_id for purpose, key_id in registered if purpose == "hash" and key_id not in held):
        raise ConfigurationError(
            "The hash key of this database is missing: restore it in tributary_keys. Another one would give each person a second identity",
            key_ids=",".join(missing),
        )
