"""Commands that decrypt one file or one message, to investigate it."""

from __future__ import annotations

import argparse
import getpass

from include.cli.command import (
    KEYS,
    LOAD,
    STAGING,
    Commands,
    add_command,
    open_database,
    open_staging,
    read_id,
    read_keyring,
)


def add_commands(commands: Commands) -> None:
    """Declare the commands of this module."""
    file = add_command(
        commands, "show-file", _show_file, "decrypt a file of the staging folder and print it as lines", KEYS, STAGING
    )
    file.add_argument("path", help="below the root, such as <vendor>/<table>/<business_date>/<pull_id>/dead.jsonl")
    purpose = "decrypt a message of the inbox and print it; the audit trail records who opened it"
    message = add_command(commands, "show-message", _show_message, purpose, LOAD, KEYS)
    message.add_argument("id", help="the column inbox_id of control.inbox")


def _show_file(arguments: argparse.Namespace) -> None:
    from include.staging.lines import read_lines

    for line in read_lines(open_staging(), arguments.path):
        print(line)


def _show_message(arguments: argparse.Namespace) -> None:
    from include.control import inbox

    message, keyring, engine = read_id(arguments.id), read_keyring("inbox"), open_database(LOAD)
    print(inbox.read_body(engine, keyring.inbox, message, getpass.getuser()).decode(errors="replace"))
