"""Read `vendors.yaml`: the paths, columns, codes and bounds of a firm's vendors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from include.contract import STRING, Pushed, Table, Vendor
from include.contract.overrides import override
from include.firm.document import Difference, Faults, Item, Reader
from include.validation.date_bounds import is_date_bound
from include.validation.suite import IN_SET, RANGE, Expectation, read_bound, read_suite
from include.vendors import VENDORS

SETTINGS = ("paths", "columns", "codes", "bounds")
_BOUNDS = ("min", "max")


def read_vendors(document: Item, faults: Faults, differences: list[Difference]) -> dict[str, dict[str, Any]]:
    """Return the overrides by vendor, as `include.contract.overrides` takes them.

    Args:
        document: The file.
        faults: Receives the mistakes.
        differences: Receives the differences from our declarations.
    """
    reader = Reader(faults)
    known = {vendor.name: vendor for vendor in VENDORS}
    return {
        name: _Vendor(known[name], reader, differences).read(item)
        for name, item in reader.entries(document, known, "a vendor").items()
    }


def find_suite_columns(vendor: Vendor, table: Table, kind: str) -> dict[str, Expectation]:
    """Return the expectations of one kind in a table's suite, by column or measure; none for a table without a suite."""
    if isinstance(table.shape, Pushed):
        return {}
    return {each.column: each for each in read_suite(vendor.name, table.name) if each.type == kind and not each.check}


class _Vendor:
    def __init__(self, vendor: Vendor, reader: Reader, differences: list[Difference]) -> None:
        self._vendor, self._reader, self._differences = vendor, reader, differences
        self._tables = {table.name: table for table in vendor.tables}

    def read(self, item: Item) -> dict[str, Any]:
        given = self._reader.entries(item, SETTINGS, "a setting of a vendor")
        read = {"columns": self._read_columns, "codes": self._read_codes, "bounds": self._read_bounds}
        overrides: dict[str, Any] = {}
        if "paths" in given:
            overrides["paths"] = self._read_paths(given["paths"])
        for name, function in read.items():
            tables = self._reader.entries(given.get(name), self._tables, f"a table of {self._vendor.name}")
            if values := {table: function(self._tables[table], each) for table, each in tables.items()}:
                overrides[name] = values
        if "columns" in overrides and not self._try("columns", overrides["columns"], given["columns"]):
            del overrides["columns"]
        return {name: values for name, values in overrides.items() if values}

    def _read_paths(self, item: Item) -> dict[str, str]:
        paths = {table.name: table.path for table in self._vendor.requested_tables if table.path}
        known = paths | ({"closed": self._vendor.closed.path} if self._vendor.closed else {})
        values = {}
        for name, each in self._reader.entries(item, known, f"a path of {self._vendor.name}").items():
            path = self._reader.word(each, "a path below the base URL, such as `v2/accounts`")
            if path and self._try("paths", {name: path}, each):
                values[name] = path
                self._note(each, f"{name} path", known[name], path)
        return values

    def _read_columns(self, table: Table, item: Item) -> dict[str, Any]:
        known = {col.name: col.source for col in table.columns if col.source[0] not in "@^" and col.kind != "ignored"}
        values: dict[str, Any] = {}
        for name, each in self._reader.entries(item, known, f"a column of {table.name}").items():
            chosen: Any = (
                self._read_hashed(each) if each.kind == "map" else self._reader.word(each, "the vendor's field name")
            )
            field = chosen["field"] if isinstance(chosen, dict) else chosen
            if field and self._try_column(table, name, chosen, each):
                values[name] = chosen
                self._note(
                    each, f"{table.name}.{name} field", known[name], f"{field} (hashed)" if chosen != field else field
                )
        return values

    def _read_hashed(self, item: Item) -> dict[str, Any]:
        given = self._reader.entries(item, ("field", "hashed"), "a setting of a column")
        field = self._reader.word(given.get("field"), "the vendor's field name")
        return {"field": field, "hashed": bool(self._reader.flag(given.get("hashed"), "`hashed`"))}

    def _try_column(self, table: Table, name: str, chosen: Any, item: Item) -> bool:
        """Check one column. That a column must be hashed in every table is checked once all are known."""
        hashed = isinstance(chosen, dict) and chosen["hashed"]
        return hashed or self._try("columns", {table.name: {name: chosen}}, item)

    def _read_codes(self, table: Table, item: Item) -> dict[str, dict[str, str]]:
        sets = find_suite_columns(self._vendor, table, IN_SET)
        known = {name: each for name, each in sets.items() if table.named(name).type == STRING}
        values: dict[str, dict[str, str]] = {}
        for column, each in self._reader.entries(item, known, f"a column of codes of {table.name}").items():
            declared = [str(value) for value in known[column].kwargs["value_set"]]
            for code, ours in self._reader.any_entries(each, "a code").items():
                if code in declared:
                    self._reader.faults.add(
                        ours.place,
                        f"{code} is declared already, with its own effect",
                        f"Declared are {', '.join(declared)}.",
                    )
                elif ours.text not in declared:
                    self._reader.unknown(
                        ours.place, ours.text or ours.shown, declared, f"a declared code of {table.name}.{column}"
                    )
                else:
                    values.setdefault(column, {})[code] = ours.text
                    self._note(ours, f"{table.name}.{column} code {code}", "unknown", f"as {ours.text}")
        return values

    def _read_bounds(self, table: Table, item: Item) -> dict[str, dict[str, str]]:
        known = find_suite_columns(self._vendor, table, RANGE)
        values: dict[str, dict[str, str]] = {}
        for column, each in self._reader.entries(item, known, f"a bounded column or measure of {table.name}").items():
            ours = known[column].kwargs
            bounds: dict[str, str] = {}
            for name, bound in self._reader.entries(each, _BOUNDS, "a bound").items():
                before = ours.get(f"{name}_value")
                if text := self._read_bound(bound, next(value for key, value in ours.items() if key != "column")):
                    bounds[name] = text
                    self._note(bound, f"{table.name}.{column} {name}", "none" if before is None else str(before), text)
            low, high = (read_bound(bounds.get(name, str(ours.get(f"{name}_value", "")))) for name in _BOUNDS)
            if not isinstance(low, str) and not isinstance(high, str) and low > high:
                self._reader.faults.add(
                    each.place,
                    f"The smallest value {low} is larger than the largest, {high}",
                    "Exchange or correct the bounds.",
                )
            elif bounds:
                values[column] = bounds
        return values

    def _read_bound(self, item: Item, ours: Any) -> str:
        if isinstance(ours, str):
            return self._reader.matching(
                item, is_date_bound, "Write a date as `1970-01-01`, `business_date+31d` or `extracted_at+1d`."
            )
        number = self._reader.number(item, "A bound")
        return "" if number is None else f"{number:f}"

    def _try(self, name: str, values: Mapping[str, Any], item: Item) -> bool:
        """Return whether our declaration accepts an override; else record why not."""
        try:
            override(self._vendor, name, json.loads(json.dumps(values)))
        except ValueError as error:
            self._reader.faults.add(item.place, str(error), "See docs/reference/connections.md.")
            return False
        return True

    def _note(self, item: Item, subject: str, before: str, after: str) -> None:
        self._differences.append(Difference(item.place, f"{self._vendor.name} {subject}", before, after))
