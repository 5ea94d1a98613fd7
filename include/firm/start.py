"""Write a firm's folder in which every line is commented out, generated from the declarations.

A line that begins with `## ` explains. Without its `# `, any other line is valid, and as it is written it changes nothing: a firm removes
the `# ` and changes the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from include.contract import Column, Table, Vendor
from include.control.alerts import KINDS
from include.crm.settings import ShapeName
from include.errors import ConfigurationError
from include.firm.alerts import DEFAULT
from include.firm.catalogue import OF_SEVERAL
from include.firm.content import ALERTS, MAPPING, RULES, THRESHOLDS, VENDORS
from include.firm.mapping import OWNERS, Declared, list_declared, name_of_record_type
from include.firm.vendors import find_suite_columns
from include.rules.policy import Policy
from include.rules.thresholds import export, list_thresholds
from include.validation.suite import IN_SET, RANGE
from include.vendors import VENDORS as DECLARED_VENDORS

EXAMPLE = f"{RULES}/firm_cash.py"
_HEAD = "Lines that begin with ## explain. Remove the `# ` of a line, and of the lines above it that it belongs to, and change the value."
_RULE = '''from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_accounts, dollars, usd
from include.rules.policy import Policy
from include.rules.rule import Rule
from include.rules.snapshot import Snapshot


def find_much_cash(snapshot: Snapshot, policy: Policy) -> pa.Table:
    """Find accounts with more than a million dollars in cash."""
    much = snapshot.accounts.filter(pc.greater(snapshot.accounts["cash_usd"], usd(Decimal(1_000_000))))
    return about_accounts(much, much["cash_usd"], "Cash of ", dollars(much["cash_usd"]), " is in the account.")


RULES = (Rule("firm_much_cash", find_much_cash, "info", "Invest a large cash balance", 5),)
'''


def write_start(folder: Path, shape: ShapeName = "managed_package") -> list[Path]:
    """Write the files into a folder, with the mapping of a shape of org, and return their paths.

    Raises:
        ConfigurationError: The folder has one of the files already.
    """
    files = {folder / name: content for name, content in render_start(shape).items()}
    if existing := sorted(path.name for path in files if path.exists()):
        raise ConfigurationError(
            "The firm's folder has files already; nothing was written", folder=folder, files=", ".join(existing)
        )
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return list(files)


def render_start(shape: ShapeName = "managed_package") -> dict[str, str]:
    """Return the content of each file, by path in the folder."""
    documents = {
        MAPPING: _list_mapping(shape),
        VENDORS: _list_vendors(),
        THRESHOLDS: _list_thresholds(),
        ALERTS: (f"{kind}: [{DEFAULT}]" for kind in KINDS),
        EXAMPLE: iter(_RULE.splitlines()),
    }
    return {name: "\n".join((f"## {_HEAD}", *_comment(lines), "")) for name, lines in documents.items()}


def _comment(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield line if line.startswith("##") else f"# {line}".rstrip()


def _list_mapping(shape: ShapeName) -> Iterator[str]:
    yield f"## An object has `send`, `record_type`, `record_owner` and `fields`. A field is `drop`, or has `name`, `owner` ({', '.join(OWNERS)}) and `values`."
    yield "## A new field shows a column: `Plan__c: {column: mart.plan_freshness.probability_ratio, daily: true, label: Plan}`."
    yield f"## If a relation has several rows for a record, add `of_several`: {', '.join(OF_SEVERAL)}. A text has a `length`."
    yield "## record_owner: {by_code: {REP1: anna@firm.example}, default: office@firm.example, owner: firm}"
    for entity, declared in list_declared(shape).items():
        yield "##"
        yield f"## {declared.sobject}; relations are joined by {', '.join(declared.ids) or 'nothing'}"
        yield f"{entity}:"
        yield "  send: true"
        yield from _list_record_type(declared)
        yield "  fields:"
        for name, field in declared.fields.items():
            if name != name_of_record_type():
                values = ", ".join(f"{_quote(value)}: {_quote(value)}" for value in field.values)
                mapped = f", values: {{{values}}}" if values and field.kind == "text" else ""
                yield f"    {name}: {{owner: {field.owner}{mapped}}}"


def _list_record_type(declared: Declared) -> Iterator[str]:
    field = declared.fields.get(name_of_record_type())
    if field is not None:
        yield f"  record_type: {field.values[0]}"


def _list_vendors() -> Iterator[str]:
    yield "## codes: {transactions: {type_code: {RIN: DRI}}} gives a code of yours the effect of a declared one."
    for vendor in DECLARED_VENDORS:
        yield "##"
        yield f"{vendor.name}:"
        yield "  paths:"
        yield from (f"    {table.name}: {_quote(table.path)}" for table in vendor.requested_tables if table.path)
        yield "  columns:"
        for table in vendor.tables:
            if columns := [each for each in table.columns if _can_rename(each)]:
                yield f"    {table.name}:"
                yield from (f"      {each.name}: {_quote(each.source)}" for each in columns)
        yield "  bounds:"
        for table in vendor.requested_tables:
            yield from _list_bounds(vendor, table)


def _can_rename(column: Column) -> bool:
    return column.kind != "ignored" and column.source[0] not in "@^"


def _list_bounds(vendor: Vendor, table: Table) -> Iterator[str]:
    for name, each in find_suite_columns(vendor, table, IN_SET).items():
        yield f"## {table.name}.{name} has the codes {', '.join(map(str, each.kwargs['value_set']))}"
    yield f"    {table.name}:"
    for name, each in find_suite_columns(vendor, table, RANGE).items():
        bounds = ", ".join(
            f"{bound}: {each.kwargs[f'{bound}_value']}" for bound in ("min", "max") if f"{bound}_value" in each.kwargs
        )
        yield f"      {name}: {{{bounds}}}"


def _list_thresholds() -> Iterator[str]:
    defaults = Policy()
    for each in list_thresholds(defaults):
        yield f"## {each.description}"
        yield f"{each.name}: {_write(export(getattr(defaults, each.name)))}"


def _write(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_quote, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
