"""What a run of a vendor is about: its day and its tables, checked before anything is pulled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from include import sessions
from include.contract import FanOut, Vendor
from include.errors import ConfigurationError


def plan_day(
    vendor: Vendor, params: Mapping[str, Any], interval_end: datetime | None, now: datetime | None = None
) -> dict[str, Any]:
    """Plans a run.

    Args:
        vendor: The declaration.
        params: What a person chose, or the defaults: `business_date` (text or None), `tables`, `keys` (of clients; empty for
            all), and flags.
        interval_end: End of the data interval; None (a manual run) stands for now.
        now: Aware; None is the wall clock.

    Returns:
        The plan in JSON's types: dates as text, the names of tables in the vendor's order, whether the day is past.

    Raises:
        ConfigurationError: Day or tables can't be had; the message says which can.
    """
    asked = params["business_date"]
    day = sessions.read_asked(asked, now) if asked else sessions.business_date(interval_end or now)
    is_past = sessions.is_past(day, now)
    keys = [str(key) for key in params.get("keys") or []]
    tables = choose_tables(vendor, params["tables"], is_past=is_past)
    return {
        "business_date": day.isoformat(),
        "previous_date": sessions.previous(day).isoformat(),
        "is_past": is_past,
        "tables": keep_keyed(vendor, tables) if keys else tables,
        "full_refresh": params["full_refresh"],
        "on_demand": bool(keys) or params["on_demand"],
        "keys": keys,
        "accept_unusual": bool(params.get("accept_unusual")),
    }


def choose_tables(vendor: Vendor, asked: Sequence[str], *, is_past: bool) -> list[str]:
    """Returns those of the asked tables that the vendor can state for the day, parents before children.

    Raises:
        ConfigurationError: A table is unknown, or none is left.
    """
    known = [table.name for table in vendor.asked]
    if unknown := [name for name in asked if name not in known]:
        raise ConfigurationError(f"{vendor.title} has no table {', '.join(unknown)}; it has {', '.join(known)}")
    if not asked:
        raise ConfigurationError(f"No table is chosen; {vendor.title} has {', '.join(known)}")
    stated = [table.name for table in vendor.asked if table.states_past or not is_past]
    if chosen := [name for name in stated if name in asked]:
        return chosen
    raise ConfigurationError(
        f"{vendor.title} can't state {', '.join(asked)} as of a past date; choose from {', '.join(stated)}, or the latest day"
    )


def keep_keyed(vendor: Vendor, tables: Sequence[str]) -> list[str]:
    """Returns those of the tables that can be asked for single clients, and those that their maps read beside them.

    Raises:
        ConfigurationError: There is none: the vendor is asked for everything at once.
    """
    keyed = find_keyed(vendor, tables)
    if not keyed:
        raise ConfigurationError(f"{vendor.title} can't be asked for single clients: leave them out, and ask for all")
    beside = {name for each in vendor.maps if each.table in keyed for name in each.beside}
    return [table.name for table in vendor.asked if table.name in {*keyed, *beside}]


def find_keyed(vendor: Vendor, tables: Sequence[str] | None = None) -> list[str]:
    """Returns the tables that can be asked for single clients; of those named, or of all."""
    keyed: list[str] = []
    for table in vendor.asked:  # parents before children
        is_fan = isinstance(table.shape, FanOut) and bool(table.over) and vendor.is_keyed(vendor.table(table.over))
        is_asked = is_fan or bool(table.chosen)
        if (tables is None or table.name in tables) and (is_asked or table.over in keyed):
            keyed.append(table.name)
    return keyed
