"""Commands for recovery: check a restored database, and create the warehouse again from staging."""

from __future__ import annotations

import argparse
import os

from include.cli.command import (
    KEYS,
    MIGRATE,
    STAGING,
    Commands,
    add_command,
    open_database,
    open_staging,
    read_database_url,
    read_file,
    read_keyring,
    read_time,
)
from include.errors import DataQualityError

ORIGINAL = "TRIBUTARY_ORIGINAL_URL"


def add_commands(commands: Commands) -> None:
    """Declare the commands of this module."""
    purpose = "check a database that was restored from a backup, before anything runs on it"
    check = add_command(
        commands,
        "check-restore",
        _check_restore,
        purpose,
        MIGRATE,
        KEYS,
        f"{STAGING}; without it, partitions are not checked",
    )
    check.add_argument("path", help="output of `pgbackrest info --output=json`")
    check.add_argument("time", help="to which the database was restored, such as 2026-12-01T16:30:00+00:00")
    purpose = "create the warehouse again from staging, in an empty, migrated database"
    rebuild = add_command(
        commands,
        "rebuild",
        _rebuild,
        purpose,
        MIGRATE,
        KEYS,
        STAGING,
        f"{ORIGINAL} and AIRFLOW_CONN_<VENDOR> (may be empty)",
    )
    rebuild.add_argument("--dry-run", action="store_true", help="only list what would be loaded")


def _check_restore(arguments: argparse.Namespace) -> None:
    from include.recovery import check, restore

    keyring, engine = read_keyring(), open_database(MIGRATE)
    fingerprint = check.find_fingerprint(read_file(arguments.path), read_time(arguments.time))
    marked = restore.record(engine)
    print(
        "This restore was recorded before."
        if marked is None
        else f"Stale refresh tokens: {marked}. Syncs wait for a read-back."
    )
    staging = open_staging(keyring) if os.environ.get("TRIBUTARY_STAGING_ROOT") else None
    if problems := check.check(engine, keyring, fingerprint, staging):
        print("\n".join(problems))
        raise DataQualityError(
            "The restored database is not as it was; start nothing on it, and restore again", problems=len(problems)
        )
    print(f"The database is as it was at {fingerprint['known_at']}, to the cent.")


def _rebuild(arguments: argparse.Namespace) -> None:
    from include.rebuild.command import rebuild

    keyring, url = read_keyring(), read_database_url(MIGRATE)
    original = read_database_url(ORIGINAL) if os.environ.get(ORIGINAL) else None
    for line in rebuild(url, original, open_staging(keyring), keyring, is_dry=arguments.dry_run):
        print(line, flush=True)
