"""Read `thresholds.yaml`: the firm's thresholds of the business rules."""

from __future__ import annotations

from typing import Any

from include.firm.document import Difference, Faults, Item, Place, Reader
from include.rules.policy import Policy, read_threshold
from include.rules.thresholds import export, list_thresholds


def read_thresholds(document: Item, faults: Faults, differences: list[Difference]) -> dict[str, tuple[Any, Place]]:
    """Return the thresholds as `Policy.of` takes them, each with its place."""
    reader, defaults = Reader(faults), Policy()
    known = {each.name: each.kind for each in list_thresholds(defaults)}
    values: dict[str, tuple[Any, Place]] = {}
    for name, item in reader.entries(document, known, "a threshold").items():
        value: Any = item.text
        if known[name] == "list":
            value = [each.text for each in reader.list(item, "texts")]
        elif known[name] == "flag" and (value := reader.flag(item, name)) is None:
            continue
        try:
            read = read_threshold(name, value)
        except ValueError as error:
            reader.faults.add(
                item.place, f"{name} {error}, and is {item.shown}", f"The default is {export(getattr(defaults, name))}."
            )
            continue
        values[name] = (value, item.place)
        differences.append(
            Difference(item.place, f"threshold {name}", str(export(getattr(defaults, name))), str(export(read)))
        )
    return values
