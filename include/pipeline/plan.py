"""What a run of a vendor is about: its day and its tables, checked before anything is pulled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from include import business_dates
from include.contract import FanOut, Vendor
from include.errors import InputRejected


def plan_day(
    vendor: Vendor,
    params: Mapping[str, Any],
    interval_end: datetime | None,
    now: datetime | None = None,
    *,
    is_backfill: bool = False,
) -> dict[str, Any]:
    """Plans a run.

    Args:
        vendor: The declaration.
        params: What a person chose, or the defaults: `business_date` (text or None), `tables`, `keys` (of clients; empty for
            all), and flags.
        interval_end: End of the data interval; None (a manual run) stands for now.
        now: Aware; None is the wall clock.
        is_backfill: Whether the run is one of a range, each with a day of its own.

    Returns:
        The plan in JSON's types: dates as text, the names of tables in the vendor's order, whether the day is past; in `left_out`
        why each other table that was chosen is not pulled.

    Raises:
        InputRejected: Day or tables can't be had; the message says which can.
    """
    asked = params["business_date"]
    if asked and is_backfill:
        raise InputRejected(
            f"A backfill's runs have business dates of their own; start it again without Business date ({asked}), which would give"
            " all of them one day"
        )
    day = business_dates.parse_business_date(asked, now) if asked else business_dates.business_date(interval_end or now)
    is_past = business_dates.is_past(day, now)
    keys = [str(key) for key in params.get("keys") or []]
    tables = choose_tables(vendor, params["tables"], is_past=is_past)
    pulled = keep_keyed(vendor, tables) if keys else tables
    return {
        "business_date": day.isoformat(),
        "previous_date": business_dates.previous(day).isoformat(),
        "is_past": is_past,
        "tables": pulled,
        "left_out": {name: _say_why(vendor, day, name in tables) for name in params["tables"] if name not in pulled},
        "full_refresh": params["full_refresh"],
        "on_demand": bool(keys) or params["on_demand"],
        "keys": keys,
        "accept_unusual": bool(params.get("accept_unusual")),
    }


def _say_why(vendor: Vendor, day: date, is_stated: bool) -> str:
    """Why a table that was chosen is not pulled."""
    if is_stated:
        return f"{vendor.title} can't be asked for single {find_key_table(vendor)} of it"
    return f"{vendor.title} can't state it as of {day}, which is past"


def choose_tables(vendor: Vendor, asked: Sequence[str], *, is_past: bool) -> list[str]:
    """Returns those of the asked tables that the vendor can state for the day, parents before children.

    Raises:
        InputRejected: A table is unknown, or none is left.
    """
    known = [table.name for table in vendor.asked]
    if unknown := [name for name in asked if name not in known]:
        raise InputRejected(f"{vendor.title} has no table {', '.join(unknown)}; it has {', '.join(known)}")
    if not asked:
        raise InputRejected(f"No table is chosen; {vendor.title} has {', '.join(known)}")
    stated = [table.name for table in vendor.asked if table.states_past or not is_past]
    if chosen := [name for name in stated if name in asked]:
        return chosen
    raise InputRejected(
        f"{vendor.title} can't state {', '.join(asked)} as of a past date; choose from {', '.join(stated)}, or the latest day"
    )


def keep_keyed(vendor: Vendor, tables: Sequence[str]) -> list[str]:
    """Returns those of the tables that can be asked for single clients, and those that their maps read beside them.

    Raises:
        InputRejected: There is none: the vendor is asked for everything at once.
    """
    keyed = find_keyed(vendor, tables)
    if not keyed:
        raise InputRejected(f"{vendor.title} can't be asked for single clients: leave them out, and ask for all")
    beside = {name for each in vendor.maps if each.table in keyed for name in each.beside}
    return [table.name for table in vendor.asked if table.name in {*keyed, *beside}]


def find_key_table(vendor: Vendor) -> str:
    """Returns the table whose keys a person chooses: `clients`, or what else the vendor is asked for one by one.

    Raises:
        InputRejected: There is none: the vendor is asked for everything at once.
    """
    for table in vendor.asked:
        if table.chosen:
            return table.name
        if isinstance(table.shape, FanOut) and table.over and vendor.is_keyed(vendor.table(table.over)):
            return table.over
    raise InputRejected(f"{vendor.title} can't be asked for single rows")


def find_keyed(vendor: Vendor, tables: Sequence[str] | None = None) -> list[str]:
    """Returns the tables that can be asked for single clients; of those named, or of all."""
    keyed: list[str] = []
    for table in vendor.asked:  # parents before children
        is_fan = isinstance(table.shape, FanOut) and bool(table.over) and vendor.is_keyed(vendor.table(table.over))
        is_asked = is_fan or bool(table.chosen)
        if (tables is None or table.name in tables) and (is_asked or table.over in keyed):
            keyed.append(table.name)
    return keyed
