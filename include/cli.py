"""Commands for a production installation. All are safe to run again.

Each command reads the environment variables listed beside it, because secrets do not belong on a command line:

python -m include.cli create-roles    TRIBUTARY_ADMIN_URL; TRIBUTARY_<ROLE>_PASSWORD for MIGRATE, LOAD, READ, LISTENER, GATEWAY, API and WEB
python -m include.cli migrate         TRIBUTARY_MIGRATE_URL
python -m include.cli generate-keys   (none)
python -m include.cli receiving-key   TRIBUTARY_KEYS
python -m include.cli add-keys        TRIBUTARY_MIGRATE_URL, TRIBUTARY_KEYS
python -m include.cli rotate-hash-key [--dry-run]  TRIBUTARY_MIGRATE_URL, TRIBUTARY_KEYS
python -m include.cli reseal-tokens [--dry-run]  TRIBUTARY_MIGRATE_URL, TRIBUTARY_KEYS
python -m include.cli reseal-files [--dry-run]   TRIBUTARY_KEYS, TRIBUTARY_STAGING_ROOT, TRIBUTARY_STAGING_OPTIONS (may be empty)
python -m include.cli check-restore PATH TIME  TRIBUTARY_MIGRATE_URL, TRIBUTARY_KEYS; TRIBUTARY_STAGING_ROOT and _OPTIONS may be empty
python -m include.cli rebuild [--dry-run]  TRIBUTARY_MIGRATE_URL, TRIBUTARY_KEYS, TRIBUTARY_STAGING_ROOT; may be empty:
                                      TRIBUTARY_STAGING_OPTIONS, TRIBUTARY_ORIGINAL_URL, AIRFLOW_CONN_<VENDOR>
python -m include.cli show-file PATH  TRIBUTARY_KEYS, TRIBUTARY_STAGING_ROOT, TRIBUTARY_STAGING_OPTIONS (may be empty)
python -m include.cli show-message ID  TRIBUTARY_LOAD_URL, TRIBUTARY_KEYS
python -m include.cli forget --person ID --by NAME [--yes]  TRIBUTARY_MIGRATE_URL, TRIBUTARY_KEYS, TRIBUTARY_STAGING_ROOT,
                                      TRIBUTARY_STAGING_OPTIONS and TRIBUTARY_DATA_DOCS (both may be empty)
python -m include.cli verify-audit    TRIBUTARY_READ_URL, TRIBUTARY_KEYS, TRIBUTARY_AUDIT_ROOT, TRIBUTARY_AUDIT_OPTIONS (may be empty)
python -m include.cli as-of           TRIBUTARY_READ_URL
python -m include.cli exposed         TRIBUTARY_READ_URL
"""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from include.errors import ConfigurationError, DataQualityError, TributaryError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from include.audit.as_of import Record
    from include.keys.keyring import Keyring
    from include.staging.partitions import Staging


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; print a TributaryError as one line and return exit code 1."""
    parser = argparse.ArgumentParser(prog="tributary", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, explanation) in COMMANDS.items():
        command = commands.add_parser(name, help=explanation)
        for argument, meaning in ARGUMENTS.get(name, {}).items():
            command.add_argument(argument, help=meaning, **OPTIONS.get(argument, {}))
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


def _print_receiving_key(_: argparse.Namespace) -> None:
    from include.keys.keyring import Keyring

    print(Keyring.parse(_setting("TRIBUTARY_KEYS"), ("inbox",)).receiving_key.text)


def _add_keys(_: argparse.Namespace) -> None:
    from include.keys import register
    from include.keys.keyring import Keyring
    from include.warehouse import schema

    keyring, engine = Keyring.parse(_setting("TRIBUTARY_KEYS")), schema.engine(_database("TRIBUTARY_MIGRATE_URL"))
    added = register.add(engine, keyring)
    print("Registered: " + (", ".join(added) or "nothing; all keys were registered before"))


def _rotate_hash_key(arguments: argparse.Namespace) -> None:
    from include.keys import rotation
    from include.keys.keyring import Keyring
    from include.warehouse import schema

    keyring, engine = Keyring.parse(_setting("TRIBUTARY_KEYS")), schema.engine(_database("TRIBUTARY_MIGRATE_URL"))
    counts = rotation.count(engine) if arguments.dry_run else rotation.rotate(engine, keyring)
    for place, rows in counts.items():
        if rows:
            print(f"{place}: {rows:,} rows")
    if arguments.dry_run:
        print("Nothing was changed.")
    else:
        print(
            "All hashes are lifted to the new key."
            if counts
            else "The keyring has no new hash key; nothing was changed."
        )


def _reseal_tokens(arguments: argparse.Namespace) -> None:
    from include.control import grants
    from include.keys.keyring import Keyring
    from include.warehouse import schema

    sealer = Keyring.parse(_setting("TRIBUTARY_KEYS"), ("seal",)).sealer
    engine = schema.engine(_database("TRIBUTARY_MIGRATE_URL"))
    if not arguments.dry_run:
        print(f"Encrypted again: {grants.reseal(engine, sealer):,} refresh tokens")
    _print_by_key("refresh tokens", sealer.current, grants.count_by_key(engine))


def _reseal_files(arguments: argparse.Namespace) -> None:
    from include.staging import resealing

    staging = _open_staging()
    if not arguments.dry_run:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        print(f"Encrypted again: {resealing.reseal(staging):,} files")
    _print_by_key("files", staging.key_id, resealing.count(staging))


def _print_by_key(what: str, current: str, counts: Mapping[str, int]) -> None:
    for key_id, number in sorted(counts.items()):
        print(f"Under the key {key_id}{' (current)' if key_id == current else ''}: {number:,} {what}")


def _open_staging(keyring: Keyring | None = None) -> Staging:
    from include.keys.keyring import Keyring
    from include.staging.partitions import Staging

    keyring = keyring or Keyring.parse(_setting("TRIBUTARY_KEYS"), ("staging",))
    options = json.loads(os.environ.get("TRIBUTARY_STAGING_OPTIONS") or "{}")
    return Staging(_setting("TRIBUTARY_STAGING_ROOT"), keyring.staging, options, keyring.redactor)


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
    staging = _open_staging() if os.environ.get("TRIBUTARY_STAGING_ROOT") else None
    if problems := check.check(engine, keyring, fingerprint, staging):
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
    for line in rebuild(
        _database("TRIBUTARY_MIGRATE_URL"), original, _open_staging(keyring), keyring, is_dry=arguments.dry_run
    ):
        print(line, flush=True)


def _show_file(arguments: argparse.Namespace) -> None:
    from include.staging.lines import read_lines

    for line in read_lines(_open_staging(), arguments.path):
        print(line)


def _show_message(arguments: argparse.Namespace) -> None:
    from include.control import inbox
    from include.keys.keyring import Keyring
    from include.warehouse import schema

    if not arguments.id.isdecimal():
        raise ConfigurationError("The id of a message is a number", id=arguments.id)
    keyring, engine = (
        Keyring.parse(_setting("TRIBUTARY_KEYS"), ("inbox",)),
        schema.engine(_database("TRIBUTARY_LOAD_URL")),
    )
    print(inbox.read_body(engine, keyring.inbox, int(arguments.id), getpass.getuser()).decode(errors="replace"))


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


def _as_of(arguments: argparse.Namespace) -> None:
    from include.audit import as_of
    from include.warehouse import schema

    engine, at = schema.engine(_database("TRIBUTARY_READ_URL")), _read_time(arguments.at)
    if at > datetime.now(UTC) - SETTLED:
        print(
            "The time is less than 30 minutes ago: loads that still run may add to what is known then", file=sys.stderr
        )
    if arguments.firm:
        first, last = _read_date(arguments.first), _read_date(arguments.last)
        _print_firm(as_of.read_firm(engine, at, first, last, arguments.by), arguments.json)
        return
    records = _find_records(engine, arguments)
    found = {each: as_of.read_record(engine, each, at, _read_date(arguments.on), arguments.by) for each in records}
    if not any(found.values()):
        raise DataQualityError("The record was not known at this time", at=at, on=arguments.on, records=list(found))
    _print_records({record: rows for record, rows in found.items() if rows}, arguments.json)


def _find_records(engine: sa.Engine, arguments: argparse.Namespace) -> list[Record]:
    from include.audit import as_of

    if arguments.id:
        if not arguments.id.isdecimal():
            raise ConfigurationError("The id is not a number", id=arguments.id)
        return [as_of.find_record(engine, int(arguments.id))]
    if not (arguments.vendor and arguments.entity and arguments.key):
        raise ConfigurationError("Name a record with --vendor, --entity and --key, or with --id; or use --firm")
    entities = as_of.find_entities(engine, arguments.vendor, arguments.entity)
    return [as_of.Record(entity, arguments.vendor, arguments.key) for entity in entities]


def _print_records(records: dict[Record, list[dict[str, Any]]], is_json: bool) -> None:
    from include.audit import report

    if is_json:
        print(report.format_json([asdict(record) | {"fields": rows} for record, rows in records.items()]))
        return
    columns = ("field", "value", "known_from", "run_id", "partition", "calls", "first_call_at")
    for record, rows in records.items():
        first, last = rows[0]["valid_from"], rows[0]["valid_to"]
        print(f"{record.entity} {record.key} of {record.vendor}, valid from {first or 'any day'} until {last or 'now'}")
        print(report.format_table(rows, columns))


def _print_firm(rows: list[dict[str, Any]], is_json: bool) -> None:
    from include.audit import report

    if is_json:
        print(report.format_json(rows))
        return
    columns = (
        "business_date",
        "vendor",
        "entity",
        "records",
        "market_value_usd",
        "loads",
        "last_run",
        "partition",
        "calls",
    )
    for row in rows:
        last = row["sources"][-1] if row["sources"] else {}
        row |= {
            "loads": len(row["ledger_ids"]),
            "last_run": last.get("run_id"),
            "partition": last.get("partition"),
            "calls": last.get("calls"),
        }
    print(report.format_table(rows, columns))


def _exposed(arguments: argparse.Namespace) -> None:
    from include.audit import exposure, report
    from include.warehouse import schema

    since, until = (_read_time(text) if text else None for text in (arguments.since, arguments.until))
    if not (arguments.run or arguments.actor or since):
        raise ConfigurationError("Name a run with --run, an actor with --actor, or a period with --from and --to")
    scope = exposure.Scope(arguments.run, arguments.actor, since, until)
    exposed = exposure.read(schema.engine(_database("TRIBUTARY_READ_URL")), scope, arguments.by)
    write = report.format_csv if arguments.csv else report.format_table
    print(write(exposed.clients, exposure.COLUMNS))
    print("\nThis list can't know:", *exposed.gaps, sep="\n- ", file=sys.stderr if arguments.csv else sys.stdout)


def _read_date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ConfigurationError("The date is not like 2026-12-01", date=text) from None


def _forget(arguments: argparse.Namespace) -> None:
    from include.keys.keyring import Keyring
    from include.retention import forget
    from include.warehouse import schema

    keyring, docs = Keyring.parse(_setting("TRIBUTARY_KEYS")), os.environ.get("TRIBUTARY_DATA_DOCS")
    store = forget.Store(
        schema.engine(_database("TRIBUTARY_MIGRATE_URL")),
        _open_staging(keyring),
        Path(docs) if docs else None,
        keyring.redactor.hash,
    )
    result = forget.forget(store, arguments.person, arguments.by, is_dry=not arguments.yes)
    print("\n".join(forget.describe(result, is_dry=not arguments.yes)))


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
    "receiving-key": (_print_receiving_key, "print the half of the inbox key that the gateway and the triggerer get"),
    "add-keys": (_add_keys, "register the new keys of a keyring, before tasks use them"),
    "rotate-hash-key": (_rotate_hash_key, "lift the stored hashes to the keyring's new hash key, and register the key"),
    "reseal-tokens": (_reseal_tokens, "encrypt refresh tokens again under the newest seal key"),
    "reseal-files": (_reseal_files, "encrypt files of the staging folder again under the newest staging key"),
    "verify-audit": (_verify_audit, "verify the audit trail against its seals and the published heads"),
    "as-of": (_as_of, "show a record, or the firm's totals, as known at a time"),
    "exposed": (_exposed, "list whose data a run, an actor, or anyone in a period has touched"),
    "check-restore": (_check_restore, "check a database that was restored from a backup, before anything runs on it"),
    "forget": (_forget, "dispose of a person's data that no duty keeps; without --yes, list it only"),
    "rebuild": (_rebuild, "create the warehouse again from staging, in an empty, migrated database"),
    "show-file": (_show_file, "decrypt a file of the staging folder and print it as lines"),
    "show-message": (
        _show_message,
        "decrypt a message of the inbox and print it; the audit trail records who opened it",
    ),
}
_BY = {"--by": "your name, for the audit trail"}
_JSON = {"--json": "print JSON"}
ARGUMENTS = {
    "as-of": {
        "--at": "time of the knowledge, such as 2026-12-01T16:30:00+00:00",
        "--vendor": "vendor of the record",
        "--entity": "canonical entity, or the vendor's table",
        "--key": "the vendor's key of the record",
        "--id": "our own id of the record, instead of vendor, entity and key",
        "--on": "day on which the version is valid; by default the newest version",
        "--firm": "show the totals of the firm by vendor and business date instead of a record",
        "--first": "first business date of the totals",
        "--last": "last business date of the totals",
    }
    | _BY
    | _JSON,
    "exposed": {
        "--run": "Airflow's run id",
        "--actor": "person or program, as the audit trail names it",
        "--from": "start of the period, such as 2026-12-01T00:00:00+00:00",
        "--to": "end of the period, not included; by default now",
        "--csv": "print CSV; what the list can't know goes to the error output",
    }
    | _BY,
    "check-restore": {
        "path": "output of `pgbackrest info --output=json`",
        "time": "to which the database was restored, such as 2026-12-01T16:30:00+00:00",
    },
    "rotate-hash-key": {"--dry-run": "only count the rows with hashes"},
    "reseal-tokens": {"--dry-run": "only count the refresh tokens by key"},
    "reseal-files": {"--dry-run": "only count the files by key"},
    "show-message": {"id": "the column inbox_id of control.inbox"},
    "forget": {
        "--person": "our id of the person, or <vendor>:<key>",
        "--by": "who decided it, for the audit trail",
        "--yes": "do it; it can't be undone",
    },
    "rebuild": {"--dry-run": "only list what would be loaded"},
    "show-file": {"path": "below the root, such as <vendor>/<table>/<business_date>/<pull_id>/dead.jsonl"},
}
"""Arguments with their help, by command."""
OPTIONS: dict[str, dict[str, Any]] = {
    "--at": {"required": True},
    "--by": {"required": True},
    "--csv": {"action": "store_true"},
    "--dry-run": {"action": "store_true"},
    "--from": {"dest": "since"},
    "--to": {"dest": "until"},
    "--firm": {"action": "store_true"},
    "--json": {"action": "store_true"},
    "--person": {"required": True},
    "--yes": {"action": "store_true"},
}
"""Settings of arguments that are no plain text."""
SETTLED = timedelta(minutes=30)
"""A transaction takes at most this long, so what was known before that can no longer change."""

if __name__ == "__main__":
    sys.exit(main())
