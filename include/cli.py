"""Commands for a production installation. All are safe to run again.

Each command reads the environment variables listed beside it, because secrets do not belong on a command line:

python -m include.cli create-roles    TRIBUTARY_ADMIN_URL; TRIBUTARY_<ROLE>_PASSWORD for MIGRATE, LOAD, READ, LISTENER, GATEWAY, API and WEB
python -m include.cli migrate         TRIBUTARY_MIGRATE_URL
python -m include.cli generate-keys   (none)
python -m include.cli add-keys        TRIBUTARY_MIGRATE_URL, TRIBUTARY_KEYS
python -m include.cli check-restore PATH TIME  TRIBUTARY_MIGRATE_URL, TRIBUTARY_KEYS
python -m include.cli rebuild [--dry-run]  TRIBUTARY_MIGRATE_URL, TRIBUTARY_KEYS, TRIBUTARY_STAGING_ROOT; may be empty:
                                      TRIBUTARY_STAGING_OPTIONS, TRIBUTARY_ORIGINAL_URL, AIRFLOW_CONN_<VENDOR>
python -m include.cli show-file PATH  TRIBUTARY_KEYS, TRIBUTARY_STAGING_ROOT, TRIBUTARY_STAGING_OPTIONS (may be empty)
python -m include.cli verify-audit    TRIBUTARY_READ_URL, TRIBUTARY_KEYS, TRIBUTARY_AUDIT_ROOT, TRIBUTARY_AUDIT_OPTIONS (may be empty)
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from include.errors import ConfigurationError, DataQualityError, TributaryError

if TYPE_CHECKING:
    from include.staging.partitions import Staging


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; print a TributaryError as one line and return exit code 1."""
    parser = argparse.ArgumentParser(prog="tributary", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, explanation) in COMMANDS.items():
        command = commands.add_parser(name, help=explanation)
        for argument, meaning in ARGUMENTS.get(name, {}).items():
            action = "store_true" if argument.startswith("--") else "store"
            command.add_argument(argument, help=meaning, action=action)
    arguments = parser.parse_args(argv)
    try:
        COMMANDS[arguments.command][0](arguments)
    except TributaryError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _create_roles(_: argparse.Namespace) -> None:
    from include.warehouse import schema

    passwords = {role: _setting(f"{role.upper()}_PASSWORD") for role in schema.ROLES}
    schema.create_roles(_database("TRIBUTARY_ADMIN_URL"), passwords)
    print("Roles: " + ", ".join(passwords))


def _migrate(_: argparse.Namespace) -> None:
    from include.warehouse import schema

    schema.migrate(_database("TRIBUTARY_MIGRATE_URL"))
    print("The schema is at its newest version.")


def _generate_keys(_: argparse.Namespace) -> None:
    from include.keys.keyring import generate

    print(generate(datetime.now(UTC).date().isoformat()))


def _add_keys(_: argparse.Namespace) -> None:
    from include.keys import register
    from include.keys.keyring import Keyring
    from include.warehouse import schema

    keyring, engine = Keyring.parse(_setting("TRIBUTARY_KEYS")), schema.engine(_database("TRIBUTARY_MIGRATE_URL"))
    added = register.add(engine, keyring)
    print("Registered: " + (", ".join(added) or "nothing; all keys were registered before"))


def _check_restore(arguments: argparse.Namespace) -> None:
    from include.keys.keyring import Keyring
    from include.recovery import check, restore
    from include.warehouse import schema

    keyring, engine = Keyring.parse(_setting("TRIBUTARY_KEYS")), schema.engine(_database("TRIBUTARY_MIGRATE_URL"))
    fingerprint = check.find_fingerprint(_read_file(arguments.path), _read_time(arguments.time))
    marked = restore.record(engine)
    print(
        "This restore was recorded before."
        if marked is None
        else f"Stale refresh tokens: {marked}. Syncs wait for a read-back."
    )
    if problems := check.check(engine, keyring, fingerprint):
        print("\n".join(problems))
        raise DataQualityError(
            "The restored database is not as it was; start nothing on it, and restore again", problems=len(problems)
        )
    print(f"The database is as it was at {fingerprint['known_at']}, to the cent.")


def _rebuild(arguments: argparse.Namespace) -> None:
    from include.keys.keyring import Keyring
    from include.rebuild.command import rebuild

    keyring = Keyring.parse(_setting("TRIBUTARY_KEYS"))
    original = _database("TRIBUTARY_ORIGINAL_URL") if os.environ.get("TRIBUTARY_ORIGINAL_URL") else None
    for line in rebuild(_database("TRIBUTARY_MIGRATE_URL"), original, _staging(), keyring, is_dry=arguments.dry_run):
        print(line, flush=True)


def _show_file(arguments: argparse.Namespace) -> None:
    from include.staging.lines import read_lines

    for line in read_lines(_staging(), arguments.path):
        print(line)


def _staging() -> Staging:
    from include.keys.keyring import Keyring
    from include.staging.partitions import Staging

    keyring = Keyring.parse(_setting("TRIBUTARY_KEYS"), ("staging",))
    options = json.loads(os.environ.get("TRIBUTARY_STAGING_OPTIONS") or "{}")
    return Staging(_setting("TRIBUTARY_STAGING_ROOT"), keyring.staging, options)


def _verify_audit(_: argparse.Namespace) -> None:
    from include.audit import chain
    from include.audit.head import Heads
    from include.keys.keyring import Keyring
    from include.warehouse import schema

    keys = Keyring.parse(_setting("TRIBUTARY_KEYS"), ("audit",)).audit
    options = json.loads(os.environ.get("TRIBUTARY_AUDIT_OPTIONS") or "{}")
    heads = list(Heads(_setting("TRIBUTARY_AUDIT_ROOT"), keys, options).read())
    if not heads:
        raise ConfigurationError(
            "No published head is in TRIBUTARY_AUDIT_ROOT, so a chain that was written anew would not be found"
        )
    verdict = chain.verify(schema.engine(_database("TRIBUTARY_READ_URL")), keys, heads)
    chain.require_intact(verdict)
    print(f"The audit trail is intact: {verdict.entries} entries; {len(heads)} published heads fit")


def _read_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError("The file can't be read", path=path, cause=error.strerror) from None


def _read_time(text: str) -> datetime:
    with suppress(ValueError):
        time = datetime.fromisoformat(text)
        if time.tzinfo:
            return time
    raise ConfigurationError("The time is not like 2026-12-01T16:30:00+00:00", time=text)


def _setting(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ConfigurationError(f"The environment variable {name} is not set")
    return value


def _database(name: str) -> str:
    """Return the database URL in an environment variable; raise ConfigurationError if it is missing or invalid.

    The check comes first because the driver's error would quote an invalid URL with its password.
    """
    url = _setting(name)
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme == "postgresql" and bool(parts.hostname and parts.path.strip("/"))
        _ = parts.port
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ConfigurationError(f"{name} is not a URL like postgresql://user:password@host:5432/database")
    return url


COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], None], str]] = {
    "create-roles": (_create_roles, "create the database roles, or set their passwords"),
    "migrate": (_migrate, "migrate the database schema to the newest version"),
    "generate-keys": (_generate_keys, "print a new keyring of random keys"),
    "add-keys": (_add_keys, "register the new keys of a keyring, before tasks use them"),
    "verify-audit": (_verify_audit, "verify the audit trail against its seals and the published heads"),
    "check-restore": (_check_restore, "check a database that was restored from a backup, before anything runs on it"),
    "rebuild": (_rebuild, "create the warehouse again from staging, in an empty, migrated database"),
    "show-file": (_show_file, "decrypt a file of the staging folder and print it as lines"),
}
ARGUMENTS = {
    "check-restore": {
        "path": "output of `pgbackrest info --output=json`",
        "time": "to which the database was restored, such as 2026-12-01T16:30:00+00:00",
    },
    "rebuild": {"--dry-run": "only list what would be loaded"},
    "show-file": {"path": "below the root, such as <vendor>/<table>/<business_date>/<pull_id>/dead.jsonl"},
}
"""Arguments with their help, by command."""

if __name__ == "__main__":
    sys.exit(main())
