"""The register of key fingerprints in the database: it refuses a mistyped key before anything is written with it.

The register also defines the order of the hash keys. Every stored hash was made under all of them (see `include.sensitive`), so a process
with fewer or more hash keys must not write.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from include.errors import ConfigurationError, TargetUnavailable
from include.keys.keyring import Key, Keyring

_READ = sa.text("select purpose, key_id, fingerprint from control.key order by purpose, place")
_ADOPT = sa.text("""
select control.adopt_keys(cast(:purposes as text[]), cast(:key_ids as text[]), cast(:fingerprints as text[]))
""")
_ADD = sa.text("""
insert into control.key (purpose, key_id, fingerprint, place)
select :purpose, :key_id, :fingerprint, coalesce(max(place), 0) + 1 from control.key where purpose = :purpose
on conflict (purpose, key_id) do nothing
""")
_SHARE = sa.text("select pg_advisory_xact_lock_shared(hashtext('tributary hash keys'))")
_EXCLUDE = sa.text("select pg_advisory_xact_lock(hashtext('tributary hash keys'))")
_COUNT = sa.text("select count(*) from control.key where purpose = 'hash'")

Registered = Mapping[tuple[str, str], str]
"""(Purpose, key id) -> fingerprint; the keys of a purpose are in the order in which they were registered."""


def check(engine: sa.Engine, keyring: Keyring) -> None:
    """Compare a keyring with the database's register. For a purpose without registered keys, register the keyring's keys first.

    Raises:
        ConfigurationError: A key differs from the registered key of the same id, or is not registered; or hash keys are missing or in
            another order.
        TargetUnavailable: The hash key is being rotated: the keyring has fewer or more hash keys than the database.
    """
    with engine.begin() as connection:
        registered = read(connection)
        if not {purpose for purpose, _ in registered} >= {key.purpose for key in keyring.keys}:
            connection.execute(
                _ADOPT,
                {
                    "purposes": [key.purpose for key in keyring.keys],
                    "key_ids": [key.key_id for key in keyring.keys],
                    "fingerprints": [key.fingerprint for key in keyring.keys],
                },
            )
            registered = read(connection)
    compare(keyring, registered)


def add(engine: sa.Engine, keyring: Keyring) -> list[str]:
    """Register a keyring's new keys, before tasks use them; return them as `purpose:key_id`. Requires the migrating role.

    Raises:
        ConfigurationError: A key differs from the registered key of the same id; or hash keys are missing or in another order.
        TargetUnavailable: The keyring has a new hash key. Only a rotation registers one.
    """
    with engine.begin() as connection:
        registered = read(connection)
        is_hashed = any(purpose == "hash" for purpose, _ in registered)
        new = [
            key
            for key in keyring.keys
            if (key.purpose, key.key_id) not in registered and not (is_hashed and key.purpose == "hash")
        ]
        for key in new:
            insert(connection, key)
        compare(keyring, read(connection))
    return [f"{key.purpose}:{key.key_id}" for key in new]


def insert(connection: sa.Connection, key: Key) -> None:
    """Register a key as the last one of its purpose. Requires the migrating role."""
    connection.execute(_ADD, {"purpose": key.purpose, "key_id": key.key_id, "fingerprint": key.fingerprint})


def hold_hash_keys(connection: sa.Connection, used: int) -> None:
    """Block rotations of the hash key until the transaction ends. Call this before writing rows with hashes.

    Args:
        connection: The transaction that writes.
        used: Number of hash keys under which the rows were hashed; 0 if the process has no hash keys and writes no hashes.

    Raises:
        TargetUnavailable: The hash key was rotated after the rows were hashed.
    """
    connection.execute(_SHARE)
    registered = connection.scalar(_COUNT)
    if used and registered and used != registered:
        raise TargetUnavailable(
            "The hash key was rotated meanwhile, so nothing was written; try again", used=used, registered=registered
        )


def exclude_writers(connection: sa.Connection) -> None:
    """Wait for the transactions that write hashes, and block new ones until this transaction ends."""
    connection.execute(_EXCLUDE)


def read(connection: sa.Connection) -> Registered:
    """Return the registered keys."""
    return {(purpose, key_id): fingerprint for purpose, key_id, fingerprint in connection.execute(_READ)}


def compare(keyring: Keyring, registered: Registered) -> None:
    """Compare a keyring with registered keys.

    Raises:
        ConfigurationError: A key differs from the registered key of the same id, or is not registered; or hash keys are missing or in
            another order.
        TargetUnavailable: The hash key is being rotated: the keyring has fewer or more hash keys than the database.
    """
    held = [key.key_id for key in keyring.keys if key.purpose == "hash"]
    known = [key_id for purpose, key_id in registered if purpose == "hash"]
    is_rotating = bool(held and known) and (held == known[: len(held)] or known == held[: len(known)])
    for key in keyring.keys:
        if (key.purpose, key.key_id) in registered:
            _compare_key(key, registered)
        elif not (is_rotating and key.purpose == "hash"):
            raise ConfigurationError(
                "A key is not registered in this database: correct tributary_keys, or register the key with"
                " `python -m include.cli add-keys`",
                purpose=key.purpose, key_id=key.key_id,
            )  # fmt: skip
    if held == known:
        return
    if is_rotating:
        raise TargetUnavailable(
            "The hash key is being rotated: finish it with `python -m include.cli rotate-hash-key`, and set tributary_keys to the new keyring",
            keyring=",".join(held), database=",".join(known),
        )  # fmt: skip
    raise ConfigurationError(
        "The hash keys of this database are missing, or in another order: restore them in tributary_keys. Others would give each person a"
        " second identity",
        key_ids=",".join(known),
    )


def _compare_key(key: Key, registered: Registered) -> None:
    if registered[key.purpose, key.key_id] != key.fingerprint:
        raise ConfigurationError(
            "A key differs from the one that this database was written with: correct it in tributary_keys",
            purpose=key.purpose, key_id=key.key_id,
        )  # fmt: skip
