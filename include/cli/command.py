"""Shared parts of all commands: their declaration, environment variables and arguments."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.cli.connections import is_connected, read_extra, read_fields
from include.connection import require_database_url
from include.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from include.keys.keyring import Keyring
    from include.staging.partitions import Staging

Commands = Any
"""The subparsers of `argparse`, whose class is private."""
KEYS, MIGRATE, LOAD, READ = "TRIBUTARY_KEYS", "TRIBUTARY_MIGRATE_URL", "TRIBUTARY_LOAD_URL", "TRIBUTARY_READ_URL"
STAGING = "TRIBUTARY_STAGING_ROOT, TRIBUTARY_STAGING_OPTIONS (may be empty)"
_STAGING_ROOT = "TRIBUTARY_STAGING_ROOT"
_IN_EXTRA = {_STAGING_ROOT: "root", "TRIBUTARY_STAGING_OPTIONS": "options"}


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int | None], purpose: str, *variables: str
) -> argparse.ArgumentParser:
    """Declare a command; return its parser, so that the caller can add arguments.

    Args:
        commands: The subparsers of the program.
        name: The command's name.
        run: Function that runs the command; it may return an exit code.
        purpose: What the command does, as a phrase.
        variables: The environment variables that the command reads, for its help.
    """
    note = f"Environment: {', '.join(variables)}" if variables else None
    command: argparse.ArgumentParser = commands.add_parser(name, help=purpose, description=purpose, epilog=note)
    command.set_defaults(run=run)
    return command


def read_setting(name: str) -> str:
    """Return an environment variable or, if it is not set, the value that a connection of Airflow in the environment states.

    Raises:
        ConfigurationError: The variable is not set, or is empty, and no connection states the value.
    """
    value = os.environ.get(name) or _read_from_connections(name)
    if not value:
        raise ConfigurationError(f"The environment variable {name} is not set")
    return value


def _read_from_connections(name: str) -> str:
    """Return a setting that a connection in the environment states, as in a container that runs tasks; empty if there is none."""
    if name == LOAD:
        url = os.environ.get("AIRFLOW_CONN_TRIBUTARY_DB_SESSION") or os.environ.get("AIRFLOW_CONN_TRIBUTARY_DB", "")
        return url if "://" in url else ""
    if name == KEYS and is_connected("tributary_keys"):
        return str(read_fields("tributary_keys").get("password") or "")
    if name in _IN_EXTRA and not os.environ.get(_STAGING_ROOT) and is_connected("tributary_staging"):
        value = read_extra("tributary_staging").get(_IN_EXTRA[name])
        return value if isinstance(value, str) else json.dumps(value or {})
    return ""


def read_database_url(name: str) -> str:
    """Return the database URL in an environment variable.

    Raises:
        ConfigurationError: The variable is missing, or the URL is invalid.
    """
    return require_database_url(read_setting(name), name)


def open_database(name: str) -> Engine:
    """Return an engine for the database URL in an environment variable.

    Raises:
        ConfigurationError: The variable is missing, or the URL is invalid.
    """
    from include.firm.content import compute_hash, find_folder
    from include.warehouse import schema

    return schema.engine(read_database_url(name), compute_hash(find_folder()))


def read_keyring(*purposes: str) -> Keyring:
    """Return the keyring in `TRIBUTARY_KEYS`. Each of the `purposes` must have a key; without `purposes`, every purpose must.

    Raises:
        ConfigurationError: The keyring is missing or invalid, or a purpose has no key.
    """
    from include.keys.keyring import PURPOSES, Keyring

    return Keyring.parse(read_setting(KEYS), purposes or PURPOSES)


def open_staging(keyring: Keyring | None = None) -> Staging:
    """Return the staging folder that the environment names, with the keys of `keyring`; None reads the keyring in `TRIBUTARY_KEYS`.

    Raises:
        ConfigurationError: A variable is missing or invalid.
    """
    from include.staging.partitions import Staging

    keyring = keyring or read_keyring("staging")
    return Staging(
        read_setting(_STAGING_ROOT),
        keyring.staging,
        read_options("TRIBUTARY_STAGING_OPTIONS"),
        keyring.redactor,
    )


def read_options(name: str) -> dict[str, Any]:
    """Return the JSON object in an environment variable; empty if it is not set.

    Raises:
        ConfigurationError: The value is not a JSON object.
    """
    try:
        options = json.loads(os.environ.get(name) or _read_from_connections(name) or "{}")
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise ConfigurationError(f"The environment variable {name} is not a JSON object")
    return options


def read_file(path: str) -> str:
    """Return the text of a file.

    Raises:
        ConfigurationError: The file can't be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError("The file can't be read", path=path, cause=error.strerror) from None


def read_time(text: str) -> datetime:
    """Return the time that a text states, such as `2026-12-01T16:30:00+00:00`.

    Raises:
        ConfigurationError: The text is not a time, or has no time zone.
    """
    with suppress(ValueError):
        time = datetime.fromisoformat(text)
        if time.tzinfo:
            return time
    raise ConfigurationError("The time is not like 2026-12-01T16:30:00+00:00", time=text)


def read_date(text: str | None) -> date | None:
    """Return the date that a text states, such as `2026-12-01`; None for an empty text or None.

    Raises:
        ConfigurationError: The text is not a date.
    """
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ConfigurationError("The date is not like 2026-12-01", date=text) from None


def read_id(text: str) -> int:
    """Return the id that a text states.

    Raises:
        ConfigurationError: The text is not a number.
    """
    if not text.isdecimal():
        raise ConfigurationError("The id is not a number", id=text)
    return int(text)
