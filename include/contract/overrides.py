"""Overrides of a vendor's declaration, from the extra fields of its Airflow connection and from the firm's folder.

budget     {"calls_per_minute": 60, "burst": 5, "calls_per_hour": {"monte_carlo": 100}}: rate limits, equal to or below the declared ones
paths      {"accounts": "v2/accounts"}: path of a table; the name `closed` is the request for the last day that the vendor has closed
limits     {"expanded_bytes": 2000000000, "rows": 50000000}: limits of one response or one pull, in place of the declared ones
columns    {"holdings": {"account_id": "Account Ref"}}: for a table, staged column -> the vendor's field name. If the field holds account
           numbers: {"account_id": {"field": "Acct No", "hashed": true}}; then the keyed hash of the value is staged in its place
codes      {"transactions": {"type_code": {"RIN": "DRI"}}}: for a table and staged column, the firm's code -> the declared code that has its
           effect. The warehouse keeps the firm's code. Only from the firm's folder
bounds     {"accounts": {"cash_usd": {"max": "5000000000"}}}: for a table and the column or measure of an expectation, its bounds. Only from
           the firm's folder
retained   {"clients": ["tax_id"]}: for a table, sensitive columns whose values are sealed and stored in `warehouse.sealed_value`
ignore_clock  true: the `Date` header of the vendor's responses is known to be wrong, so it is not used to check our clocks
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from include.contract import STRING, Budget, Constant, Derived, EntityMap, FanOut, Limits, Table, Translated, Vendor
from include.errors import ConfigurationError


def apply_overrides(vendor: Vendor, extra: Mapping[str, str]) -> Vendor:
    """Return the declaration with the overrides of a connection applied; applying the same overrides again changes nothing.

    Raises:
        ConfigurationError: An override is invalid, or allows more calls than the declaration.
    """
    for name in _OVERRIDES:
        try:
            if name in extra:
                vendor = override(vendor, name, json.loads(extra[name]))
        except ValueError as error:
            raise ConfigurationError(
                f"Invalid `{name}` in the connection's extra: {error}", vendor=vendor.name
            ) from None
    return vendor


def override(vendor: Vendor, name: str, values: Any) -> Vendor:
    """Return the declaration with one override applied.

    Args:
        vendor: The declaration.
        name: Name of the override.
        values: Its value, from JSON.

    Raises:
        ValueError: The value is invalid.
    """
    return _OVERRIDES[name](vendor, _check_object(values))


def ignores_clock(extra: Mapping[str, str]) -> bool:
    """Return whether the connection's extra has `ignore_clock` set to true.

    Raises:
        ConfigurationError: The value is neither true nor false.
    """
    value = extra.get("ignore_clock", "false").lower()
    if value not in ("true", "false"):
        raise ConfigurationError(f"The connection's `ignore_clock` is {value!r}, not true or false")
    return value == "true"


def _lower_budget(vendor: Vendor, overrides: dict[str, Any]) -> Vendor:
    declared: Budget = vendor.budget
    per_hour = _lower(declared.calls_per_hour, _check_object(overrides.pop("calls_per_hour", {})))
    most = {"calls_per_minute": declared.calls_per_minute, "burst": declared.burst}
    return replace(vendor, budget=replace(declared, **_lower(most, overrides), calls_per_hour=per_hour))


def _lower(declared: Mapping[str, float], overrides: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in overrides.items():
        most = declared[_check_known(name, declared)]
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number and 0 < value <= most):
            raise ValueError(f"{name} is {value!r}, not a number above 0 and up to {most:g}")
    return {**declared, **overrides}


def _move_paths(vendor: Vendor, overrides: dict[str, Any]) -> Vendor:
    closed = {"closed": vendor.closed.path} if vendor.closed else {}
    known = {table.name: table.path for table in vendor.requested_tables if table.path} | closed
    for name, path in overrides.items():
        columns = re.findall(r"{.*?}", known[_check_known(name, known)])
        if not (isinstance(path, str) and re.fullmatch(r"[\w.{}-]+(/[\w.{}-]+)*", path) and ".." not in path):
            raise ValueError(f"{name} is {path!r}, not a path below the base URL")
        if sorted(re.findall(r"{.*?}", path)) != sorted(columns):
            raise ValueError(f"the path of {name} must contain {' and '.join(columns) or 'no column'}")
    tables = tuple(replace(table, path=overrides.get(table.name, table.path)) for table in vendor.tables)
    probe = vendor.closed and replace(vendor.closed, path=overrides.get("closed", vendor.closed.path))
    return replace(vendor, tables=tables, closed=probe)


def _set_limits(vendor: Vendor, overrides: dict[str, Any]) -> Vendor:
    for name, value in overrides.items():
        _check_known(name, Limits.__slots__)
        if not (isinstance(value, int) and not isinstance(value, bool) and value > 0):
            raise ValueError(f"{name} is {value!r}, not a whole number above 0")
    return replace(vendor, limits=replace(vendor.limits, **overrides))


def _rename_columns(vendor: Vendor, overrides: dict[str, Any]) -> Vendor:
    for name in overrides:
        _check_known(name, [table.name for table in vendor.tables])
    renamed = replace(
        vendor,
        tables=tuple(_rename_fields(each, _check_object(overrides.get(each.name, {}))) for each in vendor.tables),
    )
    hashed = {col.name for table in renamed.tables for col in table.columns if col.hashed}
    if lost := sorted(hashed & _find_requested(renamed)):
        raise ValueError(f"{', '.join(lost)} can't be hashed: requests contain the value")
    clear = [
        f"{t.name}.{col.name}" for t in renamed.tables for col in t.columns if col.name in hashed and not col.hashed
    ]
    if clear:
        raise ValueError(
            f"{', '.join(clear)} must also be hashed, because another table's column of this name is hashed"
        )
    return renamed


def _find_requested(vendor: Vendor) -> set[str]:
    """Return the columns whose values requests contain: in paths and headers, and as selected keys."""
    texts = [table.path for table in vendor.requested_tables]
    for table in vendor.requested_tables:
        texts += table.shape.headers.values() if isinstance(table.shape, FanOut) else ()
    keys = {
        name for table in vendor.requested_tables if table.selected or table.name == vendor.keyed for name in table.key
    }
    return keys | {name for text in texts for name in re.findall(r"{(\w+)}", text)}


def _rename_fields(table: Table, names: dict[str, Any]) -> Table:
    theirs = [col.name for col in table.columns if col.source[0] not in "@^"]
    columns = list(table.columns)
    for name, chosen in names.items():
        _check_known(f"{table.name}.{name}", [f"{table.name}.{each}" for each in theirs])
        source, hashed = (chosen.get("field"), chosen.get("hashed")) if isinstance(chosen, dict) else (chosen, False)
        if not (isinstance(source, str) and source.strip() and source[0] not in "@^"):
            raise ValueError(f"{table.name}.{name} is {chosen!r}, not a field name")
        place = next(n for n, col in enumerate(columns) if col.name == name)
        if hashed not in (True, False) or (
            hashed and (columns[place].type != STRING or columns[place].kind != "value")
        ):
            raise ValueError(f"{table.name}.{name} can't be hashed: only a text column can, with `hashed` true")
        columns[place] = replace(columns[place], source=source, hashed=hashed)
    return replace(table, columns=tuple(columns))


def _translate_codes(vendor: Vendor, overrides: dict[str, Any]) -> Vendor:
    for name, columns in overrides.items():
        table = vendor.table(_check_known(name, [table.name for table in vendor.tables]))
        for column, codes in _check_object(columns).items():
            _check_known(f"{name}.{column}", [f"{name}.{col.name}" for col in table.columns if col.type == STRING])
            maps = tuple(_translate(each, column, codes) if each.table == name else each for each in vendor.maps)
            vendor = replace(vendor, maps=maps)
    return replace(vendor, codes=overrides)


def _translate(entity_map: EntityMap, column: str, codes: Mapping[str, str]) -> EntityMap:
    """Return a map whose functions get the declared codes in place of the firm's; columns that are carried as they are stay unchanged."""

    def translate(source: str | Derived | Constant) -> Any:
        if not isinstance(source, Derived) or column not in source.columns:
            return source
        function = source.function.function if isinstance(source.function, Translated) else source.function
        kept = source.function.codes if isinstance(source.function, Translated) else {}
        return replace(source, function=Translated(function, {**kept, source.columns.index(column): codes}))

    return replace(
        entity_map,
        columns={name: translate(source) for name, source in entity_map.columns.items()},
        dropped={name: translate(source) for name, source in entity_map.dropped.items()},
        also_moves=entity_map.also_moves and translate(entity_map.also_moves),
    )


def _set_bounds(vendor: Vendor, overrides: dict[str, Any]) -> Vendor:
    for name, columns in overrides.items():
        _check_known(name, [table.name for table in vendor.tables])
        for bounds in _check_object(columns).values():
            for bound in _check_object(bounds):
                _check_known(bound, ("min", "max"))
    return replace(vendor, bounds=overrides)


def _retain_values(vendor: Vendor, overrides: dict[str, Any]) -> Vendor:
    for name, columns in overrides.items():
        table = vendor.table(_check_known(name, [table.name for table in vendor.tables]))
        if not isinstance(columns, list):
            raise ValueError(f"{name} is {columns!r}, not a list of columns")
        if table.parent:
            raise ValueError(f"values of {name} can't be retained: its responses are stored without them")
        for column in columns:
            _check_known(f"{name}.{column}", [f"{name}.{col.name}" for col in table.columns if col.is_sensitive])
            vendor = _retain_column(vendor, table.name, column)
    return vendor


def _retain_column(vendor: Vendor, name: str, column: str) -> Vendor:
    table, staged_hash = vendor.table(name), f"{column}_hash"
    maps = tuple(
        _carry_sealed(each, staged_hash) if each.table == name and staged_hash in each.columns.values() else each
        for each in vendor.maps
    )
    if maps == vendor.maps and not any(
        f"{column}_sealed" in each.columns.values() for each in maps if each.table == name
    ):
        raise ValueError(f"{name}.{column} can't be retained: no record in the warehouse has it")
    columns = tuple(replace(col, kind="retained") if col.name == column else col for col in table.columns)
    tables = tuple(replace(each, columns=columns) if each.name == name else each for each in vendor.tables)
    return replace(vendor, tables=tables, maps=maps)


def _carry_sealed(entity_map: EntityMap, staged_hash: str) -> EntityMap:
    """Return a map that also produces the sealed value of which it produces the hash."""
    sealed = staged_hash.removesuffix("_hash") + "_sealed"
    produced = {
        name.removesuffix("_hash") + "_sealed": sealed
        for name, source in entity_map.columns.items()
        if source == staged_hash
    }
    takes = dict.fromkeys((*entity_map.takes, sealed)) if entity_map.split else ()
    return replace(entity_map, columns={**entity_map.columns, **produced}, takes=tuple(takes))


def _check_known(name: str, names: Collection[str]) -> str:
    if name not in names:
        raise ValueError(f"unknown name {name}; known: {', '.join(names) or 'none'}")
    return name


def _check_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


_OVERRIDES: Mapping[str, Callable[[Vendor, dict[str, Any]], Vendor]] = {
    "budget": _lower_budget,
    "paths": _move_paths,
    "columns": _rename_columns,
    "limits": _set_limits,
    "codes": _translate_codes,
    "bounds": _set_bounds,
    "retained": _retain_values,
}
