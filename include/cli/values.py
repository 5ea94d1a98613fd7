"""Commands for sensitive values that the firm retains: create their key pair, open a value, and seal all under a new key."""

from __future__ import annotations

import argparse
import getpass
from datetime import UTC, datetime

from include.cli.command import MIGRATE, Commands, add_command, open_database, read_setting

VALUES, OPENING_KEYS = "TRIBUTARY_VALUES_URL", "TRIBUTARY_OPENING_KEYS"


def add_commands(commands: Commands) -> None:
    """Declare the commands of this module."""
    add_command(
        commands, "generate-value-key", _generate, "print a new key pair for sensitive values that the firm retains"
    )
    purpose = "open a sensitive value and print it; the audit trail records who opened it and why"
    opening = add_command(commands, "open-value", _open, purpose, VALUES, OPENING_KEYS)
    record = opening.add_mutually_exclusive_group(required=True)
    record.add_argument("--person", help="the tax id of a person: our id, or <vendor>:<key>")
    record.add_argument("--account", help="the number of an account: our id, or <vendor>:<key>")
    opening.add_argument("--reason", required=True, help="why, for the audit trail; do not write a name or a value")
    opening.add_argument(
        "--by", default=getpass.getuser(), help="who opens it; by default the user of the operating system"
    )
    purpose = "seal all retained values again under the newest key"
    sealing = add_command(commands, "reseal-values", _reseal, purpose, MIGRATE, OPENING_KEYS)
    sealing.add_argument("--dry-run", action="store_true", help="only count the values by key")


def _generate(_: argparse.Namespace) -> None:
    from include.keys.keyring import generate_value_key

    public, private = generate_value_key(datetime.now(UTC).date().isoformat())
    print(f"For tributary_keys:            {public}\nFor {OPENING_KEYS} only: {private}")


def _open(arguments: argparse.Namespace) -> None:
    from include.keys.keyring import OPENING, Keyring
    from include.warehouse import sealed_values

    entity, reference = next(
        (entity, getattr(arguments, entity)) for entity in sealed_values.NAMES if getattr(arguments, entity)
    )
    keyring = Keyring.parse(read_setting(OPENING_KEYS), (OPENING, "hash"))
    engine = open_database(VALUES)
    for each in sealed_values.open_values(engine, keyring, entity, reference, arguments.by, arguments.reason):
        print(f"{each.vendor}:{each.key} {each.value}")


def _reseal(arguments: argparse.Namespace) -> None:
    from include.keys.keyring import OPENING, Keyring
    from include.warehouse import sealed_values

    engine = open_database(MIGRATE)
    if not arguments.dry_run:
        keyring = Keyring.parse(read_setting(OPENING_KEYS), (OPENING, "hash"))
        print(f"Sealed again: {sealed_values.reseal(engine, keyring, getpass.getuser()):,} values")
    for key_id, number in sorted(sealed_values.count_by_key(engine).items()):
        print(f"Under the key {key_id}: {number:,} values")
