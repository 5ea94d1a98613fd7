"""Commands for the firm's keys: create, register and rotate them."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from include.cli.command import KEYS, MIGRATE, STAGING, Commands, add_command, open_database, open_staging, read_keyring


def add_commands(commands: Commands) -> None:
    """Declare the commands of this module."""
    add_command(commands, "generate-keys", _generate_keys, "print a new keyring of random keys")
    add_command(
        commands,
        "receiving-key",
        _print_receiving_key,
        "print the half of the inbox key that the gateway and the triggerer get",
        KEYS,
    )
    add_command(
        commands, "add-keys", _add_keys, "register the new keys of a keyring, before tasks use them", MIGRATE, KEYS
    )
    lift = "lift the stored hashes to the keyring's new hash key, and register the key"
    rotate = add_command(commands, "rotate-hash-key", _rotate_hash_key, lift, MIGRATE, KEYS)
    rotate.add_argument("--dry-run", action="store_true", help="only count the rows with hashes")
    tokens = add_command(
        commands,
        "reseal-tokens",
        _reseal_tokens,
        "encrypt refresh tokens again under the newest seal key",
        MIGRATE,
        KEYS,
    )
    tokens.add_argument("--dry-run", action="store_true", help="only count the refresh tokens by key")
    purpose = "encrypt files of the staging folder again under the newest staging key"
    files = add_command(commands, "reseal-files", _reseal_files, purpose, KEYS, STAGING)
    files.add_argument("--dry-run", action="store_true", help="only count the files by key")


def _generate_keys(_: argparse.Namespace) -> None:
    from include.keys.keyring import generate

    print(generate(datetime.now(UTC).date().isoformat()))


def _print_receiving_key(_: argparse.Namespace) -> None:
    print(read_keyring("inbox").receiving_key.text)


def _add_keys(_: argparse.Namespace) -> None:
    from include.keys import register

    added = register.add(open_database(MIGRATE), read_keyring())
    print("Registered: " + (", ".join(added) or "nothing; all keys were registered before"))


def _rotate_hash_key(arguments: argparse.Namespace) -> None:
    from include.keys import rotation

    keyring, engine = read_keyring(), open_database(MIGRATE)
    counts = rotation.count(engine) if arguments.dry_run else rotation.rotate(engine, keyring)
    print(*(f"{place}: {rows:,} rows" for place, rows in counts.items() if rows), sep="\n")
    if arguments.dry_run:
        print("Nothing was changed.")
    elif counts:
        print("All hashes are lifted to the new key.")
    else:
        print("The keyring has no new hash key; nothing was changed.")


def _reseal_tokens(arguments: argparse.Namespace) -> None:
    from include.control import grants

    sealer, engine = read_keyring("seal").sealer, open_database(MIGRATE)
    if not arguments.dry_run:
        print(f"Encrypted again: {grants.reseal(engine, sealer):,} refresh tokens")
    _print_by_key("refresh tokens", sealer.current, grants.count_by_key(engine))


def _reseal_files(arguments: argparse.Namespace) -> None:
    from include.staging import resealing

    staging = open_staging()
    if not arguments.dry_run:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        print(f"Encrypted again: {resealing.reseal(staging):,} files")
    _print_by_key("files", staging.key_id, resealing.count(staging))


def _print_by_key(what: str, current: str, counts: Mapping[str, int]) -> None:
    for key_id, number in sorted(counts.items()):
        print(f"Under the key {key_id}{' (current)' if key_id == current else ''}: {number:,} {what}")
