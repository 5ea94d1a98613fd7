"""Read `alerts.yaml`: which connections hold the addresses of each kind of alert."""

from __future__ import annotations

import re

from include.control.alerts import KINDS
from include.firm.document import Difference, Faults, Item, Reader

DEFAULT = "tributary_alerts"
_CONNECTION = re.compile(r"[a-z][a-z0-9_]*")


def read_routes(document: Item, faults: Faults, differences: list[Difference]) -> dict[str, tuple[str, ...]]:
    """Return the ids of the connections by kind of alert."""
    reader = Reader(faults)
    routes: dict[str, tuple[str, ...]] = {}
    for kind, item in reader.entries(document, KINDS, "a kind of alert").items():
        names = [(each.place, each.text or "") for each in reader.list(item, "connections")]
        for place, name in names:
            if not _CONNECTION.fullmatch(name):  # not quoted: it may be an address, which is a secret
                correct = f"Write a connection such as `{DEFAULT}_crm`, whose password holds the addresses, and never an address itself."
                faults.add(place, f"The value for {kind} is not the id of a connection", correct)
        found = [name for _, name in names if _CONNECTION.fullmatch(name)]
        if found:
            routes[kind] = tuple(found)
            differences.append(Difference(item.place, f"alerts of the kind {kind}", DEFAULT, ", ".join(found)))
    return routes
