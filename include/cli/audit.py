"""Commands for auditors: verify the audit trail, show what was known at a time, and list whose data was touched."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from include.cli.command import (
    KEYS,
    READ,
    Commands,
    add_command,
    open_database,
    read_date,
    read_id,
    read_keyring,
    read_options,
    read_setting,
    read_time,
)
from include.errors import ConfigurationError, DataQualityError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from include.audit.as_of import Record

SETTLED = timedelta(minutes=30)
"""Longest duration of a transaction. What was known at a time longer ago than this can no longer change."""
_FIELDS = ("field", "value", "known_from", "run_id", "partition", "calls", "first_call_at")
_TOTALS = (
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


def add_commands(commands: Commands) -> None:
    """Declare the commands of this module."""
    heads = "TRIBUTARY_AUDIT_ROOT, TRIBUTARY_AUDIT_OPTIONS (may be empty)"
    add_command(
        commands,
        "verify-audit",
        _verify_audit,
        "verify the audit trail against its seals and the published heads",
        READ,
        KEYS,
        heads,
    )

    as_of = add_command(commands, "as-of", _show_as_of, "show a record, or the firm's totals, as known at a time", READ)
    as_of.add_argument("--at", required=True, help="time of the knowledge, such as 2026-12-01T16:30:00+00:00")
    as_of.add_argument("--vendor", help="vendor of the record")
    as_of.add_argument("--entity", help="canonical entity, or the vendor's table")
    as_of.add_argument("--key", help="the vendor's key of the record")
    as_of.add_argument("--id", help="our own id of the record, instead of vendor, entity and key")
    as_of.add_argument("--on", help="day on which the version is valid; by default the newest version")
    as_of.add_argument(
        "--firm",
        action="store_true",
        help="show the totals of the firm by vendor and business date instead of a record",
    )
    as_of.add_argument("--first", help="first business date of the totals")
    as_of.add_argument("--last", help="last business date of the totals")
    as_of.add_argument("--json", action="store_true", help="print JSON")
    as_of.add_argument("--by", required=True, help="your name, for the audit trail")

    exposed = add_command(
        commands, "exposed", _list_exposed, "list whose data a run, an actor, or anyone in a period has touched", READ
    )
    exposed.add_argument("--run", dest="run_id", help="Airflow's run id")
    exposed.add_argument("--actor", help="person or program, as the audit trail names it")
    exposed.add_argument("--from", dest="since", help="start of the period, such as 2026-12-01T00:00:00+00:00")
    exposed.add_argument("--to", dest="until", help="end of the period, not included; by default now")
    exposed.add_argument(
        "--csv", action="store_true", help="print CSV; what the list can't know goes to the error output"
    )
    exposed.add_argument("--by", required=True, help="your name, for the audit trail")


def _verify_audit(_: argparse.Namespace) -> None:
    from include.audit import chain
    from include.audit.head import Heads

    keys = read_keyring("audit").audit
    heads = list(Heads(read_setting("TRIBUTARY_AUDIT_ROOT"), keys, read_options("TRIBUTARY_AUDIT_OPTIONS")).read())
    if not heads:
        raise ConfigurationError(
            "No published head is in TRIBUTARY_AUDIT_ROOT, so a rewritten chain would not be detected"
        )
    verdict = chain.verify(open_database(READ), keys, heads)
    chain.require_intact(verdict)
    print(f"The audit trail is intact: {verdict.entries} entries; {len(heads)} published heads fit")


def _show_as_of(arguments: argparse.Namespace) -> None:
    from include.audit import as_of

    engine, at = open_database(READ), read_time(arguments.at)
    if at > datetime.now(UTC) - SETTLED:
        print(
            "The time is less than 30 minutes ago: loads that still run may add to what is known then", file=sys.stderr
        )
    if arguments.firm:
        first, last = read_date(arguments.first), read_date(arguments.last)
        _print_firm(as_of.read_firm(engine, at, first, last, arguments.by), arguments.json)
        return
    records = _find_records(engine, arguments)
    found = {each: as_of.read_record(engine, each, at, read_date(arguments.on), arguments.by) for each in records}
    if not any(found.values()):
        raise DataQualityError("The record was not known at this time", at=at, on=arguments.on, records=list(found))
    _print_records({record: rows for record, rows in found.items() if rows}, arguments.json)


def _find_records(engine: sa.Engine, arguments: argparse.Namespace) -> list[Record]:
    from include.audit import as_of

    if arguments.id:
        return [as_of.find_record(engine, read_id(arguments.id))]
    if not (arguments.vendor and arguments.entity and arguments.key):
        raise ConfigurationError("Name a record with --vendor, --entity and --key, or with --id; or use --firm")
    entities = as_of.find_entities(engine, arguments.vendor, arguments.entity)
    return [as_of.Record(entity, arguments.vendor, arguments.key) for entity in entities]


def _print_records(records: dict[Record, list[dict[str, Any]]], is_json: bool) -> None:
    from include.audit import report

    if is_json:
        print(report.format_json([asdict(record) | {"fields": rows} for record, rows in records.items()]))
        return
    for record, rows in records.items():
        first, last = rows[0]["valid_from"], rows[0]["valid_to"]
        print(f"{record.entity} {record.key} of {record.vendor}, valid from {first or 'any day'} until {last or 'now'}")
        print(report.format_table(rows, _FIELDS))


def _print_firm(rows: list[dict[str, Any]], is_json: bool) -> None:
    from include.audit import report

    if is_json:
        print(report.format_json(rows))
        return
    for row in rows:
        last = row["sources"][-1] if row["sources"] else {}
        row |= {
            "loads": len(row["ledger_ids"]),
            "last_run": last.get("run_id"),
            "partition": last.get("partition"),
            "calls": last.get("calls"),
        }
    print(report.format_table(rows, _TOTALS))


def _list_exposed(arguments: argparse.Namespace) -> None:
    from include.audit import exposure, report

    since, until = (read_time(text) if text else None for text in (arguments.since, arguments.until))
    if not (arguments.run_id or arguments.actor or since):
        raise ConfigurationError("Name a run with --run, an actor with --actor, or a period with --from and --to")
    scope = exposure.Scope(arguments.run_id, arguments.actor, since, until)
    exposed = exposure.read(open_database(READ), scope, arguments.by)
    write = report.format_csv if arguments.csv else report.format_table
    print(write(exposed.clients, exposure.COLUMNS))
    print("\nThis list can't know:", *exposed.gaps, sep="\n- ", file=sys.stderr if arguments.csv else sys.stdout)
