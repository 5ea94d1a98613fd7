"""The command that disposes of one person's data."""

from __future__ import annotations

import argparse

from include.cli.command import KEYS, MIGRATE, STAGING, Commands, add_command, open_database, open_staging, read_keyring


def add_commands(commands: Commands) -> None:
    """Declare the command of this module."""
    purpose = "dispose of a person's data that no duty keeps; without --yes, list it only"
    forget = add_command(commands, "forget", _forget, purpose, MIGRATE, KEYS, STAGING)
    forget.add_argument("--person", required=True, help="our id of the person, or <vendor>:<key>")
    forget.add_argument("--by", required=True, help="who decided it, for the audit trail")
    forget.add_argument("--yes", action="store_true", help="do it; it can't be undone")


def _forget(arguments: argparse.Namespace) -> None:
    from include.retention import forget

    keyring = read_keyring()
    store = forget.Store(open_database(MIGRATE), open_staging(keyring), keyring)
    result = forget.forget(store, arguments.person, arguments.by, is_dry=not arguments.yes)
    print("\n".join(forget.describe(result, is_dry=not arguments.yes)))
