"""The content of the firm's folder, read and checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.connection import Connection
from include.crm.firm_changes import ObjectChange
from include.errors import ConfigurationError
from include.firm import alerts, mapping, thresholds, vendors
from include.firm.content import (
    ALERTS,
    DOCUMENTS,
    MAPPING,
    RULES,
    TESTS,
    THRESHOLDS,
    VENDORS,
    compute_hash,
    find_folder,
    list_others,
)
from include.firm.document import Difference, Fault, Faults, Item, Place, read_document

if TYPE_CHECKING:
    from include.rules.household_view import HouseholdView
    from include.rules.rule import Rule
    from include.rules.snapshot import Snapshot

_cache: dict[tuple[Path, str], Firm] = {}


class InvalidFolder(ConfigurationError):
    """The firm's folder has mistakes; the message lists all of them.

    Attributes:
        faults: The mistakes, by file and line.
    """

    def __init__(self, folder: Path, faults: list[Fault]) -> None:
        self.faults = faults
        lines = "".join(f"\n  {fault}" for fault in faults)
        number = "1 mistake" if len(faults) == 1 else f"{len(faults)} mistakes"
        super().__init__(f"{number} in the firm's folder {folder}:{lines}")


@dataclass(frozen=True, slots=True)
class Firm:
    """The firm's folder, read: its changes to the project's defaults.

    Attributes:
        folder: The folder.
        hash: SHA-256 of the content; empty if there is no folder.
        changes: Changes of the mapping of Salesforce, by entity.
        vendors: Overrides of the vendors' declarations: vendor -> name of the override -> its value.
        thresholds: Thresholds of the business rules, each with its place.
        routes: Ids of the connections with the addresses of alerts, by kind of alert.
        differences: Everything that differs from the project's defaults, by file and line, without the rules.
    """

    folder: Path
    hash: str = ""
    changes: Mapping[str, ObjectChange] = field(default_factory=dict)
    vendors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    thresholds: Mapping[str, tuple[Any, Place]] = field(default_factory=dict)
    routes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()

    def complete(self, connection: Connection) -> Connection:
        """Return a vendor's connection with the firm's overrides in its extra fields.

        Raises:
            ConfigurationError: Both the connection and the folder state a value.
        """
        extra = dict(connection.extra)
        for name, values in self.vendors.get(connection.name or "", {}).items():
            stated = json.loads(extra.get(name, "{}"))
            twice = sorted(f"{name}.{each}" for each in _list_paths(values) & _list_paths(stated))
            if twice:
                raise ConfigurationError(
                    f"Both the connection's extra and {VENDORS} in the firm's folder state a value: remove one of the two",
                    vendor=connection.name, names=", ".join(twice),
                )  # fmt: skip
            extra[name] = json.dumps(_merge(stated, values))
        return replace(connection, extra=extra)


def in_force() -> Firm:
    """Return the content of the firm's folder. Unchanged files are parsed once per process. The firm's own rules are not loaded.

    Raises:
        InvalidFolder: The folder has mistakes.
    """
    folder = find_folder()
    key = (folder, compute_hash(folder))
    if key not in _cache:
        firm, faults = read(folder)
        if faults:
            raise InvalidFolder(folder, faults)
        _cache[key] = firm
    return _cache[key]


def rules_in_force() -> tuple[tuple[Rule[Snapshot], ...], tuple[Rule[HouseholdView], ...]]:
    """Return the rules on a vendor's day and those on the household view: the project's, then the firm's.

    Raises:
        InvalidFolder: A file of rules has mistakes.
    """
    from include.firm.own_rules import load_rules
    from include.rules import HOUSEHOLD_RULES
    from include.rules import RULES as DAY_RULES

    faults = Faults()
    day, household = load_rules(find_folder(), faults, [])
    if found := faults.list():
        raise InvalidFolder(find_folder(), found)
    return (*DAY_RULES, *day), (*HOUSEHOLD_RULES, *household)


def read(folder: Path) -> tuple[Firm, list[Fault]]:
    """Read a folder without its rules; return its content and all of its mistakes, by file and line."""
    faults, differences = Faults(), list[Difference]()
    documents = {name: _read(folder, name, faults) for name in DOCUMENTS}
    _refuse_others(folder, faults)
    firm = Firm(
        folder,
        compute_hash(folder),
        mapping.read_mapping(documents[MAPPING], faults, differences),
        vendors.read_vendors(documents[VENDORS], faults, differences),
        thresholds.read_thresholds(documents[THRESHOLDS], faults, differences),
        alerts.read_routes(documents[ALERTS], faults, differences),
        _sort(differences),
    )
    return firm, faults.list()


def read_all(folder: Path) -> tuple[Firm, list[Fault]]:
    """Read a folder with its rules, whose code runs; return its content and all of its mistakes, by file and line."""
    from include.firm.own_rules import load_rules

    firm, found = read(folder)
    faults, differences = Faults(), list(firm.differences)
    load_rules(folder, faults, differences)
    return replace(firm, differences=_sort(differences)), sorted([*found, *faults.list()])


def _sort(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    return tuple(sorted((each for each in differences if each.before != each.after), key=lambda each: each.place))


def _read(folder: Path, name: str, faults: Faults) -> Item:
    path = folder / name
    return read_document(path, name, faults) if path.exists() else Item(Place(name, 1), "nothing")


def _refuse_others(folder: Path, faults: Faults) -> None:
    for name in list_others(folder):
        known = ", ".join((*DOCUMENTS, RULES, TESTS))
        faults.add(Place(name, 1), "Nothing reads this file", f"The folder holds {known}.")


def _list_paths(values: Mapping[str, Any], prefix: str = "") -> set[str]:
    """Return the names of the values in a tree of maps, each as `table.column`."""
    found: set[str] = set()
    for name, value in values.items():
        is_branch = isinstance(value, dict) and not {"field", "hashed"} & value.keys()
        found |= _list_paths(value, f"{prefix}{name}.") if is_branch else {f"{prefix}{name}"}
    return found


def _merge(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    both = {name: _merge(left[name], right[name]) for name in left.keys() & right.keys()}
    return {**left, **right, **both}
