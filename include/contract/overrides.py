"""What a firm chooses about a vendor, in the extra fields of its Airflow connection: fewer calls, and what is not public.

budget     {"calls_per_minute": 60, "burst": 5, "calls_per_hour": {"monte_carlo": 100}}: at most what is declared
paths      {"accounts": "v2/accounts"}: where a table is, or `closed`, the question for the day that the vendor has closed
limits     {"expanded_bytes": 2000000000, "rows": 50000000}: other bounds of one response or one pull than the declared ones
columns    {"holdings": {"account_id": "Acct No"}}: the vendor's own name of a column, by ours
ignore_clock  true: the `Date` header of the vendor's responses is known to be wrong; do not compare our clocks with it
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from include.contract import Budget, Limits, Table, Vendor
from include.errors import ConfigurationError


def configured(vendor: Vendor, extra: Mapping[str, str]) -> Vendor:
    """Returns the declaration with what the firm chose; what is configured already stays as it is.

    Raises:
        ConfigurationError: A choice makes no sense, or asks for more calls than are declared.
    """
    for name, read in (("budget", _fewer), ("paths", _moved), ("columns", _renamed), ("limits", _bounded)):
        try:
            if name in extra:
                vendor = read(vendor, _object(json.loads(extra[name])))
        except ValueError as error:
            raise ConfigurationError(f"The connection's `{name}` makes no sense: {error}", vendor=vendor.name) from None
    return vendor


def ignores_clock(extra: Mapping[str, str]) -> bool:
    """Whether the vendor's clock is known to be wrong.

    Raises:
        ConfigurationError: The value is neither true nor false.
    """
    value = extra.get("ignore_clock", "false").lower()
    if value not in ("true", "false"):
        raise ConfigurationError(f"The connection's `ignore_clock` is {value!r}, not true or false")
    return value == "true"


def _fewer(vendor: Vendor, chosen: dict[str, Any]) -> Vendor:
    declared: Budget = vendor.budget
    per_hour = _lowered(declared.calls_per_hour, _object(chosen.pop("calls_per_hour", {})))
    most = {"calls_per_minute": declared.calls_per_minute, "burst": declared.burst}
    return replace(vendor, budget=replace(declared, **_lowered(most, chosen), calls_per_hour=per_hour))


def _lowered(declared: Mapping[str, float], chosen: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in chosen.items():
        most = declared[_known(name, declared)]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number and 0 < value <= most):
            raise ValueError(f"{name} is {value!r}, not a number above 0 and up to {most:g}")
    return {**declared, **chosen}


def _moved(vendor: Vendor, chosen: dict[str, Any]) -> Vendor:
    closed = {"closed": vendor.closed.path} if vendor.closed else {}
    known = {table.name: table.path for table in vendor.asked if table.path} | closed
    for name, path in chosen.items():
        held = re.findall(r"{.*?}", known[_known(name, known)])
        if not (isinstance(path, str) and re.fullmatch(r"[\w.{}-]+(/[\w.{}-]+)*", path) and ".." not in path):
            raise ValueError(f"{name} is {path!r}, no path below the base URL")
        if sorted(re.findall(r"{.*?}", path)) != sorted(held):
            raise ValueError(f"{name} needs {' and '.join(held) or 'no column'} in its path")
    tables = tuple(replace(table, path=chosen.get(table.name, table.path)) for table in vendor.tables)
    probe = vendor.closed and replace(vendor.closed, path=chosen.get("closed", vendor.closed.path))
    return replace(vendor, tables=tables, closed=probe)


def _bounded(vendor: Vendor, chosen: dict[str, Any]) -> Vendor:
    for name, value in chosen.items():
        _known(name, Limits.__slots__)
        if not (isinstance(value, int) and not isinstance(value, bool) and value > 0):
            raise ValueError(f"{name} is {value!r}, not a whole number above 0")
    return replace(vendor, limits=replace(vendor.limits, **chosen))


def _renamed(vendor: Vendor, chosen: dict[str, Any]) -> Vendor:
    for name in chosen:
        _known(name, [table.name for table in vendor.tables])
    return replace(
        vendor, tables=tuple(_with_names(each, _object(chosen.get(each.name, {}))) for each in vendor.tables)
    )


def _with_names(table: Table, names: dict[str, Any]) -> Table:
    theirs = [col.name for col in table.columns if col.source[0] not in "@^"]
    for name, source in names.items():
        _known(f"{table.name}.{name}", [f"{table.name}.{each}" for each in theirs])
        if not (isinstance(source, str) and source.strip() and source[0] not in "@^"):
            raise ValueError(f"{table.name}.{name} is {source!r}, no field's name")
    return replace(table, columns=tuple(replace(col, source=names.get(col.name, col.source)) for col in table.columns))


def _known(name: str, names: Collection[str]) -> str:
    if name not in names:
        raise ValueError(f"{name} is none of {', '.join(names) or 'nothing'}")
    return name


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value
